"""What workers do in the tests of workers. Imports little, so that they start quickly."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nas_stability.benchmarks import workers


def act(task: str) -> str:
    """What a worker does in these tests, by the word of the task; "WORD FILE" acts only the first time."""
    word, _, mark = task.partition(" ")
    if mark and Path(mark).exists():
        return "second attempt"
    if mark:
        Path(mark).touch()
    if word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "aborts":
        os.abort()
    if word == "leaves":
        os._exit(3)
    if word == "raises":
        raise ValueError("no luck")
    if word == "interrupted":
        raise KeyboardInterrupt
    if word == "exits":
        sys.exit(4)
    if word == "recursion":
        return act(task)
    if word == "memory":
        raise MemoryError
    if word == "unreadable":
        raise Unreadable(1, 2)
    if word == "unsendable":
        return lambda: None  # type: ignore[return-value]
    time.sleep(0.05)
    return "done"


class Unreadable(Exception):
    """Can be pickled and not read again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class DiesOnArrival:
    """A function that kills the process that reads it; the first time only, if there is a mark."""

    def __init__(self, mark: Path | None) -> None:
        self.mark = mark

    def __call__(self, task: str) -> str:
        return "done"

    def __reduce__(self) -> tuple[Callable[..., DiesOnArrival], tuple[Path | None]]:
        return arrive, (self.mark,)


def arrive(mark: Path | None) -> DiesOnArrival:
    """Reads a DiesOnArrival."""
    if mark is None or not mark.exists():
        if mark is not None:
            mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return DiesOnArrival(mark)


def wait_for_stop(task: str) -> str:
    """Goes on until it is asked to stop."""
    Path(task).touch()
    while not workers.asked_to_stop():
        time.sleep(0.01)
    return "saved"


def long_step(task: str) -> None:
    """Heeds nothing."""
    Path(task).touch()
    time.sleep(60)


def quick(task: str) -> None:
    """Leaves the worker idle."""
    Path(task).touch()


class SlowToArrive:
    """A function that takes a minute to import."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[float]]:
        return time.sleep, (60.0,)


slow_to_arrive = SlowToArrive()


def part(chunk: Sequence[tuple[str, object]]) -> int:
    """Trains the cells of a part, in a word; kills its process over one part."""
    if chunk[0][0] == "cursed":
        os.kill(os.getpid(), signal.SIGKILL)
    return len(chunk)


def piece(parent: int, name: str) -> str:
    """Draws a figure, in a word; kills its process over one, unless that is the parent."""
    if os.getpid() != parent and name == "cursed":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{name} drawn"
