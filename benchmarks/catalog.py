"""What there is: SPACES, DATASETS, TABLES. The only place that lists them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, nasbench1shot1, nasbench201, pack, table
from benchmarks.errors import choose
from benchmarks.space import Space

SPACES: dict[str, Space] = {
    "nasbench201": nasbench201.SPACE,
    "nasbench1shot1-s1": nasbench1shot1.S1,
    "nasbench1shot1-s2": nasbench1shot1.S2,
    "nasbench1shot1-s3": nasbench1shot1.S3,
}

DATASETS: dict[str, data.Loader] = {
    "digits": data.digits,
    "fashion-mnist": functools.partial(data.torchvision_data, "FashionMNIST"),
    "cifar10": functools.partial(data.torchvision_data, "CIFAR10"),
    "cifar100": functools.partial(data.torchvision_data, "CIFAR100"),
    "svhn": functools.partial(data.torchvision_data, "SVHN"),
}

TABLES: dict[str, Callable[[], table.Table]] = {
    "nasbench201": pack.embedded_nasbench201,
}
"""Tables that come with the package or its requirements, by name."""


def load_data(name: str, directory: Path) -> data.Raw:
    """The data set of a name, or of a file for ``npz:PATH``.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    if name.startswith("npz:"):
        return data.npz(Path(name.removeprefix("npz:")))
    return choose("data set", name, DATASETS)(directory)


def open_table(name: str, space: str) -> table.Table | None:
    """The table of a name or path; ``auto`` is the one shipped for the space, if any; ``none`` is None.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    if name == "none" or (name == "auto" and space not in TABLES):
        return None
    if name == "auto":
        return TABLES[space]()
    if "/" in name or name.endswith(".parquet"):
        return table.open_table(Path(name))
    return choose("table", name, TABLES)()
