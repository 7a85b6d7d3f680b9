"""What a study's runs found had their architectures been decided in another way: discretised.csv, over the seeds."""

from __future__ import annotations

import numpy
import pandas

from nas_stability.analysis.made_later import alike, last_epochs, refuse_other_ends, rows_made_later
from nas_stability.analysis.names import answer_of, answering
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told
from nas_stability.harness.records.outputs import DISCRETISED

ARGMAX = "argmax"
"""The policy that runs record."""

TITLES = {ARGMAX: "argmax", "edge": "edge first", "projection": "projection"}
"""Policies as people write them, in their order."""


def policy_rows(study: Study) -> pandas.DataFrame | None:
    """The rows of discretised.csv with the variant of each run; None where nobody asked for them.

    Raises:
        CorruptFile: a run's argmax is not what it ended with; rows of runs that are not there are left out.
    """
    rows = rows_made_later(study, DISCRETISED)
    if rows is None:
        return None
    recorded = last_epochs(study, rows)
    names = ("arch", "epoch", *(name for name in answering(rows.columns) if name in recorded))
    same = numpy.logical_and.reduce([alike(rows[name], recorded[name]) for name in names])
    other = pandas.Series((rows["policy"] != ARGMAX).to_numpy())
    refuse_other_ends(study, DISCRETISED, rows, other | same, "--discretise")
    return rows


def discretised(study: Study) -> pandas.DataFrame | None:
    """Accuracy by policy of discretisation, and what it gains over the recorded argmax: mean over the seeds."""
    found = policy_rows(study)
    if found is None or found.empty:
        return None
    rows = []
    for space in study.spaces:
        here = found[found["space"] == space]
        for answer in answers_of(study, here, space) or [""]:
            for group in study.groups(space):
                runs = here[(here["method"] == group.method) & (here["variant"] == group.variant)]
                for policy in [name for name in TITLES if name in set(runs["policy"])]:
                    rows.append({**group._asdict(), **row_of(runs, policy, answer)})
    return told(pandas.DataFrame(rows))


def answers_of(study: Study, rows: pandas.DataFrame, space: str) -> list[str]:
    """The study's table columns for a space, in its order, for which some of the rows have a value."""
    return [name for name in study.answers(space) if name in rows and rows[name].notna().any()]


def row_of(runs: pandas.DataFrame, policy: str, answer: str) -> dict[str, object]:
    """The runs of a space, method and variant by one policy: accuracy, and the paired gain over argmax in points."""
    chosen = runs[runs["policy"] == policy].set_index("run")
    recorded = runs[runs["policy"] == ARGMAX].set_index("run").loc[chosen.index]
    row: dict[str, object] = {"policy": policy, "answer": answer_of(answer), "seeds": len(chosen)}
    row["differ"] = int((chosen["arch"] != recorded["arch"]).sum())
    accuracy = chosen[answer].to_numpy(dtype=numpy.float64) if answer else numpy.full(len(chosen), numpy.nan)
    before = recorded[answer].to_numpy(dtype=numpy.float64) if answer else accuracy
    for name, values in (("decided", accuracy), ("gain", accuracy - before)):
        value = estimate(values)
        row |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
        row[f"{name}_missing"] = value.missing
    return row
