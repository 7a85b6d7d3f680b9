"""What a person did wrong, in one line.

The standard library only, so that every floor may use it without cost.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Named = TypeVar("Named")


class BadInput(ValueError):
    """Input that cannot be used: one line that names the thing and says what to do.

    The command line prints it without a traceback and exits with 2.
    """


class CorruptFile(BadInput):
    """A file whose content is not what was written: truncated, altered or of another format."""


SHOWN = 60
"""Characters of a value that a message repeats."""

NEAR = 0.6
"""Share of characters that two names must have in common for one to be taken for the other."""


def shown(value: object) -> str:
    """The value as a message repeats it: on one line, and cut where it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}... ({len(value)} characters)"
    if isinstance(value, int) and value.bit_length() > 4 * SHOWN:  # Python refuses to write very long ones
        return f"an integer of about {value.bit_length() * 30103 // 100000} digits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a list of such integers, a list in a list in a list
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def unknown(kind: str, name: object, names: Iterable[str]) -> BadInput:
    """The error for a name that is not among ``names``, with the nearest one alone, or with all where none is near."""
    known = {other.lower(): other for other in sorted(names)}
    near = difflib.get_close_matches(str(name)[:1000].lower(), known, n=1, cutoff=NEAR)
    hint = f"; did you mean {known[near[0]]!r}?" if near else f" (known: {', '.join(known.values()) or 'none'})"
    return BadInput(f"unknown {kind} {shown(str(name))}{hint}")


def choose(kind: str, name: str, registry: Mapping[str, Named]) -> Named:
    """The entry of a registry under ``name``.

    Raises:
        BadInput: no such entry; the message has the nearest name, or all where none is near.
    """
    if name not in registry:
        raise unknown(kind, name, registry)
    return registry[name]


def unreadable(error: Exception) -> str:
    """The first line of why an archive of arrays cannot be read, without numpy's advice to load what may be unsafe."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return "it is no archive of plain arrays" if "pickle" in line else line
