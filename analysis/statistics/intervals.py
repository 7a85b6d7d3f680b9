"""Estimates of few seeds and their intervals. Every interval says what it is, and why where it is refused.

NaN marks a missing value: it is counted, never averaged over. Fewer than FEWEST values, or values that are all the
same, have no spread to go by: the ends of the interval are then NaN, with a reason, and never of zero width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple, Protocol

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats

Floats = numpy.typing.NDArray[numpy.float64]


CONFIDENCE = 0.95


RESAMPLES = 10_000


FEWEST = 3
"""Fewest seeds for which an interval is given: of two, a bootstrap interval has no meaning."""


FEWEST_BAND = 5
"""Fewest seeds for a simultaneous band: four have 2^4 sign flips, too few for a tail of one in twenty."""

EXACT_FLIPS = 2**13
"""Up to this many sign flips or permutations are enumerated; beyond it, RESAMPLES random ones are drawn."""


class Estimate(NamedTuple):
    """A mean over seeds.

    Attributes:
        mean: NaN where there is no value.
        low: lower end of the interval; NaN where fewer than FEWEST seeds have a value.
        high: upper end, likewise.
        seeds: how many have a value.
        missing: seeds without one.
    """

    mean: float
    low: float
    high: float
    seeds: int
    missing: int


def estimate(values: Floats) -> Estimate:
    """Mean of the present values with a 95 % percentile bootstrap interval (10,000 resamples, fixed seed).

    NaN marks a missing value: it is counted, never averaged over. Fewer than FEWEST values: no interval.
    """

    def bootstrap(present: Floats) -> tuple[float, float]:
        low, high = bootstrap_mean(present[:, None])
        return float(low[0]), float(high[0])

    return summarised(values, bootstrap)


def summarised(values: Floats, interval: Callable[[Floats], tuple[float, float]]) -> Estimate:
    """Mean of the present values and the ``interval`` of at least FEWEST of them; what is missing is counted."""
    present = values[~numpy.isnan(values)]
    mean = float(present.mean()) if len(present) else numpy.nan
    low, high = interval(present) if len(present) >= FEWEST else (numpy.nan, numpy.nan)
    return Estimate(mean, low, high, len(present), len(values) - len(present))


def bootstrap_mean(values: Floats) -> tuple[Floats, Floats]:
    """Percentile bootstrap interval of the mean over the first axis, (seeds, columns) -> two of (columns,).

    Whole rows are resampled, so that the columns (epochs, say) stay paired.

    Raises:
        ValueError: fewer than FEWEST rows.
    """
    if len(values) < FEWEST:
        raise ValueError(f"an interval needs at least {FEWEST} seeds, there are {len(values)}")
    found = scipy.stats.bootstrap(
        (values,),
        numpy.mean,
        axis=0,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=numpy.random.default_rng(0),
        batch=1000,
    ).confidence_interval
    return numpy.asarray(found.low), numpy.asarray(found.high)


class Interval(NamedTuple):
    """A number and its 95 % interval.

    Attributes:
        estimate: NaN where there is no value.
        low: lower end; NaN where the interval is refused.
        high: upper end, likewise.
        present: values that went in.
        missing: values that are NaN.
        kind: what the interval is.
        reason: why it is refused; empty where it is not.
    """

    estimate: float
    low: float
    high: float
    present: int
    missing: int
    kind: str
    reason: str


class Pairs(NamedTuple):
    """Differences between two methods over the seeds that they share.

    Attributes:
        seeds: that have a value under both, sorted.
        differences: first less second, in the order of ``seeds``.
        missing: seeds of either method that lack a value under one.
    """

    seeds: numpy.typing.NDArray[numpy.int64]
    differences: Floats
    missing: int


def paired_differences(first_seeds: Sequence[int], first: Floats, second_seeds: Sequence[int], second: Floats) -> Pairs:
    """First method less second, seed by seed: the harness gives a seed the same weights and batches under each.

    Args:
        first_seeds: (runs,) seeds of the first method, in the order of ``first``.
        first: (runs,) its values, NaN where missing.
        second_seeds: seeds of the second method.
        second: its values.

    Raises:
        ValueError: a method has a seed twice.
    """
    values = [
        dict(zip(seeds, numbers, strict=True)) for seeds, numbers in ((first_seeds, first), (second_seeds, second))
    ]
    for seeds, of_method in zip((first_seeds, second_seeds), values, strict=True):
        if len(of_method) < len(seeds):
            raise ValueError(f"a seed occurs twice among {list(seeds)}: average its runs first")
    every = sorted(values[0].keys() | values[1].keys())
    difference = numpy.array([values[0].get(seed, math.nan) - values[1].get(seed, math.nan) for seed in every])
    present = ~numpy.isnan(difference)
    return Pairs(numpy.array(every, numpy.int64)[present], difference[present], int((~present).sum()))


class Statistic(Protocol):
    """Strata, each (..., values) along ``axis``, -> one number per leading index."""

    def __call__(self, *strata: Floats, axis: int) -> Floats: ...


def mean_of_means(*strata: Floats, axis: int = -1) -> Floats:
    """The mean over the strata of the mean within each: every stratum (space) counts alike, whatever its size."""
    total = sum((stratum.mean(axis=axis) for stratum in strata[1:]), strata[0].mean(axis=axis))
    return numpy.asarray(total / len(strata))


def middle_mean(*strata: Floats, axis: int = -1) -> Floats:
    """Mean of the middle half of all values together: a quarter, rounded down, is cut at either end."""
    leading = numpy.broadcast_shapes(*(numpy.moveaxis(stratum, axis, -1).shape[:-1] for stratum in strata))
    parts = [numpy.moveaxis(stratum, axis, -1) for stratum in strata]
    joined = numpy.concatenate([numpy.broadcast_to(part, (*leading, part.shape[-1])) for part in parts], axis=-1)
    return numpy.asarray(scipy.stats.trim_mean(joined, 0.25, axis=-1))


def share_better(*strata: Floats, axis: int = -1) -> Floats:
    """Mean over the strata of the share of pairs in which the first method is higher; a tie is half.

    The strata of the first method come first, then those of the second in the same order.
    """
    moved = [numpy.moveaxis(stratum, axis, -1) for stratum in strata]
    shares = []
    for first, second in zip(moved[: len(moved) // 2], moved[len(moved) // 2 :], strict=True):
        sign = numpy.sign(first[..., :, None] - second[..., None, :])
        shares.append((0.5 + 0.5 * sign).mean(axis=(-2, -1)))
    return numpy.asarray(sum(shares[1:], shares[0]) / len(shares))


def refusal(strata: Sequence[Floats]) -> str:
    """Why an interval of these values would mean nothing; empty where it would not."""
    fewest = min(map(len, strata))
    if fewest < FEWEST:
        return f"an interval needs at least {FEWEST} seeds, there {'is' if fewest == 1 else 'are'} {fewest}"
    if all(numpy.ptp(stratum) == 0 for stratum in strata):
        return "all values are the same, so that their spread is not known"
    return ""


def split_missing(strata: Sequence[Floats]) -> tuple[list[Floats], int]:
    """The present values of each stratum, and how many are missing in all."""
    present = [stratum[~numpy.isnan(stratum)] for stratum in strata]
    return present, sum(map(len, strata)) - sum(map(len, present))


def bootstrap_interval(strata: Sequence[Floats], statistic: Statistic = mean_of_means, method: str = "BCa") -> Interval:
    """A statistic with its 95 % bootstrap interval, resampled within each stratum (10,000 resamples, fixed seed).

    Args:
        strata: one (values,) array per stratum, such as the seeds of a space; NaN where missing.
        statistic: of all of them.
        method: "percentile", or "BCa": corrected for bias and skewness (Efron 1987, Better bootstrap confidence
            intervals).
    """
    present, missing = split_missing(strata)
    count = sum(map(len, present))
    kind = f"95 % {method} bootstrap interval" + (", stratified" if len(strata) > 1 else "")
    if not present or not all(map(len, present)):
        return Interval(math.nan, math.nan, math.nan, count, missing, kind, "there is no value")
    value = float(statistic(*present, axis=-1))
    reason = refusal(present)
    if reason:
        return Interval(value, math.nan, math.nan, count, missing, kind, reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # said below, as the reason
        found = scipy.stats.bootstrap(
            present,
            statistic,
            axis=-1,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method=method,
            rng=numpy.random.default_rng(0),
            batch=1000,
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if not low < high:
        return Interval(value, math.nan, math.nan, count, missing, kind, "the resamples do not vary")
    return Interval(value, low, high, count, missing, kind, "")


def interquartile_mean(strata: Sequence[Floats]) -> Interval:
    """Interquartile mean over the runs of all strata, with a stratified percentile bootstrap interval.

    As Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (NeurIPS 2021), define it.

    Args:
        strata: one (runs,) array of scores per space (their "task"); NaN where missing.
    """
    return bootstrap_interval(strata, middle_mean, "percentile")


def probability_of_improvement(first: Sequence[Floats], second: Sequence[Floats]) -> Interval:
    """Probability that a run of the first method scores higher than one of the second, a tie being half.

    Mean over the spaces of the Mann-Whitney share; the runs of either method are resampled within each space
    (percentile). As Agarwal et al. (2021) define it: the runs are not paired by seed.

    Args:
        first: one (runs,) array per space; NaN where missing.
        second: of the other method, the same spaces in the same order.
    """
    return bootstrap_interval([*first, *second], share_better, "percentile")


def signs(count: int) -> Floats:
    """Rows of ``count`` signs: all there are while they are few, else RESAMPLES random ones of a fixed seed."""
    if 2**count <= EXACT_FLIPS:
        return numpy.array(list(product((1.0, -1.0), repeat=count)))
    return numpy.random.default_rng(0).choice((1.0, -1.0), size=(RESAMPLES, count))


class Band(NamedTuple):
    """A mean over seeds at every epoch, and a band that holds the whole true curve at once.

    Attributes:
        mean: (epochs,) of the seeds that are whole.
        low: (epochs,) lower edge; NaN where refused, and in epochs where all seeds have the same value.
        high: upper edge, likewise.
        seeds: whole ones, which have a value in every epoch.
        missing: seeds that lack one.
        kind: what the band is.
        reason: why it is refused; empty where it is not.
    """

    mean: Floats
    low: Floats
    high: Floats
    seeds: int
    missing: int
    kind: str
    reason: str


def simultaneous_band(values: Floats) -> Band:
    """A 95 % band for the mean curve at all epochs at once, by the largest |t| over the epochs.

    The seeds' deviations from the mean are multiplied by random signs, a whole seed at a time (wild bootstrap; all
    signs where they are few), and the largest |t| over the epochs is noted each time; its 95th percentile is how many
    standard errors the band is wide on either side. Drawing seeds with replacement instead leaves at five seeds a
    quantile of some 100 standard errors, because some resamples hardly vary. Holds the curve in 93 to 98 % of
    simulated random walks of five to twenty seeds; fewer where a rare collapse is in none of the seeds.

    Args:
        values: (seeds, epochs), NaN where missing.
    """
    whole = ~numpy.isnan(values).any(1)
    present = values[whole]
    seeds, missing = len(present), int((~whole).sum())
    kind = "95 % simultaneous band over the epochs (largest t, signs of whole seeds)"
    blank = numpy.full(values.shape[1], math.nan)
    if not seeds:
        return Band(blank, blank, blank, 0, missing, kind, "no seed has a value in every epoch")
    mean = present.mean(0)
    if seeds < FEWEST_BAND:
        reason = f"a band over all epochs needs at least {FEWEST_BAND} seeds, there are {seeds}"
        return Band(mean, blank, blank, seeds, missing, kind, reason)
    varies = numpy.ptp(present, axis=0) > 0
    if not varies.any():
        return Band(mean, blank, blank, seeds, missing, kind, refusal(list(present.T)))
    residuals = (present - mean)[:, varies]
    means = signs(seeds) @ residuals / seeds
    variances = ((residuals**2).mean(0) - means**2) * seeds / (seeds - 1)
    # Seeds of two values, half of them at each, turned all one way do not vary: their t is as good as infinite.
    tiny = numpy.finfo(float).eps * (residuals**2).mean(0)
    largest = (numpy.abs(means) / numpy.sqrt(numpy.maximum(variances, tiny) / seeds)).max(1)
    half = float(numpy.quantile(largest, CONFIDENCE, method="higher")) * present.std(0, ddof=1) / math.sqrt(seeds)
    half = numpy.where(varies, half, math.nan)
    return Band(mean, mean - half, mean + half, seeds, missing, kind, "")
