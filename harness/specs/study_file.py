"""Study: a base RunSpec and what to vary, read from TOML. The standard library only.

    plugins = [...]   files and modules that offer methods, spaces or tables by name; given to every run
    [base]            fields of every run
    [over]            lists, one run per combination; integers may be a range such as "0-9"
    [[also]]          extra runs: [base] with these fields replaced; lists and ranges as in [over]
    [claims]          the question, and the claims that count (claimed.py)
    [[claim]]         a claim of the study's own (claimed.py)
    [[evaluate]]      what is trained from scratch when all runs are finished: as the flags of ``evaluate``

Strict: an unknown key, a wrong type or an empty list is an error with file, line and the nearest name. Fields may be
spelled with dashes, as flags are. Paths are taken from the file's folder, unless they are absolute.
"""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.names import check_name
from nas_stability.harness.specs.claimed import CLAIM_KEYS, COUNTING, NOTHING_COUNTS, Counting, claim_of, counting_of
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.section import Section
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.varied import MOST_RUNS, extras, fields, keyed, listed, replace
from nas_stability.harness.training.protocol import Request, request_of

SHIPPED = Path(__file__).resolve().parents[1] / "studies"
PLUGINS = "plugins"
SECTIONS = ("base", "over", "also", "claims", "claim", "evaluate")
RESERVED = ("bench", "published", "tables")
"""Folders in results/ that are not a study's: a study of such a name would be written among what is there."""

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
        counting: what it is to decide; nothing where its file does not say.
    """

    name: str
    runs: tuple[RunSpec, ...]
    claims: tuple[tuple[str, str, str], ...] = ()
    evaluations: tuple[Request, ...] = ()
    counting: Counting = NOTHING_COUNTS

    def json(self) -> str:
        """Name, specs and, where there are any, its own claims and those that count, as JSON."""
        runs = {spec.run_id: json.loads(spec.json()) for spec in self.runs}
        claims = [dict(zip(CLAIM_KEYS, claim, strict=True)) for claim in self.claims]
        said = {"claims": claims, COUNTING: self.counting._asdict() if self.counting.claims else {}}
        kept = {key: value for key, value in said.items() if value}
        return json.dumps({"name": self.name, "runs": runs, **kept}, indent=1)


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


def read(path: Path, given: Mapping[str, str] = MappingProxyType({})) -> PlannedStudy:
    """A study file.

    Args:
        path: of the file.
        given: field -> what it is instead of what the file says, in every run: a value, several joined by commas, or a
            range of integers; relative paths are taken from the working folder. A claim of the study's own goes with
            the methods that it is of.

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
    written = methods_in(found)
    for field, value in given.items():
        replace(found, field.replace("-", "_"), value)
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
    methods = {spec.method for spec in runs}
    own = own_claims(whole, found.get("claim", []), methods | written if given else methods)
    evaluations = found.get("evaluate", [])
    if not isinstance(evaluations, list):
        raise whole.error("evaluate", BadInput("'evaluate' is written [[evaluate]], once per protocol"))
    counting = NOTHING_COUNTS
    if "claims" in found:
        counting = counting_of(Section(path, text, "claims"), found["claims"])
    return PlannedStudy(
        name,
        runs,
        tuple(claim for claim in own if {*claim[1:]} <= methods),
        tuple(evaluation_of(Section(path, text, "evaluate", number), one) for number, one in enumerate(evaluations)),
        counting,
    )


def own_claims(whole: Section, entries: object, methods: Collection[str]) -> tuple[tuple[str, str, str], ...]:
    """Template, method and base of every [[claim]].

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    if not isinstance(entries, list):
        raise whole.error("claim", BadInput("'claim' is written [[claim]], once per claim"))
    return tuple(
        claim_of(whole._replace(name="claim", number=number), claim, methods) for number, claim in enumerate(entries)
    )


def methods_in(found: Mapping[str, Any]) -> set[str]:
    """The methods that a study file names, whatever it is varied to."""
    also = found.get("also", [])
    sections = [found.get("base"), found.get("over"), *(also if isinstance(also, list) else [])]
    named = [section.get("method", []) for section in sections if isinstance(section, dict)]
    texts = [text for value in named for text in (value if isinstance(value, list) else [value])]
    return {text.lower().replace("_", "-") for text in texts if isinstance(text, str)}


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
