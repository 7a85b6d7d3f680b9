"""Verbs that say what there is: methods, spaces, studies, tables. One line each."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from nas_stability.asking import table_list_verb
from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.field_flags import add_plugins, load_plugins
from nas_stability.flags import Verbs, finish, folder
from nas_stability.harness.methods.compositions import METHODS, Method, find_method
from nas_stability.harness.specs import study_file

PARTS = {
    ("relaxation", "softmax"): "",
    ("architect", "first-order"): "",
    ("architect", "second-order"): "second order",
    ("architect", "none"): "logits stay as they are",
    ("perturbation", "random"): "random smoothing in the weight step",
    ("perturbation", "adversarial"): "an attack in the weight step",
    ("variant", "partial-channels"): "one in so many channels is operated on",
    ("variant", "single-path"): "one operation of each edge per pass",
    ("restart", "ada"): "goes back with a larger weight decay",
}
"""A part of a method -> what it is, in words; nothing to say of DARTS's own. Others by their names."""

USUAL = Method()


def add_verbs(verbs: Verbs) -> None:
    """methods, spaces, studies and tables."""
    methods = verbs.add_parser("methods", help="the methods there are, one line each", allow_abbrev=False)
    add_plugins(methods)
    finish(methods, methods_verb)
    spaces = verbs.add_parser("spaces", help="the search spaces there are, one line each", allow_abbrev=False)
    add_plugins(spaces)
    finish(spaces, spaces_verb)
    finish(verbs.add_parser("studies", help="the shipped studies, one line each", allow_abbrev=False), studies_verb)
    tables = verbs.add_parser("tables", help="as table list", allow_abbrev=False)
    tables.add_argument("--tables", metavar="DIR", type=folder, help="folder of packed tables (the user's cache)")
    finish(tables, table_list_verb)


def methods_verb(options: argparse.Namespace) -> int:
    """Every method with its title and its parts."""
    load_plugins(options)
    names = [*METHODS, *plugins.names("methods")]
    print_lines((name, described(find_method(name))) for name in names)
    return 0


def described(method: Method) -> str:
    """A method in one line: its title, and in what it differs from DARTS."""
    kinds = ("relaxation", "architect", "perturbation", "regulariser", "after", "stop", "restart", "choice", "variant")
    chosen = [(kind, str(getattr(method, kind))) for kind in kinds if getattr(method, kind) != getattr(USUAL, kind)]
    words = [PARTS.get(part, f"{part[0].replace('_', ' ')} {part[1]}") for part in chosen]
    return "; ".join(filter(None, (method.title, *words)))


def spaces_verb(options: argparse.Namespace) -> int:
    """Every space with its title, its operations and the data sets that its public table answers for."""
    load_plugins(options)
    found = dict(FACTS)
    for name in plugins.names("spaces"):
        from nas_stability.benchmarks.catalog import find_space

        found[name] = find_space(name).facts
    print_lines(
        (name, "; ".join(filter(None, (facts.title, ", ".join(facts.operations), ", ".join(facts.datasets)))))
        for name, facts in found.items()
    )
    return 0


def studies_verb(options: argparse.Namespace) -> int:
    """Every shipped study with the sentence that its file begins with."""
    print_lines((name, first_sentence(path)) for name, path in study_file.shipped().items())
    return 0


def first_sentence(path: Path) -> str:
    """The first sentence of the comment on top of a study's file."""
    lines = path.read_text("utf-8").splitlines()
    comment = " ".join(line.removeprefix("#").strip() for line in lines[: lines.index("")])
    ends = [place + 1 for mark in ".?" if (place := comment.find(f"{mark} ")) >= 0]
    return comment[: min(ends)] if ends else comment


def print_lines(rows: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, aligned."""
    found = list(rows)
    width = max(len(name) for name, _ in found)
    for name, text in found:
        print(f"{name:{width}}  {text}".rstrip())
