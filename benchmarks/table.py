"""Table: who knows the answer. It answers for an architecture, a data set, a split, a budget and a seed, or raises.

A packed table is one Parquet file with one row per architecture, sorted by key, and one column per (data set, split,
budget, seed); columns are read when first asked for. A tidy file (one row per accuracy) opens as well.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
import numpy.typing
import pyarrow
import pyarrow.parquet

from benchmarks.errors import BadInput, CorruptFile
from benchmarks.space import Arch

Floats = numpy.typing.NDArray[numpy.float64]
Keys = numpy.typing.NDArray[numpy.bytes_]

TIDY = ("arch", "dataset", "split", "epochs", "seed", "accuracy")
SPLITS = ("train", "valid", "test")


class Unanswered(KeyError):
    """A question that the table cannot answer: the message says which and what it has instead."""

    def __str__(self) -> str:
        return str(self.args[0])


class Question(NamedTuple):
    """What one column of a table answers.

    Attributes:
        dataset: that the architecture was trained on.
        split: train, valid or test: where its accuracy was taken.
        epochs: training budget.
        seed: index of the training run, from 0.
    """

    dataset: str
    split: str
    epochs: int
    seed: int


@dataclass(frozen=True)
class Table:
    """Accuracies in percent by architecture.

    Attributes:
        name: for records and messages.
        source: the file or package that it comes from, with its version.
        sha256: of the source, in hexadecimal.
        keys: architectures as UTF-8 bytes, sorted.
        columns: question -> function that gives one accuracy per key (NaN where there is none), read once.
    """

    name: str
    source: str
    sha256: str
    keys: Keys
    columns: Mapping[Question, Callable[[], Floats]]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that it answers for, sorted."""
        return tuple(sorted({question.dataset for question in self.columns}))

    def has(self, dataset: str, split: str, epochs: int) -> bool:
        """Whether it answers for this data set, split and budget at all."""
        return any(question[:3] == (dataset, split, epochs) for question in self.columns)

    def score(self, arch: Arch, dataset: str, split: str, epochs: int, seed: int | None = None) -> float:
        """Accuracy in percent; with ``seed`` None the mean over the seeds that the architecture has.

        Raises:
            Unanswered: a KeyError; the table lacks the architecture, the data set, the split, the budget or the seed.
        """
        questions = self.questions(dataset, split, epochs, seed)
        row = self.rows([arch])[0]
        if row < 0:
            raise Unanswered(f"the table {self.name} has no architecture {arch}")
        value = float(mean_present([self.columns[question]()[row : row + 1] for question in questions])[0])
        if numpy.isnan(value):
            asked = f"{dataset} {split} at {epochs} epochs" + ("" if seed is None else f", seed {seed}")
            raise Unanswered(f"the table {self.name} has no value for {arch}: {asked}")
        return value

    def scores(
        self, archs: Sequence[Arch], dataset: str, split: str, epochs: int, seed: int | None = None
    ) -> Floats:
        """Accuracies in percent (n,), NaN where the table lacks the architecture or its value; otherwise as ``score``.

        Raises:
            Unanswered: the table lacks the data set, the split, the budget or the seed altogether.
        """
        questions = self.questions(dataset, split, epochs, seed)
        rows = self.rows(archs)
        found = mean_present([self.columns[question]() for question in questions])
        return numpy.where(rows < 0, numpy.nan, found[rows])

    def seeds(self, arch: Arch, dataset: str, split: str, epochs: int) -> tuple[int, ...]:
        """The seeds for which it has a value of this architecture.

        Raises:
            Unanswered: as ``score``.
        """
        row = self.rows([arch])[0]
        if row < 0:
            raise Unanswered(f"the table {self.name} has no architecture {arch}")
        questions = self.questions(dataset, split, epochs, None)
        return tuple(question.seed for question in questions if not numpy.isnan(self.columns[question]()[row]))

    def best(self, archs: Sequence[Arch], dataset: str, split: str, epochs: int) -> tuple[Arch, float]:
        """The best of the given architectures by the mean over seeds, with its accuracy in percent; ties: the first.

        Raises:
            Unanswered: it has none of them, or as ``score``.
        """
        values = self.scores(archs, dataset, split, epochs)
        if numpy.isnan(values).all():
            raise Unanswered(f"the table {self.name} has none of the {len(archs)} architectures")
        index = int(numpy.nanargmax(values))
        return archs[index], float(values[index])

    def questions(self, dataset: str, split: str, epochs: int, seed: int | None) -> list[Question]:
        """The columns that answer, in order of seeds.

        Raises:
            Unanswered: there is none; the message says what the table has instead.
        """
        found = sorted(
            question
            for question in self.columns
            if question[:3] == (dataset, split, epochs) and seed in (None, question.seed)
        )
        if found:
            return found
        for asked, index, label in ((dataset, 0, "data set"), (split, 1, "split"), (epochs, 2, "budget"), (seed, 3, "seed")):
            wider = (dataset, split, epochs)[:index]
            known = sorted({question[index] for question in self.columns if question[:index] == wider})  # type: ignore[type-var]
            if asked not in known:
                within = "".join(f" {part}" for part in wider)
                raise Unanswered(
                    f"the table {self.name}{' for' + within if within else ''} has no {label} {asked!r} "
                    f"(it has: {', '.join(map(str, known))})"
                )
        raise AssertionError("a question without a column has an unknown part")

    def rows(self, archs: Sequence[Arch]) -> numpy.typing.NDArray[numpy.int64]:
        """Row of each architecture, -1 where there is none."""
        asked = numpy.array([arch.encode() for arch in archs], dtype=numpy.bytes_)
        if not len(self.keys):
            return numpy.full(len(asked), -1)
        found = numpy.searchsorted(self.keys, asked).clip(max=len(self.keys) - 1)
        return numpy.where(self.keys[found] == asked, found, -1)


def mean_present(columns: Sequence[Floats]) -> Floats:
    """Mean over the columns of what is not NaN, by row; NaN where all are."""
    if len(columns) == 1:
        return columns[0]
    stacked = numpy.stack(columns)
    present = ~numpy.isnan(stacked)
    count = present.sum(0)
    total = numpy.where(present, stacked, 0.0).sum(0)
    return numpy.divide(total, count, out=numpy.full(len(total), numpy.nan), where=count > 0)


def open_table(path: Path) -> Table:
    """A table file: packed, or tidy with the columns arch, dataset, split, epochs, seed, accuracy (percent).

    Raises:
        BadInput: no such file, or its columns are not those of a table.
        CorruptFile: not a Parquet file, or an altered one.
    """
    if not path.is_file():
        raise BadInput(f"the table file {path} does not exist")
    try:
        found = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorruptFile(f"the table file {path} is not a readable Parquet file: {error}") from error
    missing = [name for name in TIDY if name not in found.column_names]
    if missing:
        raise BadInput(
            f"the table file {path} lacks the column {missing[0]!r}: a table has the columns {', '.join(TIDY)}"
        )
    return from_tidy(found, name=path.stem, source=str(path), sha256=file_sha256(path))


def from_tidy(found: pyarrow.Table, name: str, source: str, sha256: str) -> Table:
    """A table of one row per accuracy, checked.

    Raises:
        BadInput: naming the row: a value is missing, outside [0, 100], of an unknown split, or given twice.
    """
    try:
        archs = numpy.array([arch.encode() for arch in found["arch"].to_pylist()], dtype=numpy.bytes_)
        dataset, split = (numpy.asarray(found[column].to_pylist(), dtype=numpy.str_) for column in ("dataset", "split"))
        epochs, seed = (found[column].to_numpy().astype(numpy.int64) for column in ("epochs", "seed"))
        accuracy = found["accuracy"].to_numpy().astype(numpy.float64)
    except (AttributeError, TypeError, ValueError, pyarrow.ArrowException) as error:
        raise BadInput(f"the table {source} has a column of the wrong type: {error}") from error
    wrong = numpy.flatnonzero(~((accuracy >= 0) & (accuracy <= 100)))
    if len(wrong):
        raise BadInput(f"the table {source}, row {wrong[0]}: the accuracy {accuracy[wrong[0]]} is not in [0, 100] percent")
    strange = numpy.flatnonzero(~numpy.isin(split, SPLITS))
    if len(strange):
        raise BadInput(f"the table {source}, row {strange[0]}: the split {str(split[strange[0]])!r} is none of {', '.join(SPLITS)}")
    keys, row = numpy.unique(archs, return_inverse=True)
    columns: dict[Question, Callable[[], Floats]] = {}
    kinds, kind = numpy.unique(
        numpy.rec.fromarrays([dataset, split, epochs, seed]), return_inverse=True
    )
    for index, question in enumerate(kinds):
        members = numpy.flatnonzero(kind == index)
        values = numpy.full(len(keys), numpy.nan)
        values[row[members]] = accuracy[members]
        if len(numpy.unique(row[members])) < len(members):
            counts = numpy.bincount(row[members])
            twice = keys[int(counts.argmax())].decode()
            raise BadInput(f"the table {source} has two rows for {twice}: {question[0]} {question[1]}, {question[2]} epochs, seed {question[3]}")
        columns[Question(str(question[0]), str(question[1]), int(question[2]), int(question[3]))] = functools.partial(
            numpy.asarray, values
        )
    return Table(name, source, sha256, keys, columns)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
