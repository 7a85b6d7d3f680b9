"""Whether two numbers of a run go together: rank correlations, and their permutation by whole seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats
from scipy import special

from nas_stability.analysis.statistics.intervals import (
    CONFIDENCE,
    EXACT_FLIPS,
    FEWEST,
    RESAMPLES,
    Floats,
    Interval,
)


def rank_correlation(first: Floats, second: Floats, kind: str = "spearman") -> Interval:
    """Rank correlation with a 95 % interval on Fisher's z scale.

    The standard error of atanh is sqrt((1 + r^2 / 2) / (n - 3)) for Spearman's rho (Bonett and Wright 2000) and
    sqrt(0.437 / (n - 4)) for Kendall's tau b (Fieller, Hartley and Pearson 1957).

    Args:
        first: (runs,), NaN where missing.
        second: (runs,); a run that lacks either is missing.
        kind: "spearman" or "kendall".
    """
    present = ~(numpy.isnan(first) | numpy.isnan(second))
    count, missing = int(present.sum()), int((~present).sum())
    text = f"95 % interval of {kind.capitalize()}'s rank correlation, Fisher z"
    fewest = {"spearman": 4, "kendall": 5}[kind]
    constant = not count or not numpy.ptp(first[present]) or not numpy.ptp(second[present])
    if count < 2 or constant:
        reason = "there are fewer than two runs" if count < 2 else "one of the two is the same in all runs"
        return Interval(math.nan, math.nan, math.nan, count, missing, text, reason)
    correlate = {"spearman": scipy.stats.spearmanr, "kendall": scipy.stats.kendalltau}[kind]
    value = float(correlate(first[present], second[present]).statistic)
    if count < fewest or abs(value) >= 1 - 1e-12:
        reason = f"an interval needs at least {fewest} runs, there are {count}"
        reason = reason if count < fewest else "the ranks agree without exception, so that their spread is not known"
        return Interval(value, math.nan, math.nan, count, missing, text, reason)
    error = math.sqrt((1 + value**2 / 2) / (count - 3) if kind == "spearman" else 0.437 / (count - 4))
    return Interval(value, *fisher_interval(value, error), count, missing, text, "")


def fisher_interval(correlation: float, error: float) -> tuple[float, float]:
    """Ends of the 95 % interval of a correlation from the standard error of its atanh."""
    half = float(special.ndtri(0.5 + CONFIDENCE / 2)) * error
    centre = math.atanh(correlation)
    return math.tanh(centre - half), math.tanh(centre + half)


class Correlation(NamedTuple):
    """A rank correlation over runs.

    Attributes:
        rho: Spearman's, ties at their mean rank; NaN where one of the two is constant.
        low: lower end of its interval; NaN where it is refused.
        high: upper end.
        runs: how many have both values.
        missing: runs without one of them.
    """

    rho: float
    low: float
    high: float
    runs: int
    missing: int


def spearman(first: Floats, second: Floats, seeds: numpy.typing.NDArray[numpy.int64]) -> Correlation:
    """Spearman's rank correlation over runs with a 95 % percentile bootstrap interval.

    Whole seeds are resampled (all methods of a seed together, since they share weights and batches), 10,000 times, with
    a fixed seed. The interval is refused for fewer than FEWEST seeds, and where more than one resample in twenty has no
    correlation because one of the two is constant in it; fewer such ones are left out.

    Args:
        first: (runs,), NaN where missing.
        second: (runs,), likewise.
        seeds: (runs,)
    """
    present = ~(numpy.isnan(first) | numpy.isnan(second))
    missing = int((~present).sum())
    first, second, seeds = first[present], second[present], seeds[present]
    kinds, of_run = numpy.unique(seeds, return_inverse=True)
    rho = float(weighted_spearman(first, second, numpy.ones((1, len(first))))[0]) if len(first) > 1 else numpy.nan
    if len(kinds) < FEWEST or numpy.isnan(rho):
        return Correlation(rho, numpy.nan, numpy.nan, len(first), missing)
    chosen = numpy.random.default_rng(0).integers(len(kinds), size=(RESAMPLES, len(kinds)))
    times = (chosen[:, :, None] == numpy.arange(len(kinds))).sum(1)
    resampled = weighted_spearman(first, second, times[:, of_run].astype(numpy.float64))
    resampled = resampled[~numpy.isnan(resampled)]
    if len(resampled) < 0.95 * RESAMPLES:
        return Correlation(rho, numpy.nan, numpy.nan, len(first), missing)
    low, high = numpy.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Correlation(rho, float(low), float(high), len(first), missing)


def weighted_spearman(first: Floats, second: Floats, times: Floats) -> Floats:
    """Spearman's rank correlations where run r is there ``times[:, r]`` times: (resamples, runs) -> (resamples,)."""
    ranks = [ranks_of(values, times) for values in (first, second)]
    size = times.sum(1, keepdims=True)
    one, other = (rank - (rank * times).sum(1, keepdims=True) / size for rank in ranks)
    spread = numpy.sqrt((one**2 * times).sum(1) * (other**2 * times).sum(1))
    product = (one * other * times).sum(1)
    found: Floats = numpy.divide(product, spread, out=numpy.full(len(times), numpy.nan), where=spread > 1e-9)
    return found


def ranks_of(values: Floats, times: Floats) -> Floats:
    """Mean rank of each run's value where run r is there ``times[:, r]`` times: (resamples, runs)."""
    kinds, place = numpy.unique(values, return_inverse=True)
    tied = times @ (place[:, None] == numpy.arange(len(kinds)))
    ranks: Floats = (tied.cumsum(1) - (tied - 1) / 2)[:, place]
    return ranks


def within_ranks(values: Floats) -> Floats:
    """Ranks over all runs of what each exceeds its method's median by, centred and of length 1; (seeds, methods)."""
    ranks = scipy.stats.rankdata(values - numpy.median(values, axis=0)).reshape(values.shape)
    ranks -= ranks.mean()
    length = numpy.linalg.norm(ranks)
    return numpy.asarray(ranks / length if length else ranks * math.nan)


def within_correlation(first: Floats, second: Floats) -> float:
    """Spearman's correlation over runs of two quantities less the median of each run's method.

    Two methods that differ in both quantities do not look like an association this way. NaN where one does not vary.

    Args:
        first: (seeds, methods), no value missing.
        second: (seeds, methods).
    """
    return round(float((within_ranks(first) * within_ranks(second)).sum()), 12)  # no -1e-17 for none


def seed_permutation_test(firsts: Sequence[Floats], seconds: Sequence[Floats]) -> float:
    """One-sided P value of ``within_correlation`` being so high: whole seeds of the first quantity change places.

    What the methods share within a seed stays together, so that the test is exact. Strata (spaces) are permuted
    independently, and the mean correlation counts. All permutations of a single stratum up to seven seeds; else 10,000
    random ones.

    Args:
        firsts: one (seeds, methods) array per stratum.
        seconds: likewise.
    """
    rng = numpy.random.default_rng(0)
    enumerate_all = len(firsts) == 1 and math.factorial(len(firsts[0])) <= EXACT_FLIPS
    observed, drawn = 0.0, numpy.zeros(1)
    for first, second in zip(firsts, seconds, strict=True):
        products = within_ranks(first) @ within_ranks(second).T
        places = numpy.arange(len(products))
        orders = (
            numpy.array(list(permutations(places)))
            if enumerate_all
            else rng.permuted(numpy.tile(places, (RESAMPLES, 1)), axis=1)
        )
        observed += float(numpy.trace(products))
        drawn = drawn + products[orders, places].sum(1)
    as_high = int((drawn >= observed - 1e-12).sum())
    return as_high / len(drawn) if enumerate_all else (as_high + 1) / (len(drawn) + 1)
