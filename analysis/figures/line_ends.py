"""Labels at the ends of lines, in panels with so many of them that colours in a legend do not tell them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

MANY = 5
"""Methods from which on lines in one panel hide each other: seeds and bands then have panels of their own."""

CAPTION = (
    f" Of {MANY} methods or more the means alone are drawn, and named at their ends; seeds and bands are in `methods`."
)

SIZE = 7.0
"""Of a label, in points."""

LINE = 1.2
"""Distance of two labels, in heights of a label."""


def label_ends(figure: Figure) -> None:
    """Writes what each line with a label is to the right of its end, in its colour, moved apart where ends lie close.

    The limits of the axes are to be final; where there are labels, the figure is laid out for their height.
    """
    labelled = {axes: lines for axes in figure.axes if (lines := [line for line in axes.lines if named(line)])}
    if labelled:
        figure.draw_without_rendering()
    for axes, lines in labelled.items():
        label_lines(axes, lines, LINE * SIZE / (axes.get_window_extent().height / figure.get_dpi() * 72))


def named(line: Line2D) -> bool:
    """Whether a line was given a label; of others matplotlib makes one with an underscore."""
    return not str(line.get_label()).startswith("_")


def label_lines(axes: Axes, lines: Sequence[Line2D], least: float) -> None:
    """``label_ends`` of one panel; ``least``: distance of two labels, in heights of the panel."""
    ends = []
    for line in lines:
        x, y = (float(numpy.asarray(values, dtype=numpy.float64)[-1]) for values in line.get_data())
        height = float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1])
        if not math.isnan(height):  # a line may end without a value
            ends.append((height, line))
    ends.sort(key=lambda end: end[0])
    places = below(spread([height for height, _ in ends], least), least)
    for height, (_, line) in zip(places, ends, strict=True):
        text = str(line.get_label())
        axes.annotate(
            text,
            (1.0, height),
            (3, 0),
            "axes fraction",
            "offset points",
            color=line.get_color(),
            va="center",
            size=SIZE,
        )


def below(heights: Sequence[float], least: float) -> list[float]:
    """Ascending heights, moved down where need be so that the highest label ends below the top of the panel."""
    found: list[float] = []
    limit = 1.0 - least / 2
    for height in reversed(heights):
        found.append(min(height, limit))
        limit = found[-1] - least
    return found[::-1]


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Ascending heights, moved as little as need be so that neighbours are ``least`` apart.

    Neighbours that are too close become a block around their mean; blocks that touch become one.
    """
    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([height])
        while len(blocks) > 1 and bottom(blocks[-1], least) < top(blocks[-2], least) + least:
            last = blocks.pop()
            blocks[-1] += last
    return [bottom(block, least) + least * place for block in blocks for place in range(len(block))]


def bottom(block: Sequence[float], least: float) -> float:
    """The lowest place of a block of heights that is spread around its mean."""
    return sum(block) / len(block) - least * (len(block) - 1) / 2


def top(block: Sequence[float], least: float) -> float:
    """The highest place of such a block."""
    return bottom(block, least) + least * (len(block) - 1)
