"""What is refused leaves nothing, and every error is one line and an exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.command_line import main
from nas_stability.harness.measuring.measure import slope
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    ERROR,
    SPEC,
)
from nas_stability.harness.records.sealed import read_head
from nas_stability.harness.records.status import read_status
from nas_stability.harness.runs import batch, checkpoint, machine
from nas_stability.harness.runs.run import Place, Watch, run
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.harness.runs.test_run import interrupted
from tests.slow import marked
from tests.small import PLACE, begin, reseal, small_spec
from tests.studies import first, run_words

Capture = pytest.CaptureFixture[str]


# C: stuck afterwards


@pytest.mark.parametrize(
    "values",
    [{"batch_size": 40}, *map(marked, ({"data": "npz:absent.npz"}, {"table": "absent"}, {"images": 10**6}))],
    ids=["C3: batches beyond the data", "C3: no file", "C3: no table", "C3: images beyond the data"],
)
def test_a_refused_run_leaves_nothing(values: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        run(small_spec(**values), tmp_path / "run", PLACE, Watch())  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
    assert run(small_spec(epochs=1), tmp_path / "run", PLACE, Watch())


def test_a_study_is_refused_before_anything_is_written_c3(tmp_path: Path) -> None:
    specs = (small_spec(), small_spec(seed=1, batch_size=40))
    with pytest.raises(BadInput, match="batch_size"):
        batch.run_study(PlannedStudy("s", specs), tmp_path / "s", PLACE, batch.Engine(), lambda done: None)
    assert not (tmp_path / "s").exists()


# D: tracebacks


@pytest.mark.slow
def test_a_checkpoint_with_the_right_checksum_and_foreign_content_d4(tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path)
    head = {
        name: value for name, value in read_head(tmp_path / CHECKPOINT).items() if name not in ("schema", "payload")
    }
    states: list[dict[str, object]] = [{}, {"net": 3}, {"net": {}, "alpha": [torch.zeros(2)], "epoch": 1}]
    for state in states:
        checkpoint.save(tmp_path / CHECKPOINT, head, state)
        with pytest.raises(CorruptFile, match=r"checkpoint\.pt does not hold a state of this run"):
            run(spec, tmp_path, PLACE, Watch())


ERRORS: dict[str, tuple[BaseException, int, str]] = {
    "D1: a full disk": (OSError(28, "No space left on device", "x.csv"), 1, "x.csv: No space left on device"),
    "D1: no permission": (PermissionError(13, "Permission denied", "run.json"), 1, "run.json: Permission denied"),
    "D6: memory": (MemoryError(), 1, "too little memory"),
    "D6: PyTorch's memory": (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nto allocate 9 bytes"),
        1,
        "too little memory",
    ),
    "D9: Ctrl-C": (KeyboardInterrupt(), 130, "broken off"),
    "D: anything else": (IndexError("list index\nout of range"), 1, "IndexError: list index out of range (--debug"),
    "D: input": (BadInput("the thing"), 2, "nas-stability: the thing"),
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("debug", [False, True])
def test_one_edge_for_every_error(
    case: str, debug: bool, study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, code, message = ERRORS[case]

    def broken(folder: Path) -> object:
        raise error

    monkeypatch.setattr("nas_stability.harness.records.status.read_status", broken)
    assert main(["status", str(study), *(["--debug"] if debug else [])]) == code
    said = capsys.readouterr().err
    assert message in said
    assert ("Traceback" in said) == debug
    assert debug or said.count("\n") == 1


@pytest.mark.parametrize("kind", ["D1: a pipe", "D1: a folder"])
def test_what_is_no_file_is_not_replaced_by_one(kind: str, study: Path, tmp_path: Path, capsys: Capture) -> None:
    place = tmp_path / "place"
    if kind == "D1: a pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    assert main(["claims", str(study), "--out", str(place)]) == 1
    assert "place: is there and is not a file" in capsys.readouterr().err
    assert not place.is_file()


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", "cpu:x", ""], ids=lambda device: f"D6: {device}")
def test_a_device_that_searches_do_not_run_on(device: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([*run_words(small_spec(), tmp_path / "run"), "--device", device]) == 2
    assert "device" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_numpys_advice_is_not_passed_on_e(study: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(b"\x80\x04K\x01.")
    assert main(["verify", str(path)]) == 2
    (first(study) / ALPHAS).write_bytes(b"\x80\x04K\x01.")
    assert main(["report", str(study), "--unverified", "--only", "operations"]) == 2
    assert "pickle" not in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["D1: buffered", "D1: unbuffered"])
@pytest.mark.parametrize(
    "words", [["status"], marked(["claims"]), marked(["check"]), ["--help"]], ids=lambda words: words[0]
)
def test_a_full_device_is_said(words: list[str], unbuffered: str, study: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nas_stability", *words, *([] if words == ["--help"] else [str(study)])],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.count("No space left on device") == 1
    assert "Traceback" not in done.stderr


def test_an_archive_without_checkpoints_is_checked_d10(study: Path, capsys: Capture) -> None:
    for path in study.glob(f"*/{CHECKPOINT}"):
        path.unlink()
    assert main(["check", str(study)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("all records of")
    assert said.count("has no checkpoint.pt") == 4
    path = first(study) / EPOCHS
    path.write_text(path.read_text().replace("skip_connect", "none"))
    reseal(path.parent)
    assert main(["check", str(study)]) == 1
    assert "the logits discretise to" in capsys.readouterr().out


# E, F, H


def test_logits_that_are_not_finite_are_called_so_e(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas_stability.harness import search as searching

    search, data = begin(small_spec())

    def broken(search: searching.Search, *rest: object) -> searching.Step:
        with torch.no_grad():
            search.alpha[0][0, 0] = float("nan")
        return searching.Step(torch.tensor(2.3), torch.tensor(1), 10, None, None)

    with pytest.raises(FloatingPointError, match="the logits after epoch 1 are not finite"):
        searching.advance(search, data, step=broken)


def test_status_of_odd_files_f(study: Path, capsys: Capture) -> None:
    run = first(study)
    (run / DONE).unlink()
    os.utime(run / EPOCHS, (time.time() + 10**6,) * 2)
    assert {status.run: status.state for status in read_status(study)}[run.name] == "stopped"
    (run / ERROR).write_text("\x1b[31m" + "x" * 3_000_000 + "\n")
    assert main(["status", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len(printed) < 2_000


def test_status_names_what_is_copied_or_foreign_b4(study: Path, capsys: Capture) -> None:
    assert main(["status", str(study)]) == 0
    assert capsys.readouterr().err == ""
    run = first(study)
    shutil.copytree(run, study / f"{run.name}-copy")
    other = study / "nasbench201-darts-digits-s9-00000000"
    shutil.copytree(run, other)
    spec = json.loads((other / SPEC).read_text())
    (other / SPEC).write_text(json.dumps({**spec, "seed": 9}))
    (other / DONE).unlink()
    assert main(["status", str(study)]) == 0
    said = capsys.readouterr().err
    assert f"{run.name}-copy" in said
    assert other.name in said


def test_the_commit_is_of_the_harness_or_of_nothing_h8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    module = tmp_path / ".venv" / "machine.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.setattr(machine, "__file__", str(module))
    assert machine.git_commit() is None


def test_the_gradients_norm_is_that_of_differences() -> None:
    """Against central differences of the loss in float64, for both kinds of statistics; nothing is moved."""
    for statistics in ("batch", "running"):
        search, data = begin(small_spec(hessian_dtype="float64", dtype="float64", hessian_batch_norm=statistics))
        before = {name: value.clone() for name, value in search.net.state_dict().items()}
        found = slope(search, data)
        from nas_stability.harness.measuring.curvature import probe_loss
        from nas_stability.harness.measuring.measure import probe

        batch_of = probe(search, data, torch.float64)
        squares = 0.0
        with probe_loss(search.net, batch_of, statistics, torch.float64) as loss, torch.no_grad():
            for group in range(len(search.alpha)):
                for index in range(search.alpha[group].numel()):
                    ends = []
                    for side in (1, -1):
                        moved = [logits.detach().clone() for logits in search.alpha]
                        moved[group].view(-1)[index] += side * 1e-5
                        ends.append(float(loss(softmax(tuple(moved)))))
                    squares += ((ends[0] - ends[1]) / 2e-5) ** 2
        assert found == pytest.approx(squares**0.5, rel=1e-6)
        assert all(torch.equal(before[name], value) for name, value in search.net.state_dict().items())


def test_a_signal_to_a_run_saves_it_in_a_process_of_its_own_d9(tmp_path: Path) -> None:
    """Ctrl-C while a report's modules are imported is one line; the exit code says what it was."""
    code = (
        "import os, signal, sys, threading, nas_stability.command_line\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "sys.exit(nas_stability.command_line.main(['report', sys.argv[1]]))\n"
    )
    run(small_spec(epochs=1), tmp_path / "run", Place(threads=1), Watch())
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode in (130, -signal.SIGINT), done.stderr
    assert "Traceback" not in done.stderr
