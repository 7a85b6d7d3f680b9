"""Claims and figures of plug-ins: judged and drawn behind the package's own, in every process, and refused by name."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from matplotlib.figure import Figure

import nas_stability as ns
from nas_stability.analysis.figures import offered
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.report import write_report
from nas_stability.analysis.study import Study
from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from tests.analysis.test_analysis import ACCURACY, write_run
from tests.small import load

PLUGIN = """
from functools import partial

from matplotlib.figure import Figure

from nas_stability.analysis.claims.evidence import weigh_mean
from nas_stability.analysis.claims.statements import Claim, less
from nas_stability.analysis.figures.panels import SCREEN, Drawn
from nas_stability.harness.methods.compositions import Method


def finals(study, page=SCREEN):
    figure = Figure(figsize=(page.wide, page.height))
    last = study.epochs.groupby("run", observed=True).tail(1)
    figure.subplots().plot(last["seed"], last["accuracy_cifar10_valid"], "o")
    return Drawn(figure, last[["space", "method", "seed", "accuracy_cifar10_valid"]], "The last accuracy of each run.")


def broken(study, page=SCREEN):
    raise KeyError("no such column")


def nothing(study, page=SCREEN):
    return None


def claim(**fields):
    usual = {
        "name": "whatever",
        "statement": "SDARTS-RS is good.",
        "statistic": partial(less, "late_accuracy", "sdarts-rs", "darts"),
        "words": "late accuracy, by seed",
        "unit": "points",
        "direction": 1,
        "threshold": 0.0,
        "methods": ("darts", "sdarts-rs"),
        "data": "a table accuracy",
        "weigh": weigh_mean,
    }
    return Claim(**{**usual, **fields})

"""

OFFERS = """
METHODS = {"tilted": Method("Tilted DARTS")}
FIGURES = {"finals": finals, "nothing": nothing}
CLAIMS = {"rs-is-good": claim(), "of-others": claim(methods=("beta", "gamma"))}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for method in ACCURACY:
        for seed in range(3):
            write_run(tmp_path / "study", method, seed)
    return tmp_path / "study"


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of the figures of this package two, so that a report takes no minute."""
    monkeypatch.setattr(plugins, "LOADED", {})
    monkeypatch.setattr(offered, "FIGURES", {name: FIGURES[name] for name in ("hessian", "gap")})


def mine(folder: Path, offers: str = OFFERS, name: str = "mine.py") -> Path:
    """A plug-in's file."""
    (folder / name).write_text(PLUGIN + offers)
    return folder / name


@pytest.mark.slow
def test_figures_of_a_plug_in_are_drawn_behind_the_others(folder: Path, tmp_path: Path) -> None:
    plugins.load(str(mine(tmp_path)), Path())
    study = load(folder)
    one, two = (write_report(study, tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert list(one.shown)[-1] == "finals"
    assert one.absent[-1] == "nothing"
    assert one.shown["finals"].caption == "The last accuracy of each run."
    numbers = pandas.read_csv(tmp_path / "1" / "finals.csv")
    assert list(numbers["accuracy_cifar10_valid"]) == [of_seed[-1] for rows in ACCURACY.values() for of_seed in rows]
    assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in two.files]
    assert len(list((tmp_path / "2").glob("finals.*"))) == 3
    assert write_report(study, tmp_path / "only", only="finals").shown.keys() == {"finals"}


def test_claims_of_a_plug_in_are_judged_behind_the_others(folder: Path, tmp_path: Path) -> None:
    study = load(folder)
    before = ns.claims(study)
    assert "rs-is-good" not in set(before["claim"])
    found = ns.claims(study, plugins=[mine(tmp_path)])
    assert list(found["claim"]) == [*before["claim"], "rs-is-good"], "and none about methods that are not there"
    row = found.iloc[-1]
    better = [b[2] - a[2] for a, b in zip(ACCURACY["darts"], ACCURACY["sdarts-rs"], strict=True)]
    assert (row["n"], row["estimate"]) == (3, pytest.approx(sum(better) / 3))
    assert set(before["p"].notna()) == {False}, "three seeds decide nothing, so that nothing is corrected"


def test_a_claim_of_which_a_method_is_missing_says_so(folder: Path, tmp_path: Path) -> None:
    offers = 'CLAIMS = {"half": claim(methods=["darts", "beta"])}\n'
    row = ns.claims(load(folder), plugins=[mine(tmp_path, offers)]).iloc[-1]
    assert (row["claim"], row["verdict"], row["reason"]) == ("half", "no data", "no finished run of beta")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_figure_that_breaks_is_named_and_stops_no_other(
    workers: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = mine(tmp_path, 'FIGURES = {"broken": broken, "finals": finals, "number": lambda study, page: 3}\n')
    words = ["report", str(folder), "--unverified", "--workers", str(workers), "--plugin", str(file)]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert f"report: {folder / 'report' / 'report.html'}" in printed.out
    lines = [line for line in printed.err.splitlines() if "not drawn" in line]
    assert lines == [
        "nas-stability: the figure 'broken' of a plug-in was not drawn: KeyError: 'no such column'",
        "nas-stability: the figure 'number' of a plug-in was not drawn: AttributeError: 'int' object has no attribute "
        "'figure'",
    ]
    there = {path.name for path in (folder / "report").iterdir()}
    assert {"finals.png", "hessian.png", "results.md", "report.html"} <= there
    assert not any(name.startswith(("broken", "number")) for name in there)
    html = (folder / "report" / "report.html").read_text()
    assert "<strong>Not drawn, since it failed:</strong> broken: KeyError: &#39;no such column&#39;" in html
    assert 'id="figure-finals"' in html


@pytest.mark.slow
def test_what_a_figure_raises_as_bad_input_is_as_of_any_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offers = """
from nas_stability.benchmarks.errors import BadInput

def refusing(study, page=SCREEN):
    raise BadInput("the study has no such thing; make one")

FIGURES = {"refusing": refusing}
"""
    file = mine(tmp_path, offers)
    assert main(["report", str(folder), "--unverified", "--workers", "1", "--plugin", str(file)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "nas-stability: the study has no such thing; make one"


REFUSED = {
    "a figure's name": ('FIGURES = {"hessian": finals}', "calls a figure 'hessian', which comes with the harness"),
    "a table's name": ('FIGURES = {"results": finals}', "calls a figure 'results', which comes with the harness"),
    "a name that is a path": ('FIGURES = {"../a": finals}', "'../a' cannot be the name of a figure"),
    "no function": ('FIGURES = {"three": 3}', "the figure 'three' is to be a function, not 3"),
    "a claim's name": (
        'CLAIMS = {"darts-deteriorates": claim()}',
        "calls a claim 'darts-deteriorates', which comes with the harness",
    ),
    "no claim": ('CLAIMS = {"three": 3}', "the claim 'three' is to be a Claim, not 3"),
    "a claim that breaks": (
        'CLAIMS = {"bad": claim(statistic=lambda found: found["none", "darts"])}',
        "the claim 'bad' cannot be judged: KeyError: ('none', 'darts')",
    ),
    "a claim whose evidence breaks": (
        'CLAIMS = {"bad": claim(weigh=lambda samples, threshold: 1)}',
        "the claim 'bad' cannot be judged: AttributeError",
    ),
    "a plug-in that breaks": ("1 / 0", "breaks at import: ZeroDivisionError"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("verb", ["report", "claims"])
def test_what_cannot_be_is_refused_in_one_line(
    verb: str, case: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offers, message = REFUSED[case]
    file = mine(tmp_path, offers + "\n")
    if verb == "claims" and "FIGURES" in offers:
        assert main([verb, str(folder), "--unverified", "--plugin", str(file)]) == 0, "claims draws nothing"
        return
    words = [verb, str(folder), "--unverified", "--plugin", str(file)]
    assert main([*words, *(["--only", "results"] if "CLAIMS" not in offers and verb == "report" else [])]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nas-stability: ")]
    (line,) = [line for line in said if "not verified" not in line]
    assert message in line


def test_installed_packages_are_asked_without_a_flag(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine(tmp_path, name="offering.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {
        "nas_stability.figures": [importlib.metadata.EntryPoint("of-mine", "offering:finals", "nas_stability.figures")],
        "nas_stability.claims": [
            importlib.metadata.EntryPoint("by-mine", "offering:CLAIMS", "nas_stability.claims"),
        ],
    }
    monkeypatch.setattr(plugins, "entry_points", lambda kind: points.get(f"nas_stability.{kind}", []))
    assert isinstance(ns.figure(load(folder), "of-mine"), Figure)
    with pytest.raises(BadInput, match="the plug-in offering: the claim 'by-mine' is to be a Claim"):
        ns.claims(load(folder))
    sys.modules.pop("offering")


def test_a_results_folder_names_plug_ins_and_none_is_loaded(folder: Path, tmp_path: Path) -> None:
    file = mine(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\n{OFFERS}")
    for place in folder.iterdir():
        record = json.loads((place / "run.json").read_text())
        record["spec"]["plugins"] = json.dumps({str(file): "0" * 64})
        (place / "run.json").write_text(json.dumps(record))
    assert "rs-is-good" not in set(ns.claims(load(folder))["claim"])
    assert "finals" not in write_report(load(folder), tmp_path / "out", only="results").shown
    with pytest.raises(BadInput, match="unknown figure"):
        ns.figure(load(folder), "finals")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_plug_ins_from_a_notebook(folder: Path, tmp_path: Path) -> None:
    study: Study = load(folder)
    assert isinstance(ns.figure(study, "finals", plugins=[mine(tmp_path)]), Figure)
    written = ns.report(study, tmp_path / "out", plugins=[mine(tmp_path, 'FIGURES = {"broken": broken}\n', "other.py")])
    assert written.failed == {"broken": "KeyError: 'no such column'"}
    assert "finals" in written.shown
    assert written.page == written.files[-1] == tmp_path / "out" / "report.html"
    assert "broken" not in written.absent
    with pytest.raises(BadInput, match=r"absent\.py does not exist"):
        ns.claims(study, plugins=[tmp_path / "absent.py"])


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(ns.__file__)).parents[1])}
STUDY = """
plugins = ["mine.py"]
[base]
space = "nasbench201"
data = "digits"
images = 16
epochs = 1
width = 2
depth = 1
batch_size = 4
hessian_batch_size = 4
rank_sample = 0
method = "tilted"
"""


@pytest.mark.slow
def test_the_report_of_a_study_uses_the_plug_ins_that_it_was_given(tmp_path: Path) -> None:
    """In processes of their own: this one has loaded nothing."""
    offers = """
METHODS = {"tilted": Method("Tilted DARTS")}
FIGURES = {"finals": finals, "broken": broken}
CLAIMS = {"tilted-is-good": claim(methods=("tilted",), statistic=lambda found: found["late_accuracy", "tilted"])}
"""
    mine(tmp_path, offers)
    (tmp_path / "mine.toml").write_text(STUDY)
    words = [sys.executable, "-m", "nas_stability", "study", "mine.toml", "--out", "out", "--workers", "2"]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "the figure 'broken' of a plug-in was not drawn: KeyError: 'no such column'" in done.stderr
    report = tmp_path / "out" / "report"
    assert {"finals.png", "overview.png", "report.html"} <= {path.name for path in report.iterdir()}
    assert "Tilted DARTS" in (report / "results.tex").read_text()
    assert "<code>tilted-is-good</code>" in (report / "report.html").read_text()
