"""A search that ends before its schedules do is the beginning of the whole one, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.command_line import main
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.run import Interrupted, Watch, run
from nas_stability.harness.specs import study_file
from tests.commands import COMMAND, refused
from tests.small import PLACE, small_spec


def test_its_rows_are_the_first_of_the_whole_search(tmp_path: Path) -> None:
    whole = small_spec(epochs=4, measure_every=3)
    run(whole, tmp_path / "whole", PLACE, Watch())
    run(dataclasses.replace(whole, until=2), tmp_path / "part", PLACE, Watch())
    rows = [pandas.read_csv(tmp_path / name / "epochs.csv") for name in ("whole", "part")]
    assert [len(one) for one in rows] == [5, 3]
    same = [column for column in rows[0] if not column.startswith(("run", "seconds", "discrete", "rank"))]
    measured = ["eigenvalue_max", "spectral_norm", "hessian_trace", "gradient_norm"]
    plain = [column for column in same if column not in measured]
    pandas.testing.assert_frame_equal(rows[0].loc[:2, plain], rows[1][plain])
    assert rows[0].loc[2, measured].isna().all(), "of the whole search it is not due"
    assert rows[1].loc[2, measured].notna().all(), "and here it is the end"
    with numpy.load(tmp_path / "whole" / "alphas.npz") as one, numpy.load(tmp_path / "part" / "alphas.npz") as other:
        assert numpy.array_equal(one["group_0"][:3], other["group_0"])


def test_it_is_finished_and_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    spec = small_spec(epochs=4, until=2)
    assert run(spec, tmp_path / "part", PLACE, Watch())
    assert not run(spec, tmp_path / "part", PLACE, Watch()), "there is nothing left to do"
    assert check_study(tmp_path / "part").problems == []
    assert "stopped" not in json.loads((tmp_path / "part" / "run.json").read_text())
    assert main(["landscape", str(tmp_path / "part"), "--grid", "3", "--threads", "1"]) == 0
    assert main(["report", str(tmp_path / "part"), "--only", "results", "--out", str(tmp_path / "out")]) == 0
    assert check_study(tmp_path / "part").problems == []


def test_stopped_and_gone_on_with_it_ends_where_it_should(tmp_path: Path) -> None:
    spec = small_spec(epochs=4, until=2)
    told: list[tuple[int, int]] = []
    for _ in range(20):
        try:
            run(spec, tmp_path, PLACE, Watch(lambda done, total: told.append((done, total)), lambda: True))
            break
        except Interrupted:
            continue
    assert len(read_rows(tmp_path / "epochs.csv")) == 3
    assert {total for _, total in told} == {2}


def test_it_cannot_end_after_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*COMMAND, "--epochs", "4", "--until", "5"]
    assert "'until' must be at most epochs, not 5 with 4 epochs" in refused(words, capsys, tmp_path)


def test_the_first_epochs_are_of_the_published_search() -> None:
    runs = study_file.read(study_file.find("first-epochs")).runs
    published = {run.method: run for run in study_file.read(study_file.find("paper-nasbench201")).runs if run.seed == 0}
    assert len(runs) == 9
    for one in runs:
        assert one.last_epoch == 12
        assert one.epochs == 100
        if one.method in published:
            other = published[one.method]
            fields = ("lr", "lr_min", "batch_size", "arch_lr", "width", "depth", "images", "crop_padding", "flip")
            assert all(getattr(one, name) == getattr(other, name) for name in fields)
