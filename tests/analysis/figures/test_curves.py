"""Curves over epochs: the numbers that they show, by hand, and what is absent."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from nas_stability.analysis.figures import curves
from nas_stability.analysis.figures.figures import FIGURES, Drawn
from nas_stability.analysis.statistics.intervals import bootstrap_mean
from nas_stability.analysis.study import Study
from tests import oracles_figures as oracles
from tests.analysis.figures.enriched import ANSWER, S1, S2, S3, changed_study, without
from tests.analysis.written import ACCURACY, write_run
from tests.slow import slow_but
from tests.small import load


@pytest.mark.slow
def test_every_figure_has_a_caption_and_numbers(every: dict[str, Drawn]) -> None:
    assert list(every) == [name for name in FIGURES if name not in ("methods", "ablation", "policies")], (
        "few, and nothing varies"
    )
    for name, found in every.items():
        assert isinstance(found.figure, Figure), name
        assert found.caption.endswith("."), name
        assert len(found.numbers), name
        assert "space" in found.numbers, name


COLUMNS = {
    "trajectory": (f"error_{ANSWER}", lambda rows: 100 - rows[f"accuracy_{ANSWER}"]),
    "regret": (f"regret_{ANSWER}", lambda rows: rows[f"regret_{ANSWER}"]),
    "hessian": ("spectral_norm", lambda rows: rows["spectral_norm"]),
    "overview": (f"accuracy_{ANSWER}", lambda rows: rows[f"accuracy_{ANSWER}"]),
    "gap": ("discrete_valid_accuracy", lambda rows: rows["discrete_valid_accuracy"]),
    "flatness": (f"neighbours_mean_{ANSWER}", lambda rows: rows[f"neighbours_mean_{ANSWER}"]),
    "rank": (f"rank_tau_{ANSWER}", lambda rows: rows[f"rank_tau_{ANSWER}"]),
    "paper-trajectory": (f"error_{ANSWER}", lambda rows: 100 - rows[f"accuracy_{ANSWER}"]),
    "paper-hessian": ("eigenvalue_max", lambda rows: rows["eigenvalue_max"]),
}
"""Figure over epochs -> one of its columns, and how it is made of the rows of epochs.csv."""


@pytest.mark.parametrize("name", slow_but(COLUMNS, "trajectory", "paper-hessian"))
def test_the_numbers_of_a_curve_are_means_over_the_seeds_that_have_a_value(
    name: str, study: Study, drawn: dict[str, Drawn]
) -> None:
    column, made = COLUMNS[name]
    for space in (S2, "nasbench201") if not name.startswith("paper") else (S2,):
        rows = study.epochs[study.epochs["space"] == space]
        rows = rows.assign(value=made(rows))
        expected = oracles.mean_by_epoch(rows.to_dict("records"), "value")
        numbers = drawn[name].numbers
        found = numbers[(numbers["space"] == space) & (numbers["column"] == column)]
        assert len(found) == len(expected) == 6
        for row in found.itertuples():
            mean, seeds, missing = expected[row.method, row.epoch]
            assert (row.seeds, row.missing) == (seeds, missing)
            assert row.mean == pytest.approx(mean, nan_ok=True)
            values = rows.loc[(rows["method"] == row.method) & (rows["epoch"] == row.epoch), "value"].to_numpy()
            if missing:
                assert math.isnan(row.low)
            elif name == "regret":
                assert (row.low, row.high) == pytest.approx(oracles.standard_error_band(list(values)))
            else:
                low, high = bootstrap_mean(values[:, None])
                assert (row.low, row.high) == pytest.approx((low[0], high[0]))


@pytest.mark.parametrize("name", ["trajectory", "regret", "gap"])
def test_two_seeds_have_a_mean_and_no_band(name: str, tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, "darts", seed)
    found = FIGURES[name](load(tmp_path))
    assert found is not None
    assert set(found.numbers["seeds"]) == {2}
    assert found.numbers["mean"].notna().all()
    assert found.numbers[["low", "high"]].isna().all(axis=None)


def test_methods_side_by_side_share_the_label_of_their_space(drawn: dict[str, Drawn]) -> None:
    for name, label in {"gap": "accuracy (%)", "operations": "share", "spectrum": "eigenvalue, by size"}.items():
        labels = [panel.get_ylabel() for panel in drawn[name].figure.axes if panel.get_title()]
        spaces = ("1Shot1 S1", "1Shot1 S2", "1Shot1 S3", "NAS-Bench-201")
        assert labels == [text for space in spaces for text in (f"{space}\n{label}", "")]


def test_best_so_far_is_the_running_minimum_of_each_run(study: Study, drawn: dict[str, Drawn]) -> None:
    numbers = drawn["best-so-far"].numbers
    found = numbers[(numbers["space"] == "nasbench201") & (numbers["method"] == "darts")].set_index("epoch")["mean"]
    for epoch in range(3):
        lowest = [min(100 - value for value in seed[: epoch + 1]) for seed in ACCURACY["darts"]]
        assert found[epoch] == pytest.approx(sum(lowest) / 3)


def test_missing_table_values_are_said_in_the_panel(drawn: dict[str, Drawn]) -> None:
    labels = {panel.get_title(): panel.get_xlabel() for panel in drawn["trajectory"].figure.axes}
    assert labels["1Shot1 S2"] == "epoch\n1/18 missing"
    assert labels["1Shot1 S1"] == "epoch"


def test_a_rank_correlation_that_was_measured_but_is_undefined_counts_as_missing(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["rank"].numbers
    taus = numbers[(numbers["column"] == f"rank_tau_{ANSWER}") & (numbers["epoch"] == 1)]
    assert set(taus["missing"]) == {3}
    counts = numbers[numbers["column"] == f"rank_count_{ANSWER}"]
    assert counts["low"].isna().all()
    assert set(counts["mean"]) == {99, 100}


def test_counts_of_neighbours_are_beside_their_mean_and_worst(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["flatness"].numbers.set_index(["space", "column", "method", "epoch"])["mean"]
    assert numbers["nasbench201", "neighbours", "darts", 1] == 24
    assert numbers["nasbench201", f"neighbours_missing_{ANSWER}", "darts", 1] == 1
    assert numbers["nasbench201", f"neighbours_worst_{ANSWER}", "darts", 1] == pytest.approx(85 - 30)


def test_a_layer_that_was_not_measured_is_absent(folder: Path, tmp_path: Path) -> None:
    changed = changed_study(folder, tmp_path, lambda rows: rows.drop(columns=f"neighbours_worst_{ANSWER}"))
    assert curves.flatness_layers(changed, "nasbench201").keys() == {"architecture", "neighbours, mean"}
    changed = changed_study(folder, tmp_path, lambda rows: without(rows, "accuracy_"))
    assert curves.gap_layers(changed, "nasbench201").keys() == {"supernet, mixture", "supernet, one-hot"}
    assert FIGURES["gap"](changed) is not None


ABSENT: dict[str, tuple[str, ...]] = {
    "overview": ("eigenvalue_max",),
    "trajectory": ("accuracy_",),
    "best-so-far": ("accuracy_",),
    "regret": ("regret_",),
    "hessian": ("eigenvalue_max", "spectral_norm"),
    "eigenvalue-fall": ("accuracy_",),
    "cells": ("arch", "cell"),
    "flatness": ("neighbours",),
    "rank": ("rank_",),
    "paper-trajectory": ("accuracy_",),
    "paper-hessian": ("eigenvalue_max",),
}
"""Figure -> columns without which it is absent."""


@pytest.mark.parametrize("name", slow_but(ABSENT, "hessian"))
def test_a_figure_without_data_is_absent_not_empty(name: str, folder: Path, tmp_path: Path) -> None:
    spaces = (S1, S2, S3)
    same = changed_study(folder, tmp_path, lambda rows: rows, spaces)
    assert FIGURES[name](same) is not None
    assert FIGURES[name](changed_study(folder, tmp_path, lambda rows: without(rows, *ABSENT[name]), spaces)) is None


def test_figures_of_other_files_are_absent_without_them(folder: Path, tmp_path: Path) -> None:
    changed_study(folder, tmp_path, lambda rows: rows)
    for place in tmp_path.iterdir():
        (place / "spectrum.csv").write_text("epoch,index,eigenvalue\n")
        (place / "landscape.csv").unlink(missing_ok=True)
    found = load(tmp_path)
    for name in ("spectrum", "landscape", "paper-landscape", "paper-trajectory", "paper-hessian"):
        assert FIGURES[name](found) is None, name


def test_a_regret_of_zero_everywhere_has_a_linear_axis(folder: Path, tmp_path: Path) -> None:
    zero = changed_study(folder, tmp_path, lambda rows: rows.assign(**{f"regret_{ANSWER}": 0.0}))
    axes = curves.draw_regret(Figure().add_subplot(), zero, "nasbench201", ANSWER)
    assert axes.get_yscale() == "linear"
    some = curves.draw_regret(Figure().add_subplot(), load(folder), "nasbench201", ANSWER)
    assert some.get_yscale() == "log"
