"""Runs that are compared with each other: of the same space, and alike in all fields that vary within a method.

A method that has no field of a name is alike in it to every run of the others, and so is one of which every run was
given the same plug-ins. What a method's own defaults say belongs to the method: it makes no difference in settings.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy
import numpy.typing
import pandas

from nas_stability.analysis.claims.windows import QUANTITIES, per_run
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import BASE, INAPPLICABLE, WITH_DATA, natural, value_text, variation
from nas_stability.benchmarks import plugins
from nas_stability.harness.methods.compositions import known_method
from nas_stability.harness.specs.spec import FIELDS


class Alike(NamedTuple):
    """Runs that are compared with each other.

    Attributes:
        variant: the label of the method in which something varies.
        values: what they have in the fields that vary.
        methods: whose they are.
        found: their numbers: (quantity, method) -> (seeds,).
        differ: in which other fields the methods differ; empty for none.
    """

    variant: str
    values: str
    methods: tuple[str, ...]
    found: Mapping[tuple[str, str], Floats]
    differ: str


Compared = Mapping[tuple[str, ...], Sequence[Alike]]
"""Methods, () for all that there are -> what of them can be compared in a space."""


Setting = tuple[str, ...]
"""A run's values of the fields that vary, as texts; INAPPLICABLE where it is alike to every value."""

PLUGINS = "plugins"

DEFAULTS = {name: item.default for name, item in FIELDS.items() if item.default is not dataclasses.MISSING}
"""Of the fields that have one, whatever space and method."""


class Runs(NamedTuple):
    """The runs of a space as arrays: method, variant and seed of each, (runs, QUANTITIES), and its fields as texts.

    ``defaults``: of the space, by field.
    """

    methods: numpy.typing.NDArray[numpy.object_]
    variants: numpy.typing.NDArray[numpy.object_]
    seeds: numpy.typing.NDArray[numpy.int64]
    values: Floats
    fields: pandas.DataFrame
    defaults: Mapping[str, object]


def runs_of(study: Study, space: str, texts: pandas.DataFrame) -> Runs:
    """The runs of a space.

    Args:
        study: in question.
        space: one of the study's.
        texts: fields of all runs as texts, by run id.

    Raises:
        BadInput: a landscape is damaged.
    """
    found = per_run(study, space)
    values = found[list(QUANTITIES)].to_numpy(numpy.float64)
    method, variant = (found[name].to_numpy(object) for name in ("method", "variant"))
    return Runs(
        method, variant, found["seed"].to_numpy(), values, texts.loc[found["run"]], study.facts_of(space).defaults
    )


def compare(study: Study, wanted: Iterable[tuple[str, ...]]) -> dict[str, Compared]:
    """What can be compared in each space, for each of the wanted tuples of methods.

    Raises:
        BadInput: a landscape is damaged.
    """
    varying = variation(study.runs)
    texts = varying.texts.set_axis(study.runs["run"].astype(str), axis=0)
    found: dict[str, Compared] = {}
    for space in study.spaces:
        runs = runs_of(study, space, texts)
        every = tuple(sorted(set(runs.methods)))
        varied = {method: varying.varied.get((space, method), ()) for method in every}
        found[space] = {methods: alike(runs, varied, methods or every) for methods in dict.fromkeys(wanted)}
    return found


def alike(runs: Runs, varied: Mapping[str, Sequence[str]], methods: Sequence[str]) -> list[Alike]:
    """The runs of some methods by the values of the fields that vary within one of them.

    Args:
        runs: of a space.
        varied: method -> the fields in which its runs differ.
        methods: that are compared.
    """
    moved = {name for method in methods for name in varied.get(method, ())}
    names = [name for name in runs.fields.columns if name in moved]
    columns = [runs.fields[name].to_numpy(object, copy=True) for name in names]
    if PLUGINS in names:
        given = [method for method in methods if PLUGINS in varied.get(method, ())]
        columns[names.index(PLUGINS)][~numpy.isin(runs.methods, given)] = INAPPLICABLE
    rows: dict[Setting, list[int]] = {}
    keys: dict[str, dict[Setting, None]] = {}
    for row, method in enumerate(runs.methods):
        if method in methods:
            key = tuple(column[row] for column in columns)
            rows.setdefault(key, []).append(row)
            keys.setdefault(method, {})[key] = None
    parts = []
    for key, chosen in sorted(chosen_rows(rows, met(keys.values())).items(), key=lambda part: part[1]):
        seen = set(runs.methods[chosen])
        labels = list(dict.fromkeys(runs.variants[chosen]))
        parts.append(
            Alike(
                max(labels, key=len) if rows.get(key) == chosen else whole_label(labels),
                " and ".join(f"{name} {text}" for name, text in zip(names, key, strict=True) if text != INAPPLICABLE),
                tuple(method for method in methods if method in seen),
                quantities(runs.methods[chosen], runs.seeds[chosen], runs.values[chosen]),
                differences(runs, chosen) if len(seen) > 1 else "",
            )
        )
    return sorted(parts, key=lambda part: natural(part.variant))


def met(keys: Iterable[Iterable[Setting]]) -> list[Setting]:
    """The keys of several methods, in the place of those that agree what they are together.

    Args:
        keys: of each method, each once.
    """
    found: list[Setting] = []
    for ours in map(list, keys):
        if not any(INAPPLICABLE in key for key in (*found, *ours)):
            found = list(dict.fromkeys((*found, *ours)))  # the same: without a look at every pair
            continue
        pairs = [(one, other) for one in found for other in ours if agree(one, other)]
        paired = {key for pair in pairs for key in pair}
        alone = [key for key in (*found, *ours) if key not in paired]
        found = list(dict.fromkeys((*(both(*pair) for pair in pairs), *alone)))
    return found


def agree(one: Setting, other: Setting) -> bool:
    """Whether two keys are the same but for what is INAPPLICABLE in one of them."""
    return all(a == b or INAPPLICABLE in (a, b) for a, b in zip(one, other, strict=True))


def both(one: Setting, other: Setting) -> Setting:
    """Two keys that agree, as one."""
    return tuple(b if a == INAPPLICABLE else a for a, b in zip(one, other, strict=True))


def chosen_rows(rows: Mapping[Setting, list[int]], keys: Iterable[Setting]) -> dict[Setting, list[int]]:
    """The rows that belong to each key: its own, and those of keys that it is when what they lack is filled in."""
    open_keys = [key for key in rows if INAPPLICABLE in key]
    return {
        key: sorted(
            [
                *rows.get(key, ()),
                *(row for one in open_keys if one != key and both(one, key) == key for row in rows[one]),
            ]
        )
        for key in keys
    }


def whole_label(labels: Sequence[str]) -> str:
    """The label of runs of which each names some of the fields."""
    parts = dict.fromkeys(part for label in labels if label != BASE for part in label.split(", ") if part)
    return ", ".join(parts) or max(labels, key=len)


def differences(runs: Runs, chosen: list[int]) -> str:
    """The fields in which methods that are compared differ, with their values.

    A value that is the method's default is the same as another's that is that one's.
    """
    fields, methods = runs.fields.iloc[chosen], runs.methods[chosen]
    usual = {method: defaults_of(method, runs.defaults) for method in dict.fromkeys(methods)}
    told = []
    for name in fields.columns.drop([*WITH_DATA, PLUGINS], errors="ignore"):
        texts = fields[name].to_numpy(object)
        several = [text for text in dict.fromkeys(texts) if text != INAPPLICABLE]
        if len(several) < 2:
            continue
        kinds = {None if text == usual[method].get(name) else text for method, text in zip(methods, texts, strict=True)}
        if len(kinds - {INAPPLICABLE}) > 1:
            told.append(f"{name} ({', '.join(several)})")
    return f"the methods differ in {' and '.join(told)}" if told else ""


def defaults_of(method: str, of_space: Mapping[str, object]) -> dict[str, str]:
    """The text of each field's default for a method: its own, that of the space, or the field's.

    Of a plug-in's method its own are known where the plug-in is loaded.
    """
    found = known_method(method, plugins.loaded)
    known = {**DEFAULTS, **of_space, **(found.defaults if found else {})}
    return {field: value_text(value) for field, value in known.items()}


def quantities(
    methods: numpy.typing.NDArray[numpy.object_], seeds: numpy.typing.NDArray[numpy.int64], values: Floats
) -> dict[tuple[str, str], Floats]:
    """The numbers of runs by quantity and method, each on one order of their seeds; NaN where there is no run.

    Args:
        methods: of the runs, at most one run per method and seed.
        seeds: of the runs.
        values: (runs, QUANTITIES), as ``per_run`` has them.
    """
    every, seed = numpy.unique(seeds, return_inverse=True)
    found: dict[tuple[str, str], Floats] = {}
    for method in dict.fromkeys(methods):
        ours = methods == method
        table = numpy.full((len(QUANTITIES) + 1, len(every)), math.nan)
        table[:-1, seed[ours]] = values[ours].T
        table[-1] = numpy.isin(every, seeds[ours])
        found |= {(name, str(method)): row for name, row in zip((*QUANTITIES, "seen"), table, strict=True)}
    return found
