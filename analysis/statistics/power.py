"""How many seeds a test needs, and what so many seeds can show."""

from __future__ import annotations

import math

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats
from scipy import special

from nas_stability.analysis.statistics.intervals import CONFIDENCE, FEWEST, Floats

POWER = 0.8


MOST_SEEDS = 10_000
"""Where more seeds than this would be needed, the answer is that no sensible number is enough."""


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
