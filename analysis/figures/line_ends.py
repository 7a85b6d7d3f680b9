"""Labels at the ends of lines, in panels with so many of them that colours in a legend do not tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes

MANY = 5
"""Methods from which on lines in one panel hide each other: seeds and bands then have panels of their own."""

CAPTION = (
    f" Of {MANY} methods or more the means alone are drawn, and named at their ends; seeds and bands are in `methods`."
)

LEAST = 0.075
"""Distance of two labels at the ends of lines, in heights of a panel."""


def label_ends(axes: Axes) -> None:
    """Writes what each line is to the right of its end, in its colour, moved apart where ends lie close.

    Of lines that have a label; the limits of the axes are to be final.
    """
    ends = []
    for line in axes.lines:
        label = str(line.get_label())
        if label.startswith("_"):  # matplotlib's own, of a line that was given none
            continue
        x, y = (float(numpy.asarray(values, dtype=numpy.float64)[-1]) for values in line.get_data())
        height = float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1])
        if height == height:  # a line may end without a value
            ends.append((height, line, label))
    ends.sort(key=lambda end: end[0])
    for height, (_, line, label) in zip(spread([height for height, *_ in ends], LEAST), ends, strict=True):
        axes.annotate(
            label,
            (1.0, height),
            (3, 0),
            "axes fraction",
            "offset points",
            color=line.get_color(),
            va="center",
            size=6.5,
        )


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
