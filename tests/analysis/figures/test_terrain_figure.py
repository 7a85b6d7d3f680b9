"""The pictures of a table's geometry hold the rows that they are given."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pandas
import pytest

from nas_stability.analysis.figures import terrain
from nas_stability.analysis.figures.terrain import Mapped

CLASSES = pandas.DataFrame(
    {"class": kind, "radius": radius, "alike": 10.0 * radius + kind}
    | {f"share_{number}": 100.0 if number == kind else 0.0 for number in range(1, 11)}
    for radius in (1, 2, 3)
    for kind in range(1, 11)
)
DISTANCES = pandas.DataFrame(
    {"distance": far, "worst": 50.0 - far, "quarter": 60.0, "median": 70.0 - far, "three_quarters": 80.0, "best": 90.0}
    for far in range(5)
)


def lines_of(axes: Any) -> list[list[tuple[float, float]]]:
    """The points of every line of a panel."""
    return [[(float(x), float(y)) for x, y in line.get_xydata()] for line in axes.get_lines()]


def test_three_panels_of_a_table() -> None:
    drawn = terrain.terrain(Mapped("A $pace", "digits test", CLASSES, DISTANCES))
    left, middle, right, bar = drawn.figure.axes
    assert lines_of(left)[0] == [(far, 70.0 - far) for far in range(5)]
    assert lines_of(left)[1] == [(far, 50.0 - far) for far in range(5)]
    assert lines_of(left)[2] == [(far, 90.0) for far in range(5)]
    image = middle.images[0]
    assert numpy.array_equal(image.get_array(), 100 * numpy.eye(10)), "the lowest class is the first row, drawn lowest"
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (0.5, 10.5, 0.5, 10.5)
    assert bar.get_ylabel() == "of those around (%)"
    assert lines_of(right) == [[(kind, 10.0 * radius + kind) for kind in range(1, 11)] for radius in (1, 2, 3)]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["within 1", "within 2", "within 3"]
    assert drawn.numbers is CLASSES
    assert drawn.figure.get_suptitle() == r"A \$pace, digits test", "a dollar is no formula"


def test_a_class_without_a_centre_is_left_blank() -> None:
    """Where all accuracies above a bound are equal a tenth may be empty: its row is not drawn as 0."""
    drawn = terrain.terrain(Mapped("A", "digits test", CLASSES[CLASSES["class"] != 4], DISTANCES))
    shares = drawn.figure.axes[1].images[0].get_array()
    assert numpy.ma.getmaskarray(shares)[3].all() or numpy.isnan(shares[3]).all()
    assert shares[4, 4] == 100


def test_the_best_path_stands_out() -> None:
    rows = pandas.DataFrame(
        {"path": path, "step": step, "arch": "x", "accuracy": accuracy, "best": int(path == 2)}
        for path, accuracies in ((1, (80.0, 60.0, 90.0)), (2, (80.0, 70.0, 90.0)), (3, (80.0, None, 90.0)))
        for step, accuracy in enumerate(accuracies)
    )
    drawn = terrain.paths(rows, "digits test")
    (axes,) = drawn.figure.axes
    *others, best = lines_of(axes)
    assert best == [(0, 80), (1, 70), (2, 90)]
    assert axes.get_lines()[-1].get_label() == "best path"
    assert others[0] == [(0, 80), (1, 60), (2, 90)]
    assert math.isnan(others[2][1][1]), "a missing answer breaks the line"
    assert axes.get_ylabel() == "digits test (%)"


def test_where_no_path_is_whole_none_stands_out() -> None:
    rows = pandas.DataFrame({"path": 1, "step": [0, 1], "arch": "x", "accuracy": [80.0, float("nan")], "best": 0})
    drawn = terrain.paths(rows, "digits test")
    assert drawn.figure.axes[0].get_legend() is None


@pytest.mark.parametrize("number", [1, terrain.MOST_LINES, terrain.MOST_LINES + 40])
def test_very_many_paths_are_not_all_drawn(number: int) -> None:
    rows = pandas.DataFrame(
        {"path": path, "step": step, "arch": "x", "accuracy": 50.0, "best": int(path == number)}
        for path in range(1, number + 1)
        for step in range(2)
    )
    drawn = terrain.paths(rows, "digits test")
    assert len(drawn.figure.axes[0].get_lines()) == min(number, terrain.MOST_LINES) + 1
    assert len(drawn.numbers) == 2 * number
