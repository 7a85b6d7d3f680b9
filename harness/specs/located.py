"""Paths in a spec: from where a relative one is taken, and which images of one's own. The standard library only."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, shown
from nas_stability.benchmarks.images import folder_files
from nas_stability.benchmarks.spellings import SOURCES, canonical, canonical_data, of_source

LONGEST_STEM = 60
"""Characters of a file's or folder's name that a run id repeats: the id is the name of a folder."""


def own_kind(data: str) -> str:
    """The kind of images of the user's own, such as "npz"; "" of a data set that has a name."""
    return of_source(data)[0]


def path_of(data: str) -> Path:
    """The path in ``npz:PATH``."""
    return Path(of_source(data)[1])


def label(data: str) -> str:
    """A data set's name for run ids and columns, in letters, digits, ``._-`` alone: npz-STEM, folder-NAME."""
    kind, path = own_kind(data), path_of(data)
    name = data if not kind else path.stem if SOURCES[kind].word == "file" else path.name
    reduced = re.sub(r"[^A-Za-z0-9._-]+", "-", name[: LONGEST_STEM if kind else None]).strip("-.")
    return "-".join(part for part in (kind or ("" if reduced else "npz"), reduced) if part)


def located_data(data: str, folder: Path) -> str:
    """The name of a data set as the registry has it, or a kind of one's own images and an absolute path.

    Args:
        data: as written: a name in some spelling, ``npz:PATH``, ``folder:PATH``, or just a path that ends in .npz.
        folder: that a relative path is taken from.

    Raises:
        BadInput: it is neither a name nor images of one's own.
    """
    kind, text = of_source(data)
    if kind and not text:
        raise BadInput(f"the field 'data' is {data!r}, without a path: {kind}:PATH")
    if kind or data.lower().endswith(".npz"):
        return f"{kind or 'npz'}:{located(text, folder)}"
    if "/" in data:
        known = " or ".join(f"{source.content}, named {name}:PATH" for name, source in SOURCES.items())
        raise BadInput(f"the data set {shown(data)} is a path: own images are {known}")
    return canonical_data(data)


def located_table(table: str, folder: Path) -> str:
    """The name of a table, or an absolute path; as ``located_data``."""
    if "/" in table or table.startswith("~") or table.endswith((".parquet", ".fit.json")):
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
        if path.name in ("", ".."):
            return str(path.resolve())
        return str(path.parent.resolve() / path.name)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"the path {shown(text)} leads nowhere: {error}") from error


def sha256_of(data: str) -> str:
    """SHA-256 of images of one's own, in hexadecimal; read once as long as their files stay as they are.

    Raises:
        BadInput: they are not there, or cannot be read.
    """
    return CHECKSUMS[own_kind(data)](path_of(data))


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file of images, in hexadecimal.

    Raises:
        BadInput: no such file, or it cannot be read.
    """
    try:
        if path.is_dir():
            raise BadInput(
                f"the data file {path} is a folder; npz:PATH names a numpy archive, folder:PATH a folder of images"
            )
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


CHECKSUMS: dict[str, Callable[[Path], str]] = {"npz": sha256_of_file, "folder": folder_files.sha256_of}
"""Kind of images of one's own -> what tells which content lies at a path."""


def refuse_other_images(data: str, sha256: str) -> None:
    """Passes a data set that has a name, one whose SHA-256 is not given, and the file or folder that has it.

    Raises:
        BadInput: the file or folder is another one, or cannot be read.
    """
    kind = own_kind(data)
    if not (sha256 and kind):
        return
    found = sha256_of(data)
    if found != sha256:
        raise BadInput(
            f"the data {SOURCES[kind].word} {path_of(data)} is not the one with SHA-256 {sha256[:12]}... (the field "
            f"'data_sha256'): its is {found[:12]}..."
        )
