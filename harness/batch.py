"""Many runs: skip the finished, spread the others over workers, let one failure stop nothing. joblib is the engine.

Several processes may carry out one study in one folder: each run's folder is held by a file lock, which the operating
system releases when its holder dies; the others pass over it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import filelock
import joblib

from benchmarks.errors import BadInput
from harness import checkpoint
from harness.record import EPOCHS, LOCK, STUDY
from harness.run import Held, Interrupted, Place, Watch, check, refuse_other, run
from harness.spec import RunSpec
from harness.study import Study


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        run: its id.
        state: "finished", "skipped" (it was finished before), "held" (by another process), "interrupted" or "failed".
        error: one line, where it failed.
    """

    run: str
    state: str
    error: str = ""


class Crew(NamedTuple):
    """Who works on a study.

    Attributes:
        workers: processes.
        stop: file whose presence tells them all to save and stop.
        parent: process id of who started them; they stop when it is gone.
    """

    workers: int
    stop: Path
    parent: int


def carry_out(study: Study, folder: Path, place: Place, workers: int, progress: Callable[[int], None]) -> list[Outcome]:
    """Carries out every run of the study that is not finished. SIGTERM and SIGINT save and stop all of them.

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
        refuse_other(spec, folder / spec.run_id)
    crew = Crew(workers, folder / f".stop-{os.getpid()}", os.getpid())
    with signals(crew.stop.touch), reporting(study, folder, progress):
        tasks = (joblib.delayed(attempt)(spec, folder / spec.run_id, place, crew) for spec in study.runs)
        # One worker is this process: a run in it can be debugged and costs no start-up.
        engine = joblib.Parallel(n_jobs=workers, backend="loky" if workers > 1 else "sequential", batch_size=1)
        outcomes: list[Outcome] = engine(tasks)
    crew.stop.unlink(missing_ok=True)
    return outcomes


def attempt(spec: RunSpec, folder: Path, place: Place, crew: Crew) -> Outcome:
    """One run; its failure is a value."""
    inside = os.getpid() == crew.parent

    def interrupted() -> bool:
        return crew.stop.exists() or not (inside or os.getppid() == crew.parent)

    if interrupted():
        return Outcome(spec.run_id, "interrupted")
    try:
        with contextlib.nullcontext() if inside else signals(crew.stop.touch):
            worked = run(spec, folder, place, Watch(interrupted=interrupted))
    except Held as error:
        return Outcome(spec.run_id, "held", str(error))
    except Interrupted as error:
        return Outcome(spec.run_id, "interrupted", str(error))
    except Exception as error:  # whatever it is, the other runs go on; the traceback is in error.txt
        return Outcome(spec.run_id, "failed", f"{type(error).__name__}: {error}")
    return Outcome(spec.run_id, "finished" if worked else "skipped")


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call ``stop``; a second one acts as usual. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def heed(number: int, frame: object) -> None:
        stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
