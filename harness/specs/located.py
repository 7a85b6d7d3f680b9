"""Paths in a spec: from where a relative one is taken, and which file of images it is. The standard library only."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, shown
from nas_stability.benchmarks.spellings import canonical, canonical_data

NPZ = "npz:"
"""What the name of a data set begins with that is a file: ``npz:PATH``."""

LONGEST_STEM = 60
"""Characters of a file's name that a run id repeats: the id is the name of a folder."""


def is_file(data: str) -> bool:
    """Whether a data set is a file of the user's."""
    return data.startswith(NPZ)


def path_of(data: str) -> Path:
    """The file of an ``npz:PATH``."""
    return Path(data.removeprefix(NPZ))


def label(data: str) -> str:
    """A data set's name for run ids and columns, in letters, digits, ``._-`` alone: of a file npz-STEM."""
    name = path_of(data).stem[:LONGEST_STEM] if is_file(data) else data
    reduced = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return "-".join(part for part in ("npz" if is_file(data) or not reduced else "", reduced) if part)


def located_data(data: str, folder: Path) -> str:
    """The name of a data set as the registry has it, or ``npz:`` and an absolute path.

    Args:
        data: as written: a name in some spelling, ``npz:PATH``, or just a path that ends in .npz.
        folder: that a relative path is taken from.

    Raises:
        BadInput: it is neither a name nor a file's.
    """
    start, text = data[: len(NPZ)], data[len(NPZ) :]
    if start.lower() == NPZ:
        if not text:
            raise BadInput(f"the field 'data' is {data!r}, without a path: npz:PATH")
        return NPZ + located(text, folder)
    if data.lower().endswith(".npz"):
        return NPZ + located(data, folder)
    if "/" in data:
        raise BadInput(f"the data set {shown(data)} is a path: own images are a numpy archive, named npz:PATH")
    return canonical_data(data)


def located_table(table: str, folder: Path) -> str:
    """The name of a table, or an absolute path; as ``located_data``."""
    if "/" in table or table.startswith("~") or table.endswith(".parquet"):
        return located(table, folder)
    return canonical(table, ("auto", "none"))


def located(text: str, folder: Path) -> str:
    """An absolute path, the same from every working folder: links to folders are followed, one to the file is not.

    Args:
        text: as written; ``~`` is the home folder.
        folder: that a relative one is taken from.

    Raises:
        BadInput: ``~NAME`` of nobody known here, or links that lead in a circle.
    """
    try:
        path = folder / Path(text).expanduser()
        return str(path.parent.resolve() / path.name)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"the path {shown(text)} leads nowhere: {error}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of images, in hexadecimal; read once as long as the file stays as it is.

    Raises:
        BadInput: no such file, or it cannot be read.
    """
    try:
        if path.is_dir():
            raise BadInput(f"the data file {path} is a folder; npz:PATH names a numpy archive")
        if not path.exists():
            raise BadInput(f"the data file {path} does not exist")
        if not path.is_file():  # a device, say, which has no end
            raise BadInput(f"the data file {path} is no ordinary file")
        state = path.stat()
        return read_once(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    except OSError as error:
        raise BadInput(f"the data file {path} cannot be read: {error.strerror or error}") from error


@functools.lru_cache(maxsize=256)
def read_once(path: Path, *state: int) -> str:
    """SHA-256 of a file in the state that the numbers tell; a study of many runs reads each file of images once."""
    return files.sha256(path)


def refuse_other_images(data: str, sha256: str) -> None:
    """Passes a data set that is not a file, one whose SHA-256 is not given, and the file that has it.

    Raises:
        BadInput: the file is another one, or cannot be read.
    """
    if not (sha256 and is_file(data)):
        return
    found = sha256_of(path_of(data))
    if found != sha256:
        raise BadInput(
            f"the data file {path_of(data)} is not the one with SHA-256 {sha256[:12]}... (the field 'data_sha256'): "
            f"its is {found[:12]}..."
        )
