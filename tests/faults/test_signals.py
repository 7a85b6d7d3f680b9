"""Signals: the first one stops, a second one acts as usual, a run saves (H12)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from nas_stability.benchmarks import stopping
from nas_stability.command_line import main
from nas_stability.flags import REQUEUE
from nas_stability.harness.records.record import ERROR
from tests.faults.processes import until
from tests.slow import slow_but

HERE = os.getpid()
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


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


@pytest.mark.parametrize("number", slow_but(SIGNALS, signal.SIGTERM), ids=lambda number: f"H12: {number.name}")
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
