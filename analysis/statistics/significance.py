"""Tests of few seeds: signs of whole differences flipped, t tests over spaces, corrections for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats
from scipy import special

from nas_stability.analysis.statistics.intervals import (
    CONFIDENCE,
    EXACT_FLIPS,
    RESAMPLES,
    Floats,
    Interval,
    mean_of_means,
    refusal,
    split_missing,
)


def sign_flip_test(strata: Sequence[Floats], alternative: str = "greater") -> float:
    """P value of the paired permutation test that the differences are symmetric about 0; NaN where there are none.

    Under no effect the two methods of a pair may be exchanged, which turns the sign of its difference. The statistic
    is the mean over the strata of the means. Exact, whatever the distribution, with at most 13 differences; from 10,000
    random flips beyond.

    Args:
        strata: one (pairs,) array of differences per space; NaN, which is left out, where missing.
        alternative: "greater", "less" or "two-sided".
    """
    present, _ = split_missing(strata)
    if not present or not all(map(len, present)):
        return math.nan
    weighted = numpy.concatenate([stratum / len(stratum) for stratum in present])
    found = scipy.stats.permutation_test(
        (weighted,),
        lambda sample, axis: sample.sum(axis=axis),
        permutation_type="samples",
        alternative=alternative,
        vectorized=True,
        n_resamples=EXACT_FLIPS if 2 ** len(weighted) <= EXACT_FLIPS else RESAMPLES,
        rng=numpy.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p_values: Floats) -> Floats:
    """P values corrected for there being several (Holm 1979): rejecting those up to 5 % errs at all in 5 % of studies.

    NaN, a test that was not made, stays NaN and does not count.
    """
    made = ~numpy.isnan(p_values)
    order = numpy.argsort(p_values[made], kind="stable")
    scaled = p_values[made][order] * numpy.arange(len(order), 0, -1)
    adjusted = numpy.full(len(order), math.nan)
    adjusted[order] = numpy.minimum(numpy.maximum.accumulate(scaled), 1.0)
    corrected = numpy.full(len(p_values), math.nan)
    corrected[made] = adjusted
    return corrected


class MeanTest(NamedTuple):
    """Student's t for a mean of differences, or Welch's for the mean over spaces of their means.

    Attributes:
        interval: the mean and its 95 % t interval.
        error: standard error of the mean.
        freedom: degrees of freedom (Welch and Satterthwaite's with several strata).
    """

    interval: Interval
    error: float
    freedom: float


def mean_test(strata: Sequence[Floats]) -> MeanTest:
    """The mean of differences with its t interval; every stratum counts alike.

    Args:
        strata: one (pairs,) array per space; NaN where missing.
    """
    present, missing = split_missing(strata)
    count = sum(map(len, present))
    kind = "95 % t interval" + (" (Welch), every space counting alike" if len(strata) > 1 else "")
    if not present or not all(map(len, present)):
        nothing = Interval(math.nan, math.nan, math.nan, count, missing, kind, "there is no value")
        return MeanTest(nothing, math.nan, math.nan)
    mean = float(mean_of_means(*present))
    reason = refusal(present)
    if reason:
        return MeanTest(Interval(mean, math.nan, math.nan, count, missing, kind, reason), math.nan, math.nan)
    shares = numpy.array([stratum.var(ddof=1) / len(stratum) for stratum in present]) / len(present) ** 2
    error = math.sqrt(shares.sum())
    freedom = float(shares.sum() ** 2 / (shares**2 / numpy.array([len(stratum) - 1 for stratum in present])).sum())
    half = float(special.stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return MeanTest(Interval(mean, mean - half, mean + half, count, missing, kind, ""), error, freedom)
