"""The fields of a study file's sections: single values, and those that vary. The standard library only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import parse, typed
from nas_stability.harness.specs.located import located_data, located_table
from nas_stability.harness.specs.section import Section
from nas_stability.harness.specs.spec import FIELDS, field_names, field_of

MOST_RUNS = 10_000
"""Runs of a study: as many as are read in seconds; more are a slip of the fingers, or several studies."""


def keyed(section: Section, entries: object) -> dict[str, Any]:
    """The entries of a section by field; a key may have dashes for underscores."""
    if not isinstance(entries, dict):
        raise section.error(section.name, BadInput("a section is written [base], [over] or [[also]]"))
    found: dict[str, Any] = {}
    for key, value in entries.items():
        name = key.replace("-", "_")
        if name not in FIELDS and name not in field_names():
            raise section.error(key, unknown("field", key, field_names()))
        if name in found:
            raise section.error(name, BadInput(f"{name!r} is given twice, with dashes and with underscores"))
        found[name] = value
    return found


def fields(section: Section, entries: object) -> dict[str, Value]:
    """A section of single values, each of its field's type."""
    return {name: value_of(section, name, value) for name, value in keyed(section, entries).items()}


def extras(section: Section, entries: object) -> dict[str, list[Value]]:
    """The runs of one [[also]]: one, or one per combination of the fields that are lists or ranges there."""
    return {
        name: listed(section, name, value)
        if isinstance(value, list) or (field_of(name)[1] is int and isinstance(value, str))
        else [value_of(section, name, value)]
        for name, value in keyed(section, entries).items()
    }


def value_of(section: Section, name: str, value: object) -> Value:
    """One value of a field's type."""
    if section.name == "base" and (isinstance(value, list) or (field_of(name)[1] is int and span(value))):
        raise section.error(
            name, BadInput(f"{name!r} in [base] takes one value, not {shown(value)}; vary it in [over]")
        )
    try:
        return typed(name, value)
    except BadInput as error:
        raise section.error(name, error) from error


def span(value: object) -> tuple[int, int] | None:
    """First and last of a range of integers as text, such as "0-9"."""
    ends = re.fullmatch(r"([0-9]{1,30})-([0-9]{1,30})", value) if isinstance(value, str) else None
    return (int(ends[1]), int(ends[2])) if ends else None


def listed(section: Section, name: str, values: object) -> list[Value]:
    """The values of a field to vary: a list, or a range of integers as text."""

    def refused(what: str) -> BadInput:
        return section.error(name, BadInput(f"{name!r} in [{section.name}] {what}"))

    ends = span(values)
    if ends and field_of(name)[1] is int:
        first, last = ends
        if first > last:
            raise refused(f'takes a range that goes up, not {values!r}; did you mean "{last}-{first}"?')
        if last - first >= MOST_RUNS:
            raise refused(f"is a range of {last - first + 1:,} values; a study has at most {MOST_RUNS:,} runs")
        values = list(range(first, last + 1))
    if not isinstance(values, list):
        ranges = ', or a range such as "0-9"' if field_of(name)[1] is int else "; ranges are for fields of integers"
        raise refused(f"takes a list{ranges}, not {shown(values)}")
    if not values:
        raise refused("is empty: the study would have no run")
    found = [value_of(section, name, value) for value in values]
    twice = next((value for value in found if found.count(value) > 1), None) if len(set(found)) < len(found) else None
    if twice is not None:
        raise refused(f"has {shown(twice)} twice: a run is carried out once")
    return found


def replace(found: dict[str, Any], name: str, text: str) -> None:
    """Gives a field one value, or each of several, in every run of a study file's sections.

    Args:
        found: the sections, which are changed; what is not a section is left to who reads it.
        name: of the field.
        text: its value; several joined by commas; a range of integers.

    Raises:
        BadInput: an unknown field, or not a value of its type.
    """
    if name not in FIELDS and name not in field_names():
        raise unknown("field", name, field_names())
    spellings = {name, name.replace("_", "-")}
    also = found.get("also", [])
    extra = [entries for entries in also if isinstance(entries, dict)] if isinstance(also, list) else []
    over, base = found.get("over", {}), found.setdefault("base", {})
    if not isinstance(over, dict) or not isinstance(base, dict):
        return
    in_over = bool(spellings & over.keys())
    for entries in (base, over, *extra):
        for spelling in spellings:
            entries.pop(spelling, None)
    ends = span(text) if field_of(name)[1] is int else None
    values = [] if ends else [placed(name, parse(name, piece)) for piece in text.split(",")]
    if len(values) == 1 and not in_over:
        base[name] = values[0]
        return
    groups = extra if extra and not over and not in_over else [found.setdefault("over", over), *extra]
    for entries in groups:
        entries[name] = text if ends else values


def placed(name: str, value: Value) -> Value:
    """A field's value, with a path in it that is relative to the working folder made absolute."""
    places = {"data": located_data, "table": located_table}
    return places[name](str(value), Path.cwd()) if name in places else value
