"""What was chosen: the share of each operation over epochs, and the final cells as graphs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from nas_stability.analysis import escape
from nas_stability.analysis.averages import named_answers
from nas_stability.analysis.figures.layout import MOST_PANELS, folded, groups_of, outer, panels_of_groups
from nas_stability.analysis.figures.looks import DARK, KNOWN, OperationLook, look, looks_of, operation_handles
from nas_stability.analysis.figures.panels import SCREEN, Drawn, Page, epochs_axis, legend, method_name, space_name
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study, chosen
from nas_stability.analysis.variants import Group, told
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.graphs import Graph, graphs

LETTERS = 6.5
"""Size of the words in a graph, in points."""

NODE, EMPTY_NODE = 0.2, 0.11
"""Half the room of a node that holds an operation, and of one that does not, in distances between nodes."""


def operation_shares(study: Study, space: str, method: str, variant: str = "") -> pandas.DataFrame:
    """Share of the edges (choice blocks) whose largest logit is of each operation; ties go to the first.

    Those of all kinds of cells together. Of a space of which nothing is known the choices of group 0 are numbered.

    Returns:
        epoch, operation, seeds, share (mean over the seeds, between 0 and 1).

    Raises:
        BadInput: the logits of a run are missing, damaged, or of other operations than the space's.
    """
    rows = study.rows(Group(space, method, variant))
    logits = [study.alphas(run) for run in rows["run"].unique() if study.has_alphas(run)]
    numbered = (tuple(f"choice {index}" for index in range(logits[0][0].shape[2])),) * logits[0][0].shape[1]
    named = study.facts_of(space).groups or {0: numbered}
    parts = []
    for epoch in range(max(len(groups[0]) for groups in logits)):
        try:
            picked = [decided(groups, epoch, named) for groups in logits if epoch < len(groups[0])]
        except (ValueError, IndexError) as error:
            raise BadInput(f"the logits of {method} in {space} are not of the operations that it has") from error
        for name in dict.fromkeys(name for rows in named.values() for row in rows for name in row):
            share = float(numpy.mean([operations.count(name) / len(operations) for operations in picked]))
            parts.append((epoch, name, len(picked), share))
    return pandas.DataFrame(parts, columns=["epoch", "operation", "seeds", "share"])


def decided(logits: Sequence[numpy.ndarray], epoch: int, named: Mapping[int, Sequence[Sequence[str]]]) -> list[str]:
    """The operation with the largest logit of every row after an epoch, by the names of each group's rows."""
    return [
        names[choice]
        for group, rows in named.items()
        for names, choice in zip(rows, logits[group][epoch].argmax(1), strict=True)
    ]


def draw_operations(axes: Axes, study: Study, space: str, method: str, variant: str = "") -> Axes:
    """Share of each operation over epochs as stacked areas."""
    return draw_areas(axes, operation_shares(study, space, method, variant), looks_of(study))


def draw_areas(axes: Axes, numbers: pandas.DataFrame, known: Mapping[str, OperationLook]) -> Axes:
    """The areas of ``draw_operations`` from its numbers."""
    names = list(dict.fromkeys(numbers["operation"]))
    table = numbers.pivot_table(index="operation", columns="epoch", values="share", sort=False)
    colours = [look(name, names, known).colour for name in names]
    axes.stackplot(table.columns, table.loc[names].to_numpy(), colors=colours, linewidth=0.4, edgecolor="white")
    axes.grid(False)
    axes.set_xlim(0, max(int(table.columns.max()), 1))
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("share")
    epochs_axis(axes)
    return axes


def operations(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Share of each operation over epochs: a panel per space, method and variant whose runs have logits."""
    having = {run for run in study.runs["run"] if study.has_alphas(str(run))}
    if not having:
        return None
    rows = study.epochs[study.epochs["run"].isin(having)]
    wanted, known = groups_of(study, study.spaces), looks_of(study)
    wanted = [group for group in wanted if not chosen(rows, group).empty]
    figure, axes = panels_of_groups(study, wanted, page, height=0.85)
    parts = []
    for group in wanted:
        numbers = operation_shares(study, *group)
        if group in axes:
            draw_areas(axes[group], numbers, known)
        parts.append(numbers.assign(**group._asdict()))
    outer(study, axes)
    joined = told(pandas.concat(parts, ignore_index=True))
    legend(figure, operation_handles(list(dict.fromkeys(joined["operation"])), known))
    caption = (
        "Share of the edges (NAS-Bench-201) or choice blocks (NAS-Bench-1Shot1, before pruning) that would decide for "
        "each operation after each epoch: the one with the largest logit. Mean over seeds."
    )
    first = [name for name in Group._fields if name in joined]
    return Drawn(figure, joined[[*first, "epoch", "operation", "seeds", "share"]], caption)


def draw_cell(axes: Axes, graph: Graph, known: Mapping[str, OperationLook] = KNOWN) -> Axes:
    """A cell as a graph from left to right; edges that skip nodes are arcs, the longer the higher.

    An edge of an operation that carries nothing is left out.

    Args:
        axes: to draw in.
        graph: of the cell.
        known: how operations are shown.
    """
    count = len(graph.nodes)
    for source, target, operation in graph.edges:
        if operation not in known or known[operation].carries:
            draw_edge(axes, source, target, operation, known.get(operation))
    for place, node in enumerate(graph.nodes):
        found = known.get(node)
        text = escape.figure(found.short if found else {"input": "in", "output": "out"}.get(node, node))
        face = found.colour if found else "white"
        box = {"boxstyle": "round,pad=0.2", "facecolor": face, "edgecolor": "0.3", "linewidth": 0.5}
        ink = "white" if face in DARK else "black"
        axes.text(place, 0, text, ha="center", va="center", size=LETTERS, color=ink, bbox=box, zorder=4)
    axes.set_xlim(-0.4, count - 0.6)
    axes.set_ylim(-lift(max(count - 2, 1)) - 0.35, lift(max(count - 1, 1)) + 0.35)
    axes.axis("off")
    return axes


def lift(span: int) -> float:
    """Height of the middle of an edge that spans so many nodes: 0 between neighbours."""
    return 0.0 if span == 1 else 0.55 + 0.35 * (span - 2)


def draw_edge(axes: Axes, source: int, target: int, operation: str, known: OperationLook | None) -> None:
    """An edge as an arrow, above the nodes from even nodes and below from odd ones, with its operation as a word."""
    span = target - source
    height = lift(span) if source % 2 == 0 else -lift(span)
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
        axes.text(
            middle, height, escape.figure(known.short), ha="center", va="center", size=LETTERS - 0.5, bbox=box, zorder=3
        )


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


def graphs_of(study: Study, row: Mapping[Hashable, object]) -> dict[str, Graph]:
    """The graphs of a row's architecture by kind of cell; none where its space or text is not known."""
    arch, cell = (str(row[name]) if isinstance(row[name], str) else "" for name in ("arch", "cell"))
    return graphs(study.facts_of(str(row["space"])).form, arch, cell)


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


def final_graphs(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The final cells as graphs with their table accuracy: the worst, the median and the best of each group."""
    finals, known = final_cells(study), looks_of(study)
    drawings = {str(row["run"]): graphs_of(study, row) for row in finals.to_dict("records")}
    finals = finals[[bool(drawings[run]) for run in finals["run"]]]
    groups = finals.groupby(list(Group._fields), sort=False, observed=True)
    found = [group for group in groups_of(study, study.spaces) if tuple(group) in groups.groups]
    runs = {group: groups.get_group(tuple(group))["run"] for group in found}
    kinds = {group: dict.fromkeys(kind for run in runs[group] for kind in drawings[run]) for group in found}
    wanted = [(group, kind) for group in found for kind in kinds[group]][:MOST_PANELS]
    if not wanted:
        return None
    labels = [folded(escape.figure(group.variant), page) for group, _ in wanted if group.variant]
    inches = 0.55 * page.height * len(wanted) + 0.25 * len(study.spaces) + 0.3
    inches += 0.17 * sum(1 + label.count("\n") for label in labels)
    figure = Figure(figsize=(page.wide, inches), layout="constrained")
    grid = figure.subplots(len(wanted), len(PLACES), squeeze=False)
    shown: dict[str, str] = {}
    for line, (place, kind) in zip(grid, wanted, strict=True):
        chosen = representatives(groups.get_group(tuple(place)))
        shown |= {run: name for name, run in chosen.items()}
        first = (place, kind) == next(other for other in wanted if other[0].space == place.space)
        for panel, of_place in zip(line, PLACES, strict=True):
            if name := of_place if of_place in chosen else "":
                row = finals[finals["run"] == chosen[name]].iloc[0]
                draw_cell(panel, drawings[chosen[name]].get(kind, Graph((), ())), known)
                accuracy = ": not in the table" if numpy.isnan(row["accuracy"]) else f": {row['accuracy']:.2f} %"
                title = space_name(study, place.space)
                if not row["answer"]:  # without a table there is nothing to order by
                    accuracy, name = "", ""
                above = f"{title}{f', {name}' if name else ''}\n" if first else ""
                label = f"{folded(escape.figure(place.variant), page)}\n" if place.variant else ""
                who = f"{method_name(place.method)}, seed {row['seed']}{f', {kind}' if kind else ''}{accuracy}"
                panel.set_title(f"{above}{label}{who}", linespacing=1.4)
            else:
                panel.remove()
    legend(figure, operation_handles([name for name, look in known.items() if look.carries], known))
    caption = (
        "Architecture that the table was asked for in the last epoch, with its table accuracy"
        f"{named_answers(study)}: per space and method the worst, the median (the lower of two) and the best of the "
        "runs, without a table that of the lowest seed; the numbers list all. NAS-Bench-201 and DARTS cells have "
        "operations on the edges, and an edge of operation none is left out; NAS-Bench-1Shot1 has them in the nodes, "
        "after pruning."
    )
    return Drawn(figure, told(finals.assign(drawn=finals["run"].map(shown)).reset_index(drop=True)), caption)
