"""Texts out of files, as each format must have them: a name is never markup, a command or a formula."""

from __future__ import annotations

import html
import re

import pandas

from nas_stability.analysis.variants import visible

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "%&#_$"},
}

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would compute."""


def markdown(text: str) -> str:
    """A text as a cell of a table in Markdown; underscores within words stay, since they mean nothing there."""
    kept = html.escape(visible(text), quote=False)
    kept = re.sub(r"([\\`*\[\]|])", r"\\\1", kept)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", kept)


def latex(text: str) -> str:
    """A text with the special characters of LaTeX escaped."""
    return "".join(LATEX.get(letter, letter) for letter in visible(text))


def figure(text: str) -> str:
    """A text for matplotlib, to which a dollar sign would begin a formula."""
    return visible(text).replace("$", r"\$")


def csv(frame: pandas.DataFrame) -> str:
    """A frame as CSV. Numbers stay numbers; a text that a spreadsheet would compute gets an apostrophe before it."""
    shown = frame.rename(columns=lambda name: plain(name))
    for name, values in zip(shown.columns, frame.items(), strict=True):
        if values[1].dtype.kind not in "biuf":
            shown[name] = values[1].astype(object).map(plain)
    return str(shown.to_csv(index=False, lineterminator="\n"))


def plain(value: object) -> object:
    """A cell of CSV: a text that begins like a formula gets an apostrophe, everything else stays."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
