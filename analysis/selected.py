"""The best of several settings by validation, seed by seed: read off the records, without another search.

R-DARTS (Zela et al., Understanding and robustifying differentiable architecture search, ICLR 2020) is DARTS with
several weight decays, or drop path probabilities, of which the search with the best validation accuracy is kept.
"""

from __future__ import annotations

import math

import pandas

from nas_stability.analysis.repeated import repeated
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import variation
from nas_stability.benchmarks.errors import BadInput

ENDING = "best"
"""Of the name of a method of which the best setting was taken."""


def with_best(study: Study, field: str) -> Study:
    """The study with, of each space, method and seed that was searched with several values of a field, the best again.

    The best by the table's validation accuracy of the last architecture, of the first data set for which it has one;
    where a run has none, by the supernet's. That accuracy is then too good by the choice: look at the test split. Ties
    go to the first in the order of the runs. METHOD-best has no variant.

    Args:
        study: that is read.
        field: of the spec.

    Raises:
        BadInput: no method varies the field, or one that does varies others too.
    """
    varied = variation(study.runs).varied
    places = [place for place, fields in varied.items() if field in fields]
    if not places:
        known = ", ".join(sorted({name for fields in varied.values() for name in fields})) or "none"
        raise BadInput(
            f"--best-of {field}: no method of {study.folder} was searched with several (fields that vary: {known})"
        )
    for space, method in places:
        if others := [name for name in varied[space, method] if name != field]:
            raise BadInput(
                f"--best-of {field}: the runs of {method} in {space} also differ in {', '.join(others)}; take a study "
                f"in which nothing but {field} varies"
            )
    chosen: list[str] = []
    for space, method in places:
        here = study.runs[(study.runs["space"] == space) & (study.runs["method"] == method)]
        for _, of_seed in here.groupby("seed", sort=True):
            accuracy = pandas.Series({run: last_accuracy(study, space, run) for run in of_seed["run"].astype(str)})
            if accuracy.notna().any():
                chosen.append(str(accuracy.idxmax()))
    return repeated(study, chosen, ENDING, variant="")


def last_accuracy(study: Study, space: str, run: str) -> float:
    """Validation accuracy in percent after the last epoch of a run: the table's, or where there is none its own."""
    rows = study.epochs[study.epochs["run"].astype(str) == run].sort_values("epoch")
    for name in (*(answer for answer in study.answers(space) if answer.endswith("_valid")), "valid_accuracy"):
        if not math.isnan(found := float(rows[name].iloc[-1])):
            return found
    return math.nan
