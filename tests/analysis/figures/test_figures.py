"""Figures: the numbers that they show, by hand; what is absent; order, colours, and words that can be read."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy
import pandas
import pytest
import scipy.stats
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from nas_stability import analysis
from nas_stability.analysis.figures import curves, final_cells, layout, looks, panels, planes, spectrum
from nas_stability.analysis.figures.figures import FIGURES, PAPER, Drawn, style
from nas_stability.analysis.names import METHODS
from nas_stability.analysis.report import write_figure
from nas_stability.analysis.statistics.correlation import spearman, weighted_spearman
from nas_stability.analysis.statistics.intervals import bootstrap_mean
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.graphs import edges_graph, matrix_graph
from tests import oracles_figures as oracles
from tests.analysis.test_analysis import ACCURACY, write_run
from tests.small import load

S1, S2, S3 = "nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"
ANSWER = "cifar10_valid"
ARCH = "|{}~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
CELL = "011001/001100/000010/000010/000001/000000 input,maxpool3x3,conv3x3-bn-relu,conv1x1-bn-relu,{},output"
PUBLISHED = Path(__file__).parents[3] / "results" / "published" / "quick"

Enrich = Callable[[pandas.DataFrame], pandas.DataFrame]


def enriched(place: Path, seed: int, space: str) -> None:
    """Adds to a run all that a figure may show: neighbours, ranks, drawable architectures, logits, a landscape."""
    rows = pandas.read_csv(place / "epochs.csv")
    accuracy = rows[f"accuracy_{ANSWER}"]
    operation = ["nor_conv_3x3", "skip_connect", "none"][seed]
    node = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"][seed]
    rows = rows.assign(
        arch=ARCH.format(operation) if space == "nasbench201" else f"{seed:032d}",
        cell="" if space == "nasbench201" else CELL.format(node),
        neighbours=24,
        **{
            f"neighbours_mean_{ANSWER}": accuracy - 5 - seed,
            f"neighbours_worst_{ANSWER}": accuracy - 30,
            f"neighbours_missing_{ANSWER}": seed,
            f"rank_tau_{ANSWER}": [0.1, numpy.nan, 0.5 + 0.1 * seed],
            f"rank_count_{ANSWER}": [100, 100, 99],
        },
    )
    rows.to_csv(place / "epochs.csv", index=False)
    shapes = SPACES[space].shapes
    generator = numpy.random.default_rng(seed)
    logits = {f"group_{index}": generator.standard_normal((3, *shape)) for index, shape in enumerate(shapes)}
    numpy.savez(place / "alphas.npz", **logits)
    size, directions = sum(rows * columns for rows, columns in shapes), sum(rows for rows, _ in shapes)
    lines = ["epoch,index,eigenvalue"]
    for epoch in range(3):
        values = generator.normal(0, 1, size - directions)
        every = sorted([*values, *generator.normal(0, 1e-9, directions)])
        lines += [f"{epoch},{index},{value}" for index, value in enumerate(every)]
    (place / "spectrum.csv").write_text("\n".join(lines) + "\n")
    if seed > 0:  # so that the lowest seed that has one is 1
        points = numpy.linspace(-1.5, 1.5, 5)
        grid = [
            (x, y, 2.0, 60 - 10 * x * x - 5 * y * y - seed, "a", 90.0 + x if y < 1 else numpy.nan)
            for y in points
            for x in points
        ]
        columns = ["x", "y", "valid_loss", "valid_accuracy", "arch", f"accuracy_{ANSWER}"]
        pandas.DataFrame(grid, columns=columns).to_csv(place / "landscape.csv", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, three seeds, all four spaces; the table lacks the last architecture of one run of S2."""
    place = tmp_path_factory.mktemp("study")
    for space, method, seed in itertools.product(SPACES, ACCURACY, range(3)):
        missing = (space, method, seed) == (S2, "darts", 0)
        enriched(write_run(place, method, seed, space, missing), seed, space)
    return place


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return load(folder)


@pytest.fixture(scope="module")
def drawn(study: Study) -> dict[str, Drawn]:
    """Every figure, for a paper."""
    with matplotlib.rc_context(style(paper=True)):
        return {name: found for name, draw in FIGURES.items() if (found := draw(study, PAPER))}


def test_every_figure_has_a_caption_and_numbers(drawn: dict[str, Drawn]) -> None:
    assert list(drawn) == [name for name in FIGURES if name != "ablation"], "nothing varies"
    for name, found in drawn.items():
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


@pytest.mark.parametrize("name", COLUMNS)
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


def changed_study(folder: Path, out: Path, change: Enrich, spaces: tuple[str, ...] = ("nasbench201",)) -> Study:
    """A copy of the runs of some spaces with their epochs.csv changed."""
    for place in folder.iterdir():
        if place.name.startswith(spaces):
            copy = out / place.name
            copy.mkdir(exist_ok=True)
            for file in place.iterdir():
                (copy / file.name).write_bytes(file.read_bytes())
            change(pandas.read_csv(place / "epochs.csv")).to_csv(copy / "epochs.csv", index=False)
    return load(out)


def without(rows: pandas.DataFrame, *prefixes: str) -> pandas.DataFrame:
    """Rows with some columns emptied."""
    return rows.assign(**{name: numpy.nan for name in rows.columns if name.startswith(prefixes)})


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


@pytest.mark.parametrize("name", ABSENT)
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


def test_the_spectrum_is_the_mean_by_place_and_marks_the_null_directions(study: Study, drawn: dict[str, Drawn]) -> None:
    numbers = drawn["spectrum"].numbers
    for space in ("nasbench201", S3):
        shapes = SPACES[space].shapes
        directions = sum(rows for rows, _ in shapes)
        found = numbers[(numbers["space"] == space) & (numbers["method"] == "darts") & (numbers["epoch"] == 1)]
        rows = study.spectrum[(study.spectrum["space"] == space) & (study.spectrum["method"] == "darts")]
        runs = [run.loc[run["epoch"] == 1, "eigenvalue"].tolist() for _, run in rows.groupby("run")]
        null = [oracles.null_places(run, directions, 0.0) for run in runs]
        assert found["null_share"].sum() == pytest.approx(directions)
        for row in found.itertuples():
            assert row.mean == pytest.approx(sum(run[row.index] for run in runs) / 3)
            assert row.null_share == pytest.approx(sum(row.index in places for places in null) / 3)


def test_null_directions_lie_at_the_weight_decay_where_the_hessian_has_it(folder: Path, tmp_path: Path) -> None:
    changed_study(folder, tmp_path, lambda rows: rows)
    for place in tmp_path.iterdir():
        record = json.loads((place / "run.json").read_text())
        record["spec"] |= {"hessian_weight_decay": True, "arch_weight_decay": 0.7}
        (place / "run.json").write_text(json.dumps(record))
        rows = pandas.read_csv(place / "spectrum.csv")
        rows.assign(eigenvalue=rows["eigenvalue"] + 0.7).to_csv(place / "spectrum.csv", index=False)
    shifted = spectrum.spectrum_numbers(load(tmp_path), "nasbench201", "darts")
    plain = spectrum.spectrum_numbers(load(folder), "nasbench201", "darts")
    assert list(shifted["null_share"]) == list(plain["null_share"])


def test_the_published_spectra_have_one_null_direction_per_row_and_no_more() -> None:
    """Also in NAS-Bench-201: the row of an edge has four other operations, which the shift alone does not fix."""
    published = load(PUBLISHED)
    for run, rows in published.spectrum.groupby("run"):
        directions = sum(group.shape[1] for group in published.alphas(str(run)))
        assert set(rows["eigenvalue"].abs().lt(1e-7).groupby(rows["epoch"]).sum()) == {directions}
        assert directions == sum(count for count, _ in SPACES[rows["space"].iloc[0]].shapes)


def test_a_rank_correlation_is_spearmans_and_resamples_whole_seeds() -> None:
    generator = numpy.random.default_rng(3)
    seeds = numpy.repeat(numpy.arange(4), 3)
    first = generator.integers(0, 5, 12).astype(float)
    second = first + generator.integers(0, 4, 12)
    found = spearman(numpy.append(first, numpy.nan), numpy.append(second, 1.0), numpy.append(seeds, 9))
    assert (found.runs, found.missing) == (12, 1)
    assert found.rho == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    parts = [{seed: list(values[seeds == seed]) for seed in range(4)} for values in (first, second)]
    every = [oracles.spearman_of_seeds(*parts, chosen) for chosen in itertools.product(range(4), repeat=4)]
    low, high = numpy.quantile(every, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.low < found.rho < found.high


def test_weighted_ranks_equal_those_of_repeated_values() -> None:
    generator = numpy.random.default_rng(4)
    first, second = generator.integers(0, 4, (2, 7)).astype(float)
    times = generator.integers(0, 3, (50, 7)).astype(float)
    found = weighted_spearman(first, second, times)
    for row, rho in zip(times.astype(int), found, strict=True):
        expected = oracles.spearman(list(numpy.repeat(first, row)), list(numpy.repeat(second, row)))
        assert rho == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0], "constant"),
        ([1.0, 2.0], [1.0, 2.0], "two seeds"),
        ([1.0], [1.0], "one run"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 1.0], "constant in eight of 27 resamples"),
    ],
)
def test_an_interval_of_a_correlation_is_refused_where_it_means_nothing(
    first: list[float], second: list[float], reason: str
) -> None:
    found = spearman(numpy.array(first), numpy.array(second), numpy.arange(len(first)))
    assert math.isnan(found.low), reason
    assert math.isnan(found.high), reason


def test_points_of_the_scatter_are_the_last_eigenvalue_and_the_fall(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["eigenvalue-fall"].numbers.set_index(["space", "method", "seed"])
    assert numbers.loc[("nasbench201", "darts", 1), "fall"] == 50
    assert numbers.loc[("nasbench201", "darts", 1), "eigenvalue_last"] == 4
    assert math.isnan(numbers.loc[(S2, "darts", 0), "fall"])
    assert set(numbers.loc[S2, "missing"]) == {1}
    titles = [panel.get_title() for panel in drawn["eigenvalue-fall"].figure.axes]
    assert any(title.startswith("1Shot1 S2, n = 5, 1 missing\n") for title in titles)


def test_shares_of_operations_count_rows_by_their_largest_logit(study: Study, drawn: dict[str, Drawn]) -> None:
    numbers = drawn["operations"].numbers.set_index(["space", "method", "epoch", "operation"])["share"]
    for space, method, epoch in itertools.product(("nasbench201", S1), ACCURACY, range(3)):
        runs = study.epochs.loc[(study.epochs["space"] == space) & (study.epochs["method"] == method), "run"].unique()
        for index, operation in enumerate(FACTS[space].groups[0][0]):
            shares = [oracles.share_of(study.alphas(run)[0][epoch].tolist(), index) for run in runs]
            assert numbers[space, method, epoch, operation] == pytest.approx(sum(shares) / 3)


def test_ties_of_logits_go_to_the_first_operation(tmp_path: Path) -> None:
    write_run(tmp_path, "darts", 0)  # its logits are all zero
    found = final_cells.operation_shares(load(tmp_path), "nasbench201", "darts")
    assert set(found.loc[found["share"] == 1, "operation"]) == {"none"}


def test_shares_of_the_published_study_equal_the_harnesses_own_columns() -> None:
    published = load(PUBLISHED)
    assert set(published.runs["query"]) == {"after"}
    compared = {"nasbench201": {"skip_connect": "share_skip", "none": "share_none", "avg_pool_3x3": "share_pool"}}
    compared[S1] = {"maxpool3x3": "share_pool"}
    for space, method, _ in layout.groups_of(published, published.spaces):
        numbers = final_cells.operation_shares(published, space, method)
        rows = published.epochs[(published.epochs["space"] == space) & (published.epochs["method"] == method)]
        for operation, column in compared[space].items():
            expected = rows.groupby("epoch")[column].mean()
            found = numbers[numbers["operation"] == operation].set_index("epoch")["share"]
            numpy.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_same_label_has_the_same_colour_and_no_two_labels_of_a_study_share_one() -> None:
    found = looks.looks(FACTS.values())
    colours = {look.name: look.colour for look in found.values()}
    assert len(set(colours.values())) == len(colours)
    assert colours["conv 3x3"] == looks.looks([FACTS["nasbench201"]])["nor_conv_3x3"].colour
    assert [name for name, look in found.items() if not look.carries] == ["none"]


def test_an_architecture_of_nasbench201_as_a_graph() -> None:
    found = edges_graph(ARCH.format("nor_conv_3x3"))
    assert found.nodes == ("0", "1", "2", "3")
    assert found.edges == (
        (0, 1, "nor_conv_3x3"),
        (0, 2, "skip_connect"),
        (1, 2, "none"),
        (0, 3, "nor_conv_1x1"),
        (1, 3, "avg_pool_3x3"),
        (2, 3, "nor_conv_3x3"),
    )
    for text in ("", "arch-1", "|none|", "|~0|"):
        with pytest.raises(ValueError, match="no cell with operations on its edges"):
            edges_graph(text)


def test_a_cell_of_nasbench101_as_a_graph() -> None:
    found = matrix_graph("0110/0011/0001/0000 input,maxpool3x3,conv3x3-bn-relu,output")
    assert found.nodes == ("input", "maxpool3x3", "conv3x3-bn-relu", "output")
    assert found.edges == ((0, 1, ""), (0, 2, ""), (1, 2, ""), (1, 3, ""), (2, 3, ""))
    for text in ("0110/0011 input,output", "01/00 input", "02/00 input,output"):
        with pytest.raises(ValueError, match=r"not a cell of NAS-Bench-101"):
            matrix_graph(text)


def test_every_published_architecture_can_be_drawn() -> None:
    finals = final_cells.final_cells(load(PUBLISHED))
    assert len(finals) == 18
    for row in finals.to_dict("records"):
        (graph,) = final_cells.graphs_of(load(PUBLISHED), row).values()
        arrows = sum(operation != "none" for _, _, operation in graph.edges)
        axes = final_cells.draw_cell(Figure().add_subplot(), graph)
        assert len(axes.patches) == arrows


def test_the_worst_the_median_and_the_best_cell() -> None:
    def places(values: list[float]) -> dict[str, str]:
        frame = pandas.DataFrame({"run": list("abcde")[: len(values)], "seed": range(len(values)), "accuracy": values})
        return final_cells.representatives(frame)

    assert places([3.0, 1.0, 2.0]) == {"worst": "b", "median": "c", "best": "a"}
    assert places([4.0, 3.0, 2.0, 1.0]) == {"worst": "d", "median": "c", "best": "a"}
    assert places([2.0, 1.0]) == {"worst": "b", "best": "a"}
    assert places([7.0]) == {"median": "a"}
    assert places([math.nan, 2.0, 1.0]) == {"worst": "c", "best": "b"}
    assert places([math.nan, math.nan]) == {"median": "a"}


def test_cells_are_listed_whole_and_drawn_with_their_accuracy(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["cells"].numbers
    assert len(numbers) == 24
    assert numbers.loc[numbers["space"] == "nasbench201", "drawn"].notna().all()
    assert numbers.loc[numbers["accuracy"].isna(), "drawn"].isna().all()
    titles = [panel.get_title() for panel in drawn["cells"].figure.axes]
    assert "NAS-Bench-201, worst\nDARTS, seed 1: 30.00 %" in titles
    assert "SDARTS-RS, seed 2: 90.00 %" in titles


def test_half_of_a_bezier_curve_lies_on_it() -> None:
    points = numpy.array([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]])

    def at(control: numpy.ndarray, t: float) -> numpy.ndarray:
        return (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t * t * control[2]

    part = final_cells.bezier_part(points, 0.25)
    for t in (0.0, 0.3, 1.0):
        numpy.testing.assert_allclose(at(part, t), at(points, 0.25 + 0.5 * t))


def test_a_landscape_is_that_of_the_lowest_seed_that_has_one(drawn: dict[str, Drawn]) -> None:
    numbers = drawn["landscape"].numbers
    assert set(numbers["seed"]) == {1}
    assert len(numbers) == 4 * 2 * 25
    middle = numbers[(numbers["x"] == 0) & (numbers["y"] == 0)]
    assert set(middle["valid_accuracy"]) == {59.0}
    found = numbers[numbers["y"] > 1]
    assert found[f"accuracy_{ANSWER}"].isna().all()
    assert len(drawn["landscape"].figure.axes) == 4 * (3 * 2 + 2)
    assert len(drawn["paper-landscape"].figure.axes) == 3 * 2
    assert set(drawn["paper-landscape"].numbers["space"]) == {S1, S2, S3}


def test_a_grid_puts_x_across_and_y_up_and_leaves_gaps_where_points_are_missing() -> None:
    frame = pandas.DataFrame({"x": [0.0, 1.0, 0.0], "y": [0.0, 0.0, 1.0], "valid_accuracy": [1.0, 2.0, 3.0]})
    x, y, values = planes.grid_of(frame, "valid_accuracy")
    assert list(x) == list(y) == [0, 1]
    assert values[0, 0] == 1
    assert values[0, 1] == 2
    assert values[1, 0] == 3
    assert math.isnan(values[1, 1])


def test_without_the_tables_layer_the_landscape_has_two_rows(folder: Path, tmp_path: Path) -> None:
    changed_study(folder, tmp_path, lambda rows: rows)
    for path in tmp_path.glob("*/landscape.csv"):
        pandas.read_csv(path).drop(columns=f"accuracy_{ANSWER}").to_csv(path, index=False)
    found = FIGURES["landscape"](load(tmp_path))
    assert found is not None
    assert len(found.figure.axes) == 2 * 2 + 1


def test_edges_lie_half_way_between_centres() -> None:
    assert list(panels.edges(numpy.array([0.0, 1.0, 3.0]))) == [-0.5, 0.5, 2.0, 4.0]
    assert list(panels.edges(numpy.array([5.0]))) == [4.5, 5.5]


def test_methods_keep_their_order_and_colours(drawn: dict[str, Drawn]) -> None:
    assert len({panels.colour(method, []) for method in METHODS}) == len(METHODS)
    assert panels.colour("sdarts-rs", ["sdarts-rs"]) == panels.colour("sdarts-rs", list(METHODS))
    assert panels.colour("new", ["darts", "new"]) not in {panels.colour(method, []) for method in METHODS}
    for name in ("overview", "trajectory", "best-so-far", "regret", "hessian", "eigenvalue-fall", "rank"):
        (legend,) = drawn[name].figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["DARTS", "SDARTS-RS"]
        colours = [to_hex(handle.get_color()) for handle in legend.legend_handles]  # type: ignore[union-attr]
        assert colours == [panels.colour("darts", []).lower(), panels.colour("sdarts-rs", []).lower()]
    panel = drawn["trajectory"].figure.axes[0]
    assert {to_hex(line.get_color()) for line in panel.lines} == {"#d55e00", "#0072b2"}
    assert [len(seeds.get_segments()) for seeds in panel.collections if hasattr(seeds, "get_segments")] == [3, 3]


def words(figure: Figure) -> Iterator[tuple[Text, Bbox]]:
    """Every text of a figure that is seen, and where; panels in space are left out: their labels turn."""
    texts: list[Text] = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if hasattr(axes, "zaxis"):
            continue
        texts += [axes.title, *axes.texts]
        if axes.axison:
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                texts += [axis.label, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text in texts:
        if text.get_visible() and text.get_text().strip():
            yield text, text.get_window_extent(renderer)


def check_words(name: str, figure: Figure) -> None:
    """Every word is large enough, inside the figure, and not over another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    seen = list(words(figure))
    for text, box in seen:
        assert text.get_fontsize() >= (6 if name == "cells" else 7), (name, text.get_text())
        assert min(box.x0, box.y0) > -1, (name, text.get_text())
        assert box.x1 < width + 1, (name, text.get_text())
        assert box.y1 < height + 1, (name, text.get_text())
    low, high = (numpy.array([getattr(box, end) for _, box in seen]) for end in ("min", "max"))
    shared = numpy.minimum(high[:, None], high) - numpy.maximum(low[:, None], low)
    over = numpy.triu((shared > 1).all(-1), k=1)
    assert not over.any(), (name, [[seen[index][0].get_text() for index in pair] for pair in numpy.argwhere(over)])


def test_words_in_a_paper_are_large_enough_and_do_not_overlap(drawn: dict[str, Drawn]) -> None:
    with matplotlib.rc_context(style(paper=True)):
        for name, found in drawn.items():
            check_words(name, found.figure)


def test_words_on_a_screen_are_large_enough_and_do_not_overlap(folder: Path, tmp_path: Path) -> None:
    small = changed_study(folder, tmp_path, lambda rows: rows, (S2,))
    with matplotlib.rc_context(style(paper=False)):
        for name, draw in FIGURES.items():
            if found := draw(small):
                check_words(name, found.figure)


WIDE = {"cells", "landscape", "paper-trajectory", "paper-hessian", "paper-landscape"}
"""Figures that take both columns of a paper."""


def test_a_figure_for_a_paper_is_a_vector_of_one_or_two_columns_in_serif(
    drawn: dict[str, Drawn], tmp_path: Path
) -> None:
    widths = {name: found.figure.get_figwidth() for name, found in drawn.items()}
    assert widths == {name: 6.8 if name in WIDE else 3.3 for name in drawn}
    with matplotlib.rc_context(style(paper=True)):
        _, pdf, _ = write_figure(drawn["hessian"], tmp_path, "hessian")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf.read_bytes())
    assert box is not None
    assert float(box[1]) == pytest.approx(3.3 * 72)
    assert b"STIX" in pdf.read_bytes()
    assert b"/Subtype /Image" not in pdf.read_bytes()


def test_a_figure_is_the_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    kept: list[dict[str, bytes]] = []
    for time in ("once", "again"):
        (tmp_path / time).mkdir()
        with matplotlib.rc_context(style(paper=False)):
            found = FIGURES["paper-hessian"](load(folder))
            assert found is not None
            written = write_figure(found, tmp_path / time, "hessian")
        kept.append({path.name: path.read_bytes() for path in written})
    assert len(kept[0]) == 3
    assert kept[0] == kept[1]


PANELS: dict[str, Callable[[Axes, Study], Axes]] = {
    "accuracy": lambda axes, study: curves.draw_accuracy(axes, study, S1, ANSWER),
    "trajectory": lambda axes, study: curves.draw_trajectory(axes, study, S1, ANSWER),
    "best so far": lambda axes, study: curves.draw_best_so_far(axes, study, S1, ANSWER),
    "regret": lambda axes, study: curves.draw_regret(axes, study, S1, ANSWER),
    "hessian": lambda axes, study: curves.draw_hessian(axes, study, S1, "spectral_norm"),
    "rank": lambda axes, study: curves.draw_rank(axes, study, S1, ANSWER),
    "gap": lambda axes, study: curves.draw_gap(axes, study, S1, "darts"),
    "flatness": lambda axes, study: curves.draw_flatness(axes, study, S1, "darts"),
    "spectrum": lambda axes, study: spectrum.draw_spectrum(axes, study, S1, "darts"),
    "eigenvalue and fall": lambda axes, study: spectrum.draw_eigenvalue_fall(axes, study, S1),
    "operations": lambda axes, study: final_cells.draw_operations(axes, study, S1, "darts"),
}


@pytest.mark.parametrize("name", PANELS)
def test_a_notebook_draws_a_panel_into_an_axis_of_its_own(name: str, folder: Path) -> None:
    study = analysis.load(str(folder), verify=False)
    figure, axes = pyplot.subplots()
    assert PANELS[name](axes, study) is axes
    assert axes.has_data()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    pyplot.close(figure)


def test_a_notebook_draws_landscapes_and_cells(study: Study) -> None:
    frame = planes.landscape_of(study, S1, "darts")
    assert frame is not None
    figure = Figure()
    surface = figure.add_subplot(projection="3d")
    assert planes.draw_surface(surface, frame) is surface
    flat = figure.add_subplot()
    assert planes.draw_contour(flat, frame) is flat
    assert planes.draw_table_layer(flat, frame, f"accuracy_{ANSWER}") is flat
    assert final_cells.draw_cell(flat, edges_graph(ARCH.format("none"))) is flat


def test_a_regret_of_zero_everywhere_has_a_linear_axis(folder: Path, tmp_path: Path) -> None:
    zero = changed_study(folder, tmp_path, lambda rows: rows.assign(**{f"regret_{ANSWER}": 0.0}))
    axes = curves.draw_regret(Figure().add_subplot(), zero, "nasbench201", ANSWER)
    assert axes.get_yscale() == "linear"
    some = curves.draw_regret(Figure().add_subplot(), load(folder), "nasbench201", ANSWER)
    assert some.get_yscale() == "log"
