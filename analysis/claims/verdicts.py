"""Verdicts for people and programs: as text, Markdown and records."""

from __future__ import annotations

import math

import pandas

from nas_stability.analysis import escape
from nas_stability.analysis.readable import cell, number
from nas_stability.analysis.variants import visible

COUNTED, EXPLORATORY = "yes", "exploratory"
"""In the column ``counts`` of a study that said beforehand which claims count."""


def records(judged: pandas.DataFrame) -> list[dict[str, object]]:
    """Rows for JSON: a number that is not known is None."""
    return [
        {str(name): None if pandas.isna(value) else value for name, value in row.items()}
        for row in judged.astype(object).to_dict("records")
    ]


def markdown(judged: pandas.DataFrame) -> str:
    """The verdicts in Markdown, for people."""
    entries = readable(judged)
    names = [name for name in READABLE if name not in OPTIONAL or any(entry[name] for entry in entries)]
    lines = [["claim", *(name.replace("_", " ") for name in names)]]
    lines.append(["---"] * len(lines[0]))
    lines += [
        [escape.markdown(entry["statement"])]
        + [escape.markdown(entry[name]) if name in FOREIGN else entry[name] for name in names]
        for entry in entries
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def printed(judged: pandas.DataFrame) -> str:
    """The verdicts of each space and variant in aligned lines, for a terminal; claims by their names."""
    entries = readable(judged)
    names = ("verdict", "claim", "estimate", "claimed", "n")
    widths = {name: max((len(entry[name]) for entry in entries), default=0) for name in names}
    blocks = []
    spaces = list(dict.fromkeys(entry["space"] for entry in entries))
    places = dict.fromkeys((entry["space"], entry["variant"]) for entry in entries)
    for place in sorted(places, key=lambda place: spaces.index(place[0])):
        here = [entry for entry in entries if (entry["space"], entry["variant"]) == place]
        lines = [", ".join(filter(None, place))]
        for counts, heading in HEADINGS.items():
            told = [entry for entry in here if entry["counts"] == counts]
            lines += [heading] if told and heading else []
            lines += [
                "  " + "  ".join(entry[name].ljust(widths[name]) for name in names) + "  " + entry["reason"]
                for entry in told
            ]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


HEADINGS = {
    "": "",
    COUNTED: " claims that count, named before the seeds were seen",
    EXPLORATORY: " exploratory: everything else that was looked at",
}
"""What is printed above the claims of each kind."""

READABLE = ("space", "variant", "counts", "verdict", "estimate", "claimed", "n", "seeds_needed", "reason")
OPTIONAL = ("variant", "counts")
"""Columns that are left out where they say nothing."""

FOREIGN = ("space", "variant", "reason")
"""What may hold names out of files."""


def readable(judged: pandas.DataFrame) -> list[dict[str, str]]:
    """The rows as texts: the estimate with its interval and unit, the claimed side, the seeds."""
    entries = []
    for found in records(judged):
        known = found["estimate"] is not None
        low, high = (math.nan if found[end] is None else float(str(found[end])) for end in ("low", "high"))
        entries.append(
            {
                "claim": visible(str(found["claim"])),
                "statement": str(found["statement"]),
                "space": visible(str(found["space"])),
                "variant": str(found["variant"]),
                "counts": str(found["counts"]),
                "verdict": str(found["verdict"]),
                "estimate": f"{cell(float(str(found['estimate'])), low, high)} {found['unit']}" if known else "-",
                "claimed": f"{found['direction']} {number(float(str(found['threshold'])))}",
                "n": f"n = {found['n']}",
                "seeds_needed": "" if found["seeds_needed"] is None else str(found["seeds_needed"]),
                "reason": visible(str(found["reason"])),
            }
        )
    return entries
