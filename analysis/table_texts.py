"""Tables as people read them: Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy
import pandas

from nas_stability.analysis import escape
from nas_stability.analysis.names import space_name
from nas_stability.analysis.readable import cell
from nas_stability.analysis.summaries import HEADINGS, INTERVALS, NAMES, VARIANTS
from nas_stability.benchmarks.spaces.facts import FACTS, Facts


def readable(table: pandas.DataFrame) -> pandas.DataFrame:
    """Mean and interval in one cell, for people; an interval that was refused is left out.

    Where seeds lack their value the cell says how many have one; ``unanswered`` says of how many rows.
    """
    names = [name for name in table.columns if f"{name}_low" in table.columns]
    shown = table[[name for name in table.columns if not name.endswith(("_low", "_high", "_missing"))]].astype(object)
    for name in names:
        cells = zip(
            table[name],
            table[f"{name}_low"],
            table[f"{name}_high"],
            table["seeds"],
            table[f"{name}_missing"],
            strict=True,
        )
        shown[name] = [
            cell(mean, low, high) + (f" (n = {seeds - missing})" if missing and missing < seeds else "")
            for mean, low, high, seeds, missing in cells
        ]
    for column in shown:
        if column not in names and table[column].dtype.kind == "f":
            shown[column] = [cell(value, numpy.nan, numpy.nan) for value in table[column]]
    if "unanswered" in shown:
        shown["unanswered"] = [
            f"{missing} of {rows}" for missing, rows in zip(shown["unanswered"], shown.pop("rows"), strict=True)
        ]
    return shown


def markdown(table: pandas.DataFrame, note: str = "") -> str:
    """The readable table in Markdown, with how it was made below."""
    shown = readable(table)
    lines = [[HEADINGS.get(name, name) for name in shown.columns], ["---"] * len(shown.columns)]
    lines += [[markdown_cell(*cell) for cell in row.items()] for row in shown.to_dict("records")]
    text = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return f"{text}\n{note_of(table, note)}\n" if note else text


def note_of(table: pandas.DataFrame, note: str) -> str:
    """How a table was made, with what a variant is where it has some."""
    return f"{note} {INTERVALS}{f' {VARIANTS}' if 'variant' in table else ''}"


def markdown_cell(name: object, text: object) -> str:
    """A cell of a Markdown table; names are escaped."""
    return escape.markdown(str(text)) if name in NAMES else str(text)


def latex(table: pandas.DataFrame, note: str = "", facts: Mapping[str, Facts] = FACTS) -> str:
    r"""The readable table as a tabular of LaTeX for the package booktabs, a rule between spaces and answers.

    How it was made is in a comment on top: for the caption. ``facts``: of the spaces.
    """
    shown = readable(table)
    heads = [escape.latex(HEADINGS.get(name, name)) for name in shown.columns]
    kinds = "".join("l" if name in NAMES else "r" for name in shown.columns)
    lines = [f"% {note_of(table, note)}".strip()] if note else []
    lines += [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    previous: Sequence[object] = ()
    for row in shown.to_dict("records"):
        group = (row["space"], row["answer"])
        if previous and group != previous:
            lines.append(r"\midrule")
        previous = group
        lines.append(" & ".join(latex_cell(name, str(value), facts) for name, value in row.items()) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_cell(name: object, text: str, facts: Mapping[str, Facts] = FACTS) -> str:
    """A cell of a LaTeX table: names as people write them, an interval smaller than its mean."""
    if name == "space":
        return escape.latex(space_name(text, facts))
    if name in NAMES:
        return escape.latex(NAMES[str(name)](text))
    mean, bracket, interval = text.partition(" [")
    mean = "--" if mean == "-" else mean
    interval, _, count = interval.partition("]")
    small = rf" {{\scriptsize [{interval}]}}" if bracket else ""
    return f"{minus(mean)}{minus(small)}{count}"


def minus(text: str) -> str:
    """Negative numbers with a minus sign of LaTeX."""
    return re.sub(r"(?<![-\w])-(?=\d)", "$-$", text)
