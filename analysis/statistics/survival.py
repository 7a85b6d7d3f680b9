"""When runs collapse: survival curves of runs that may never do."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy
import numpy.typing
import scipy.optimize
import scipy.stats

from nas_stability.analysis.statistics.intervals import CONFIDENCE, FEWEST, Floats


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
