"""Many runs: skip the finished, spread the others over workers, let one failure stop nothing. joblib is the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import joblib

from benchmarks.errors import BadInput
from harness import checkpoint
from harness.run import EPOCHS, Held, Place, check, claim, run
from harness.spec import RunSpec
from harness.study import Study

STUDY = "study.json"


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        run: its id.
        state: "finished", "skipped" (it was finished before), "held" (by another process) or "failed".
        error: one line, where it failed.
    """

    run: str
    state: str
    error: str = ""


def carry_out(study: Study, folder: Path, place: Place, workers: int, progress: Callable[[int], None]) -> list[Outcome]:
    """Carries out every run of the study that is not finished.

    Args:
        study: its runs.
        folder: of the study; each run has a folder of its own in it.
        place: device, threads per run and data folder.
        workers: runs at a time.
        progress: called about twice a second with the number of epochs done in all runs together.

    Raises:
        BadInput: a spec cannot run, or the folder holds another study; nothing is started.
    """
    for spec in {(spec.space, spec.method, spec.data, spec.table): spec for spec in study.runs}.values():
        check(spec, place)
    claim_study(study, folder)
    for spec in study.runs:
        claim(spec, folder / spec.run_id)
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(study, folder, progress, done), daemon=True)
    watcher.start()
    try:
        tasks = (joblib.delayed(attempt)(spec, folder / spec.run_id, place) for spec in study.runs)
        # One worker is this process: a run in it can be debugged and costs no start-up.
        engine = joblib.Parallel(n_jobs=workers, backend="loky" if workers > 1 else "sequential", batch_size=1)
        outcomes: list[Outcome] = engine(tasks)
    finally:
        done.set()
        watcher.join()
    return outcomes


def attempt(spec: RunSpec, folder: Path, place: Place) -> Outcome:
    """One run; its failure is a value."""
    try:
        worked = run(spec, folder, place, lambda epoch, epochs: None)
    except Held as error:
        return Outcome(spec.run_id, "held", str(error))
    except Exception as error:  # whatever it is, the other runs go on; the traceback is in error.txt
        return Outcome(spec.run_id, "failed", f"{type(error).__name__}: {error}")
    return Outcome(spec.run_id, "finished" if worked else "skipped")


def claim_study(study: Study, folder: Path) -> None:
    """Makes the folder this study's.

    Raises:
        BadInput: it is another's, or cannot be written.
    """
    path = folder / STUDY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            checkpoint.write_aside(path, (study.json() + "\n").encode())
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


def watch(study: Study, folder: Path, progress: Callable[[int], None], done: threading.Event) -> None:
    """Reports the epochs done until told to stop, and once more then."""
    while not done.wait(0.5):
        progress(sum(epochs_done(folder / spec.run_id) for spec in study.runs))
    progress(sum(epochs_done(folder / spec.run_id) for spec in study.runs))


def epochs_done(folder: Path) -> int:
    """Whole rows in the run's epochs.csv after row 0."""
    try:
        content = (folder / EPOCHS).read_bytes()
    except FileNotFoundError:
        return 0
    return max(0, content.count(b"\n") - 2)
