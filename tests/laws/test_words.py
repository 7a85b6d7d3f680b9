"""One word, one thing: what a class or a kind of value is called, nothing else is called in the harness's own code."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("benchmarks", "harness", "analysis", "nas_stability")

PARTS_OF_A_SUPERNET = {"Head", "Nothing", "Reduction", "ReluConvNorm", "SupernetCell"}
"""Modules that every space's fast and plain supernet have, each their own, for the same place in it."""

ALIKE = {"Floats"}
"""An array of float64, of the tables and of the statistics, which import nothing of each other."""


def names(file: Path) -> list[str]:
    """Classes and kinds of values (capitalised names of a module, but for constants) that a file defines."""
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name):
                found.append(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found += [name] if name[0].isupper() and not name.isupper() else []
    return found


def files() -> list[Path]:
    """Every file of the harness, once: nas_stability has links to the rooms."""
    return [
        file
        for room in ROOMS
        for file in sorted((ROOT / room).rglob("*.py"))
        if not any(parent.is_symlink() for parent in file.parents if parent != ROOT and ROOT in parent.parents)
    ]


def test_one_word_names_one_kind_of_value() -> None:
    """Two classes of one name are two things under one word; the same thing twice is defined once and imported."""
    places: dict[str, list[str]] = defaultdict(list)
    for file in files():
        for name in names(file):
            places[name].append(str(file.relative_to(ROOT)))
    assert len(places) > 150  # the rooms were found
    twins = {name: where for name, where in places.items() if len(where) > 1}
    assert set(twins) == PARTS_OF_A_SUPERNET | ALIKE, twins
