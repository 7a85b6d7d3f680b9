"""Signals that mean "save and stop". The standard library only."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a person, a closed terminal and batch systems (before the end of a job's time) send."""


def heeded() -> tuple[signal.Signals, ...]:
    """The SIGNALS, without SIGHUP where it is ignored: nohup means that a closed terminal stops nothing."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in SIGNALS if not (ignored and number is signal.SIGHUP))


@contextlib.contextmanager
def signals(stop: Callable[[], object]) -> Iterator[None]:
    """Each of the SIGNALS calls ``stop``; the same one once more acts as usual. Only the main thread can do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in heeded()}

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


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Keeps the SIGNALS waiting; a process that is started meanwhile inherits that, until it can heed them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
