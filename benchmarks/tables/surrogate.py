"""A surrogate: what a Gaussian process, fitted to a table of trained cells, expects of genotypes that nobody trained.

It is a table that says so: its splits are called ``valid_surrogate`` and ``test_surrogate``, every answer has a
deviation, it has no best architecture, and it answers for the spaces alone in which it was good enough. What is fitted
is the logarithm of the error, so that a point near 100 % counts more than one at chance; the answer is the median.

NAME.fit.json lies beside the packed table NAME.parquet, of which it has the checksum: the hyperparameters, and what
came of five-fold cross-validation. The prediction is made of the table's own rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import scipy.linalg

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.facts import FACTS, OPERATIONS_DARTS
from nas_stability.benchmarks.spaces.genotypes import EDGES, KEPT, Choices
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables.open_file import open_table
from nas_stability.benchmarks.tables.table import SURROGATE, Floats, Table, Unanswered

SUFFIX = ".fit.json"
FORMAT = 1

OPERATIONS = tuple(OPERATIONS_DARTS)

FLOOR = 0.5
"""Points that are added to an error before its logarithm: one without a mistake has one too."""

DECIMALS = 6
"""Of an answer in percent: its last digits are a matter of the processor, and records are held to answers exactly."""

Z = 1.959963984540054
"""Deviations of a normal distribution to either side of an interval of 95 %."""


class Hyperparameters(NamedTuple):
    """A Gaussian process on the features, of standardised logarithms of errors.

    Attributes:
        mean, scale: by which the logarithms were standardised.
        amplitude, length: of the squared exponential kernel.
        linear: variance of each feature's own slope.
        noise: variance of a measured value around the process: other seeds give other ones.
    """

    mean: float
    scale: float
    amplitude: float
    length: float
    linear: float
    noise: float


class Target(NamedTuple):
    """What a process is of: a data set, split and budget of the table."""

    dataset: str
    split: str
    epochs: int


class Expected(NamedTuple):
    """What is expected of architectures, in percent (n,): the median, and an interval of 95 % of measured values."""

    accuracy: Floats
    low: Floats
    high: Floats

    @property
    def deviation(self) -> Floats:
        """Half of what a normal distribution's interval would have as two deviations to either side, in points."""
        return (self.high - self.low) / (2 * Z)


def features_of(archs: Sequence[Arch]) -> Floats:
    """Genotypes -> (n, features): of both cells which operation each edge has, and how many there are of each.

    Raises:
        BadInput: a text that is no genotype.
    """
    count = len(OPERATIONS)
    found = numpy.zeros((len(archs), 2, len(EDGES) + 1, count))
    for row, arch in enumerate(archs):
        for kind, cell in enumerate(genotypes.read(arch, genotypes.ANY)):
            for place, (name, source) in enumerate(cell):
                operation = OPERATIONS.index(name)
                found[row, kind, EDGES.index((place // KEPT, source)), operation] = 1
                found[row, kind, -1, operation] += 0.5
    return found.reshape(len(archs), -1)


def kernel(one: Floats, other: Floats, given: Hyperparameters) -> Floats:
    """Covariance (n, m) of the process between features (n, d) and (m, d), without the noise of measuring."""
    square = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    smooth = given.amplitude * numpy.exp(-0.5 * square.clip(0) / given.length**2)
    found: Floats = smooth + given.linear * one @ other.T
    return found


def transformed(accuracy: Floats, given: Hyperparameters) -> Floats:
    """Accuracies in percent -> standardised logarithms of errors."""
    found: Floats = (numpy.log(100 - accuracy + FLOOR) - given.mean) / given.scale
    return found


def accuracy_of(values: Floats, given: Hyperparameters) -> Floats:
    """Standardised logarithms of errors -> accuracies in percent, from 0 to 100, to DECIMALS."""
    found: Floats = numpy.clip(100 + FLOOR - numpy.exp(values * given.scale + given.mean), 0, 100).round(DECIMALS)
    return found


class Process:
    """A Gaussian process that has seen some cells.

    Args:
        features: of the cells (n, d).
        accuracy: that was measured of them, in percent (n,).
        given: hyperparameters.
    """

    def __init__(self, features: Floats, accuracy: Floats, given: Hyperparameters) -> None:
        self.features, self.given = features, given
        covariance = kernel(features, features, given) + given.noise * numpy.eye(len(features))
        self.factor = scipy.linalg.cholesky(covariance, lower=True)
        self.weights = scipy.linalg.cho_solve((self.factor, True), transformed(accuracy, given))

    def expect(self, features: Floats) -> Expected:
        """What is expected of cells with these features (m, d)."""
        across = kernel(features, self.features, self.given)
        mean = across @ self.weights
        solved = scipy.linalg.solve_triangular(self.factor, across.T, lower=True)
        own = self.given.amplitude + self.given.linear * (features**2).sum(1)
        spread = Z * numpy.sqrt((own - (solved**2).sum(0)).clip(0) + self.given.noise)
        centre, high, low = (accuracy_of(mean + shift, self.given) for shift in (0, -spread, spread))
        return Expected(centre, low, high)


@dataclass(frozen=True)
class Surrogate:
    """A table's surrogate, as a run asks it.

    Attributes:
        name, source, sha256: for records and messages; the checksum is over those of table and fit.
        table: of trained cells.
        hyperparameters: of each target.
        offered: spaces in which it answers.
    """

    name: str
    source: str
    sha256: str
    table: Table
    hyperparameters: dict[Target, Hyperparameters]
    offered: tuple[str, ...]
    listed: None = None
    processes: dict[Target, Process] = field(default_factory=dict, compare=False, repr=False)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that it answers for, sorted."""
        return tuple(sorted({target.dataset for target in self.hyperparameters}))

    @property
    def budgets(self) -> tuple[int, ...]:
        """Training budgets in epochs that it answers for, sorted."""
        return tuple(sorted({target.epochs for target in self.hyperparameters}))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it answers for, each of which says what it is."""
        return tuple(sorted({target.split + SURROGATE for target in self.hyperparameters}, reverse=True))

    def expect(self, archs: Sequence[Arch], dataset: str, split: str, epochs: int) -> Expected:
        """What is expected of genotypes; NaN of those of spaces in which it is not offered.

        Raises:
            Unanswered: it does not answer for the data set, the split or the budget.
        """
        target = Target(dataset, split.removesuffix(SURROGATE), epochs)
        if target not in self.hyperparameters or not split.endswith(SURROGATE):
            known = ", ".join(f"{one.dataset} {one.split}{SURROGATE} {one.epochs}" for one in self.hyperparameters)
            raise Unanswered(
                f"the surrogate {self.name} does not answer for {dataset} {split} {epochs} (it does: {known})"
            )
        if target not in self.processes:
            features = features_of([key.as_py() for key in self.table.keys])
            accuracy = self.table.scores([key.as_py() for key in self.table.keys], *target)
            self.processes[target] = Process(features, accuracy, self.hyperparameters[target])
        there = numpy.array([self.answers_for(arch) for arch in archs], dtype=bool)
        found = numpy.full((3, len(archs)), numpy.nan)
        if there.any():
            known_archs = [arch for arch, yes in zip(archs, there, strict=True) if yes]
            found[:, there] = self.processes[target].expect(features_of(known_archs))
        return Expected(*found)

    def answers_for(self, arch: Arch) -> bool:
        """Whether a space in which it is offered has the genotype."""
        return any(reaches(space, arch) for space in self.offered)

    def score(self, arch: Arch, dataset: str, split: str, epochs: int) -> float:
        """Expected accuracy in percent.

        Raises:
            Unanswered: a KeyError; it does not answer for the architecture, the data set, the split or the budget.
        """
        value = float(self.expect([arch], dataset, split, epochs).accuracy[0])
        if numpy.isnan(value):
            raise Unanswered(f"the surrogate {self.name} is offered in {', '.join(self.offered)}, not for {arch}")
        return value

    def scores(self, archs: Sequence[Arch], dataset: str, split: str, epochs: int) -> Floats:
        """Expected accuracies in percent (n,), NaN where it does not answer for an architecture; as ``score``."""
        return self.expect(archs, dataset, split, epochs).accuracy

    def deviation(self, arch: Arch, dataset: str, split: str, epochs: int) -> float:
        """Deviation of a measured value around the expected one, in points; raises as ``score``."""
        self.score(arch, dataset, split, epochs)
        return float(self.expect([arch], dataset, split, epochs).deviation[0])


@functools.lru_cache(maxsize=100_000)
def reaches(space: str, arch: Arch) -> bool:
    """Whether a space has a genotype."""
    groups = FACTS[space].groups
    try:
        genotypes.read(arch, Choices(groups[0], groups[1]))
    except BadInput:
        return False
    return True


def seal(values: dict[str, Any]) -> str:
    """SHA-256 over the entries, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_surrogate(path: Path, table: Path, found: dict[Target, Hyperparameters], **told: Any) -> None:
    """Writes NAME.fit.json beside the table's file; ``told`` has ``offered`` and ``statistics``."""
    targets = [{**target._asdict(), **given._asdict()} for target, given in found.items()]
    values = {"format": FORMAT, "table": table.name, "table_sha256": files.sha256(table), "targets": targets, **told}
    files.write(path, json.dumps({"sha256": seal(values), **values}, indent=1) + "\n")


def open_surrogate(path: Path) -> Surrogate:
    """A surrogate and the table beside it.

    Raises:
        BadInput: one of the files is not there, or of a newer version.
        CorruptFile: one is not what was written.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        sha256 = values.pop("sha256")
    except FileNotFoundError:
        raise BadInput(f"the surrogate {path} does not exist; nas-stability table fit TABLE makes one") from None
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise CorruptFile(f"the surrogate {path} cannot be read: {error}") from error
    if sha256 != seal(values):
        raise CorruptFile(f"the surrogate {path} was altered: its checksum does not match")
    if values["format"] > FORMAT:
        raise BadInput(f"the surrogate {path} has format {values['format']}, newer than {FORMAT}; update nas-stability")
    place = path.with_name(values["table"])
    table = open_table(place)
    if files.sha256(place) != values["table_sha256"]:
        raise CorruptFile(f"the table {place} is not the one that {path.name} was fitted to")
    found = {}
    for entry in values["targets"]:
        target = Target(*(entry[name] for name in Target._fields))
        found[target] = Hyperparameters(*(entry[name] for name in Hyperparameters._fields))
    name = check_name("table", path.name.removesuffix(SUFFIX))
    source = f"Gaussian process on {table.source}"
    both = hashlib.sha256(f"{table.sha256} {sha256}".encode()).hexdigest()
    return Surrogate(name, source, both, table, found, tuple(values["offered"]))
