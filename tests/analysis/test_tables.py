"""Tables: every column by hand, intervals by another route, what is missing, and what LaTeX and Markdown say."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis import readable, summaries, table_texts
from nas_stability.analysis.report import write_table
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import TABLES
from tests import oracles_figures as oracles
from tests.analysis.written import ACCURACY, EIGENVALUE, write_run
from tests.small import load


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for method in ACCURACY:
        for seed in range(3):
            write_run(tmp_path, method, seed)
    return load(tmp_path)


def test_results_by_hand(study: Study) -> None:
    found = TABLES["results"](study).set_index("method")
    runs = ACCURACY["darts"]
    assert found.loc["darts", "regret"] == pytest.approx(sum(91.6 - run[-1] for run in runs) / 3)
    assert found.loc["darts", "area"] == pytest.approx(sum(sum(run) / 3 for run in runs) / 3)
    assert found.loc["darts", "collapse"] == pytest.approx(2 / 3)
    assert found.loc["sdarts-rs", "collapse"] == 0
    low, high = oracles.wilson(2, 3)
    assert found.loc["darts", "collapse_low"] == pytest.approx(low)
    assert found.loc["darts", "collapse_high"] == pytest.approx(high)
    assert tuple(found.loc["darts", ["unanswered", "rows"]]) == (0, 9)
    falls = numpy.array([max(run) - run[-1] for run in runs])
    assert found.loc["darts", "fall_high"] == pytest.approx(estimate(falls).high)


@pytest.mark.parametrize(("successes", "trials"), [(0, 3), (3, 3), (1, 6), (7, 20)])
def test_the_interval_of_a_share_is_wilsons(successes: int, trials: int) -> None:
    found = summaries.proportion(numpy.array([1.0] * successes + [0.0] * (trials - successes) + [numpy.nan]))
    assert found.mean == pytest.approx(successes / trials)
    assert (found.seeds, found.missing) == (trials, 1)
    assert (found.low, found.high) == pytest.approx(oracles.wilson(successes, trials), abs=1e-9)


def test_a_share_of_two_seeds_has_no_interval() -> None:
    found = summaries.proportion(numpy.array([1.0, 0.0]))
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(summaries.proportion(numpy.array([numpy.nan])).mean)


@pytest.mark.parametrize(("points", "expected"), [(4.999, 0.0), (5.0, 0.0), (5.001, 1.0)])
def test_a_collapse_is_a_fall_of_more_than_five_points(points: float, expected: float) -> None:
    run = pandas.DataFrame({"accuracy_a_valid": [90.0, 90.0 - points]})
    assert summaries.collapse(run, "accuracy_a_valid") == expected
    assert math.isnan(summaries.collapse(run.assign(accuracy_a_valid=[90.0, numpy.nan]), "accuracy_a_valid"))


def test_growth_is_the_geometric_mean_of_last_over_first(study: Study) -> None:
    found = TABLES["eigenvalues"](study).set_index("method")
    ratios = [run[2] / run[1] for run in EIGENVALUE["darts"]]
    assert found.loc["darts", "growth"] == pytest.approx(statistics.geometric_mean(ratios))
    logarithms = estimate(numpy.log(ratios))
    assert found.loc["darts", "growth_low"] == pytest.approx(math.exp(logarithms.low))
    assert found.loc["darts", "growth_low"] < found.loc["darts", "growth"] < found.loc["darts", "growth_high"]


def test_growth_is_missing_where_an_eigenvalue_is_not_positive() -> None:
    run = pandas.DataFrame({"epoch": [0, 1, 2], "eigenvalue_max": [0.1, -0.2, 0.3]})
    assert math.isnan(summaries.growth(run, ""))
    assert summaries.growth(run.assign(eigenvalue_max=[0.1, 0.2, 0.3]), "") == pytest.approx(1.5)


def test_every_data_set_and_split_has_its_rows(tmp_path: Path) -> None:
    for seed in range(3):
        place = write_run(tmp_path, "darts", seed)
        rows = pandas.read_csv(place / "epochs.csv")
        rows.assign(accuracy_cifar10_test=rows["accuracy_cifar10_valid"] - 1).to_csv(place / "epochs.csv", index=False)
    found = TABLES["results"](load(tmp_path))
    assert list(found["answer"]) == ["cifar10_valid", "cifar10_test"]
    assert found["final"].diff().iloc[1] == pytest.approx(-1)
    assert list(TABLES["eigenvalues"](load(tmp_path))["answer"]) == ["cifar10_valid"]


def test_missing_values_are_counted_in_the_numbers_and_said_to_people(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "darts", seed, missing=seed == 0)
    found = TABLES["results"](load(tmp_path))
    assert found.loc[0, "final_missing"] == 1
    assert found.loc[0, "collapse_missing"] == 1
    assert found.loc[0, "area"] == pytest.approx((70 + 160 / 3 + 220 / 3) / 3)
    shown = table_texts.readable(found)
    assert shown.loc[0, "final"] == "57.50 (n = 2)"
    assert shown.loc[0, "collapse"] == "0.500 (n = 2)"
    assert shown.loc[0, "unanswered"] == "1 of 9"
    assert "rows" not in shown


def test_a_study_without_a_table_still_has_its_rows(tmp_path: Path) -> None:
    for seed in range(3):
        place = write_run(tmp_path, "darts", seed)
        rows = pandas.read_csv(place / "epochs.csv")
        rows.drop(columns=[name for name in rows if name.startswith(("accuracy", "regret"))]).to_csv(
            place / "epochs.csv", index=False
        )
    found = TABLES["results"](load(tmp_path))
    assert found.loc[0, "final_missing"] == 3
    assert tuple(found.loc[0, ["unanswered", "rows"]]) == (9, 9)
    assert table_texts.readable(found).loc[0, "final"] == "-"
    assert TABLES["eigenvalues"](load(tmp_path)).loc[0, "at_best_missing"] == 3
    assert "& -- &" in table_texts.latex(found)


def test_two_seeds_have_no_interval_in_any_column(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, "darts", seed)
    for tabulate in TABLES.values():
        found = tabulate(load(tmp_path))
        ends = [name for name in found.columns if name.endswith(("_low", "_high"))]
        assert ends
        assert found[ends].isna().all(axis=None)
        assert "[" not in table_texts.markdown(found)


def test_numbers_keep_their_digits() -> None:
    assert readable.number(2.6) == "2.60"
    assert readable.number(0) == "0.00"
    assert readable.number(61.666) == "61.67"
    assert readable.number(0.012345) == "0.0123"


def test_latex_is_a_whole_booktabs_table(study: Study) -> None:
    text = table_texts.latex(TABLES["results"](study), "100 % of it")
    lines = text.splitlines()
    assert lines[0].startswith("% 100 % of it Mean over seeds")
    kinds = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[1])
    assert kinds is not None
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + 2
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(kinds[1])}
    assert [lines[2], lines[4], lines[-2], lines[-1]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    assert r"final (\%)" in rows[0]
    assert rows[1].startswith(r"NAS-Bench-201 & DARTS & CIFAR-10 validation & 3 & 61.67 {\scriptsize [30.00, 85.00]} &")
    for line in lines[1:]:
        assert line.count("{") == line.count("}")
        assert not re.search(r"(?<!\\)[%_#]", line), line


def test_negative_numbers_in_latex_have_a_minus_sign() -> None:
    assert (
        table_texts.latex_cell("fall", "-1.50 [-2.00, 1.00] (n = 2)")
        == r"$-$1.50 {\scriptsize [$-$2.00, 1.00]} (n = 2)"
    )
    assert table_texts.latex_cell("space", "nasbench1shot1-s9") == "nasbench1shot1-s9"


def test_a_rule_stands_between_data_sets(tmp_path: Path) -> None:
    for space in ("nasbench201", "nasbench1shot1-s1"):
        for seed in range(3):
            write_run(tmp_path, "darts", seed, space)
    assert table_texts.latex(TABLES["results"](load(tmp_path))).count(r"\midrule") == 2


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_written_as_csv_markdown_and_latex(name: str, study: Study, tmp_path: Path) -> None:
    paths = write_table(TABLES[name](study), tmp_path, name)
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex"]
    pandas.testing.assert_frame_equal(pandas.read_csv(paths[0]), TABLES[name](study), check_dtype=False)
    table, note = paths[1].read_text().split("\n\n")
    lines = table.splitlines()
    assert len(lines) == 2 + 2
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert summaries.NOTES[name] in note
    assert summaries.INTERVALS in note
    assert paths[2].read_text().startswith("% ")
