"""The public names: what a script or a notebook calls."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from matplotlib.figure import Figure

import nas_stability as ns
from tests.slow import marked
from tests.small import small_spec

STUDY = """
[base]
space = "nasbench201"
data = "digits"
images = 16
epochs = 2
width = 2
depth = 1
batch_size = 4
hessian_batch_size = 4
rank_sample = 0
[over]
method = ["darts", "sdarts-rs"]
seed = [0, 1]
"""


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> ns.Study:
    folder = tmp_path_factory.mktemp("api")
    (folder / "mine.toml").write_text(STUDY)
    return ns.study(folder / "mine.toml", folder / "out")


def test_every_public_name_is_there_and_documented() -> None:
    assert 12 <= len(ns.__all__) <= 20
    for name in ns.__all__:
        assert getattr(ns, name).__doc__
        assert name in dir(ns)
    with pytest.raises(AttributeError, match="it has: BadInput"):
        ns.nothing  # noqa: B018


def test_importing_is_light() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'matplotlib'}"
    code = f"import sys, nas_stability as ns; ns.RunSpec, ns.run_spec; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_run_returns_its_records_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = []
    spec = small_spec()
    first = ns.run(spec, tmp_path / "run", on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == list(range(spec.epochs + 1))
    assert rows[0]["train_loss"] is None
    assert isinstance(rows[-1]["train_loss"], float)
    assert list(first.epochs["epoch"]) == [row["epoch"] for row in rows]
    assert first.arch == rows[-1]["arch"]
    assert first.record["run"] == spec.run_id
    again = ns.run(vars(spec), tmp_path / "run", on_epoch=rows.append)
    assert len(rows) == spec.epochs + 1
    pandas.testing.assert_frame_equal(first.epochs, again.epochs)
    assert spec.run_id in first._repr_html_()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_what_cannot_run_raises_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ns.BadInput, match="epochs"):
        ns.run({"space": "nasbench201", "method": "darts", "data": "digits", "epochs": 0}, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_study_is_read_judged_and_drawn(studied: ns.Study) -> None:
    assert len(studied.runs) == 4
    assert "sdarts-rs" in studied._repr_html_()
    verdicts = ns.claims(studied)
    assert set(verdicts["verdict"]) <= {"supported", "not supported", "undecided", "no data"}
    pandas.testing.assert_frame_equal(verdicts, ns.claims(studied.folder))
    figure = ns.figure(studied, "hessian")
    assert isinstance(figure, Figure)
    assert figure.axes
    with pytest.raises(ns.BadInput, match="hessian"):
        ns.figure(studied, "hesian")


@pytest.mark.slow
def test_a_report_is_written_without_a_word(
    studied: ns.Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = ns.report(studied, tmp_path / "report")
    assert (tmp_path / "report" / "report.html") in written.files
    assert all(path.is_file() for path in written.files)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_two_workers_give_the_same_rows(studied: ns.Study, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(STUDY)
    found = ns.study(tmp_path / "mine.toml", tmp_path / "out", workers=2)
    ours, theirs = (study.epochs.drop(columns="seconds") for study in (studied, found))
    pandas.testing.assert_frame_equal(ours, theirs)


@pytest.mark.slow
def test_a_study_with_a_failed_run_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        STUDY.replace("[0, 1]", "[0]") + "lr = [0.025, 1e6]\nweight_decay = [3e-4, 1e6]\n"
    )
    with pytest.raises(ns.StudyFailed, match="did not finish") as failed:
        ns.study(tmp_path / "mine.toml", tmp_path / "out")
    assert all("finite" in reason for reason in failed.value.reasons.values())
    assert 1 <= len(ns.load(tmp_path / "out").runs) < 8


def test_a_table_answers_or_raises() -> None:
    table = ns.table("nasbench201")
    arch = table.keys[0].as_py()
    assert 0 < table.score(arch, "cifar10", "valid", table.budgets[-1]) < 100
    with pytest.raises(KeyError):
        table.score("no such cell", "cifar10", "valid", table.budgets[-1])
    with pytest.raises(ns.BadInput, match="none"):
        ns.table("none")
    with pytest.raises(ns.BadInput, match="nasbench201"):
        ns.table("nasbench2O1")


def test_names_are_those_that_specs_take() -> None:
    for space in ns.spaces():
        for method in ns.methods():
            assert ns.run_spec({"space": space, "method": method, "data": "digits"}).method == method


def test_nothing_else_is_installed_at_top_level_h9() -> None:
    assert importlib.metadata.distribution("nas-stability").read_text("top_level.txt") == "nas_stability\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["status"], marked(["claims"]), marked(["check"])], ids=lambda words: f"H9: {words[0]}"
)
def test_files_of_the_users_do_not_get_in_the_way(words: list[str], studied: ns.Study, tmp_path: Path) -> None:
    for name in ("analysis", "benchmarks", "harness", "tests", "results"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the user has a file of this name')\n")
    command = [sys.executable, "-m", "nas_stability", *words, *([] if words == ["--help"] else [str(studied.folder)])]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the user has" not in done.stderr
