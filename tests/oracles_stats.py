"""Statistics by their definitions, one number at a time; nothing here imports the package.

Where the package draws resamples at random, every resample there is is listed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, product
from statistics import NormalDist

import scipy.integrate
import scipy.stats

Values = Sequence[float]


def mean(values: Values) -> float:
    """Sum over count."""
    return math.fsum(values) / len(values)


def deviation(values: Values) -> float:
    """Standard deviation, n - 1."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def quantile(values: Values, share: float) -> float:
    """Linear between order statistics, as numpy's default."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def paired(first: dict[int, float], second: dict[int, float]) -> tuple[list[int], list[float], int]:
    """Seeds with both values, first less second, seeds without."""
    seeds, differences, missing = [], [], 0
    for seed in sorted({*first, *second}):
        if seed in first and seed in second and first[seed] == first[seed] and second[seed] == second[seed]:
            seeds.append(seed)
            differences.append(first[seed] - second[seed])
        else:
            missing += 1
    return seeds, differences, missing


def every_resample(strata: Sequence[Values]) -> Iterator[tuple[tuple[float, ...], ...]]:
    """All equally likely bootstrap resamples within strata: n^n for one stratum of n."""
    return product(*(product(stratum, repeat=len(stratum)) for stratum in strata))


def mean_of_means(strata: Sequence[Values]) -> float:
    """Every stratum counts alike."""
    return mean([mean(stratum) for stratum in strata])


def interquartile_mean(strata: Sequence[Values]) -> float:
    """Sort all runs of all tasks; drop a quarter from either end; average."""
    ordered = sorted(value for stratum in strata for value in stratum)
    cut = len(ordered) // 4
    return mean(ordered[cut : len(ordered) - cut])


def probability_of_improvement(first: Sequence[Values], second: Sequence[Values]) -> float:
    """Mean over tasks of the share of pairs (x, y) with x > y, ties half."""
    shares = []
    for xs, ys in zip(first, second, strict=True):
        wins = 0.0
        for x in xs:
            for y in ys:
                wins += 1.0 if x > y else 0.5 if x == y else 0.0
        shares.append(wins / (len(xs) * len(ys)))
    return mean(shares)


def percentile_interval(
    strata: Sequence[Values], statistic: Callable[[Sequence[Values]], float]
) -> tuple[float, float]:
    """2.5 % and 97.5 % of the statistic over all resamples."""
    found = [statistic(resample) for resample in every_resample(strata)]
    return quantile(found, 0.025), quantile(found, 0.975)


def bca_interval(strata: Sequence[Values], statistic: Callable[[Sequence[Values]], float]) -> tuple[float, float]:
    """Efron's (1987): shifted by the share of resamples below the estimate, stretched by the jackknife's skewness."""
    normal = NormalDist()
    value = statistic(strata)
    found = [statistic(resample) for resample in every_resample(strata)]
    below = sum(1.0 if entry < value - 1e-12 else 0.5 if entry <= value + 1e-12 else 0.0 for entry in found)
    bias = normal.inv_cdf(below / len(found))
    cubes, squares = [], []
    for index, stratum in enumerate(strata):
        count = len(stratum)
        left = [
            statistic([*strata[:index], [*stratum[:out], *stratum[out + 1 :]], *strata[index + 1 :]])
            for out in range(count)
        ]
        influence = [(count - 1) * (mean(left) - entry) for entry in left]
        cubes.append(math.fsum(entry**3 for entry in influence) / count**3)
        squares.append(math.fsum(entry**2 for entry in influence) / count**2)
    acceleration = math.fsum(cubes) / (6 * math.fsum(squares) ** 1.5)
    ends = []
    for share in (0.025, 0.975):
        shifted = bias + normal.inv_cdf(share)
        ends.append(quantile(found, normal.cdf(bias + shifted / (1 - acceleration * shifted))))
    return ends[0], ends[1]


def simultaneous_band(rows: Sequence[Values]) -> tuple[list[float], list[float]]:
    """Every choice of signs for whole seeds; the largest |t| over the epochs; its 95th percentile, rounded up."""
    count, epochs = len(rows), range(len(rows[0]))
    centre = [mean([row[epoch] for row in rows]) for epoch in epochs]
    largest = []
    for chosen in product((1, -1), repeat=count):
        sizes = []
        for epoch in epochs:
            turned = [sign * (row[epoch] - centre[epoch]) for sign, row in zip(chosen, rows, strict=True)]
            sizes.append(abs(mean(turned)) / (deviation(turned) / math.sqrt(count)))
        largest.append(max(sizes))
    factor = sorted(largest)[math.ceil(0.95 * (len(largest) - 1))]
    half = [factor * deviation([row[epoch] for row in rows]) / math.sqrt(count) for epoch in epochs]
    return [c - h for c, h in zip(centre, half, strict=True)], [c + h for c, h in zip(centre, half, strict=True)]


def sign_flip(strata: Sequence[Values]) -> float:
    """Share of all sign choices whose mean of means is at least the observed one."""
    observed = mean_of_means(strata)
    as_high = total = 0
    for chosen in product(*(product((1, -1), repeat=len(stratum)) for stratum in strata)):
        turned = [[s * v for s, v in zip(*pair, strict=True)] for pair in zip(chosen, strata, strict=True)]
        as_high += mean_of_means(turned) >= observed - 1e-12
        total += 1
    return as_high / total


def holm_rejects(p_values: Values, level: float) -> set[int]:
    """Holm's (1979) procedure: from the smallest on, while p <= level / (tests left)."""
    rejected: set[int] = set()
    for index in sorted(range(len(p_values)), key=lambda index: p_values[index]):
        if p_values[index] > level / (len(p_values) - len(rejected)):
            break
        rejected.add(index)
    return rejected


def holm(p_values: Values) -> list[float]:
    """For each test the smallest level at which the procedure rejects it, by halving; 1 if none."""
    adjusted = []
    for index in range(len(p_values)):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if index in holm_rejects(p_values, middle) else (middle, high)
        adjusted.append(high)
    return adjusted


def t_power(effect: float, deviations: Values, seeds: int, level: float) -> float:
    """Integral over the estimated variance of the chance that a normal mean exceeds the critical multiple of it."""
    normal = NormalDist()
    total = math.fsum(value**2 for value in deviations)
    freedom = (seeds - 1) * total**2 / math.fsum(value**4 for value in deviations)
    shift = effect * len(deviations) * math.sqrt(seeds / total)
    critical = float(scipy.stats.t.ppf(1 - level / 2, freedom))
    chi = scipy.stats.chi(freedom)

    def integrand(size: float) -> float:
        return float(chi.pdf(size)) * normal.cdf(shift - critical * size / math.sqrt(freedom))

    return float(scipy.integrate.quad(integrand, 0, math.sqrt(freedom) + 12, epsabs=1e-10, limit=200)[0])


def kaplan_meier(times: Values, events: Sequence[bool]) -> list[tuple[float, float, float, float]]:
    """(time, share surviving, low, high) at every distinct time: product limit, Greenwood, log-log."""
    steps = []
    share, greenwood = 1.0, 0.0
    for time in sorted(set(times)):
        at_risk = sum(other >= time for other in times)
        died = sum(other == time and event for other, event in zip(times, events, strict=True))
        share *= 1 - died / at_risk
        greenwood += died / (at_risk * (at_risk - died)) if at_risk > died else math.inf
        if 0 < share < 1:
            half = 1.959963984540054 * math.sqrt(greenwood) / abs(math.log(share))
            steps.append((time, share, share ** math.exp(half), share ** math.exp(-half)))
        else:
            steps.append((time, share, math.nan, math.nan))
    return steps


def collapse(accuracy: Values, epochs: Values, fall: float) -> tuple[float, bool]:
    """Walk along one run."""
    best, last = -math.inf, math.nan
    for value, epoch in zip(accuracy, epochs, strict=True):
        if value != value:
            break
        best, last = max(best, value), epoch
        if best - value > fall:
            return epoch, True
    return last, False


def ranks(values: Values) -> list[float]:
    """One more than how many are smaller, plus half of the other equal ones."""
    return [1 + sum(o < v for o in values) + (sum(o == v for o in values) - 1) / 2 for v in values]


def pearson(first: Values, second: Values) -> float:
    """Covariance over deviations."""
    a, b = mean(first), mean(second)
    top = math.fsum((x - a) * (y - b) for x, y in zip(first, second, strict=True))
    return top / math.sqrt(math.fsum((x - a) ** 2 for x in first) * math.fsum((y - b) ** 2 for y in second))


def spearman(first: Values, second: Values) -> float:
    """Pearson's of the ranks."""
    return pearson(ranks(first), ranks(second))


def kendall(first: Values, second: Values) -> float:
    """tau b: concordant less discordant pairs, ties taken out of either side."""
    score = untied_first = untied_second = 0
    for i in range(len(first)):
        for j in range(i):
            x = (first[i] > first[j]) - (first[i] < first[j])
            y = (second[i] > second[j]) - (second[i] < second[j])
            score += x * y
            untied_first += x != 0
            untied_second += y != 0
    return score / math.sqrt(untied_first * untied_second)


def fisher_interval(correlation: float, error: float) -> tuple[float, float]:
    """By the logarithms that atanh and tanh are."""
    z = 0.5 * math.log((1 + correlation) / (1 - correlation))
    ends = [z - 1.959963984540054 * error, z + 1.959963984540054 * error]
    low, high = ((math.exp(2 * end) - 1) / (math.exp(2 * end) + 1) for end in ends)
    return low, high


def within_correlation(first: Sequence[Values], second: Sequence[Values]) -> float:
    """Spearman's over all runs of what exceeds the median of the method; rows are seeds."""

    def less_median(rows: Sequence[Values]) -> list[float]:
        columns = [[row[method] for row in rows] for method in range(len(rows[0]))]
        medians = [quantile(column, 0.5) for column in columns]
        return [value - median for row in rows for value, median in zip(row, medians, strict=True)]

    return spearman(less_median(first), less_median(second))


def seed_permutation(firsts: Sequence[Sequence[Values]], seconds: Sequence[Sequence[Values]]) -> float:
    """Share of all orders of whole seeds, in every stratum, whose mean correlation is at least the observed one."""
    observed = mean([within_correlation(a, b) for a, b in zip(firsts, seconds, strict=True)])
    as_high = total = 0
    for orders in product(*(permutations(first) for first in firsts)):
        as_high += mean([within_correlation(a, b) for a, b in zip(orders, seconds, strict=True)]) >= observed - 1e-9
        total += 1
    return as_high / total
