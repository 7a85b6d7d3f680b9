"""What is measured: cases, and what is found of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput, choose
from nas_stability.harness.benching.instrument import Demand
from nas_stability.harness.methods import compositions
from nas_stability.harness.methods.compositions import find_method
from nas_stability.harness.methods.variants import searched
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec

GROWN = ("darts", "sdarts-rs", "sdarts-adv")
"""The paper's methods, whose step is measured over width, depth and batch size."""

METHODS = (*GROWN, *(name for name in compositions.METHODS if name not in (*GROWN, "darts-ada")))
"""Of which a step is measured: all that are built in; one of DARTS-ADA is one of second-order DARTS."""

HESSIAN = "hessian"


IMAGES = {"cifar10": (3, 32), "digits": (1, 8)}
"""Channels and side in pixels of the images of the data that the sizes name; random ones of that shape stand in."""


class Case(NamedTuple):
    """One thing to measure.

    Attributes:
        size: what the settings are called.
        what: a method, for a search step of it, or "hessian".
        spec: the settings.
    """

    size: str
    what: str
    spec: RunSpec


class Growth(NamedTuple):
    """A search step at one value of one setting, the others being those of the size ``quick``.

    Attributes:
        axis: the field that varies: "width", "depth" or "batch_size".
        value: of the field.
        case: with that value.
    """

    axis: str
    value: int
    case: Case


class Measured(NamedTuple):
    """One implementation of one case.

    Attributes:
        launches: ATen operations that a GPU would have to launch for one call.
        asked: by one call.
        seconds: wall-clock time of each round.
    """

    launches: int
    asked: Demand
    seconds: tuple[float, ...]


class StepCost(NamedTuple):
    """A row of step.csv; units in docs/performance.md."""

    space: str
    size: str
    what: str
    implementation: str
    threads: int
    seconds_median: float
    seconds_min: float
    seconds_max: float
    operations: int
    dispatched: int
    gflop: float
    share_of_peak: float
    peak_mb: float
    rounds: int


class Ratio(NamedTuple):
    """A row of ratios.csv: how many times cheaper ours is, or for memory the share of the other's that it needs.

    Attributes:
        beside: what it is compared with: "literal", "plain", or "darts", our step of DARTS.
        quantity: "seconds", "operations" (both of the other over ours) or "peak_mb" (ours over the other).
        median, low, high: over the rounds; all the same where the quantity does not depend on the round.
        bar: that is aimed at, None where there is none; the ratio of memory is to lie below it, the others above.
    """

    space: str
    size: str
    what: str
    beside: str
    quantity: str
    median: float
    low: float
    high: float
    rounds: int
    bar: float | None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the bar; None where there is none."""
        if self.bar is None:
            return None
        return self.median <= self.bar if self.quantity == "peak_mb" else self.median >= self.bar


def published_spec(space: str, method: str) -> RunSpec:
    """The paper's settings."""
    return run_spec({"space": space, "method": method, "data": "cifar10"})


def quick(space: str, method: str) -> RunSpec:
    """The settings of the shipped study ``quick``; what it lacks has those of the nearest that it has.

    Of a space of a kind that it has none of: those of its first, with what the space has settings of its own for, and
    three cells.
    """
    runs = study_file.read(study_file.find("quick")).runs
    family = space.split("-")[0]
    here = [run for run in runs if run.space.startswith(family)]
    spec = next((run for run in here if run.method == method), None)
    if spec is None:
        darts = next(run for run in here or runs if run.method == "darts")
        spec = dataclasses.replace(darts, method=method, **find_method(method).defaults)  # type: ignore[arg-type]
    of_space: Mapping[str, Any] = {} if here else {**SPACES[space].facts.defaults, "depth": 3}
    return dataclasses.replace(spec, space=space, **of_space)


def short_batch(space: str, method: str) -> RunSpec:
    """The paper's settings at a quarter of its batch or less: what a step of the largest spaces is measured at."""
    return dataclasses.replace(published_spec(space, method), batch_size=16)


def plan(spaces: Sequence[str], sizes: Sequence[str], methods: Sequence[str] = (*METHODS, HESSIAN)) -> list[Case]:
    """Every method and the Hessian, in every space that has the supernet for it, at every size.

    Raises:
        BadInput: an unknown space, size or method.
    """
    for method in methods:
        choose("method", method, dict.fromkeys((*METHODS, HESSIAN)))
    settings = [(size, choose("size", size, SIZES)) for size in sizes]
    for space in spaces:
        choose("space", space, SPACES)
    cases = [
        Case(size, what, spec_of(space, "darts" if what == HESSIAN else what))
        for space in spaces
        for size, spec_of in settings
        for what in methods
    ]
    return [case for case in cases if searchable(case.spec)]


def searchable(spec: RunSpec) -> bool:
    """Whether the space has the supernet that the method wants."""
    try:
        searched(SPACES[spec.space], spec)
    except BadInput:
        return False
    return True


def growth_plan(spaces: Sequence[str]) -> list[Growth]:
    """A step of every method in every space, at every value of every axis."""
    found = []
    for space in spaces:
        for method in GROWN:
            base = dataclasses.replace(quick(space, method), batch_size=16)
            depths = (base.depth, 2 * base.depth, 3 * base.depth)
            for axis, values in {"width": (4, 8, 16), "depth": depths, "batch_size": (16, 32, 64)}.items():
                for value in values:
                    spec = run_spec({**dataclasses.asdict(base), axis: value})
                    found.append(Growth(axis, value, Case(axis, method, spec)))
    return found


SIZES: dict[str, Callable[[str, str], RunSpec]] = {
    "published": published_spec,
    "batch-16": short_batch,
    "quick": quick,
}
