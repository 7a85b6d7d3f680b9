"""The command line as a person meets it: exit codes, one-line errors, what is printed and what is written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from nas_stability.asking import TRAIN_DEFAULTS
from nas_stability.benchmarks.tables import train_spec
from nas_stability.command_line import main
from nas_stability.harness.runs import batch
from tests.commands import refused
from tests.faults import processes
from tests.slow import slow_but

TRACES = Path(__file__).parents[1] / "traces"
SMALL = [
    *("--space", "nasbench201", "--data", "digits", "--images", "48", "--epochs", "1", "--batch-size", "10"),
    *("--width", "2", "--depth", "1", "--hessian-batch-size", "8", "--rank-sample", "4", "--threads", "1"),
]
STUDY = """
[base]
space = "nasbench201"
data = "digits"
images = 48
epochs = 2
batch_size = 10
width = 2
depth = 1
hessian_batch_size = 8
rank_sample = 4
[over]
method = ["darts", "sdarts-rs", "sdarts-adv"]
seed = "0-2"
"""


def test_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["run", *SMALL, "--method", "darts", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"finished: {out}\ntable nasbench201: lacked 0 of 2 architectures asked for\n"
    assert "1 of 1 epochs" in printed.err
    assert json.loads((out / "run.json").read_text())["spec"]["batch_size"] == 10
    assert main(["run", *SMALL, "--method", "darts", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"was finished already: {out}\n")


def test_a_run_without_a_table_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["run", *SMALL, "--method", "darts", "--table", "none", "--out", str(out)]) == 0
    assert "no table: the accuracy and regret columns stay empty" in capsys.readouterr().err
    assert ",accuracy_cifar10_valid," in (out / "epochs.csv").read_text()


def test_a_run_that_fails_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extreme = ["--lr", "1e6", "--weight-decay", "1e6", "--hessian", "false", "--epochs", "2"]
    assert main(["run", *SMALL, *extreme, "--method", "darts", "--out", str(tmp_path / "run")]) == 1
    assert "not a finite number" in capsys.readouterr().err
    assert (tmp_path / "run" / "error.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--space", "nasbench20", "--method", "darts", "--data", "digits"], "did you mean 'nasbench201'"),
        (["run", "--space", "nasbench201", "--method", "dats", "--data", "digits"], "did you mean 'darts'"),
        (["run", "--spaec", "nasbench201"], "did you mean '--space'"),
        (["run", "--method", "darts"], "the field 'space' is missing"),
        (["study", "quik"], "did you mean 'quick'"),
        (["report", "absent"], "absent"),
        (["verify", "absent.npz"], "absent.npz does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_two(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(arguments, capsys, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_study_from_start_to_report_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "small.toml"
    file.write_text(STUDY)
    out = tmp_path / "out"
    assert main(["study", str(file), "--out", str(out), "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"9 finished: {out}\n")
    for method in ("darts", "sdarts-rs", "sdarts-adv"):
        assert method in printed
    assert not processes.workers(os.getpid())
    report = out / "report"
    assert str(report) in printed
    for kind in ("png", "pdf", "csv"):
        assert len(list(report.glob(f"*.{kind}"))) >= 2, kind
    with monkeypatch.context() as patched:
        patched.setattr(batch, "Crew", None)  # where there is nothing left to do, no process is started
        assert main(["study", str(file), "--out", str(out), "--no-report"]) == 0
    assert capsys.readouterr().out.startswith(f"9 skipped: {out}\n")
    file.write_text(STUDY.replace("epochs = 2", "epochs = 3"))
    assert main(["study", str(file), "--out", str(out)]) == 2
    assert "holds a study of other runs" in capsys.readouterr().err


@pytest.mark.slow
def test_one_failure_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.toml"
    failing = '[[also]]\nmethod = ["darts", "sdarts-rs", "sdarts-adv"]\nlr = 1e6\nweight_decay = 1e6\nhessian = false\n'
    file.write_text(STUDY.replace('seed = "0-2"', "seed = [0]") + failing)
    out = tmp_path / "out"
    assert main(["study", str(file), "--out", str(out), "--workers", "1", "--no-report"]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"3 finished, 3 failed: {out}\n"
    assert printed.err.count("failed: nasbench201") == 3
    assert printed.err.count("    FloatingPointError: the training loss") == 3
    assert printed.err.count("/error.txt)") == 3
    assert f"nas-stability study {file} --out {out}" in printed.err
    assert len(list(out.glob("*/run.json"))) == 3


def test_verify_prints_the_deviations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(TRACES / "nasbench201_sdarts-adv.npz")]) == 0
    header, line = capsys.readouterr().out.splitlines()
    kinds = ["loss", "alpha", "weights", "buffers", "hessian", "eigenvalues", "eval_logits"]
    assert header.split() == ["trace", *kinds, "gradient_norm", "attack", "genotype"]
    assert all(float(value) < 1e-8 for value in line.split()[1:8])
    assert line.split()[8:] == ["-", "-", "-"], "of which this trace has no record"


@pytest.mark.parametrize(
    "key",
    slow_but(["loss", "alpha/2/0", "final/classifier.weight", "hessian", "eigenvalues", "eval_logits"], "loss"),
)
def test_verify_notices_a_changed_number(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with numpy.load(TRACES / "nasbench201_darts.npz") as archive:
        arrays = dict(archive)
    arrays[key] = arrays[key] + 1e-6
    numpy.savez(tmp_path / "changed.npz", **arrays)
    assert main(["verify", str(tmp_path / "changed.npz")]) == 1
    assert "over 1e-08" in capsys.readouterr().out


@pytest.mark.parametrize("harm", ["cut", "missing", "text"])
def test_verify_names_a_damaged_trace(harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.npz"
    content = (TRACES / "nasbench201_darts.npz").read_bytes()
    if harm == "cut":
        path.write_bytes(content[:-1000])
    elif harm == "text":
        path.write_text("no archive")
    else:
        with numpy.load(TRACES / "nasbench201_darts.npz") as archive:
            numpy.savez(path, **{name: archive[name] for name in archive.files if name != "alpha/1/0"})
    assert main(["verify", str(path)]) == 2
    assert "trace.npz" in capsys.readouterr().err


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys, nas_stability.command_line\n"
        "try: nas_stability.command_line.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert time.perf_counter() - began < 5


def test_a_table_is_asked_listed_checked_and_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = ["--tables", str(tmp_path)]
    asked = ["--dataset", "cifar10", "--split", "valid", "--epochs", "200"]
    arch = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    assert main(["table", "query", "nasbench201", "--arch", arch, *asked, *tables]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["arch"] == arch
    assert found["accuracy"] == pytest.approx(90.7693, abs=1e-4)
    assert found["seeds"] == [0, 1, 2]
    assert main(["table", "query", "nasbench201", "--arch", arch, *asked, "--seed", "1", *tables]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(90.716, abs=1e-4)
    unanswerable = ["--dataset", "cifar10", "--split", "test", "--epochs", "200"]
    assert main(["table", "query", "nasbench201", "--arch", arch, *unanswerable, *tables]) == 1
    assert "has no split 'test'" in capsys.readouterr().err

    file = tmp_path / "mine.csv"
    file.write_text(f"arch,dataset,split,epochs,seed,accuracy\n{arch},svhn,test,5,0,81.5\n")
    assert main(["table", "import", str(file), "--space", "nasbench201", *tables]) == 0
    assert main(["table", "list", *tables]) == 0
    listed = capsys.readouterr().out
    for name in ("mine", "nasbench201", "nasbench101"):
        assert f"\n{name} " in "\n" + listed
    query = ["table", "query", "mine", "--arch", arch, "--dataset", "svhn", "--split", "test", "--epochs", "5", *tables]
    assert main(query) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 81.5
    assert main(["table", "verify", "mine", *tables]) == 0
    assert main(["table", "best", "nasbench201", "--space", "nasbench201", *tables]) == 0
    assert "cifar10 200 epochs, best by valid: 91.607 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query", "nasbench201", "--dataset", "d", "--split", "valid", "--epochs", "1"], "give either --arch KEY"),
        (["best", "nasbench201", "--space", "nasbench20"], "did you mean 'nasbench201'"),
        (["verify", "nasbench20"], "did you mean 'nasbench201'"),
        (["pack", "nasbench101", "absent.tfrecord"], "absent.tfrecord does not exist"),
        (["train", "--space", "nasbench201"], "nasbench201"),
    ],
)
def test_table_verbs_refuse_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", *arguments, "--tables", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_flags_of_table_train_are_the_fields_of_its_spec() -> None:
    assert dataclasses.asdict(train_spec.TrainSpec()) == TRAIN_DEFAULTS
