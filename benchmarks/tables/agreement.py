"""How far the architectures of a table differ, and how far its seeds agree about them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy
import scipy.stats

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables.open_file import Floats, Table


@dataclass(frozen=True)
class Agreement:
    """How far architectures differ in a split of a table, and how far the seeds agree about it.

    Attributes:
        mean: over all networks, in percent.
        lowest: of the means over the seeds, in percent.
        highest: of the means over the seeds, in percent.
        cell_spread: standard deviation (n - 1) over the architectures of the mean over the seeds, in points.
        seed_spread: within-architecture standard deviation (n - 1) over the seeds, root of the mean square, in points.
        spearman: rank correlation between two seeds, mean over the pairs of seeds.
        kendall: likewise, tau-b.
    """

    mean: float
    lowest: float
    highest: float
    cell_spread: float
    seed_spread: float
    spearman: float
    kendall: float


def agreement(values: Floats) -> Agreement:
    """The agreement of accuracies in percent, one row per architecture and one column per seed (at least two each)."""
    means = values.mean(1)
    pairs = list(itertools.combinations(values.T, 2))
    return Agreement(
        mean=float(means.mean()),
        lowest=float(means.min()),
        highest=float(means.max()),
        cell_spread=float(means.std(ddof=1)),
        seed_spread=float(numpy.sqrt(values.var(1, ddof=1).mean())),
        spearman=float(numpy.mean([scipy.stats.spearmanr(*pair).statistic for pair in pairs])),
        kendall=float(numpy.mean([scipy.stats.kendalltau(*pair).statistic for pair in pairs])),
    )


def describe(table: Table, dataset: str, epochs: int) -> str:
    """What there is to know about a trained table, as Markdown.

    The agreement of each split, the rank correlation between the splits, and the best cell by each. Every architecture
    must have the same seeds.

    Raises:
        BadInput: it does not answer for the data set and budget, or has fewer than two seeds there.
    """
    values: dict[str, Floats] = {}
    for split in ("valid", "test"):
        if table.has(dataset, split, epochs):
            questions = table.questions(dataset, split, epochs, None)
            values[split] = numpy.stack([table.columns[question]() for question in questions], 1)
    if not values or min(columns.shape[1] for columns in values.values()) < 2:
        raise BadInput(f"the table {table.name} has fewer than two seeds of {dataset} at {epochs} epochs to compare")
    lines = [
        "| split | mean | lowest | highest | spread over cells | spread over seeds | Spearman | Kendall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for split, columns in values.items():
        seen = agreement(columns)
        lines.append(
            f"| {split} | {seen.mean:.2f} | {seen.lowest:.2f} | {seen.highest:.2f} | {seen.cell_spread:.2f} "
            f"| {seen.seed_spread:.2f} | {seen.spearman:.3f} | {seen.kendall:.3f} |"
        )
    means = {split: columns.mean(1) for split, columns in values.items()}
    if len(means) == 2:
        both = scipy.stats.spearmanr(*means.values()).statistic
        lines += ["", f"Spearman correlation between {' and '.join(means)}, means over the seeds: {both:.3f}."]
    lines += ["", f"| best by | arch | {' | '.join(means)} |", "|---|---|" + "---|" * len(means)]
    for split, column in means.items():
        best = int(column.argmax())
        scores = " | ".join(f"{other[best]:.2f}" for other in means.values())
        lines.append(f"| {split} | `{table.keys[best]}` | {scores} |")
    return "\n".join(lines) + "\n"
