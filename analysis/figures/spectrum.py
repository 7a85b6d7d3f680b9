"""The whole spectrum of the Hessian over epochs, and whether a large eigenvalue goes with a bad end."""

from __future__ import annotations

from typing import Any

import numpy
import numpy.typing
import pandas
import seaborn
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nas_stability.analysis import escape, summaries
from nas_stability.analysis.averages import named_answers, with_curvature
from nas_stability.analysis.figures.layout import MOST_PANELS, folded, groups_of, outer, panels_of_groups
from nas_stability.analysis.figures.panels import (
    CLOSE,
    SCREEN,
    Drawn,
    Page,
    colour,
    edges,
    epochs_axis,
    legend,
    logarithmic,
    method_handles,
    panels,
    space_name,
)
from nas_stability.analysis.figures.trajectories import columns_for
from nas_stability.analysis.statistics.correlation import Correlation, spearman
from nas_stability.analysis.study import Study, chosen
from nas_stability.analysis.variants import Group, told

NULL_COLOUR = "0.55"
DECADES = 3
"""Decades of eigenvalues, below the largest, over which the colours are logarithmic; linear around zero."""


def null_value(study: Study, run: str) -> float:
    """The eigenvalue along the directions that do not move the mixture: 0, or the weight decay of the logits."""
    row = study.runs[study.runs["run"] == run].iloc[0]
    decayed = "hessian_weight_decay" in row and bool(row["hessian_weight_decay"])
    return float(row["arch_weight_decay"]) if decayed else 0.0


def spectrum_numbers(study: Study, space: str, method: str, variant: str = "") -> pandas.DataFrame:
    """Per epoch and index (0 is the smallest): mean eigenvalue over the seeds, and the share of null ones.

    Adding a constant to all logits of a row of the mixture moves nothing, so that one direction per row is null. In
    each spectrum the ones marked are as many as the mixture has rows, nearest to the null value.

    Returns:
        epoch, index, seeds, mean, null_share.

    Raises:
        BadInput: the logits of a run are missing or damaged.
    """
    rows = chosen(study.spectrum, Group(space, method, variant))
    parts = []
    for run, spectrum in rows.groupby("run", observed=True):
        directions = rows_of_mixture(study, space, str(run))
        distance = (spectrum["eigenvalue"] - null_value(study, str(run))).abs()
        nearness = distance.groupby(spectrum["epoch"]).rank(method="first")
        parts.append(spectrum.assign(null=(nearness <= directions).astype(float)))
    grouped = pandas.concat(parts).groupby(["epoch", "index"])
    found = grouped.agg(seeds=("eigenvalue", "size"), mean=("eigenvalue", "mean"), null_share=("null", "mean"))
    return found.reset_index()


def rows_of_mixture(study: Study, space: str, run: str) -> int:
    """How many rows the mixture of a run has: by its logits, or where it has none by what the space is made of."""
    if study.has_alphas(run):
        return sum(group.shape[1] for group in study.alphas(run))
    return sum(map(len, study.facts_of(space).groups.values()))


def draw_spectrum(
    axes: Axes, study: Study, space: str, method: str, variant: str = "", largest: float | None = None
) -> Axes:
    """All eigenvalues over epochs as a heat map, the largest on top; grey where most seeds have a null direction.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        method: one of the study's.
        variant: one of the method's.
        largest: absolute eigenvalue at the ends of the colours; that of the panel by default.
    """
    numbers = spectrum_numbers(study, space, method, variant)
    return draw_heat_map(axes, numbers, largest or float(numbers["mean"].abs().max()))


def draw_heat_map(axes: Axes, numbers: pandas.DataFrame, largest: float) -> Axes:
    """The heat map of ``draw_spectrum`` from its numbers."""
    table = numbers.pivot_table(index="index", columns="epoch", values="mean", dropna=False)
    null = numbers.pivot_table(index="index", columns="epoch", values="null_share", dropna=False).to_numpy() >= 0.5
    values = numpy.ma.masked_array(table.to_numpy(dtype=numpy.float64), mask=null)
    colours = colormaps["RdBu_r"].with_extremes(bad=NULL_COLOUR)
    axes.grid(False)
    places = edges(table.columns.to_numpy(dtype=numpy.float64)), edges(table.index.to_numpy(dtype=numpy.float64) + 1)
    axes.pcolorfast(*places, values, cmap=colours, norm=colour_scale(largest))
    axes.set_ylabel("eigenvalue, by size")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))
    epochs_axis(axes)
    return axes


def colour_scale(largest: float) -> SymLogNorm:
    """Colours that are logarithmic in both signs over DECADES below ``largest`` and linear around zero."""
    return SymLogNorm(linthresh=largest / 10**DECADES, vmin=-largest, vmax=largest, base=10)


def spectrum(study: Study, page: Page = SCREEN) -> Drawn | None:
    """All eigenvalues over epochs: a heat map per space, method and variant; colours shared by those of a space."""
    measured = set(study.spectrum[["space", "method", "variant"]].drop_duplicates().itertuples(index=False, name=None))
    wanted = [group for group in groups_of(study, study.spaces) if tuple(group) in measured]
    if not wanted:
        return None
    figure, axes = panels_of_groups(study, wanted, page)
    parts = {place: spectrum_numbers(study, *place) for place in wanted}
    for space in dict.fromkeys(group.space for group in axes):
        row = {group: panel for group, panel in axes.items() if group.space == space}
        largest = max(float(parts[place]["mean"].abs().max()) for place in row) or 1.0
        for place, panel in row.items():
            draw_heat_map(panel, parts[place], largest)
        image: Any = next(iter(row.values())).images[0]
        lines = {panel.get_subplotspec().rowspan.start for panel in row.values()}  # type: ignore[union-attr]
        bar = figure.colorbar(image, ax=list(row.values()), aspect=15 * len(lines), pad=0.01)
        exponent = int(numpy.floor(numpy.log10(largest)))
        bar.set_ticks([-(10.0**exponent), -(10.0 ** (exponent - 2)), 0, 10.0 ** (exponent - 2), 10.0**exponent])
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(f"{value:g}")))
        bar.ax.minorticks_off()
        bar.set_label("eigenvalue (nats)")
    outer(study, axes)
    legend(figure, [Patch(color=NULL_COLOUR, label="null direction")])
    numbers = pandas.concat([part.assign(**group._asdict()) for group, part in parts.items()])
    numbers = told(numbers[["space", "method", "variant", "epoch", "index", "seeds", "mean", "null_share"]])
    caption = (
        "All eigenvalues of the exact Hessian with respect to the logits, sorted in every epoch (the smallest is 1), "
        "mean over seeds of each place in that order. Grey: a null direction in at least half of the seeds. One "
        "direction per row of the mixture is null, since a constant added to its logits moves nothing; the "
        "eigenvalues marked are as many as there are rows, nearest to zero (to the weight decay of the logits where "
        "the run counts it)."
    )
    return Drawn(figure, numbers.reset_index(drop=True), caption)


def eigenvalue_fall_numbers(study: Study, space: str) -> pandas.DataFrame:
    """Per run of a space: largest eigenvalue in its last measured epoch, and fall from best to final table accuracy.

    Returns:
        space, method, variant, seed, run, eigenvalue_last, fall (of the first data set and split that
        the table answers for).
    """
    answer = next(iter(study.answers(space)), "")
    rows = study.epochs[study.epochs["space"] == space]
    found = [
        {
            "space": space,
            "method": run["method"].iloc[0],
            "variant": run["variant"].iloc[0],
            "seed": run["seed"].iloc[0],
            "run": name,
            "eigenvalue_last": summaries.last(run, answer),
            "fall": summaries.fall(run, answer),
        }
        for name, run in rows.groupby("run", observed=True)
    ]
    return pandas.DataFrame(found)


def correlation_of(numbers: pandas.DataFrame) -> Correlation:
    """The rank correlation that ``eigenvalue_fall`` states, from the numbers of a space."""
    return spearman(
        numbers["eigenvalue_last"].to_numpy(dtype=numpy.float64),
        numbers["fall"].to_numpy(dtype=numpy.float64),
        numbers["seed"].to_numpy(dtype=numpy.int64),
    )


def draw_eigenvalue_fall(axes: Axes, study: Study, space: str, variant: str = "") -> Axes:
    """Fall against the last largest eigenvalue, a point per run; the rank correlation in the title.

    Args:
        axes: to draw in.
        study: that is shown.
        space: one of the study's.
        variant: whose runs are shown; those of all methods of which nothing varies by default.
    """
    numbers = eigenvalue_fall_numbers(study, space)
    return draw_scatter(axes, numbers[numbers["variant"] == variant], study, space)


def draw_scatter(axes: Axes, numbers: pandas.DataFrame, study: Study, space: str) -> Axes:
    """The scatter of ``draw_eigenvalue_fall`` from its numbers."""
    shades = {method: colour(method, study.methods) for method in study.methods}
    names: Any = {"x": "eigenvalue_last", "y": "fall", "hue": "method", "palette": shades}
    seaborn.scatterplot(numbers, **names, s=18, alpha=0.8, linewidth=0, legend=False, ax=axes)
    found = correlation_of(numbers)
    missing = f", {found.missing} missing" if found.missing else ""
    axes.set_title(f"{space_name(study, space)}, n = {found.runs}{missing}\n{stated(found)}", linespacing=CLOSE)
    values = numbers["eigenvalue_last"].dropna()
    if len(values) and (values > 0).all():
        logarithmic(axes, float(values.min()), float(values.max()), "x")
    axes.set_xlabel("last eigenvalue (nats)")
    axes.set_ylabel("fall (points)")
    return axes


def stated(found: Correlation) -> str:
    """rho = 0.42 [-0.10, 0.80]"""
    if numpy.isnan(found.rho):
        return "no rank correlation"
    interval = "" if numpy.isnan(found.low) else f" [{found.low:.2f}, {found.high:.2f}]"
    return signed(f"$\\rho$ = {found.rho:.2f}{interval}")


def signed(text: str) -> str:
    """Negative numbers with a minus sign as matplotlib writes it."""
    return text.replace("-", "\N{MINUS SIGN}")


def eigenvalue_fall(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Does a large eigenvalue go with a bad discretisation? A scatter per space and variant, with its correlation."""
    found = {space: eigenvalue_fall_numbers(study, space) for space in with_curvature(study) if study.answers(space)}
    wanted = [(space, label) for space in found for label in study.variants if (found[space]["variant"] == label).any()]
    if not wanted:
        return None
    count = min(len(wanted), MOST_PANELS)
    figure, axes = panels(count, columns_for(count, page), page, height=1.15)
    parts = []
    for index, (space, label) in enumerate(wanted):
        numbers = found[space][found[space]["variant"] == label]
        if index < count:
            draw_scatter(axes[index], numbers, study, space)
            if label:
                title = f"{axes[index].get_title()}\n{folded(escape.figure(label), page)}"
                axes[index].set_title(title, linespacing=CLOSE)
        rho = correlation_of(numbers)
        parts.append(numbers.assign(rho=rho.rho, rho_low=rho.low, rho_high=rho.high, missing=rho.missing))
    legend(figure, method_handles(study.methods, marker="o"))
    caption = (
        "Each point is a run: largest eigenvalue of the Hessian in its last measured epoch, and the fall of the table "
        f"accuracy from the best epoch to the last{named_answers(study)}. Title: Spearman's rank correlation over all "
        "runs, with its 95 % percentile bootstrap interval, whole seeds resampled, from three seeds on. Part of it "
        "may be a difference between methods. The fall is never negative, so that noise alone makes one."
    )
    return Drawn(figure, told(pandas.concat(parts, ignore_index=True)), caption)
