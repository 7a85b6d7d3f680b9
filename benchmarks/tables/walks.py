"""Shortest paths through a space's decision graph, and how far accuracy falls along the best of them.

An accuracy that a table lacks is NaN here. A path through such an architecture is counted, but nothing is said of how
far it falls: what is not known is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy

from nas_stability.benchmarks.spaces.decision_graph import DecisionGraph, Places
from nas_stability.benchmarks.tables.table import Floats

UNREACHED = -1
"""The distance of what no path leads to."""


class Ways(NamedTuple):
    """The shortest paths from some architectures to every one, (n,) each.

    Attributes:
        distance: decisions; UNREACHED where no path leads.
        paths: how many shortest paths there are, as a float: exact up to 2^53; 0 where none leads.
        whole: how many of them the table answers for from end to end, likewise.
        lowest: the lowest accuracy, in percent, along the best of the whole ones: that whose lowest is highest; ends
            count. NaN where none is whole.
    """

    distance: Places
    paths: Floats
    whole: Floats
    lowest: Floats


def levels(graph: DecisionGraph, sources: Sequence[int] | Places) -> Iterator[Places]:
    """The architectures 0, 1, 2, ... decisions from the nearest source, ascending, until there are no more."""
    seen = numpy.zeros(len(graph.archs), dtype=bool)
    frontier: Places = numpy.unique(numpy.asarray(sources, dtype=numpy.int64))
    while len(frontier):
        seen[frontier] = True
        yield frontier
        reached = numpy.zeros(len(graph.archs), dtype=bool)
        reached[steps(graph, frontier)[1]] = True
        frontier = numpy.flatnonzero(reached & ~seen)


def steps(graph: DecisionGraph, places: Places) -> tuple[Places, Places]:
    """Every decision out of some architectures: from which, and to which."""
    starts, counts = graph.starts[places], graph.starts[places + 1] - graph.starts[places]
    ends = numpy.cumsum(counts)
    within = numpy.arange(ends[-1] if len(ends) else 0) - numpy.repeat(ends - counts, counts)
    return numpy.repeat(places, counts), graph.around[numpy.repeat(starts, counts) + within]


def ways(graph: DecisionGraph, values: Floats, sources: Sequence[int] | Places) -> Ways:
    """The shortest paths from the nearest of some architectures to every one.

    Args:
        graph: of the space.
        values: accuracy of each architecture in percent (n,), NaN where the table has none.
        sources: indices of the architectures that paths begin at.
    """
    count = len(graph.archs)
    distance = numpy.full(count, UNREACHED, dtype=numpy.int64)
    paths, whole, lowest = numpy.zeros(count), numpy.zeros(count), numpy.full(count, -numpy.inf)
    present = ~numpy.isnan(values)
    last: Places = numpy.empty(0, dtype=numpy.int64)
    for decisions, frontier in enumerate(levels(graph, sources)):
        distance[frontier] = decisions
        if decisions == 0:
            paths[frontier], whole[frontier], lowest[frontier] = 1.0, present[frontier], numpy.inf
        else:
            left, right = steps(graph, last)
            further = distance[right] == decisions
            left, right = left[further], right[further]
            numpy.add.at(paths, right, paths[left])
            numpy.add.at(whole, right, whole[left])
            numpy.maximum.at(lowest, right, lowest[left])
        whole[frontier] *= present[frontier]
        lowest[frontier] = numpy.minimum(lowest[frontier], numpy.where(present[frontier], values[frontier], -numpy.inf))
        last = frontier
    return Ways(distance, paths, whole, numpy.where(whole > 0, lowest, numpy.nan))


def shortest_paths(graph: DecisionGraph, start: int, end: int) -> Iterator[tuple[int, ...]]:
    """Every shortest path from one architecture to another, as indices, in ascending order; none where none leads."""
    distance = numpy.full(len(graph.archs), UNREACHED, dtype=numpy.int64)
    for decisions, frontier in enumerate(levels(graph, [end])):
        distance[frontier] = decisions
        if distance[start] != UNREACHED:
            break

    def onward(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if path[-1] == end:
            yield path
            return
        for place in graph.neighbours(path[-1]):
            if distance[place] == distance[path[-1]] - 1:
                yield from onward((*path, int(place)))

    if distance[start] != UNREACHED:
        yield from onward((start,))


def barriers(values: Floats, found: Ways, source: float) -> Floats:
    """Of each architecture the barrier between it and the nearest source, in points (n,).

    That is the lower of the two ends less the lowest accuracy along the best shortest path between them: 0 where that
    never falls below its ends, NaN where no shortest path is whole.

    Args:
        values: accuracy of each architecture in percent (n,).
        found: the shortest paths from the sources.
        source: accuracy of every source in percent.
    """
    return numpy.minimum(values, source) - found.lowest
