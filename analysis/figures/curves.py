"""Curves over epochs: accuracy and its errors, curvature, the discretisation gap, flatness, rank correlation.

Every ``draw_X(axes, study, space, ...)`` draws one panel into an axis of yours and returns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from nas_stability.analysis import escape
from nas_stability.analysis.averages import CURVATURE, BandOf, bootstrap_band, over_epochs, rows_of, standard_error
from nas_stability.analysis.by_chance import level
from nas_stability.analysis.figures.layout import LineLook, look
from nas_stability.analysis.figures.line_ends import MANY
from nas_stability.analysis.figures.panels import (
    CLOSE,
    LineStyle,
    answer_text,
    colour,
    epochs_axis,
    logarithmic,
    method_name,
    space_name,
)
from nas_stability.analysis.names import DEVIATION, answer_of, told_by
from nas_stability.analysis.study import Study, chosen
from nas_stability.analysis.variants import Group

Groups = Sequence[Group] | None
"""The groups of a space that a panel draws, a line each; all where None."""

DrawPanel = Callable[[Axes, Study, str, str, Groups], Axes]
"""(axes, study, space, what, groups) -> the axes: one of the ``draw_X``, of a column or DATASET_SPLIT of a space."""

DASHED: LineStyle = (0, (4, 1.5))
DOTTED: LineStyle = (0, (1, 1.2))
AT_RANDOM = LineLook("0.35", DASHED, False)
"""Of the level of an architecture drawn at random."""

GAP_STYLES: dict[str, LineStyle] = {
    "table": "solid",
    "surrogate": "solid",
    "supernet, mixture": DASHED,
    "supernet, one-hot": DOTTED,
}
FLATNESS_STYLES: dict[str, LineStyle] = {
    "architecture": "solid",
    "neighbours, mean": DASHED,
    "neighbours, worst": DOTTED,
}


Z = 1.96
"""Deviations of a normal distribution to either side of 95 %."""


def draw_lines(
    axes: Axes,
    rows: pandas.DataFrame,
    numbers: pandas.DataFrame,
    column: str,
    shade: str,
    line: LineStyle = "solid",
    faint: float = 1.0,
    label: str = "",
) -> Axes:
    """The curve of one group: a thin line per seed, the mean and its band.

    Args:
        axes: to draw in.
        rows: epochs of the group, with the column.
        numbers: of the group, as from ``over_epochs``.
        column: to draw.
        shade: colour.
        line: style of the mean's line.
        faint: opacity of the seeds and the band, less than 1 where many of them lie on each other; 0 leaves them out.
        label: of the mean's line.
    """
    seeds = [seed[["epoch", column]].to_numpy(dtype=numpy.float64) for _, seed in rows.groupby("run", observed=True)]
    if len(seeds) > 1 and faint:
        alpha = 0.45 if len(seeds) <= 6 else 0.22
        axes.add_collection(
            LineCollection(seeds, colors=shade, linewidths=0.5, alpha=alpha * faint**0.5, linestyles=line)
        )
    lone = len(numbers) == 1
    marker = "o" if lone else ""
    axes.plot(
        numbers["epoch"], numbers["mean"], color=shade, linestyle=line, marker=marker, markersize=3, label=label or None
    )
    if not faint:
        return axes
    axes.fill_between(numbers["epoch"], numbers["low"], numbers["high"], color=shade, alpha=0.18 * faint, linewidth=0)
    return axes


def draw_over_epochs(
    axes: Axes,
    study: Study,
    space: str,
    column: str,
    label: str = "",
    interval: BandOf = bootstrap_band,
    groups: Sequence[Group] | None = None,
) -> Axes:
    """A column over the epochs of a space: methods as colours, variants of one method as colours of a map.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        column: of epochs.csv, or error_DATASET_SPLIT or lowest_error_DATASET_SPLIT.
        label: of the vertical axis; the column by default.
        interval: of the mean.
        groups: of the space, a line each; all by default.
    """
    groups = study.groups(space) if groups is None else groups
    crowded = len({group.method for group in groups}) >= MANY
    rows = rows_of(study, space, column)
    parts = {group: chosen(rows, group) for group in groups}
    for group, part in reversed(parts.items()):  # so that the first method, the baseline, lies on top
        if len(part):
            found = look(study, group, groups)
            faint = 0.4 if found.of_variant else 0.0 if crowded else 1.0
            numbers = over_epochs(part, column, interval)
            end_label = method_name(group.method) if crowded and not found.of_variant else ""
            draw_lines(axes, part, numbers, column, found.shade, found.line, faint, end_label)
            draw_expected(axes, part, numbers, column, found.shade)
    draw_level(axes, study, space, column)
    axes.set_title(space_name(study, space))
    axes.set_ylabel(label or escape.figure(column), linespacing=CLOSE)
    epochs_axis(axes, sum(int(part[column].isna().sum()) for part in parts.values()), sum(map(len, parts.values())))
    return axes


def draw_expected(axes: Axes, part: pandas.DataFrame, numbers: pandas.DataFrame, column: str, shade: str) -> None:
    """Of what a surrogate expects, hatched: where measured values would lie, 95 of 100, around the mean over seeds."""
    deviation = f"accuracy_{answer_of(column)}{DEVIATION}"
    if not column.startswith(("accuracy_", "error_")) or deviation not in part:
        return
    half = Z * part.groupby("epoch")[deviation].mean().reindex(numbers["epoch"]).to_numpy()
    low, high = numbers["mean"] - half, numbers["mean"] + half
    axes.fill_between(
        numbers["epoch"],
        low,
        high,
        facecolor="none",
        edgecolor=shade,
        hatch="////",
        alpha=0.25,
        linewidth=0,
        zorder=0.5,
    )


def draw_level(axes: Axes, study: Study, space: str, column: str) -> None:
    """The level of an architecture drawn at random, dashed; nothing where it is not known."""
    at_random = level(study, space, column)
    if at_random is not None:
        axes.axhline(at_random, color=AT_RANDOM.shade, linestyle=AT_RANDOM.line, linewidth=0.9, zorder=1)


def draw_accuracy(axes: Axes, study: Study, space: str, answer: str, groups: Groups = None) -> Axes:
    """Table accuracy (percent) over epochs; ``answer`` is DATASET_SPLIT."""
    label = f"{told_by(answer)} accuracy,\n{answer_text(answer)} (%)"
    return draw_over_epochs(axes, study, space, f"accuracy_{answer}", label, groups=groups)


def draw_trajectory(axes: Axes, study: Study, space: str, answer: str, groups: Groups = None) -> Axes:
    """Error by the table (percent) of the architecture after each epoch; ``answer`` is DATASET_SPLIT."""
    return draw_over_epochs(axes, study, space, f"error_{answer}", error_label(answer), groups=groups)


def draw_best_so_far(axes: Axes, study: Study, space: str, answer: str, groups: Groups = None) -> Axes:
    """Lowest error by the table (percent) so far; ``answer`` is DATASET_SPLIT."""
    return draw_over_epochs(axes, study, space, f"lowest_error_{answer}", error_label(answer), groups=groups)


def error_label(answer: str) -> str:
    """CIFAR-10\ntest error (%)"""
    dataset, split = answer_text(answer).rsplit(" ", 1)
    return f"{dataset}\n{split} error (%)"


def draw_regret(axes: Axes, study: Study, space: str, answer: str, groups: Groups = None) -> Axes:
    """Regret (points) over epochs on a log axis with the standard error of the mean; ``answer`` is DATASET_SPLIT.

    A regret of 0 lies below every log axis: lines leave the panel at the bottom. Where no regret is positive the axis
    is linear.
    """
    column = f"regret_{answer}"
    dataset, split = answer_text(answer).rsplit(" ", 1)
    draw_over_epochs(axes, study, space, column, f"{dataset}\n{split} regret (points)", standard_error, groups)
    rows = rows_of(study, space, column)
    positive = over_epochs(rows, column, standard_error)["mean"]
    positive = positive[positive > 0]
    if len(positive):
        highest = float(rows[column].max())
        logarithmic(axes, float(positive.min()), highest)
        axes.set_ylim(0.7 * float(positive.min()), 1.3 * highest)
    return axes


def draw_hessian(axes: Axes, study: Study, space: str, column: str = "eigenvalue_max", groups: Groups = None) -> Axes:
    """Largest signed eigenvalue, or the spectral norm, over epochs; a log axis where all are positive."""
    draw_over_epochs(axes, study, space, column, CURVATURE[column].replace(" (", "\n("), groups=groups)
    values = rows_of(study, space, column)[column]
    if (values > 0).all():
        logarithmic(axes, float(values.min()), float(values.max()))
    return axes


def draw_rank(axes: Axes, study: Study, space: str, answer: str, groups: Groups = None) -> Axes:
    """Kendall's tau of supernet against table over a sample of architectures; ``answer`` is DATASET_SPLIT."""
    draw_over_epochs(axes, study, space, f"rank_tau_{answer}", "Kendall's tau,\nsupernet against table", groups=groups)
    axes.axhline(0, color="0.4", linewidth=0.7, zorder=1)
    return axes


def draw_layers(
    axes: Axes,
    study: Study,
    space: str,
    method: str,
    layers: dict[str, str],
    styles: Mapping[str, LineStyle],
    variant: str = "",
) -> Axes:
    """Several columns (in percent) of one group over epochs, told apart by the style of their lines.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        method: one of the study's.
        layers: name of a layer -> column.
        styles: name of a layer -> style of its line.
        variant: one of the method's.
    """
    rows = study.rows(Group(space, method, variant))
    for layer, column in layers.items():
        draw_lines(axes, rows, over_epochs(rows, column), column, colour(method, study.methods), styles[layer])
    axes.set_ylabel("accuracy (%)")
    axes.autoscale_view()
    missing = max(int(rows[column].isna().sum()) for column in layers.values())
    epochs_axis(axes, missing, len(rows))
    return axes


def gap_layers(study: Study, space: str) -> dict[str, str]:
    """The layers of the discretisation gap that a space has: name -> column."""
    found = {"supernet, mixture": "valid_accuracy", "supernet, one-hot": "discrete_valid_accuracy"}
    answers = study.answers(space)
    return {**found, told_by(answers[0]): answers[0]} if answers else found


def draw_gap(axes: Axes, study: Study, space: str, method: str, variant: str = "") -> Axes:
    """Validation accuracy of the supernet with its mixture and with the one-hot mixture, and the table's accuracy."""
    return draw_layers(axes, study, space, method, gap_layers(study, space), GAP_STYLES, variant)


def flatness_layers(study: Study, space: str) -> dict[str, str]:
    """The layers of the table's flatness that a space has: name -> column; none where there are no neighbours."""
    rows = study.epochs[study.epochs["space"] == space]
    for answer in study.answers(space):
        name = answer_of(answer)
        columns = {
            "neighbours, mean": f"neighbours_mean_{name}",
            "neighbours, worst": f"neighbours_worst_{name}",
        }
        found = {layer: column for layer, column in columns.items() if column in rows and rows[column].notna().any()}
        if found:
            return {"architecture": answer, **found}
    return {}


def draw_flatness(axes: Axes, study: Study, space: str, method: str, variant: str = "") -> Axes:
    """Table accuracy of the architecture, and mean and worst of all architectures one decision away from it."""
    layers = flatness_layers(study, space)
    draw_layers(axes, study, space, method, layers, FLATNESS_STYLES, variant)
    axes.set_ylabel(f"{told_by(layers.get('architecture', ''))} accuracy (%)")
    return axes
