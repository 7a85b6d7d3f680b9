"""Analysis: what is read, what is computed, what is drawn and what is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis import readable
from nas_stability.analysis.figures.curves import over_epochs
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.report import summary, write_report
from nas_stability.analysis.statistics.intervals import bootstrap_mean, estimate
from nas_stability.analysis.summaries import TABLES
from nas_stability.benchmarks.errors import BadInput
from tests.analysis.written import ACCURACY, write_run
from tests.small import load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for method in ACCURACY:
        for seed in range(3):
            write_run(tmp_path, method, seed)
    return tmp_path


def test_a_study_as_data_frames(folder: Path) -> None:
    (write_run(folder / "more", "darts", 0) / "run.json").unlink()
    (folder / "more" / "nasbench201-darts-digits-s0-00000000").rename(folder / "unfinished")
    study = load(folder)
    assert study.methods == ["darts", "sdarts-rs"]
    assert study.spaces == ["nasbench201"]
    assert study.answers("nasbench201") == ["accuracy_cifar10_valid"]
    assert len(study.epochs) == 18
    assert len(study.spectrum) == 54
    assert set(study.spectrum["method"]) == {"darts", "sdarts-rs"}
    assert study.unfinished == ("unfinished",)
    assert list(study.runs["seed"]) == [0, 1, 2] * 2
    assert study.alphas("nasbench201-darts-digits-s0-00000000")[0].shape == (3, 6, 5)


def test_one_run_is_a_study_of_one(folder: Path) -> None:
    assert len(load(next(folder.glob("*-s0-*"))).epochs) == 3


def test_what_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load(folder / "absent")
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no study and no run: it has no study\.json and no spec\.json$"):
        load(folder / "empty")
    for name, how in {"r.tar.xz": "tar -xf {} -C COPY$", "r.zip": "unzip {} -d COPY$"}.items():
        archive = folder / "empty" / name
        archive.write_bytes(b"")
        for what in (archive, archive.parent):
            with pytest.raises(BadInput, match=how.format(re.escape(str(archive)))):
                load(what)
        archive.unlink()
    place = next(folder.glob("*-s0-*"))
    record = (place / "run.json").read_text()
    (place / "run.json").write_text(record[:-5])
    with pytest.raises(BadInput, match=r"run\.json is not a run's record"):
        load(folder)
    (place / "run.json").write_text(record)
    (place / "alphas.npz").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"alphas\.npz cannot be read"):
        load(folder).alphas(place.name)
    whole = (place / "epochs.csv").read_bytes()
    (place / "epochs.csv").write_bytes(whole[:-30])
    with pytest.raises(BadInput, match=r"epochs\.csv is damaged: a line is not whole"):
        load(folder)
    (place / "epochs.csv").unlink()
    with pytest.raises(BadInput, match=r"epochs\.csv cannot be read"):
        load(folder)


def test_results_by_hand(folder: Path) -> None:
    found = TABLES["results"](load(folder)).set_index("method")
    assert found.loc["darts", "final"] == pytest.approx((70 + 30 + 85) / 3)
    assert found.loc["darts", "best"] == pytest.approx(85)
    assert found.loc["darts", "fall"] == pytest.approx((20 + 50 + 0) / 3)
    assert found.loc["sdarts-rs", "fall"] == 0
    assert found.loc["darts", "final_low"] < found.loc["darts", "final"] < found.loc["darts", "final_high"]
    assert found.loc["darts", "seeds"] == 3


def test_eigenvalues_by_hand(folder: Path) -> None:
    found = TABLES["eigenvalues"](load(folder)).set_index("method")
    assert found.loc["darts", "first"] == pytest.approx(2)
    assert found.loc["darts", "at_best"] == pytest.approx((1 + 2 + 3) / 3)
    assert found.loc["darts", "last"] == pytest.approx(3)
    assert found.loc["darts", "max"] == pytest.approx((3 + 4 + 3) / 3)
    assert found.loc["sdarts-rs", "at_best"] == pytest.approx(0.6)


def test_summary_has_a_row_per_method(folder: Path) -> None:
    found = summary(load(folder))
    assert list(found["method"]) == ["darts", "sdarts-rs"]
    assert list(found.columns) == ["space", "method", "answer", "seeds", "final", "best", "fall", "eigenvalue_max"]


def test_missing_values_are_counted_and_not_averaged_over(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "darts", seed, missing=seed == 0)
    study = load(tmp_path)
    numbers = over_epochs(study.epochs, "accuracy_cifar10_valid")
    last = numbers[numbers["epoch"] == 2].iloc[0]
    assert (last["seeds"], last["missing"]) == (2, 1)
    assert last["mean"] == pytest.approx((30 + 85) / 2)
    assert math.isnan(last["low"])
    found = TABLES["results"](study).iloc[0]
    assert found["final_missing"] == 1
    assert found["final"] == pytest.approx((30 + 85) / 2)
    assert math.isnan(found["final_low"])


def test_an_interval_of_two_seeds_is_refused_not_drawn() -> None:
    found = estimate(numpy.array([1.0, 3.0]))
    assert (found.mean, found.seeds) == (2, 2)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="at least 3 seeds, there are 2"):
        bootstrap_mean(numpy.ones((2, 1)))


def test_bootstrap_interval_equals_the_quantiles_of_all_resamples() -> None:
    """Of four values there are 4^4 equally likely resamples; the percentile interval is that of their means."""
    values = numpy.array([1.0, 2.0, 4.0, 8.0])
    grid = numpy.stack(numpy.meshgrid(*[values] * 4)).reshape(4, -1).mean(0)
    low, high = bootstrap_mean(values[:, None])
    assert float(low[0]) == pytest.approx(float(numpy.quantile(grid, 0.025)), abs=0.26)
    assert float(high[0]) == pytest.approx(float(numpy.quantile(grid, 0.975)), abs=0.26)


def test_the_band_over_epochs_keeps_the_seeds_paired(folder: Path) -> None:
    numbers = over_epochs(load(folder).epochs, "accuracy_cifar10_valid")
    assert list(numbers.columns) == ["method", "variant", "epoch", "seeds", "missing", "mean", "low", "high"]
    darts = numbers[numbers["method"] == "darts"].set_index("epoch")
    assert darts.loc[1, "mean"] == pytest.approx(85)
    assert darts.loc[0, "low"] == darts.loc[0, "high"] == 50
    assert darts.loc[2, "low"] < darts.loc[2, "mean"] < darts.loc[2, "high"]


@pytest.mark.slow
def test_the_report_has_every_figure_and_table_and_its_numbers(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = write_report(load(folder), out)
    names = {path.name for path in out.iterdir()}
    absent = ("methods", "cells", "landscape", "flatness", "rank", "ablation", "smoothing", "policies")
    absent += ("paper-trajectory", "paper-hessian", "paper-landscape")
    assert written.absent == absent
    figures = {f"{name}.{kind}" for name in FIGURES.keys() - set(absent) for kind in ("png", "pdf", "csv")}
    assert names == figures | {f"{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")}
    assert {path.name for path in written.files} == names
    markdown = (out / "results.md").read_text()
    assert "| darts |" in markdown
    assert "61.67 [30.00, 85.00]" in markdown
    before = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    write_report(load(folder), out, paper=True)
    assert {path.name: path.read_bytes() for path in out.glob("*.csv")} == before


@pytest.mark.slow
def test_two_processes_draw_what_one_draws(folder: Path, tmp_path: Path) -> None:
    one, two = (write_report(load(folder), tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert [path.name for path in two.files] == [path.name for path in one.files]
    assert [path.read_bytes() for path in two.files] == [path.read_bytes() for path in one.files]
    assert (two.shown, two.absent, list(two.tables)) == (one.shown, one.absent, list(one.tables))


def test_one_figure_only_and_an_unknown_one(folder: Path, tmp_path: Path) -> None:
    write_report(load(folder), tmp_path / "one", only="hessian")
    assert {path.stem for path in (tmp_path / "one").iterdir()} == {"hessian"}
    with pytest.raises(BadInput, match="unknown figure or table 'hesian'; did you mean 'hessian'"):
        write_report(load(folder), tmp_path / "none", only="hesian")
    assert not (tmp_path / "none").exists()


def test_numbers_for_people() -> None:
    assert readable.cell(12.345, 11.0, 13.0) == "12.35 [11.00, 13.00]"
    assert readable.cell(0.012345, math.nan, math.nan) == "0.0123"
    assert readable.cell(math.nan, math.nan, math.nan) == "-"


@pytest.mark.slow
def test_the_published_study_is_what_its_figure_shows() -> None:
    published = Path(__file__).parents[2] / "results" / "published" / "quick"
    study = load(published)
    found = {name: drawn for name, draw in FIGURES.items() if (drawn := draw(study))}
    assert {"overview", "trajectory", "regret", "hessian", "spectrum", "operations", "cells", "gap"} <= found.keys()
    for name, drawn in found.items():
        committed = pandas.read_csv(published / f"{name}.csv")
        pandas.testing.assert_frame_equal(drawn.numbers.reset_index(drop=True), committed, rtol=1e-9, check_dtype=False)
        assert (published / f"{name}.png").exists(), name
    for name in TABLES:
        committed = pandas.read_csv(published / f"{name}.csv")
        pandas.testing.assert_frame_equal(TABLES[name](study), committed, rtol=1e-9, check_dtype=False)
    assert {len(rows) for _, rows in study.epochs.groupby("run")} == {25}
    told = (published.parents[2] / "docs" / "understand" / "shipped.md").read_text()
    for row in summary(study).itertuples():
        assert f"{row.final:.2f}" in told
