"""Progress on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Bar = contextlib.AbstractContextManager[Callable[[int], None]]
"""A progress bar: entered, it is told how much is done."""


@contextlib.contextmanager
def progress_bar(total: int, label: str, unit: str = "epoch") -> Iterator[Callable[[int], None]]:
    """Progress on standard error: a bar on a terminal, a plain line at most every ten seconds elsewhere."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=unit) as shown:

            def show(done: int) -> None:
                shown.update(done - shown.n)

            yield show
    else:
        yield PlainLines(total, label, unit).update


class PlainLines:
    """Progress for a log: a line at most every ten seconds, and one at the end.

    Args:
        total: units in all.
        label: what is running.
        unit: what is counted, in the singular.
    """

    def __init__(self, total: int, label: str, unit: str) -> None:
        self.unit = unit
        self.total = total
        self.label = label
        self.began = self.printed = time.monotonic()
        self.done = -1

    def update(self, done: int) -> None:
        """``done`` units so far."""
        now = time.monotonic()
        if done > self.done and (now - self.printed >= 10 or done == self.total):
            spent = f"{now - self.began:.0f} s"
            print(f"{self.label}: {done} of {self.total} {self.unit}s, {spent}", file=sys.stderr, flush=True)
            self.printed, self.done = now, done
