"""The geometry of a table: what accuracy does from one architecture of a space to those around it.

Everything is counted over the space's whole decision graph, with nothing fitted and nothing sampled but what says so.
What the table does not answer for is counted as missing and is in no mean.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from nas_stability.benchmarks.spaces.decision_graph import DecisionGraph, Places, decision_graph
from nas_stability.benchmarks.spaces.space import Arch, Space
from nas_stability.benchmarks.tables.table import Floats, Table, Unanswered
from nas_stability.benchmarks.tables.walks import UNREACHED, Ways, barriers, levels, ways

RADII = (1, 2, 3)
"""Decisions within which architectures are looked at."""

WITHIN = 1.0
"""Points of accuracy up to which an architecture counts as like another, to either side."""

BINS = 10
"""Classes of accuracy, each of as many architectures: their bounds are quantiles."""

MOST_CENTRES = 20_000
"""Architectures around which is looked; of a larger space so many, evenly spaced in order of accuracy."""


@dataclass(frozen=True)
class Terrain:
    """A table over the decision graph of a space, by one data set, split and budget.

    Attributes:
        graph: of the space.
        values: accuracy of each architecture in percent (n,), NaN where the table does not answer.
        best: the best architectures by it: one, or those that are equally good.
        to_best: the shortest paths from the nearest of them to every architecture.
    """

    graph: DecisionGraph
    values: Floats
    best: Places
    to_best: Ways

    @property
    def highest(self) -> float:
        """Accuracy of the best in percent."""
        return float(self.values[self.best[0]])

    @functools.cached_property
    def ends(self) -> Floats:
        """The BINS + 1 ends of the classes of accuracy, in percent: quantiles over what the table answers for."""
        found: Floats = numpy.nanquantile(self.values, numpy.linspace(0, 1, BINS + 1))
        return found

    @functools.cached_property
    def falls(self) -> Floats:
        """The barrier between each architecture and the nearest best one (n,), in points; as ``barriers``."""
        return barriers(self.values, self.to_best, self.highest)


class Surroundings(NamedTuple):
    """What a table says of the architectures within a radius of one, without that one.

    Attributes:
        size: how many there are.
        missing: how many of them the table does not answer for.
        mean, worst: mean and lowest accuracy of the others in percent; NaN where there are none.
        alike: percent of the others whose accuracy is at most ``WITHIN`` points from that of the one in the middle.
        classes: (BINS,) percent of the others in each class of accuracy.
    """

    size: int
    missing: int
    mean: float
    worst: float
    alike: float
    classes: Floats


class FitnessDistance(NamedTuple):
    """Fitness-distance correlation: of accuracy and decisions to the nearest best architecture, within [-1, 1].

    Where the one determines the other it is -1: accuracy falls with every decision away from the best. Source: Jones
    and Forrest, Fitness distance correlation as a measure of problem difficulty for genetic algorithms (ICGA 1995),
    equation 1, by Pearson; by Spearman of ranks, ties as their mean. NaN where all of one are equal.

    Attributes:
        pearson, spearman: over the architectures that the table answers for and a path leads to, the best included.
        size: how many these are.
    """

    pearson: float
    spearman: float
    size: int


def terrain(table: Table, space: Space, dataset: str, split: str, epochs: int) -> Terrain:
    """A table over the decision graph of a space.

    Raises:
        BadInput: the space does not list its architectures.
        Unanswered: the table does not answer for the data set, split and budget, or for no architecture of the space.
    """
    table.questions(dataset, split, epochs, None)
    graph = decision_graph(space)
    return over(graph, table.scores(graph.archs, dataset, split, epochs), f"the table {table.name}")


def over(graph: DecisionGraph, values: Floats, name: str = "the table") -> Terrain:
    """Accuracies in percent (n,) over a graph, NaN where there is none.

    Raises:
        Unanswered: there are none at all.
    """
    if numpy.isnan(values).all():
        raise Unanswered(f"{name} has none of the {len(graph.archs):,} architectures of the space")
    best = numpy.flatnonzero(values == numpy.nanmax(values))
    return Terrain(graph, values, best, ways(graph, values, best))


def class_of(values: Floats, ends: Floats) -> Places:
    """The class of each accuracy, 0 the lowest; one on a bound is of the higher class, but for the highest."""
    return numpy.searchsorted(ends[1:-1], values, side="right")


def surroundings(found: Terrain, place: int, radii: Sequence[int], ends: Floats) -> list[Surroundings]:
    """What lies within each radius, ascending, of an architecture; ``alike`` is NaN where the table lacks its own."""
    shells = dict(zip(range(1 + max(radii)), levels(found.graph, [place]), strict=False))
    return [
        summarised(
            found.values,
            numpy.concatenate([shells[0][:0], *(shells[step] for step in shells if 0 < step <= radius)]),
            float(found.values[place]),
            ends,
        )
        for radius in radii
    ]


def summarised(values: Floats, around: Places, middle: float, ends: Floats) -> Surroundings:
    """Some architectures as the surroundings of one of an accuracy in percent."""
    present = values[around][~numpy.isnan(values[around])]
    missing = len(around) - len(present)
    if not len(present):
        return Surroundings(len(around), missing, numpy.nan, numpy.nan, numpy.nan, numpy.full(BINS, numpy.nan))
    counts = numpy.bincount(class_of(present, ends), minlength=BINS)
    alike = numpy.nan if numpy.isnan(middle) else 100 * float((numpy.abs(present - middle) <= WITHIN).mean())
    mean, worst = float(present.mean()), float(present.min())
    return Surroundings(len(around), missing, mean, worst, alike, 100 * counts / len(present))


def centres(found: Terrain, most: int = MOST_CENTRES) -> Places:
    """The architectures around which is looked: all that the table answers for, or ``most`` of them.

    Those are the middle ones of as many strata of equal size, in order of accuracy (ties as in the graph).
    """
    answered = numpy.flatnonzero(~numpy.isnan(found.values))
    if len(answered) <= most:
        return answered
    order = answered[numpy.argsort(found.values[answered], kind="stable")]
    return order[(2 * numpy.arange(most) + 1) * len(order) // (2 * most)]


def geometry_rows(found: Terrain, radii: Sequence[int] = RADII, most: int = MOST_CENTRES) -> list[dict[str, object]]:
    """The rows of geometry.csv: per class of accuracy and radius, means over the architectures of the class.

    Args:
        found: the table over its graph.
        radii: ascending.
        most: architectures around which is looked.
    """
    ends = found.ends
    middles = centres(found, most)
    of_class = class_of(found.values[middles], ends)
    seen: dict[tuple[int, int], list[Surroundings]] = {}
    for place, kind in zip(middles.tolist(), of_class.tolist(), strict=True):
        for radius, one in zip(radii, surroundings(found, place, radii, ends), strict=True):
            seen.setdefault((kind, radius), []).append(one)
    return [row_of(kind, radius, seen[kind, radius], ends) for kind, radius in sorted(seen)]


def row_of(kind: int, radius: int, seen: Sequence[Surroundings], ends: Floats) -> dict[str, object]:
    """The mean over the surroundings of some architectures of one class; those without an answer are in none."""
    told = [one for one in seen if one.missing < one.size]

    def mean(name: str) -> float | None:
        return float(numpy.mean([getattr(one, name) for one in told])) if told else None

    shares = numpy.mean([one.classes for one in told], axis=0).tolist() if told else [None] * BINS
    return {
        "class": kind + 1,
        "low": float(ends[kind]),
        "high": float(ends[kind + 1]),
        "radius": radius,
        "centres": len(seen),
        "around": float(numpy.mean([one.size for one in seen])),
        "missing": float(numpy.mean([one.missing for one in seen])),
        "mean": mean("mean"),
        "worst": mean("worst"),
        "alike": mean("alike"),
        **{f"share_{place + 1}": share for place, share in enumerate(shares)},
    }


def optima(found: Terrain) -> tuple[int, int]:
    """How many local optima there are, and of how many of these the table lacks a neighbour.

    A local optimum is an architecture that the table answers for and than which no neighbour is better, of those that
    it answers for; one that has none of these is no optimum.
    """
    values, graph = found.values, found.graph
    owners = numpy.repeat(numpy.arange(len(graph.archs)), numpy.diff(graph.starts))
    around = values[graph.around]
    present = ~numpy.isnan(around)
    best = numpy.full(len(values), -numpy.inf)
    numpy.maximum.at(best, owners[present], around[present])
    local = (values >= best) & (best > -numpy.inf)
    lacking = numpy.bincount(owners[~present], minlength=len(values)) > 0
    return int(local.sum()), int((local & lacking).sum())


def fitness_distance(found: Terrain) -> FitnessDistance:
    """Fitness-distance correlation over every architecture that the table answers for."""
    from scipy import stats  # takes as long to import as the rest takes to compute

    there = ~numpy.isnan(found.values) & (found.to_best.distance != UNREACHED)
    values, distance = found.values[there], found.to_best.distance[there]
    if len(values) < 2 or numpy.ptp(values) == 0 or numpy.ptp(distance) == 0:
        return FitnessDistance(numpy.nan, numpy.nan, len(values))
    pearson = float(stats.pearsonr(values, distance).statistic)
    return FitnessDistance(pearson, float(stats.spearmanr(values, distance).statistic), len(values))


def to_best_rows(found: Terrain) -> list[dict[str, object]]:
    """The rows of distances.csv: per number of decisions to the nearest best architecture, accuracy and barriers."""
    return [of_distance(found, found.falls, decisions) for decisions in range(int(found.to_best.distance.max()) + 1)]


def of_distance(found: Terrain, fall: Floats, decisions: int) -> dict[str, object]:
    """The architectures so many decisions from the nearest best one."""
    here = found.to_best.distance == decisions
    values, known = found.values[here], fall[here][~numpy.isnan(fall[here])]
    present = values[~numpy.isnan(values)]
    quartiles = numpy.quantile(present, (0.25, 0.5, 0.75)).tolist() if len(present) else [None] * 3
    return {
        "distance": decisions,
        "architectures": int(here.sum()),
        "missing": len(values) - len(present),
        "worst": float(present.min()) if len(present) else None,
        **dict(zip(("quarter", "median", "three_quarters"), quartiles, strict=True)),
        "best": float(present.max()) if len(present) else None,
        "barrier_unknown": len(present) - len(known),
        "barrier_mean": float(known.mean()) if len(known) else None,
        "barrier_highest": float(known.max()) if len(known) else None,
        "without_barrier": 100 * float((known == 0).mean()) if len(known) else None,
    }


def place_of(found: Terrain, arch: Arch) -> int:
    """Index of an architecture.

    Raises:
        Unanswered: the space does not reach it.
    """
    place = int(numpy.searchsorted(numpy.array(found.graph.archs), arch))
    if place == len(found.graph.archs) or found.graph.archs[place] != arch:
        raise Unanswered(f"the space does not reach the architecture {arch[:80]!r}")
    return place


def pairs(found: Terrain, drawn: int, best: int, seed: int = 0) -> Iterator[tuple[str, int, int]]:
    """Pairs of architectures between which barriers are of interest, each with how it was chosen.

    Args:
        found: the table over its graph.
        drawn: so many pairs of answered architectures, drawn uniformly by the seed.
        best: of the best so many architectures each pair; ties as in the graph.
        seed: of the draws.
    """
    order = numpy.argsort(-found.values, kind="stable")[: max(best, 0)].tolist()  # NaN comes last
    for place, one in enumerate(order):
        yield from (("best", one, other) for other in order[place + 1 :] if not numpy.isnan(found.values[other]))
    answered = numpy.flatnonzero(~numpy.isnan(found.values))
    if len(answered) > 1:
        generator = numpy.random.default_rng(seed)
        for _ in range(drawn):
            one, other = generator.choice(answered, 2, replace=False).tolist()
            yield "drawn", one, other


def pair_row(found: Terrain, chosen: str, one: int, other: int) -> dict[str, object]:
    """The row of pairs.csv of two architectures; empty where it is not known."""
    there = ways(found.graph, found.values, [one])
    values, distance = found.values, int(there.distance[other])
    known = bool(there.whole[other])
    fall = float(min(values[one], values[other]) - there.lowest[other])
    return {
        "chosen": chosen,
        "arch": found.graph.archs[one],
        "other": found.graph.archs[other],
        "accuracy": None if numpy.isnan(values[one]) else float(values[one]),
        "other_accuracy": None if numpy.isnan(values[other]) else float(values[other]),
        "distance": None if distance == UNREACHED else distance,
        "paths": int(there.paths[other]),
        "missing": int(there.paths[other] - there.whole[other]),
        "lowest": float(there.lowest[other]) if known else None,
        "barrier": fall if known else None,
    }
