"""Tables: a study in, a data frame out; as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy
import pandas
import scipy.stats

from nas_stability.analysis import by_chance
from nas_stability.analysis.discretised import TITLES, discretised
from nas_stability.analysis.names import answer_name, answer_of, method_name, space_name
from nas_stability.analysis.retrained import retrained
from nas_stability.analysis.statistics.intervals import CONFIDENCE, FEWEST, Estimate, Floats, estimate, summarised
from nas_stability.analysis.stopped import stops
from nas_stability.analysis.study import Study
from nas_stability.analysis.surrounded import surrounded
from nas_stability.analysis.variants import Group, told

COLLAPSE = 5.0
"""Points of table accuracy below its own best from which on the end of a run counts as a collapse."""

RunStatistic = Callable[[pandas.DataFrame, str], float]
"""(epochs of one run, name of the accuracy column) -> one number, NaN where it has none."""


class SummaryColumn(NamedTuple):
    """A column of a table: a number per run, how it is summarised over the seeds, and its heading for people."""

    statistic: RunStatistic
    heading: str
    summarise: Callable[[Floats], Estimate] = estimate


class Tabulate(Protocol):
    """A study -> one row per space, method and variant; intervals as NAME_low and NAME_high."""

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


def growth(run: pandas.DataFrame, answer: str) -> float:
    """Last over first of the largest eigenvalue (``last`` over ``first``); NaN unless both are positive."""
    start, end = first(run, answer), last(run, answer)
    return end / start if start > 0 and end > 0 else numpy.nan


def regret(run: pandas.DataFrame, answer: str) -> float:
    """Regret of the last architecture, in points."""
    column = f"regret_{answer_of(answer)}"
    return float(run[column].iloc[-1]) if answer and column in run else numpy.nan


def collapse(run: pandas.DataFrame, answer: str) -> float:
    """1 where the fall is more than COLLAPSE points, else 0; NaN where the fall is not known."""
    points = fall(run, answer)
    return numpy.nan if numpy.isnan(points) else float(points > COLLAPSE)


def area(run: pandas.DataFrame, answer: str) -> float:
    """Area under the trajectory: mean table accuracy over the epochs that have one, the untrained one included."""
    return float(run[answer].mean()) if answer else numpy.nan


def geometric(values: Floats) -> Estimate:
    """Geometric mean of the present values, with the interval of the mean of their logarithms."""
    found = estimate(numpy.log(values))
    mean, low, high = numpy.exp([found.mean, found.low, found.high])
    return found._replace(mean=float(mean), low=float(low), high=float(high))


def proportion(values: Floats) -> Estimate:
    """Share of the present zeros and ones that are one, with Wilson's 95 % interval; none for fewer than FEWEST."""

    def wilson(present: Floats) -> tuple[float, float]:
        found = scipy.stats.binomtest(int(present.sum()), len(present)).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

    return summarised(values, wilson)


EIGENVALUES = {
    "first": SummaryColumn(first, "first"),
    "at_best": SummaryColumn(at_best, "at best"),
    "last": SummaryColumn(last, "last"),
    "max": SummaryColumn(highest, "maximum"),
    "growth": SummaryColumn(growth, "growth factor", geometric),
}
RESULTS = {
    "final": SummaryColumn(final_accuracy, "final (%)"),
    "best": SummaryColumn(best_accuracy, "best (%)"),
    "fall": SummaryColumn(fall, "fall (points)"),
    "regret": SummaryColumn(regret, "regret (points)"),
    "collapse": SummaryColumn(collapse, "chance of collapse", proportion),
    "area": SummaryColumn(area, "area (%)"),
}
SUMMARY = {name: RESULTS[name] for name in ("final", "best", "fall")} | {"eigenvalue_max": EIGENVALUES["max"]}
HEADINGS = {name: column.heading for name, column in {**EIGENVALUES, **RESULTS}.items()} | {
    "trained": "trained, test (%)",
    "valid": "trained, validation (%)",
    "table": "by the table (%)",
    "best_of_4": "best of 4 by validation (%)",
    "parameters": "parameters (10^6)",
    "macs": "MACs (10^6)",
    "epoch": "returned epoch",
    "error": "supernet error there (%)",
    "error_at_end": "at the end (%)",
    "saved": "at the end, less there (points)",
    "differ": "other than argmax",
    "decided": "by the table (%)",
    "gain": "gain over argmax (points)",
    "around_distance": "decisions from the best",
    "around_barrier": "barrier to the best (points)",
    "around_alike": "within one point, of two decisions around (%)",
    "around_mean": "mean around (%)",
    "around_worst": "worst around (%)",
}

NOTES = {
    "eigenvalues": (
        "Largest signed eigenvalue of the exact Hessian of the validation loss with respect to the logits, in nats: "
        "in the first measured epoch after the untrained one, in the epoch whose architecture is best by the table "
        "(`answer`), in the last measured one, and the maximum over epochs. Growth factor: last over first per seed, "
        "geometric mean over seeds; a seed where one of the two is not positive counts as missing."
    ),
    "results": (
        "Table accuracy of the last architecture and of the best of all epochs, their difference, the regret of the "
        f"last one, the share of seeds whose last architecture is more than {COLLAPSE:g} points below their best, and "
        "the area under the trajectory: mean table accuracy over all epochs that have one. Column `unanswered`: rows "
        "(seeds times epochs) without a table accuracy, of all. The fall is never negative, so that noise alone makes "
        "one. Rows of random search: the expected accuracy, exactly by the table, of a raw configuration of the space "
        "that is drawn uniformly, and of the best by validation of so many."
    ),
    "evaluated": (
        "Found architectures trained from scratch: the mean over searches of their test accuracy, each the mean over "
        "its networks, and beside it what the papers report, the test accuracy of the best of four searches by "
        "validation accuracy (of more than four, the expectation over every choice of four): a maximum, not a mean. "
        "`rule`: which epoch's architecture. Random: architectures drawn uniformly, trained alike. By the table: what "
        "the table says of the same architectures."
    ),
    "stops": (
        "Searches as a stopping rule would have stopped them: how many, the epoch whose architecture is returned (of "
        "a search that goes on, the last), and the validation error of the supernet there, at the end of the search, "
        "and the second less the first."
    ),
    "discretised": (
        "Table accuracy of the architecture that a run ended with, by how its logits are decided (`policy`), and that "
        "less the accuracy by argmax, which is what runs record, seed by seed. Edge first: the edges of a node by "
        "their strength (SGAS's criterion), an edge of NAS-Bench-201 where it outweighs `none`, then the operations. "
        "Projection: edge by edge the operation, then the inputs, without which the supernet of the checkpoint has the "
        "lowest validation accuracy (DARTS-PT), without tuning in between. Column `differ`: runs whose architecture is "
        "another than by argmax."
    ),
    "geometry": (
        "Where the last architecture of a search lies in the table: decisions to the nearest best architecture of the "
        "space; the barrier between them, the lower of both accuracies less the lowest along the shortest path whose "
        "lowest is highest; and of the architectures within two decisions the share whose accuracy is at most one "
        "point from its own, their mean and the lowest."
    ),
}
"""Name of a table -> how its numbers were made."""

NAMES: dict[str, Callable[[str], str]] = {
    "space": space_name,
    "method": method_name,
    "variant": str,
    "answer": answer_name,
    "protocol": str,
    "rule": str,
    "policy": lambda policy: TITLES.get(policy, policy),
}
"""Columns of names, and how people write them."""

VARIANTS = (
    "Column `variant`: the fields in which the runs differ from others of their space and method; a field that is not "
    "named has its usual value. Seeds are counted, and averaged over, within one variant."
)
INTERVALS = (
    f"Mean over seeds [{100 * CONFIDENCE:.0f} % percentile bootstrap interval; of a share Wilson's], from {FEWEST} "
    "seeds on. (n = ...): seeds that have a value, where some have none."
)


def tabulate(study: Study, columns: Mapping[str, SummaryColumn], every_answer: bool = False) -> pandas.DataFrame:
    """Per space, data set and split, method and variant: seeds, and mean with interval of each column over the seeds.

    The column ``variant`` is there only where something varies.

    Args:
        study: in question.
        columns: name -> column.
        every_answer: a row for every data set and split that the space's table answers for; else only for the first.
    """
    rows = []
    for space in study.spaces:
        answers = study.answers(space) or [""]
        for answer in answers if every_answer else answers[:1]:
            for group in study.groups(space):
                rows.append({**group._asdict(), **row_of(study.rows(group), answer, columns)})
    return told(pandas.DataFrame(rows))


def row_of(runs: pandas.DataFrame, answer: str, columns: Mapping[str, SummaryColumn]) -> dict[str, object]:
    """One row of a table: the runs of a space, method and variant summarised."""
    row: dict[str, object] = {"answer": answer_of(answer), "seeds": runs["seed"].nunique()}
    for name, column in columns.items():
        of_runs = [column.statistic(run, answer) for _, run in runs.groupby("run", sort=True, observed=True)]
        found = column.summarise(numpy.array(of_runs))
        row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        row[f"{name}_missing"] = found.missing
    return row


def eigenvalues(study: Study) -> pandas.DataFrame:
    """Largest eigenvalue of the Hessian: first (epoch 1), at the best architecture, last, maximum, growth factor."""
    return tabulate(study, EIGENVALUES)


def results(study: Study) -> pandas.DataFrame:
    """Table accuracy: final, best, fall, regret, chance of collapse, area; for every data set and split."""
    found = tabulate(study, RESULTS, every_answer=True)
    rows, unanswered = [], []
    labels = found.get("variant", pandas.Series("", found.index))
    for *group, answer in zip(found["space"], found["method"], labels, found["answer"], strict=True):
        runs = study.rows(Group(*group))
        rows.append(len(runs))
        unanswered.append(int(runs[f"accuracy_{answer}"].isna().sum()) if answer else len(runs))
    return with_random(study, found.assign(unanswered=unanswered, rows=rows))


def with_random(study: Study, table: pandas.DataFrame) -> pandas.DataFrame:
    """The table of results with rows of random search behind the methods of each space, data set and split."""
    parts = []
    for place, of_answer in table.groupby(["space", "answer"], sort=False):
        parts += [of_answer, pandas.DataFrame(by_chance.results(study, *map(str, place)))]
    joined = pandas.concat([part for part in parts if len(part)], ignore_index=True)
    counts = [name for name in joined.columns if name.endswith("_missing") or name in ("unanswered", "rows", "seeds")]
    return joined.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


def summary(study: Study) -> pandas.DataFrame:
    """What the command line prints after a study: one row per space, method and variant, means over seeds."""
    found = tabulate(study, SUMMARY)
    return found[[name for name in ("space", "method", "variant", "answer", "seeds", *SUMMARY) if name in found]]


TABLES: dict[str, Tabulate] = {
    "eigenvalues": eigenvalues,
    "results": results,
}

OCCASIONAL: dict[str, Callable[[Study], pandas.DataFrame | None]] = {
    "evaluated": retrained,
    "stops": stops,
    "geometry": surrounded,
    "discretised": discretised,
}
"""Tables that a study has only if something of it was trained from scratch, is read as stopped by a rule, was looked
for in the table's geometry, or was decided by several policies."""
