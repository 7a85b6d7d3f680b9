"""The geometry of a table as pictures: accuracy by distance from the best, who lies around whom, paths between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from nas_stability.analysis import escape
from nas_stability.analysis.figures.panels import PALETTE, SCREEN, Drawn, Page, panels

CLASSES = 10
"""Classes of accuracy, as the rows have them."""

MOST_LINES = 200
"""Paths that are drawn; the numbers have all."""


class Mapped(NamedTuple):
    """What is drawn of a table, and what it is called.

    Attributes:
        title: of the space, for people.
        answer: data set and split, for people.
        classes: the rows of geometry.csv.
        distances: the rows of distances.csv.
    """

    title: str
    answer: str
    classes: pandas.DataFrame
    distances: pandas.DataFrame


def terrain(found: Mapped, page: Page = SCREEN) -> Drawn:
    """Three panels: accuracy by decisions from the best, the classes around each class, and how many are alike."""
    figure, (left, middle, right) = panels(3, 3, page, height=1.15, wide=True)
    figure.suptitle(escape.figure(f"{found.title}, {found.answer}"))
    draw_distances(left, found.distances)
    image = draw_classes(middle, found.classes)
    figure.colorbar(image, ax=middle, pad=0.02).set_label("of those around (%)")
    draw_alike(right, found.classes)
    caption = (
        "Accuracy by the table over the graph of decisions of the space. Left: by the number of decisions to the "
        "nearest best architecture; line: median, band: quartiles, dotted: lowest and highest. Middle: of the "
        "architectures one decision away from one, the share in each tenth of the accuracies, by the tenth of the one "
        "in the middle; without geometry all are 10 %. Right: the share within a radius whose accuracy is at most one "
        "point from that of the one in the middle."
    )
    return Drawn(figure, found.classes, caption)


def draw_distances(axes: Axes, rows: pandas.DataFrame) -> None:
    """Accuracy in percent by decisions to the nearest best architecture."""
    axes.fill_between(rows["distance"], rows["quarter"], rows["three_quarters"], color=PALETTE[2], alpha=0.25, lw=0)
    axes.plot(rows["distance"], rows["median"], color=PALETTE[2])
    for name in ("worst", "best"):
        axes.plot(rows["distance"], rows[name], ":", color=PALETTE[2], linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("decisions from the best")
    axes.set_ylabel("accuracy (%)")


def draw_classes(axes: Axes, rows: pandas.DataFrame) -> AxesImage:
    """Who lies one decision away from whom: percent of each class, a row per class of the one in the middle."""
    nearest = rows[rows["radius"] == rows["radius"].min()].set_index("class")
    shares = nearest[[f"share_{number}" for number in range(1, CLASSES + 1)]].reindex(range(1, CLASSES + 1))
    image = axes.imshow(shares.to_numpy(dtype=numpy.float64), origin="lower", vmin=0, extent=(0.5, 10.5, 0.5, 10.5))
    axes.grid(False)
    axes.set_xticks(range(1, CLASSES + 1, 3))
    axes.set_yticks(range(1, CLASSES + 1, 3))
    axes.set_xlabel("tenth of one a decision away")
    axes.set_ylabel("tenth (10: most accurate)")
    return image


def draw_alike(axes: Axes, rows: pandas.DataFrame) -> None:
    """Share in percent within one point, by class of the one in the middle, a line per radius."""
    radii: Sequence[int] = sorted(rows["radius"].unique())
    for radius, shade in zip(radii, PALETTE[2:], strict=False):
        here = rows[rows["radius"] == radius]
        label = f"within {radius}"
        axes.plot(here["class"], here["alike"], color=shade, label=label, marker="o", markersize=3)
    axes.set_xlabel("tenth (10: most accurate)")
    axes.set_ylabel("within one point (%)")
    axes.set_xticks(range(1, CLASSES + 1, 3))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", title="decisions")


def paths(rows: pandas.DataFrame, answer: str, page: Page = SCREEN) -> Drawn:
    """Accuracy along every shortest path between two architectures; thick: the one whose lowest is highest.

    Args:
        rows: of paths.csv: path, step, arch, accuracy and whether the path is the best one.
        answer: data set and split, for people.
        page: how large.
    """
    figure, (axes,) = panels(1, 1, page, height=1.2)
    for number, path in rows.groupby("path"):
        if int(str(number)) <= MOST_LINES:
            axes.plot(path["step"], path["accuracy"], color="0.7", linewidth=0.6, marker="o", markersize=2)
    chosen = rows[rows["best"] == 1]
    axes.plot(chosen["step"], chosen["accuracy"], color=PALETTE[0], marker="o", markersize=4, label="best path")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("decisions")
    axes.set_ylabel(f"{escape.figure(answer)} (%)")
    if len(chosen):
        axes.legend(loc="best")
    caption = (
        "Accuracy by the table along the shortest paths between two architectures, a line each; thick: the path whose "
        "lowest accuracy is highest. Where the table has no answer a line is broken."
    )
    return Drawn(figure, rows, caption)
