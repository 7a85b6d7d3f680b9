"""Study: a base RunSpec and what to vary, read from TOML. The standard library only.

    [base]            fields of every run
    [over]            lists, one run per combination; integers may be a range such as "0-9"
    [[also]]          extra runs: [base] with these fields replaced; lists and ranges as in [over]

Strict: an unknown key, a wrong type or an empty list is an error with file, line and the nearest name.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BadInput, unknown
from harness.spec import FIELDS, TYPES, RunSpec, Value, run_spec, typed

SHIPPED = Path(__file__).parent / "studies"
SECTIONS = ("base", "over", "also")


@dataclass(frozen=True)
class Study:
    """The runs of a study, each once, in the order of the file.

    Attributes:
        name: of its folder.
        runs: specs with distinct run ids.
    """

    name: str
    runs: tuple[RunSpec, ...]

    def json(self) -> str:
        """Name and specs as JSON."""
        runs = {spec.run_id: json.loads(spec.json()) for spec in self.runs}
        return json.dumps({"name": self.name, "runs": runs}, indent=1)


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def find(name: str) -> Path:
    """The file of a shipped study, or the path itself.

    Raises:
        BadInput: neither.
    """
    if name in shipped():
        return shipped()[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix == ".toml" or "/" in name:
        raise BadInput(f"the study file {name} does not exist")
    raise unknown("study", name, shipped())


def read(path: Path) -> Study:
    """A study file.

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    try:
        text = path.read_text()
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"the study file {path}: {error}") from error
    for section in found:
        if section not in SECTIONS:
            raise located(path, text, section, unknown("section", section, SECTIONS))
    base = fields(path, text, found.get("base", {}))
    over = {
        name: listed(path, text, name, values) for name, values in checked(path, text, found.get("over", {})).items()
    }
    combinations = [dict(zip(over, values, strict=True)) for values in itertools.product(*over.values())]
    also = found.get("also", [])
    if not isinstance(also, list):
        raise located(path, text, "also", BadInput("'also' is written [[also]], once per extra run"))
    varied = (combinations if over or not also else []) + [one for extra in also for one in extras(path, text, extra)]
    specs = {}
    for values in varied:
        try:
            spec = run_spec({**base, **values})
        except BadInput as error:
            raise BadInput(f"the study file {path}: {error}") from error
        specs[spec.run_id] = spec
    return Study(path.stem, tuple(specs.values()))


def extras(path: Path, text: str, extra: Mapping[str, Any]) -> list[dict[str, Value]]:
    """The runs of one [[also]]: one, or one per combination of the fields that are lists there."""
    lists = {
        name: listed(path, text, name, value)
        if isinstance(value, list) or (TYPES[name] is int and isinstance(value, str))
        else [value_of(path, text, name, value)]
        for name, value in checked(path, text, extra).items()
    }
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def fields(path: Path, text: str, section: Mapping[str, Any]) -> dict[str, Value]:
    """A section of single values, each of its field's type."""
    return {name: value_of(path, text, name, value) for name, value in checked(path, text, section).items()}


def checked(path: Path, text: str, section: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section, with every key a field."""
    if not isinstance(section, dict):
        raise BadInput(f"the study file {path}: a section is written [base], [over] or [[also]]")
    for name in section:
        if name not in FIELDS:
            raise located(path, text, name, unknown("field", name, FIELDS))
    return section


def value_of(path: Path, text: str, name: str, value: object) -> Value:
    """One value of a field's type."""
    try:
        return typed(name, value)
    except BadInput as error:
        raise located(path, text, name, error) from error


def listed(path: Path, text: str, name: str, values: object) -> list[Value]:
    """The values of a field in [over]: a list, or a range of integers as text."""
    span = re.fullmatch(r"(\d+)-(\d+)", values) if isinstance(values, str) else None
    if span and TYPES[name] is int:
        values = list(range(int(span[1]), int(span[2]) + 1))
    if not isinstance(values, list):
        raise located(path, text, name, BadInput(f'{name!r} in [over] takes a list, or a range of integers like "0-9"'))
    if not values:
        raise located(path, text, name, BadInput(f"{name!r} in [over] is empty: the study would have no run"))
    return [value_of(path, text, name, value) for value in values]


def located(path: Path, text: str, name: str, error: BadInput) -> BadInput:
    """The error with the file and the line on which the name stands."""
    pattern = re.compile(rf"^\s*\[*\s*\"?{re.escape(name)}\"?\s*(=|\])")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if pattern.match(line)]
    return BadInput(f"{path}:{lines[0] if lines else '?'}: {error}")
