"""What a search step costs against the size of supernet and batch: scaling.csv of ``nas-stability bench``."""

from __future__ import annotations

from pathlib import Path

import pandas
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from nas_stability.analysis import escape, names
from nas_stability.analysis.figures.panels import (
    SCREEN,
    Drawn,
    LineStyle,
    Page,
    colour,
    legend,
    logarithmic,
    method_handles,
    panels,
)
from nas_stability.benchmarks.errors import BadInput

AXES = {"width": "width (channels)", "depth": "depth (cells)", "batch_size": "batch size (images)"}
"""Fields that vary, in the order of the panels, and their labels."""

STYLES: dict[str, LineStyle] = {"ours": "solid", "literal": (0, (4, 1.5))}
COLUMNS = ["space", "axis", "method", "implementation", "value", "seconds_median"]


def read(path: Path) -> pandas.DataFrame:
    """The rows of scaling.csv.

    Raises:
        BadInput: no such file, or a column is missing.
    """
    try:
        rows = pandas.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}: {error}; nas-stability bench writes it") from error
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise BadInput(f"{path} has no column {missing[0]!r}; nas-stability bench writes it anew")
    return rows


def draw_cost(axes: Axes, rows: pandas.DataFrame, space: str, axis: str) -> Axes:
    """Median seconds of a step of each method in a space against one field, both logarithmic; literal dashed.

    All panels of a space have the same vertical limits.
    """
    here = rows[(rows["space"] == space) & (rows["axis"] == axis)]
    methods = names.in_order(here["method"])
    for (method, implementation), line in here.groupby(["method", "implementation"]):
        line = line.sort_values("value")
        axes.plot(
            line["value"],
            line["seconds_median"],
            color=colour(str(method), methods),
            linestyle=STYLES[str(implementation)],
            marker="o",
            markersize=2.5,
        )
    seconds = rows.loc[rows["space"] == space, "seconds_median"]
    axes.set_xscale("log")
    logarithmic(axes, seconds.min(), seconds.max())
    axes.set_ylim(seconds.min() / 1.15, seconds.max() * 1.15)
    values = sorted(set(here["value"]))
    axes.set_xticks(values, labels=[f"{value}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(AXES[axis])
    axes.set_title(escape.figure(names.space_name(space)))
    return axes


def cost(rows: pandas.DataFrame, page: Page = SCREEN) -> Drawn:
    """A row of panels per space, a panel per field that varies."""
    spaces = list(dict.fromkeys(rows["space"]))
    figure, places = panels(len(AXES) * len(spaces), len(AXES), page, wide=True)
    for index, space in enumerate(spaces):
        row = places[index * len(AXES) : (index + 1) * len(AXES)]
        for panel, axis in zip(row, AXES, strict=True):
            draw_cost(panel, rows, space, axis)
        row[0].set_ylabel("seconds per step")
    methods = names.in_order(rows["method"])
    implementations = [name for name in STYLES if name in set(rows["implementation"])]
    lines = [Line2D([], [], color="0.3", linestyle=STYLES[name], label=name) for name in implementations]
    legend(figure, [*method_handles(methods), *lines])
    caption = (
        "Median wall-clock time of one search step while one setting varies and the others are those of the study "
        "quick, with batches of 16; ours, and the literal reference where it was measured. Both axes are logarithmic."
    )
    return Drawn(figure, rows[COLUMNS], caption)
