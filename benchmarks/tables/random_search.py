"""What random search would find, exactly: from a table's answers and how many raw configurations each stands for.

A search that draws ``k`` raw configurations uniformly and keeps the one that is best by validation; no search at all
for k = 1. Nothing is sampled: these are sums over the space.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from nas_stability.benchmarks.tables.open_file import Floats

DRAWS = (1, 10, 100)
"""Configurations drawn, of the random searches that a run records."""


class RandomSearch(NamedTuple):
    """The expected accuracy of random search.

    Attributes:
        best_of: configurations drawn -> expected accuracy in percent of the best of them by validation.
        answered: percent of the raw configurations that the table answers for; what is drawn is one of these.
    """

    best_of: dict[int, float]
    answered: float


def random_search(
    accuracy: Floats, valid: Floats, configurations: Floats, draws: tuple[int, ...] = DRAWS
) -> RandomSearch | None:
    """The expected accuracy of random search over some architectures; None where there is no answer.

    Of architectures that tie in validation the first drawn is kept, so that they share by their configurations.

    Args:
        accuracy: in percent (n,), NaN where there is none.
        valid: validation accuracy in percent (n,), NaN where there is none.
        configurations: raw configurations that each stands for (n,).
        draws: how many are drawn, of each search.
    """
    present = ~(numpy.isnan(accuracy) | numpy.isnan(valid))
    if not present.any():
        return None
    share = configurations[present] / configurations[present].sum()
    _, tied = numpy.unique(valid[present], return_inverse=True)  # in ascending order
    mass = numpy.bincount(tied, share)
    mean = numpy.bincount(tied, share * accuracy[present]) / mass
    reached = numpy.concatenate([[0.0], numpy.cumsum(mass)])
    reached /= reached[-1]
    return RandomSearch(
        {count: float((numpy.diff(reached**count) * mean).sum()) for count in draws},
        float(100 * configurations[present].sum() / configurations.sum()),
    )
