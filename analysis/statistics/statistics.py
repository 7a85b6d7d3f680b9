"""Statistics of few seeds: arrays in, arrays out. Every interval says what it is, and why where it is refused.

NaN marks a missing value: it is counted, never averaged over. Fewer than FEWEST values, or values that are all the
same, have no spread to go by: the ends of the interval are then NaN, with a reason, and never of zero width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import NamedTuple, Protocol

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats
from scipy import special

Floats = numpy.typing.NDArray[numpy.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
FEWEST = 3
"""Fewest seeds for which an interval is given: of two, a bootstrap interval has no meaning."""

FEWEST_BAND = 5
"""Fewest seeds for a simultaneous band: four have 2^4 sign flips, too few for a tail of one in twenty."""

EXACT_FLIPS = 2**13
"""Up to this many sign flips or permutations are enumerated; beyond it, RESAMPLES random ones are drawn."""

POWER = 0.8
MOST_SEEDS = 10_000
"""Where more seeds than this would be needed, the answer is that no sensible number is enough."""


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


def signs(count: int) -> Floats:
    """Rows of ``count`` signs: all there are while they are few, else RESAMPLES random ones of a fixed seed."""
    if 2**count <= EXACT_FLIPS:
        return numpy.array(list(product((1.0, -1.0), repeat=count)))
    return numpy.random.default_rng(0).choice((1.0, -1.0), size=(RESAMPLES, count))


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


def t_power(effect: float, deviations: Floats, seeds: int, level: float) -> float:
    """Chance that a two-sided t test of the mean difference finds an effect, on its own side (noncentral t).

    Args:
        effect: true mean difference from the value tested.
        deviations: (strata,) standard deviation of the differences in each space.
        seeds: pairs in each space.
        level: of the test.
    """
    variances = deviations**2
    if not variances.any():
        return 1.0 if effect else 0.0
    freedom = (seeds - 1) * variances.sum() ** 2 / (variances**2).sum()
    distance = abs(effect) * len(deviations) * math.sqrt(seeds / variances.sum())
    return 1 - float(special.nctdtr(freedom, distance, -special.stdtrit(freedom, level / 2)))


def detectable_difference(deviations: Floats, seeds: int, level: float = 1 - CONFIDENCE, power: float = POWER) -> float:
    """The smallest true mean difference that so many seeds find with that power; NaN for fewer than FEWEST.

    Args:
        deviations: (strata,) standard deviation of the paired differences in each space; same unit as the answer.
        seeds: pairs in each space.
        level: of the two-sided t test.
        power: chance to find it.
    """
    if seeds < FEWEST:
        return math.nan
    unit = math.sqrt((deviations**2).sum() / seeds) / len(deviations)
    if unit == 0:
        return 0.0
    most = 2.0
    while t_power(most * unit, deviations, seeds, level) < power:
        most *= 2
    found = scipy.optimize.brentq(lambda size: t_power(size * unit, deviations, seeds, level) - power, 0.0, most)
    return float(found) * unit


def seeds_needed(effect: float, deviations: Floats, level: float = 1 - CONFIDENCE, power: float = POWER) -> int | None:
    """Fewest seeds in each space with which a two-sided t test finds the effect with that power.

    None where MOST_SEEDS are not enough. The effect and deviations of a small study are themselves uncertain, so that
    this is an order of magnitude.

    Args:
        effect: true mean difference from the value tested.
        deviations: (strata,) standard deviation of the paired differences in each space.
        level: of the test.
        power: chance to find it.
    """
    if not effect or math.isnan(effect) or numpy.isnan(deviations).any():
        return None
    wanted = float(special.ndtri(1 - level / 2) + special.ndtri(power))
    normal = (deviations**2).sum() * (wanted / (effect * len(deviations))) ** 2  # a t test needs at least as many
    if normal > MOST_SEEDS:
        return None
    fewest = max(FEWEST, math.floor(normal))
    while fewest <= MOST_SEEDS and t_power(effect, deviations, fewest, level) < power:
        fewest += 1
    return fewest if fewest <= MOST_SEEDS else None


class Survival(NamedTuple):
    """Kaplan and Meier's estimate of how many runs have not collapsed yet.

    Attributes:
        times: (steps,) epochs at which a run collapsed or was last seen, ascending.
        surviving: (steps,) share that has not collapsed just after each.
        low: (steps,) lower end of the 95 % log-log interval; NaN where it is not defined or refused.
        high: upper end, likewise.
        runs: that were watched.
        collapsed: of them.
        missing: runs of which nothing is known.
        reason: why the interval is refused; empty where it is not.
    """

    times: Floats
    surviving: Floats
    low: Floats
    high: Floats
    runs: int
    collapsed: int
    missing: int
    reason: str


def survival(times: Floats, collapsed: numpy.typing.NDArray[numpy.bool_]) -> Survival:
    """Share of runs that have not collapsed, over epochs; a run that never did is censored when last seen.

    Args:
        times: (runs,) epoch of the collapse, or the last epoch seen; NaN where nothing is known of the run.
        collapsed: (runs,) whether it collapsed.
    """
    known = ~numpy.isnan(times)
    missing = int((~known).sum())
    nothing: Floats = numpy.empty(0)
    if not known.any():
        return Survival(nothing, nothing, nothing, nothing, 0, 0, missing, "there is no value")
    watched, events = times[known], collapsed[known]
    found = scipy.stats.ecdf(scipy.stats.CensoredData.right_censored(watched, ~events)).sf
    low = high = numpy.full(len(found.quantiles), math.nan)
    few = len(watched) < FEWEST
    reason = f"an interval needs at least {FEWEST} runs, there are {len(watched)}" if few else ""
    if not few:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the interval is not defined at shares of 0 and 1
            interval = found.confidence_interval(CONFIDENCE, method="log-log")
        low, high = interval.low.probabilities, interval.high.probabilities
        same = ~(low < high)
        low, high = numpy.where(same, math.nan, low), numpy.where(same, math.nan, high)
    return Survival(found.quantiles, found.probabilities, low, high, len(watched), int(events.sum()), missing, reason)


def collapse_times(accuracy: Floats, epochs: Floats, fall: float) -> tuple[Floats, numpy.typing.NDArray[numpy.bool_]]:
    """When each run first stood more than ``fall`` points below its best so far; for ``survival``.

    A run is watched up to its first missing value: NaN and not collapsed where the very first is missing.

    Args:
        accuracy: (runs, epochs) in percent, NaN where missing.
        epochs: (epochs,) ascending.
        fall: in points.

    Returns:
        (runs,) epoch of the collapse or the last epoch seen, and whether it collapsed.
    """
    seen = numpy.cumprod(~numpy.isnan(accuracy), axis=1).astype(bool)
    known = numpy.where(seen, accuracy, -numpy.inf)
    fallen = seen & (numpy.maximum.accumulate(known, axis=1) - numpy.where(seen, accuracy, numpy.inf) > fall)
    collapsed = numpy.asarray(fallen.any(1))
    place = numpy.where(collapsed, fallen.argmax(1), seen.sum(1) - 1)
    return numpy.where(place >= 0, epochs[place], math.nan), collapsed


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
