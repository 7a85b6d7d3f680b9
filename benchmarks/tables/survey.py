"""Questions that people ask a table: one answer, the best of a space, which tables there are."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pyarrow
import pyarrow.parquet
from scipy import special

from nas_stability.benchmarks.catalog import TABLES
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces import genotypes, module_hash, nasbench1shot1, space
from nas_stability.benchmarks.spaces.space import Arch, Cell, Space
from nas_stability.benchmarks.spellings import canonical_data
from nas_stability.benchmarks.tables import cache, packing
from nas_stability.benchmarks.tables.open_file import Table, Unanswered, open_table
from nas_stability.benchmarks.tables.surrogate import Surrogate
from nas_stability.benchmarks.tables.table import SURROGATE


class QueryAnswer(NamedTuple):
    """What ``table query`` prints as JSON.

    Attributes:
        arch: key of the architecture.
        dataset, split, epochs: as asked.
        seed: as asked; None: the mean over ``seeds``.
        seeds: that the answer is taken over.
        accuracy: percent.
        kind: measured, or surrogate: expected of an architecture that nobody trained.
        low, high: interval of 95 %: Student's, of the mean over two seeds or more; a surrogate's, of measured values.
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
    kind: str
    low: float | None
    high: float | None
    seconds: float | None
    parameters: int | None


def query(table: Table, arch: Arch, dataset: str, split: str, epochs: int, seed: int | None = None) -> QueryAnswer:
    """One answer; the data set by any of its spellings.

    Raises:
        Unanswered: a KeyError; the message says what the table has instead.
    """
    dataset = dataset_of(table, dataset)
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
    low, high = interval_of([table.score(arch, dataset, split, epochs, one) for one in seeds])
    return QueryAnswer(arch, dataset, split, epochs, seed, seeds, accuracy, "measured", low, high, seconds, parameters)


def interval_of(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Student's interval of 95 % of the mean of some accuracies, within 0 to 100; none of fewer than two."""
    if len(values) < 2:
        return None, None
    half = float(special.stdtrit(len(values) - 1, 0.975)) * float(numpy.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(numpy.mean(values))
    return max(0.0, mean - half), min(100.0, mean + half)


def query_surrogate(found: Surrogate, text: str, dataset: str, split: str, epochs: int) -> QueryAnswer:
    """One answer of a surrogate, of a genotype in any form; the split with or without the ending that says so.

    Raises:
        BadInput: the text is no genotype.
        Unanswered: a KeyError; the message says what it answers for.
    """
    arch = genotypes.text_of(genotypes.read(text, genotypes.ANY))
    said = split if split.endswith(SURROGATE) else split + SURROGATE
    accuracy = found.score(arch, dataset, said, epochs)
    expected = found.expect([arch], dataset, said, epochs)
    low, high = float(expected.low[0]), float(expected.high[0])
    return QueryAnswer(arch, dataset, said, epochs, None, (), accuracy, "surrogate", low, high, None, None)


def dataset_of(table: Table, name: str) -> str:
    """A table's own name of a data set by any of its spellings; the name as it is where the table has no such one."""
    same = (ours for ours in table.datasets if canonical_data(ours) == canonical_data(name))
    return name if name in table.datasets else next(same, name)


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
    and the facts that it is made of.

    Raises:
        BadInput: the folder of tables cannot be written.
    """
    code = hashlib.sha256()
    for module in (space, module_hash, nasbench1shot1, inspect.getmodule(unwrapped(of.cells))):
        code.update(inspect.getsource(module).encode() if module else b"")
    code.update(repr(of.facts).encode())
    path = cache.folder(override) / "spaces" / f"{of.name}-{code.hexdigest()[:12]}.parquet"

    def make(aside: Path) -> None:
        cells = of.listed
        listed = {
            "arch": list(cells),
            "configurations": [count for _, count in cells.values()],
            "matrix": ["/".join("".join(map(str, row)) for row in cell.matrix) for cell, _ in cells.values()],
            "operations": [",".join(cell.operations) for cell, _ in cells.values()],
        }
        pyarrow.parquet.write_table(pyarrow.table(listed), aside, compression="zstd", write_page_checksum=True)

    cache.once(path, make)
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
    for name in cache.here(override):
        path = cache.table_path(name, override)
        try:
            source = open_table(path).source
        except BadInput as error:
            source = f"unusable: {error}"
        found.append(Listed(name, "packed", path.stat().st_size, source, str(path)))
    for name in TABLES:
        path = Path(__file__).with_name(f"{name}.parquet")
        shipped = TABLES[name]()
        size, place = (path.stat().st_size, str(path)) if path.exists() else (None, "")
        found.append(Listed(name, "shipped", size, shipped.source.partition(" {")[0], place))
    for name, dump in packing.DUMPS.items():
        place = ", ".join(dump.urls) or dump.page
        state = "fetchable" if dump.urls else "by hand"
        found.append(Listed(name, state, dump.megabytes and dump.megabytes * 10**6, f"licence {dump.license}", place))
    return sorted(found)
