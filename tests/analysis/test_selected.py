"""The best of several settings, seed by seed: R-DARTS."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy
import pytest

from nas_stability.analysis.report import summary
from nas_stability.analysis.selected import with_best
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from tests.analysis.written import ACCURACY, write_run
from tests.small import load

DECAYS = (0.0003, 0.0081)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """DARTS with two weight decays, two seeds; SDARTS-RS with one. What is written by hand is the same for both."""
    for seed in range(2):
        for decay in DECAYS:
            write_run(tmp_path, "darts", seed, weight_decay=decay)
        write_run(tmp_path, "sdarts-rs", seed)
    return tmp_path


def differing(found: Study) -> Study:
    """With the larger decay ten points are lost by seed 0 and gained by seed 1, in the last epoch."""
    larger = set(found.runs.loc[found.runs["weight_decay"] == DECAYS[1], "run"])
    moved = found.epochs["run"].astype(str).isin(larger) & (found.epochs["epoch"] == 2)
    by = numpy.where(found.epochs["seed"] == 0, -10.0, 10.0)
    name = "accuracy_cifar10_valid"
    return dataclasses.replace(
        found, epochs=found.epochs.assign(**{name: found.epochs[name] + numpy.where(moved, by, 0.0)})
    )


def test_the_best_of_each_seed_stands_once_more(folder: Path) -> None:
    found = with_best(differing(load(folder)), "weight_decay")
    best = found.runs[found.runs["method"] == "darts-best"].set_index("seed")
    assert best["weight_decay"].to_dict() == {0: DECAYS[0], 1: DECAYS[1]}
    assert set(best["variant"]) == {""}
    table = summary(found).set_index(["method", "variant"])
    expected = (ACCURACY["darts"][0][2] + ACCURACY["darts"][1][2] + 10) / 2
    assert table.loc[("darts-best", ""), "final"] == pytest.approx(expected)
    assert list(found.methods) == ["darts", "sdarts-rs", "darts-best"]
    assert len(found.runs) == 6 + 2


def test_without_a_table_the_supernets_own_accuracy_decides(folder: Path) -> None:
    plain = load(folder)
    larger = set(plain.runs.loc[plain.runs["weight_decay"] == DECAYS[1], "run"])
    better = plain.epochs["valid_accuracy"] + numpy.where(plain.epochs["run"].astype(str).isin(larger), 5.0, 0.0)
    empty = {name: numpy.nan for name in plain.epochs if name.startswith(("accuracy_", "regret_"))}
    found = with_best(
        dataclasses.replace(plain, epochs=plain.epochs.assign(valid_accuracy=better, **empty)), "weight_decay"
    )
    assert set(found.runs.loc[found.runs["method"] == "darts-best", "weight_decay"]) == {DECAYS[1]}


def test_what_does_not_vary_or_not_alone_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"--best-of lr: no method .*\(fields that vary: weight_decay\)"):
        with_best(load(folder), "lr")
    write_run(folder, "darts", 0, weight_decay=DECAYS[0], momentum=0.5)
    with pytest.raises(BadInput, match="the runs of darts in nasbench201 also differ in momentum"):
        with_best(load(folder), "weight_decay")


def test_the_command_line_takes_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "report")
    assert (
        main(["report", str(folder), "--best-of", "weight_decay", "--unverified", "--only", "results", "--out", out])
        == 0
    )
    assert "darts-best" in capsys.readouterr().out
    assert main(["report", str(folder), "--best-of", "radius", "--unverified", "--only", "results", "--out", out]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("nas-stability: --best-of radius")
