"""The spectrum and the scatter of eigenvalue and fall: the numbers that they show, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis.figures import spectrum
from nas_stability.analysis.figures.figures import Drawn
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.catalog import SPACES
from tests import oracles_figures as oracles
from tests.analysis.figures.enriched import PUBLISHED, S2, S3, changed_study
from tests.small import load


def test_the_spectrum_is_the_mean_by_place_and_marks_the_null_directions(study: Study, drawn: dict[str, Drawn]) -> None:
    numbers = drawn["spectrum"].numbers
    for space in ("nasbench201", S3):
        shapes = SPACES[space].shapes
        directions = sum(rows for rows, _ in shapes)
        found = numbers[(numbers["space"] == space) & (numbers["method"] == "darts") & (numbers["epoch"] == 1)]
        rows = study.spectrum[(study.spectrum["space"] == space) & (study.spectrum["method"] == "darts")]
        runs = [run.loc[run["epoch"] == 1, "eigenvalue"].tolist() for _, run in rows.groupby("run", observed=True)]
        null = [oracles.null_places(run, directions, 0.0) for run in runs]
        assert found["null_share"].sum() == pytest.approx(directions)
        for row in found.itertuples():
            assert row.mean == pytest.approx(sum(run[row.index] for run in runs) / 3)
            assert row.null_share == pytest.approx(sum(row.index in places for places in null) / 3)


def test_null_directions_lie_at_the_weight_decay_where_the_hessian_has_it(folder: Path, tmp_path: Path) -> None:
    changed_study(folder, tmp_path, lambda rows: rows)
    for place in tmp_path.iterdir():
        record = json.loads((place / "run.json").read_text())
        record["spec"] |= {"hessian_weight_decay": True, "arch_weight_decay": 0.7}
        (place / "run.json").write_text(json.dumps(record))
        rows = pandas.read_csv(place / "spectrum.csv")
        rows.assign(eigenvalue=rows["eigenvalue"] + 0.7).to_csv(place / "spectrum.csv", index=False)
    shifted = spectrum.spectrum_numbers(load(tmp_path), "nasbench201", "darts")
    plain = spectrum.spectrum_numbers(load(folder), "nasbench201", "darts")
    assert list(shifted["null_share"]) == list(plain["null_share"])


def test_the_published_spectra_have_one_null_direction_per_row_and_no_more() -> None:
    """Also in NAS-Bench-201: the row of an edge has four other operations, which the shift alone does not fix."""
    published = load(PUBLISHED)
    for run, rows in published.spectrum.groupby("run"):
        directions = sum(group.shape[1] for group in published.alphas(str(run)))
        assert set(rows["eigenvalue"].abs().lt(1e-7).groupby(rows["epoch"]).sum()) == {directions}
        assert directions == sum(count for count, _ in SPACES[rows["space"].iloc[0]].shapes)


def test_points_of_the_scatter_are_the_last_eigenvalue_and_the_fall(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["eigenvalue-fall"].numbers.set_index(["space", "method", "seed"])
    assert numbers.loc[("nasbench201", "darts", 1), "fall"] == 50
    assert numbers.loc[("nasbench201", "darts", 1), "eigenvalue_last"] == 4
    assert math.isnan(numbers.loc[(S2, "darts", 0), "fall"])
    assert set(numbers.loc[S2, "missing"]) == {1}
    titles = [panel.get_title() for panel in drawn["eigenvalue-fall"].figure.axes]
    assert any(title.startswith("1Shot1 S2, n = 5, 1 missing\n") for title in titles)
