"""The landscape of the validation accuracy around the logits of a checkpoint, and the table's accuracy under it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy
import numpy.typing
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from nas_stability.analysis.figures.layout import MOST_PANELS, group_title, groups_of, lines_of
from nas_stability.analysis.figures.panels import CLOSE, SCREEN, Drawn, Page, answer_label, edges, space_name
from nas_stability.analysis.figures.trajectories import PAPER_SPACES
from nas_stability.analysis.names import answering
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Group, told

SUPERNET = "valid_accuracy"


class Limits(NamedTuple):
    """Ends of a scale of colours or of an axis."""

    low: float
    high: float


def landscape_of(study: Study, space: str, method: str, variant: str = "") -> pandas.DataFrame | None:
    """The landscape of a group's lowest seed that has one, with its space, method, variant and seed; None without."""
    rows = study.rows(Group(space, method, variant))
    for seed, of_seed in rows.groupby("seed"):
        for run in sorted(of_seed["run"].unique()):
            found = study.landscape(run)
            if found is not None and found[SUPERNET].notna().any():
                return found.assign(space=space, method=method, variant=variant, seed=seed)
    return None


def landscapes(study: Study, spaces: list[str]) -> dict[Group, pandas.DataFrame]:
    """Group -> landscape, for those that have one."""
    found = {group: landscape_of(study, *group) for group in groups_of(study, spaces)}
    return {group: frame for group, frame in found.items() if frame is not None}


def table_column(frame: pandas.DataFrame) -> str | None:
    """The first accuracy_DATASET_SPLIT of a landscape that has a value."""
    return next((name for name in answering(frame.columns) if frame[name].notna().any()), None)


def grid_of(frame: pandas.DataFrame, column: str) -> tuple[Floats, Floats, Floats]:
    """x (columns,), y (rows,) and the values (rows, columns) of a landscape; NaN where a point is missing."""
    table = frame.pivot_table(index="y", columns="x", values=column, dropna=False)
    return (
        table.columns.to_numpy(dtype=numpy.float64),
        table.index.to_numpy(dtype=numpy.float64),
        table.to_numpy(dtype=numpy.float64),
    )


def limits_of(frames: list[pandas.DataFrame], column: str) -> Limits:
    """The smallest and the largest value, at least one point apart."""
    values = pandas.concat([frame[column] for frame in frames if column in frame]).dropna()
    low, high = float(values.min()), float(values.max())
    return Limits(low, high) if high > low else Limits(low - 0.5, high + 0.5)


def draw_surface(axes: Axes3D, frame: pandas.DataFrame, column: str = SUPERNET, limits: Limits | None = None) -> Axes3D:
    """A landscape as a surface.

    Args:
        axes: of ``projection="3d"``.
        frame: a landscape: columns x, y and ``column``.
        column: in percent.
        limits: of the vertical axis and of the colours; those of the frame by default.
    """
    low, high = limits or limits_of([frame], column)
    x, y, values = grid_of(frame, column)
    xs, ys = numpy.meshgrid(x, y)
    scale: Any = {"cmap": "viridis", "vmin": low, "vmax": high}
    axes.plot_surface(xs, ys, values, rcount=len(y), ccount=len(x), linewidth=0.15, edgecolor="0.25", **scale)
    axes.set_zlim(low, high)
    axes.view_init(elev=28, azim=-56)
    axes.set_box_aspect((1, 1, 0.75), zoom=1.1)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_tick_params(pad=-4, labelsize="small")
        axis.set_major_locator(MaxNLocator(nbins=3))
    axes.set_xlabel("gradient $x$", labelpad=-9)
    axes.set_ylabel("random $y$", labelpad=-9)
    axes.set_zlabel("accuracy (%)", labelpad=-9)
    return axes


def draw_contour(axes: Axes, frame: pandas.DataFrame, column: str = SUPERNET, limits: Limits | None = None) -> Axes:
    """A landscape as filled contours; a cross marks the logits of the checkpoint."""
    low, high = limits or limits_of([frame], column)
    x, y, values = grid_of(frame, column)
    levels = numpy.linspace(low, high, 13)
    axes.contourf(x, y, numpy.ma.masked_invalid(values), levels=levels, cmap="viridis", extend="neither")
    axes.contour(x, y, numpy.ma.masked_invalid(values), levels=levels, colors="white", linewidths=0.3)
    return directions(axes)


def draw_table_layer(axes: Axes, frame: pandas.DataFrame, column: str, limits: Limits | None = None) -> Axes:
    """Table accuracy of the architecture that each point discretises to, a square per point; grey where missing."""
    low, high = limits or limits_of([frame], column)
    x, y, values = grid_of(frame, column)
    axes.set_facecolor("0.7")
    axes.pcolorfast(edges(x), edges(y), numpy.ma.masked_invalid(values), cmap="cividis", vmin=low, vmax=high)
    return directions(axes)


def directions(axes: Axes) -> Axes:
    """Labels and the cross of a panel over the two directions."""
    axes.plot(0, 0, marker="+", color="white", markersize=6, markeredgewidth=1.8)
    axes.plot(0, 0, marker="+", color="black", markersize=5, markeredgewidth=0.8)
    axes.grid(False)
    axes.set_aspect("equal")
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
    axes.set_xlabel("gradient $x$")
    axes.set_ylabel("random $y$")
    return axes


def landscape(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Surface and contour of the supernet's accuracy and the table's layer: a column per method, a line per variant."""
    return landscape_figure(study, page, study.spaces, layers=("surface", "contour", "table"), caption=CAPTION + UNDER)


def paper_landscape(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The paper's arrangement: surfaces of the methods side by side, for a study of S1 to S3."""
    if any(space not in study.spaces for space in PAPER_SPACES):
        return None
    return landscape_figure(study, page, list(PAPER_SPACES), layers=("surface",), caption=CAPTION)


CAPTION = (
    "Validation accuracy of the supernet of a checkpoint at alpha + x g + y r: g is the gradient of the validation "
    "loss with respect to the logits, normalised, r a random direction orthogonal to it; the weights stay as they "
    "are. One run per method, the lowest seed that has a landscape. Scales are shared by the methods of a space. "
)
UNDER = (
    "Bottom: table accuracy of the architecture that each point of the grid discretises to; grey where the table has "
    "none. The cross is the checkpoint."
)


def landscape_figure(
    study: Study, page: Page, spaces: list[str], layers: tuple[str, ...], caption: str
) -> Drawn | None:
    """The landscapes of some spaces, a row per space and layer."""
    found = landscapes(study, spaces)
    if not found:
        return None
    blocks = lines_of(study, list(found)[:MOST_PANELS], page)
    rows = [
        (block, layer)
        for block in blocks
        for layer in layers
        if layer != "table" or any(table_column(found[group]) for group in block.values())
    ]
    columns = max(max(block) for block in blocks) + 1
    width = page.wide if columns > 1 else page.widths[0]
    side = min(width / columns, page.height * 1.2)
    figure = Figure(figsize=(width, side * 1.05 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), columns)
    for row, (block, layer) in enumerate(rows):
        frames = {column: found[group] for column, group in sorted(block.items())}
        alike = [frame for group, frame in found.items() if group.space == block[min(block)].space]
        line = draw_layer(figure, grid, row, frames, layer, alike)
        for column, panel in line.items():
            if layer == layers[0]:
                group, seed = block[column], frames[column]["seed"].iloc[0]
                title = f"{space_name(study, group.space)}\n{group_title(group, page)}, seed {seed}"
                panel.set_title(title, linespacing=CLOSE)
    numbers = told(pandas.concat(found.values(), ignore_index=True))
    first = [name for name in ("space", "method", "variant", "seed", "run", "x", "y") if name in numbers]
    return Drawn(figure, numbers[[*first, *numbers.columns.drop(first)]], caption.strip())


def draw_layer(
    figure: Figure,
    grid: Any,
    row: int,
    frames: dict[int, pandas.DataFrame],
    layer: str,
    alike: list[pandas.DataFrame],
) -> dict[int, Any]:
    """One layer of a line of landscapes in a row of the figure, with a colour bar: column -> its axes.

    Args:
        figure: to draw in.
        grid: of the figure.
        row: of the grid.
        frames: column of the grid -> landscape.
        layer: surface, contour or table.
        alike: all landscapes of the space, which share their scale.
    """
    column = SUPERNET
    if layer == "table":
        column = next(name for frame in frames.values() if (name := table_column(frame)))
    limits = limits_of(alike, column)
    line: dict[int, Any] = {}
    for place, frame in frames.items():
        if column not in frame:
            continue
        panel: Any = figure.add_subplot(grid[row, place], projection="3d" if layer == "surface" else None)
        draw: Any = {"surface": draw_surface, "contour": draw_contour, "table": draw_table_layer}[layer]
        draw(panel, frame, column, limits)
        if layer == "surface":
            panel.set_zlabel("" if place != max(frames) else "accuracy (%)", labelpad=-9)
        elif line:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)
        line[place] = panel
    if layer != "surface":
        panel = next(iter(line.values()))
        image = panel.collections[0] if layer == "contour" else panel.images[0]
        bar = figure.colorbar(image, ax=list(line.values()), aspect=18, pad=0.01, shrink=0.9)
        bar.set_ticks(MaxNLocator(nbins=5).tick_values(limits.low, limits.high)[1:-1])
        bar.set_label("supernet (%)" if layer == "contour" else f"{answer_label(column)} (%)")
    return line
