"""The numbers of figures and tables again, one at a time, by the definition."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence


def mean_by_epoch(rows: Sequence[Mapping[str, object]], column: str) -> dict[tuple[str, int], tuple[float, int, int]]:
    """(method, epoch) -> mean over the runs that have a value, how many have one, how many have none."""
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        found.setdefault((str(row["method"]), int(str(row["epoch"]))), []).append(float(row[column]))  # type: ignore[arg-type]
    answer = {}
    for place, values in found.items():
        present = [value for value in values if not math.isnan(value)]
        mean = sum(present) / len(present) if present else math.nan
        answer[place] = (mean, len(present), len(values) - len(present))
    return answer


def standard_error_band(values: Sequence[float]) -> tuple[float, float]:
    """Mean less and plus the standard error of the mean."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - error, statistics.fmean(values) + error


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, counted pair by pair: one more than how many are smaller, and half of its equals."""
    return [
        1 + sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation of the mean ranks; NaN where one is constant."""
    ranks, others = mean_ranks(first), mean_ranks(second)
    if len(set(ranks)) == 1 or len(set(others)) == 1:
        return math.nan
    return statistics.correlation(ranks, others)


def spearman_of_seeds(
    first: Mapping[int, Sequence[float]], second: Mapping[int, Sequence[float]], chosen: Sequence[int]
) -> float:
    """Spearman's correlation where whole seeds are taken as often as ``chosen`` names them."""
    return spearman(
        list(itertools.chain.from_iterable(first[seed] for seed in chosen)),
        list(itertools.chain.from_iterable(second[seed] for seed in chosen)),
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's interval (1927): the shares whose normal test at 95 % the sample does not reject, by bisection."""
    z = statistics.NormalDist().inv_cdf(0.975)
    share = successes / trials

    def rejected(true: float) -> bool:
        return (share - true) ** 2 > z**2 * true * (1 - true) / trials

    def boundary(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
        return inside

    low = 0.0 if successes == 0 else boundary(share, 0.0)
    high = 1.0 if successes == trials else boundary(share, 1.0)
    return low, high


def share_of(logits: Sequence[Sequence[float]], operation: int) -> float:
    """Share of the rows whose largest logit, the first of equal ones, is that of the operation."""
    chosen = [max(range(len(row)), key=lambda index: (row[index], -index)) for row in logits]
    return chosen.count(operation) / len(chosen)


def null_places(eigenvalues: Sequence[float], directions: int, value: float) -> set[int]:
    """Indices of the ``directions`` eigenvalues nearest to ``value``."""
    order = sorted(range(len(eigenvalues)), key=lambda index: abs(eigenvalues[index] - value))
    return set(order[:directions])
