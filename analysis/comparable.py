"""Runs that are compared with each other: of the same space, and alike in all fields that vary within a method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy
import numpy.typing
import pandas

from nas_stability.analysis.claims.windows import QUANTITIES, per_run
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import WITH_DATA, natural, variation


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


class Runs(NamedTuple):
    """The runs of a space as arrays: method, variant and seed of each, (runs, QUANTITIES), and its fields as texts."""

    methods: numpy.typing.NDArray[numpy.object_]
    variants: numpy.typing.NDArray[numpy.object_]
    seeds: numpy.typing.NDArray[numpy.int64]
    values: Floats
    fields: pandas.DataFrame


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
    return Runs(method, variant, found["seed"].to_numpy(), values, texts.loc[found["run"]])


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
    columns = [runs.fields[name].to_numpy(object) for name in names]
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, method in enumerate(runs.methods):
        if method in methods:
            rows.setdefault(tuple(column[row] for column in columns), []).append(row)
    parts = []
    for key, chosen in rows.items():
        seen = set(runs.methods[chosen])
        parts.append(
            Alike(
                max(runs.variants[chosen], key=len),
                " and ".join(f"{name} {value}" for name, value in zip(names, key, strict=True)),
                tuple(method for method in methods if method in seen),
                quantities(runs.methods[chosen], runs.seeds[chosen], runs.values[chosen]),
                differences(runs.fields.iloc[chosen]) if len(seen) > 1 else "",
            )
        )
    return sorted(parts, key=lambda part: natural(part.variant))


def differences(fields: pandas.DataFrame) -> str:
    """The fields in which methods that are compared differ, with their values."""
    names = [name for name in fields.columns if name not in WITH_DATA]
    values = {name: list(dict.fromkeys(fields[name])) for name in names}
    told = [f"{name} ({', '.join(texts)})" for name, texts in values.items() if len(texts) > 1]
    return f"the methods differ in {' and '.join(told)}" if told else ""


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
