"""Small pictures as inline SVG: a report of sixty runs holds hundreds, and each must cost milliseconds.

Colours, dashes and fonts come by class from the page's style sheet, so that the pictures follow its dark and its print
style. Every text goes through markupsafe; every coordinate is a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy
from markupsafe import Markup

from nas_stability.analysis.readable import number
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.benchmarks.spaces.facts import Operation
from nas_stability.benchmarks.spaces.graphs import Graph

WIDTH, HEIGHT = 360, 200
"""Units of a chart's view box: about CSS pixels, as it is shown at up to this width."""

LEFT, RIGHT, TOP, BOTTOM = 42, 44, 18, 28
"""Margins of a chart: tick labels, final values, unit, epochs."""

LABEL_GAP = 11.0
"""Least distance between two labels, in units: the height of their type."""

DASHES = 6
"""How many styles of line the style sheet has (dash-0, dash-1, ...)."""


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        label: what it shows.
        values: one per epoch of the chart; NaN where one is missing: the line is broken there and the epoch marked.
    """

    label: str
    values: Floats


class Scale(NamedTuple):
    """Values from ``low`` to ``high`` onto coordinates from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def place(self, values: Floats) -> Floats:
        """The coordinates of values, NaN where they are."""
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)

    def at(self, value: float) -> float:
        """The coordinate of one value."""
        return float(self.place(numpy.array(value)))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, about ``most`` steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        spread = max(abs(low) * 0.05, 0.5)
        low, high = low - spread, high + spread
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick's number with as many decimals as its step needs, or with a power of ten where that would be long."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    plain = f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
    return plain if len(plain) <= 7 else f"{value:.2g}"


def path(x: Floats, y: Floats) -> str:
    """Points as the data of a path, broken where y is NaN; a point between two breaks becomes a dot."""
    words: list[str] = []
    drawing = False
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if down != down:
            drawing = False
        else:
            words.append(f"L{across:.1f} {down:.1f}" if drawing else f"M{across:.1f} {down:.1f}h0")
            drawing = True
    return "".join(words)


def text(x: float, y: float, words: str, kind: str) -> Markup:
    """A text anchored by the style of its class."""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>').format(x, y, kind, words)


def image(width: float, height: float, alt: str, kind: str, parts: Sequence[str]) -> Markup:
    """The parts as one picture with a text for those who do not see it."""
    head = Markup('<svg viewBox="0 0 {:g} {:g}" class="{}" role="img" aria-label="{}">').format(
        width, height, kind, alt
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Coordinates moved apart, in order, until neighbours are ``gap`` apart, their centre of gravity kept."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[tuple[float, int]] = []  # (first coordinate, count): a block is a run of labels that touch
    for index in order:
        start, count = places[index], 1
        while blocks and blocks[-1][0] + blocks[-1][1] * gap > start:
            before, earlier = blocks.pop()
            centre = (earlier * (before + (earlier - 1) * gap / 2) + count * (start + (count - 1) * gap / 2)) / (
                earlier + count
            )
            count += earlier
            start = centre - (count - 1) * gap / 2
        blocks.append((start, count))
    found = [start + step * gap for start, count in blocks for step in range(count)]
    moved = [0.0] * len(places)
    for index, place in zip(order, found, strict=True):
        moved[index] = place
    return moved


def chart(epochs: Floats, lines: Sequence[Line], unit: str, alt: str, faint: Sequence[Floats] = ()) -> Markup | None:
    """Lines over epochs with axes, the final value of each at its end, and the missing epochs marked on the axis.

    Args:
        epochs: of the values, ascending.
        lines: to draw; styles of dash in their order.
        unit: of all values, written over the axis.
        alt: what the picture shows, for those who do not see it.
        faint: further values, one per epoch each, drawn thin behind the lines.

    Returns:
        None where no line has a value.
    """
    everything = numpy.concatenate([*(line.values for line in lines), *faint])
    everything = everything[numpy.isfinite(everything)]
    if not len(everything):
        return None
    levels = ticks(float(everything.min()), float(everything.max()), 4)
    across = Scale(float(epochs[0]), max(float(epochs[-1]), float(epochs[0]) + 1), LEFT, WIDTH - RIGHT)
    down = Scale(levels[0], levels[-1], HEIGHT - BOTTOM, TOP)
    x = across.place(epochs)
    parts = axes(across, down, levels, unit)
    if faint:
        joined = "".join(path(x, down.place(values)) for values in faint)
        parts.append(Markup('<path class="faint" d="{}"/>').format(joined))
    ends: list[tuple[float, str]] = []
    for index, line in enumerate(lines):
        present = numpy.isfinite(line.values)
        if not present.any():
            continue
        y = down.place(numpy.where(present, line.values, numpy.nan))
        parts.append(Markup('<path class="line dash-{}" d="{}"/>').format(index % DASHES, path(x, y)))
        if not present.all():
            marks = "".join(f"M{place:.1f} {HEIGHT - BOTTOM - 3}v6" for place in x[~present].tolist())
            parts.append(Markup('<path class="missing" d="{}"/>').format(marks))
        if present[-1]:
            ends.append((float(y[-1]), number(float(line.values[-1]))))
    for (_, words), y_label in zip(ends, spread([place for place, _ in ends], LABEL_GAP), strict=True):
        parts.append(text(WIDTH - RIGHT + 4, y_label + 3.5, words, "end"))
    return image(WIDTH, HEIGHT, alt, "chart", parts)


def axes(across: Scale, down: Scale, levels: Sequence[float], unit: str) -> list[Markup]:
    """Grid, tick labels and names of both axes."""
    step = levels[1] - levels[0]
    grid = "".join(f"M{LEFT} {down.at(level):.1f}H{WIDTH - RIGHT}" for level in levels)
    parts = [Markup('<path class="grid" d="{}"/>').format(grid)]
    parts += [text(LEFT - 5, down.at(level) + 3.5, tick_text(level, step), "tick-y") for level in levels]
    marks = [mark for mark in ticks(across.low, across.high, 5) if across.low <= mark <= across.high]
    whole = [mark for mark in marks if mark == int(mark)]
    parts += [text(across.at(mark), HEIGHT - BOTTOM + 13, f"{mark:.0f}", "tick-x") for mark in whole]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, "epoch", "name-x"))
    parts.append(text(LEFT - 5, 9, unit, "name-y"))
    return parts


def spark(values: Floats, alt: str) -> Markup:
    """A line without axes, as high as a line of text; a missing value breaks it."""
    width, height = 120, 22
    present = values[numpy.isfinite(values)]
    parts = []
    if len(present):
        low, high = float(present.min()), float(present.max())
        down = Scale(low, high if high > low else low + 1, height - 3, 3)
        x = numpy.linspace(3, width - 3, len(values))
        parts.append(Markup('<path class="line" d="{}"/>').format(path(x, down.place(values))))
    return image(width, height, alt, "spark", parts)


def interval(estimate: float, low: float, high: float, threshold: float, axis: tuple[float, float], alt: str) -> Markup:
    """An estimate with its interval and the threshold that decides, on an axis that a claim's rows share.

    An end that is infinite or NaN is not drawn; an infinite one runs to the edge.
    """
    width, height, middle = 240, 28, 14
    across = Scale(*axis, 8, width - 8)
    parts = [Markup('<path class="grid" d="M8 {0}H{1}"/>').format(middle, width - 8)]
    if math.isfinite(threshold):
        parts.append(Markup('<path class="threshold" d="M{:.1f} 2V26"/>').format(across.at(threshold)))
    if not math.isnan(low) and not math.isnan(high):
        ends = [across.at(min(max(end, axis[0]), axis[1])) for end in (low, high)]
        parts.append(Markup('<path class="range" d="M{0:.1f} {2}H{1:.1f}"/>').format(*ends, middle))
    if math.isfinite(estimate):
        parts.append(Markup('<circle class="estimate" cx="{:.1f}" cy="{}" r="4"/>').format(across.at(estimate), middle))
    return image(width, height, alt, "interval", parts)


def cell(graphs: Mapping[str, Graph], operations: Mapping[str, Operation]) -> Markup | None:
    """An architecture's cells as pictures, one below the other.

    Args:
        graphs: by kind of cell; "" where there is one kind.
        operations: what they are, by name.

    Returns:
        None where there is no graph.
    """
    pictures = []
    for kind, graph in graphs.items():
        if any(operation for _, _, operation in graph.edges):
            pictures.append(edge_graph(graph, operations, kind))
        else:
            pictures.append(vertex_graph(graph, operations, kind))
    return Markup("").join(pictures) if pictures else None


def named(operation: str, operations: Mapping[str, Operation]) -> str:
    """An operation as people write it; any other text of a node as it is."""
    return operations[operation].label if operation in operations else operation


def title(kind: str) -> list[Markup]:
    """The kind of cell in the corner of its picture, where there are several."""
    return [text(WIDTH / 2, 10, kind, "name-x")] if kind else []


def alternative(kind: str) -> str:
    """Begin of what is said of a picture to those who do not see it."""
    return f"Cell ({kind})" if kind else "Cell"


def edge_graph(graph: Graph, operations: Mapping[str, Operation], kind: str) -> Markup:
    """A cell whose operations are on its edges: nodes in a row, longer edges as arcs, by turns above and below."""
    edges = graph.edges
    last = max(target for _, target, _ in edges)
    step = (WIDTH - 60) / last
    middle, height = 118, 196
    lines: list[str] = []
    words: list[str] = []
    for source, target, operation in edges:
        label = named(operation, operations)
        drawn_as = operations[operation].kind if operation in operations else "conv"
        start, end = 30 + source * step + 11, 30 + target * step - 11
        rise = 0 if target - source == 1 else (-1 if source == 0 else 1) * 36.0 * (target - source - 0.5)
        y = middle + math.copysign(9, rise) if rise else middle
        bend = y + rise * 4 / 3
        d = f"M{start:.1f} {y:.1f}C{start:.1f} {bend:.1f} {end:.1f} {bend:.1f} {end:.1f} {y:.1f}"
        tip = head(end, y, drawn_as, 0 if rise else -1, math.copysign(1, rise) if rise else 0)
        lines.append(Markup('<path class="edge {}" d="{}"/>').format(drawn_as, d) + tip)
        words.append(text((start + end) / 2, y + rise + (-5 if rise <= 0 else 12), label, f"operation {drawn_as}"))
    nodes = [
        Markup('<circle class="node" cx="{0:.1f}" cy="{1}" r="11"/>').format(30 + index * step, middle)
        + text(30 + index * step, middle + 4, str(index), "inside")
        for index in range(last + 1)
    ]
    told = "; ".join(f"{named(name, operations)} from {source} to {target}" for source, target, name in edges)
    alt = f"{alternative(kind)} with operations on its edges: {told}."
    return image(WIDTH, height, alt, "cell", [*title(kind), *lines, *words, *nodes])


def head(x: float, y: float, kind: str, right: float, down: float) -> Markup:
    """The head of an arrow whose point is at (x, y) and whose line comes from the side that (right, down) points to."""
    length, half = 6.5, 3.5
    along, across = (x + right * length, y + down * length), (abs(down) * half, abs(right) * half)
    corners = [(along[0] + sign * across[0], along[1] + sign * across[1]) for sign in (-1, 1)]
    (a, b), (c, d) = corners
    return Markup('<path class="head {}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}z"/>').format(
        kind, a, b, x, y, c, d
    )


def vertex_graph(graph: Graph, operations: Mapping[str, Operation], kind: str) -> Markup:
    """A cell whose operations are its vertices: from the input down to the output, longer edges as arcs aside."""
    edges = [(source, target) for source, target, _ in graph.edges]
    row, half, middle = 40.0, 52.0, WIDTH / 2
    height = row * len(graph.nodes)
    lines: list[str] = []
    sides: list[list[tuple[int, int]]] = [[], []]
    for source, target in sorted(edges, key=lambda edge: (edge[1] - edge[0], edge)):
        top, bottom = row * source + row / 2, row * target + row / 2
        if target - source == 1:
            d, x, y, sign = f"M{middle:.1f} {top + 11:.1f}V{bottom - 11:.1f}", middle, bottom - 11, 0
        else:
            crossing = [sum(source < b and a < target for a, b in side) for side in sides]
            side = int(crossing[1] < crossing[0])
            sides[side].append((source, target))
            sign = -1 if side else 1
            x, y, bend = middle + sign * half, bottom - 3, middle + sign * (half + 8 + 20.0 * (target - source))
            d = f"M{x:.1f} {top + 3:.1f}C{bend:.1f} {top + 3:.1f} {bend:.1f} {y:.1f} {x:.1f} {y:.1f}"
        lines.append(Markup('<path class="edge skip" d="{}"/>').format(d) + head(x, y, "skip", sign, 0 if sign else -1))
    boxes: list[str] = []
    for index, node in enumerate(graph.nodes):
        label, drawn_as = named(node, operations), operations[node].kind if node in operations else "end-point"
        y = row * index + row / 2
        box = Markup('<rect class="vertex {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="22" rx="4"/>')
        boxes.append(box.format(drawn_as, middle - half, y - 11, 2 * half) + text(middle, y + 4, label, "inside"))
    names = [f"{index} {named(node, operations)}" for index, node in enumerate(graph.nodes)]
    told = f"vertices {', '.join(names)}; edges {', '.join(f'{a} to {b}' for a, b in edges)}"
    return image(
        WIDTH,
        height,
        f"{alternative(kind)} with operations on its vertices: {told}.",
        "cell",
        [*title(kind), *lines, *boxes],
    )
