"""Landscapes: which is drawn, where its points lie, and what is left out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pandas

from nas_stability.analysis.figures import panels, planes
from nas_stability.analysis.figures.figures import FIGURES, Drawn
from tests.analysis.figures.enriched import ANSWER, S1, S2, S3, changed_study
from tests.small import load


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
