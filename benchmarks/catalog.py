"""What there is: SPACES, DATASETS, TABLES. The only place that lists them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, unknown
from nas_stability.benchmarks.images import dataset, folder, imagenet16, npz, torchvision_sets
from nas_stability.benchmarks.paths import from_home
from nas_stability.benchmarks.spaces import darts, nasbench1shot1, nasbench201
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.benchmarks.spellings import SOURCES, canonical_data, looks_like_file, of_source
from nas_stability.benchmarks.tables import cache, drawn_cells, embedded, open_file, packing, surrogate
from nas_stability.benchmarks.tables.table import Scorer, Table

SPACES: dict[str, Space] = {
    "nasbench201": nasbench201.SPACE,
    "nasbench1shot1-s1": nasbench1shot1.S1,
    "nasbench1shot1-s2": nasbench1shot1.S2,
    "nasbench1shot1-s3": nasbench1shot1.S3,
    "darts-s1": darts.S1,
    "darts-s2": darts.S2,
    "darts-s3": darts.S3,
    "darts-s4": darts.S4,
    "darts": darts.FULL,
}


def find_space(name: str) -> Space:
    """The space of a name: the harness's own, or a plug-in's.

    Raises:
        BadInput: unknown.
    """
    return plugins.find("spaces", "space", name, SPACES)


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

DARTS_FIT = Path(__file__).with_name("tables") / f"darts-digits{surrogate.SUFFIX}"
"""A surrogate of the spaces of DARTS cells on digits, beside the table of cells that it is fitted to; shipped too."""

TABLES: dict[str, Callable[[], Scorer]] = {
    "nasbench201": embedded.embedded_nasbench201,
    **({DIGITS_TABLE.stem: functools.partial(open_file.open_table, DIGITS_TABLE)} if DIGITS_TABLE.exists() else {}),
    **({"darts-digits": functools.partial(surrogate.open_surrogate, DARTS_FIT)} if DARTS_FIT.exists() else {}),
}
"""Tables that come with the package or its requirements, by name."""


def taken_for(tables: Iterable[str], spaces: Iterable[str]) -> dict[str, str]:
    """Table -> the space that its name begins with; one of no space is left out."""
    known = sorted(spaces, key=len)  # the longest that it begins with
    return {name: space for name in tables for space in known if name.startswith(space)}


SHIPPED: Mapping[str, str] = MappingProxyType(taken_for(TABLES, SPACES))
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
    return plugins.find("datasets", "data set", known, DATASETS)(directory)


def open_table(name: str, space: str, override: Path | None = None, sha256: str | None = None) -> Scorer | None:
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
        sources: list[Callable[[], Scorer]] = [TABLES[name]] if name != "none" else []
    elif name == "none":
        sources = []
    else:
        sources = sources_of(name, override)
    if not sources and sha256 is None:
        return None
    found = sources[0]() if sha256 is None else the_one(name, sources, sha256)
    refuse_other_space(found, space)
    return found


def open_listed(name: str, override: Path | None = None) -> Table:
    """The table of a name or path, of whatever space, where it lists its architectures.

    Raises:
        BadInput: as ``open_table``; it names none, or it is a surrogate, which lists none.
    """
    found = None if name in ("auto", "none") else open_table(name, "", override)
    if found is None:
        raise BadInput(f"{name!r} is no table; nas-stability table list names those there are")
    if found.listed is None:
        raise BadInput(f"the table {name} lists no architectures: it answers for one at a time, in runs")
    return found.listed


def shipped_for(space: str) -> str | None:
    """Name of the table that is shipped for a space; that of ``darts`` is of all spaces of DARTS cells."""
    of_union = "darts" if space in drawn_cells.UNION else space
    return next((shipped for shipped, of in SHIPPED.items() if of in (space, of_union)), None)


def sources_of(name: str, override: Path | None) -> list[Callable[[], Scorer]]:
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
    if name.endswith(surrogate.SUFFIX):
        return [functools.partial(surrogate.open_surrogate, path)]
    if "/" in name or path.suffix.lower() == ".parquet":
        return [functools.partial(open_file.open_table, path)]
    packed = cache.table_path(name, override)
    found: list[Callable[[], Scorer]] = []
    if packed.is_file():
        found.append(functools.partial(open_file.open_table, packed))
    if name in TABLES:
        found.append(TABLES[name])
    elif plugin := plugins.origin("tables", name):
        found.append(plugin.offers["tables"][name])
    if found:
        return found
    if name in packing.DUMPS:
        raise BadInput(f"the table {name} is not on this machine; nas-stability table fetch {name}, or pack a dump")
    raise unknown("table", name, {*TABLES, *cache.here(override), *packing.DUMPS, *plugins.names("tables")})


def the_one(name: str, sources: Sequence[Callable[[], Scorer]], sha256: str) -> Scorer:
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


def refuse_other_space(found: Scorer, space: str) -> None:
    """Passes a table whose architectures can be the space's, by their form; that some are is seen when it is asked.

    One that does not list them passes.

    Raises:
        BadInput: none can be.
    """
    if space not in SPACES or found.listed is None or not len(found.listed.keys):
        return
    form, keys = SPACES[space].facts.form, found.listed.keys
    ends = [keys[0].as_py(), keys[len(keys) - 1].as_py()]
    if not any(re.fullmatch(form.pattern, key) for key in ends):
        raise BadInput(
            f"the table {found.name} is about another space than {space}: it has {ends[0]}, "
            f"and {space} has {form.words}"
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
