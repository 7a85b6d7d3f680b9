"""Following a study that another process carries out, and Ctrl-C as a terminal sends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nas_stability.harness.records.record import CHECKPOINT, DONE, EPOCHS
from tests.analysis.exporting.read_back import of_tensorboard
from tests.faults.processes import until
from tests.studies import contents

pytest.importorskip("tensorboard")

STUDY = """
[base]
space = "nasbench201"
data = "digits"
images = 48
epochs = 6
batch_size = 10
width = 2
depth = 1
hessian_batch_size = 8
rank_sample = 4
[over]
method = ["darts", "sdarts-rs"]
seed = [0]
"""


def started(*words: str) -> subprocess.Popen[str]:
    """A command in a process of its own, that hears Ctrl-C even where the tests themselves ignore it."""
    return subprocess.Popen(
        [sys.executable, "-m", "nas_stability", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_a_study_is_followed_while_it_runs(tmp_path: Path) -> None:
    file, folder, out = tmp_path / "small.toml", tmp_path / "study", tmp_path / "out"
    file.write_text(STUDY)
    study = started("study", str(file), "--out", str(folder), "--workers", "1", "--no-report")
    until(lambda: list(folder.glob(f"*/{EPOCHS}")), 120)
    following = started("export", str(folder), "--to", "tensorboard", "--out", str(out), "--follow")
    printed, said = following.communicate(timeout=300)
    assert study.wait(timeout=60) == 0
    assert following.returncode == 0, said
    assert f"exported: 2 runs, 14 new epochs: {out}" in printed
    for run in of_tensorboard(out, "study").values():
        assert {epoch for name, epoch in run.numbers if name == "valid_loss"} == set(range(7))
        assert all(len(values) == 1 for values in run.numbers.values())
        assert run.outcome == "good"


def test_ctrl_c_leaves_what_was_told(study: Path, tmp_path: Path) -> None:
    """A run that nobody carries out any more is waited for, as ``status --follow`` does."""
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    for name in (DONE, CHECKPOINT):
        (going / name).unlink()
    before = contents(study)
    following = started("export", str(study), "--to", "tensorboard", "--out", str(tmp_path / "out"), "--follow")
    assert following.stderr is not None
    assert following.stderr.readline() == "4 runs, 12 new epochs\n", "what was new is told meanwhile"
    following.send_signal(signal.SIGINT)
    printed, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    assert "exported: 4 runs, 12 new epochs" in printed
    assert contents(study) == before
    assert len(of_tensorboard(tmp_path / "out", "study")) == 4


def test_a_lost_mark_doubles_nothing(study: Path, tmp_path: Path) -> None:
    """A process that was killed between telling and noting it tells again what is there."""
    out = tmp_path / "out"
    words = ("export", str(study), "--to", "tensorboard", "--out", str(out))
    assert started(*words).wait(timeout=120) == 0
    (out / "exported-tensorboard.json").unlink()
    assert started(*words).wait(timeout=120) == 0
    for run in of_tensorboard(out, "study").values():
        assert all(len(values) == 1 for values in run.numbers.values())
