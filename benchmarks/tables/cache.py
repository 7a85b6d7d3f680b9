"""Where packed tables and downloads lie on this machine, and how they get there: once, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.names import check_name

VARIABLE = "NAS_STABILITY_TABLES"
"""Environment variable that names the folder of tables."""


def folder(override: Path | None = None) -> Path:
    """The folder of tables: the override, or the environment variable's, or one in the user's cache directory."""
    if override is not None:
        return override
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("nas-stability")) / "tables"


def table_path(name: str, override: Path | None = None) -> Path:
    """The file of a packed table; it need not exist.

    Raises:
        BadInput: no table can be called so.
    """
    return folder(override) / f"{check_name('table', name)}.parquet"


def here(override: Path | None = None) -> tuple[str, ...]:
    """Names of the tables packed or imported on this machine, sorted."""
    return tuple(sorted(path.stem for path in folder(override).glob("*.parquet") if path.is_file()))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes from making the same file meanwhile; the folder is made.

    Raises:
        BadInput: the folder cannot be written.
    """
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(path.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise BadInput(f"the folder {path.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def once(path: Path, make: Callable[[Path], None], again: bool = False) -> bool:
    """Makes a file unless it is there; other processes that want it meanwhile wait and find it.

    Args:
        path: of the file.
        make: writes it to the path it is given, which is renamed when it returns.
        again: replace a file that is there.

    Returns:
        Whether it was made now.

    Raises:
        BadInput: the folder cannot be written, or a folder is called as the file.
    """
    with locked(path):
        if path.is_dir():
            raise BadInput(f"{path} is a folder; remove it, or give another name")
        if path.exists() and not again:
            return False
        for left in path.parent.glob(f".{path.name}.*{files.PART}"):  # by a process that was killed: we hold the lock
            left.unlink()
        with files.aside(path) as part:
            make(part)
    return True
