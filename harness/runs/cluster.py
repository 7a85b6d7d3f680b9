"""The runs of a study, or the networks of an evaluation, on the workers of a dask cluster.

These need not see the study's folder: a worker is sent a run's files and sends them back. A run whose worker dies is
given to another one by the scheduler, as often as its setting ``allowed-failures`` says.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.stopping import signals
from nas_stability.harness.records.record import LOCK
from nas_stability.harness.runs.attempt import NOT_CARRIED_OUT, Errand, Outcome, failed
from nas_stability.harness.runs.run import Place

if TYPE_CHECKING:
    from distributed import Client

POLL = 0.5
"""Seconds between two looks at the cluster."""

PATIENCE = 30
"""Seconds in which the scheduler must answer, and a result must come over."""


def on_cluster(todo: Sequence[Errand], place: Place, scheduler: str) -> Iterator[Outcome]:
    """The outcomes as they come; where there is no worker, one is waited for.

    Each thread of a worker has one run at a time and none in reserve, which would be blamed for its worker's death.

    Raises:
        BadInput: dask is not installed, or the scheduler does not answer.
    """
    client = connect(scheduler)
    study = uuid.uuid4().hex
    queue, away = deque(todo), dict[Any, Errand]()
    stopped: list[bool] = []
    told, missed, reason = False, False, ""
    with closing(client), signals(lambda: stopped.append(True)):
        while away or (queue and not stopped):
            threads = threads_of(client)
            if threads is None:
                reason = f"the dask scheduler {scheduler} does not answer any more"
                break
            if not threads and stopped:
                break
            if not threads and not missed:
                which = "left: waiting for another" if away or len(queue) < len(todo) else "yet: waiting for one"
                logging.warning("the dask scheduler %s has no worker %s", scheduler, which)
            missed = not threads
            if stopped and not told:
                client.run(stop_study, study, on_error="ignore")
                told = True
            while queue and not stopped and len(away) < threads:
                job = queue.popleft()
                away[submit(client, job, place, study)] = job
            for future in [future for future in away if future.done()]:
                outcome = fetched(future, away[future])
                if outcome is not None:
                    del away[future]
                    yield outcome
            time.sleep(POLL)
    for job in [*away.values(), *queue]:
        run = job.folder.name
        yield Outcome(run, "interrupted") if stopped else Outcome(run, NOT_CARRIED_OUT, reason)


def connect(scheduler: str) -> Client:
    """A client of the scheduler.

    Raises:
        BadInput: dask is not installed, or the scheduler does not answer.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise BadInput("the backend dask needs the extra 'cluster': pip install nas-stability[cluster]") from error
    try:
        return Client(scheduler, timeout=PATIENCE)
    except Exception as error:  # each kind of address has its own
        line = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(f"the dask scheduler {scheduler} does not answer: {line}") from error


@contextlib.contextmanager
def closing(client: Client) -> Iterator[None]:
    """Closes the client at the end, without dask's tracebacks where the scheduler is gone."""
    try:
        yield
    finally:
        if client.status != "running":
            logging.getLogger("distributed").setLevel(logging.CRITICAL)
        client.close(timeout=5)


def threads_of(client: Client) -> int | None:
    """Threads of all workers; None where the scheduler does not answer."""
    try:
        return sum(client.nthreads().values()) if client.status == "running" else None
    except OSError:
        return None


def submit(client: Client, job: Errand, place: Place, study: str) -> Any:
    """Sends a run, with the files that it has already, to the cluster; returns dask's future."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        return client.submit(
            attempt_away, job, place, files_of(job.folder), study, key=f"{job.folder.name}-{study}", pure=False
        )


def fetched(future: Any, job: Errand) -> Outcome | None:
    """What became of a run that is over, its files delivered; None where it must be done again: its worker died."""
    folder = job.folder
    try:
        outcome, content = future.result(timeout=PATIENCE)
        return deliver(outcome, content, folder, job.done)
    except TimeoutError:
        return None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            reason = "every worker that had it died (out of memory, perhaps); the logs of the workers may tell"
            return failed(folder.name, f"{reason}; it goes on with fewer workers per machine", folder)
        return failed(folder.name, f"{type(error).__name__}: {error}", folder)


_stopped: set[str] = set()
"""Studies whose runs save and stop; of a worker's process."""


def stop_study(study: str) -> None:
    """Asks the runs of a study in this worker to save and stop."""
    _stopped.add(study)


def attempt_away(job: Errand, place: Place, sent: dict[str, bytes], study: str) -> tuple[Outcome, dict[str, bytes]]:
    """One run in a folder of its own on whatever machine this is; returns the files that it left."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / job.folder.name
        folder.mkdir()
        for name, content in sent.items():
            (folder / name).write_bytes(content)
        outcome = job.work(folder, place, lambda: study in _stopped)
        return outcome, files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> content of a run's files, without its lock."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))} if folder.is_dir() else {}


def deliver(outcome: Outcome, content: dict[str, bytes], folder: Path, done: str) -> Outcome:
    """Makes the folder what came back, the mark of being finished last, unless another process holds the run."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / LOCK, blocking=False):
            if not (folder / done).exists():
                for name in files_of(folder).keys() - content.keys():
                    (folder / name).unlink()
                for name in sorted(content, key=lambda name: name == done):
                    files.write(folder / name, content[name])
    except filelock.Timeout:
        return Outcome(outcome.run, "held", f"another process is carrying out the run in {folder}")
    return outcome
