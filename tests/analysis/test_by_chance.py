"""Random search in the report: the dashed line, its numbers, and the rows of the table of results."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis import by_chance
from nas_stability.analysis.figures import trajectories
from nas_stability.analysis.names import method_name
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import results
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.run import Watch, run
from tests.analysis.written import write_run
from tests.small import PLACE, load, reseal, small_spec

SEARCH = {"best_of_1": 60.0, "best_of_10": 75.0, "answered": 99.0}


def told(study: Study, *searches: object) -> Study:
    """The study whose runs recorded these."""
    runs = study.runs.assign(**{"random.cifar10_valid": list(searches)})
    return dataclasses.replace(study, runs=runs)


@pytest.fixture
def plain(tmp_path: Path) -> Study:
    for seed in range(2):
        write_run(tmp_path, "darts", seed)
    return load(tmp_path)


def test_a_level_is_the_expectation_of_one_draw(plain: Study) -> None:
    study = told(plain, SEARCH, SEARCH)
    assert by_chance.random_search(study, "nasbench201", "cifar10_valid") == {1: 60.0, 10: 75.0}
    assert by_chance.level(study, "nasbench201", "accuracy_cifar10_valid") == 60
    assert by_chance.level(study, "nasbench201", "error_cifar10_valid") == 40
    row = study.epochs.iloc[0]
    best = row["accuracy_cifar10_valid"] + row["regret_cifar10_valid"]
    assert by_chance.level(study, "nasbench201", "regret_cifar10_valid") == pytest.approx(best - 60)
    for column in ("eigenvalue_max", "accuracy_cifar10_test", "neighbours_mean_cifar10_valid"):
        assert by_chance.level(study, "nasbench201", column) is None


@pytest.mark.parametrize("second", [None, {**SEARCH, "best_of_1": 61.0}])
def test_runs_of_different_tables_have_no_level(plain: Study, second: object) -> None:
    study = told(plain, SEARCH, second)
    found = by_chance.level(study, "nasbench201", "accuracy_cifar10_valid")
    assert found == (60 if second is None else None)


def test_the_line_is_drawn_and_stands_in_the_numbers(plain: Study) -> None:
    without, drawn = trajectories.trajectory(plain), trajectories.trajectory(told(plain, SEARCH, SEARCH))
    assert drawn is not None
    assert without is not None
    numbers = drawn.numbers[drawn.numbers["method"] == "random"]
    assert set(numbers["mean"]) == {40.0}
    assert set(numbers["epoch"]) == {plain.epochs["epoch"].min(), plain.epochs["epoch"].max()}
    pandas.testing.assert_frame_equal(drawn.numbers[drawn.numbers["method"] != "random"], without.numbers)
    levels = [
        line.get_ydata() for line in drawn.figure.axes[0].lines if line.get_color() == trajectories.AT_RANDOM.shade
    ]
    assert [list(level) for level in levels] == [[40.0, 40.0]]
    assert "drawn uniformly" in drawn.caption
    assert "drawn uniformly" not in without.caption
    assert drawn.figure.legends[0].get_texts()[-1].get_text() == "random"


def test_the_table_of_results_has_its_rows(plain: Study) -> None:
    without, table = results(plain), results(told(plain, SEARCH, SEARCH))
    pandas.testing.assert_frame_equal(without, table[table["seeds"] > 0])
    rows = table[table["seeds"] == 0].set_index("method")
    assert rows["final"].to_dict() == {"random": 60.0, "random-best-of-10": 75.0}
    assert rows.loc["random", "regret"] - rows.loc["random-best-of-10", "regret"] == pytest.approx(15)
    assert list(map(method_name, rows.index)) == ["random", "random, best of 10"]


def test_a_run_records_it_and_check_holds_it_to_the_table(tmp_path: Path) -> None:
    run(small_spec(epochs=1), tmp_path / "run", PLACE, Watch())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["random"]["cifar10_valid"]["answered"] == 100
    assert check_study(tmp_path / "run").problems == []
    record["random"]["cifar10_valid"]["best_of_1"] += 0.01
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    reseal(tmp_path / "run")
    (problem,) = check_study(tmp_path / "run").problems
    assert "what random search would find is not what the table gives" in problem
