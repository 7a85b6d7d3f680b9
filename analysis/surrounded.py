"""What lies around the architectures that a study's runs ended with: geometry.csv, summarised over the seeds."""

from __future__ import annotations

import numpy
import pandas

from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told
from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.harness.records.outputs import TERRAIN

NUMBERS = ("distance", "barrier", "alike", "mean", "worst")


def final_terrain(study: Study) -> pandas.DataFrame | None:
    """The rows of geometry.csv with the variant of each run; None where nobody asked for them.

    Raises:
        CorruptFile: a row is not of what its run ended with; rows of runs that are not there are left out.
    """
    path = study.folder / TERRAIN
    if not path.exists():
        return None
    rows = pandas.read_csv(path, dtype={"arch": str})
    rows = rows[rows["run"].isin(study.places)]
    variant = dict(zip(study.runs["run"].astype(str), study.runs["variant"], strict=True))
    last = study.epochs.groupby("run", observed=True).tail(1).set_index("run")
    for row in rows.to_dict("records") if study.verified else ():
        said = last.loc[row["run"]]
        accuracy = said.get(f"accuracy_{row['answer']}", numpy.nan)
        same = row["accuracy"] == accuracy or (numpy.isnan(row["accuracy"]) and numpy.isnan(accuracy))
        if (row["epoch"], row["arch"]) != (said["epoch"], said["arch"]) or not same:
            raise CorruptFile(
                f"the file {path} is not of what {row['run']} ended with; nas-stability report {study.folder} "
                "--geometry writes it again"
            )
    return rows.assign(variant=[variant.get(run, "") for run in rows["run"]])


def surrounded(study: Study) -> pandas.DataFrame | None:
    """Where the last architectures of a method lie in the table: mean over the seeds of one variant."""
    found = final_terrain(study)
    if found is None or found.empty:
        return None
    rows = []
    for space in study.spaces:
        for answer in found.loc[found["space"] == space, "answer"].unique():
            for group in study.groups(space):
                here = found[(found["space"] == space) & (found["answer"] == answer)]
                runs = here[(here["method"] == group.method) & (here["variant"] == group.variant)]
                if len(runs):
                    rows.append({**group._asdict(), "answer": answer, "seeds": len(runs), **means(runs)})
    return told(pandas.DataFrame(rows))


def means(runs: pandas.DataFrame) -> dict[str, object]:
    """Mean and interval over runs of each number."""
    row: dict[str, object] = {}
    for name in NUMBERS:
        value = estimate(runs[name].to_numpy(dtype=numpy.float64))
        row |= {f"around_{name}": value.mean, f"around_{name}_low": value.low, f"around_{name}_high": value.high}
        row[f"around_{name}_missing"] = value.missing
    return row
