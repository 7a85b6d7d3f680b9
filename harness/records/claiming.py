"""Whose a folder is: a run or a study takes one only if it is its own, and keeps other processes out meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records.folder import is_run, is_study
from nas_stability.harness.records.outputs import refuse_output
from nas_stability.harness.records.record import CHECKPOINT, EPOCHS, LOCK, SCHEMA, SPEC, STUDY
from nas_stability.harness.records.saying import counted, some
from nas_stability.harness.records.sealed import opened, sealed
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.records.study_record import ids_of, read_claims, read_counting, read_study
from nas_stability.harness.specs.recorded import recorded_spec, same_run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy


class Held(RuntimeError):
    """Another process holds the run's folder."""


@contextlib.contextmanager
def alone(folder: Path, lock: str, work: str) -> Iterator[None]:
    """Keeps other processes from the same work in a folder, which is made where it is not there.

    Args:
        folder: of the run.
        lock: name of the file whose lock is held meanwhile.
        work: what is done, for the message to another process: "carrying out the run".

    Raises:
        BadInput: the folder cannot be written.
        Held: another process is at it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(folder / lock, blocking=False)
        held.acquire()
    except filelock.Timeout as error:
        raise Held(f"another process is {work} in {folder}") from error
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be written: {error.strerror}") from error
    with held:
        yield


def refuse_other(spec: RunSpec, folder: Path, study: Path | None = None) -> None:
    """Refuses a folder that is not this spec's; reads only.

    Args:
        spec: of the run.
        folder: of the run.
        study: the folder of the study that it is a part of, where that is known.

    Raises:
        BadInput: it holds another run, a study, or records of no known run.
        CorruptFile: its spec cannot be read.
    """
    if (folder / STUDY).exists():
        raise BadInput(f"the folder {folder} holds a study; choose another with --out")
    outer = next((parent for parent in folder.resolve().parents if is_run(parent) or is_study(parent)), None)
    if outer is not None and outer != (study and study.resolve()) and not is_named(spec, folder, outer):
        raise BadInput(f"the folder {folder} lies in {outer}, which holds other records; choose another with --out")
    if not (folder / SPEC).exists():
        if any(folder.glob("*.csv")) and not begun(folder):
            raise BadInput(f"the folder {folder} holds records but no {SPEC}; choose another with --out")
        if any(folder.glob(f"*/{SPEC}")):
            raise BadInput(f"the folder {folder} holds other runs; choose another with --out")
        return
    values = opened(folder / SPEC, "a run's spec")
    if not same_run(spec, values):
        theirs = recorded_spec(values)
        if spec.plugins != theirs.plugins and spec.method == theirs.method:
            raise BadInput(
                f"the folder {folder} holds a run that was made with another source of its plug-ins; "
                "choose another folder with --out"
            )
        name = next(name for name, value in dataclasses.asdict(spec).items() if getattr(theirs, name) != value)
        raise BadInput(
            f"the folder {folder} holds a run of another spec: {name!r} is {getattr(theirs, name)!r} there and "
            f"{getattr(spec, name)!r} here; choose another folder with --out"
        )


def begun(folder: Path) -> bool:
    """Whether all that is there is what a process leaves that died before its first row was safe."""
    return not (folder / CHECKPOINT).exists() and len(read_rows(folder / EPOCHS)) <= 1


def is_named(spec: RunSpec, folder: Path, study: Path) -> bool:
    """Whether a folder is the place that a study has for this run."""
    if folder.resolve().parent != study or not (study / STUDY).exists():
        return False
    values = read_study(study).get(folder.name)
    return values is not None and same_run(spec, values)


def name_of(spec: RunSpec, folder: Path) -> str:
    """The run's id: the spec's, or the one that version 0.1 gave the run which goes on."""
    if not (folder / SPEC).exists():
        return spec.run_id
    values = opened(folder / SPEC, "a run's spec")
    return ids_of(values)[0 if "data_sha256" in values else -1]


def claim_study(study: PlannedStudy, folder: Path) -> None:
    """Makes the folder this study's.

    Raises:
        BadInput: it is another's, cannot be written, or has runs that began while other claims counted.
        CorruptFile: its study.json is damaged.
    """
    path = folder / STUDY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / LOCK):
            if not path.exists():
                files.write(path, sealed({"schema": SCHEMA, **json.loads(study.json())}))
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be written: {error.strerror or error}") from error
    names = names_of(study, folder)
    theirs = read_study(folder)
    planned = {run: theirs.get(run) or json.loads(spec.json()) for spec, run in names.items()}
    if strangers := set(names.values()) - theirs.keys():  # of an old study, runs that have not begun
        logging.warning("%s in %s: named by the ids of today", counted(sorted(strangers)), folder)
    counting = read_counting(folder)
    if counting != study.counting:
        refuse_begun(folder, counting.claims)
        logging.warning("what %s is to decide was another before any run began: it is what its file has today", folder)
    elif read_claims(folder) != study.claims:
        logging.warning("the claims of %s were others when it began: its file has those of today", folder)
    elif not strangers:
        return
    told = json.loads(study.json())
    files.write(path, sealed({"schema": SCHEMA, **told, "runs": planned}))


def refuse_begun(folder: Path, claims: Sequence[str]) -> None:
    """Refuses a study whose claims that count are others than those with which its runs began.

    Args:
        folder: of the study.
        claims: that counted then.

    Raises:
        BadInput: a run has begun.
    """
    begun = [place.name for place in sorted(folder.iterdir()) if place.is_dir() and is_run(place)]
    if begun:
        before = ", ".join(claims) or "none by itself"
        raise BadInput(
            f"{counted(begun)} of the study {folder} began while other claims counted ({before}): what counts is "
            "settled before the first seed is seen; keep [claims] as it was, or choose another folder with --out"
        )


def names_of(study: PlannedStudy, folder: Path) -> dict[RunSpec, str]:
    """The name of each run's folder in a study's that is there: its id, or what version 0.1 called it when it began.

    Raises:
        BadInput: it is another study's.
        CorruptFile: its study.json is damaged.
    """
    theirs = read_study(folder)
    today = {ids_of(values)[0]: run for run, values in theirs.items()}
    names: dict[RunSpec, str] = {}
    found: set[str] = set()
    for spec in study.runs:
        run = today.get(spec.run_id)
        if run is None:  # its images may be a file of which version 0.1 recorded the path alone
            run = next((name for name, values in theirs.items() if same_run(spec, values)), None)
        if run is not None:
            names[spec] = run
            found.add(run)
    strangers = [spec.run_id for spec in study.runs if spec not in names] + sorted(theirs.keys() - found)
    if strangers:
        raise BadInput(
            f"the folder {folder} holds a study of other runs ({some(strangers)}); choose another with --out"
        )
    return {spec: run if (folder / run).exists() else spec.run_id for spec, run in names.items()}


def refuse_records(study: PlannedStudy, folder: Path) -> None:
    """Passes a study's folder, or one that no records are in or around but runs of this study.

    Raises:
        BadInput: a run's folder, or one in or around other records.
    """
    if is_run(folder):
        raise BadInput(f"the folder {folder} holds a run; choose another with --out")
    own = {spec.run_id for spec in study.runs}
    if not is_study(folder) and not any(path.name in own for path in runs_in(folder)):
        refuse_output(folder)


def runs_in(folder: Path) -> list[Path]:
    """The folders of runs in a folder."""
    return [path for path in folder.iterdir() if path.is_dir() and is_run(path)] if folder.is_dir() else []
