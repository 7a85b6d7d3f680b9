"""Accuracies of architectures that were trained from scratch: the mean over searches, and the best of four.

The unit of repetition is the search: the accuracies of an architecture's networks are averaged first. The best of four
is what the papers report (RobustDARTS, and SmoothDARTS after it): four searches, of which the one counts whose
architecture has the highest validation accuracy. It is no mean over searches, and stands beside one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy
import pandas

from nas_stability.analysis.names import RANDOM
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told, with_variant

SEARCHES = 4
"""Of which the best counts."""

NUMBERS = ("valid_accuracy", "test_accuracy", "table", "parameters", "macs")


def retrained(study: Study) -> pandas.DataFrame | None:
    """Test accuracy of what was found, trained from scratch: mean over searches, and the best of four by validation."""
    if study.evaluated is None:
        return None
    found = with_variant(study.evaluated, study.runs)
    column = "accuracy_" + found["data"] + "_test"
    found["table"] = [row.get(name, math.nan) for row, name in zip(found.to_dict("records"), column, strict=True)]
    keys = ["space", "method", "variant", "data", "protocol", "rule", "seed", "run"]
    searches = found.groupby(keys, sort=False)[list(NUMBERS)].mean().reset_index()
    searches["chosen"] = choosing(searches)
    order = {name: place for place, name in enumerate([*study.methods, RANDOM])}
    rows = []
    for group, runs in searches.groupby(keys[:-2], sort=False):
        rows.append({**dict(zip(keys[:-2], group, strict=True)), **row_of(runs)})
    table = pandas.DataFrame(rows)
    table["place"] = table["method"].map(order)
    table = table.sort_values(["space", "data", "protocol", "place", "variant", "rule"], kind="stable")
    table.insert(3, "answer", table.pop("data") + "_test")
    return told(table.drop(columns="place").reset_index(drop=True))


def choosing(searches: pandas.DataFrame) -> pandas.Series:
    """The validation accuracy by which a search is chosen: of the same training, or else of another.

    A protocol that trains on all images has none of its own; the papers choose by a short training then.
    """
    own = searches["valid_accuracy"]
    by_run = searches.dropna(subset="valid_accuracy").groupby(["space", "run"])["valid_accuracy"].first()
    other = [by_run.get((space, run), math.nan) for space, run in zip(searches["space"], searches["run"], strict=True)]
    return own.fillna(pandas.Series(other, index=searches.index, dtype=float))


def row_of(runs: pandas.DataFrame) -> Mapping[str, object]:
    """The searches of a method summarised."""
    row: dict[str, object] = {"seeds": len(runs)}
    for name, column in (("trained", "test_accuracy"), ("valid", "valid_accuracy"), ("table", "table")):
        values = estimate(runs[column].to_numpy(dtype=numpy.float64))
        row |= {name: values.mean, f"{name}_low": values.low, f"{name}_high": values.high}
        row[f"{name}_missing"] = values.missing
    return {
        **row,
        f"best_of_{SEARCHES}": best_of(runs["chosen"].tolist(), runs["test_accuracy"].tolist()),
        "parameters": float(runs["parameters"].mean()) / 1e6,
        "macs": float(runs["macs"].mean()) / 1e6,
    }


def best_of(chosen: list[float], told: list[float], draws: int = SEARCHES) -> float:
    """Expected test accuracy of the search that validation chooses of so many, drawn without replacement.

    With as many searches as are drawn it is that of the chosen one. Of equals the first counts. NaN where there are
    fewer, or one has not both numbers.

    Args:
        chosen: validation accuracy of each search, in percent.
        told: its test accuracy.
        draws: searches of which one is chosen.
    """
    if len(chosen) < draws or any(map(math.isnan, [*chosen, *told])):
        return math.nan
    ranked = sorted(range(len(chosen)), key=lambda place: (chosen[place], -place))
    subsets = math.comb(len(chosen), draws)
    return math.fsum(math.comb(rank, draws - 1) / subsets * told[place] for rank, place in enumerate(ranked))
