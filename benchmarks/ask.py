"""Questions that people ask a table: one answer, the best of a space, whether it is sound, which tables there are."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.parquet

from benchmarks import nasbench1shot1, nasbench101, pack, space, store
from benchmarks.catalog import SHIPPED, TABLES, here
from benchmarks.errors import BadInput, CorruptFile
from benchmarks.space import Arch, Cell, Space
from benchmarks.table import Table, Unanswered, open_table

SHORT = {"3x3": nasbench101.CONV3X3, "1x1": nasbench101.CONV1X1, "maxpool": nasbench101.MAXPOOL3X3}
"""Short names of NAS-Bench-101's operations, which ``--ops`` takes as well."""


class Answer(NamedTuple):
    """What ``table query`` prints as JSON.

    Attributes:
        arch: key of the architecture.
        dataset, split, epochs: as asked.
        seed: as asked; None: the mean over ``seeds``.
        seeds: that the answer is taken over.
        accuracy: percent.
        seconds: training time, None where the table has none.
        parameters: weights of the network, None where the table does not know.
    """

    arch: Arch
    dataset: str
    split: str
    epochs: int
    seed: int | None
    seeds: tuple[int, ...]
    accuracy: float
    seconds: float | None
    parameters: int | None


def query(table: Table, arch: Arch, dataset: str, split: str, epochs: int, seed: int | None = None) -> Answer:
    """One answer.

    Raises:
        Unanswered: a KeyError; the message says what the table has instead.
    """
    accuracy = table.score(arch, dataset, split, epochs, seed)
    seeds = table.seeds(arch, dataset, split, epochs) if seed is None else (seed,)
    try:
        seconds = table.seconds(arch, dataset, epochs, seed)
    except Unanswered:
        seconds = None
    try:
        parameters = table.parameters(arch, dataset)
    except Unanswered:
        parameters = None
    return Answer(arch, dataset, split, epochs, seed, seeds, accuracy, seconds, parameters)


def arch_of_cell(matrix: str, operations: str) -> Arch:
    """The NAS-Bench-101 module hash of a cell.

    Args:
        matrix: JSON of the upper triangular adjacency matrix, a list of lists of 0 and 1.
        operations: names of the vertices, joined by commas: input, then conv3x3-bn-relu (or 3x3), conv1x1-bn-relu (1x1)
            or maxpool3x3 (maxpool), then output; input and output may be left out.

    Raises:
        BadInput: not a cell.
    """
    try:
        rows = json.loads(matrix)
        entries = tuple(tuple(int(entry) for entry in row) for row in rows)
    except (ValueError, TypeError) as error:
        raise BadInput(f"the matrix must be JSON, a list of lists of 0 and 1, not {matrix!r}") from error
    size = len(entries)
    names = [SHORT.get(name.strip(), name.strip()) for name in operations.split(",") if name.strip()]
    if len(names) == size - 2:
        names = [nasbench101.INPUT, *names, nasbench101.OUTPUT]
    if size < 2 or any(len(row) != size for row in entries) or len(names) != size:
        raise BadInput(f"the matrix must be square with one row per operation; it has {size} rows for {len(names)}")
    if any(entry not in (0, 1) or (entry and source >= target)
           for source, row in enumerate(entries) for target, entry in enumerate(row)):  # fmt: skip
        raise BadInput("the matrix must have 0 and 1 above the diagonal and 0 elsewhere")
    if names[0] != nasbench101.INPUT or names[-1] != nasbench101.OUTPUT or not set(names[1:-1]) <= {*SHORT.values()}:
        raise BadInput(f"the operations must be input, then some of {', '.join(SHORT.values())}, then output: {names}")
    try:
        return nasbench101.module_hash(nasbench101.prune(Cell(entries, tuple(names))))
    except ValueError as error:
        raise BadInput(str(error)) from error


def reachable(of: Space, override: Path | None = None) -> Mapping[Arch, int]:
    """Every reachable architecture of a space with its number of raw configurations, sorted; from the store if there.

    Raises:
        BadInput: the folder of tables cannot be written.
    """
    found = enumerated(of, ["arch", "configurations"], override)
    return dict(zip(found["arch"].to_pylist(), found["configurations"].to_pylist(), strict=True))


def cells_of(of: Space, archs: Sequence[Arch], override: Path | None = None) -> dict[Arch, Cell]:
    """The cells of some reachable architectures, as ``cells`` has them; from the store if there.

    Raises:
        BadInput: the folder of tables cannot be written.
        KeyError: an architecture that the space does not reach.
    """
    found = enumerated(of, ["arch", "matrix", "operations"], override)
    rows = {arch: row for row, arch in enumerate(found["arch"].to_pylist())}

    def cell(row: int) -> Cell:
        lines = found["matrix"][row].as_py().split("/")
        operations = found["operations"][row].as_py().split(",")
        return Cell(tuple(tuple(map(int, line)) for line in lines), tuple(operations))

    return {arch: cell(rows[arch]) for arch in archs}


def enumerated(of: Space, columns: list[str], override: Path | None) -> pyarrow.Table:
    """Columns of the list of a space's reachable architectures: arch, configurations, matrix, operations.

    Enumerating NAS-Bench-1Shot1's third space takes 20 s; the list is kept per machine under the SHA-256 of the code
    that makes it.

    Raises:
        BadInput: the folder of tables cannot be written.
    """
    code = hashlib.sha256()
    for module in (space, nasbench101, nasbench1shot1, inspect.getmodule(unwrapped(of.cells))):
        code.update(inspect.getsource(module).encode() if module else b"")
    path = store.folder(override) / "spaces" / f"{of.name}-{code.hexdigest()[:12]}.parquet"

    def make(aside: Path) -> None:
        cells = of.cells()
        listed = {
            "arch": list(cells),
            "configurations": [count for _, count in cells.values()],
            "matrix": ["/".join("".join(map(str, row)) for row in cell.matrix) for cell, _ in cells.values()],
            "operations": [",".join(cell.operations) for cell, _ in cells.values()],
        }
        pyarrow.parquet.write_table(pyarrow.table(listed), aside, compression="zstd", write_page_checksum=True)

    store.once(path, make)
    try:
        return pyarrow.parquet.read_table(path, columns=columns, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"the file {path} is damaged ({str(error).splitlines()[0]}); remove it") from error


def unwrapped(function: Any) -> Any:
    """The function behind partial applications and caches."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


class Best(NamedTuple):
    """The best reachable architecture by one data set and split.

    Attributes:
        dataset, split, epochs: that the accuracies are of.
        arch: the best by the mean over seeds.
        accuracy: its percent.
        others: percent of the same architecture at the other splits.
        archs: percent of the space's distinct architectures that the table answers for.
        configurations: percent of its raw configurations (parents x operations).
    """

    dataset: str
    split: str
    epochs: int
    arch: Arch
    accuracy: float
    others: Mapping[str, float]
    archs: float
    configurations: float


def best(table: Table, of: Space, override: Path | None = None) -> list[Best]:
    """The best reachable architectures, by validation and by test, per data set and budget of a table.

    Raises:
        Unanswered: the table has none of the space's architectures.
    """
    counts = reachable(of, override)
    archs = list(counts)
    weights = numpy.array(list(counts.values()), dtype=numpy.float64)
    asked = sorted({question[:3] for question in table.columns if question.split in ("valid", "test")})
    answers = {key: table.scores(archs, *key) for key in asked if table.has(*key)}
    found = []
    for (dataset, split, epochs), values in answers.items():
        present = ~numpy.isnan(values)
        if not present.any():
            continue
        index = int(numpy.nanargmax(values))
        others = {
            other: float(theirs[index])
            for (same, other, budget), theirs in answers.items()
            if (same, budget) == (dataset, epochs) and other != split and not numpy.isnan(theirs[index])
        }
        share = 100 * float(present.mean()), 100 * float(weights[present].sum() / weights.sum())
        found.append(Best(dataset, split, epochs, archs[index], float(values[index]), others, *share))
    if not found:
        raise Unanswered(f"the table {table.name} has none of the {len(archs)} architectures of {of.name}")
    return found


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
KNOWN: dict[str, tuple[int, tuple[Known, ...], Mapping[Arch, int]]] = {
    "nasbench101": (423_624, KNOWN_101, {FIRST_101: 8_555_530, INCEPTION_101: 2_694_282}),
    "nasbench101-full": (423_624, KNOWN_101, {FIRST_101: 8_555_530, INCEPTION_101: 2_694_282}),
    "nasbench201": (15_625, KNOWN_201, {}),
}
"""Name of a table -> its number of architectures, published accuracies, parameter counts by architecture."""


def verify(table: Table) -> list[Check]:
    """Reads every column and compares with what is published about a table of this name.

    Raises:
        CorruptFile: a column is damaged.
    """
    return [*sound(table), *(published(table) if table.name in KNOWN else [Check("published values", None, "unknown")])]


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


def published(table: Table) -> Iterator[Check]:
    """Checks against what is published."""
    count, known, sizes = KNOWN[table.name]
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


class Listed(NamedTuple):
    """A table that can be asked for by name.

    Attributes:
        name: of the table.
        state: "packed" on this machine, "shipped" with the package or its requirements, "fetchable", or "by hand" where
            the dump has no address that a program can fetch from.
        size: bytes of the packed file, or of the download; None where it is not known or lies in another package.
        source: where it comes from.
        place: path or address; empty for a table in another package.
    """

    name: str
    state: str
    size: int | None
    source: str
    place: str


def tables(override: Path | None = None) -> list[Listed]:
    """What is on this machine, what is shipped, what can be fetched or is found by hand; sorted by name."""
    found = []
    for name in here(override):
        path = store.table_path(name, override)
        try:
            source = open_table(path).source
        except BadInput as error:
            source = f"unusable: {error}"
        found.append(Listed(name, "packed", path.stat().st_size, source, str(path)))
    for name in SHIPPED:
        path = Path(__file__).with_name("tables") / f"{name}.parquet"
        shipped = TABLES[name]()
        size, place = (path.stat().st_size, str(path)) if path.exists() else (None, "")
        found.append(Listed(name, "shipped", size, shipped.source.partition(" {")[0], place))
    for name, dump in pack.DUMPS.items():
        place = ", ".join(dump.urls) or dump.page
        state = "fetchable" if dump.urls else "by hand"
        found.append(Listed(name, state, dump.megabytes and dump.megabytes * 10**6, f"licence {dump.license}", place))
    return sorted(found)


def fetch(
    name: str,
    urls: Sequence[str] = (),
    known: str | None = None,
    override: Path | None = None,
    progress: bool = True,
) -> Path:
    """Downloads an official dump and packs it.

    Args:
        name: of the dump.
        urls: addresses to fetch from instead of its own.
        known: checksum of the download, ``ALGORITHM:HEX`` or a plain SHA-256.
        override: another folder of tables.
        progress: whether to show bars on standard error.

    Returns:
        The packed file.

    Raises:
        BadInput: unknown name, no address works, or as ``pack.pack``.
        CorruptFile: what arrived is damaged.
    """
    dump = pack.dump(name)
    addresses = tuple(urls) or dump.urls
    if not addresses:
        raise BadInput(f"{name} has no address to fetch from; download it by hand from {dump.page}, then table pack")
    return pack.pack(name, store.fetch(addresses, known or dump.known, override, progress), override, progress=progress)
