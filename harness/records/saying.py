"""How messages speak of records: how many, which, where they may be instead. The standard library only."""

from __future__ import annotations

from pathlib import Path

from nas_stability.harness.records.record import SPEC, STUDY

SAID = 3
"""Names that a message says; the rest are counted."""

PACKED = (".tar.xz", ".tar.gz", ".tar", ".zip")
"""Endings of archives that records are handed on in."""


def counted(names: list[str]) -> str:
    """1 run, 2 runs"""
    return f"{len(names)} run{'' if len(names) == 1 else 's'}"


def some(names: list[str]) -> str:
    """The first few of them, and how many more."""
    more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
    return ", ".join(names[:SAID]) + more


def no_folder(path: Path) -> str:
    """What to say of a path that is no folder."""
    if not path.exists():
        return f"the folder {path} does not exist"
    return f"{path} is not a folder" + (unpacking(path) if path.name.endswith(PACKED) else "")


def no_records(folder: Path) -> str:
    """What to say of a folder without records: what in it may have been meant."""
    said = f"the folder {folder} holds no study and no run: it has no {STUDY} and no {SPEC}"
    if inner := sorted(path.parent.name for path in folder.glob(f"*/{STUDY}")):
        return f"{said}; it holds the studies {some(inner)}: name one of them"
    packed = sorted(path for path in folder.iterdir() if path.name.endswith(PACKED))
    return said + (unpacking(packed[0]) if packed else "")


def unpacking(archive: Path) -> str:
    """How to come to the records in an archive."""
    command = f"unzip {archive} -d COPY" if archive.suffix == ".zip" else f"mkdir COPY && tar -xf {archive} -C COPY"
    return f"; {archive.name} must be unpacked first, and the copy named: {command}"
