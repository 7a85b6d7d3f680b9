"""Which architectures of a space lie one decision apart: the graph whose vertices they are.

A raw configuration keeps of each row of the mixture as many choices as the space says. Two architectures are neighbours
where some raw configuration of the one is one decision (another operation, or a kept input exchanged for another) away
from some of the other. What several configurations stand for is one vertex: a way through it changes from one of them
to another at no cost, since they are the same network. In NAS-Bench-201, where each architecture is one configuration,
the distance is the number of edges whose operations differ.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy
import numpy.typing
import torch

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.space import Arch, Mixture, Space

Places = numpy.typing.NDArray[numpy.int64]
"""Indices of architectures in a graph, or of what there is one of for each."""

Combination = tuple[int, ...]
"""Choices that a row keeps, ascending."""


class DecisionGraph(NamedTuple):
    """The architectures of a space, and which lie one decision apart.

    Attributes:
        archs: every reachable one, once, sorted.
        starts: (n + 1,) where those around an architecture begin in ``around``, and where the last ones end.
        around: neighbours of the first, of the second and so on, each ascending; none is its own.
    """

    archs: tuple[Arch, ...]
    starts: Places
    around: Places

    def neighbours(self, place: int) -> Places:
        """Indices of the architectures one decision away from one."""
        return self.around[self.starts[place] : self.starts[place + 1]]


def decision_graph(space: Space) -> DecisionGraph:
    """The graph of a space that lists its architectures; of each raw configuration the architecture is asked once.

    Raises:
        BadInput: there are too many to list, or its rows are not decided each by itself.
    """
    if space.unlisted:
        raise BadInput(
            f"{space.name} has {space.count():,} architectures, too many to list: what lies around one is in the "
            "columns neighbours* of a run, and no geometry of the whole is computed from a part"
        )
    if space.harden:
        raise BadInput(f"the rows of {space.name} are not decided each by itself: its configurations are not known")
    rows = row_choices(space)
    texts = [space.discretize(mixture) for mixture in raw_mixtures(space)]
    archs = tuple(sorted(set(texts)))
    index = {arch: place for place, arch in enumerate(archs)}
    found = numpy.array([index[text] for text in texts], dtype=numpy.int64)
    pairs = neighbouring(found, rows, len(archs))
    both = numpy.concatenate([pairs, pairs[:, ::-1]])
    both = both[numpy.lexsort((both[:, 1], both[:, 0]))]
    starts = numpy.searchsorted(both[:, 0], numpy.arange(len(archs) + 1))
    return DecisionGraph(archs, starts.astype(numpy.int64), numpy.ascontiguousarray(both[:, 1]))


def row_choices(space: Space) -> list[list[Combination]]:
    """Of each row of the mixture, group after group, what it can keep."""
    return [
        list(itertools.combinations(range(choices), kept))
        for (rows, choices), kept in zip(space.shapes, space.kept, strict=True)
        for _ in range(rows)
    ]


def raw_mixtures(space: Space) -> Iterator[Mixture]:
    """The decided mixture of every raw configuration, the last row's choice varying fastest, in float64 on the CPU."""
    groups = []
    for (rows, choices), kept in zip(space.shapes, space.kept, strict=True):
        combinations = list(itertools.combinations(range(choices), kept))
        decided = torch.zeros(len(combinations), choices, dtype=torch.float64)
        for place, combination in enumerate(combinations):
            decided[place, list(combination)] = 1 / kept
        groups.append([decided[list(places)] for places in itertools.product(range(len(combinations)), repeat=rows)])
    return itertools.product(*groups)


def neighbouring(found: Places, rows: Sequence[Sequence[Combination]], count: int) -> Places:
    """Pairs (m, 2) of distinct architectures one decision apart, the lower index first, each once.

    Args:
        found: of each raw configuration its architecture, in the order of ``raw_mixtures``.
        rows: what each row can keep.
        count: of architectures.
    """
    keys = numpy.empty(0, dtype=numpy.int64)
    for row, combinations in enumerate(rows):
        inner = math.prod(map(len, rows[row + 1 :]))
        by_row = found.reshape(-1, len(combinations), inner)
        for one, other in itertools.combinations(range(len(combinations)), 2):
            if len({*combinations[one], *combinations[other]}) == len(combinations[one]) + 1:
                left, right = by_row[:, one].ravel(), by_row[:, other].ravel()
                low, high = numpy.minimum(left, right), numpy.maximum(left, right)
                keys = numpy.union1d(keys, (low * count + high)[low != high])
    return numpy.stack([keys // count, keys % count], 1)
