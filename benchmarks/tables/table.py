"""Table: who knows the answer. It answers for an architecture, a data set, a split, a budget and a seed, or raises.

It never substitutes: not another budget, not another split, not a random seed. Nothing here imports PyTorch.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy
import numpy.typing
import pyarrow
import pyarrow.compute

if TYPE_CHECKING:  # the words of the spaces bring PyTorch, which an answer does not need
    from nas_stability.benchmarks.spaces.space import Arch

Floats = numpy.typing.NDArray[numpy.float64]
ReadColumn = Callable[[], Floats]
"""Gives one value per architecture, NaN where there is none; read once."""

FEW = 1000
"""Below so many architectures a binary search each is faster than hashing all the keys."""


class Unanswered(KeyError):
    """A question that the table cannot answer: the message says which and what it has instead."""

    def __str__(self) -> str:
        return str(self.args[0])


class Question(NamedTuple):
    """What one accuracy column of a table answers.

    Attributes:
        dataset: that the architecture was trained on.
        split: where its accuracy was taken: train, valid or test; NAS-Bench-201 also has valid+test.
        epochs: training budget.
        seed: number of the training run as its source counts: 0, 1, 2 in file order where the source names none.
        halfway: taken after half of the budget's epochs, in the same run, instead of at its end.
    """

    dataset: str
    split: str
    epochs: int
    seed: int
    halfway: bool = False


class TimedTraining(NamedTuple):
    """What one column of training times is about; the fields are those of Question."""

    dataset: str
    epochs: int
    seed: int
    halfway: bool = False


SURROGATE = "_surrogate"
"""How the name of a split ends whose values nobody measured."""

DEVIATION = "_sd"
"""How the column of a surrogate's deviation ends, behind that of its answer."""

Asked = TypeVar("Asked", Question, TimedTraining)


class Scorer(Protocol):
    """What a run asks: a table, or a surrogate, which answers for architectures that nobody listed.

    Without a list there is no best architecture, so that regrets and correlations of ranks stay empty.

    Attributes:
        name, source, sha256: as those of Table: what a run's record says of it, and holds it to.
        datasets: that it answers for, sorted.
        budgets: training budgets in epochs that it answers for, sorted.
        listed: the table of its architectures: a table's itself, None where they are not listed.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def datasets(self) -> tuple[str, ...]: ...
    @property
    def budgets(self) -> tuple[int, ...]: ...
    @property
    def listed(self) -> Table | None: ...

    def score(self, arch: Arch, dataset: str, split: str, epochs: int) -> float:
        """Accuracy in percent.

        Raises:
            Unanswered: a KeyError; it does not answer for the architecture, the data set, the split or the budget.
        """

    def scores(self, archs: Sequence[Arch], dataset: str, split: str, epochs: int) -> Floats:
        """Accuracies in percent (n,), NaN where it does not answer for an architecture.

        Raises:
            Unanswered: it does not answer for the data set, the split or the budget at all.
        """


@dataclass(frozen=True)
class Table:
    """Accuracies in percent by architecture, and training times and sizes where the source has them.

    Attributes:
        name: for records and messages.
        source: the file or package that it comes from, with its version.
        sha256: of the source, in hexadecimal.
        keys: architectures, sorted by their UTF-8 bytes, distinct.
        columns: accuracies in percent.
        times: training times in seconds.
        sizes: weights of the network by data set, under "" where they do not depend on it.
    """

    name: str
    source: str
    sha256: str
    keys: pyarrow.StringArray
    columns: Mapping[Question, ReadColumn]
    times: Mapping[TimedTraining, ReadColumn] = field(default_factory=dict)
    sizes: Mapping[str, ReadColumn] = field(default_factory=dict)

    @property
    def listed(self) -> Table:
        """Itself: it lists its architectures."""
        return self

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that it answers for, sorted."""
        return tuple(sorted({question.dataset for question in self.columns}))

    @property
    def budgets(self) -> tuple[int, ...]:
        """Training budgets in epochs at whose end it has accuracies, sorted."""
        return tuple(sorted({question.epochs for question in self.columns if not question.halfway}))

    def has(self, dataset: str, split: str, epochs: int) -> bool:
        """Whether it answers for this data set, split and budget at all, at the end of training."""
        return any(question[:3] == (dataset, split, epochs) and not question.halfway for question in self.columns)

    def score(
        self, arch: Arch, dataset: str, split: str, epochs: int, seed: int | None = None, *, halfway: bool = False
    ) -> float:
        """Accuracy in percent; with ``seed`` None the mean over the seeds that the architecture has.

        Raises:
            Unanswered: a KeyError; the table lacks the architecture, the data set, the split, the budget or the seed.
        """
        questions = self.questions(dataset, split, epochs, seed, halfway)
        return self.one(arch, [self.columns[question] for question in questions], f"{dataset} {split}", epochs, seed)

    def scores(
        self,
        archs: Sequence[Arch],
        dataset: str,
        split: str,
        epochs: int,
        seed: int | None = None,
        *,
        halfway: bool = False,
    ) -> Floats:
        """Accuracies in percent (n,), NaN where the table lacks the architecture or its value; otherwise as ``score``.

        Raises:
            Unanswered: the table lacks the data set, the split, the budget or the seed altogether.
        """
        questions = self.questions(dataset, split, epochs, seed, halfway)
        rows = self.rows(archs)
        if not len(self.keys):
            return numpy.full(len(rows), numpy.nan)
        found = mean_present([self.columns[question]()[rows] for question in questions])
        return numpy.where(rows < 0, numpy.nan, found)

    def seconds(
        self, arch: Arch, dataset: str, epochs: int, seed: int | None = None, *, halfway: bool = False
    ) -> float:
        """Training time in seconds; with ``seed`` None the mean over the seeds that the architecture has.

        Raises:
            Unanswered: as ``score``.
        """
        if not self.times:
            raise Unanswered(f"the table {self.name} has no training times")
        runs = self.chosen(self.times, TimedTraining(dataset, epochs, 0, halfway), seed)
        return self.one(arch, [self.times[run] for run in runs], f"training time on {dataset}", epochs, seed)

    def parameters(self, arch: Arch, dataset: str | None = None) -> int:
        """Weights of the network; they may depend on the data set, by its number of classes.

        Raises:
            Unanswered: the table lacks the architecture or its size, or its sizes depend on the data set.
        """
        name = dataset if dataset is not None and dataset in self.sizes else ""
        if name not in self.sizes:
            known = ", ".join(sorted(self.sizes))
            raise Unanswered(
                f"the table {self.name} has no parameter counts"
                + (f" for data set {dataset!r} (it has: {known})" if self.sizes else "")
            )
        row = self.row(arch)
        value = self.sizes[name]()[row]
        if numpy.isnan(value):
            raise Unanswered(f"the table {self.name} has no parameter count for {arch}")
        return int(value)

    def seeds(self, arch: Arch, dataset: str, split: str, epochs: int, *, halfway: bool = False) -> tuple[int, ...]:
        """The seeds for which it has a value of this architecture.

        Raises:
            Unanswered: as ``score``.
        """
        row = self.row(arch)
        questions = self.questions(dataset, split, epochs, None, halfway)
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

    def questions(
        self, dataset: str, split: str, epochs: int, seed: int | None, halfway: bool = False
    ) -> list[Question]:
        """The accuracy columns that answer, in order of seeds.

        Raises:
            Unanswered: there is none; the message says what the table has instead.
        """
        return self.chosen(self.columns, Question(dataset, split, epochs, 0, halfway), seed)

    def chosen(self, there: Iterable[Asked], asked: Asked, seed: int | None) -> list[Asked]:
        """Of the columns there are those that differ from ``asked`` in the seed alone, or have this one, sorted.

        Raises:
            Unanswered: there is none; the message says what the table has instead.
        """
        moment = [one for one in there if one.halfway == asked.halfway]
        found = sorted(one for one in moment if one._replace(seed=0) == asked._replace(seed=0))
        if seed is not None:
            found = [one for one in found if one.seed == seed]
        if found:
            return found
        if not self.columns or not len(self.keys):
            raise Unanswered(f"the table {self.name} is empty: it has {len(self.keys)} architectures and no accuracies")
        if not moment:
            when = "from halfway through training" if asked.halfway else "from the end of training"
            raise Unanswered(f"the table {self.name} has no values {when}")
        words = {"dataset": "data set", "split": "split", "epochs": "budget", "seed": "seed"}
        wanted = {**asked._asdict(), "seed": seed}
        narrowed: list[Asked] = moment
        within = ""
        for part in asked._fields:
            known = sorted({getattr(one, part) for one in narrowed})
            if wanted[part] not in known:
                raise Unanswered(
                    f"the table {self.name}{' for' + within if within else ''} has no {words[part]} {wanted[part]!r} "
                    f"(it has: {', '.join(map(str, known))})"
                )
            narrowed = [one for one in narrowed if getattr(one, part) == wanted[part]]
            within += f" {wanted[part]}"
        raise AssertionError("a question without a column has an unknown part")

    def one(self, arch: Arch, columns: Sequence[ReadColumn], what: str, epochs: int, seed: int | None) -> float:
        """Mean over the columns of what an architecture has.

        Raises:
            Unanswered: it has nothing.
        """
        row = self.row(arch)
        value = float(mean_present([column()[row : row + 1] for column in columns])[0])
        if numpy.isnan(value):
            asked = f"{what} at {epochs} epochs" + ("" if seed is None else f", seed {seed}")
            raise Unanswered(f"the table {self.name} has no value for {arch}: {asked}")
        return value

    def row(self, arch: Arch) -> int:
        """Row of an architecture.

        Raises:
            Unanswered: there is none.
        """
        row = int(self.rows([arch])[0])
        if row < 0:
            raise Unanswered(f"the table {self.name} has no architecture {arch}")
        return row

    def rows(self, archs: Sequence[Arch]) -> numpy.typing.NDArray[numpy.int64]:
        """Row of each architecture, -1 where there is none."""
        if len(archs) >= FEW:
            found = pyarrow.compute.index_in(pyarrow.array(archs, pyarrow.string()), value_set=self.keys)
            return plain(found.cast(pyarrow.float64()), -1).astype(numpy.int64)
        rows = numpy.full(len(archs), -1, dtype=numpy.int64)
        for index, arch in enumerate(archs):
            place = bisect.bisect_left(self.keys, arch, key=pyarrow.StringScalar.as_py)
            if place < len(self.keys) and self.keys[place].as_py() == arch:
                rows[index] = place
        return rows


def plain(array: pyarrow.DoubleArray, missing: float) -> Floats:
    """The numbers of an Arrow array, ``missing`` where there is none.

    Arrow's own to_numpy and fill_null import pandas, which takes longer than a first answer may.
    """
    if not len(array):
        return numpy.empty(0)
    present = numpy.from_dlpack(array.is_valid().cast(pyarrow.uint8()))
    values = numpy.frombuffer(array.buffers()[1], numpy.float64, len(array), 8 * array.offset)
    return numpy.where(present == 1, values, missing)


def mean_present(columns: Sequence[Floats]) -> Floats:
    """Mean over the columns of what is not NaN, by row; NaN where all are."""
    if len(columns) == 1:
        return columns[0]
    stacked = numpy.stack(columns)
    present = ~numpy.isnan(stacked)
    count = present.sum(0)
    total = numpy.where(present, stacked, 0.0).sum(0)
    mean: Floats = numpy.divide(total, count, out=numpy.full(len(total), numpy.nan), where=count > 0)
    return mean
