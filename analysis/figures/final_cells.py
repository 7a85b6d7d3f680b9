"""What was chosen: the share of each operation over epochs, and the final cells as graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.path import Path

from nas_stability.analysis import escape
from nas_stability.analysis.averages import named_answers
from nas_stability.analysis.figures.cell_graph import Graph, graph_of
from nas_stability.analysis.figures.layout import MOST_PANELS, folded, groups_of, outer, panels_of_groups
from nas_stability.analysis.figures.panels import SCREEN, Drawn, Page, epochs_axis, legend, method_name, space_name
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Group, told

NASBENCH201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASBENCH1SHOT1 = ("maxpool3x3", "conv3x3-bn-relu", "conv1x1-bn-relu")
OPERATIONS = {
    "nasbench201": NASBENCH201,
    "nasbench1shot1-s1": NASBENCH1SHOT1,
    "nasbench1shot1-s2": NASBENCH1SHOT1,
    "nasbench1shot1-s3": NASBENCH1SHOT1,
}
"""Space -> names of the choices of group 0 of the logits, in their order; a test compares them with the spaces."""

LETTERS = 6.5
"""Size of the words in a graph, in points."""

NODE, EMPTY_NODE = 0.2, 0.11
"""Half the room of a node that holds an operation, and of one that does not, in distances between nodes."""


class Look(NamedTuple):
    """How an operation is shown: its name in a legend, in a graph, and its colour."""

    name: str
    short: str
    colour: str


LOOKS = {
    "none": Look("none", "none", "#DDDDDD"),
    "skip_connect": Look("skip", "skip", "#EE6677"),
    "nor_conv_1x1": Look("conv 1x1", "1x1", "#66CCEE"),
    "nor_conv_3x3": Look("conv 3x3", "3x3", "#4477AA"),
    "avg_pool_3x3": Look("avg pool", "avg", "#CCBB44"),
    "maxpool3x3": Look("max pool", "max", "#CCBB44"),
    "conv3x3-bn-relu": Look("conv 3x3", "3x3", "#4477AA"),
    "conv1x1-bn-relu": Look("conv 1x1", "1x1", "#66CCEE"),
}
"""Tol's bright colours: told apart with every common colour blindness, and not those of the methods."""


def operation_shares(study: Study, space: str, method: str, variant: str = "") -> pandas.DataFrame:
    """Share of the edges (choice blocks) whose largest logit is of each operation; ties go to the first.

    Returns:
        epoch, operation, seeds, share (mean over the seeds, between 0 and 1).

    Raises:
        BadInput: the logits of a run are missing or damaged.
    """
    rows = study.rows(Group(space, method, variant))
    logits = [study.alphas(run)[0] for run in rows["run"].unique()]
    names = OPERATIONS.get(space, tuple(f"choice {index}" for index in range(logits[0].shape[2])))
    parts = []
    for epoch in range(max(map(len, logits))):
        chosen = [values[epoch].argmax(1) for values in logits if epoch < len(values)]
        for index, name in enumerate(names):
            share = float(numpy.mean([(choice == index).mean() for choice in chosen]))
            parts.append((epoch, name, len(chosen), share))
    return pandas.DataFrame(parts, columns=["epoch", "operation", "seeds", "share"])


def draw_operations(axes: Axes, study: Study, space: str, method: str, variant: str = "") -> Axes:
    """Share of each operation over epochs as stacked areas."""
    return draw_areas(axes, operation_shares(study, space, method, variant))


def draw_areas(axes: Axes, numbers: pandas.DataFrame) -> Axes:
    """The areas of ``draw_operations`` from its numbers."""
    names = list(dict.fromkeys(numbers["operation"]))
    table = numbers.pivot_table(index="operation", columns="epoch", values="share", sort=False)
    colours = [look(name, names).colour for name in names]
    axes.stackplot(table.columns, table.loc[names].to_numpy(), colors=colours, linewidth=0.4, edgecolor="white")
    axes.grid(False)
    axes.set_xlim(0, max(int(table.columns.max()), 1))
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("share")
    epochs_axis(axes)
    return axes


def look(operation: str, among: Sequence[str]) -> Look:
    """How an operation is shown; one that has no look of its own gets a grey by its place."""
    if operation in LOOKS:
        return LOOKS[operation]
    place = list(among).index(operation) / max(len(among), 1)
    return Look(operation, operation[:4], str(0.25 + 0.6 * place))


def operations(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Share of each operation over epochs: a panel per space, method and variant."""
    wanted = groups_of(study, study.spaces)
    figure, axes = panels_of_groups(study, wanted, page, height=0.85)
    parts = []
    for group in wanted:
        numbers = operation_shares(study, *group)
        if group in axes:
            draw_areas(axes[group], numbers)
        parts.append(numbers.assign(**group._asdict()))
    outer(axes)
    joined = told(pandas.concat(parts, ignore_index=True))
    legend(figure, operation_handles(list(dict.fromkeys(joined["operation"]))))
    caption = (
        "Share of the edges (NAS-Bench-201) or choice blocks (NAS-Bench-1Shot1, before pruning) that would decide for "
        "each operation after each epoch: the one with the largest logit. Mean over seeds."
    )
    first = [name for name in Group._fields if name in joined]
    return Drawn(figure, joined[[*first, "epoch", "operation", "seeds", "share"]], caption)


def operation_handles(names: Sequence[str]) -> list[Patch]:
    """Entries of a legend: a patch per look, once."""
    looks = dict.fromkeys((look(name, names).name, look(name, names).colour) for name in names)
    return [Patch(color=shade, label=name) for name, shade in looks]


def draw_cell(axes: Axes, graph: Graph) -> Axes:
    """A cell as a graph from left to right; edges that skip nodes are arcs, the longer the higher.

    An edge of operation ``none`` is left out: it carries nothing.
    """
    count = len(graph.nodes)
    for source, target, operation in graph.edges:
        if operation != "none":
            draw_edge(axes, source, target, operation)
    for place, node in enumerate(graph.nodes):
        known = LOOKS.get(node)
        text = known.short if known else {"input": "in", "output": "out"}.get(node, escape.figure(node))
        face = known.colour if known else "white"
        box = {"boxstyle": "round,pad=0.2", "facecolor": face, "edgecolor": "0.3", "linewidth": 0.5}
        ink = "white" if face == LOOKS["nor_conv_3x3"].colour else "black"
        axes.text(place, 0, text, ha="center", va="center", size=LETTERS, color=ink, bbox=box, zorder=4)
    axes.set_xlim(-0.4, count - 0.6)
    axes.set_ylim(-lift(max(count - 2, 1)) - 0.35, lift(max(count - 1, 1)) + 0.35)
    axes.axis("off")
    return axes


def lift(span: int) -> float:
    """Height of the middle of an edge that spans so many nodes: 0 between neighbours."""
    return 0.0 if span == 1 else 0.55 + 0.35 * (span - 2)


def draw_edge(axes: Axes, source: int, target: int, operation: str) -> None:
    """An edge as an arrow, above the nodes from even nodes and below from odd ones, with its operation as a word."""
    span = target - source
    height = lift(span) if source % 2 == 0 else -lift(span)
    known = LOOKS.get(operation)
    room = EMPTY_NODE if operation else NODE
    ends = bezier_part(numpy.array([(source, 0), ((source + target) / 2, 2 * height), (target, 0)]), room / span)
    arrow = FancyArrowPatch(
        path=Path(ends, [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
        arrowstyle="-|>",
        mutation_scale=5,
        color=known.colour if known else "0.45",
        linewidth=1.0,
        zorder=2,
    )
    axes.add_patch(arrow)
    if known:
        box = {"boxstyle": "round,pad=0.08", "facecolor": "white", "edgecolor": "none"}
        middle = (source + target) / 2
        axes.text(middle, height, known.short, ha="center", va="center", size=LETTERS - 0.5, bbox=box, zorder=3)


def bezier_part(points: Floats, cut: float) -> Floats:
    """The control points (3, 2) of a quadratic curve without the share ``cut`` of its parameter at either end."""
    a, b, c = points

    def blossom(first: float, second: float) -> Floats:
        """On the curve where both are the same; the control point between two places of it otherwise."""
        both = first * second
        value: Floats = (1 - first - second + both) * a + (first + second - 2 * both) * b + both * c
        return value

    return numpy.stack([blossom(cut, cut), blossom(cut, 1 - cut), blossom(1 - cut, 1 - cut)])


def final_cells(study: Study) -> pandas.DataFrame:
    """The last architecture of every run: space, method, variant, seed, run, arch, cell, answer, accuracy (percent)."""
    parts = []
    for space in study.spaces:
        rows = study.epochs[study.epochs["space"] == space]
        answer = next(iter(study.answers(space)), None)
        last = rows.sort_values("epoch", kind="stable").groupby("run", observed=True, sort=True).tail(1)
        accuracy = last[answer] if answer else numpy.nan
        found = last[["space", "method", "variant", "seed", "run", "arch", "cell"]]
        parts.append(found.assign(answer=(answer or "").removeprefix("accuracy_"), accuracy=accuracy))
    joined = pandas.concat(parts)
    return joined.sort_values(
        ["space", "method", "variant", "seed", "run"],
        key=lambda values: values.map(study.variants.index) if values.name == "variant" else values,
        ignore_index=True,
    )


PLACES = ("worst", "median", "best")
"""Columns of the figure of the cells."""


def representatives(finals: pandas.DataFrame) -> dict[str, str]:
    """Place -> run: worst, median (the lower of two) and best of the final cells of a group.

    Of two there is no median, one is the median. Runs whose last architecture the table lacks have no place; where it
    lacks all, the lowest seed stands as the median.
    """
    known = finals[finals["accuracy"].notna()].sort_values(["accuracy", "seed"], kind="stable")
    runs = list(known["run"]) or list(finals.sort_values("seed", kind="stable")["run"])[:1]
    found = {"worst": runs[0], "best": runs[-1]} if len(runs) > 1 else {}
    return found if len(runs) == 2 else {**found, "median": runs[(len(runs) - 1) // 2]}


def cells(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The final cells as graphs with their table accuracy: the worst, the median and the best of each group."""
    finals = final_cells(study)
    graphs = {str(row["run"]): graph_of(str(row["arch"]), row["cell"]) for row in finals.to_dict("records")}
    finals = finals[[graphs[run] is not None for run in finals["run"]]]
    groups = finals.groupby(list(Group._fields), sort=False, observed=True)
    wanted = [group for group in groups_of(study, study.spaces) if tuple(group) in groups.groups][:MOST_PANELS]
    if not wanted:
        return None
    labels = [folded(escape.figure(group.variant), page) for group in wanted if group.variant]
    inches = 0.55 * page.height * len(wanted) + 0.25 * len(study.spaces) + 0.3
    inches += 0.17 * sum(1 + label.count("\n") for label in labels)
    figure = Figure(figsize=(page.wide, inches), layout="constrained")
    grid = figure.subplots(len(wanted), len(PLACES), squeeze=False)
    shown: dict[str, str] = {}
    for line, place in zip(grid, wanted, strict=True):
        chosen = representatives(groups.get_group(tuple(place)))
        shown |= {run: name for name, run in chosen.items()}
        first = place == next(other for other in wanted if other.space == place.space)
        for panel, name in zip(line, PLACES, strict=True):
            if name in chosen:
                row = finals[finals["run"] == chosen[name]].iloc[0]
                draw_cell(panel, graphs[chosen[name]] or Graph((), ()))
                accuracy = "not in the table" if numpy.isnan(row["accuracy"]) else f"{row['accuracy']:.2f} %"
                above = f"{space_name(place.space)}, {name}\n" if first else ""
                label = f"{folded(escape.figure(place.variant), page)}\n" if place.variant else ""
                who = f"{method_name(place.method)}, seed {row['seed']}: {accuracy}"
                panel.set_title(f"{above}{label}{who}", linespacing=1.4)
            else:
                panel.remove()
    names = [operation for name in study.spaces for operation in OPERATIONS.get(name, ())]
    legend(figure, operation_handles([name for name in dict.fromkeys(names) if name != "none"]))
    caption = (
        "Architecture that the table was asked for in the last epoch, with its table accuracy"
        f"{named_answers(study)}: per space and method the worst, the median (the lower of two) and the best of the "
        "runs; the numbers list all. NAS-Bench-201 has its operations on the edges, and an edge of operation none is "
        "left out; NAS-Bench-1Shot1 has them in the nodes, after pruning."
    )
    return Drawn(figure, told(finals.assign(drawn=finals["run"].map(shown)).reset_index(drop=True)), caption)
