"""Statistics of few seeds: arrays in, arrays out. Every interval says what it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy
import numpy.typing
import scipy.stats

Floats = numpy.typing.NDArray[numpy.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000
FEWEST = 3
"""Fewest seeds for which an interval is given: of two, a bootstrap interval has no meaning."""


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
    present = values[~numpy.isnan(values)]
    missing = len(values) - len(present)
    if not len(present):
        return Estimate(numpy.nan, numpy.nan, numpy.nan, 0, missing)
    mean = float(present.mean())
    if len(present) < FEWEST:
        return Estimate(mean, numpy.nan, numpy.nan, len(present), missing)
    low, high = bootstrap_mean(present[:, None])
    return Estimate(mean, float(low[0]), float(high[0]), len(present), missing)


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
