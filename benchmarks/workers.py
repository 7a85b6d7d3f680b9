"""Processes that carry out tasks for this one; any of them may be killed at any moment.

A worker is a fresh interpreter at the other end of a socket. It is sent one function, then task after task, and sends
the answers back. A worker that dies shows as the end of its socket and breaks nothing else. A worker whose parent dies
sees the end of its socket if it is idle, and that it has another parent if it is not.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, Generic, NoReturn, Self, TypeVar

from nas_stability.benchmarks.stopping import SIGNALS, heeded, held_back

Task = TypeVar("Task")
Result = TypeVar("Result")

STARTS = 3
"""Workers in a row that die before they are ready, after which no further one is started."""

GRACE = 6.0
"""Seconds that a worker has for saving when its parent is gone."""

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
"""Variables by which numerical libraries take their number of threads."""


class Lost(RuntimeError):
    """A task without a result: its worker died, or there is no worker left."""


class Stopped(RuntimeError):
    """A task without a result: the workers were told to stop."""


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """What became of a task.

    Attributes:
        task: its index.
        value: what the function returned, where there is no error.
        error: what the function raised; Lost or Stopped.
        died: whether a worker died over it.
    """

    task: int
    value: Result | None = None
    error: Exception | None = None
    died: bool = False

    def result(self) -> Result:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


@dataclass(eq=False)
class Worker:
    """One process as its parent knows it.

    Attributes:
        process: that does the work.
        pipe: to it.
        ready: whether it has imported what the function needs.
        task: index of the one that it is at.
    """

    process: subprocess.Popen[bytes]
    pipe: Connection
    ready: bool = False
    task: int | None = None


class Crew(Generic[Task, Result]):
    """Up to ``size`` workers for one function; when the context is left they are gone.

    Args:
        function: of one task, picklable; it is sent to each worker once.
        size: most workers at a time, at least 1.
        threads: of the numerical libraries in each worker; None: the cores divided among the workers, unless the
            environment says how many.
    """

    def __init__(self, function: Callable[[Task], Result], size: int, threads: int | None = None) -> None:
        self.function = pickle.dumps(function)
        self.size = size
        self.environment = environment(size, threads)
        self.workers: list[Worker] = []
        self.stopping = False
        self.failures = 0
        self.reason = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.dismiss()

    def stop(self) -> None:
        """Gives out no further task and asks the workers to save and stop; fit for a handler of signals."""
        self.stopping = True
        for worker in list(self.workers):
            worker.process.terminate()

    def dismiss(self) -> None:
        """Ends all workers at once: they are idle, or what they do is not wanted any more."""
        while self.workers:
            self.bury(self.workers[-1])

    def carry_out(
        self,
        tasks: Sequence[Task],
        name: Callable[[Task], str] = str,
        again: Callable[[Result], bool] = lambda result: False,
    ) -> Iterator[Finished[Result]]:
        """The answers as they come, one for each task.

        A task whose worker dies is put back and tried once more, alone, when the others are done; so is one whose
        result is worth it.

        Args:
            tasks: picklable.
            name: of a task, for the log.
            again: whether a result is worth another attempt (memory was short, say).
        """
        put_back: list[tuple[int, Task]] = []
        for answer in self.attempts(list(enumerate(tasks)), self.size):
            if self.stopping or not (answer.died or (answer.error is None and again(answer.result()))):
                yield answer
                continue
            put_back.append((answer.task, tasks[answer.task]))
            if answer.died:
                logging.warning("%s: %s; it will be tried once more, alone", name(tasks[answer.task]), answer.error)
        if put_back:
            self.dismiss()
            yield from self.attempts(put_back, 1)

    def attempts(self, tasks: Sequence[tuple[int, Task]], size: int) -> Iterator[Finished[Result]]:
        """One attempt at each (index, task); workers that die are replaced for as long as that succeeds."""
        todo = deque(tasks)
        self.failures = 0
        while True:
            busy = sum(worker.task is not None for worker in self.workers)
            if not busy and (not todo or self.stopping):
                break
            if self.failures >= STARTS:
                if not self.workers:
                    break
                size, self.failures = len(self.workers), 0  # when the last of them dies, another is tried
                logging.warning("no further worker can be started (%s): going on with %d", self.reason, size)
            if len(self.workers) < min(size, len(todo) + busy) and not self.stopping:
                self.start()
                if len(self.workers) < min(size, len(todo) + busy):
                    continue
            heard = list(self.listen())
            for worker in self.workers:
                if todo and worker.ready and worker.task is None and not self.stopping and give(worker, *todo[0]):
                    todo.popleft()
            yield from heard
        for index, _ in todo:
            error = Stopped("stopped before it began") if self.stopping else Lost(f"no worker is left: {self.reason}")
            yield Finished(index, error=error)

    def start(self) -> None:
        """One more worker; where there is no room for it, that is a failure that counts."""
        with contextlib.ExitStack() as undo:
            try:
                ours, theirs = map(undo.enter_context, Pipe())
                code = f"from {__name__} import serve; serve({theirs.fileno()}, {os.getpid()})"
                with held_back():  # a Ctrl-C at a terminal would interrupt its imports
                    process = subprocess.Popen(
                        [sys.executable, "-P", "-c", code],
                        stdin=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()],
                        env=self.environment,
                    )
                    self.workers.append(Worker(process, ours))
            except OSError as error:
                self.failed(str(error))
                return
            undo.pop_all()
        theirs.close()
        with contextlib.suppress(OSError):  # it is dead already, which is heard next
            ours.send_bytes(self.function)

    def failed(self, reason: str) -> None:
        """Notes that a worker did not become ready, and lets the machine recover a little."""
        self.failures += 1
        self.reason = reason
        time.sleep(0.5)

    def listen(self) -> Iterator[Finished[Result]]:
        """The answers that come within a second; buries the workers that died."""
        at = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(at), 1.0):
            worker = at[pipe]  # type: ignore[index]
            try:
                value, error = pickle.loads(worker.pipe.recv_bytes())
            except (EOFError, OSError):
                reason = ending(self.bury(worker))
                if worker.task is not None:
                    error = Stopped(reason) if self.stopping else Lost(reason)
                    yield Finished(worker.task, error=error, died=True)
                elif not worker.ready:
                    self.failed(reason)
                continue
            if worker.task is not None:
                task, worker.task = worker.task, None
                yield Finished(task, value, error)
            elif error is None:
                worker.ready, self.failures = True, 0
            else:
                self.bury(worker)
                self.failed(f"{type(error).__name__}: {error}")

    def bury(self, worker: Worker) -> int:
        """Ends a worker that has not ended by itself; returns its exit code."""
        worker.process.kill()
        code = worker.process.wait()
        worker.pipe.close()
        self.workers.remove(worker)
        return code


def give(worker: Worker, index: int, task: object) -> bool:
    """Gives a task to an idle worker; False if it has died meanwhile."""
    content = pickle.dumps(task)
    try:
        worker.pipe.send_bytes(content)
    except OSError:
        return False
    worker.task = index
    return True


def environment(size: int, threads: int | None) -> dict[str, str]:
    """Environment of the workers: modules are found where this process finds them, and the cores are shared."""
    import joblib  # a worker needs none of it

    share = str(threads or max(1, joblib.cpu_count() // size))
    limits = {name: share if threads else os.environ.get(name, share) for name in THREADS}
    found = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)
    return {"ENABLE_IPC": "1", **os.environ, **limits, "PYTHONPATH": found}


def ending(code: int) -> str:
    """What an exit code says of a worker."""
    if code >= 0:
        return f"its worker ended by itself, with exit code {code}"
    if code == -signal.SIGKILL:
        return "its worker was killed by signal 9 (out of memory, perhaps)"
    return f"its worker was ended by signal {-code} ({signal.strsignal(-code)})"


_asked: list[int] = []


def asked_to_stop() -> bool:
    """Whether this worker was sent one of the SIGNALS, or its parent is gone."""
    return bool(_asked)


def serve(handle: int, parent: int) -> NoReturn:
    """What a worker does all its life.

    Args:
        handle: descriptor of its socket.
        parent: process id.
    """
    for number in heeded():
        signal.signal(number, lambda number, frame: _asked.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=follow_parent, args=(parent,), daemon=True).start()
    faulthandler.enable()
    pipe = Connection(handle)
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        function, error = tried(pickle.loads, pipe.recv_bytes())
        pipe.send_bytes(packed(None, error))
        while error is None:
            task = pipe.recv_bytes()
            pipe.send_bytes(packed(*tried(lambda task=task: function(pickle.loads(task)))))
    os._exit(0)  # the libraries take seconds to unload


def follow_parent(parent: int) -> NoReturn:
    """Ends this process soon after its parent, in the middle of whatever it does."""
    while os.getppid() == parent:
        time.sleep(1)
    _asked.append(0)
    time.sleep(GRACE)
    os._exit(1)


def tried(function: Callable[..., Any], *arguments: object) -> tuple[Any, Exception | None]:
    """(result, None), or (None, error) whatever is raised."""
    try:
        return function(*arguments), None
    except BaseException as error:
        raised = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
        raised.add_note(traceback.format_exc())
        return None, raised


def packed(value: object, error: Exception | None) -> bytes:
    """An answer as bytes that the parent can read, or the error that says why not."""
    try:
        content = pickle.dumps((value, error))
        if error is not None:  # some can be written and not read
            pickle.loads(content)
        return content
    except Exception as obstacle:
        why = f"{type(error or obstacle).__name__}: {error or obstacle}"
        return pickle.dumps((None, RuntimeError(why if error else f"what it returned cannot be pickled: {why}")))
