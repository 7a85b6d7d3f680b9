"""Studies whose workers are killed, runs that fail, signals to a study (D2 and H12)."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from nas_stability.command_line import main
from nas_stability.harness.records.record import EPOCHS, ERROR, LOCK
from nas_stability.harness.runs import attempt, batch
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy, read
from tests import torture
from tests.faults import processes
from tests.faults.processes import until
from tests.small import PLACE, small_spec

HERE = os.getpid()

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for processes in /proc")


def four(epochs: int = 3) -> PlannedStudy:
    """A study of four runs of a second or so."""
    kinds = itertools.product(("darts", "sdarts-rs"), (0, 1))
    return PlannedStudy("four", tuple(small_spec(method=method, seed=seed, epochs=epochs) for method, seed in kinds))


def carry_out(study: PlannedStudy, folder: Path, workers: int) -> dict[str, attempt.Outcome]:
    outcomes = batch.run_study(study, folder, PLACE, batch.Engine(workers), lambda done: None)
    return {outcome.run: outcome for outcome in outcomes}


def at_work(folder: Path, run: str) -> list[int]:
    """The worker of this process that carries a run out and has rows of it."""
    if not (folder / run / EPOCHS).exists():
        return []
    return [worker for worker in processes.workers(HERE) if processes.holds(worker, f"{run}/{LOCK}")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert {outcome.state for outcome in carry_out(four(), folder, 1).values()} == {"finished"}
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 1000], ids=["D2: worker killed", "D2: worker killed again"])
def test_a_killed_worker_ends_nothing_but_its_run(
    times: int, undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = four()
    victim = study.runs[0].run_id
    with processes.killer(lambda: at_work(tmp_path, victim), times) as killed:
        outcomes = carry_out(study, tmp_path, 2)
    assert len(killed) == min(times, 2)
    assert caplog.text.count(f"{victim}: its worker was killed by signal 9 (out of memory, perhaps); it will be") == 1
    states = [outcomes[spec.run_id].state for spec in study.runs]
    if times > 1:
        assert states == ["failed", "finished", "finished", "finished"]
        assert "killed by signal 9 (out of memory, perhaps), again when it was tried alone" in outcomes[victim].error
        assert "fewer --workers" in outcomes[victim].error
        assert (tmp_path / victim / ERROR).read_text() == outcomes[victim].error + "\n"
        assert carry_out(study, tmp_path, 1)[victim].state == "finished"
    else:
        assert states == ["finished"] * 4
    for spec in study.runs:
        assert torture.contents(tmp_path / spec.run_id) == torture.contents(undisturbed / spec.run_id)


@pytest.mark.slow
def test_with_no_worker_left_the_study_says_so_and_names_the_runs_d2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(
        '[base]\nspace = "nasbench201"\nmethod = "darts"\ndata = "digits"\nimages = 48\nepochs = 1\nbatch_size = 10\n'
        "width = 2\ndepth = 1\nhessian_batch_size = 8\n[over]\nseed = [0, 1, 2]\n"
    )
    out = tmp_path / "out"
    first = read(file).runs[0]
    run(first, out / first.run_id, PLACE, Watch())
    with processes.killer(lambda: processes.workers(HERE)):
        assert main(["study", str(file), "--out", str(out), "--workers", "2"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"1 skipped, 2 not carried out: {out}\n")
    (line,) = [line for line in printed.err.splitlines() if line.startswith("not carried out")]
    assert "no worker is left: its worker was killed by signal 9 (out of memory, perhaps)" in line
    assert "fewer --workers" in line
    assert [f"-s{seed}-" in line for seed in range(3)] == [False, True, True]
    assert "Traceback" not in printed.err
    assert (out / "report" / "report.html").exists()  # of what is finished, drawn without workers


FAILURES = [
    (MemoryError(), "MemoryError: "),
    (KeyboardInterrupt(), "KeyboardInterrupt: "),
    (SystemExit(3), "SystemExit: 3"),
    (RecursionError("too deep"), "RecursionError: too deep"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (RuntimeError("first line\nsecond line"), "RuntimeError: first line"),
    (torch.OutOfMemoryError("no room"), "OutOfMemoryError: no room"),
    (AssertionError(), "AssertionError: "),
]


@pytest.mark.parametrize(("error", "message"), FAILURES, ids=[f"D2: {type(error).__name__}" for error, _ in FAILURES])
def test_whatever_a_run_raises_becomes_its_outcome(
    error: BaseException, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(spec: RunSpec, folder: Path, place: object, watch: object) -> bool:
        folder.mkdir(exist_ok=True)
        (folder / "spec.json").touch()
        raise error

    monkeypatch.setattr(attempt, "run", run)
    outcome = attempt.attempt(small_spec(), tmp_path / "run", PLACE, lambda: False)
    assert outcome.state == "failed"
    assert message in outcome.error
    assert "\n" not in outcome.error
    assert (tmp_path / "run" / ERROR).read_text() == outcome.error + "\n"
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            attempt.attempt(small_spec(), tmp_path / "run", PLACE, lambda: False, here=True)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")],
    ids=["D2: Python's", "D2: a GPU's", "D2: PyTorch's"],
)
def test_a_run_short_of_memory_is_tried_once_more(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def run(spec: RunSpec, folder: Path, place: object, watch: object) -> bool:
        tried.append(spec.seed)
        if tried.count(0) == 1 and spec.seed == 0:
            raise error
        return True

    monkeypatch.setattr(attempt, "run", run)
    study = PlannedStudy("two", (small_spec(), small_spec(seed=1)))
    assert {outcome.state for outcome in carry_out(study, tmp_path, 1).values()} == {"finished"}
    assert tried == [0, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["parent", "worker"], ids=lambda whom: f"H12: SIGUSR1 to the {whom}")
def test_a_study_that_is_sent_a_signal_saves_all_its_runs(whom: str, tmp_path: Path) -> None:
    study = four(epochs=500)

    def send() -> None:
        until(lambda: len(list(tmp_path.glob("*/checkpoint.pt"))) == 2)
        os.kill(HERE if whom == "parent" else processes.workers(HERE)[0], signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    outcomes = carry_out(study, tmp_path, 2)
    sender.join()
    assert [outcome.state for outcome in outcomes.values()] == ["interrupted"] * 4
    assert not list(tmp_path.glob(f"*/{ERROR}"))
    assert not processes.workers(HERE)
