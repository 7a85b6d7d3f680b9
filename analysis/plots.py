"""Figures: a study in, a figure and the numbers drawn out. Every figure has its numbers as a data frame."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import matplotlib
import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.stats import FEWEST, bootstrap_mean
from analysis.study import METHODS, Study

PALETTE = ("#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart with every common colour blindness; in the order of METHODS, others after."""

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "pdf.fonttype": 42,
}
PAPER = {"font.family": "serif", "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7}
PANEL = (3.3, 2.5)
"""Inches of one panel: a column of a paper."""

NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120", "digits": "digits"}
SPLIT_NAMES = {"valid": "validation", "test": "test"}
CURVATURE = {"eigenvalue_max": "largest eigenvalue (nats)", "spectral_norm": "spectral norm (nats)"}


class Drawn(NamedTuple):
    """A figure, the numbers that it shows, and how they were made: its caption in a report."""

    figure: Figure
    numbers: pandas.DataFrame
    caption: str


BAND = (
    "Thick: mean over seeds; thin: single seeds; band: 95 % percentile bootstrap interval of the mean, whole seeds "
    "resampled, from three seeds on."
)


class Draw(Protocol):
    """A study -> a figure, or None where the study has nothing to draw in it."""

    def __call__(self, study: Study) -> Drawn | None: ...


def colour(method: str, methods: list[str]) -> str:
    """The colour of a method, the same in every figure."""
    if method in METHODS:
        return PALETTE[METHODS.index(method)]
    others = [name for name in methods if name not in METHODS]
    return PALETTE[(len(METHODS) + others.index(method)) % len(PALETTE)]


def over_epochs(rows: pandas.DataFrame, column: str) -> pandas.DataFrame:
    """Per method and epoch: mean over the seeds that have a value, band, and how many have one.

    The band is the 95 % percentile bootstrap interval of the mean, seeds resampled whole; it is empty in epochs where
    a seed lacks its value and for fewer than three seeds.

    Args:
        rows: epochs of one space.
        column: to summarise.

    Returns:
        method, epoch, seeds, missing, mean, low, high.
    """
    parts = []
    for method, of_method in rows.groupby("method", sort=False):
        table = of_method.pivot_table(index="run", columns="epoch", values=column, dropna=False)
        values = table.to_numpy(dtype=numpy.float64)
        present = ~numpy.isnan(values)
        count = present.sum(0)
        mean = numpy.divide(
            numpy.where(present, values, 0.0).sum(0), count, out=numpy.full(len(count), numpy.nan), where=count > 0
        )
        low, high = numpy.full((2, len(count)), numpy.nan)
        whole = present.all(0)
        if len(values) >= FEWEST and whole.any():
            low[whole], high[whole] = bootstrap_mean(values[:, whole])
        parts.append(
            pandas.DataFrame(
                {
                    "method": method,
                    "epoch": table.columns,
                    "seeds": count,
                    "missing": len(values) - count,
                    "mean": mean,
                    "low": low,
                    "high": high,
                }
            )
        )
    return pandas.concat(parts, ignore_index=True)


def draw_over_epochs(axes: Axes, rows: pandas.DataFrame, column: str, methods: list[str]) -> pandas.DataFrame:
    """Draws a column over epochs: a thin line per seed, the mean, and a band; returns the numbers of the mean."""
    numbers = over_epochs(rows, column)
    for method in methods:
        mean = numbers[numbers["method"] == method]
        if mean.empty:
            continue
        shade = colour(method, methods)
        for _, seed in rows[rows["method"] == method].groupby("run"):
            axes.plot(seed["epoch"], seed[column], color=shade, linewidth=0.6, alpha=0.45)
        axes.plot(mean["epoch"], mean["mean"], color=shade, label=method)
        axes.fill_between(mean["epoch"], mean["low"], mean["high"], color=shade, alpha=0.18, linewidth=0)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return numbers


def panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of at most ``columns``."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.35), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.ravel())
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes[:count]


def legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend under the figure."""
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def answer_label(column: str) -> str:
    """accuracy_DATASET_SPLIT as people write it."""
    _, dataset, split = column.split("_")
    return f"{NAMES.get(dataset, dataset)} {SPLIT_NAMES.get(split, split)}"


def draw_panel(panel: Axes, study: Study, space: str, column: str, title: str, label: str) -> pandas.DataFrame:
    """Draws a column of a space over epochs in a panel of its own; returns the numbers of the mean.

    An axis of eigenvalues is logarithmic where all of them are positive.
    """
    rows = study.epochs[study.epochs["space"] == space]
    if column in CURVATURE:  # it may be measured less often than every epoch
        rows = rows[rows[column].notna()]
    numbers = draw_over_epochs(panel, rows, column, study.methods)
    if column in CURVATURE and (rows[column] > 0).all():
        panel.set_yscale("log")
    panel.set_title(title)
    panel.set_ylabel(label)
    return numbers.assign(space=space, column=column)


def curved(study: Study) -> list[str]:
    """The spaces in which a Hessian was measured."""
    return [s for s in study.spaces if study.epochs.loc[study.epochs["space"] == s, "eigenvalue_max"].notna().any()]


def trajectory(study: Study) -> Drawn | None:
    """Table accuracy of the current architecture over epochs: a panel per space, data set and split."""
    wanted = [(space, column) for space in study.spaces for column in study.answers(space)]
    if not wanted:
        return None
    figure, axes = panels(len(wanted), 3)
    numbers = [
        draw_panel(panel, study, space, column, f"{space}: {answer_label(column)}", "table accuracy (%)")
        for panel, (space, column) in zip(axes, wanted, strict=True)
    ]
    legend(figure, axes)
    return Drawn(figure, ordered(numbers), f"Table accuracy of the architecture after each epoch. {BAND}")


def hessian(study: Study) -> Drawn | None:
    """Largest signed eigenvalue and spectral norm of the Hessian over epochs: a row per space, log axis."""
    wanted = [(space, column) for space in curved(study) for column in CURVATURE]
    if not wanted:
        return None
    figure, axes = panels(len(wanted), len(CURVATURE))
    numbers = [
        draw_panel(panel, study, space, column, space, CURVATURE[column])
        for panel, (space, column) in zip(axes, wanted, strict=True)
    ]
    legend(figure, axes)
    return Drawn(figure, ordered(numbers), f"Hessian of the validation loss with respect to the logits, exact. {BAND}")


def overview(study: Study) -> Drawn | None:
    """README's figure: a row per space, table accuracy (first data set and split) and largest eigenvalue."""
    spaces = [space for space in curved(study) if study.answers(space)]
    if not spaces:
        return None
    figure, axes = panels(2 * len(spaces), 2)
    numbers = []
    for space, left, right in zip(spaces, axes[::2], axes[1::2], strict=True):
        answer = study.answers(space)[0]
        label = f"table accuracy,\n{answer_label(answer)} (%)"
        numbers.append(draw_panel(left, study, space, answer, space, label))
        numbers.append(draw_panel(right, study, space, "eigenvalue_max", space, CURVATURE["eigenvalue_max"]))
    legend(figure, axes)
    return Drawn(figure, ordered(numbers), f"Left: table accuracy. Right: largest eigenvalue of the Hessian. {BAND}")


def ordered(numbers: list[pandas.DataFrame]) -> pandas.DataFrame:
    """The numbers of all panels with the panel first."""
    joined = pandas.concat(numbers, ignore_index=True)
    return joined[["space", "column", *joined.columns.drop(["space", "column"])]]


def style(paper: bool) -> dict[Any, Any]:
    """Settings of matplotlib for the figures."""
    defaults: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    return {**defaults, "backend": "Agg", **STYLE, **(PAPER if paper else {})}


FIGURES: dict[str, Draw] = {
    "overview": overview,
    "trajectory": trajectory,
    "hessian": hessian,
}
