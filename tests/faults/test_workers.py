"""Workers that are killed, parents that are killed, signals, numbers of workers (D2, F, E and H12)."""

from __future__ import annotations

import functools
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest
import torch

from nas_stability.analysis import report
from nas_stability.benchmarks import stopping, workers
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import training
from nas_stability.command_line import main
from nas_stability.flags import REQUEUE
from nas_stability.harness.records.record import EPOCHS, ERROR, LOCK
from nas_stability.harness.runs import attempt, batch
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import Study, read
from tests import torture
from tests.faults import acts, processes
from tests.small import PLACE, small_spec

ROOT = Path(__file__).parents[2]
HERE = os.getpid()
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for processes in /proc")


DIED = [
    ("killed", "its worker was killed by signal 9 (out of memory, perhaps)"),
    ("aborts", "its worker was ended by signal 6"),
    ("leaves", "its worker ended by itself, with exit code 3"),
]


@pytest.mark.parametrize(("word", "message"), DIED, ids=[f"D2: a worker {word}" for word, _ in DIED])
def test_a_task_whose_worker_dies_is_tried_once_more_and_the_others_go_on(
    word: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = ["a", word, f"{word} {tmp_path / 'mark'}", "b", "c", "d"]
    with workers.Crew(acts.act, 2) as crew:
        answers = {answer.task: answer for answer in crew.carry_out(tasks)}
    assert [answers[index].value for index in range(6)] == ["done", None, "second attempt", "done", "done", "done"]
    assert isinstance(answers[1].error, workers.Lost)
    assert message in str(answers[1].error)
    assert list(answers)[-2:] == [1, 2]  # when the others were done
    assert caplog.text.count("it will be tried once more, alone") == 2
    assert not processes.workers(HERE)


RAISED = [
    ("raises", ValueError, "no luck"),
    ("interrupted", RuntimeError, "KeyboardInterrupt"),
    ("exits", RuntimeError, "SystemExit: 4"),
    ("recursion", RecursionError, "maximum recursion depth"),
    ("memory", MemoryError, ""),
    ("unreadable", RuntimeError, "Unreadable: 1 and 2"),
    ("unsendable", RuntimeError, "pickle"),
]


@pytest.mark.parametrize(("word", "kind", "message"), RAISED, ids=[f"D2: a task {word}" for word, *_ in RAISED])
def test_what_a_task_raises_comes_back_and_its_worker_goes_on(word: str, kind: type, message: str) -> None:
    with workers.Crew(acts.act, 1) as crew:
        first, second = crew.carry_out([word, "a"])
        assert len(crew.workers) == 1
    assert type(first.error) is kind
    assert message in str(first.error)
    assert second.value == "done"
    with pytest.raises(kind):
        first.result()


@pytest.mark.parametrize("size", [1, 2], ids=lambda size: f"D2: {size} workers killed while starting")
def test_a_worker_killed_while_it_starts_is_replaced(size: int, tmp_path: Path) -> None:
    with workers.Crew(acts.DiesOnArrival(tmp_path / "mark"), size) as crew:
        assert [answer.value for answer in crew.carry_out(["a", "b", "c"])] == ["done"] * 3
    assert (tmp_path / "mark").exists()


def test_workers_that_cannot_be_started_are_given_up_d2() -> None:
    with workers.Crew(acts.DiesOnArrival(None), 2) as crew:
        answers = list(crew.carry_out(["a", "b", "c"]))
    assert [answer.task for answer in answers] == [0, 1, 2]
    for answer in answers:
        with pytest.raises(workers.Lost, match="no worker is left: its worker was killed by signal 9"):
            answer.result()


def test_without_room_for_a_process_there_is_no_worker_d2() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with workers.Crew(acts.act, 2) as crew:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            answers = list(crew.carry_out(["a", "b"]))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert all(isinstance(answer.error, workers.Lost) for answer in answers)
        assert all("Too many open files" in str(answer.error) for answer in answers)
        assert [answer.value for answer in crew.carry_out(["a", "b"])] == ["done"] * 2


def test_a_worker_killed_between_two_tasks_costs_no_task_d2(caplog: pytest.LogCaptureFixture) -> None:
    with workers.Crew(acts.act, 1) as crew:
        assert [answer.value for answer in crew.carry_out(["a"])] == ["done"]
        (idle,) = crew.workers
        os.kill(idle.process.pid, signal.SIGKILL)
        assert [answer.value for answer in crew.carry_out(["b", "c"])] == ["done"] * 2
        assert idle not in crew.workers
    assert not caplog.text


def test_workers_that_are_told_to_stop_save_and_the_rest_is_not_begun_h12(tmp_path: Path) -> None:
    tasks = [str(tmp_path / name) for name in "abcd"]
    with workers.Crew(acts.wait_for_stop, 2) as crew:
        stopper = threading.Thread(target=lambda: (until(lambda: len(list(tmp_path.iterdir())) == 2), crew.stop()))
        stopper.start()
        answers = {answer.task: answer for answer in crew.carry_out(tasks)}
        stopper.join()
    assert [answers[index].value for index in (0, 1)] == ["saved"] * 2
    assert all(isinstance(answers[index].error, workers.Stopped) for index in (2, 3))


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits until something is true."""
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.02)


# ---- a killed parent


PARENT = """
import sys, time
from nas_stability.benchmarks.workers import Crew
from tests.faults import acts
function = getattr(acts, sys.argv[1])
with Crew(function, 2) as crew:
    for answer in crew.carry_out(sys.argv[2:4]):
        pass
    print("idle", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("function", "seconds"),
    [("quick", 2), ("wait_for_stop", 4), ("long_step", 10), ("slow_to_arrive", 10)],
    ids=["F: idle", "F: at work", "F: in a long step", "F: starting"],
)
def test_workers_do_not_outlive_a_killed_parent(function: str, seconds: float, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, function, str(tmp_path / "a"), str(tmp_path / "b")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert parent.stdout is not None
    try:
        if function == "quick":
            assert parent.stdout.readline() == b"idle\n"
        elif function == "slow_to_arrive":
            until(lambda: len(processes.workers(parent.pid)) == 2)
            time.sleep(1)
        else:
            until(lambda: len(list(tmp_path.iterdir())) == 2)
        left = processes.workers(parent.pid)
        assert left
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not any(processes.command(worker) for worker in left), seconds)


# ---- studies


def four(epochs: int = 3) -> Study:
    """A study of four runs of a second or so."""
    kinds = itertools.product(("darts", "sdarts-rs"), (0, 1))
    return Study("four", tuple(small_spec(method=method, seed=seed, epochs=epochs) for method, seed in kinds))


def carry_out(study: Study, folder: Path, workers: int) -> dict[str, attempt.Outcome]:
    outcomes = batch.carry_out(study, folder, PLACE, batch.Engine(workers), lambda done: None)
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
    study = Study("two", (small_spec(), small_spec(seed=1)))
    assert {outcome.state for outcome in carry_out(study, tmp_path, 1).values()} == {"finished"}
    assert tried == [0, 1, 0]


# ---- the report and tables


def test_a_figure_whose_worker_is_killed_is_drawn_by_the_parent_d2(caplog: pytest.LogCaptureFixture) -> None:
    names = ["a", "cursed", "b", "c"]
    drawn = dict(report.draw(names, functools.partial(acts.piece, HERE), 2))  # type: ignore[arg-type]
    assert drawn == {name: f"{name} drawn" for name in names}
    line = "cursed: its worker was killed by signal 9 (out of memory, perhaps): drawn in this process"
    assert line in caplog.text


def test_the_report_of_a_study_uses_no_more_workers_than_the_study_h12(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def write_report(folder: Path, **options: object) -> None:
        asked.append(options["workers"])
        raise BadInput("enough")

    monkeypatch.setattr(batch, "carry_out", lambda *arguments: [attempt.Outcome("run", "finished")])
    monkeypatch.setattr(report, "write_report", write_report)
    monkeypatch.setattr("nas_stability.analysis.page.whole_page.judge", lambda study: study)
    monkeypatch.setattr("nas_stability.reading.loaded", lambda folder, unverified: folder)
    assert main(["study", "quick", "--out", str(tmp_path), "--workers", "1"]) == 2
    assert main(["report", str(tmp_path), "--workers", "3"]) == 2
    assert main(["report", str(tmp_path)]) == 2
    assert asked == [1, 3, joblib.cpu_count()]


def test_a_part_of_a_table_whose_worker_is_killed_keeps_no_other_back_d2() -> None:
    chunks = [[(name, None)] * 2 for name in ("a", "cursed", "b", "c")]
    counts = training.train_parts(acts.part, chunks, 2)  # type: ignore[arg-type]
    assert [next(counts) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(workers.Lost, match=r"2 cells are not trained: .*signal 9 .*fewer --workers"):
        next(counts)


# ---- signals


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: f"H12: {number.name}")
def test_a_signal_to_stop_stops_and_a_second_one_acts_as_usual(number: signal.Signals) -> None:
    seen: list[str] = []
    before = signal.signal(number, lambda number, frame: seen.append("usual"))
    try:
        with stopping.signals(lambda: seen.append("stop")):
            os.kill(HERE, number)
            os.kill(HERE, number)
        os.kill(HERE, number)
    finally:
        signal.signal(number, before)
    assert seen == ["stop", "usual", "usual"]


def test_a_closed_terminal_stops_nothing_under_nohup_h12() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    seen: list[str] = []
    try:
        with stopping.signals(lambda: seen.append("stop")):
            os.kill(HERE, signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not seen


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: f"H12: {number.name}")
def test_a_run_that_is_sent_a_signal_saves_and_exits_with_75(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sender = threading.Thread(target=lambda: (until((out / "checkpoint.pt").exists), os.kill(HERE, number)))
    fields = ["--space", "nasbench201", "--method", "darts", "--data", "digits", "--images", "200", "--epochs", "500"]
    fields += ["--batch-size", "8", "--width", "2", "--depth", "1", "--hessian-batch-size", "8", "--threads", "1"]
    # Whoever runs the tests under nohup or in the background ignores SIGHUP or SIGINT.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        sender.start()
        code = main(["run", *fields, "--out", str(out)])
        sender.join()
    finally:
        signal.signal(number, before)
    assert code == REQUEUE
    assert not (out / "run.json").exists()
    assert not (out / ERROR).exists()


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


# ---- numbers of workers, threads and GPUs

REFUSED = [
    (verb, flag, value)
    for verb, flag in (
        (["study", "quick"], "--workers"),
        (["report", "."], "--workers"),
        (["table", "train"], "--workers"),
        (["study", "quick"], "--runs-per-gpu"),
    )
    for value in ("-3", "0", "1000000000", "9" * 5000, "1_0", "\u0663", "1.0", "", "two")
] + [
    (verb, "--threads", value)
    for verb in (["run"], ["study", "quick"], ["landscape", "."])
    for value in ("-1", "1000000000", "1_0", "\u0663")
]


@pytest.mark.parametrize(
    ("verb", "flag", "value"),
    REFUSED,
    ids=[f"H12: {' '.join(verb)} {flag} {value[:12]}" for verb, flag, value in REFUSED],
)
def test_a_number_out_of_range_is_refused_in_one_line(
    verb: list[str],
    flag: str,
    value: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main([*verb, flag, value])
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert len(printed) < 300
    assert f"argument {flag}: takes a whole number from " in printed
    assert not list(tmp_path.iterdir())
