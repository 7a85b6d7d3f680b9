"""Names of data sets as people write them: CIFAR-10, Cifar10, FashionMNIST. The standard library only."""

from __future__ import annotations

from pathlib import PurePath

DATA = ("cifar10", "cifar100", "digits", "fashion-mnist", "svhn")
"""Names of the data sets that a run can load by name, sorted."""

FILE = "npz:"
"""What stands before the path of a file of images."""

ALIASES = {"fmnist": "fashion-mnist"}
"""Other names in use, as ``letters`` has them, for what spelling alone does not tell."""

ENDINGS = (".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle", ".csv", ".parquet", ".h5", ".hdf5", ".mat", ".zip", ".tar")
"""By which a name is taken for that of a file."""


def canonical_data(name: str) -> str:
    """The harness's name of a data set, however upper and lower case, dashes, underscores and blanks are written.

    The path of a file (``npz:PATH``) and a name that is not known are returned as they are.
    """
    if name.lower().startswith(FILE):
        return FILE + name[len(FILE) :]
    return _KNOWN.get(letters(name), name)


def letters(name: str) -> str:
    """The name in lower case, letters and digits of ASCII alone: fashionmnist of Fashion-MNIST."""
    return "".join(character for character in name.lower() if character.isascii() and character.isalnum())


_KNOWN = {letters(name): name for name in DATA} | ALIASES


def looks_like_file(name: str) -> bool:
    """Whether a name that no data set has is meant to be a file's."""
    return "/" in name or "\\" in name or name.startswith("~") or PurePath(name).suffix.lower() in ENDINGS
