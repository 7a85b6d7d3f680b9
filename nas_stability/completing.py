"""Completion in the shell: what may come next, by argcomplete, without PyTorch and without pandas."""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Callable, Iterable
from typing import Any

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spellings import IMAGES
from nas_stability.benchmarks.tables import cache
from nas_stability.flags import Verbs, finish
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.spec import TYPES
from nas_stability.harness.training import protocol

ASKED = "_ARGCOMPLETE"
"""Environment variable that is set where the shell asks."""

SHELLS = ("bash", "zsh", "fish")

TABLES = ("darts-digits", "nasbench1shot1-s1-digits", "nasbench201")
"""Tables that come with the package; a test holds them to ``catalog.TABLES``, which takes PyTorch."""

NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "method": lambda: [*METHODS, *plugins.names("methods")],
    "space": lambda: [*FACTS, *plugins.names("spaces")],
    "data": lambda: [*IMAGES, *plugins.names("datasets")],
    "table": lambda: ["auto", "none", *tables()],
    "study": study_file.shipped,
    "name": lambda: tables(),
    "protocol": lambda: protocol.PRESETS,
}
"""What an argument is called -> the names that it takes; those of the verbs' other arguments are files."""


def add_verbs(verbs: Verbs) -> None:
    """completion."""
    parser = verbs.add_parser(
        "completion",
        help="a script by which a shell completes these commands",
        description='In ~/.bashrc: eval "$(nas-stability completion bash)"',
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS))
    finish(parser, completion_verb)


def completion_verb(options: argparse.Namespace) -> int:
    """Prints the script."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["nas-stability"], shell=options.shell))
    return 0


def complete_if_asked(parser: argparse.ArgumentParser, parsers: Iterable[argparse.ArgumentParser]) -> None:
    """Tells a shell that asks what may come next, and ends; returns where none asks.

    Args:
        parser: of the whole command line.
        parsers: of its verbs.
    """
    if ASKED not in os.environ:
        return
    import argcomplete
    from argcomplete.completers import ChoicesCompleter

    for verb in parsers:
        for action in verb._actions:
            names = names_of(action)
            if names is not None:
                typing.cast("Any", action).completer = ChoicesCompleter(dict.fromkeys(names, ""))
    argcomplete.autocomplete(parser, always_complete_options="long")


def names_of(action: argparse.Action) -> list[str] | None:
    """The names that an argument takes; None where it is no name, or argparse knows them."""
    if action.choices is not None:
        return None
    name = action.dest.removeprefix("field_")
    if name in NAMES:
        return list(NAMES[name]())
    kind = TYPES.get(name) if action.dest.startswith("field_") else None
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    return ["true", "false"] if kind is bool else None


def tables() -> list[str]:
    """The tables that are here, and those that plug-ins offer."""
    return [*dict.fromkeys([*TABLES, *cache.here(), *plugins.names("tables")])]
