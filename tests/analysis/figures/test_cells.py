"""Operations and cells: shares by hand, graphs of both benchmarks, which cells are drawn."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy
import pandas
import pytest
from matplotlib.figure import Figure

from nas_stability.analysis.figures import final_cells, layout, looks
from nas_stability.analysis.figures.figures import Drawn
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.graphs import edges_graph, matrix_graph
from tests import oracles_figures as oracles
from tests.analysis.figures.enriched import ARCH, PUBLISHED, S1
from tests.analysis.written import ACCURACY, write_run
from tests.small import load


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


@pytest.mark.slow
def test_every_published_architecture_can_be_drawn() -> None:
    finals = final_cells.final_cells(load(PUBLISHED))
    assert len(finals) == 36
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
