"""Many runs: skip the finished, spread the others over workers, let one failure stop nothing. joblib is the engine.

Several processes may carry out one study in one folder: each run's folder is held by a file lock, which the operating
system releases when its holder dies; the others pass over it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock
import joblib

from benchmarks import files
from benchmarks.errors import BadInput
from harness.record import DONE, EPOCHS, ERROR, LOCK, STUDY
from harness.run import Held, Interrupted, Place, Watch, check, refuse_other, run
from harness.spec import RunSpec
from harness.study import Study


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        run: its id.
        state: "finished", "skipped" (it was finished before, or meanwhile by another process), "held" (another process
            is still at it), "interrupted" or "failed".
        error: one line, where it failed.
    """

    run: str
    state: str
    error: str = ""


class Crew(NamedTuple):
    """Who works on a study here.

    Attributes:
        stop: file whose presence tells them all to save and stop.
        parent: process id of who started them; they stop when it is gone.
    """

    stop: Path
    parent: int


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
    """Carries out every run of the study that is not finished. SIGTERM and SIGINT save and stop all runs here.

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
        if not todo:  # no process is started, and no worker is waited for
            done = []
        elif engine.scheduler:
            done = on_cluster(todo, folder, place, engine.scheduler)
        else:
            done = on_this_machine(todo, folder, places, min(engine.workers, len(todo)))
    for outcome in done:
        finished_elsewhere = outcome.state == "held" and (folder / outcome.run / DONE).exists()
        outcomes[outcome.run] = Outcome(outcome.run, "skipped") if finished_elsewhere else outcome
    return list(outcomes.values())


def on_this_machine(todo: Sequence[RunSpec], folder: Path, places: Sequence[Place], workers: int) -> list[Outcome]:
    """joblib's loky processes; a run that ran out of GPU memory is tried once more, alone."""
    crew = Crew(folder / f".stop-{os.getpid()}", os.getpid())
    given = list(zip(todo, itertools.cycle(places), strict=False))
    with signals(crew.stop.touch):
        tasks = (joblib.delayed(attempt)(spec, folder / spec.run_id, place, crew) for spec, place in given)
        # One worker is this process: a run in it can be debugged and costs no start-up.
        pool = joblib.Parallel(n_jobs=workers, backend="loky" if workers > 1 else "sequential", batch_size=1)
        outcomes: list[Outcome] = pool(tasks)
        for index, (outcome, (spec, place)) in enumerate(zip(outcomes, given, strict=True)):
            if outcome.error.startswith("OutOfMemoryError"):
                outcomes[index] = attempt(spec, folder / spec.run_id, place, crew)
    crew.stop.unlink(missing_ok=True)
    return outcomes


def on_cluster(todo: Sequence[RunSpec], folder: Path, place: Place, scheduler: str) -> list[Outcome]:
    """joblib's dask backend: workers need not see the folder, they are sent a run's files and send them back.

    A run whose worker dies is given to another one by the scheduler; where there is no worker yet, one is waited for.

    Raises:
        BadInput: dask is not installed, or the scheduler does not answer.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise BadInput("the backend dask needs the extra 'cluster': pip install nas-stability[cluster]") from error
    try:
        client = Client(scheduler, timeout=30)
    except (OSError, ValueError) as error:
        raise BadInput(f"the dask scheduler {scheduler} does not answer: {error}") from error
    with client, joblib.parallel_config(backend="dask"):
        if not client.scheduler_info()["workers"]:
            logging.warning("the dask scheduler %s has no worker yet: waiting for one", scheduler)
        client.wait_for_workers(1)  # for as long as a batch system lets them wait; joblib gives up after ten seconds
        tasks = (joblib.delayed(attempt_away)(spec, place, files_of(folder / spec.run_id)) for spec in todo)
        back = joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)
        return [deliver(outcome, content, folder / outcome.run) for outcome, content in back]


def attempt_away(spec: RunSpec, place: Place, sent: dict[str, bytes]) -> tuple[Outcome, dict[str, bytes]]:
    """One run in a folder of its own on whatever machine this is; returns the files that it left."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / spec.run_id
        folder.mkdir()
        for name, content in sent.items():
            (folder / name).write_bytes(content)
        outcome = attempt(spec, folder, place, Crew(folder / ".stop", os.getpid()))
        return outcome, files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> content of a run's files, without its lock."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))} if folder.is_dir() else {}


def deliver(outcome: Outcome, content: dict[str, bytes], folder: Path) -> Outcome:
    """Makes the folder what came back, the mark of being finished last, unless another process holds the run."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / LOCK, blocking=False):
            if not (folder / DONE).exists():
                for name in files_of(folder).keys() - content.keys():
                    (folder / name).unlink()
                for name in sorted(content, key=lambda name: name == DONE):
                    files.write(folder / name, content[name])
    except filelock.Timeout:
        return Outcome(outcome.run, "held", f"another process is carrying out the run in {folder}")
    return outcome


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


TAIL = 6
"""Lines of a failed run's error.txt that are shown."""


def error_tail(folder: Path) -> str:
    """The last lines of a failed run's error, indented, and where to read all of it."""
    try:
        lines = (folder / ERROR).read_text().rstrip().splitlines()
    except OSError:  # the disk was full, say: there was no room for the reason
        return f"    (no {ERROR} in {folder})"
    return "\n".join(f"    {line}" for line in [*lines[-TAIL:], f"(all of it: {folder / ERROR})"])


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
