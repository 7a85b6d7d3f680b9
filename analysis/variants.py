"""What varies in a study besides space, method and seed, and what each variant is called.

A variant is everything of a run's spec but space, method and seed. The unit of repetition is the seed within one
variant: numbers of different variants are never averaged. Fields are compared within one space and method, so that what
spaces publish differently (depth, table_epochs) makes no variant. A field of a method's own, which a record holds in
``settings``, is a field like any other; the methods that do not have it differ in nothing by that. Another source of a
plug-in makes another variant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy
import pandas

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.specs.spec import FIELDS, own_values

BASE = "base"
"""The variant from which every other differs in what its label names, where fields have a usual value."""

UNKNOWN = "not recorded"
"""The text of a field that a run's record lacks."""

NOT_FIELDS = (
    *(
        "run",
        "schema",
        "git_commit",
        "device",
        "threads",
        "table_queries",
        "table_missing",
        "seconds",
        "inputs_since",
        "stopped",
        "variant",
    ),
)
"""Columns of the runs that are no fields of a spec, besides those with a dot; a test holds them to run.json."""

WITH_DATA = ("data_sha256", "crop_padding", "flip")
"""Fields that come with the data set: they make no variant of their own where each data set has one value."""

DIGITS = 8
"""Digits of a checksum in a label."""

NO_PLUGINS = "none"
"""The text of the field ``plugins`` where a run was given none."""

INAPPLICABLE = "\t"
"""The text of a field that a run's method does not have; no value's, whose control characters are made visible."""


class Group(NamedTuple):
    """Runs that differ in their seeds alone; the variant is empty where the space and method have just one."""

    space: str
    method: str
    variant: str


@dataclass(frozen=True)
class Variation:
    """What varies in a study.

    Attributes:
        texts: a row per run: its fields as texts, space, method and seed left out.
        varied: (space, method) -> the fields in which its runs differ, in the order of the spec.
        usual: space -> field -> the value that more variants have than any other, where there is one.
    """

    texts: pandas.DataFrame
    varied: Mapping[tuple[str, str], tuple[str, ...]]
    usual: Mapping[str, Mapping[str, str]]

    def fields(self, space: str) -> tuple[str, ...]:
        """The fields that vary within some method of a space."""
        found = [name for (where, _), names in self.varied.items() if where == space for name in names]
        return tuple(name for name in self.texts.columns if name in found)


def field_names(runs: pandas.DataFrame) -> list[str]:
    """The columns of the runs that are fields of their specs; run.json's other entries are none."""
    return [name for name in runs.columns if "." not in name and name not in NOT_FIELDS]


def taken_apart(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The runs with a column per field of a method's own in the place of ``settings``, empty where a method has none.

    A field that has the name of another column is called own_NAME.

    Raises:
        BadInput: the settings of a run are no JSON object.
    """
    if "settings" not in runs:
        return runs
    rows = [own_values(text) if isinstance(text, str) else {} for text in runs["settings"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return runs.assign(settings="")
    taken = {*NOT_FIELDS, *runs.columns}
    columns = {f"own_{name}" if name in taken else name: [row.get(name) for row in rows] for name in names}
    made = pandas.DataFrame(columns, index=runs.index, dtype=object)
    before = runs.columns[: list(runs.columns).index("settings")]
    after = runs.columns.drop([*before, "settings"])
    return pandas.concat([runs[before], made, runs[after]], axis=1)


def variation(runs: pandas.DataFrame) -> Variation:
    """What varies between the runs of a study, a row each with the fields of its spec."""
    texts = field_texts(runs)
    places = [runs["space"].astype(str), runs["method"].astype(str)]
    several = texts.groupby(places, sort=False).nunique() > 1
    varied = {
        place: fields_of(texts[(places[0] == place[0]) & (places[1] == place[1])], several.columns[row].tolist())
        for place, row in zip(several.index.tolist(), several.to_numpy(), strict=True)
        if row.any()
    }
    varied = {place: fields for place, fields in varied.items() if fields}
    return Variation(texts, varied, {space: usual(texts, places, varied, space) for space, _ in varied})


def field_texts(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The fields of the runs as texts, equal where the values are, INAPPLICABLE where the method has no such field."""
    whole = taken_apart(runs)
    names = [name for name in field_names(whole) if name not in ("space", "method", "seed")]
    texts = pandas.DataFrame({name: column_texts(whole[name]) for name in names}, index=runs.index)
    for name in (own for own in names if own not in FIELDS):
        without = whole[name].isna().groupby(whole["method"].astype(str)).transform("all")
        texts[name] = texts[name].mask(without, INAPPLICABLE)
    if "data" in texts:
        texts = texts.assign(data=data_names(texts))
    if "plugins" in texts:
        texts = texts.assign(plugins=plugin_names(runs["plugins"]))
    return texts


def plugin_names(records: pandas.Series) -> list[str]:
    """The sources of each run's plug-ins by the first digits of their checksums, all of them where that is needed."""
    read = {text: sorted(plugins.read(text).values()) for text in records.unique() if isinstance(text, str)}
    known = set().union(*read.values())
    digits = DIGITS if len({checksum[:DIGITS] for checksum in known}) == len(known) else 64
    return [" ".join(checksum[:digits] for checksum in read.get(text, [])) or NO_PLUGINS for text in records]


def fields_of(texts: pandas.DataFrame, names: list[str]) -> tuple[str, ...]:
    """Those of the fields that vary which do not just come with the data set."""
    if "data" in names:
        settled = texts.groupby("data")[[name for name in WITH_DATA if name in names]].nunique().max() <= 1
        names = [name for name in names if not settled.get(name, False)]
    return tuple(name for name in names if name != "data_sha256")


def usual(
    texts: pandas.DataFrame,
    places: Sequence[pandas.Series],
    varied: Mapping[tuple[str, str], tuple[str, ...]],
    space: str,
) -> dict[str, str]:
    """The value that more of a space's variants have than any other, of each field that has one.

    A study that varies one thing at a time around a base has one for each, a study of all combinations has none. Data
    sets are always named.
    """
    variants = [
        texts.loc[(places[0] == space) & (places[1] == method), list(names)].drop_duplicates()
        for (where, method), names in varied.items()
        if where == space
    ]
    found = {}
    for name in dict.fromkeys(name for rows in variants for name in rows.columns):
        counted = pandas.concat([rows[name] for rows in variants if name in rows]).value_counts()
        if name != "data" and (counted == counted.iloc[0]).sum() == 1:
            found[name] = str(counted.index[0])
    return found


def variants(runs: pandas.DataFrame) -> list[str]:
    """A label per run: the fields in which it differs from others of its space and method, "" where nothing varies.

    A field with a usual value is named only where the run has another; the run that has all of them is called BASE.
    Distinct variants of a space and method have distinct labels.

    Raises:
        BadInput: two runs of one space, method, seed and variant.
    """
    found = variation(runs)
    labels = numpy.full(len(runs), "", dtype=object)
    spaces, methods = runs["space"].astype(str).to_numpy(), runs["method"].astype(str).to_numpy()
    for (space, method), names in found.varied.items():
        here = numpy.flatnonzero((spaces == space) & (methods == method))
        base, short = found.usual[space], [shortened(found.texts[name]) for name in names]
        rows = found.texts.iloc[here][list(names)].itertuples(index=False, name=None)
        labels[here] = [label(dict(zip(names, row, strict=True)), base, short) for row in rows]
    refuse_copies(runs.assign(variant=labels))
    return [str(text) for text in labels]


def label(row: Mapping[str, str], base: Mapping[str, str], short: Sequence[Mapping[str, str]]) -> str:
    """One variant's label."""
    named = [
        f"{name} {texts[value]}"
        for (name, value), texts in zip(row.items(), short, strict=True)
        if base.get(name) != value
    ]
    return ", ".join(named) or BASE


def refuse_copies(runs: pandas.DataFrame) -> None:
    """Refuses a run that is there twice.

    Raises:
        BadInput: naming it.
    """
    same = ["space", "method", "seed", "variant"]
    copies = runs[runs.duplicated(same, keep=False)]
    if len(copies):
        first, second = copies[(copies[same] == copies[same].iloc[0]).all(axis=1)]["run"].astype(str).iloc[:2]
        if first == second:
            raise BadInput(f"the run {first} is there twice: move the copy out of the study's folder")
        raise BadInput(
            f"the runs {first} and {second} are one run twice (the same space, method, seed and fields): move one of "
            f"them out of the study's folder"
        )


def column_texts(values: pandas.Series) -> list[str]:
    """The values of a field as texts, equal where the values are."""
    known: dict[tuple[type, Hashable], str] = {}
    texts = []
    for value in values.tolist():
        key = (type(value), value if isinstance(value, Hashable) else str(value))
        if key not in known:
            known[key] = value_text(value)
        texts.append(known[key])
    return texts


def value_text(value: object) -> str:
    """A field's value as in a study's file; control characters are made visible."""
    if value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool | numpy.bool_):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return visible(str(value))


def visible(text: str) -> str:
    r"""A text on one line: control characters as \n and \x1b."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def data_names(texts: pandas.DataFrame) -> list[str]:
    """One name per content of the data, short where that is enough; the checksum decides where it is known.

    A run that recorded none has the checksum of the others of its data set if they have just one.
    """
    named = texts["data"].tolist()
    sums = texts["data_sha256"].tolist() if "data_sha256" in texts else [UNKNOWN] * len(named)
    known: dict[str, set[str]] = {}
    for name, checksum in zip(named, sums, strict=True):
        known.setdefault(name, set()).update({checksum} - {"", UNKNOWN})
    contents = []
    for name, checksum in zip(named, sums, strict=True):
        only = next(iter(known[name])) if len(known[name]) == 1 else name
        contents.append(only if checksum in ("", UNKNOWN) else checksum)
    first = dict(sorted(zip(contents, named, strict=True), reverse=True))
    for digits in (0, DIGITS, 64):
        short = {content: data_name(name, content, digits) for content, name in first.items()}
        if len(set(short.values())) == len(short):
            break
    return [short[content] for content in contents]


def data_name(name: str, content: str, digits: int) -> str:
    """A data set's name, of a file its own without folder and ending, and digits of the checksum.

    Args:
        name: as the spec has it.
        content: the checksum, or the name where none is known.
        digits: of the checksum; without one the whole name stands where any are asked for.
    """
    is_file = name.startswith("npz:") or "/" in name or name.endswith(".npz")
    short = PurePath(name.removeprefix("npz:")).stem if is_file else name
    if digits and content == name:
        return name
    return f"{short} {content[:digits]}" if digits and is_file else short


def shortened(texts: pandas.Series) -> dict[str, str]:
    """Text of a field -> the same, of a path the last part alone where that still tells them apart."""
    every = texts.unique().tolist()
    short = {text: PurePath(text).name or text if "/" in text else text for text in every}
    return short if len(set(short.values())) == len(every) else {text: text for text in every}


def natural(text: str) -> tuple[bool, bool, list[str | float]]:
    """A key that sorts labels: none first, then BASE, then by their words and, as numbers, their numbers."""
    words = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text)
    return text != "", text != BASE, [float(word) if place % 2 else word for place, word in enumerate(words)]


def with_variant(rows: pandas.DataFrame, runs: pandas.DataFrame) -> pandas.DataFrame:
    """Rows that name their run, with its variant; empty for a run that is not among them."""
    variant = dict(zip(runs["run"].astype(str), runs["variant"], strict=True))
    return rows.assign(variant=[variant.get(run, "") for run in rows["run"]])


def told(frame: pandas.DataFrame) -> pandas.DataFrame:
    """A frame without its column ``variant`` where nothing varies."""
    return frame if (frame["variant"] != "").any() else frame.drop(columns="variant")
