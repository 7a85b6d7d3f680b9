"""A path that a person named: there, of the right kind, readable. The standard library only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nas_stability.benchmarks.errors import BadInput


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what the system says about a path into one line that names it.

    Raises:
        BadInput: it is not there, or cannot be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise BadInput(f"the file {path} does not exist") from error
    except OSError as error:
        name = str(path) if len(str(path)) < 300 else f"{str(path)[:60]}..."
        raise BadInput(f"the file {name} cannot be read: {error.strerror or error}") from error


def from_home(path: Path) -> Path:
    """The path with ``~`` as the home folder; as it is where there is no such user."""
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def check_file(path: Path, what: str = "file") -> Path:
    """The path, if it is of a readable file.

    Args:
        path: to check.
        what: it should be, for the message.

    Raises:
        BadInput: it is not there, is a folder, or cannot be read.
    """
    with readable(path):
        path.stat()
        if path.is_dir():
            raise BadInput(f"{path} is a folder, not a {what}")
        if not path.is_file():
            raise BadInput(f"{path} is no regular file, so no {what}")
        with path.open("rb"):
            pass
    return path
