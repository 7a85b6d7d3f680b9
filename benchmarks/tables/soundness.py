"""Whether a table is sound, and says what is published about one of its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy

from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables import packing
from nas_stability.benchmarks.tables.table import Table, Unanswered


class Check(NamedTuple):
    """One thing that was checked: what, whether it holds (None: nothing to compare with), and what was found."""

    what: str
    holds: bool | None
    found: str


class Known(NamedTuple):
    """A published value: the mean over seeds of one architecture, or of the best where ``arch`` is None."""

    arch: Arch | None
    dataset: str
    split: str
    epochs: int
    accuracy: float
    digits: int


FIRST_101 = "00005c142e6f48ac74fdcf73e3439874"
INCEPTION_101 = "28cfc7874f6d200472e1a9dcd8650aa0"
SKIP_201 = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
KNOWN_101 = (
    Known(FIRST_101, "cifar10", "valid", 108, 92.64155824979147, 9),
    Known(FIRST_101, "cifar10", "test", 108, 92.06063151359558, 9),
    Known(None, "cifar10", "test", 108, 94.3175752957662, 9),
    Known(None, "cifar10", "valid", 108, 95.05542318026224, 9),
)
KNOWN_201 = (
    Known(None, "cifar10", "valid", 200, 91.607, 3),
    Known(None, "cifar10", "test", 200, 94.373, 3),
    Known(None, "cifar100", "valid", 200, 73.493, 3),
    Known(None, "cifar100", "test", 200, 73.513, 3),
    Known(None, "imagenet16-120", "valid", 200, 46.733, 3),
    Known(None, "imagenet16-120", "test", 200, 47.311, 3),
    Known(SKIP_201, "cifar10", "test", 200, 54.30, 2),
    Known(SKIP_201, "cifar100", "test", 200, 15.61, 2),
    Known(SKIP_201, "imagenet16-120", "test", 200, 16.32, 2),
)
KNOWN: dict[str, tuple[tuple[Known, ...], Mapping[Arch, int]]] = {
    "nasbench101": (KNOWN_101, {FIRST_101: 8_555_530, INCEPTION_101: 2_694_282}),
    "nasbench101-full": (KNOWN_101, {FIRST_101: 8_555_530, INCEPTION_101: 2_694_282}),
    "nasbench201": (KNOWN_201, {}),
}
"""Name of a table -> published accuracies, parameter counts by architecture."""


def verify(table: Table) -> list[Check]:
    """Reads every column and compares with what is published about a table of this name.

    Raises:
        CorruptFile: a column is damaged.
    """
    return [
        *sound(table),
        *(against_published(table) if table.name in KNOWN else [Check("published values", None, "unknown")]),
    ]


def holds(checks: Sequence[Check]) -> bool:
    """Whether nothing that was checked fails."""
    return all(check.holds is not False for check in checks)


def sound(table: Table) -> Iterator[Check]:
    """Checks of form and range."""
    keys = table.keys.to_pylist()
    yield Check("architectures are sorted and distinct", sorted(set(keys)) == keys, f"{len(keys)} architectures")
    low, high, empty = numpy.inf, -numpy.inf, []
    for question, column in table.columns.items():
        values = column()
        if len(values) != len(keys) or numpy.isnan(values).all():
            empty.append("|".join(map(str, question[:4])))
            continue
        low, high = min(low, float(numpy.nanmin(values))), max(high, float(numpy.nanmax(values)))
    yield Check("accuracies are in [0, 100] percent", 0 <= low <= high <= 100, f"[{low:.4f}, {high:.4f}]")
    yield Check("no column is empty", not empty, ", ".join(empty) or f"{len(table.columns)} columns")
    negative = sum(int((column() < 0).sum()) for column in (*table.times.values(), *table.sizes.values()))
    yield Check("times and sizes are not negative", negative == 0, f"{negative} are negative")
    yield Check("the source has a checksum", bool(re.fullmatch("[0-9a-f]{64}", table.sha256)), table.sha256)


def against_published(table: Table) -> Iterator[Check]:
    """Checks against what is published."""
    known, sizes = KNOWN[table.name]
    count = packing.DUMPS[table.name].archs
    yield Check(f"it has {count} architectures", len(table.keys) == count, str(len(table.keys)))
    for fact in known:
        what = f"{fact.arch or 'the best'}: {fact.dataset} {fact.split} at {fact.epochs} epochs is {fact.accuracy}"
        try:
            arch = fact.arch or table.best(table.keys.to_pylist(), *fact[1:4])[0]
            value = table.score(arch, *fact[1:4])
        except Unanswered as error:
            present = table.has(*fact[1:4])
            yield Check(what, False if present else None, str(error))
            continue
        yield Check(what, abs(value - fact.accuracy) <= 0.5001 * 10**-fact.digits, f"{value:.10g}")
    for arch, parameters in sizes.items():
        what = f"{arch}: {parameters} parameters"
        try:
            found = table.parameters(arch)
        except Unanswered as error:
            yield Check(what, False, str(error))
            continue
        yield Check(what, found == parameters, str(found))
