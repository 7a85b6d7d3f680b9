"""Names as people write them: CIFAR-10, FashionMNIST, NASBench201, SDARTS_RS. The standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

IMAGES = ("cifar10", "cifar100", "digits", "fashion-mnist", "imagenet16-120", "svhn")
"""Data sets that a run can load by name, sorted; a test holds them to ``catalog.DATASETS``, which takes PyTorch."""

DATA_SETS = (*IMAGES, "cifar10-valid")
"""Data sets of images or of tables."""


class OwnImages(NamedTuple):
    """Where images of one's own lie, as messages name it.

    Attributes:
        word: what the path is of: "file".
        content: what is in it.
    """

    word: str
    content: str


SOURCES = {"npz": OwnImages("file", "a numpy archive"), "folder": OwnImages("folder", "a folder of images")}
"""Kind -> where its images lie; such data are written KIND:PATH. ``catalog.OWN`` reads each, ``located.CHECKSUMS``
says which content it is; a test holds the three to the same kinds.
"""

ALIASES = {"fmnist": "fashion-mnist"}
"""Other names in use, as ``letters`` has them, for what spelling alone does not tell."""

ENDINGS = (".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle", ".csv", ".parquet", ".h5", ".hdf5", ".mat", ".zip", ".tar")
"""By which a name is taken for that of a file."""


def canonical(name: str, known: Iterable[str]) -> str:
    """The known name that differs in case, dashes, underscores and blanks at most, or else the name itself."""
    return next((other for other in known if letters(other) == letters(name)), name)


def canonical_data(name: str) -> str:
    """The harness's name of a data set.

    Of images of one's own (``npz:PATH``) the path, and a name that is not known, are returned as they are.
    """
    kind, path = of_source(name)
    if kind:
        return f"{kind}:{path}"
    return ALIASES.get(letters(name)) or canonical(name, DATA_SETS)


def of_source(name: str) -> tuple[str, str]:
    """Kind and path of images of one's own, written KIND:PATH in either case; no kind and the name of all else."""
    kind, _, path = name.partition(":")
    return (kind.lower(), path) if kind.lower() in SOURCES and kind != name else ("", name)


def letters(name: str) -> str:
    """The name in lower case without dashes, underscores and blanks: fashionmnist of Fashion-MNIST."""
    return re.sub("[-_ ]", "", name.lower())


def looks_like_file(name: str) -> bool:
    """Whether a name that no data set has is meant to be a file's."""
    return "/" in name or "\\" in name or name.startswith("~") or PurePath(name).suffix.lower() in ENDINGS
