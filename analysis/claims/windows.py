"""Numbers of a run by themselves: its second and its last quarter, its cost, the landscape around its end.

A run's best epoch is chosen by its accuracy, so that best less last is positive for noise alone; two fixed windows have
no such bias. The quarters are of each run's own epochs: of a run that a stopping rule ended, what it did late is what
it did before its end, and its last architectures are those that it leaves. A run of one epoch has no second quarter.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pandas

from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.errors import BadInput

RADIUS = 1.0
"""Of the disc around the searched alpha in which the landscape is called flat or not; unit of the columns x and y."""

LANDSCAPE = "landscape.csv"
"""Optional file of a run's folder: x, y (0, 0 is the searched alpha), valid_accuracy in percent, and more."""

QUANTITIES = (
    *("early_accuracy", "late_accuracy", "early_norm", "late_norm", "late_eigenvalue", "seconds", "place", "drop"),
)
"""Columns of ``per_run``."""


def per_run(study: Study, space: str) -> pandas.DataFrame:
    """What the claims of one space are made of: a row per run, NaN where missing.

    Returns:
        run, method, variant, seed: whose.
        early_accuracy, late_accuracy: mean table accuracy (the first that the space answers for) over the epochs of the
            second and of the last quarter of the run, percent; NaN if the table lacks one of them or there is none.
        early_norm, late_norm: mean natural logarithm of the spectral norm over the epochs measured there.
        late_eigenvalue: mean largest eigenvalue over the epochs measured in the last quarter, nats.
        seconds: natural logarithm of the seconds that the search took in all.
        place: a number for the device and threads that the run had.
        drop: mean drop of the supernet's accuracy within RADIUS of the searched alpha, points.

    Raises:
        BadInput: a landscape is damaged.
    """
    epochs = study.epochs[study.epochs["space"] == space]
    run, names = pandas.factorize(epochs["run"])
    epoch = epochs["epoch"].to_numpy(numpy.float64)
    last = numpy.ones(len(names))
    numpy.maximum.at(last, run, epoch)
    quarter = numpy.ceil(4 * epoch / last[run])
    answer = next(iter(study.answers(space)), "")

    def column(name: str) -> Floats:
        if name not in epochs:
            return numpy.full(len(epochs), math.nan)
        return numpy.asarray(epochs[name].to_numpy(numpy.float64, na_value=math.nan))

    def means(values: Floats, chosen: numpy.typing.NDArray[numpy.bool_], whole: bool) -> Floats:
        present = chosen & ~numpy.isnan(values)
        counts = numpy.bincount(run[present], minlength=len(names))
        totals = numpy.bincount(run[present], values[present], minlength=len(names))
        enough = counts > 0
        if whole:
            enough &= counts == numpy.bincount(run[chosen], minlength=len(names))
        numpy.divide(totals, counts, out=(mean := numpy.full(len(names), math.nan)), where=enough)
        return mean

    accuracy, norm = column(answer), logarithms(column("spectral_norm"))
    of_run = {
        "early_accuracy": means(accuracy, quarter == 2, whole=True),
        "late_accuracy": means(accuracy, quarter == 4, whole=True),
        "early_norm": means(norm, quarter == 2, whole=False),
        "late_norm": means(norm, quarter == 4, whole=False),
        "late_eigenvalue": means(column("eigenvalue_max"), quarter == 4, whole=False),
        "seconds": logarithms(numpy.bincount(run, column("seconds"), minlength=len(names)).astype(numpy.float64)),
        "place": places(study.runs, names),
        "drop": numpy.array([landscape_drop(landscape_place(study, str(name))) for name in names]),
    }
    first = numpy.unique(run, return_index=True)[1]
    whose = {name: epochs[name].iloc[first].tolist() for name in ("method", "variant", "seed")}
    return pandas.DataFrame({"run": [str(name) for name in names], **whose, **of_run})


def logarithms(values: Floats) -> Floats:
    """Natural logarithms; NaN where there is none."""
    return numpy.log(values, out=numpy.full(len(values), math.nan), where=values > 0)


def places(runs: pandas.DataFrame, names: pandas.Index) -> Floats:
    """For each run a number for its device and threads: times of different ones are not compared."""
    columns = [name for name in ("device", "threads") if name in runs]
    if not columns:
        return numpy.zeros(len(names))
    texts = dict(zip(runs["run"].astype(str), runs[columns].itertuples(index=False, name=None), strict=True))
    return pandas.factorize(pandas.Series([str(texts.get(str(name))) for name in names]))[0].astype(numpy.float64)


def landscape_place(study: Study, run: str) -> Path | None:
    """Where the landscape at a run's last epoch is; None for a run that is read as stopped before."""
    return None if run in study.ends else study.places.get(run)


def landscape_drop(folder: Path | None) -> float:
    """Mean over the grid points within RADIUS of how much less accurate the supernet is there than at alpha, in points.

    NaN without a LANDSCAPE, without its centre, or if one of the points has no accuracy.

    Raises:
        BadInput: the file is damaged.
    """
    if folder is None or not (folder / LANDSCAPE).exists():
        return math.nan
    try:
        grid = pandas.read_csv(folder / LANDSCAPE, usecols=["x", "y", "valid_accuracy"]).astype(numpy.float64)
    except (OSError, ValueError) as error:
        raise BadInput(f"the file {folder / LANDSCAPE} cannot be read: {error}; compute it again") from error
    distance = numpy.hypot(grid["x"], grid["y"])
    centre = grid.loc[distance < 1e-9, "valid_accuracy"]
    around = grid.loc[(distance >= 1e-9) & (distance <= RADIUS + 1e-9), "valid_accuracy"]
    if not len(centre) or not len(around) or around.isna().any():
        return math.nan
    return float(centre.iloc[0] - around.mean())
