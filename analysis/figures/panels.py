"""What all figures share: style, colours, names as people write them, pages and grids of panels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import matplotlib
import numpy
import pandas
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from nas_stability.analysis import escape, names
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study

LineStyle = Literal["solid"] | tuple[float, tuple[float, ...]]
"""Solid, or an offset and the lengths of dashes and gaps."""

PALETTE = (
    *("#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#000000"),
    *("#882255", "#999933", "#332288", "#888888", "#44AA99"),
    *("#CC6677", "#117733", "#AA4499", "#88CCEE", "#DDCC77", "#661100"),
    *("#4477AA", "#CC3311", "#AA3377", "#EE3377", "#228833", "#5C5C5C"),
)
"""Okabe and Ito's colours, told apart with every common colour blindness, for an eighth method on Tol's muted ones, and
last some of his bright and vibrant ones, which are near others; in the order of METHODS, others after."""

CLOSE = 1.0
"""Distance of the lines of a title or label, in heights of a line; matplotlib's is 1.2."""

MOST_COLUMNS = 3
"""Panels beside each other, at most."""


class Page(NamedTuple):
    """How large a figure is.

    Attributes:
        widths: inches of a figure of one, two and three columns of panels.
        wide: inches of a figure that needs all the room there is.
        height: inches of a row of panels.
        paper: whether it is for a paper: paper.mplstyle on top of base.mplstyle.
    """

    widths: tuple[float, float, float]
    wide: float
    height: float
    paper: bool


SCREEN = Page(widths=(4.4, 6.6, 9.9), wide=9.9, height=2.5, paper=False)
PAPER = Page(widths=(3.3, 3.3, 3.3), wide=6.8, height=1.7, paper=True)
"""One column of a two-column paper is 3.3 inches, both are 6.8."""


class Drawn(NamedTuple):
    """A figure, the numbers that it shows, and how they were made: its caption in a report."""

    figure: Figure
    numbers: pandas.DataFrame
    caption: str


class DrawFigure(Protocol):
    """A study -> a figure, or None where the study has nothing to draw in it."""

    def __call__(self, study: Study, page: Page = SCREEN) -> Drawn | None: ...


def style(paper: bool) -> dict[Any, Any]:
    """Settings of matplotlib for the figures: its own defaults, base.mplstyle and, for a paper, paper.mplstyle."""
    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    settings["backend"] = "Agg"
    for name in ("base", *(["paper"] if paper else [])):
        path = Path(__file__).with_name(f"{name}.mplstyle")
        settings |= matplotlib.rc_params_from_file(path, use_default_template=False)
    return settings


def colour(method: str, methods: Sequence[str]) -> str:
    """The colour of a method, the same in every figure of a study; two have the same beyond as many as PALETTE has.

    One of METHODS has the colour of its place there, unless another one of the study has that already.
    """
    shown = names.in_order({method, *methods})
    order = [*names.METHODS, *(name for name in shown if name not in names.METHODS)]
    taken: dict[str, int] = {}
    for name in shown:
        usual = order.index(name) % len(PALETTE)
        free = [place for place in range(len(PALETTE)) if place not in taken.values()]
        taken[name] = usual if usual in free or not free else free[0]
    return PALETTE[taken[method]]


def method_name(method: str) -> str:
    """A method as people write it, for a figure."""
    return escape.figure(names.method_name(method))


def space_name(study: Study, space: str) -> str:
    """A space as people write it, short enough for a narrow panel."""
    return escape.figure(study.facts_of(space).title)


def answer_label(column: str) -> str:
    """The data set and split of a column PREFIX_DATASET_SPLIT as people write them, for a figure."""
    return answer_text(names.answer_of(column))


def answer_text(answer: str) -> str:
    """A DATASET_SPLIT as people write it, for a figure."""
    return escape.figure(names.answer_name(answer))


def panels(count: int, columns: int, page: Page, height: float = 1.0, wide: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of at most ``columns``, with room for a legend below.

    Args:
        count: of panels.
        columns: at most so many beside each other.
        page: how large.
        height: of a row of panels, in rows of the page.
        wide: all the room there is.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    inches = page.height * height * rows + 0.3
    width = page.wide if wide else page.widths[min(columns, MOST_COLUMNS) - 1]
    figure = Figure(figsize=(width, inches), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.ravel())
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def edges(centres: Floats) -> Floats:
    """The n + 1 edges of cells around n sorted centres: half way between neighbours, and as far beyond the ends."""
    if len(centres) == 1:
        return numpy.array([centres[0] - 0.5, centres[0] + 0.5])
    half = numpy.diff(centres) / 2
    return numpy.concatenate([[centres[0] - half[0]], centres[:-1] + half, [centres[-1] + half[-1]]])


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """One legend under the figure, in as many lines as its width asks for."""
    if not handles:
        return
    size = matplotlib.font_manager.FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    longest = max(len(str(handle.get_label())) for handle in handles)
    entry = size / 72 * (0.55 * longest + 3.2)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / entry)))
    columns = -(-len(handles) // -(-len(handles) // columns))  # lines of equal length
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def method_handles(methods: Sequence[str], marker: str = "") -> list[Artist]:
    """Entries of a legend: a line, or a marker, per method in the fixed order."""
    line: Literal["none", "solid"] = "none" if marker else "solid"
    return [
        Line2D([], [], color=colour(method, methods), linestyle=line, marker=marker, label=method_name(method))
        for method in methods
    ]


def epochs_axis(axes: Axes, missing: int = 0, of: int = 0) -> None:
    """Whole epochs on the horizontal axis, and how many values the panel lacks, where it lacks any."""
    axes.set_xlabel(f"epoch\n{missing}/{of} missing" if missing else "epoch", linespacing=CLOSE)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def logarithmic(axes: Axes, lowest: float, highest: float, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis with plain numbers, and enough of them where the range is short."""
    if which == "x":
        axes.set_xscale("log", nonpositive="clip")
    else:
        axes.set_yscale("log", nonpositive="clip")
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = (1.0,) if highest > 100 * lowest else (1.0, 2.0, 5.0) if highest > 5 * lowest else (1.0, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
