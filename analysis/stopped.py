"""A study as it would be had its searches been stopped by a rule: read off the records, without another search.

Each run with eigenvalues is there a second time, as a run of METHOD-es whose rows end with the epoch that the rule
returns, so that every table, figure and claim takes it as it takes any method.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pandas

from nas_stability.analysis.repeated import repeated
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told
from nas_stability.benchmarks.errors import BadInput, choose
from nas_stability.harness.methods.early_stopping import ENDING, Stop, stop_of


def stop_of_run(rows: pandas.DataFrame) -> Stop | None:
    """Where DARTS-ES stops a run; None without eigenvalues."""
    measured = rows.loc[rows["eigenvalue_max"].notna(), ["epoch", "eigenvalue_max"]]
    return stop_of(dict(zip(measured["epoch"].tolist(), measured["eigenvalue_max"].tolist(), strict=True)))


RULES: dict[str, tuple[str, Callable[[pandas.DataFrame], Stop | None]]] = {
    "darts-es": (ENDING, stop_of_run),
}
"""Rule -> the ending of a stopped method's name, and the rows of a run -> where it stops."""


def with_stops(study: Study, rule: str) -> Study:
    """The study with each run once more, stopped.

    Args:
        study: that is read.
        rule: key of RULES.

    Raises:
        BadInput: no such rule, or no run has eigenvalues.
    """
    ending, stop = choose("stopping rule", rule, RULES)
    rows = {str(run): found for run, found in study.epochs.groupby("run", sort=False, observed=True)}
    stops = {run: found for run, every in rows.items() if (found := stop(every)) is not None}
    if not stops:
        raise BadInput(f"--stop {rule} needs the eigenvalues of a search, and no run of {study.folder} measured any")
    return repeated(study, list(stops), ending, {run: found.returned + 1 for run, found in stops.items()})


def stops(study: Study) -> pandas.DataFrame | None:
    """Where the rule stops the searches of a method, and the supernet's validation error there and at their end."""
    rows = []
    for group in [group for space in study.spaces for group in study.groups(space)]:
        runs = [str(run) for run in study.rows(group)["run"].unique() if str(run) in study.ends]
        if not runs:
            continue
        found = pandas.DataFrame([ends_of(study, run) for run in runs])
        row: dict[str, object] = {**group._asdict(), "answer": "", "seeds": len(runs)}
        row["stopped"] = int((found["epoch"] < found["last"]).sum())
        for name in ("epoch", "error", "error_at_end", "saved"):
            value = estimate(found[name].to_numpy(dtype=numpy.float64))
            row |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
            row[f"{name}_missing"] = value.missing
        rows.append(row)
    return told(pandas.DataFrame(rows)) if rows else None


def ends_of(study: Study, run: str) -> dict[str, float]:
    """Of a stopped run the epoch that it returns, the last of the search, and the supernet's errors at both (%)."""
    whole = run.rpartition("-")[0]
    errors = 100 - study.epochs[study.epochs["run"] == whole].set_index("epoch")["valid_accuracy"]
    here, there = float(errors[study.ends[run]]), float(errors.iloc[-1])
    ends = {"epoch": float(study.ends[run]), "last": float(errors.index[-1])}
    return {**ends, "error": here, "error_at_end": there, "saved": there - here}
