"""A study as it would be had its searches been stopped by a rule: read off the records, without another search.

Each run with eigenvalues is there a second time, as a run of METHOD-es whose rows end with the epoch that the rule
returns, so that every table, figure and claim takes it as it takes any method.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas

from nas_stability.analysis.repeated import repeated
from nas_stability.analysis.study import Study
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
