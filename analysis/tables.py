"""Tables: a study in, a data frame out; as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy
import pandas

from analysis.stats import Estimate, estimate
from analysis.study import Study

Statistic = Callable[[pandas.DataFrame, str], float]
"""(epochs of one run, name of the accuracy column) -> one number, NaN where it has none."""


class Tabulate(Protocol):
    """A study -> one row per space and method; intervals as NAME_low and NAME_high."""

    def __call__(self, study: Study) -> pandas.DataFrame: ...


def best_row(run: pandas.DataFrame, answer: str) -> pandas.Series | None:
    """The first epoch with the highest table accuracy, None where the table never answered."""
    if not answer or run[answer].isna().all():
        return None
    return run.iloc[int(run[answer].to_numpy(dtype=numpy.float64, na_value=-numpy.inf).argmax())]


def at_best(run: pandas.DataFrame, answer: str) -> float:
    """Largest eigenvalue in the epoch whose architecture is best by the table."""
    row = best_row(run, answer)
    return numpy.nan if row is None else float(row["eigenvalue_max"])


def measured(run: pandas.DataFrame) -> pandas.Series:
    """The largest eigenvalues that were measured, in order of epochs."""
    return run["eigenvalue_max"].dropna()


def first(run: pandas.DataFrame, answer: str) -> float:
    """Largest eigenvalue in the first measured epoch after row 0: the untrained net says little of the search."""
    values = run.loc[run["epoch"] > 0, "eigenvalue_max"].dropna()
    return float(values.iloc[0]) if len(values) else numpy.nan


def last(run: pandas.DataFrame, answer: str) -> float:
    """Largest eigenvalue in the last measured epoch."""
    return float(measured(run).iloc[-1]) if len(measured(run)) else numpy.nan


def highest(run: pandas.DataFrame, answer: str) -> float:
    """Maximum over epochs of the largest eigenvalue."""
    return float(measured(run).max()) if len(measured(run)) else numpy.nan


def final_accuracy(run: pandas.DataFrame, answer: str) -> float:
    """Table accuracy of the last architecture, in percent."""
    return float(run[answer].iloc[-1]) if answer else numpy.nan


def best_accuracy(run: pandas.DataFrame, answer: str) -> float:
    """Highest table accuracy over the epochs, in percent."""
    return float(run[answer].max()) if answer else numpy.nan


def fall(run: pandas.DataFrame, answer: str) -> float:
    """Best less final table accuracy, in points; never negative."""
    return best_accuracy(run, answer) - final_accuracy(run, answer)


EIGENVALUES: dict[str, Statistic] = {"first": first, "at_best": at_best, "last": last, "max": highest}
RESULTS: dict[str, Statistic] = {"final": final_accuracy, "best": best_accuracy, "fall": fall}
SUMMARY: dict[str, Statistic] = {**RESULTS, "eigenvalue_max": highest}


def tabulate(study: Study, statistics: dict[str, Statistic]) -> pandas.DataFrame:
    """Per space and method: seeds, and mean with 95 % percentile bootstrap interval of each statistic over the seeds.

    The table accuracy is that of the first data set and split that the space's table answers for; column ``answer``.
    """
    rows = []
    for space in study.spaces:
        answer = next(iter(study.answers(space)), "")
        for method in study.methods:
            runs = study.epochs[(study.epochs["space"] == space) & (study.epochs["method"] == method)]
            if runs.empty:
                continue
            row: dict[str, object] = {"space": space, "method": method, "answer": answer.removeprefix("accuracy_")}
            row["seeds"] = runs["run"].nunique()
            for name, statistic in statistics.items():
                found = estimate(numpy.array([statistic(run, answer) for _, run in runs.groupby("run", sort=True)]))
                row |= columns(name, found)
            rows.append(row)
    return pandas.DataFrame(rows)


def columns(name: str, found: Estimate) -> dict[str, object]:
    """An estimate as columns: mean, ends of the interval, seeds without a value."""
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_missing": found.missing}


def eigenvalues(study: Study) -> pandas.DataFrame:
    """Largest eigenvalue of the Hessian: first (epoch 1), at the best architecture, last, maximum."""
    return tabulate(study, EIGENVALUES)


def results(study: Study) -> pandas.DataFrame:
    """Table accuracy: final, best, and the fall from best to final."""
    return tabulate(study, RESULTS)


def summary(study: Study) -> pandas.DataFrame:
    """What the command line prints after a study: one row per space and method, means over seeds."""
    found = tabulate(study, SUMMARY)
    return found[["space", "method", "answer", "seeds", *SUMMARY]]


def readable(table: pandas.DataFrame) -> pandas.DataFrame:
    """Mean and interval in one cell, for people; an interval that was refused is left out."""
    names = [name for name in table.columns if f"{name}_low" in table.columns]
    shown = table[[name for name in table.columns if not name.endswith(("_low", "_high", "_missing"))]].astype(object)
    for name in names:
        cells = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        shown[name] = [cell(*numbers) for numbers in cells]
    return shown


def cell(mean: float, low: float, high: float) -> str:
    """12.3 [11.9, 12.8]"""
    if numpy.isnan(mean):
        return "-"
    return number(mean) if numpy.isnan(low) else f"{number(mean)} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """Two decimals from 10 on, three significant digits below."""
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3g}"


def markdown(table: pandas.DataFrame) -> str:
    """The readable table in Markdown."""
    shown = readable(table)
    lines = [list(map(str, shown.columns)), ["---"] * len(shown.columns)]
    lines += [[str(value) for value in row] for row in shown.itertuples(index=False)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


TABLES: dict[str, Tabulate] = {
    "eigenvalues": eigenvalues,
    "results": results,
}
