"""Names out of files: a text is a text in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis import escape, names
from nas_stability.analysis.claims import judging
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.page import whole_page
from nas_stability.analysis.report import write_report
from tests.analysis.figures.enriched import enriched
from tests.analysis.written import ACCURACY, write_run
from tests.small import load

HOSTILE = "my_da|<b>ta{}~^\\$&%#`*[x](y)"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose data set, methods and fields have the worst names that a record may hold."""
    folder = tmp_path_factory.mktemp("hostile")
    for seed, data in enumerate((HOSTILE, "=1+1", "-x")):
        place = write_run(folder, "darts", seed, data=data)
        enriched(place, 0, "nasbench201")
        rows = pandas.read_csv(place / "epochs.csv")
        rows["method"] = f"=m{HOSTILE}"
        rows.columns = rows.columns.str.replace("cifar10_", f"{HOSTILE}_", regex=False)
        rows.to_csv(place / "epochs.csv", index=False)
        record = json.loads((place / "run.json").read_text())
        record["spec"]["method"] = f"=m{HOSTILE}"
        (place / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.slow
def test_a_report_of_hostile_names(hostile: Path, tmp_path: Path) -> None:
    report = write_report(load(hostile), tmp_path)
    html = whole_page.write_page(report, judging.judge(report.study)).read_text()
    assert "<b>" not in html
    assert {"trajectory.png", "rank.png", "ablation.png", "results.md"} <= {path.name for path in tmp_path.iterdir()}
    for path in tmp_path.glob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text())):
            for cell in row:
                assert not cell.startswith(escape.FORMULA) or re.fullmatch(r"-?[\d.e+-]+", cell), (path.name, cell)
    for path in tmp_path.glob("*.md"):
        lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert "<b>" not in path.read_text()
    for path in tmp_path.glob("*.tex"):
        body = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("%"))
        assert r"\textbackslash{}\$\&\%\#" in body
        assert r"da|<b>ta\{\}\textasciitilde{}\textasciicircum{}" in body


@pytest.mark.parametrize(
    ("case", "column", "expected"),
    [
        ("C2: underscores", "accuracy_my_data_valid", "my_data validation"),
        ("C2: underscores", "neighbours_mean_my_data_test", "my_data test"),
        ("C2: a prefix in the name", "error_my_error_data_valid", "my_error_data validation"),
        ("C2: a prefix as the name", "accuracy_accuracy_x_valid", "accuracy_x validation"),
        ("C2: nothing special", "rank_tau_imagenet16-120_valid", "ImageNet16-120 validation"),
        ("C2: another split", "accuracy_cifar10_valid+test", "CIFAR-10 valid+test"),
    ],
)
def test_the_data_set_of_a_column(case: str, column: str, expected: str) -> None:
    assert names.answer_name(names.answer_of(column)) == expected, case


def test_the_error_of_a_data_set_with_a_prefix_in_its_name(tmp_path: Path) -> None:
    place = write_run(tmp_path, "darts", 0)
    rows = pandas.read_csv(place / "epochs.csv")
    rows.columns = rows.columns.str.replace("cifar10_", "my_error_set_", regex=False)
    rows.to_csv(place / "epochs.csv", index=False)
    drawn = FIGURES["trajectory"](load(tmp_path))
    assert drawn is not None
    assert list(drawn.numbers["mean"]) == [100 - value for value in ACCURACY["darts"][0]]


def test_missing_values_of_a_data_set_with_underscores(tmp_path: Path) -> None:
    place = write_run(tmp_path, "darts", 0)
    rows = pandas.read_csv(place / "epochs.csv")
    rows.columns = rows.columns.str.replace("cifar10_", "my_data_", regex=False)
    rows.to_csv(place / "epochs.csv", index=False)
    assert whole_page.never_answered(load(tmp_path)) == [("nasbench201", ["my_data test"])]


@pytest.mark.parametrize(
    ("case", "text", "markdown", "latex", "cell"),
    [
        ("C2: a pipe", "a|b", r"a\|b", "a|b", "a|b"),
        ("C2: HTML", "<b>&", "&lt;b&gt;&amp;", r"<b>\&", "<b>&"),
        ("C2: a newline", "a\nb", r"a\\nb", r"a\textbackslash{}nb", "a\nb"),
        ("C2: braces", "{~^}", "{~^}", r"\{\textasciitilde{}\textasciicircum{}\}", "{~^}"),
        ("C2: a formula", "=1+1", "=1+1", "=1+1", "'=1+1"),
        ("C2: a formula", "@x", "@x", "@x", "'@x"),
        ("C2: a formula", "\tx", r"\\tx", r"\textbackslash{}tx", "'\tx"),
        ("C2: nothing special", "cifar10_valid", "cifar10_valid", r"cifar10\_valid", "cifar10_valid"),
    ],
)
def test_a_text_in_every_format(case: str, text: str, markdown: str, latex: str, cell: str) -> None:
    assert escape.markdown(text) == markdown, case
    assert escape.latex(text) == latex, case
    assert escape.plain(text) == cell, case


def test_numbers_stay_numbers_in_csv() -> None:
    frame = pandas.DataFrame({"=x": [-1.5, float("nan")], "y": ["-a", "b"], "z": [-1, 2]})
    assert escape.csv(frame) == "'=x,y,z\n-1.5,'-a,-1\n,b,2\n"
