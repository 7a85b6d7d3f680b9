"""What a person did wrong, in one line.

The standard library only, so that every floor may use it without cost.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")


class BadInput(ValueError):
    """Input that cannot be used: one line that names the thing and says what to do.

    The command line prints it without a traceback and exits with 2.
    """


class CorruptFile(BadInput):
    """A file whose content is not what was written: truncated, altered or of another format."""


def unknown(kind: str, name: object, names: Iterable[str]) -> BadInput:
    """The error for a name that is not among ``names``, with the nearest one."""
    known = sorted(names)
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BadInput(f"unknown {kind} {str(name)!r}{hint} (known: {', '.join(known)})")


def choose(kind: str, name: str, registry: Mapping[str, Value]) -> Value:
    """The entry of a registry under ``name``.

    Raises:
        BadInput: no such entry; the message lists the known names and the nearest.
    """
    if name not in registry:
        raise unknown(kind, name, registry)
    return registry[name]
