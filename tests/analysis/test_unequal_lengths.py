"""Runs that a stopping rule ended: everything that averages, compares or draws runs of unequal length."""

from __future__ import annotations

import json
import math
from pathlib import Path

import matplotlib
import numpy
import pandas
import pytest

from nas_stability.analysis import averages, summaries
from nas_stability.analysis.claims import judging, windows
from nas_stability.analysis.figures.figures import FIGURES, PAPER, SCREEN, style
from nas_stability.analysis.page import whole_page
from nas_stability.analysis.statistics.intervals import bootstrap_mean
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.catalog import SPACES
from tests.analysis.figures.enriched import ANSWER, enriched
from tests.analysis.figures.words import check_words
from tests.analysis.test_analysis import write_run
from tests.small import load

SPACE = "nasbench201"
EPOCHS = 8
LENGTHS = {"darts": (8, 8, 8), "sdarts-rs": (8, 4, 6)}
"""Last epoch of each seed's run; the spec's is EPOCHS."""


def accuracy(method: str, seed: int, epoch: int) -> float:
    """The table's: rises up to epoch 4 and falls from there, but for sdarts-rs."""
    late = 4.0 * max(0, epoch - 4) if method == "darts" else 0.0
    return 80 + 2 * min(epoch, 4) - late + seed / 4


def eigenvalue(seed: int, epoch: int) -> float:
    """Measured in every second epoch."""
    return math.exp(0.1 * epoch + 0.01 * seed)


def lengthened(place: Path, method: str, seed: int, last: int) -> None:
    """Makes a run of ``write_run`` one of so many epochs."""
    first = pandas.read_csv(place / "epochs.csv").iloc[1:2]
    rows = pandas.concat([first.assign(epoch=epoch) for epoch in range(last + 1)], ignore_index=True)
    found = numpy.array([accuracy(method, seed, epoch) for epoch in rows["epoch"]])
    measured = [eigenvalue(seed, epoch) if epoch % 2 == 0 else math.nan for epoch in rows["epoch"]]
    rows[f"accuracy_{ANSWER}"], rows[f"regret_{ANSWER}"] = found, 95 - found
    rows["eigenvalue_max"] = rows["spectral_norm"] = measured
    rows[f"rank_tau_{ANSWER}"] = [0.5 if epoch % 2 == 0 else math.nan for epoch in rows["epoch"]]
    rows[f"rank_count_{ANSWER}"] = [100 if epoch % 2 == 0 else math.nan for epoch in rows["epoch"]]
    rows.to_csv(place / "epochs.csv", index=False)
    spectrum = pandas.read_csv(place / "spectrum.csv")
    start = spectrum[spectrum["epoch"] == 0]
    due = [start.assign(epoch=epoch) for epoch in range(0, last + 1, 2)]
    pandas.concat(due).to_csv(place / "spectrum.csv", index=False)
    generator = numpy.random.default_rng(seed)
    shapes = SPACES[SPACE].shapes
    logits = {f"group_{index}": generator.normal(size=(last + 1, *shape)) for index, shape in enumerate(shapes)}
    numpy.savez(place / "alphas.npz", **logits)
    record = json.loads((place / "run.json").read_text())
    record["spec"]["epochs"] = EPOCHS
    if last < EPOCHS:
        record["stopped"] = last
    (place / "run.json").write_text(json.dumps(record))


def written(folder: Path, lengths: dict[str, tuple[int, ...]]) -> Study:
    """A study of runs of these lengths."""
    for method, lasts in lengths.items():
        for seed, last in enumerate(lasts):
            place = write_run(folder, method, seed, SPACE)
            enriched(place, seed, SPACE)
            lengthened(place, method, seed, last)
    return load(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return written(tmp_path_factory.mktemp("unequal"), LENGTHS)


def test_a_mean_is_over_the_runs_that_are_there_in_each_epoch(study: Study) -> None:
    assert study.variants == [""], "how long a run was is no field of its spec"
    column = f"accuracy_{ANSWER}"
    found = averages.numbers_of(study, [(SPACE, column)]).set_index(["method", "epoch"])
    for method, lasts in LENGTHS.items():
        for epoch in range(EPOCHS + 1):
            there = [accuracy(method, seed, epoch) for seed, last in enumerate(lasts) if last >= epoch]
            row = found.loc[(method, epoch)]
            assert (row["seeds"], row["missing"]) == (len(there), 0)
            assert row["mean"] == pytest.approx(sum(there) / len(there))
            assert math.isnan(row["low"]) == (len(there) < 3)


def test_the_band_is_that_of_the_runs_that_are_there(tmp_path: Path) -> None:
    found = averages.numbers_of(written(tmp_path, {"darts": (8, 3, 8)}), [(SPACE, f"accuracy_{ANSWER}")])
    assert list(found["low"].notna()) == [True] * 4 + [False] * 5
    rows = pandas.DataFrame(
        [
            ("darts", "", f"r{seed}", epoch, float((seed * 7 + epoch * 3) % 5), last)
            for seed, last in enumerate((2, 1, 2, 2, 1))
            for epoch in range(last + 1)
        ],
        columns=["method", "variant", "run", "epoch", "value", "last"],
    )
    found = averages.over_epochs(rows, "value")
    for epoch, seeds in ((0, range(5)), (1, range(5)), (2, (0, 2, 3))):
        values = numpy.array([[float((seed * 7 + epoch * 3) % 5)] for seed in seeds])
        low, high = bootstrap_mean(values)
        assert (found.loc[epoch, "low"], found.loc[epoch, "high"]) == pytest.approx((low[0], high[0]))
    lacking = averages.over_epochs(
        rows.assign(value=rows["value"].mask((rows["run"] == "r0") & (rows["epoch"] == 2))), "value"
    )
    assert list(lacking["missing"]) == [0, 0, 1], "a value that lacks where the run is there is missing"
    assert list(lacking["seeds"]) == [5, 5, 2]
    assert math.isnan(lacking.loc[2, "low"])


def test_what_is_measured_now_and_then_is_averaged_over_the_runs_that_go_on(study: Study) -> None:
    found = averages.numbers_of(study, [(SPACE, "eigenvalue_max")])
    found = found[found["method"] == "sdarts-rs"].set_index("epoch")
    assert found["seeds"].to_dict() == {0: 3, 2: 3, 4: 3, 6: 2, 8: 1}
    assert set(found["missing"]) == {0}
    assert found.loc[6, "mean"] == pytest.approx((eigenvalue(0, 6) + eigenvalue(2, 6)) / 2)


def test_a_measurement_that_lacks_is_missing_as_long_as_the_run_goes_on(study: Study) -> None:
    rows = study.epochs.copy()
    run = rows.loc[(rows["method"] == "darts") & (rows["seed"] == 1), "run"].iloc[0]
    rows.loc[(rows["run"] == run) & (rows["epoch"] == EPOCHS), "eigenvalue_max"] = math.nan
    damaged = Study(study.folder, rows, study.spectrum, study.runs, study.places, ())
    found = averages.numbers_of(damaged, [(SPACE, "eigenvalue_max")]).set_index(["method", "epoch"])
    assert found.loc[("darts", EPOCHS), "missing"] == 1
    assert math.isnan(found.loc[("darts", EPOCHS), "low"])


def quarter(method: str, seed: int, which: int) -> float:
    """Mean accuracy over a quarter of a run's own epochs, by the definition."""
    last = LENGTHS[method][seed]
    epochs = [epoch for epoch in range(1, last + 1) if (which - 1) * last < 4 * epoch <= which * last]
    return sum(accuracy(method, seed, epoch) for epoch in epochs) / len(epochs)


def test_quarters_are_of_each_runs_own_length(study: Study) -> None:
    found = windows.per_run(study, SPACE).set_index(["method", "seed"])
    for method, lasts in LENGTHS.items():
        for seed in range(len(lasts)):
            row = found.loc[(method, seed)]
            assert row["early_accuracy"] == pytest.approx(quarter(method, seed, 2))
            assert row["late_accuracy"] == pytest.approx(quarter(method, seed, 4))
    judged = judging.judge(study).set_index("claim")
    better = [quarter("sdarts-rs", seed, 4) - quarter("darts", seed, 4) for seed in range(3)]
    row = judged.loc["sdarts-rs-ends-better"]
    assert (row["n"], row["missing"]) == (3, 0)
    assert row["estimate"] == pytest.approx(sum(better) / 3)


@pytest.mark.parametrize(("last", "known"), [(1, False), (2, True), (3, True)])
def test_a_run_without_a_second_quarter_is_missing_in_a_claim(last: int, known: bool, tmp_path: Path) -> None:
    found = windows.per_run(written(tmp_path, {"darts": (8, last)}), SPACE).set_index("seed")
    assert not math.isnan(found.loc[1, "late_accuracy"])
    assert math.isnan(found.loc[1, "early_accuracy"]) != known


def test_tables_are_of_each_runs_own_end(study: Study) -> None:
    found = summaries.results(study).set_index("method")
    ends = [accuracy("sdarts-rs", seed, last) for seed, last in enumerate(LENGTHS["sdarts-rs"])]
    assert found.loc["sdarts-rs", "final"] == pytest.approx(sum(ends) / 3)
    assert found.loc["sdarts-rs", "final_missing"] == 0
    assert (found.loc["sdarts-rs", "unanswered"], found.loc["sdarts-rs", "rows"]) == (0, 9 + 5 + 7)
    areas = [
        sum(accuracy("sdarts-rs", seed, epoch) for epoch in range(last + 1)) / (last + 1)
        for seed, last in enumerate(LENGTHS["sdarts-rs"])
    ]
    assert found.loc["sdarts-rs", "area"] == pytest.approx(sum(areas) / 3)
    of_eigenvalues = summaries.eigenvalues(study).set_index("method")
    last = [eigenvalue(seed, last) for seed, last in enumerate(LENGTHS["sdarts-rs"])]
    assert of_eigenvalues.loc["sdarts-rs", "last"] == pytest.approx(sum(last) / 3)


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.slow
def test_every_figure_is_drawn_of_them_and_can_be_read(paper: bool, study: Study) -> None:
    with matplotlib.rc_context(style(paper)):
        found = {name: made for name, draw in FIGURES.items() if (made := draw(study, PAPER if paper else SCREEN))}
        absent = {"methods", "ablation", "policies", "paper-trajectory", "paper-hessian", "paper-landscape"}
        assert found.keys() == FIGURES.keys() - absent
        for name, made in found.items():
            check_words(name, made.figure)
    shares = found["operations"].numbers
    shares = shares[shares["method"] == "sdarts-rs"].groupby("epoch")["seeds"].max()
    assert shares.to_dict() == {epoch: sum(last >= epoch for last in LENGTHS["sdarts-rs"]) for epoch in range(9)}
    spectrum = found["spectrum"].numbers
    assert set(spectrum.loc[(spectrum["method"] == "sdarts-rs") & (spectrum["epoch"] == 6), "seeds"]) == {2}
    assert list(found["eigenvalue-fall"].numbers["eigenvalue_last"].isna()) == [False] * 6


@pytest.mark.slow
def test_the_page_says_which_runs_ended_early(study: Study, tmp_path: Path) -> None:
    written = whole_page.write_report_and_page(study, tmp_path, workers=1)
    assert written.page is not None
    html = written.page.read_text()
    assert "6 finished runs of 4 to 8 epochs" in html
    assert "A stopping rule ended 2 runs before the last epoch." in html
    assert "A run that a stopping rule ended counts in means up to its last epoch." in written.shown["hessian"].caption
    grid = whole_page.every_run(study, whole_page.varied_fields(study.runs))
    place = [name for name, _ in grid.columns].index("stopped")
    assert [row[place].text for row in grid.rows] == ["\N{EM DASH}"] * 3 + ["\N{EM DASH}", "4", "6"]
    assert "stopped" not in html.partition("Every run")[0]
