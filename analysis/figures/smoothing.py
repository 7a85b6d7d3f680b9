"""How the loss answers to perturbations of the mixture, against what its second-order expansion predicts."""

from __future__ import annotations

import math

import matplotlib
import numpy
import pandas
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from nas_stability.analysis.figures.panels import (
    CLOSE,
    SCREEN,
    Drawn,
    Page,
    colour,
    legend,
    method_handles,
    panels,
    space_name,
)
from nas_stability.analysis.study import Study

MARKERS = {"uniform": "o", "projected": "^", "attack": "x"}
"""Perturbation -> its marker."""

LINEAR = 1e-3
"""Nats below which the axes are linear, so that falls of the loss can be shown beside rises."""


MOST_TICKS = 4


def draw_smoothing(axes: Axes, rows: pandas.DataFrame, methods: list[str]) -> Axes:
    """Measured against predicted rises of the loss, in nats, on axes that are logarithmic in both signs.

    Args:
        axes: to draw in.
        rows: of one space and radius.
        methods: of the study.
    """
    ends = rows[["measured", "predicted"]].to_numpy(dtype=numpy.float64)
    low, high = float(ends.min()), float(ends.max())
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8)
    for (method, perturbation), here in rows.groupby(["method", "perturbation"], sort=False):
        shade, marker = colour(str(method), methods), MARKERS.get(str(perturbation), "s")
        axes.plot(here["predicted"], here["measured"], marker, color=shade, markersize=3, alpha=0.6)
    for scale, axis in ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis)):
        scale("symlog", linthresh=LINEAR)
        axis.set_major_locator(FixedLocator(ticks_of(low, high)))
    axes.set_xlabel("predicted rise (nats)")
    axes.set_ylabel("measured rise (nats)")
    return axes


def ticks_of(low: float, high: float) -> list[float]:
    """At most MOST_TICKS ticks of an axis that is logarithmic in both signs: 0 and powers of ten on either side."""
    powers = [10.0**power for power in range(-3, 4)]
    inside = [tick for tick in (*(-power for power in reversed(powers)), 0.0, *powers) if low <= tick <= high]
    return inside[:: max(1, math.ceil(len(inside) / MOST_TICKS))]


def smoothing(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Rise of the loss under perturbations of the mixture, measured against predicted: a panel per space and radius."""
    rows = study.smoothing()
    if rows is None or rows.empty:
        return None
    places = [(space, radius) for space in study.spaces for radius in sorted(rows["radius"].unique())]
    groups = {place: rows[(rows["space"] == place[0]) & (rows["radius"] == place[1])] for place in places}
    groups = {place: here for place, here in groups.items() if not here.empty}
    figure, every = panels(len(groups), 2, page, height=1.2, wide=True)
    for axes, ((space, radius), here) in zip(every, groups.items(), strict=False):
        draw_smoothing(axes, here, study.methods)
        axes.set_title(f"{space_name(study, space)}\nradius {radius:g}", linespacing=CLOSE)
    shapes: list[Artist] = [
        Line2D([], [], color="0.3", linestyle="none", marker=marker, markersize=matplotlib.rcParams["lines.markersize"])
        for marker in MARKERS.values()
    ]
    for handle, name in zip(shapes, MARKERS, strict=True):
        handle.set_label(name)
    legend(figure, [*method_handles([name for name in study.methods if (rows["method"] == name).any()]), *shapes])
    caption = (
        "Rise of the validation loss on a fixed batch where the mixture is perturbed, against the mean of g.d + "
        "d.H.d / 2 over the same perturbations d, with the gradient g and the Hessian H with respect to the mixture: "
        "on the line the expansion holds. Uniform: mean over 16 draws within the radius; projected: the same, back on "
        "the simplex; attack: that of SDARTS-ADV. One mark per run and measured epoch; logarithmic in both signs, "
        "linear below "
        f"{LINEAR:g} nats."
    )
    columns = ["space", "method", "variant", "seed", "epoch", "perturbation", "radius"]
    numbers = rows[[*columns, "measured", "predicted", "first_order", "second_order", "expected"]]
    return Drawn(figure, numbers.sort_values(columns, ignore_index=True), caption)
