"""A table as a run asks it: at one budget, with its best reachable architecture, counting what it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.catalog import find_space, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.space import Arch, Cell, Mixture, Space
from nas_stability.benchmarks.tables.open_file import Floats, Table, Unanswered
from nas_stability.benchmarks.tables.random_search import random_search
from nas_stability.benchmarks.tables.survey import cells_of, reachable
from nas_stability.benchmarks.tables.table import DEVIATION, SURROGATE, Scorer
from nas_stability.harness.specs.spec import RunSpec

SPLITS = ("valid", "test")


DatasetSplit = tuple[str, str]
"""Data set and split of a column of the record."""


class RankSample(NamedTuple):
    """The architectures over which the supernet's order is compared with the table's; no seed plays a part.

    Attributes:
        archs: in ascending order of the table's accuracy that they were stratified by.
        mixtures: a decided mixture of each, in float64 on the CPU.
        accuracies: by the table in percent (n,) per column, NaN where it does not answer.
    """

    archs: tuple[Arch, ...]
    mixtures: tuple[Mixture, ...]
    accuracies: Mapping[DatasetSplit, Floats]


class Neighbourhood(NamedTuple):
    """What a table says about some architectures, per column.

    Attributes:
        mean: mean accuracy in percent over those that it answers for, None where there is none.
        worst: the lowest of them, likewise.
        missing: how many it does not answer for; None where there is no table.
    """

    mean: dict[DatasetSplit, float | None]
    worst: dict[DatasetSplit, float | None]
    missing: dict[DatasetSplit, int | None]


@dataclass
class Answers:
    """A table as a run asks it: at one budget, with the best reachable architecture, counting what it lacks.

    Attributes:
        table: None where there is none; every answer is then None.
        epochs: training budget asked for.
        columns: (data set, split) of each column of the record.
        best: accuracy in percent of the best reachable architecture per column, where the table has one.
        sample: architectures to compare orders over, None where there is no table or none are asked for.
        asked: architectures asked for so far.
        missing: how many of them the table lacked altogether.
    """

    table: Scorer | None
    epochs: int
    columns: tuple[DatasetSplit, ...]
    best: Mapping[DatasetSplit, float]
    sample: RankSample | None = None
    asked: int = 0
    missing: int = 0

    def accuracies(self, arch: Arch) -> dict[DatasetSplit, float | None]:
        """Percent per column, None where the table does not answer; the architecture is never replaced by another.

        Behind what a surrogate expects stands its deviation, in points.
        """
        found = ask_all(self.table, arch, self.columns, self.epochs)
        if self.table is not None:
            self.asked += 1
            self.missing += all(value is None for value in found.values())
        return found

    def regrets(self, accuracies: Mapping[DatasetSplit, float | None]) -> dict[DatasetSplit, float | None]:
        """Points to the best reachable architecture per column, None where either is not known."""
        return {
            column: None if value is None or column not in self.best else self.best[column] - value
            for column, value in accuracies.items()
            if column in self.columns
        }


def ask(table: Scorer | None, arch: Arch, dataset: str, split: str, epochs: int) -> float | None:
    """Percent, None where there is no table or it does not answer; of SPLIT_surrogate_sd the deviation, in points."""
    if table is None:
        return None
    try:
        if split.endswith(SURROGATE + DEVIATION):
            return deviation_of(table, arch, dataset, split.removesuffix(DEVIATION), epochs)
        return table.score(arch, dataset, split, epochs)
    except Unanswered:
        return None


def ask_all(
    table: Scorer | None, arch: Arch, columns: Sequence[DatasetSplit], epochs: int
) -> dict[DatasetSplit, float | None]:
    """``ask`` for each column; behind what a surrogate expects its deviation."""
    found: dict[DatasetSplit, float | None] = {}
    for dataset, split in columns:
        found[dataset, split] = ask(table, arch, dataset, split, epochs)
        if split.endswith(SURROGATE):
            found[dataset, split + DEVIATION] = ask(table, arch, dataset, split + DEVIATION, epochs)
    return found


def scores(table: Scorer, archs: Sequence[Arch], column: DatasetSplit, epochs: int) -> Floats:
    """Percent (n,), NaN where the table does not answer, be it for the architecture or for the column altogether."""
    try:
        return table.scores(archs, *column, epochs)
    except Unanswered:
        return numpy.full(len(archs), numpy.nan)


def neighbourhood(
    table: Scorer | None, archs: Sequence[Arch], columns: Sequence[DatasetSplit], epochs: int
) -> Neighbourhood:
    """Mean and worst accuracy of some architectures, and how many of them the table lacks, per column."""
    if table is None:
        return Neighbourhood(dict.fromkeys(columns), dict.fromkeys(columns), dict.fromkeys(columns))
    values = {column: scores(table, archs, column, epochs) for column in columns}
    present = {column: found[~numpy.isnan(found)] for column, found in values.items()}
    return Neighbourhood(
        mean={column: float(found.mean()) if len(found) else None for column, found in present.items()},
        worst={column: float(found.min()) if len(found) else None for column, found in present.items()},
        missing={column: len(archs) - len(found) for column, found in present.items()},
    )


def table_of(spec: RunSpec, sha256: str | None = None) -> Scorer | None:
    """The table that a run asks; None where there is none, or where the one shipped for the space lacks its budget.

    Args:
        spec: of the run.
        sha256: of the table that the run began with; only that one will do.

    Raises:
        BadInput: an unknown, absent or unusable table, one that is not the run's, or a named one that lacks the run's
            ``table_epochs`` or every architecture of its space.
    """
    table = open_table(spec.table, spec.space, sha256=sha256)
    if table is None:
        return None
    if spec.table_epochs not in table.budgets:
        if spec.table == "auto":
            return None
        raise BadInput(
            f"the table {spec.table} has no budget of {spec.table_epochs} epochs (it has: "
            f"{', '.join(map(str, table.budgets))}); set the field 'table_epochs'"
        )
    listed = table.listed if spec.table != "auto" else None
    space = find_space(spec.space)
    if listed is not None and not space.unlisted and (listed.rows(reachable_archs(space)) < 0).all():
        raise BadInput(f"the table {spec.table} has none of the architectures of {spec.space}")
    return table


def why_no_table(spec: RunSpec) -> str:
    """Why ``table_of`` a run is None, and what to do."""
    return catalog.why_no_table(spec.table, spec.space, spec.table_epochs)


def columns_of(table: Scorer | None, space: Space) -> tuple[DatasetSplit, ...]:
    """The columns of a record: the table's data sets, or where there is none those of the space's public table."""
    if table is None:
        return tuple((dataset, split) for dataset in space.facts.datasets for split in SPLITS)
    return tuple((dataset, split) for dataset in table.datasets for split in splits_of(table))


def splits_of(table: Scorer) -> tuple[str, ...]:
    """The splits that a table is asked for: a surrogate's own, which say what they are."""
    own: tuple[str, ...] = getattr(table, "splits", SPLITS)
    return own


def deviation_of(table: Scorer, arch: Arch, dataset: str, split: str, epochs: int) -> float | None:
    """The deviation of a surrogate's answer, in points; None where it has none; raises as ``score``."""
    deviation = getattr(table, "deviation", None)
    return None if deviation is None else float(deviation(arch, dataset, split, epochs))


def answers(table: Scorer | None, space: Space, epochs: int, rank_sample: int) -> Answers:
    """A table prepared for a run: the best reachable architecture of the space per column, and the sample for ranks.

    Where the table or the space lists no architectures there is neither.
    """
    columns = columns_of(table, space)
    listed = None if table is None or space.unlisted else table.listed
    if listed is None:
        return Answers(table, epochs, columns, {})
    archs = reachable_archs(space)
    best: dict[DatasetSplit, float] = {}
    for column in columns:
        with contextlib.suppress(Unanswered):
            best[column] = listed.best(archs, *column, epochs)[1]
    return Answers(table, epochs, columns, best, draw_sample(listed, space, archs, columns, epochs, rank_sample))


def draw_sample(
    table: Table, space: Space, archs: Sequence[Arch], columns: Sequence[DatasetSplit], epochs: int, count: int
) -> RankSample | None:
    """A stratified sample of the reachable architectures, the same for every run of a space, table, budget and size.

    Those that the table answers for in the first column for which it answers at all are put in order of accuracy (ties
    as in ``archs``) and cut into ``count`` strata of equal size; the middle one of each is taken.

    Returns:
        None where the table answers for none, or ``count`` is 0.
    """
    for column in columns:
        values = scores(table, archs, column, epochs)
        answered = int((~numpy.isnan(values)).sum())
        if answered and count:
            order = numpy.argsort(values, kind="stable")  # NaN comes last
            strata = min(count, answered)
            taken = [archs[order[(2 * stratum + 1) * answered // (2 * strata)]] for stratum in range(strata)]
            cells = reachable_cells(space, taken)
            assert space.configuration is not None
            return RankSample(
                tuple(taken),
                tuple(space.configuration(cells[arch]) for arch in taken),
                {column: scores(table, taken, column, epochs) for column in columns},
            )
    return None


def random_searches(
    table: Scorer | None, space: Space, columns: Sequence[DatasetSplit], epochs: int
) -> dict[str, dict[str, float]]:
    """DATASET_SPLIT -> what random search over the space would find by a table that lists its architectures.

    As it is recorded: ``best_of_K`` in percent, and ``answered``, the percent of raw configurations with an answer.
    """
    listed = None if table is None or space.unlisted else table.listed
    if listed is None:
        return {}
    counts = reachable_counts(space)
    archs, configurations = list(counts), numpy.array(list(counts.values()), dtype=numpy.float64)
    found: dict[str, dict[str, float]] = {}
    for dataset, split in columns:
        valid, accuracy = (scores(listed, archs, (dataset, one), epochs) for one in ("valid", split))
        if search := random_search(accuracy, valid, configurations):
            best = {f"best_of_{count}": value for count, value in search.best_of.items()}
            found[f"{dataset}_{split}"] = {**best, "answered": search.answered}
    return found


def reachable_archs(space: Space) -> tuple[Arch, ...]:
    """Every reachable architecture."""
    return tuple(reachable_counts(space))


def reachable_counts(space: Space) -> Mapping[Arch, int]:
    """Every reachable architecture and the raw configurations that it stands for.

    From this machine's store of tables, or enumerated where that cannot be written.
    """
    try:
        return reachable(space)
    except BadInput:
        return {arch: count for arch, (_, count) in space.listed.items()}


def reachable_cells(space: Space, archs: Sequence[Arch]) -> Mapping[Arch, Cell]:
    """The cells of some reachable architectures, from the same places."""
    try:
        return cells_of(space, archs)
    except BadInput:
        return {arch: space.listed[arch][0] for arch in archs}
