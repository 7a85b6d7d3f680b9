"""What samples say about a threshold: a mean of differences, or a correlation, over one space or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy
from scipy import special

from nas_stability.analysis.statistics.correlation import fisher_interval, seed_permutation_test, within_correlation
from nas_stability.analysis.statistics.intervals import CONFIDENCE, FEWEST, Floats, Interval
from nas_stability.analysis.statistics.power import MOST_SEEDS, POWER, seeds_needed
from nas_stability.analysis.statistics.significance import mean_test, sign_flip_test

LEVEL = 1 - CONFIDENCE
"""Family-wise: the chance that any claim of a study without effects is decided wrongly."""


class Evidence(NamedTuple):
    """What the samples of one claim say about its threshold; all on the scale of the test.

    Attributes:
        interval: the estimate and its own 95 % interval.
        p: two-sided, of the effect being just the threshold; NaN where the interval is refused.
        attainable: the smallest P value that the exact test of so many seeds can have.
        exact: the exact test's P value for a direction (+1: the effect is above the threshold).
        needed: level -> seeds in each space that would decide, None where no sensible number would.
    """

    interval: Interval
    p: float
    attainable: float
    exact: Callable[[int], float]
    needed: Callable[[float], int | None]


def weigh_mean(samples: Sequence[Floats], threshold: float) -> Evidence:
    """The mean of differences against the threshold; the exact test flips signs about the threshold."""
    found = mean_test(samples)
    distance = found.interval.estimate - threshold
    deviations = numpy.array([sample.std(ddof=1) if len(sample) > 1 else math.nan for sample in samples])
    count = sum(map(len, samples))
    least = math.ceil(math.log(LEVEL) / math.log(0.5) / len(samples))

    def exact(side: int) -> float:
        return sign_flip_test([sample - threshold for sample in samples], "greater" if side > 0 else "less")

    def needed(level: float) -> int | None:
        if math.isnan(found.error):
            return None
        enough = seeds_needed(distance, deviations, level)
        return None if enough is None else max(enough, least, min(map(len, samples)) + 1)

    p = 2 * float(special.stdtr(found.freedom, -abs(distance) / found.error)) if found.error > 0 else math.nan
    return Evidence(found.interval, p, 0.5**count, exact, needed)


def weigh_correlation(samples: Sequence[Floats], threshold: float) -> Evidence:
    """Spearman's correlation within methods against the threshold.

    On Fisher's z scale, the mean over spaces, with Bonett and Wright's (2000) standard error; each method's
    median costs a degree of freedom. The exact test, of any correlation above none, permutes whole seeds.

    Args:
        samples: one (seeds, methods, 2) array per space.
        threshold: a correlation.
    """
    firsts, seconds = [sample[..., 0] for sample in samples], [sample[..., 1] for sample in samples]
    runs = [first.size for first in firsts]
    spare = [sample.shape[0] * sample.shape[1] - sample.shape[1] - 2 for sample in samples]
    values = [within_correlation(first, second) for first, second in zip(firsts, seconds, strict=True)]
    kind = "95 % interval by Fisher's z" + (", every space counting alike" if len(samples) > 1 else "")
    reason = ""
    if min(map(len, samples)) < FEWEST:
        reason = f"an interval needs at least {FEWEST} seeds, there are {min(map(len, samples))}"
    elif min(spare) < 1:
        reason = f"an interval needs more runs than {min(runs)}"
    elif numpy.isnan(values).any():
        reason = "the eigenvalue or the deterioration is the same in all runs"
    elif numpy.max(numpy.abs(values)) > 1 - 1e-12:
        reason = "the ranks agree without exception, so that their spread is not known"
    attainable = 1 / math.prod(math.factorial(len(sample)) for sample in samples)

    def exact(side: int) -> float:
        # No permutation stands for a correlation of just the threshold: below it, z alone decides.
        return seed_permutation_test(firsts, seconds) if side > 0 else 0.0

    if reason:
        interval = Interval(float(numpy.mean(values)), math.nan, math.nan, sum(runs), 0, kind, reason)
        return Evidence(interval, math.nan, attainable, exact, lambda level: None)
    centre = float(numpy.mean(numpy.arctanh(values)))
    widths = [(1 + value**2 / 2) / freedom for value, freedom in zip(values, spare, strict=True)]
    error = math.sqrt(sum(widths)) / len(samples)
    distance = centre - math.atanh(threshold)

    def needed(level: float) -> int | None:
        wanted = float(special.ndtri(1 - level / 2) + special.ndtri(POWER))
        methods = max(sample.shape[1] for sample in samples)
        spread = float(numpy.mean(1 + numpy.square(values) / 2)) / len(samples)
        seeds = (spread * (wanted / distance) ** 2 + 2) / methods + 1 if distance else math.inf
        return None if seeds > MOST_SEEDS else max(math.ceil(seeds), FEWEST + 1, min(map(len, samples)) + 1)

    correlation = math.tanh(centre)
    interval = Interval(correlation, *fisher_interval(correlation, error), sum(runs), 0, kind, "")
    return Evidence(interval, 2 * float(special.ndtr(-abs(distance) / error)), attainable, exact, needed)
