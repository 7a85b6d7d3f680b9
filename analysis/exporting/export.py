"""A study's runs to a tracker: what it has not been told yet, once or as long as the study goes on."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from nas_stability.analysis.exporting.mlflow_runs import mlflow
from nas_stability.analysis.exporting.tensorboard_events import tensorboard
from nas_stability.analysis.exporting.tracked import OVER, Exporter, Tell, TrackedRun, digest, tracked
from nas_stability.analysis.exporting.wandb_runs import wandb
from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, choose
from nas_stability.harness.records.folder import Survey, damages, survey, verified
from nas_stability.harness.records.outputs import refuse_output

PAUSE = 5.0
"""Seconds between two looks at a study that is followed."""


class Mark(NamedTuple):
    """How much of a run a tracker has been told.

    Attributes:
        epochs: rows.
        sha256: over them, as ``digest``.
        state: of the run.
    """

    epochs: int
    sha256: str
    state: str


class Exported(NamedTuple):
    """What came of an export.

    Attributes:
        place: folder that was written to.
        runs: ids of those that the tracker was told something new of.
        epochs: rows that were new.
        waiting: runs that have no rows yet.
        damaged: one line per run that is not finished and whose rows are not those of its checkpoint: left out.
    """

    place: Path
    runs: tuple[str, ...]
    epochs: int
    waiting: int
    damaged: tuple[str, ...]

    def and_then(self, later: Exported) -> Exported:
        """Both, one after the other."""
        runs = tuple(dict.fromkeys((*self.runs, *later.runs)))
        return later._replace(runs=runs, epochs=self.epochs + later.epochs)


def export(
    folder: Path,
    tracker: str,
    out: Path | None = None,
    verify: bool = True,
    follow: bool = False,
    heard: Callable[[Exported], None] = lambda exported: None,
) -> Exported:
    """Tells a tracker of every run of a study what it was not told yet; the study's folder is read only.

    Args:
        folder: of a study, of runs, or of a run.
        tracker: a name of EXPORTERS.
        out: where to write; STUDY-TRACKER beside the study by default.
        verify: hold finished runs to their checksums, and others to their checkpoints.
        follow: go on until no run runs or waits any more, or until Ctrl-C.
        heard: called after each look that found something new.

    Raises:
        BadInput: the tracker is unknown or not installed, the folder holds no records, a finished run is damaged, or
            ``out`` is a place of records or is written to by another process.
    """
    exporter = choose("tracker", tracker, EXPORTERS)
    load_library(tracker)
    study = folder.resolve()
    place = out or study.with_name(f"{study.name}-{tracker}")
    refuse_output(place)
    look(folder, verify)  # what cannot be exported is told before anything is written
    total = Exported(place, (), 0, 0, ())
    broken_off = contextlib.suppress(*([KeyboardInterrupt] if follow else []))
    with alone(place, tracker), exporter(place) as tell, broken_off:
        while True:
            found = look(folder, verify)
            latest, over = told(found, study.name, marks_of(place, tracker), tell, verify)
            total = total.and_then(latest)
            if latest.runs:
                heard(latest)
            if over or not follow:
                break
            time.sleep(PAUSE)
    return total


def load_library(tracker: str) -> None:
    """Imports the library of a tracker, which is called like it, and so is the extra that installs it.

    Raises:
        BadInput: it is not installed.
    """
    try:
        importlib.import_module(tracker)
    except ImportError as error:
        message = f"exporting to {tracker} needs the extra '{tracker}': pip install nas-stability[{tracker}]"
        raise BadInput(message) from error


def look(folder: Path, verify: bool) -> Survey:
    """What is in a folder; its finished runs are verified."""
    return verified(folder) if verify else survey(folder)


@contextlib.contextmanager
def alone(place: Path, tracker: str) -> Iterator[None]:
    """Makes a folder and keeps other processes from exporting to it meanwhile.

    Raises:
        BadInput: one does, or the folder cannot be written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(place / f".{tracker}.lock", blocking=False)
        held.acquire()
    except filelock.Timeout as error:
        raise BadInput(f"another process is exporting to {place}") from error
    except OSError as error:
        raise BadInput(f"the folder {place} cannot be written: {error.strerror or error}") from error
    with held:
        yield


class Marks(NamedTuple):
    """What a tracker was told of each run, and the file that says so.

    Attributes:
        path: of the file.
        of: STUDY/RUN -> mark.
    """

    path: Path
    of: dict[str, Mark]

    def since(self, run: TrackedRun) -> int:
        """How many rows of a run need no telling; 0 where those that were told are not its rows any more."""
        mark = self.of.get(f"{run.study}/{run.run}")
        return 0 if mark is None or digest(run.epochs[: mark.epochs]) != mark.sha256 else mark.epochs

    def knows(self, run: TrackedRun) -> bool:
        """Whether there is nothing new to tell of a run."""
        return self.of.get(f"{run.study}/{run.run}") == mark_of(run)

    def put(self, run: TrackedRun) -> None:
        """Notes that all of a run was told."""
        self.of[f"{run.study}/{run.run}"] = mark_of(run)
        files.write(self.path, json.dumps({name: mark._asdict() for name, mark in self.of.items()}, indent=1) + "\n")


def mark_of(run: TrackedRun) -> Mark:
    """The mark of a run of which everything was told."""
    return Mark(len(run.epochs), digest(run.epochs), run.state)


def marks_of(place: Path, tracker: str) -> Marks:
    """The marks of a folder that is exported to.

    Raises:
        BadInput: their file is damaged.
    """
    path = place / f"exported-{tracker}.json"
    try:
        found: Mapping[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return Marks(path, {name: Mark(**mark) for name, mark in found.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"the file {path} is damaged; export to another folder") from error


def told(found: Survey, study: str, marks: Marks, tell: Tell, verify: bool) -> tuple[Exported, bool]:
    """One look: tells what is new; what was told, and whether all runs are over."""
    news: list[str] = []
    epochs = 0
    wrong: list[str] = []
    going = len(found.missing)
    for name, place in {**found.finished, **found.unfinished}.items():
        damage = next(damages(place, name), "") if verify and name in found.unfinished else ""
        if damage:
            wrong.append(f"{name}: {damage}")
            continue
        run = tracked(study, name, place, verify)
        going += run.state not in OVER
        if run.state != "waiting" and not marks.knows(run):
            since = marks.since(run)
            tell(run, since)
            marks.put(run)
            news.append(name)
            epochs += len(run.epochs) - since
    return Exported(marks.path.parent, tuple(news), epochs, len(found.missing), tuple(wrong)), not going


EXPORTERS: dict[str, Exporter] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
"""Tracker -> how it is opened; its name is that of its library and of the extra that installs it."""
