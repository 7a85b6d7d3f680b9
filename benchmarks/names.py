"""How things may be called: studies, tables, data sets, splits. One pattern, which the messages state.

Names become files and folders, parts of column names, and cells of CSV, Markdown, LaTeX and HTML; what the pattern
allows means nothing to any of them, to a shell or to a path. The standard library only.
"""

from __future__ import annotations

import re

from nas_stability.benchmarks.errors import BadInput, shown

LONGEST = 100
"""Characters of a name: with what is put around it, it still fits the 255 bytes of a file's name."""

SIGNS = {"data set": (".+-", "'.', '+' and '-'"), "split": (".+-", "'.', '+' and '-'")}
"""Signs in the names of some kinds, and how a message lists them: in a record's column '_' parts data set and split."""

RESERVED = ("auto", "none")
"""What ``--table`` takes for something else than a table's name."""

SUFFIXES = (".parquet", ".csv", ".npz", ".pth", ".tar", ".tfrecord")
"""Endings by which ``--table`` takes a name for a file's."""


def check_name(kind: str, name: str) -> str:
    """The name, where it is one.

    Args:
        kind: of thing that it names, for the message: "study"; a "data set" and a "split" have '+' instead of '_'.
        name: to check.

    Raises:
        BadInput: it does not match the pattern, which the message states.
    """
    signs, listed = SIGNS.get(kind, ("._-", "'.', '_' and '-'"))
    if not re.fullmatch(f"[A-Za-z0-9][A-Za-z0-9{signs}]*", name) or len(name) > LONGEST or name.endswith("."):
        raise BadInput(
            f"{shown(name)} cannot be the name of a {kind}: names are letters, digits, {listed}, at most {LONGEST} of "
            "them, the first a letter or digit, the last not a dot"
        )
    return name


def check_table_name(name: str) -> str:
    """The name, if a table of it can be asked for.

    Raises:
        BadInput: as ``check_name``, or ``--table`` would take it for something else.
    """
    check_name("table", name)
    if name.lower() in RESERVED:
        raise BadInput(f"a table cannot be called {name!r}, which --table takes for another thing; give another --name")
    if name.lower().endswith(SUFFIXES):
        raise BadInput(f"a table cannot be called {name!r}, which --table takes for a file; give another --name")
    return name
