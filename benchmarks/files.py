"""One way to write a file: aside, synced, renamed. A reader sees the old file or the new one, whole.

The standard library only, so that every floor may use it without cost.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

PART = ".part"
"""Ending of a file that is being written; its name begins with a dot."""

STALE = 3600.0
"""Seconds after which a part that somebody left behind is taken for one whose writer was killed."""


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path to write to, which is synced and renamed to ``path`` at the end; removed where the writing fails.

    Its folder is made. Two processes that write the same file meanwhile do not meet; the last one stays.

    Raises:
        OSError: the file cannot be written; what stood there before still stands. A device, a pipe or a folder is no
            file: a rename would put one in its place.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is there and is not a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def write(path: Path, content: bytes | str) -> None:
    """Replaces a file by the content (text as UTF-8), as ``aside`` does."""
    with aside(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def append(path: Path, text: str) -> None:
    """Appends whole lines and syncs them."""
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear_parts(folder: Path, alone: bool = False) -> None:
    """Removes the parts that killed writers left in a folder: the old ones, or all if nobody else writes there."""
    for part in folder.glob(f".*{PART}"):
        with contextlib.suppress(FileNotFoundError):
            if alone or time.time() - part.stat().st_mtime > STALE:
                part.unlink()


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
