"""The script for SLURM: carried out by bash, with what SLURM would do played by the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas_stability.command_line import main
from tests.commands import refused

FILE = """\
[base]
space = "nasbench201"
method = "darts"
data = "digits"
images = 40
epochs = 2
width = 2
depth = 1
batch_size = 10
hessian = false
rank_sample = 0
[over]
seed = "0-1"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script of a study of two runs, and a command of that name on the path."""
    (tmp_path / "mine.toml").write_text(FILE)
    words = ["study", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "a b"), "--array", "3", "--workers", "1"]
    assert main(words) == 0
    (tmp_path / "job.sh").write_text(capsys.readouterr().out)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "nas-stability"
    command.write_text(f'#!/bin/bash\nexec {sys.executable} -m nas_stability "$@"\n')
    requeue = tmp_path / "bin" / "scontrol"
    requeue.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/requeued\n')
    for path in (command, requeue):
        path.chmod(0o755)
    return tmp_path / "job.sh"


def member(script: Path, number: int) -> subprocess.Popen[str]:
    """A member of the array at work."""
    path = f"{script.parent / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(number)}
    bash = shutil.which("bash")
    assert bash
    return subprocess.Popen(
        [bash, str(script)], env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_what_slurm_is_told(script: Path) -> None:
    text = script.read_text()
    assert "#SBATCH --array=0-2\n" in text
    assert "#SBATCH --job-name=mine\n" in text
    assert "#SBATCH --cpus-per-task=1\n" in text
    assert f"'{script.parent / 'a b'}'" in text, "a folder with a blank is quoted"
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


@pytest.mark.slow
def test_members_carry_out_each_run_once(script: Path) -> None:
    at_work = [member(script, number) for number in range(2)]
    codes = [one.wait(timeout=120) for one in at_work]
    assert set(codes) <= {0, 1}, "1 where the other one was still at a run"
    assert member(script, 2).wait(timeout=60) == 0, "nothing was left"
    assert len(list((script.parent / "a b").glob("*/run.json"))) == 2
    assert not (script.parent / "requeued").exists()


@pytest.mark.slow
def test_a_member_that_is_told_to_end_saves_and_is_put_in_the_queue(script: Path) -> None:
    (script.parent / "mine.toml").write_text(FILE.replace("epochs = 2", "epochs = 400"))
    one = member(script, 1)
    until = time.monotonic() + 60
    while not list((script.parent / "a b").glob("*/checkpoint.pt")) and time.monotonic() < until:
        time.sleep(0.2)
    one.send_signal(signal.SIGTERM)
    assert one.wait(timeout=60) == 75
    assert (script.parent / "requeued").read_text() == "requeue 7_1\n"


def test_what_it_goes_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "quick", "--array", "2"]
    assert "without --scheduler and --gpus" in refused([*words, "--gpus", "0"], capsys, tmp_path)
    assert "from 1 to" in refused(["study", "quick", "--array", "0"], capsys, tmp_path)
    assert main([*words, "--set", "seed=3-4"]) == 0
    printed = capsys.readouterr().out
    assert "study quick --set seed=3-4 --out" in printed
