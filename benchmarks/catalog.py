"""What there is: SPACES, DATASETS, TABLES. The only place that lists them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, downloads, nasbench1shot1, nasbench201, npz, pack, store, table
from benchmarks.errors import BadInput, choose, unknown
from benchmarks.space import Space
from benchmarks.spellings import FILE, canonical_data, looks_like_file

SPACES: dict[str, Space] = {
    "nasbench201": nasbench201.SPACE,
    "nasbench1shot1-s1": nasbench1shot1.S1,
    "nasbench1shot1-s2": nasbench1shot1.S2,
    "nasbench1shot1-s3": nasbench1shot1.S3,
}

DATASETS: dict[str, data.Loader] = {
    "digits": data.digits,
    "fashion-mnist": functools.partial(downloads.torchvision_data, "FashionMNIST"),
    "cifar10": functools.partial(downloads.torchvision_data, "CIFAR10"),
    "cifar100": functools.partial(downloads.torchvision_data, "CIFAR100"),
    "svhn": functools.partial(downloads.torchvision_data, "SVHN"),
}

DIGITS_TABLE = Path(__file__).with_name("tables") / "nasbench1shot1-s1-digits.parquet"
"""NAS-Bench-1Shot1's first space trained on digits, shipped with the package."""

TABLES: dict[str, Callable[[], table.Table]] = {
    "nasbench201": pack.embedded_nasbench201,
    **({DIGITS_TABLE.stem: functools.partial(table.open_table, DIGITS_TABLE)} if DIGITS_TABLE.exists() else {}),
}
"""Tables that come with the package or its requirements, by name."""

SHIPPED = {name: next(space for space in SPACES if name.startswith(space)) for name in TABLES}
"""Shipped table -> the space that it answers for."""


def load_data(name: str, directory: Path) -> data.Raw:
    """The data set of a name, or of a file for ``npz:PATH``.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    known = canonical_data(name)
    if known.startswith(FILE):
        path = known.removeprefix(FILE)
        if not path:
            raise BadInput(f"the data set {name!r} names no file; write {FILE}PATH")
        return npz.read(Path(path))
    if known not in DATASETS and (looks_like_file(name) or Path(name).is_file()):
        raise BadInput(f"unknown data set {name!r}; a file of images is written {FILE}{name}")
    return choose("data set", known, DATASETS)(directory)


def open_table(name: str, space: str, override: Path | None = None) -> table.Table | None:
    """The table of a name or path; ``auto`` is the one shipped for the space, if any; ``none`` is None.

    A table that was packed or imported on this machine goes before a shipped one of the same name; ``auto`` does not
    depend on the machine.

    Args:
        name: of the table, or its path.
        space: that is searched.
        override: another folder of packed tables.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    if name == "auto":
        name = next((shipped for shipped, of in SHIPPED.items() if of == space), "none")
        return None if name == "none" else TABLES[name]()
    if name == "none":
        return None
    if "/" in name or name.endswith(".parquet"):
        return table.open_table(Path(name))
    packed = store.table_path(name, override)
    if packed.is_file():
        return table.open_table(packed)
    if name in pack.DUMPS and name not in TABLES:
        raise BadInput(f"the table {name} is not on this machine; nas-stability table fetch {name}, or pack a dump")
    if name not in TABLES:
        raise unknown("table", name, {*TABLES, *here(override), *pack.DUMPS})
    return TABLES[name]()


def here(override: Path | None = None) -> tuple[str, ...]:
    """Names of the tables packed or imported on this machine, sorted."""
    return tuple(sorted(path.stem for path in store.folder(override).glob("*.parquet")))
