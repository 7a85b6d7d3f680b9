"""Processes of this machine as /proc shows them, and who kills which of them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def children(parent: int) -> list[int]:
    """Process ids of the living children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, above = stat.read_text().rpartition(")")[2].split()[:2]
            if int(above) == parent and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def workers(parent: int) -> list[int]:
    """Process ids of the living workers of a process."""
    return [child for child in children(parent) if "import serve" in command(child)]


def command(process: int) -> str:
    """The command line; empty where the process is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def holds(process: int, ending: str) -> bool:
    """Whether the process has a file open whose path ends like this."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(link.readlink()).endswith(ending):
                    return True
    return False


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until something is true."""
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.02)


@contextlib.contextmanager
def killer(victims: Callable[[], list[int]], most: int = 1000) -> Iterator[list[int]]:
    """Kills the victims, looked for again and again by a thread, with SIGKILL; gives the list of the killed."""
    killed: list[int] = []
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            for victim in victims():
                if victim not in killed and len(killed) < most:
                    killed.append(victim)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()
