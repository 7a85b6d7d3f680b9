"""What a field of RunSpec takes: a type, a range, and how a value is read from text. The standard library only.

A field's range stands where the field is defined; the command line, a study's file and the help all read it there.
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from nas_stability.benchmarks.errors import BadInput, shown

Value = str | int | float | bool

INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
"""Of an integer as text. Python's ``int`` takes 1_0, blanks and the digits of every script."""

NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
"""Of a number as text. Python's ``float`` takes also nan, infinity and the digits of every script."""

LONGEST = 4096
"""Characters of a text: those of the longest path that Linux opens."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; each end is one of them unless it is open. NaN is in none."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        ends = (end if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))
        return f"{'(' if self.open_low else '['}{', '.join(map(str, ends))}{')' if self.open_high else ']'}"


def described(default: Any, text: str, within: Range | None = None) -> Any:
    """A field with its default, the line of help that the command line shows, and the range of a number."""
    return field(default=default, metadata={"help": text, "range": within})


def required(text: str, within: Range | None = None) -> Any:
    """A field whose default depends on the space or the data (FACTS, AUGMENTATION)."""
    return field(metadata={"help": text, "range": within})


def of_type(name: str, kind: Any, value: object) -> Value:
    """The value as a field's type: an integer is accepted for a float, nothing else is converted.

    Args:
        name: of the field.
        kind: its type.
        value: to be taken.

    Raises:
        BadInput: another type, or not one of the field's choices.
    """
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise BadInput(f"the field {name!r} takes {' or '.join(choices)}, not {shown(value)}")
        return str(value)
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise BadInput(f"the field {name!r} takes float, not {shown(value)}") from None
    if type(value) is not kind:
        raise BadInput(f"the field {name!r} takes {kind.__name__}, not {shown(value)}")
    assert isinstance(value, str | int | float)
    return value


def admitted(name: str, within: Range | None, value: Value) -> Value:
    """The value, where a number lies in the field's range, or a text can be printed and is not too long; -0.0 is 0.0.

    Raises:
        BadInput: naming the field and its range.
    """
    if isinstance(value, str):
        if not value.isprintable():
            raise BadInput(f"the field {name!r} holds a character that cannot be printed: {shown(value)}")
        if len(value) > LONGEST:
            raise BadInput(f"the field {name!r} takes at most {LONGEST} characters, not {len(value)}")
    elif within is not None and value not in within:
        raise BadInput(f"the field {name!r} must lie in {within}, not {shown(value)}")
    return value + 0.0 if isinstance(value, float) else value


def from_text(name: str, kind: Any, text: str) -> Value:
    """The value of a field from the command line's text; numbers in ASCII digits alone.

    Raises:
        BadInput: not a value of the field's type.
    """
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise BadInput(f"the field {name!r} takes true or false, not {shown(text)}")
        return text.lower() == "true"
    if kind in (int, float):
        found = number_from(kind, text)
        if found is None:
            raise BadInput(f"the field {name!r} takes {kind.__name__}, not {shown(text)}")
        return found
    return of_type(name, kind, text)


def number_from(kind: type[int] | type[float], text: str) -> int | float | None:
    """The number that a text is in ASCII digits, None where it is none; a float beyond the largest is infinite."""
    return kind(text) if (INTEGER if kind is int else NUMBER).fullmatch(text) else None
