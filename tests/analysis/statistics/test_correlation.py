"""Rank correlations of whole seeds against their definition and all resamples."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
import scipy.stats

from nas_stability.analysis.statistics.correlation import spearman, weighted_spearman
from tests import oracles_figures as oracles


def test_a_rank_correlation_is_spearmans_and_resamples_whole_seeds() -> None:
    generator = numpy.random.default_rng(3)
    seeds = numpy.repeat(numpy.arange(4), 3)
    first = generator.integers(0, 5, 12).astype(float)
    second = first + generator.integers(0, 4, 12)
    found = spearman(numpy.append(first, numpy.nan), numpy.append(second, 1.0), numpy.append(seeds, 9))
    assert (found.runs, found.missing) == (12, 1)
    assert found.rho == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    parts = [{seed: list(values[seeds == seed]) for seed in range(4)} for values in (first, second)]
    every = [oracles.spearman_of_seeds(*parts, chosen) for chosen in itertools.product(range(4), repeat=4)]
    low, high = numpy.quantile(every, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.low < found.rho < found.high


def test_weighted_ranks_equal_those_of_repeated_values() -> None:
    generator = numpy.random.default_rng(4)
    first, second = generator.integers(0, 4, (2, 7)).astype(float)
    times = generator.integers(0, 3, (50, 7)).astype(float)
    found = weighted_spearman(first, second, times)
    for row, rho in zip(times.astype(int), found, strict=True):
        expected = oracles.spearman(list(numpy.repeat(first, row)), list(numpy.repeat(second, row)))
        assert rho == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0], "constant"),
        ([1.0, 2.0], [1.0, 2.0], "two seeds"),
        ([1.0], [1.0], "one run"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 1.0], "constant in eight of 27 resamples"),
    ],
)
def test_an_interval_of_a_correlation_is_refused_where_it_means_nothing(
    first: list[float], second: list[float], reason: str
) -> None:
    found = spearman(numpy.array(first), numpy.array(second), numpy.arange(len(first)))
    assert math.isnan(found.low), reason
    assert math.isnan(found.high), reason
