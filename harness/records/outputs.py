"""Where a verb may write: never onto, into or around a run's or a study's records. The standard library only."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records.folder import is_run, is_study

REPORT, COLLECTED = "report", "collected"
"""Folders in a study's, where verbs write what they make of it unless --out says otherwise."""

TERRAIN, DISCRETISED = "geometry.csv", "discretised.csv"
"""Files in a study's folder that ``report`` writes on request: --geometry, --discretise."""


def refuse_output(path: Path, flag: str = "--out") -> None:
    """Passes a file or folder that an output may be written to: no record is there, around or in it.

    The folders ``report`` and ``collected`` of a study, or of a run, are made for outputs.

    Args:
        path: to be written.
        flag: that named it, for the message.

    Raises:
        BadInput: it is, lies in or contains a run's or a study's records.
    """
    place = path.resolve()
    for folder in [place, *place.parents]:
        if is_run(folder) or is_study(folder):
            if folder != place and place.relative_to(folder).parts[0] in (REPORT, COLLECTED):
                return
            where = "holds" if folder == place else f"lies in {folder}, which holds"
            raise BadInput(f"{flag} {path} {where} the records of a run or study; name another place")
    held = next((child for child in near(place) if is_run(child) or is_study(child)), None)
    if held is not None:
        raise BadInput(f"{flag} {path} contains {held}, which holds the records of a run or study; name another place")


def near(folder: Path) -> Iterator[Path]:
    """The folders in a folder, and those in them."""
    children = list(folders_in(folder))
    return itertools.chain(children, *map(folders_in, children))


def folders_in(folder: Path) -> Iterator[Path]:
    """The folders in a folder that may be looked into."""
    if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
        yield from (child for child in folder.iterdir() if child.is_dir())
