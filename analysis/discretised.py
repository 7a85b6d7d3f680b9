"""What a study's runs found had their architectures been decided in another way: discretised.csv, over the seeds."""

from __future__ import annotations

import numpy
import pandas

from nas_stability.analysis.names import answer_of, answering
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told
from nas_stability.benchmarks.errors import CorruptFile
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
    path = study.folder / DISCRETISED
    if not path.exists():
        return None
    rows = pandas.read_csv(path, dtype={"arch": str})
    rows = rows[rows["run"].isin(study.places)]
    last = study.epochs.groupby("run", observed=True).tail(1).set_index("run")
    answers = [name for name in answering(rows.columns) if name in last]
    recorded = last.loc[rows["run"]]
    same = (rows["arch"].to_numpy() == recorded["arch"].to_numpy()) & (
        rows["epoch"].to_numpy() == recorded["epoch"].to_numpy()
    )
    for name in answers:
        left, right = (part[name].to_numpy(dtype=numpy.float64) for part in (rows, recorded))
        same &= (left == right) | (numpy.isnan(left) & numpy.isnan(right))
    wrong = rows[(rows["policy"] == ARGMAX) & ~same]
    if study.verified and len(wrong):
        raise CorruptFile(
            f"the file {path} is not of what {wrong['run'].iloc[0]} ended with; nas-stability report {study.folder} "
            "--discretise writes it again"
        )
    variant = dict(zip(study.runs["run"].astype(str), study.runs["variant"], strict=True))
    return rows.assign(variant=[variant.get(run, "") for run in rows["run"]])


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
