"""Workers that are killed, and parents that are killed (D2 and F)."""

from __future__ import annotations

import functools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nas_stability.analysis import report
from nas_stability.benchmarks import workers
from nas_stability.benchmarks.tables import training
from tests.faults import acts, processes
from tests.faults.processes import until

ROOT = Path(__file__).parents[2]
HERE = os.getpid()

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for processes in /proc")


DIED = [
    ("killed", "its worker was killed by signal 9 (out of memory, perhaps)"),
    ("aborts", "its worker was ended by signal 6"),
    ("leaves", "its worker ended by itself, with exit code 3"),
]


@pytest.mark.slow
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
    assert set(list(answers)[-2:]) == {1, 2}  # when the others were done, in the order in which their workers died
    assert caplog.text.count("it will be tried once more, alone") == 2
    assert not processes.workers(HERE)


RAISED = [
    ("raises", ValueError, "no luck"),
    ("interrupted", RuntimeError, "KeyboardInterrupt"),
    ("exits", RuntimeError, "SystemExit: 4"),
    ("recursion", RecursionError, "maximum recursion depth"),
    ("memory", MemoryError, ""),
    ("unreadable", RuntimeError, "Unreadable: 1 and 2"),
    ("unsendable", RuntimeError, "what it returned cannot be pickled"),
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


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2], ids=lambda size: f"D2: {size} workers killed while starting")
def test_a_worker_killed_while_it_starts_is_replaced(size: int, tmp_path: Path) -> None:
    with workers.Crew(acts.DiesOnArrival(tmp_path / "mark"), size) as crew:
        assert [answer.value for answer in crew.carry_out(["a", "b", "c"])] == ["done"] * 3
    assert (tmp_path / "mark").exists()


@pytest.mark.slow
def test_workers_that_cannot_be_started_are_given_up_d2() -> None:
    with workers.Crew(acts.DiesOnArrival(None), 2) as crew:
        answers = list(crew.carry_out(["a", "b", "c"]))
    assert [answer.task for answer in answers] == [0, 1, 2]
    for answer in answers:
        with pytest.raises(workers.Lost, match="no worker is left: its worker was killed by signal 9"):
            answer.result()


@pytest.mark.slow
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
    [
        pytest.param("quick", 2, id="F: idle"),
        pytest.param("wait_for_stop", 4, id="F: at work"),
        pytest.param("long_step", 10, id="F: in a long step", marks=pytest.mark.slow),
        pytest.param("slow_to_arrive", 10, id="F: starting", marks=pytest.mark.slow),
    ],
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


def test_a_figure_whose_worker_is_killed_is_drawn_by_the_parent_d2(caplog: pytest.LogCaptureFixture) -> None:
    names = ["a", "cursed", "b", "c"]
    drawn = dict(report.draw(names, functools.partial(acts.piece, HERE), 2))  # type: ignore[arg-type]
    assert drawn == {name: f"{name} drawn" for name in names}
    line = "cursed: its worker was killed by signal 9 (out of memory, perhaps): drawn in this process"
    assert line in caplog.text


def test_a_part_of_a_table_whose_worker_is_killed_keeps_no_other_back_d2() -> None:
    chunks = [[(name, None)] * 2 for name in ("a", "cursed", "b", "c")]
    counts = training.train_parts(acts.part, chunks, 2)  # type: ignore[arg-type]
    assert [next(counts) for _ in range(3)] == [2, 2, 2]
    with pytest.raises(workers.Lost, match=r"2 cells are not trained: .*signal 9 .*fewer --workers"):
        next(counts)
