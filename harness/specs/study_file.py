"""Study: a base RunSpec and what to vary, read from TOML. The standard library only.

    plugins = [...]   files and modules that offer methods, spaces or tables by name; given to every run
    [base]            fields of every run
    [over]            lists, one run per combination; integers may be a range such as "0-9"
    [[also]]          extra runs: [base] with these fields replaced; lists and ranges as in [over]
    [[claim]]         a claim of the study's own: a template of CLAIMS, a method, and the base it is compared with
    [[evaluate]]      what is trained from scratch when all runs are finished: as the flags of ``evaluate``

Strict: an unknown key, a wrong type or an empty list is an error with file, line and the nearest name. Fields may be
spelled with dashes, as flags are. Paths are taken from the file's folder, unless they are absolute.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.names import check_name
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import run_spec, typed
from nas_stability.harness.specs.section import Section
from nas_stability.harness.specs.spec import FIELDS, RunSpec, field_names, field_of
from nas_stability.harness.training.protocol import Request, request_of

SHIPPED = Path(__file__).resolve().parents[1] / "studies"
PLUGINS = "plugins"
SECTIONS = ("base", "over", "also", "claim", "evaluate")
CLAIMS = ("deteriorates-less", "ends-better", "hessian-smaller", "flatter", "costs-more")
"""What a study's own claim may say of a method and its base: the templates over pairs of analysis/claims."""

CLAIM_KEYS = ("template", "method", "base")
RESERVED = ("bench", "published", "tables")
"""Folders in results/ that are not a study's: a study of such a name would be written among what is there."""

MOST_RUNS = 10_000
"""Runs of a study: as many as are read in seconds; more are a slip of the fingers, or several studies."""

LARGEST = 1 << 20
"""Bytes of a study's file."""


@dataclass(frozen=True)
class PlannedStudy:
    """The runs of a study, each once, in the order of the file.

    Attributes:
        name: of its folder.
        runs: specs with distinct run ids.
        claims: template, method and base of its own claims.
        evaluations: what is trained from scratch when all runs are finished; no part of what the study is.
    """

    name: str
    runs: tuple[RunSpec, ...]
    claims: tuple[tuple[str, str, str], ...] = ()
    evaluations: tuple[Request, ...] = ()

    def json(self) -> str:
        """Name, specs and, where there are any, claims as JSON."""
        runs = {spec.run_id: json.loads(spec.json()) for spec in self.runs}
        claims = [dict(zip(CLAIM_KEYS, claim, strict=True)) for claim in self.claims]
        return json.dumps({"name": self.name, "runs": runs} | ({"claims": claims} if claims else {}), indent=1)


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
    try:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        if not name:
            raise unknown("study", name, shipped())
        if path.is_dir():
            raise BadInput(f"{shown(name)} is a folder; a study is a TOML file, or the name of a shipped one")
        if path.exists():
            raise BadInput(f"{shown(name)} is no ordinary file; a study is a TOML file")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the study file {shown(name)} cannot be read: {error}") from error
    if path.stem in shipped() and path.suffix == ".toml":
        raise BadInput(f"the study file {name} does not exist; did you mean the shipped study {path.stem!r}?")
    if path.suffix == ".toml" or "/" in name:
        raise BadInput(f"the study file {name} does not exist")
    raise unknown("study", name, shipped())


def read(path: Path) -> PlannedStudy:
    """A study file.

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    text = text_of(path)
    name = name_of(path, text)
    whole = Section(path, text)
    found = parsed(path, text)
    for section in found:
        if section not in (*SECTIONS, PLUGINS):
            raise whole.error(section, unknown("section", section, (*SECTIONS, PLUGINS)))
    addresses = plugins_of(whole, found.get(PLUGINS, []))
    base = fields(Section(path, text, "base"), found.get("base", {}))
    over = {
        name: listed(Section(path, text, "over"), name, values)
        for name, values in keyed(Section(path, text, "over"), found.get("over", {})).items()
    }
    also = found.get("also", [])
    if not isinstance(also, list):
        raise whole.error("also", BadInput("'also' is written [[also]], once per extra run"))
    groups = [over] if over or not also else []
    groups += [extras(Section(path, text, "also", number), extra) for number, extra in enumerate(also)]
    runs = runs_of(path, {**base, PLUGINS: addresses}, groups)
    claims = found.get("claim", [])
    if not isinstance(claims, list):
        raise whole.error("claim", BadInput("'claim' is written [[claim]], once per claim"))
    methods = {spec.method for spec in runs}
    evaluations = found.get("evaluate", [])
    if not isinstance(evaluations, list):
        raise whole.error("evaluate", BadInput("'evaluate' is written [[evaluate]], once per protocol"))
    return PlannedStudy(
        name,
        runs,
        tuple(claim_of(Section(path, text, "claim", number), claim, methods) for number, claim in enumerate(claims)),
        tuple(evaluation_of(Section(path, text, "evaluate", number), one) for number, one in enumerate(evaluations)),
    )


def evaluation_of(section: Section, entries: Mapping[str, object]) -> Request:
    """One [[evaluate]].

    Raises:
        BadInput: naming the file and the line.
    """
    for key, value in entries.items():
        try:
            request_of({key: value})
        except BadInput as error:
            raise section.error(key, error) from error
    return request_of(entries)


def claim_of(section: Section, entries: object, methods: Collection[str]) -> tuple[str, str, str]:
    """Template, method and base of one [[claim]], whose methods are among those of the study.

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    if not isinstance(entries, dict):
        raise section.error("claim", BadInput("'claim' is written [[claim]], once per claim"))
    for key in entries:
        if key not in CLAIM_KEYS:
            raise section.error(key, unknown("key", key, CLAIM_KEYS))
    known = {"template": CLAIMS, "method": methods, "base": methods}
    found = {
        key: value.lower().replace("_", "-") if isinstance(value, str) else value for key, value in entries.items()
    }
    for key, names in known.items():
        if key not in entries:
            keys = ", ".join(CLAIM_KEYS)  # no key of any section, so that the line is the claim's own
            raise section.error(keys, BadInput(f"the claim lacks {key!r}: it takes {keys}"))
        if found[key] not in list(names):
            kind = "template of claims" if key == "template" else "method of the study"
            raise section.error(key, unknown(kind, entries[key], names))
    if found["method"] == found["base"]:
        raise section.error("base", BadInput(f"the claim compares {shown(entries['base'])} with itself"))
    return found["template"], found["method"], found["base"]


def plugins_of(section: Section, addresses: object) -> list[str]:
    """The absolute addresses of a study's plug-ins, which are loaded: the fields of their methods are known from here.

    Raises:
        BadInput: no list of files and modules, or one that is not there or breaks at import.
    """
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        raise section.error(PLUGINS, BadInput(f"{PLUGINS!r} takes a list of files and modules, not {shown(addresses)}"))
    try:
        return [plugins.load(one, section.path.parent).address for one in addresses]
    except BadInput as error:
        raise section.error(PLUGINS, error) from error


def runs_of(
    path: Path, base: Mapping[str, Value | list[str]], groups: Sequence[Mapping[str, list[Value]]]
) -> tuple[RunSpec, ...]:
    """One run per combination of each group, each run once.

    Raises:
        BadInput: a spec that cannot be, or more runs than a study has.
    """
    count = sum(math.prod(len(values) for values in group.values()) for group in groups)
    if count > MOST_RUNS:
        raise BadInput(f"the study file {path} asks for {count:,} runs; a study has at most {MOST_RUNS:,}")
    specs: dict[str, RunSpec] = {}
    for group in groups:
        for values in itertools.product(*group.values()):
            try:
                spec = run_spec({**base, **dict(zip(group, values, strict=True))}, path.parent)
            except BadInput as error:
                raise BadInput(f"the study file {path}: {error}") from error
            specs[spec.run_id] = spec
    return tuple(specs.values())


def name_of(path: Path, text: str) -> str:
    """The study's name: the file's, without its ending.

    Raises:
        BadInput: it cannot be a folder in results/, or is that of another study there.
    """
    name = check_name("study", path.stem)
    if name in RESERVED:
        raise BadInput(f"the study file {path}: results/{name} is not a study's folder; give the file another name")
    if name in shipped() and text != text_of(shipped()[name]):
        raise BadInput(f"the study file {path}: a study {name!r} is shipped; give the file another name")
    return name


def text_of(path: Path) -> str:
    """A study file's text: UTF-8, whatever the locale, with or without a byte order mark.

    Raises:
        BadInput: it cannot be read, or is no such text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise BadInput(f"the study file {path} has more than {LARGEST:,} bytes")
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise BadInput(f"the study file {path} is UTF-16; save it as UTF-8")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise BadInput(f"the study file {path} cannot be read: {error.strerror or error}") from error


def parsed(path: Path, text: str) -> dict[str, Any]:
    """The file's sections.

    Raises:
        BadInput: not TOML, or none that Python reads.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the study file {path}: {error}") from error
    except RecursionError:
        raise BadInput(f"the study file {path}: lists or tables are nested too deeply") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise BadInput(f"the study file {path}: a number in it cannot be read: {error}") from error


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
