"""The figure of measured against predicted rises: what it draws is what the runs measured, and no more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib
import numpy
import pandas

from nas_stability.analysis.figures.panels import style
from nas_stability.analysis.figures.smoothing import LINEAR, MARKERS, draw_smoothing, smoothing
from nas_stability.analysis.study import Study
from nas_stability.harness.records.record import SMOOTHING, SMOOTHING_COLUMNS

ROWS = [
    (epoch, name, radius, rise * (1 + epoch), rise, rise / 2, rise / 2, rise if name == "uniform" else None)
    for epoch in (0, 4)
    for radius in (0.03, 0.3)
    for name, rise in (("uniform", 0.1 * radius), ("projected", -0.2 * radius), ("attack", 3 * radius))
]


def study_of(folder: Path, runs: dict[str, tuple[str, str, int]]) -> Study:
    """A study of runs with the same rows: id -> space, method, seed."""
    for run in runs:
        (folder / run).mkdir(parents=True)
        pandas.DataFrame(ROWS, columns=list(SMOOTHING_COLUMNS)).to_csv(folder / run / SMOOTHING, index=False)
    names = ["space", "method", "seed"]
    frame = pandas.DataFrame([(run, *told) for run, told in runs.items()], columns=["run", *names])
    epochs = frame.assign(epoch=0)
    return Study(folder, epochs, epochs.iloc[:0], frame, {run: folder / run for run in runs}, ())


RUNS = {"a": ("nasbench201", "darts", 0), "b": ("nasbench201", "sdarts-rs", 0), "c": ("nasbench1shot1-s1", "darts", 1)}


def test_a_panel_per_space_and_radius_with_every_row_once(tmp_path: Path) -> None:
    study = study_of(tmp_path, RUNS)
    with matplotlib.rc_context(style(paper=False)):
        drawn = smoothing(study)
    assert drawn is not None
    titles = [axes.get_title() for axes in drawn.figure.axes]
    assert [title.rpartition("\nradius ")[2] for title in titles] == ["0.03", "0.3", "0.03", "0.3"]
    assert len({title.rpartition("\nradius ")[0] for title in titles}) == 2
    assert len(drawn.numbers) == len(RUNS) * len(ROWS)
    assert set(drawn.numbers["method"]) == {"darts", "sdarts-rs"}
    marks = [line for axes in drawn.figure.axes for line in axes.get_lines() if line.get_marker() in MARKERS.values()]
    points = sorted(point for line in marks for point in zip(line.get_xdata(), line.get_ydata(), strict=True))
    told = drawn.numbers[["predicted", "measured"]].itertuples(index=False, name=None)
    assert numpy.allclose(points, sorted(told), rtol=1e-12)
    assert "16 draws" in drawn.caption
    assert f"linear below {LINEAR:g} nats" in drawn.caption


def test_the_line_is_where_both_are_the_same(tmp_path: Path) -> None:
    rows = study_of(tmp_path, RUNS).smoothing()
    assert rows is not None
    axes = matplotlib.figure.Figure().subplots()
    draw_smoothing(axes, rows[rows["radius"] == 0.3], ["darts", "sdarts-rs"])
    line = axes.get_lines()[0]
    assert list(line.get_xdata()) == list(line.get_ydata())
    ends = rows.loc[rows["radius"] == 0.3, ["measured", "predicted"]].to_numpy()
    assert list(line.get_xdata()) == [ends.min(), ends.max()]
    assert axes.get_xscale() == axes.get_yscale() == "symlog"


def test_without_measurements_there_is_no_figure(tmp_path: Path) -> None:
    study = study_of(tmp_path, RUNS)
    for run in RUNS:
        (tmp_path / run / SMOOTHING).unlink()
    assert study.smoothing() is None
    assert smoothing(study) is None


def test_a_run_that_is_there_a_second_time_is_measured_once(tmp_path: Path) -> None:
    study = study_of(tmp_path, RUNS)
    again = dataclasses.replace(study, places=study.places | {"a-es": study.places["a"]}, ends={"a-es": 0})
    rows = again.smoothing()
    assert rows is not None
    assert set(rows["run"]) == set(RUNS)
    assert numpy.isfinite(rows[["measured", "predicted"]].to_numpy()).all()
