"""table geometry: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from nas_stability.benchmarks.catalog import SPACES, open_listed
from nas_stability.command_line import main
from nas_stability.flags import MISUSED

ASK = ["table", "geometry", "nasbench1shot1-s1-digits", "--space", "nasbench1shot1-s1"]
S1 = SPACES["nasbench1shot1-s1"]


def test_files_hold_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every CSV by itself, and the paths between two architectures step by step in the table."""
    table = open_listed("nasbench1shot1-s1-digits")
    best, _ = table.best(S1.archs(), "digits", "test", 6)
    other = S1.archs()[40]
    asked = [*ASK, "--split", "test", "--between", other.upper(), best, "--pairs", "3", "--best", "3"]
    assert main([*asked, "--json", "--out", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"] == [best]
    assert (told["architectures"], told["missing"], told["epochs"]) == (2685, 0, 6)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"geometry.{kind}" for kind in ("csv", "png", "pdf")),
        *(f"paths.{kind}" for kind in ("csv", "png", "pdf")),
        *("distances.csv", "pairs.csv"),
    }
    classes = pandas.read_csv(tmp_path / "geometry.csv")
    assert len(classes) == 30
    assert classes.groupby("radius")["centres"].sum().tolist() == [2685] * 3
    assert set(classes[["table", "space", "split"]].agg("".join, axis=1)) == {f"{table.name}{S1.name}test"}
    distances = pandas.read_csv(tmp_path / "distances.csv")
    assert distances["architectures"].sum() == 2685
    assert distances["best"][0] == told["accuracy"]
    pairs = pandas.read_csv(tmp_path / "pairs.csv")
    assert pairs["chosen"].tolist() == ["best"] * 3 + ["drawn"] * 3
    assert told["barriers"]["best"]["pairs"] == 3
    paths = pandas.read_csv(tmp_path / "paths.csv")
    assert len(paths) == told["between"]["paths"] * (1 + told["between"]["distance"])
    answers = table.scores(paths["arch"].tolist(), "digits", "test", 6)
    assert paths["accuracy"].tolist() == pytest.approx(answers.tolist())
    lowest = paths.groupby("path")["accuracy"].min()
    assert paths.loc[paths["best"] == 1, "accuracy"].min() == lowest.max() == told["between"]["lowest"]
    assert [row["arch"] for row in told["paths"]][:: told["between"]["distance"]] == [other, best]


def test_what_is_printed_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASK, "--pairs", "0", "--best", "0", "--between", S1.archs()[0], S1.archs()[0]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nasbench1shot1-s1 by nasbench1shot1-s1-digits: digits valid at 6 epochs"
    assert lines[1].startswith("2,685 architectures, 0 without an answer, 0 not reached; 24.2 neighbours each")
    assert [line for line in lines if line.startswith("barriers, 0 pairs of the best")] == [
        "barriers, 0 pairs of the best: none in 0, mean not known, highest not known, not known in 0"
    ]
    assert lines[-2].startswith("1 shortest paths of 0 decisions, 0 of them through")
    assert lines[-1].split() == ["0", *lines[-1].split()[1:3], S1.archs()[0]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["darts-digits", "--space", "darts-s2"], "darts-s2 has 2,123,366,400 architectures, too many to list"),
        (["nasbench201", "--space", "nasbench1shot1-s1"], "is about another space than nasbench1shot1-s1"),
        (["nasbench201", "--space", "nasbench202"], "did you mean 'nasbench201'?"),
        (["nasbench20", "--space", "nasbench201"], "did you mean 'nasbench201'?"),
        ([*ASK[2:], "--split", "train"], "has no split 'train' (it has: test, valid)"),
        ([*ASK[2:], "--epochs", "7"], "has no budget 7 (it has: 6)"),
        ([*ASK[2:], "--between", "0" * 32, S1.archs()[0]], "the space does not reach the architecture"),
        ([*ASK[2:], "--between", "conv", S1.archs()[0]], "'conv' is no module hash"),
    ],
)
def test_what_cannot_be_asked_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "geometry", *arguments]) == MISUSED
    found = capsys.readouterr()
    assert not found.out
    assert len(found.err.splitlines()) == 1
    assert said in found.err
