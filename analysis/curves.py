"""Curves over epochs: accuracy and its errors, curvature, the discretisation gap, flatness, rank correlation.

Every ``draw_X(axes, study, space, ...)`` draws one panel into an axis of yours and returns it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy
import pandas
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.panels import (
    CLOSE,
    MOST_COLUMNS,
    SCREEN,
    Drawn,
    LineStyle,
    Page,
    answer_label,
    colour,
    epochs_axis,
    legend,
    logarithmic,
    method_handles,
    outer,
    panels,
    panels_of_methods,
    space_name,
)
from analysis.stats import FEWEST, Floats, bootstrap_mean
from analysis.study import Study

Interval = Callable[[Floats], tuple[Floats, Floats]]
"""Values (seeds, epochs), at least FEWEST seeds -> lower and upper end, each (epochs,)."""

DrawPanel = Callable[[Axes, Study, str, str], Axes]
"""(axes, study, space, what) -> the axes: one of the ``draw_X``, of a column or DATASET_SPLIT of a space."""

CURVATURE = {"eigenvalue_max": "largest eigenvalue (nats)", "spectral_norm": "spectral norm (nats)"}

BAND = (
    "Thick: mean over seeds; thin: single seeds; band: 95 % percentile bootstrap interval of the mean, whole seeds "
    "resampled, from three seeds on."
)
PAPER_SPACES = ("nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3")
"""The spaces of the paper's main figures, in its order."""

COUNTS = ("neighbours_missing_", "rank_count_")
"""Columns that count, beside ``neighbours``: their means have no interval."""

DASHED: LineStyle = (0, (4, 1.5))
DOTTED: LineStyle = (0, (1, 1.2))
GAP_STYLES: dict[str, LineStyle] = {"table": "solid", "supernet, mixture": DASHED, "supernet, one-hot": DOTTED}
FLATNESS_STYLES: dict[str, LineStyle] = {
    "architecture": "solid",
    "neighbours, mean": DASHED,
    "neighbours, worst": DOTTED,
}


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


def over_epochs(rows: pandas.DataFrame, column: str, interval: Interval | None = bootstrap_band) -> pandas.DataFrame:
    """Per method and epoch: mean over the seeds that have a value, band, and how many have one.

    The band is empty in epochs where a seed lacks its value and for fewer than three seeds.

    Args:
        rows: epochs of one space.
        column: to summarise.
        interval: of the mean; the 95 % percentile bootstrap interval, seeds resampled whole, by default; None for none.

    Returns:
        method, epoch, seeds, missing, mean, low, high.
    """
    parts = []
    for method, of_method in rows.groupby("method", sort=False):
        table = of_method.set_index(["run", "epoch"])[column].unstack()
        values = table.to_numpy(dtype=numpy.float64)
        present = ~numpy.isnan(values)
        count = present.sum(0)
        mean = numpy.divide(
            numpy.where(present, values, 0.0).sum(0), count, out=numpy.full(len(count), numpy.nan), where=count > 0
        )
        low, high = numpy.full((2, len(count)), numpy.nan)
        whole = present.all(0)
        if interval and len(values) >= FEWEST and whole.any():
            low[whole], high[whole] = interval(values[:, whole])
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


def rows_of(study: Study, space: str, column: str) -> pandas.DataFrame:
    """The epochs of a space with a column, which may be one that is made of the table's accuracy.

    error_DATASET_SPLIT is 100 less the accuracy; lowest_error_DATASET_SPLIT the lowest so far in the run, missing where
    the epoch's own is. Rows in which curvature or rank correlation was not measured are left out: they are as often as
    the run says.
    """
    rows = study.epochs[study.epochs["space"] == space]
    if column.startswith(("error_", "lowest_error_")):
        error = 100 - rows["accuracy_" + column.split("error_")[1]]
        lowest = error.groupby(rows["run"], observed=True).cummin()
        return rows.assign(**{column: lowest if column.startswith("lowest") else error})
    counted = column.replace("rank_tau_", "rank_count_")  # a rank correlation that was measured may be undefined
    if column in CURVATURE or column.startswith("rank_"):
        return rows[rows[counted if counted in rows else column].notna()]
    return rows


def draw_lines(
    axes: Axes,
    rows: pandas.DataFrame,
    numbers: pandas.DataFrame,
    column: str,
    shade: str,
    line: LineStyle = "solid",
) -> Axes:
    """The curve of one method: a thin line per seed, the mean and its band.

    Args:
        axes: to draw in.
        rows: epochs of the method, with the column.
        numbers: of the method, as from ``over_epochs``.
        column: to draw.
        shade: colour.
        line: style of the mean's line.
    """
    seeds = [seed[["epoch", column]].to_numpy(dtype=numpy.float64) for _, seed in rows.groupby("run", observed=True)]
    if len(seeds) > 1:
        alpha = 0.45 if len(seeds) <= 6 else 0.22
        axes.add_collection(LineCollection(seeds, colors=shade, linewidths=0.5, alpha=alpha, linestyles=line))
    lone = len(numbers) == 1
    axes.plot(numbers["epoch"], numbers["mean"], color=shade, linestyle=line, marker="o" if lone else "", markersize=3)
    axes.fill_between(numbers["epoch"], numbers["low"], numbers["high"], color=shade, alpha=0.18, linewidth=0)
    return axes


def draw_over_epochs(
    axes: Axes, study: Study, space: str, column: str, label: str = "", interval: Interval = bootstrap_band
) -> Axes:
    """A column over the epochs of a space, methods as colours.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        column: of epochs.csv, or error_DATASET_SPLIT or lowest_error_DATASET_SPLIT.
        label: of the vertical axis; the column by default.
        interval: of the mean.
    """
    rows = rows_of(study, space, column)
    numbers = over_epochs(rows, column, interval)
    for method in reversed(study.methods):  # so that the first method, the baseline, lies on top
        if (numbers["method"] == method).any():
            shade = colour(method, study.methods)
            draw_lines(axes, rows[rows["method"] == method], numbers[numbers["method"] == method], column, shade)
    axes.set_title(space_name(space))
    axes.set_ylabel(label or column, linespacing=CLOSE)
    epochs_axis(axes, int(rows[column].isna().sum()), len(rows))
    return axes


def draw_accuracy(axes: Axes, study: Study, space: str, answer: str) -> Axes:
    """Table accuracy (percent) over epochs; ``answer`` is DATASET_SPLIT."""
    label = f"table accuracy,\n{answer_label('_' + answer)} (%)"
    return draw_over_epochs(axes, study, space, f"accuracy_{answer}", label)


def draw_trajectory(axes: Axes, study: Study, space: str, answer: str) -> Axes:
    """Error by the table (percent) of the architecture after each epoch; ``answer`` is DATASET_SPLIT."""
    return draw_over_epochs(axes, study, space, f"error_{answer}", error_label(answer))


def draw_best_so_far(axes: Axes, study: Study, space: str, answer: str) -> Axes:
    """Lowest error by the table (percent) so far; ``answer`` is DATASET_SPLIT."""
    return draw_over_epochs(axes, study, space, f"lowest_error_{answer}", error_label(answer))


def error_label(answer: str) -> str:
    """CIFAR-10\ntest error (%)"""
    dataset, split = answer_label("_" + answer).rsplit(" ", 1)
    return f"{dataset}\n{split} error (%)"


def draw_regret(axes: Axes, study: Study, space: str, answer: str) -> Axes:
    """Regret (points) over epochs on a log axis with the standard error of the mean; ``answer`` is DATASET_SPLIT.

    A regret of 0 lies below every log axis: lines leave the panel at the bottom. Where no regret is positive the axis
    is linear.
    """
    column = f"regret_{answer}"
    dataset, split = answer_label("_" + answer).rsplit(" ", 1)
    draw_over_epochs(axes, study, space, column, f"{dataset}\n{split} regret (points)", standard_error)
    rows = rows_of(study, space, column)
    positive = over_epochs(rows, column, standard_error)["mean"]
    positive = positive[positive > 0]
    if len(positive):
        highest = float(rows[column].max())
        logarithmic(axes, float(positive.min()), highest)
        axes.set_ylim(0.7 * float(positive.min()), 1.3 * highest)
    return axes


def draw_hessian(axes: Axes, study: Study, space: str, column: str = "eigenvalue_max") -> Axes:
    """Largest signed eigenvalue, or the spectral norm, over epochs; a log axis where all are positive."""
    draw_over_epochs(axes, study, space, column, CURVATURE[column].replace(" (", "\n("))
    values = rows_of(study, space, column)[column]
    if (values > 0).all():
        logarithmic(axes, float(values.min()), float(values.max()))
    return axes


def draw_rank(axes: Axes, study: Study, space: str, answer: str) -> Axes:
    """Kendall's tau of supernet against table over a sample of architectures; ``answer`` is DATASET_SPLIT."""
    draw_over_epochs(axes, study, space, f"rank_tau_{answer}", "Kendall's tau,\nsupernet against table")
    axes.axhline(0, color="0.4", linewidth=0.7, zorder=1)
    return axes


def draw_layers(
    axes: Axes,
    study: Study,
    space: str,
    method: str,
    layers: dict[str, str],
    styles: Mapping[str, LineStyle],
) -> Axes:
    """Several columns (in percent) of one method over epochs, told apart by the style of their lines.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        method: one of the study's.
        layers: name of a layer -> column.
        styles: name of a layer -> style of its line.
    """
    rows = study.epochs[(study.epochs["space"] == space) & (study.epochs["method"] == method)]
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
    return {**found, "table": answers[0]} if answers else found


def draw_gap(axes: Axes, study: Study, space: str, method: str) -> Axes:
    """Validation accuracy of the supernet with its mixture and with the one-hot mixture, and the table's accuracy."""
    return draw_layers(axes, study, space, method, gap_layers(study, space), GAP_STYLES)


def flatness_layers(study: Study, space: str) -> dict[str, str]:
    """The layers of the table's flatness that a space has: name -> column; none where there are no neighbours."""
    rows = study.epochs[study.epochs["space"] == space]
    for answer in study.answers(space):
        name = answer.removeprefix("accuracy_")
        columns = {
            "neighbours, mean": f"neighbours_mean_{name}",
            "neighbours, worst": f"neighbours_worst_{name}",
        }
        found = {layer: column for layer, column in columns.items() if column in rows and rows[column].notna().any()}
        if found:
            return {"architecture": answer, **found}
    return {}


def draw_flatness(axes: Axes, study: Study, space: str, method: str) -> Axes:
    """Table accuracy of the architecture, and mean and worst of all architectures one decision away from it."""
    draw_layers(axes, study, space, method, flatness_layers(study, space), FLATNESS_STYLES)
    axes.set_ylabel("table accuracy (%)")
    return axes


def numbers_of(
    study: Study, wanted: Sequence[tuple[str, str]], interval: Interval = bootstrap_band
) -> pandas.DataFrame:
    """``over_epochs`` of (space, column) pairs in one frame, space and column first; counts get no interval."""
    parts = []
    for space, column in wanted:
        counts = column == "neighbours" or column.startswith(COUNTS)
        numbers = over_epochs(rows_of(study, space, column), column, None if counts else interval)
        parts.append(numbers.assign(space=space, column=column))
    return ordered(parts)


def ordered(numbers: list[pandas.DataFrame]) -> pandas.DataFrame:
    """The numbers of all panels with the panel first."""
    joined = pandas.concat(numbers, ignore_index=True)
    return joined[["space", "column", *joined.columns.drop(["space", "column"])]]


def with_curvature(study: Study) -> list[str]:
    """The spaces in which a Hessian was measured."""
    return [s for s in study.spaces if study.epochs.loc[study.epochs["space"] == s, "eigenvalue_max"].notna().any()]


def with_answers(study: Study, prefix: str = "accuracy_") -> list[tuple[str, str]]:
    """Pairs (space, DATASET_SPLIT) for which a column PREFIX + DATASET_SPLIT has a value."""
    found = []
    for space in study.spaces:
        rows = study.epochs[study.epochs["space"] == space]
        names = [name for name in rows.columns if name.startswith(prefix) and rows[name].notna().any()]
        found += [(space, name.removeprefix(prefix)) for name in names]
    return found


def figure_of(
    study: Study, page: Page, wanted: Sequence[tuple[str, str]], draw: DrawPanel, columns: int, wide: bool = False
) -> Figure:
    """A panel per pair of a space and what ``draw`` draws of it, with one legend of the methods."""
    figure, axes = panels(len(wanted), columns, page, wide=wide)
    for panel, (space, name) in zip(axes, wanted, strict=True):
        draw(panel, study, space, name)
    legend(figure, method_handles(study.methods))
    return figure


def prefixed(prefix: str, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The columns PREFIX + DATASET_SPLIT of pairs (space, DATASET_SPLIT)."""
    return [(space, prefix + answer) for space, answer in wanted]


def overview(study: Study, page: Page = SCREEN) -> Drawn | None:
    """README's figure: a row per space, table accuracy (first data set and split) and largest eigenvalue."""
    spaces = [space for space in with_curvature(study) if study.answers(space)]
    if not spaces:
        return None
    figure, axes = panels(2 * len(spaces), 2, page)
    wanted = []
    for space, left, right in zip(spaces, axes[::2], axes[1::2], strict=True):
        answer = study.answers(space)[0]
        draw_accuracy(left, study, space, answer.removeprefix("accuracy_"))
        draw_hessian(right, study, space)
        wanted += [(space, answer), (space, "eigenvalue_max")]
    legend(figure, method_handles(study.methods))
    caption = f"Left: table accuracy. Right: largest eigenvalue of the Hessian. {BAND}"
    return Drawn(figure, numbers_of(study, wanted), caption)


def trajectory(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Error by the table of the current architecture over epochs: a panel per space, data set and split."""
    wanted = with_answers(study)
    if not wanted:
        return None
    figure = figure_of(study, page, wanted, draw_trajectory, columns_for(len(wanted), page))
    numbers = numbers_of(study, prefixed("error_", wanted))
    caption = f"Error by the table (100 less its accuracy) of the architecture after each epoch. {BAND}"
    return Drawn(figure, numbers, caption)


def best_so_far(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Lowest error so far: a panel per space, data set and split."""
    wanted = with_answers(study)
    if not wanted:
        return None
    figure = figure_of(study, page, wanted, draw_best_so_far, columns_for(len(wanted), page))
    numbers = numbers_of(study, prefixed("lowest_error_", wanted))
    caption = (
        "Lowest error by the table among the architectures of a run up to each epoch, the untrained one included: "
        f"what a search would leave that knew when to stop. It can only fall, also by chance. {BAND}"
    )
    return Drawn(figure, numbers, caption)


def regret(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Regret on a log axis with the standard error of the mean: a panel per space, data set and split."""
    wanted = with_answers(study, "regret_")
    if not wanted:
        return None
    figure = figure_of(study, page, wanted, draw_regret, columns_for(len(wanted), page))
    numbers = numbers_of(study, prefixed("regret_", wanted), standard_error)
    caption = (
        "Regret: the table's accuracy of the best architecture that the space reaches less that of the architecture "
        "after each epoch, as NAS-Bench-1Shot1 draws it. Thick: mean over seeds; thin: single seeds; band: mean less "
        "and plus its standard error, from three seeds on. The axis is logarithmic: a regret of 0 is below it."
    )
    return Drawn(figure, numbers, caption)


def hessian(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Largest signed eigenvalue and spectral norm of the Hessian over epochs: a row per space, log axis."""
    wanted = [(space, column) for space in with_curvature(study) for column in CURVATURE]
    if not wanted:
        return None
    figure = figure_of(study, page, wanted, draw_hessian, len(CURVATURE))
    caption = (
        "Exact Hessian of the validation loss with respect to the logits. Left: its largest signed eigenvalue; right: "
        f"its spectral norm, the largest absolute eigenvalue. {BAND}"
    )
    return Drawn(figure, numbers_of(study, wanted), caption)


def gap(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Discretisation gap: a panel per space and method, its layers as styles of line."""
    wanted = places(study, study.spaces)
    if not wanted:
        return None
    figure, axes = panels_of_methods(study, wanted, page)
    for (space, method), panel in axes.items():
        draw_gap(panel, study, space, method)
    outer(axes)
    names = {layer: column for space in study.spaces for layer, column in gap_layers(study, space).items()}
    legend(figure, style_handles(names, GAP_STYLES))
    columns = [(space, column) for space in study.spaces for column in gap_layers(study, space).values()]
    tables = named_answers(study)
    caption = (
        "Accuracy of the supernet on its validation half with the softmax of the logits and with the one-hot mixture, "
        f"and the table's accuracy of that architecture, trained by itself{tables}. {BAND}"
    )
    return Drawn(figure, numbers_of(study, columns), caption)


def flatness(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Flatness of the table: a panel per space and method, its layers as styles of line."""
    spaces = [space for space in study.spaces if flatness_layers(study, space)]
    if not spaces:
        return None
    figure, axes = panels_of_methods(study, places(study, spaces), page)
    for (space, method), panel in axes.items():
        draw_flatness(panel, study, space, method)
    outer(axes)
    names = {layer: column for space in spaces for layer, column in flatness_layers(study, space).items()}
    legend(figure, style_handles(names, FLATNESS_STYLES))
    wanted = []
    for space in spaces:
        layers = flatness_layers(study, space)
        answer = layers["architecture"].removeprefix("accuracy_")
        counts = [name for name in ("neighbours", f"neighbours_missing_{answer}") if name in study.epochs]
        wanted += [(space, column) for column in [*layers.values(), *counts]]
    answers = ", ".join(f"{space_name(s)}: {answer_label(flatness_layers(study, s)['architecture'])}" for s in spaces)
    caption = (
        "Table accuracy of the architecture after each epoch, and mean and worst table accuracy of all architectures "
        f"that differ from it in one decision ({answers}); neighbours that the table lacks are left out of both and "
        f"counted beside them in the numbers. {BAND}"
    )
    return Drawn(figure, numbers_of(study, wanted), caption)


def rank(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Kendall's tau of supernet against table over epochs: a panel per space, data set and split."""
    wanted = with_answers(study, "rank_tau_")
    if not wanted:
        return None
    figure = figure_of(study, page, wanted, draw_rank, columns_for(len(wanted), page))
    for panel, (space, answer) in zip(figure.axes, wanted, strict=False):
        panel.set_title(f"{space_name(space)}\n{answer_label('_' + answer)}", linespacing=CLOSE)
    counts = [(space, name) for space, name in prefixed("rank_count_", wanted) if name in study.epochs]
    numbers = numbers_of(study, [*prefixed("rank_tau_", wanted), *counts])
    sizes = [study.epochs.loc[study.epochs["space"] == space, name].max() for space, name in counts]
    compared = f"up to {max(sizes):.0f} architectures of" if sizes else "the architectures of"
    caption = (
        "Kendall's tau-b between the supernet's accuracy at decided mixtures, on the probe batch of the validation "
        f"half, and the table's accuracy, over {compared} one fixed stratified sample: 1 is the same order, 0 none. "
        f"{BAND}"
    )
    return Drawn(figure, numbers, caption)


def paper_trajectory(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The paper's arrangement of the trajectory: S1, S2, S3 in a row, test error where the table knows it."""
    wanted = []
    for space in PAPER_SPACES:
        answers = [name.removeprefix("accuracy_") for name in study.answers(space)] if space in study.spaces else []
        wanted += [(space, next((name for name in answers if name.endswith("_test")), name)) for name in answers[:1]]
    if len(wanted) < len(PAPER_SPACES):
        return None
    figure = figure_of(study, page, wanted, draw_trajectory, MOST_COLUMNS, wide=True)
    numbers = numbers_of(study, prefixed("error_", wanted))
    caption = f"Anytime error by the table in the three spaces of NAS-Bench-1Shot1. {BAND}"
    return Drawn(figure, numbers, caption)


def paper_hessian(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The paper's arrangement of the Hessian: S1, S2, S3 in a row, largest eigenvalue."""
    spaces = with_curvature(study)
    if any(space not in spaces for space in PAPER_SPACES):
        return None
    wanted = [(space, "eigenvalue_max") for space in PAPER_SPACES]
    figure = figure_of(study, page, wanted, draw_hessian, MOST_COLUMNS, wide=True)
    caption = (
        "Largest signed eigenvalue of the exact Hessian of the validation loss with respect to the logits, in the "
        f"three spaces of NAS-Bench-1Shot1. {BAND}"
    )
    return Drawn(figure, numbers_of(study, wanted), caption)


def named_answers(study: Study) -> str:
    """Which data set and split the table is asked for, per space, in brackets; nothing where none answers."""
    named = [f"{space_name(s)}: {answer_label(study.answers(s)[0])}" for s in study.spaces if study.answers(s)]
    return f" ({', '.join(named)})" if named else ""


def columns_for(count: int, page: Page) -> int:
    """Panels beside each other: two in the column of a paper and where that leaves no gap, else three."""
    return 2 if page.paper or count in (2, 4) else MOST_COLUMNS


def places(study: Study, spaces: Sequence[str]) -> list[tuple[str, str]]:
    """The (space, method) pairs that have runs, in the fixed order."""
    found = set(study.epochs[["space", "method"]].drop_duplicates().itertuples(index=False, name=None))
    return [(space, method) for space in spaces for method in study.methods if (space, method) in found]


def style_handles(names: Mapping[str, str], styles: Mapping[str, LineStyle]) -> list[Artist]:
    """Entries of a legend: a grey line per layer in its style."""
    return [Line2D([], [], color="0.3", linestyle=styles[layer], label=layer) for layer in styles if layer in names]
