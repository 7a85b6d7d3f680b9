"""The fields of a run as flags and in the help."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spellings import IMAGES
from nas_stability.flags import flag
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import parse, resolved, run_spec
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED_AUGMENTATION
from nas_stability.harness.specs.spec import FIELDS, TYPES, RunSpec

STUDY_FILE = """\
FILE.toml holds the fields of nas-stability run --help, with underscores or dashes:

    [base]            fields of every run
    [over]            lists, one run per combination; integers may be a range such as "0-9"
    [[also]]          extra runs: [base] with these fields replaced; lists and ranges as in [over]
    [claims]          question = "...", and count = [...]: the names of the claims that the study is to decide, settled
                      before its first run; corrected over these alone, all others are exploratory
    [[claim]]         a claim of the study's own: template = "ends-better" (or deteriorates-less, hessian-smaller,
                      flatter, costs-more), method = "..." and base = "...", both searched in the study
    [[evaluate]]      what is trained from scratch when all runs are finished: at, seeds, random, protocol, weights, and
                      the fields of nas-stability evaluate --help
    plugins = [...]   above them: Python files and modules that offer methods, spaces or tables by name

A relative path is taken from the file's folder. Images of your own are data = "npz:PATH": a numpy archive of the arrays
x_train and y_train and, where there are any, x_val, y_val, x_test and y_test; images are uint8 of shape (N, H, W) or
(N, H, W, C), labels integers of shape (N,). Or they are data = "folder:PATH": image files of one size in PATH/CLASS/,
or in PATH/train/CLASS/ and, where there are any, val/CLASS/ and test/CLASS/.
"""

OTHERWISE = ("plugins", "settings")
"""Fields that are given by --plugin and --set."""

NAMES = {"space": tuple(FACTS), "data": IMAGES}
"""Field -> the names that it takes."""


def add_fields(parser: argparse.ArgumentParser) -> None:
    """A flag for every field."""
    for name in FIELDS:
        if name not in OTHERWISE:
            parser.add_argument(flag(name), metavar=field_values(name), help=field_help(name), dest=f"field_{name}")
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="a field of a plug-in's method; repeatable"
    )
    add_plugins(parser)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """The flag that names plug-ins."""
    parser.add_argument(
        "--plugin",
        metavar="FILE.py|MODULE",
        action="append",
        default=[],
        help="Python file or module that offers methods, spaces, tables, figures or the like; repeatable",
    )


def load_plugins(options: argparse.Namespace) -> list[str]:
    """Loads the plug-ins that the flags name, relative ones from the working folder; their addresses.

    Raises:
        BadInput: one is not there, or breaks at import.
    """
    return [plugins.load(address, Path()).address for address in options.plugin]


def given_spec(options: argparse.Namespace) -> RunSpec:
    """The spec that the flags ask for; relative paths are taken from the working folder.

    Raises:
        BadInput: as ``parse`` and ``run_spec``.
    """
    addresses = load_plugins(options)
    given = {name: getattr(options, f"field_{name}") for name in FIELDS if name not in OTHERWISE}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set takes NAME=VALUE, not {text!r}")
        given[name.replace("-", "_")] = value
    texts = {name: text for name, text in given.items() if text is not None}
    loaded, named = resolved({**texts, "plugins": addresses}, Path())
    values = {name: parse(name, str(text)) for name, text in named.items()}
    return run_spec({**values, "plugins": [plugin.address for plugin in loaded]})


def field_help(name: str) -> str:
    """A field's line of help with its default and its range."""
    field = FIELDS[name]
    spaces = [facts.defaults for facts in FACTS.values()]
    by: dict[str, list[Mapping[str, Value]]] = {
        "space": spaces,
        "data": [PUBLISHED_AUGMENTATION, *AUGMENTATION.values()],
    }
    given = [(what, sorted({text_of(one[name]) for one in settings if name in one})) for what, settings in by.items()]
    notes = [f"{' or '.join(values)}, by {what}" for what, values in given if values]
    notes += [", ".join(NAMES[name])] if name in NAMES else []
    if field.default not in (dataclasses.MISSING, ""):
        notes.append(text_of(field.default))
    if field.metadata["range"] is not None:
        notes.append(f"in {field.metadata['range']}")
    return (str(field.metadata["help"]) + (f" ({'; '.join(notes)})" if notes else "")).replace("%", "%%")


def field_values(name: str) -> str:
    """What stands for a field's value in the help: its choices, or its type."""
    kind = TYPES[name]
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return {bool: "true|false", int: "N", float: "X"}.get(kind, "TEXT")


def text_of(value: object) -> str:
    """A field's value as the command line and TOML write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
