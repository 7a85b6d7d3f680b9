"""How operations are shown in figures: their words and colours, from what their spaces say that they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.patches import Patch

from nas_stability.analysis import escape
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.spaces.facts import FACTS, Facts, Kind


class OperationLook(NamedTuple):
    """How an operation is shown: its name in a legend, in a graph, its colour, and whether it carries anything."""

    name: str
    short: str
    colour: str
    carries: bool = True


COLOURS: dict[Kind, tuple[str, ...]] = {
    "none": ("#DDDDDD",),
    "skip": ("#EE6677", "#F4A9B1"),
    "pool": ("#CCBB44", "#E5DD9F"),
    "noise": ("#BBBBBB",),
    "conv": ("#4477AA", "#66CCEE", "#228833", "#AA3377", "#88BBDD", "#99CC99"),
}
"""Tol's bright colours and lighter ones: told apart with every common colour blindness, not those of the methods."""

DARK = ("#4477AA", "#228833", "#AA3377")
"""Those on which letters are white."""

ORDER = ("conv 3x3", "conv 1x1")
"""Labels whose colours come first, so that they are the same whichever spaces are beside each other."""


def looks(spaces: Iterable[Facts]) -> dict[str, OperationLook]:
    """How the operations of some spaces are shown, by their names; the same label has the same colour everywhere."""
    operations = {name: operation for facts in spaces for name, operation in facts.operations.items()}
    labels = dict.fromkeys(operation.label for operation in operations.values())
    kinds = {operation.label: operation.kind for operation in operations.values()}
    first = [label for label in ORDER if label in labels] + [label for label in labels if label not in ORDER]
    colours: dict[str, str] = {}
    for kind, shades in COLOURS.items():
        same = [label for label in first if kinds[label] == kind]
        colours |= {label: shades[place % len(shades)] for place, label in enumerate(same)}
    return {
        name: OperationLook(operation.label, operation.short, colours[operation.label], operation.kind != "none")
        for name, operation in operations.items()
    }


KNOWN = looks(FACTS.values())


def looks_of(study: Study) -> dict[str, OperationLook]:
    """How the operations of a study's spaces are shown."""
    return looks(map(study.facts_of, study.spaces))


def look(operation: str, among: Sequence[str], known: Mapping[str, OperationLook]) -> OperationLook:
    """How an operation is shown; one that is not known gets a grey by its place."""
    if operation in known:
        return known[operation]
    place = list(among).index(operation) / max(len(among), 1)
    return OperationLook(operation, operation[:4], str(0.25 + 0.6 * place))


def operation_handles(names: Sequence[str], known: Mapping[str, OperationLook]) -> list[Patch]:
    """Entries of a legend: a patch per look, once."""
    shown = dict.fromkeys(look(name, names, known)[:3:2] for name in names)
    return [Patch(color=shade, label=escape.figure(name)) for name, shade in shown]
