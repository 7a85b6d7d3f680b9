"""Many runs: skip the finished, spread the others over workers, let one failure stop nothing.

Several processes may carry out one study in one folder: each run's folder is held by a file lock, which the operating
system releases when its holder dies; the others pass over it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock

from benchmarks import files
from benchmarks.errors import BadInput
from benchmarks.stopping import signals
from benchmarks.workers import Answer, Crew, Lost, Stopped, asked_to_stop
from harness.attempt import NOT_CARRIED_OUT, Outcome, attempt, failed, short_of_memory
from harness.cluster import on_cluster
from harness.record import DONE, EPOCHS, LOCK, STUDY
from harness.run import Place, check, refuse_other
from harness.spec import RunSpec
from harness.study import Study


class Engine(NamedTuple):
    """How the runs are spread.

    Attributes:
        workers: runs at a time, on this machine.
        devices: given to the runs in turn; empty: the place's device for all.
        scheduler: address of a dask scheduler whose workers do the runs; empty: this machine does.
    """

    workers: int = 1
    devices: tuple[str, ...] = ()
    scheduler: str = ""


def carry_out(
    study: Study, folder: Path, place: Place, engine: Engine, progress: Callable[[int], None]
) -> list[Outcome]:
    """Carries out every run of the study that is not finished. A signal to stop saves and stops all runs.

    Args:
        study: its runs.
        folder: of the study; each run has a folder of its own in it.
        place: device, threads per run and data folder.
        engine: how the runs are spread.
        progress: called about twice a second with the number of epochs done in all runs together.

    Raises:
        BadInput: a spec cannot run, or the folder holds another study; nothing is started.
    """
    places = [place._replace(device=device) for device in engine.devices] or [place]
    for spec in {
        (spec.space, spec.method, spec.data, spec.table, spec.table_epochs): spec for spec in study.runs
    }.values():
        for one in () if engine.scheduler else places:
            check(spec, one)
    claim_study(study, folder)
    for spec in study.runs:
        refuse_other(spec, folder / spec.run_id)
    outcomes = {spec.run_id: Outcome(spec.run_id, "skipped") for spec in study.runs}
    todo = [spec for spec in study.runs if not (folder / spec.run_id / DONE).exists()]
    with reporting(study, folder, progress):
        for outcome in spread(todo, folder, places, engine) if todo else ():
            finished_elsewhere = outcome.state == "held" and (folder / outcome.run / DONE).exists()
            outcomes[outcome.run] = Outcome(outcome.run, "skipped") if finished_elsewhere else outcome
    return list(outcomes.values())


def spread(todo: Sequence[RunSpec], folder: Path, places: Sequence[Place], engine: Engine) -> Iterator[Outcome]:
    """The outcomes of the runs as they come, wherever they are carried out."""
    if engine.scheduler:
        return on_cluster(todo, folder, places[0], engine.scheduler)
    return on_this_machine(todo, folder, places, min(engine.workers, len(todo)))


def on_this_machine(todo: Sequence[RunSpec], folder: Path, places: Sequence[Place], workers: int) -> Iterator[Outcome]:
    """The outcomes as they come; a run that was short of memory, or whose worker died, is tried once more, alone."""
    given = list(zip(todo, itertools.cycle(places), strict=False))
    if workers == 1:
        yield from in_this_process(given, folder)
        return
    with Crew(functools.partial(in_a_worker, folder), workers) as crew, signals(crew.stop):
        for answer in crew.carry_out(given, name=lambda task: task[0].run_id, again=short_of_memory):
            outcome = outcome_of(answer, todo[answer.task].run_id, folder)
            if outcome.state == "interrupted":  # a batch system may signal the workers alone
                crew.stop()
            yield outcome


def in_this_process(given: Sequence[tuple[RunSpec, Place]], folder: Path) -> Iterator[Outcome]:
    """One run after the other, here: they can be debugged and cost no start-up."""
    stopped: list[bool] = []
    again = []
    with signals(lambda: stopped.append(True)):
        for spec, place in given:
            outcome = attempt(spec, folder / spec.run_id, place, lambda: bool(stopped), here=True)
            if short_of_memory(outcome):
                again.append((spec, place))
            else:
                yield outcome
        for spec, place in again:
            yield attempt(spec, folder / spec.run_id, place, lambda: bool(stopped), here=True)


def in_a_worker(folder: Path, task: tuple[RunSpec, Place]) -> Outcome:
    """One run of the study in the folder, in a worker's process."""
    spec, place = task
    return attempt(spec, folder / spec.run_id, place, asked_to_stop)


def outcome_of(answer: Answer[Outcome], run: str, folder: Path) -> Outcome:
    """What became of a run that was a worker's task."""
    try:
        return answer.result()
    except Stopped:
        return Outcome(run, "interrupted")
    except Exception as error:
        if answer.died:
            reason = f"{error}, again when it was tried alone; go on with fewer --workers"
            return failed(run, reason, folder / run)
        if isinstance(error, Lost):
            return Outcome(run, NOT_CARRIED_OUT, f"{error}; go on with fewer --workers")
        return failed(run, f"{type(error).__name__}: {error}", folder / run)


def claim_study(study: Study, folder: Path) -> None:
    """Makes the folder this study's.

    Raises:
        BadInput: it is another's, or cannot be written.
    """
    path = folder / STUDY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / LOCK):
            if not path.exists():
                files.write(path, (study.json() + "\n").encode())
        theirs = json.loads(path.read_text())["runs"]
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be written: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the file {path} is not a study's: {error}") from error
    ours = json.loads(study.json())["runs"]
    if theirs != ours:
        raise BadInput(
            f"the folder {folder} holds a study of other runs (first that differs: "
            f"{min(theirs.keys() ^ ours.keys(), default='the same names')}); choose another with --out"
        )


@contextlib.contextmanager
def reporting(study: Study, folder: Path, progress: Callable[[int], None]) -> Iterator[None]:
    """Reports the epochs done twice a second, from a thread that only reads files, and once more at the end."""
    done = threading.Event()

    def report() -> None:
        progress(sum(epochs_done(folder / spec.run_id) for spec in study.runs))

    def watch() -> None:
        while not done.wait(0.5):
            report()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        report()


def epochs_done(folder: Path) -> int:
    """Whole rows in the run's epochs.csv after row 0."""
    try:
        content = (folder / EPOCHS).read_bytes()
    except FileNotFoundError:
        return 0
    return max(0, content.count(b"\n") - 2)
