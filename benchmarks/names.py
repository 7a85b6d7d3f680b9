"""One pattern for the names that become files and folders: studies, tables, data sets. The standard library only."""

from __future__ import annotations

import re

from benchmarks.errors import BadInput, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a whole name: nothing in it means anything to a shell, a path or a CSV file."""

LONGEST = 100
"""Characters of a name: with what is put around it, it still fits the 255 bytes of a file's name."""

RULE = f"letters, digits, '.', '_' and '-', at most {LONGEST} of them, the first a letter or digit, the last not a dot"


def check_name(kind: str, name: str) -> str:
    """The name, where it is one.

    Args:
        kind: of thing that it names, for the message: "study".
        name: to check.

    Raises:
        BadInput: it does not match the pattern, which the message states.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST or name.endswith("."):
        raise BadInput(f"{shown(name)} cannot be the name of a {kind}: names are {RULE}")
    return name
