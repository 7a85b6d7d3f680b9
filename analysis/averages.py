"""Numbers over epochs: means over the seeds of one variant with their bands, and what a study has to show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy
import numpy.typing
import pandas

from nas_stability.analysis.names import answer_name, answer_of, answering
from nas_stability.analysis.statistics.intervals import FEWEST, Floats, bootstrap_mean
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import natural, told

BandOf = Callable[[Floats], tuple[Floats, Floats]]
"""Values (seeds, epochs), at least FEWEST seeds -> lower and upper end, each (epochs,)."""

CURVATURE = {"eigenvalue_max": "largest eigenvalue (nats)", "spectral_norm": "spectral norm (nats)"}

COUNTS = ("neighbours_missing_", "rank_count_")
"""Columns that count, beside ``neighbours``: their means have no interval."""


def bootstrap_band(values: Floats) -> tuple[Floats, Floats]:
    """The 95 % percentile bootstrap interval of the mean; remembered, since several figures ask for the same."""
    return remembered_bootstrap(values.tobytes(), values.shape)


@functools.lru_cache(maxsize=1024)
def remembered_bootstrap(values: bytes, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """``bootstrap_mean`` of float64 values given as bytes."""
    return bootstrap_mean(numpy.frombuffer(values, dtype=numpy.float64).reshape(shape))


def standard_error(values: Floats) -> tuple[Floats, Floats]:
    """Mean less and plus its standard error: the sample's standard deviation (n - 1) over the root of n.

    The interval of the figures of NAS-Bench-1Shot1 (Zela, Siems and Hutter, ICLR 2020); it covers about 68 %.
    """
    mean = values.mean(0)
    error = values.std(0, ddof=1) / len(values) ** 0.5
    return mean - error, mean + error


def over_epochs(rows: pandas.DataFrame, column: str, interval: BandOf | None = bootstrap_band) -> pandas.DataFrame:
    """Per method, variant and epoch: mean over the seeds that have a value, band, and how many have one.

    A stopping rule may have ended some of the runs earlier than others: in each epoch the seeds are those whose run is
    still there, so that ``seeds`` and ``missing`` together are fewer from then on. The band is empty in epochs where a
    seed that is there lacks its value, and for fewer than three seeds.

    Args:
        rows: epochs of one space; in the column ``last`` the last epoch of the row's run, where rows may be left out.
        column: to summarise.
        interval: of the mean; the 95 % percentile bootstrap interval, seeds resampled whole, by default; None for none.

    Returns:
        method, variant, epoch, seeds, missing, mean, low, high.
    """
    parts = []
    for method, variant in in_order(rows):
        of_group = rows[(rows["method"] == method) & (rows["variant"] == variant)]
        table = of_group.set_index(["run", "epoch"])[column].unstack()
        values = table.to_numpy(dtype=numpy.float64)
        last = of_group.groupby("run", observed=True)["last" if "last" in of_group else "epoch"].max().loc[table.index]
        there = table.columns.to_numpy()[None, :] <= last.to_numpy()[:, None]
        present = ~numpy.isnan(values)
        count = present.sum(0)
        mean = numpy.divide(
            numpy.where(present, values, 0.0).sum(0), count, out=numpy.full(len(count), numpy.nan), where=count > 0
        )
        low, high = band(values, there, interval) if interval else numpy.full((2, len(count)), numpy.nan)
        parts.append(
            pandas.DataFrame(
                {
                    "method": method,
                    "variant": variant,
                    "epoch": table.columns,
                    "seeds": count,
                    "missing": there.sum(0) - count,
                    "mean": mean,
                    "low": low,
                    "high": high,
                }
            )
        )
    return pandas.concat(parts, ignore_index=True)


def band(values: Floats, there: numpy.typing.NDArray[numpy.bool_], interval: BandOf) -> tuple[Floats, Floats]:
    """The lower and the upper end in every epoch, each (epochs,); NaN where a run that is there lacks its value.

    Args:
        values: (runs, epochs), NaN where missing.
        there: (runs, epochs), whether the run goes on so long.
        interval: of the runs that are there.
    """
    low, high = numpy.full((2, values.shape[1]), numpy.nan)
    whole = (~numpy.isnan(values) == there).all(0)
    for running in numpy.unique(there[:, whole], axis=1).T if whole.any() else ():
        epochs = whole & (there == running[:, None]).all(0)
        if running.sum() >= FEWEST:
            low[epochs], high[epochs] = interval(values[running][:, epochs])
    return low, high


def in_order(rows: pandas.DataFrame) -> list[tuple[str, str]]:
    """The (method, variant) pairs of some rows: methods as they appear, their variants sorted."""
    found = list(dict.fromkeys(zip(rows["method"], rows["variant"], strict=True)))
    methods = list(dict.fromkeys(method for method, _ in found))
    return sorted(found, key=lambda pair: (methods.index(pair[0]), natural(pair[1])))


def rows_of(study: Study, space: str, column: str) -> pandas.DataFrame:
    """The epochs of a space with a column, which may be one that is made of the table's accuracy.

    error_DATASET_SPLIT is 100 less the accuracy; lowest_error_DATASET_SPLIT the lowest so far in the run, missing where
    the epoch's own is. Rows in which curvature or rank correlation was not measured are left out: they are as often as
    the run says. Each row has the last epoch of its run, in the column ``last``.
    """
    rows = study.epochs[study.epochs["space"] == space]
    rows = rows.assign(last=rows.groupby("run", observed=True)["epoch"].transform("max"))
    if column.startswith(("error_", "lowest_error_")):
        error = 100 - rows[f"accuracy_{answer_of(column)}"]
        lowest = error.groupby(rows["run"], observed=True).cummin()
        return rows.assign(**{column: lowest if column.startswith("lowest") else error})
    counted = f"rank_count_{answer_of(column)}"  # a rank correlation that was measured may be undefined
    if column in CURVATURE or column.startswith("rank_"):
        return rows[rows[counted if counted in rows else column].notna()]
    return rows


def numbers_of(study: Study, wanted: Sequence[tuple[str, str]], interval: BandOf = bootstrap_band) -> pandas.DataFrame:
    """``over_epochs`` of (space, column) pairs in one frame, space and column first; counts get no interval."""
    parts = []
    for space, column in wanted:
        counts = column == "neighbours" or column.startswith(COUNTS)
        numbers = over_epochs(rows_of(study, space, column), column, None if counts else interval)
        parts.append(numbers.assign(space=space, column=column))
    return ordered(parts)


def ordered(numbers: list[pandas.DataFrame]) -> pandas.DataFrame:
    """The numbers of all panels with the panel first."""
    joined = told(pandas.concat(numbers, ignore_index=True))
    return joined[["space", "column", *joined.columns.drop(["space", "column"])]]


def with_curvature(study: Study) -> list[str]:
    """The spaces in which a Hessian was measured."""
    return [s for s in study.spaces if study.epochs.loc[study.epochs["space"] == s, "eigenvalue_max"].notna().any()]


def with_answers(study: Study, prefix: str = "accuracy_") -> list[tuple[str, str]]:
    """Pairs (space, DATASET_SPLIT) for which a column PREFIX + DATASET_SPLIT has a value."""
    found = []
    for space in study.spaces:
        rows = study.epochs[study.epochs["space"] == space]
        names = [name for name in answering(rows.columns, prefix) if rows[name].notna().any()]
        found += [(space, name.removeprefix(prefix)) for name in names]
    return found


def named_answers(study: Study) -> str:
    """Which data set and split the table is asked for, per space, in brackets; nothing where none answers."""
    found = {space: answers[0] for space in study.spaces if (answers := study.answers(space))}
    named = [f"{study.facts_of(space).title}: {answer_name(answer_of(column))}" for space, column in found.items()]
    return f" ({', '.join(named)})" if named else ""
