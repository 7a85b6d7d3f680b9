"""One attempt at a run, whose failure is a value: whatever is raised, the other runs go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nas_stability.benchmarks import files
from nas_stability.harness.records.record import ERROR, SPEC
from nas_stability.harness.runs.run import Held, Interrupted, Place, Watch, run
from nas_stability.harness.specs.spec import RunSpec

NOT_CARRIED_OUT = "not carried out"


class Job(NamedTuple):
    """A run that is to be carried out, and its folder, which has the run's name."""

    spec: RunSpec
    folder: Path


class Outcome(NamedTuple):
    """What became of a run, or of a network that is trained from scratch.

    Attributes:
        run: its id; the network's name.
        state: "finished", "skipped" (it was finished before, or meanwhile by another process), "held" (another process
            is still at it), "interrupted", "failed" or NOT_CARRIED_OUT (nobody was left to do it).
        error: one line, where it failed or was not carried out.
    """

    run: str
    state: str
    error: str = ""


class Errand(NamedTuple):
    """Work in a folder that another machine can do, in a folder of its own.

    Attributes:
        folder: of the work; its name is that of the run or network.
        work: (folder, place, whether to save and stop) -> what became of it; it is sent, and must be picklable.
        done: the file that is written last and marks what is finished.
    """

    folder: Path
    work: Callable[[Path, Place, Callable[[], bool]], Outcome]
    done: str


def attempt(spec: RunSpec, folder: Path, place: Place, stopped: Callable[[], bool], here: bool = False) -> Outcome:
    """One run.

    Args:
        spec: of the run.
        folder: of the run.
        place: where and how.
        stopped: asked after every step whether to save and stop.
        here: in the process of the person who waits for it, whose Ctrl-C is no failure of the run: it is passed on.
    """
    if stopped():
        return Outcome(folder.name, "interrupted")
    try:
        worked = run(spec, folder, place, Watch(interrupted=stopped))
    except Held as error:
        return Outcome(folder.name, "held", str(error))
    except Interrupted as error:
        return Outcome(folder.name, "interrupted", str(error))
    except BaseException as error:
        if here and isinstance(error, KeyboardInterrupt):
            raise
        return failed(folder.name, f"{type(error).__name__}: {error}", folder)
    return Outcome(folder.name, "finished" if worked else "skipped")


def failed(run: str, reason: str, folder: Path) -> Outcome:
    """A failed run, for the first line of a reason; its folder, if it has come to one, says why as well."""
    line = reason.partition("\n")[0]
    if (folder / SPEC).exists() and not (folder / ERROR).exists():
        with contextlib.suppress(OSError):  # the disk is full, say; the line is printed
            files.write(folder / ERROR, f"{line}\n")
    return Outcome(run, "failed", line)


SHORT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "can't allocate memory", "Cannot allocate memory")
"""Words of a GPU's, of Python's, of PyTorch's and of the operating system's complaints."""


def short_of_memory(outcome: Outcome) -> bool:
    """Whether a run failed for want of memory, which it may find when it is alone."""
    return outcome.state == "failed" and any(words in outcome.error for words in SHORT_OF_MEMORY)


TAIL = 6
"""Lines of a failed run's error.txt that are shown."""


def error_tail(folder: Path) -> str:
    """The last lines of a failed run's error, indented, and where to read all of it."""
    try:
        lines = (folder / ERROR).read_text().rstrip().splitlines()
    except OSError:  # the disk was full, say: there was no room for the reason
        return f"    (no {ERROR} in {folder})"
    return "\n".join(f"    {line}" for line in [*lines[-TAIL:], f"(all of it: {folder / ERROR})"])
