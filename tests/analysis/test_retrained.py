"""The table of what was trained from scratch, by hand; the best of four against every choice of four."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis.retrained import best_of, retrained
from nas_stability.analysis.study import Study
from nas_stability.analysis.table_texts import markdown
from tests.analysis.written import write_run
from tests.small import load


@pytest.mark.parametrize("count", [4, 5, 7])
def test_the_best_of_four_is_the_mean_over_every_choice_of_four(count: int) -> None:
    drawn = numpy.random.default_rng(count)
    chosen, told = drawn.normal(size=count).round(1).tolist(), drawn.normal(size=count).tolist()
    literal = [
        told[max(four, key=lambda place: (chosen[place], -place))] for four in itertools.combinations(range(count), 4)
    ]
    assert best_of(chosen, told) == pytest.approx(numpy.mean(literal), abs=1e-12)


def test_of_fewer_than_four_or_of_unknown_ones_there_is_none() -> None:
    assert math.isnan(best_of([1, 2, 3], [1, 2, 3]))
    assert math.isnan(best_of([1, 2, 3, math.nan], [1, 2, 3, 4]))
    assert best_of([4, 4, 1, 2], [10, 20, 30, 40]) == 10, "of equals the first"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for seed in range(3):
        write_run(tmp_path, "darts", seed)
    return load(tmp_path)


def evaluated(protocol: str, valid: list[float], test: list[float], seeds: int = 1) -> pandas.DataFrame:
    """A row for each of four runs and network; networks of a run differ by two points around its number."""
    rows = []
    for place in range(4):
        for network in range(seeds):
            apart = 2.0 * network - (seeds - 1)
            rows.append(
                {
                    "run": f"run-{place}",
                    "space": "nasbench201",
                    "method": "darts",
                    "seed": place,
                    "arch": f"arch-{place}",
                    "at": 2,
                    "rule": "final",
                    "protocol": protocol,
                    "data": "cifar10",
                    "valid_accuracy": valid[place] + apart,
                    "test_accuracy": test[place] + apart,
                    "parameters": 1e6 * (place + 1),
                    "macs": 2e6,
                    "accuracy_cifar10_test": 90.0 + place,
                }
            )
    return pandas.DataFrame(rows)


def table_of(study: Study, rows: pandas.DataFrame) -> pandas.DataFrame:
    object.__setattr__(study, "evaluated", rows)
    found = retrained(study)
    assert found is not None
    return found


def test_networks_are_averaged_before_searches(study: Study) -> None:
    found = table_of(study, evaluated("short", [70, 80, 75, 60], [1, 2, 3, 4], seeds=3)).iloc[0]
    assert found["seeds"] == 4
    assert found["trained"] == pytest.approx(2.5)
    assert found["best_of_4"] == pytest.approx(2), "the one of the highest validation accuracy"
    assert found["table"] == pytest.approx(91.5)
    assert (found["parameters"], found["macs"]) == (2.5, 2.0)
    assert found["trained_low"] >= 1, "the interval is over searches, not over networks"


def test_without_validation_images_another_training_chooses(study: Study) -> None:
    short = evaluated("short", [70, 80, 75, 60], [1, 2, 3, 4])
    paper = evaluated("paper", [math.nan] * 4, [11, 12, 13, 14])
    both = table_of(study, pandas.concat([short, paper])).set_index("protocol")
    assert both.loc["paper", "best_of_4"] == 12
    alone = table_of(study, paper).iloc[0]
    assert math.isnan(alone["best_of_4"])
    assert math.isnan(alone["valid"])
    assert alone["trained"] == 12.5


def test_random_architectures_stand_last_and_unknown_numbers_are_dashes(study: Study) -> None:
    found = evaluated("paper", [math.nan] * 4, [11, 12, 13, 14])
    random = found.assign(run="random-" + found["seed"].astype(str), method="random", rule="drawn")
    table = table_of(study, pandas.concat([random, found]))
    assert table["method"].tolist() == ["darts", "random"]
    assert "| - |" in markdown(table)
    assert "nan" not in markdown(table)


def test_where_nothing_was_trained_there_is_no_table(study: Study) -> None:
    assert retrained(study) is None
