"""Values and tables as texts, for the page: a number that is not known is a dash, never 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import pandas

from nas_stability.analysis.readable import number

MISSING = "\N{EM DASH}"
"""What stands where a number is not known."""


class Field(NamedTuple):
    """A cell of a table: its text, the interval and the number of missing values behind it, a run to link to."""

    text: str
    interval: str = ""
    missing: int = 0
    anchor: str = ""


class TextTable(NamedTuple):
    """A table as the template shows it: (name, whether its cells are numbers) of each column, and the rows."""

    columns: list[tuple[str, bool]]
    rows: list[list[Field]]


def absent(value: object) -> bool:
    """Whether a value is none: None, NaN or pandas' NA."""
    return value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value))


def plain(value: object) -> str:
    """A field's value as in a study's file."""
    if absent(value):
        return MISSING
    return str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)


def shown(value: object) -> str:
    """A value of a table: numbers for people, the rest as it is."""
    if absent(value):
        return MISSING
    return number(float(value)) if isinstance(value, float | numpy.floating) else plain(value)


def grid(table: pandas.DataFrame) -> TextTable:
    """A data frame for the template; interval and missing values go into the cell of the number that they belong to."""
    owned = {
        name + end for name in table.columns for end in ("_low", "_high", "_missing") if name + end in table.columns
    }
    names = [name for name in table.columns if name not in owned]
    columns = [column_cells(table, name) for name in names]
    numeric = [table[name].dtype.kind in "iuf" for name in names]
    return TextTable(
        [(str(name), is_number) for name, is_number in zip(names, numeric, strict=True)],
        [list(row) for row in zip(*columns, strict=True)],
    )


def column_cells(table: pandas.DataFrame, name: str) -> list[Field]:
    """The cells of a column."""
    texts = [shown(value) for value in table[name]]
    if f"{name}_low" not in table.columns:
        intervals = [""] * len(texts)
    else:
        ends = zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)
        intervals = ["" if absent(low) else f"[{number(low)}, {number(high)}]" for low, high in ends]
    missing = table[f"{name}_missing"].tolist() if f"{name}_missing" in table.columns else [0] * len(texts)
    return [Field(*parts) for parts in zip(texts, intervals, missing, strict=True)]


def as_float(value: object) -> float:
    """A number or NaN."""
    return math.nan if absent(value) else float(str(value))


def spoken(words: Sequence[str]) -> str:
    """a, b and c"""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def count(number_of: int, noun: str) -> str:
    """1 run, 2 runs"""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def seed_text(seeds: Sequence[int]) -> str:
    """Seeds as ranges: 0-4, 7"""
    found = sorted(set(seeds))
    starts = [seed for seed in found if seed - 1 not in found]
    ends = [seed for seed in found if seed + 1 not in found]
    return ", ".join(str(a) if a == b else f"{a}\N{EN DASH}{b}" for a, b in zip(starts, ends, strict=True))


def duration(seconds: float) -> str:
    """Seconds for people: 12 s, 3 min 20 s, 2 h 5 min."""
    if math.isnan(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return (
        f"{int(seconds // 60)} min {int(seconds % 60)} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )
