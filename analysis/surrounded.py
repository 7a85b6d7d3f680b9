"""What lies around the architectures that a study's runs ended with: geometry.csv, summarised over the seeds."""

from __future__ import annotations

import numpy
import pandas

from nas_stability.analysis.made_later import alike, last_epochs, refuse_other_ends, rows_made_later
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import told
from nas_stability.harness.records.outputs import TERRAIN

NUMBERS = ("distance", "barrier", "alike", "mean", "worst")


def final_terrain(study: Study) -> pandas.DataFrame | None:
    """The rows of geometry.csv with the variant of each run; None where nobody asked for them.

    Raises:
        CorruptFile: a row is not of what its run ended with; rows of runs that are not there are left out.
    """
    rows = rows_made_later(study, TERRAIN)
    if rows is None or not study.verified:
        return rows
    recorded = last_epochs(study, rows)
    columns = zip("accuracy_" + rows["answer"], recorded.to_dict("records"), strict=True)
    accuracy = pandas.Series([row.get(column, numpy.nan) for column, row in columns], dtype=float)
    same = alike(rows["arch"], recorded["arch"]) & alike(rows["epoch"], recorded["epoch"])
    refuse_other_ends(study, TERRAIN, rows, same & alike(rows["accuracy"], accuracy), "--geometry")
    return rows


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
