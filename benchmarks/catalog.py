"""What there is: SPACES, DATASETS, TABLES. The only place that lists them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nas_stability.benchmarks.errors import BadInput, choose, unknown
from nas_stability.benchmarks.images import dataset, folder, imagenet16, npz, torchvision_sets
from nas_stability.benchmarks.paths import from_home
from nas_stability.benchmarks.spaces import nasbench1shot1, nasbench201
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.benchmarks.spellings import SOURCES, canonical_data, looks_like_file, of_source
from nas_stability.benchmarks.tables import cache, embedded, open_file, packing

SPACES: dict[str, Space] = {
    "nasbench201": nasbench201.SPACE,
    "nasbench1shot1-s1": nasbench1shot1.S1,
    "nasbench1shot1-s2": nasbench1shot1.S2,
    "nasbench1shot1-s3": nasbench1shot1.S3,
}

DATASETS: dict[str, dataset.Loader] = {
    "digits": dataset.digits,
    "fashion-mnist": functools.partial(torchvision_sets.torchvision_data, "FashionMNIST"),
    "cifar10": functools.partial(torchvision_sets.torchvision_data, "CIFAR10"),
    "cifar100": functools.partial(torchvision_sets.torchvision_data, "CIFAR100"),
    "svhn": functools.partial(torchvision_sets.torchvision_data, "SVHN"),
    "imagenet16-120": imagenet16.read,
}

OWN: dict[str, Callable[[Path], dataset.Raw]] = {"npz": npz.read, "folder": folder.read}
"""Kind of images of one's own, written KIND:PATH -> what reads them."""

DIGITS_TABLE = Path(__file__).with_name("tables") / "nasbench1shot1-s1-digits.parquet"
"""NAS-Bench-1Shot1's first space trained on digits, shipped with the package."""

TABLES: dict[str, Callable[[], open_file.Table]] = {
    "nasbench201": embedded.embedded_nasbench201,
    **({DIGITS_TABLE.stem: functools.partial(open_file.open_table, DIGITS_TABLE)} if DIGITS_TABLE.exists() else {}),
}
"""Tables that come with the package or its requirements, by name."""


def taken_for(tables: Iterable[str], spaces: Iterable[str]) -> dict[str, str]:
    """Table -> the space that its name begins with; one of no space is left out."""
    known = list(spaces)
    return {name: space for name in tables for space in known if name.startswith(space)}


SHIPPED = taken_for(TABLES, SPACES)
"""Shipped table -> the space that it is taken for where none is named; one of no space in SPACES has to be named."""


def load_data(name: str, directory: Path) -> dataset.Raw:
    """The data set of a name, or images of one's own for ``npz:PATH`` and ``folder:PATH``.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    known = canonical_data(name)
    kind, path = of_source(known)
    if kind:
        if not path:
            raise BadInput(f"the data set {name!r} names no {SOURCES[kind].word}; write {kind}:PATH")
        return OWN[kind](from_home(Path(path)))
    if known not in DATASETS and (looks_like_file(name) or Path(name).exists()):
        kind = "folder" if name.endswith("/") or Path(name).is_dir() else "npz"
        raise BadInput(f"unknown data set {name!r}; a {SOURCES[kind].word} of images is written {kind}:{name}")
    return choose("data set", known, DATASETS)(directory)


def open_table(
    name: str, space: str, override: Path | None = None, sha256: str | None = None
) -> open_file.Table | None:
    """The table of a name or path; ``auto`` is the one shipped for the space, if any; ``none`` is None.

    A table that was packed or imported on this machine goes before a shipped one of the same name; ``auto`` does not
    depend on the machine.

    Args:
        name: of the table, or its path.
        space: that is searched; "": any.
        override: another folder of packed tables.
        sha256: of the table that a run began with; only that one is opened, whichever goes before.

    Raises:
        BadInput: unknown, absent or unusable; about another space; or not the table of the checksum.
    """
    if name == "auto":
        name = shipped_for(space) or "none"
        sources: list[Callable[[], open_file.Table]] = [TABLES[name]] if name != "none" else []
    elif name == "none":
        sources = []
    else:
        sources = sources_of(name, override)
    if not sources and sha256 is None:
        return None
    found = sources[0]() if sha256 is None else the_one(name, sources, sha256)
    refuse_other_space(found, space)
    return found


def shipped_for(space: str) -> str | None:
    """Name of the table that is shipped for a space."""
    return next((shipped for shipped, of in SHIPPED.items() if of == space), None)


def sources_of(name: str, override: Path | None) -> list[Callable[[], open_file.Table]]:
    """The tables of a name or path that are there, in the order in which they are taken; not yet opened.

    Raises:
        BadInput: there is none.
    """
    path = Path(name)
    if path.suffix.lower() in (".csv", ".npz"):
        stem = re.sub("[^A-Za-z0-9._+-]", "-", path.stem)
        raise BadInput(
            f"{name} is not opened as it is: nas-stability table import {name} --space SPACE packs it; "
            f"then it is --table {stem}"
        )
    if path.suffix.lower() in (".pth", ".tar", ".tfrecord"):
        raise BadInput(
            f"{name} is not opened as it is: nas-stability table pack NAME {name} packs it, then --table NAME"
        )
    if "/" in name or path.suffix.lower() == ".parquet":
        return [functools.partial(open_file.open_table, path)]
    packed = cache.table_path(name, override)
    found: list[Callable[[], open_file.Table]] = []
    if packed.is_file():
        found.append(functools.partial(open_file.open_table, packed))
    if name in TABLES:
        found.append(TABLES[name])
    if found:
        return found
    if name in packing.DUMPS:
        raise BadInput(f"the table {name} is not on this machine; nas-stability table fetch {name}, or pack a dump")
    raise unknown("table", name, {*TABLES, *cache.here(override), *packing.DUMPS})


def the_one(name: str, sources: Sequence[Callable[[], open_file.Table]], sha256: str) -> open_file.Table:
    """The table of a checksum.

    Raises:
        BadInput: none of them is; the message has the checksums of those that are there.
    """
    there = []
    for source in sources:
        try:
            found = source()
        except BadInput as error:
            there.append(str(error))
            continue
        if found.sha256 == sha256:
            return found
        there.append(f"the one here has {found.sha256[:12]} and is from {found.source.partition(' {')[0]}")
    raise BadInput(
        f"the table {name} is not the one that the run used, whose SHA-256 begins with {sha256[:12]}: "
        + ("; ".join(there) or "there is none here")
    )


def refuse_other_space(found: open_file.Table, space: str) -> None:
    """Passes a table whose architectures can be the space's, by their form; that some are is seen when it is asked.

    Raises:
        BadInput: none can be.
    """
    if space not in SPACES or not len(found.keys):
        return
    hashed = space != nasbench201.SPACE.name
    ends = [found.keys[0].as_py(), found.keys[len(found.keys) - 1].as_py()]
    if not any(bool(re.fullmatch("[0-9a-f]{32}", key)) if hashed else key.startswith("|") for key in ends):
        raise BadInput(
            f"the table {found.name} is about another space than {space}: it has {ends[0]}, and {space} has "
            + ("NAS-Bench-101 module hashes of 32 hexadecimal digits" if hashed else "strings such as |none~0|+...")
        )


def why_no_table(name: str, space: str, epochs: int) -> str:
    """Why a run has no table, and what to do.

    Args:
        name: as it was asked for: ``none``, or ``auto``.
        space: that is searched.
        epochs: training budget that was asked for.
    """
    shipped = shipped_for(space)
    if name == "none":
        why = "none was asked for"
    elif shipped is None:
        why = f"none is shipped for {space}"
    else:
        why = f"{shipped} has no budget of {epochs} epochs (it has: {', '.join(map(str, TABLES[shipped]().budgets))})"
    return f"no table: the accuracy and regret columns stay empty, for {why}; --table NAME or PATH.parquet names one"
