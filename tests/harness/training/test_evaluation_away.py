"""Networks that a dask cluster trains: the rows are those of this machine, and what goes wrong is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest

from nas_stability.command_line import main
from nas_stability.harness.records.evaluated import EVALUATED, NETWORKS
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.training.evaluation import evaluate, planned
from nas_stability.harness.training.protocol import Request
from tests.commands import refused
from tests.small import PLACE

distributed = pytest.importorskip("distributed")

REQUEST = Request(random=0, given={"epochs": "2", "width": "2", "images": "60", "batch_size": "10"})

TIMED = ["seconds"]
"""Columns that differ from machine to machine."""


@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_this_machine(finished: Path, tmp_path: Path) -> None:
    here, there = (Path(shutil.copytree(finished, tmp_path / name)) for name in ("here", "there"))
    evaluate(here, planned(here, REQUEST, PLACE), PLACE, 1, lambda done: None)
    told: list[int] = []
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        plan = planned(there, REQUEST, PLACE)
        outcomes = evaluate(there, plan, PLACE, 1, told.append, cluster.scheduler_address)
    assert {outcome.state for outcome in outcomes} == {"finished"}
    assert told == list(range(len(plan.assignments) + 1))
    one, other = (pandas.read_csv(folder / EVALUATED).drop(columns=TIMED) for folder in (here, there))
    pandas.testing.assert_frame_equal(one, other)
    assert check_study(there).problems == []
    names = [{path.name for path in folder.glob(f"{NETWORKS}/*/[!.]*")} for folder in (here, there)]
    assert names[0] == names[1]


@pytest.mark.slow
def test_a_network_that_fails_away_is_told(finished: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    given = {**REQUEST.given, "lr": "1e6", "weight_decay": "1e6", "epochs": "3"}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        plan = planned(study, REQUEST._replace(given=given), PLACE)
        outcomes = evaluate(study, plan, PLACE, 1, lambda done: None, cluster.scheduler_address)
    assert {outcome.state for outcome in outcomes} == {"failed"}
    assert all("FloatingPointError" in outcome.error for outcome in outcomes), outcomes
    assert not (study / EVALUATED).exists()


def test_half_a_cluster_is_refused(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(finished)]
    assert "go together" in refused([*words, "--backend", "dask"], capsys, tmp_path)
    assert "go together" in refused([*words, "--scheduler", "tcp://127.0.0.1:9"], capsys, tmp_path)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas_stability.harness.runs import cluster

    monkeypatch.setattr(cluster, "PATIENCE", 1)
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    fields = [f"--{name.replace('_', '-')}={value}" for name, value in REQUEST.given.items()]
    words = ["evaluate", str(study), "--random", "0", "--threads", "1", *fields]
    assert main([*words, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "the dask scheduler tcp://127.0.0.1:9 does not answer" in capsys.readouterr().err
