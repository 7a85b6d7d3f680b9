"""Where the groups of a study go in a figure: as lines of a panel or as panels, each variant by itself and labelled.

Where one field varies, each of its values is a line, in the order of a colour map, and each method a panel; where
several do, each variant is a panel and the methods are lines. A method of which nothing varies is drawn beside every
variant.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_stability.analysis import escape
from nas_stability.analysis.figures.panels import (
    CLOSE,
    MOST_COLUMNS,
    LineStyle,
    Page,
    colour,
    method_handles,
    method_name,
    space_name,
)
from nas_stability.analysis.names import told_by
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Group, variation

DASHES: tuple[LineStyle, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))
"""Styles of the lines of several methods whose variants share a panel."""

BRIGHTEST = 0.88
"""Of the colour map from 0 to 1: what is brighter is lost on white."""

MOST_PANELS = 48
"""Panels in which the groups of a study are drawn, at most; the numbers of a figure have all."""


class Split(NamedTuple):
    """What one panel shows of a space: its title besides the space's name, and its groups."""

    title: str
    groups: tuple[Group, ...]


class LineLook(NamedTuple):
    """Colour and style of a group's line, and whether its colour stands for its variant, not for its method."""

    shade: str
    line: LineStyle
    of_variant: bool


def splits(study: Study, space: str) -> list[Split]:
    """The panels of a space; one, without a title of its own, where nothing varies."""
    groups = study.groups(space)
    still = tuple(group for group in groups if not group.variant)
    moved = [group for group in groups if group.variant]
    if not moved:
        return [Split("", still)]
    if len(study.varied(space)) == 1:
        methods = dict.fromkeys(group.method for group in moved)
        return [
            Split(method_name(method), (*still, *(group for group in moved if group.method == method)))
            for method in methods
        ]
    labels = [label for label in study.variants if any(group.variant == label for group in moved)]
    return [
        Split(escape.figure(label), (*still, *(group for group in moved if group.variant == label)))
        for label in labels[:MOST_PANELS]
    ]


def look(study: Study, group: Group, among: Sequence[Group]) -> LineLook:
    """A group's line beside others: methods by colour where each is there once, else variants by colour."""
    methods = [other.method for other in among]
    if not group.variant or methods.count(group.method) == 1:
        return LineLook(colour(group.method, study.methods), "solid", False)
    several = list(dict.fromkeys(method for method in methods if methods.count(method) > 1))
    return LineLook(shade(study, group.variant), DASHES[several.index(group.method) % len(DASHES)], True)


def shade(study: Study, variant: str) -> str:
    """The colour of a variant, the same in every figure."""
    labels = [label for label in study.variants if label]
    place = labels.index(variant) / max(len(labels) - 1, 1)
    return to_hex(colormaps["viridis"](BRIGHTEST * place))


def handles(study: Study, shown: Iterable[Sequence[Group]]) -> list[Artist]:
    """Entries of a legend for panels of groups: methods where they have colours, then variants where they do."""
    methods = method_handles(study.methods)
    if not any(study.variants):
        return methods
    looks = [(group, look(study, group, groups)) for groups in shown for group in groups]
    by_method = {group.method for group, found in looks if not found.of_variant}
    by_variant = {group.variant: found.shade for group, found in looks if found.of_variant}
    return [
        *(handle for handle, method in zip(methods, study.methods, strict=True) if method in by_method),
        *(
            Line2D([], [], color=by_variant[name], label=escape.figure(name))
            for name in study.variants
            if name in by_variant
        ),
    ]


def folded(text: str, page: Page) -> str:
    """A title in lines that fit a panel of a figure with as many columns as there may be."""
    return "\n".join(textwrap.wrap(text, 19 if page.paper else 30, break_long_words=False, break_on_hyphens=False))


def group_title(group: Group, page: Page) -> str:
    """Method and variant as the title of a panel."""
    variant = folded(escape.figure(group.variant), page)
    return f"{method_name(group.method)}\n{variant}" if variant else method_name(group.method)


def groups_of(study: Study, spaces: Iterable[str]) -> list[Group]:
    """The groups of some spaces."""
    return [group for space in spaces for group in study.groups(space)]


def lines_of(study: Study, wanted: Sequence[Group], page: Page) -> list[dict[int, Group]]:
    """Lines of panels, column -> group: spaces below each other, methods side by side, a line per variant.

    Where the variants are of one method alone they fill the lines instead.
    """
    methods = [method for method in study.methods if method in {group.method for group in wanted}]
    most = 2 if page.paper and any(group.variant for group in wanted) else MOST_COLUMNS  # labels need room
    columns = min(most, len(methods))
    lines: list[dict[int, Group]] = []
    for space in dict.fromkeys(group.space for group in wanted):
        here = [group for group in wanted if group.space == space]
        if len({group.method for group in here if group.variant}) == 1:
            lines += [dict(enumerate(here[start : start + most])) for start in range(0, len(here), most)]
            continue
        for variant in study.variants:
            places = {methods.index(group.method): group for group in here if group.variant == variant}
            for start in range(0, len(methods), columns):
                line = {place - start: group for place, group in places.items() if start <= place < start + columns}
                lines += [line] if line else []
    return lines


def panels_of_groups(
    study: Study, wanted: Sequence[Group], page: Page, height: float = 1.0
) -> tuple[Figure, dict[Group, Axes]]:
    """A figure with a panel per wanted group, the first MOST_PANELS of them, in the order of ``lines_of``.

    Axes of the same space share their limits, so that methods and variants can be compared.
    """
    lines = lines_of(study, wanted[:MOST_PANELS], page)
    columns = max(max(line) for line in lines) + 1
    inches = page.height * height * len(lines) + 0.3
    figure = Figure(figsize=(page.widths[columns - 1], inches), layout="constrained")
    grid = figure.add_gridspec(len(lines), columns)
    found: dict[Group, Axes] = {}
    shared: dict[str, Axes] = {}
    for row, line in enumerate(lines):
        for column, group in sorted(line.items()):
            last = shared.get(group.space)
            panel = figure.add_subplot(grid[row, column], sharex=last, sharey=last)
            # A single line is placed as matplotlib places it by itself.
            spacing: dict[str, Any] = {"linespacing": CLOSE} if group.variant else {}
            panel.set_title(group_title(group, page), **spacing)
            found[group] = shared[group.space] = panel
    return figure, found


def outer(study: Study, axes: Mapping[Group, Axes]) -> None:
    """Puts the space before the label of the first panel of a line, and takes the labels off the others.

    The panels of a space share the vertical axis.
    """
    begun: set[int] = set()
    for group, panel in axes.items():
        place = panel.get_subplotspec()
        if place is not None and place.rowspan.start not in begun:
            begun.add(place.rowspan.start)
            panel.set_ylabel(f"{space_name(study, group.space)}\n{panel.get_ylabel()}", linespacing=CLOSE)
        else:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False)


def note(study: Study) -> str:
    """What a caption says of variants and of runs that ended early; nothing where there are none."""
    early = "stopped" in study.runs and study.runs["stopped"].notna().any()
    said = " A run that a stopping rule ended counts in means up to its last epoch." if early else ""
    spaces = [space for space in study.spaces if any(told_by(name) == "surrogate" for name in study.answers(space))]
    if spaces:
        titles = " and ".join(study.facts_of(space).title for space in spaces)
        said += (
            f" In {titles} a surrogate stands for the table: its accuracies are expected, not measured; hatched: where "
            "95 of 100 measured values would lie."
        )
    if not any(study.variants):
        return said
    found = variation(study.runs)
    usual = [", ".join(f"{name} {value}" for name, value in fields.items()) for fields in found.usual.values()]
    stated = "; ".join(dict.fromkeys(filter(None, usual)))
    named = f" A field that a label does not name has its usual value ({stated})." if stated else ""
    many = len(groups_of(study, study.spaces)) > MOST_PANELS
    left = f" Where each is a panel the first {MOST_PANELS} are drawn; the numbers have all." if many else ""
    return f" Variants are never averaged: seeds are, within one variant.{named}{left}{said}"
