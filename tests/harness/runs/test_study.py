"""Studies in folders: status, check, collect, sharing, stopping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pandas
import pyarrow.parquet
import pytest
import torch

from nas_stability.analysis.collect import collect
from nas_stability.analysis.study import load
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.flags import REQUEUE
from nas_stability.harness.records.record import CHECKPOINT, EPOCHS, ERROR, LOCK, SPECTRUM
from nas_stability.harness.records.status import read_status, summary_line
from nas_stability.harness.runs import attempt, batch, cluster
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.run import Held, Place, Watch
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy
from nas_stability.searching import gpu_devices
from tests import torture
from tests.slow import marked
from tests.small import PLACE, reseal, small_spec

ROOT = Path(__file__).parents[3]


def small_study(epochs: int = 2) -> PlannedStudy:
    return PlannedStudy("small", tuple(small_spec(method=m, epochs=epochs, images=24) for m in ("darts", "sdarts-rs")))


def carry_out(study: PlannedStudy, folder: Path, workers: int = 1) -> list[attempt.Outcome]:
    return batch.run_study(study, folder, PLACE, batch.Engine(workers), lambda done: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    assert [outcome.state for outcome in carry_out(small_study(), folder)] == ["finished", "finished"]
    return folder


def copy(finished: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "copy")], check=True)
    return tmp_path / "copy"


def test_status_of_a_finished_study(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = read_status(finished)
    assert [(run.state, run.epoch, run.epochs) for run in runs] == [("done", 2, 2)] * 2
    assert float(runs[0].accuracy) > 0
    assert summary_line(runs, 1) == "2 done; 4 of 4 epochs"
    assert main(["status", str(finished)]) == 0
    assert capsys.readouterr().out.count("\n") == 3
    assert main(["status", str(finished), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["done", "done"]


def test_status_tells_running_stopped_failed_and_waiting_apart(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path)
    first, second = (folder / run.run for run in read_status(folder))
    (first / "run.json").unlink()
    (first / EPOCHS).touch()
    (second / "run.json").unlink()
    (second / EPOCHS).unlink()
    assert [run.state for run in read_status(folder)] == ["running", "damaged"]
    (second / CHECKPOINT).unlink()
    assert [run.state for run in read_status(folder)] == ["running", "waiting"]
    os.utime(first / EPOCHS, (0, 0))
    (second / ERROR).write_text("ValueError: no luck\n\ntraceback\n")
    runs = read_status(folder)
    assert [run.state for run in runs] == ["stopped", "failed"]
    assert runs[1].error == "ValueError: no luck"
    assert summary_line(runs, 1).startswith("1 stopped, 1 failed; 2 of 4 epochs, about ")


def test_status_and_check_of_no_study(tmp_path: Path) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert main(["check", str(tmp_path)]) == 2
    assert main(["collect", str(tmp_path)]) == 2


def test_status_needs_no_torch() -> None:
    code = (
        "import sys, nas_stability.harness.records.status\n"
        "print(*sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_check_finds_nothing_wrong_in_a_finished_study(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_study(finished).problems == []
    assert main(["check", str(finished)]) == 0
    assert "are what they say" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (EPOCHS, ",2,|", ",2,|none~0|", "the logits discretise to"),
        marked((EPOCHS, "\n", "\n\n", "rows, not those of the epochs")),
        marked((SPECTRUM, "2,29,", "2,29,9", "eigenvalue_max is not the last one")),
        ("run.json", '"seed": 0', '"seed": 1', "its spec has another id"),
        marked(("spec.json", '"seed": 0', '"seed": 1', "spec.json was altered")),
        marked(("checkpoint.pt", "", "", "truncated")),
    ],
)
def test_check_notices_what_was_changed(
    file: str, old: str, new: str, message: str, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    path = folder / read_status(folder)[0].run / file
    if old:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    else:
        path.write_bytes(path.read_bytes()[:-9])
    assert any(file in problem for problem in check_study(folder).problems)
    reseal(path.parent)
    problems = check_study(folder).problems
    assert any(message in problem for problem in problems), problems
    assert main(["check", str(folder)]) == 1


def test_check_asks_the_table_again(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path)
    path = folder / read_status(folder)[0].run / EPOCHS
    rows = pandas.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[1, "accuracy_cifar100_valid"] = "12.5"
    rows.to_csv(path, index=False)
    reseal(path.parent)
    assert any("accuracy_cifar100_valid is 12.5, the table says" in problem for problem in check_study(folder).problems)


def test_collect_is_tidy_and_byte_stable(finished: Path, tmp_path: Path) -> None:
    first = collect(load(finished), tmp_path / "a")
    second = collect(load(finished), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    epochs = pandas.read_parquet(tmp_path / "a" / "epochs.parquet")
    assert len(epochs) == 6
    assert list(epochs["epoch"]) == [0, 1, 2] * 2
    pandas.testing.assert_frame_equal(epochs, pandas.read_csv(tmp_path / "a" / "epochs.csv"), check_dtype=False)
    assert len(pandas.read_parquet(tmp_path / "a" / "spectrum.parquet")) == 6 * 30
    assert pyarrow.parquet.read_schema(tmp_path / "a" / "epochs.parquet").metadata[b"nas-stability-schema"] == b"3"


def test_collect_refuses_a_newer_schema(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path)
    path = folder / read_status(folder)[0].run / "run.json"
    path.write_text(path.read_text().replace('"schema": 3', '"schema": 99'))
    reseal(path.parent)
    with pytest.raises(BadInput, match="schema 99, newer than 3"):
        collect(load(folder))


@pytest.mark.slow
def test_a_held_run_is_passed_over(tmp_path: Path) -> None:
    study = small_study(1)
    place = tmp_path / study.runs[0].run_id
    place.mkdir(parents=True)
    with filelock.FileLock(place / LOCK):
        # A lock of this very process does not keep it out; another process is kept out.
        done = subprocess.run(
            [sys.executable, "-c", HELD, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
        )
    assert done.stdout.split() == ["held", "finished"]
    assert [outcome.state for outcome in carry_out(study, tmp_path)] == ["finished", "skipped"]


HELD = """
import sys
from pathlib import Path
from tests.harness.runs.test_study import carry_out, small_study
print(*(outcome.state for outcome in carry_out(small_study(1), Path(sys.argv[1]))))
"""


@pytest.mark.slow
def test_a_run_that_another_process_finished_meanwhile_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried_out = attempt.run

    def while_another_is_at_it(spec: RunSpec, folder: Path, place: Place, watch: Watch) -> bool:
        carried_out(spec, folder, place, watch)
        raise Held("another process is carrying out the run")

    monkeypatch.setattr(attempt, "run", while_another_is_at_it)
    assert {outcome.state for outcome in carry_out(small_study(1), tmp_path)} == {"skipped"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_saves_exits_with_75_and_the_study_goes_on(workers: int, finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_text(
        '[base]\nspace = "nasbench201"\ndata = "digits"\nimages = 400\nepochs = 40\nbatch_size = 8\nwidth = 2\n'
        'depth = 1\nhessian = false\nrank_sample = 0\n[over]\nmethod = ["darts", "sdarts-rs", "sdarts-adv"]\n'
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "nas_stability", "study", str(file), "--out", str(out), "--workers", str(workers)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    patience = time.monotonic() + 60
    while time.monotonic() < patience and not list(out.glob(f"*/{EPOCHS}")):
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == REQUEUE, error
    assert list(out.glob("*/checkpoint.pt"))
    assert not list(out.glob("*/run.json"))
    assert not list(out.glob("*/error.txt"))
    assert not list(out.glob(".stop-*"))


@pytest.mark.slow
def test_a_full_disk_is_said_and_earlier_data_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: both fail a write with an OSError."""
    spec = small_spec(epochs=3, images=24)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom nas_stability.harness.runs.run import Watch, run\n"
        "from tests.small import PLACE, small_spec\n"
        "def progress(epoch, epochs):\n"
        "    if epoch == 1: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: run(small_spec(epochs=3, images=24), Path(sys.argv[1]), PLACE, Watch(progress))\n"
        "except OSError as error: print('OSError', error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "OSError File too large\n"
    outcomes = carry_out(PlannedStudy("again", (spec,)), tmp_path / "other")
    assert outcomes[0].state == "finished"
    from nas_stability.harness.runs.run import run

    assert run(spec, tmp_path / "run", PLACE, Watch())
    for name in (SPECTRUM, "alphas.npz"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "other" / spec.run_id / name).read_bytes()


def test_an_unknown_device_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        batch.run_study(small_study(), tmp_path / "out", Place(device="gpu"), batch.Engine(), lambda done: None)
    assert not (tmp_path / "out").exists()


def test_devices_are_taken_in_turn_and_a_run_out_of_memory_is_tried_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = PlannedStudy("three", tuple(small_spec(seed=seed) for seed in range(3)))
    tried: list[tuple[int, str]] = []

    def pretend(spec: RunSpec, folder: Path, place: Place, watch: Watch) -> bool:
        tried.append((spec.seed, place.device))
        if tried.count((1, place.device)) == 1 and spec.seed == 1:
            raise torch.OutOfMemoryError("no room")
        return True

    monkeypatch.setattr(attempt, "run", pretend)
    monkeypatch.setattr(batch, "refuse_kinds", lambda specs, places: None)
    engine = batch.Engine(1, ("cuda:0", "cuda:1"))
    outcomes = batch.run_study(study, tmp_path, PLACE, engine, lambda done: None)
    assert tried == [(0, "cuda:0"), (1, "cuda:1"), (2, "cuda:0"), (1, "cuda:1")]
    assert [outcome.state for outcome in outcomes] == ["finished"] * 3


def test_gpus_on_the_command_line() -> None:
    assert gpu_devices("0,1", 2) == ("cuda:0", "cuda:1", "cuda:0", "cuda:1")
    assert gpu_devices(None, 1) == ()
    assert gpu_devices("0, 01", 1) == ("cuda:0", "cuda:1")
    for wrong in ("a", ",", "", "0,", "-1", "1.0", "\u0663", "9" * 30):
        with pytest.raises(BadInput, match="--gpus takes numbers"):
            gpu_devices(wrong, 1)
    for wrong in ("0,0", "1,01"):
        with pytest.raises(BadInput, match="names a GPU twice"):
            gpu_devices(wrong, 1)


@pytest.mark.slow
def test_a_dask_cluster_whose_worker_dies_gives_the_same_files(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    study = PlannedStudy("six", tuple(small_spec(seed=seed, epochs=4, images=40) for seed in range(4)))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killer = threading.Timer(6.0, lambda: os.kill(cluster.workers[0].pid, signal.SIGKILL))
        killer.start()
        engine = batch.Engine(scheduler=cluster.scheduler_address)
        outcomes = batch.run_study(study, tmp_path / "cluster", PLACE, engine, lambda done: None)
        killer.join()
    assert [outcome.state for outcome in outcomes] == ["finished"] * 4
    carry_out(study, tmp_path / "here")
    assert check_study(tmp_path / "cluster").problems == []
    for spec in study.runs:
        there, here = (torture.contents(tmp_path / name / spec.run_id) for name in ("cluster", "here"))
        assert there == here


@pytest.mark.slow
def test_a_dask_cluster_whose_workers_come_late_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster:
        late = threading.Timer(11.0, lambda: cluster.scale(1))  # joblib would have given up by then
        late.start()
        engine = batch.Engine(scheduler=cluster.scheduler_address)
        study = PlannedStudy("one", (small_spec(epochs=1, images=40),))
        outcomes = batch.run_study(study, tmp_path, PLACE, engine, lambda done: None)
        late.join()
    assert "has no worker yet: waiting for one" in caplog.text
    assert [outcome.state for outcome in outcomes] == ["finished"]


def test_a_finished_study_waits_for_no_cluster(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    study = PlannedStudy("one", (small_spec(epochs=1, images=40),))
    carry_out(study, tmp_path)
    outcomes = batch.run_study(study, tmp_path, PLACE, batch.Engine(scheduler="tcp://127.0.0.1:1"), lambda done: None)
    assert [outcome.state for outcome in outcomes] == ["skipped"]


@pytest.mark.slow
def test_dry_run_estimates_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        '[base]\nspace = "nasbench201"\nmethod = "darts"\ndata = "digits"\nimages = 40\nepochs = 3\nbatch_size = 10\n'
        "width = 2\ndepth = 1\n[over]\nseed = [0, 1]\n"
    )
    assert main(["study", str(file), "--dry-run", "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert " 3 epochs  about " in lines[0]
    assert lines[2].startswith("2 runs, about ")


def test_dask_needs_an_address() -> None:
    assert main(["study", "quick", "--backend", "dask"]) == 2


def test_what_came_back_replaces_what_an_earlier_failure_left(tmp_path: Path) -> None:
    (tmp_path / ERROR).write_text("ValueError: an earlier attempt\n")
    outcome = attempt.Outcome("run", "finished")
    assert cluster.deliver(outcome, {"run.json": b"{}", EPOCHS: b"run\n"}, tmp_path, "run.json") == outcome
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"run.json", EPOCHS}


def test_every_table_budget_of_a_study_is_checked_before_it_starts(tmp_path: Path) -> None:
    study = PlannedStudy("two", (small_spec(table="nasbench201"), small_spec(table="nasbench201", table_epochs=12)))
    with pytest.raises(ValueError, match="has no budget of 12 epochs"):
        carry_out(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()
