"""A dask cluster whose workers, or scheduler, die; signals meanwhile (D2 and H12)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from nas_stability.command_line import main
from nas_stability.harness.records.record import LOCK
from nas_stability.harness.runs import attempt, batch
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.faults import processes
from tests.faults.processes import until
from tests.small import PLACE, small_spec

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

HERE = os.getpid()

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for processes in /proc")


def two(epochs: int) -> PlannedStudy:
    """A study of two runs."""
    return PlannedStudy("two", tuple(small_spec(seed=seed, epochs=epochs, images=40) for seed in (0, 1)))


def at_work(run: str) -> list[int]:
    """The dask worker, started below this process, that carries a run out."""
    below = [child for nanny in [HERE, *processes.children(HERE)] for child in processes.children(nanny)]
    return [worker for worker in below if processes.holds(worker, f"{run}/{LOCK}")]


def carry_out(study: PlannedStudy, folder: Path, scheduler: str) -> dict[str, attempt.Outcome]:
    outcomes = batch.run_study(study, folder, PLACE, batch.Engine(scheduler=scheduler), lambda done: None)
    return {outcome.run: outcome for outcome in outcomes}


@pytest.mark.slow
def test_d2_a_run_that_kills_its_workers_fails_and_the_other_goes_on(tmp_path: Path) -> None:
    study = two(epochs=12)
    victim, other = (spec.run_id for spec in study.runs)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        processes.killer(lambda: at_work(victim)) as killed,
    ):
        outcomes = carry_out(study, tmp_path, cluster.scheduler_address)
    assert len(killed) == 2
    assert outcomes[other].state == "finished"
    assert outcomes[victim].state == "failed"
    assert "every worker that had it died (out of memory, perhaps)" in outcomes[victim].error
    assert "fewer workers per machine" in outcomes[victim].error


@pytest.mark.slow
def test_d2_a_cluster_that_loses_all_its_workers_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = two(epochs=8)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:

        def replace() -> None:
            until(lambda: at_work(study.runs[0].run_id))
            cluster.scale(0)
            until(lambda: "has no worker left: waiting for another" in caplog.text)
            cluster.scale(1)

        replacing = threading.Thread(target=replace)
        replacing.start()
        outcomes = carry_out(study, tmp_path, cluster.scheduler_address)
        replacing.join()
    assert {outcome.state for outcome in outcomes.values()} == {"finished"}


@pytest.mark.slow
def test_d2_a_scheduler_that_dies_is_one_line_and_exit_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        '[base]\nspace = "nasbench201"\nmethod = "darts"\ndata = "digits"\nimages = 200\nepochs = 500\nbatch_size = 8\n'
        "width = 2\ndepth = 1\n[over]\nseed = [0, 1]\n"
    )
    out = tmp_path / "out"
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:

        def close() -> None:
            until(lambda: at_work(""))
            cluster.close()

        closing = threading.Thread(target=close)
        closing.start()
        scheduler = cluster.scheduler_address
        assert main(["study", str(file), "--out", str(out), "--backend", "dask", "--scheduler", scheduler]) == 1
        closing.join()
    printed = capfd.readouterr()
    assert printed.out == f"2 not carried out: {out}\n"
    lines = [line for line in printed.err.splitlines() if line.startswith("not carried out")]
    assert len(lines) == 1
    assert f"the dask scheduler {scheduler} does not answer any more" in lines[0]
    assert "Traceback" not in printed.err


@pytest.mark.slow
def test_h12_a_signal_saves_what_the_cluster_has(tmp_path: Path) -> None:
    study = two(epochs=500)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:

        def send() -> None:
            until(lambda: at_work(study.runs[0].run_id))
            os.kill(HERE, signal.SIGUSR1)

        sending = threading.Thread(target=send)
        sending.start()
        outcomes = carry_out(study, tmp_path, cluster.scheduler_address)
        sending.join()
    assert [outcome.state for outcome in outcomes.values()] == ["interrupted"] * 2
    assert (tmp_path / study.runs[0].run_id / "checkpoint.pt").exists()
    assert not (tmp_path / study.runs[1].run_id / "checkpoint.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "http://127.0.0.1:1", "tcp://", "tcp://[::1/x"])
def test_d2_a_scheduler_that_is_not_there_is_one_line(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas_stability.harness.runs.cluster.PATIENCE", 1)
    file = tmp_path / "one.toml"
    file.write_text('[base]\nspace = "nasbench201"\nmethod = "darts"\ndata = "digits"\nepochs = 1\n')
    out = tmp_path / "out"
    assert main(["study", str(file), "--out", str(out), "--backend", "dask", "--scheduler", address]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"nas-stability: the dask scheduler {address} does not answer: ")
