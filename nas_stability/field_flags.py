"""The fields of a run as flags and in the help."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from typing import Literal

from nas_stability.benchmarks.spellings import IMAGES
from nas_stability.flags import flag
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED, PUBLISHED_AUGMENTATION
from nas_stability.harness.specs.spec import FIELDS, TYPES, RunSpec, parse, run_spec

STUDY_FILE = """\
FILE.toml holds the fields of nas-stability run --help, with underscores or dashes:

    [base]            fields of every run
    [over]            lists, one run per combination; integers may be a range such as "0-9"
    [[also]]          extra runs: [base] with these fields replaced; lists and ranges as in [over]

A relative path is taken from the file's folder. Images of your own are data = "npz:PATH": a numpy archive of the arrays
x_train and y_train and, where there are any, x_val, y_val, x_test and y_test; images are uint8 of shape (N, H, W) or
(N, H, W, C), labels integers of shape (N,). Or they are data = "folder:PATH": image files of one size in PATH/CLASS/,
or in PATH/train/CLASS/ and, where there are any, val/CLASS/ and test/CLASS/.
"""

NAMES = {"space": tuple(PUBLISHED), "data": IMAGES}
"""Field -> the names that it takes."""


def add_fields(parser: argparse.ArgumentParser) -> None:
    """A flag for every field."""
    for name in FIELDS:
        parser.add_argument(flag(name), metavar=field_values(name), help=field_help(name), dest=f"field_{name}")


def given_spec(options: argparse.Namespace) -> RunSpec:
    """The spec that the flags ask for; relative paths are taken from the working folder.

    Raises:
        BadInput: as ``parse`` and ``run_spec``.
    """
    given = {name: getattr(options, f"field_{name}") for name in FIELDS}
    return run_spec({name: parse(name, text) for name, text in given.items() if text is not None})


def field_help(name: str) -> str:
    """A field's line of help with its default and its range."""
    field = FIELDS[name]
    by = {"space": PUBLISHED.values(), "data": [PUBLISHED_AUGMENTATION, *AUGMENTATION.values()]}
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
