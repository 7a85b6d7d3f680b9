"""Small pictures as SVG and texts of the page: ticks, labels, charts, intervals, cells."""

from __future__ import annotations

import itertools
import math
import re

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from nas_stability.analysis.page import svg, texts
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.graphs import Graph, graphs

NAN = math.nan
NASBENCH201 = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
NASBENCH1SHOT1 = "01110/00101/00010/00001/00000 input,conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,output"


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_and_cover_the_range(low: float, width: float, most: int) -> None:
    high = low + width
    found = svg.ticks(low, high, most)
    step = found[1] - found[0]
    slack = 1e-6 * step
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= most + 3
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
    assert min(abs(mantissa - factor) for factor in (1, 2, 5)) < 1e-3
    assert found[1] - slack > low - step


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_labels_are_moved_apart_in_order(places: list[float]) -> None:
    moved = svg.spread(places, 10)
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    assert all(moved[b] - moved[a] >= 10 - 1e-9 for a, b in itertools.pairwise(order))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)
    if all(places[b] - places[a] >= 10 for a, b in itertools.pairwise(order)):
        assert moved == pytest.approx(places)


def points(d: str) -> list[list[tuple[float, float]]]:
    """The pieces of a path of M and L."""
    pieces = [piece.replace("h0", "") for piece in d.split("M")[1:]]
    return [[(float(a), float(b)) for a, b in (pair.split() for pair in piece.split("L"))] for piece in pieces]


def test_a_chart_read_back_by_its_ticks_gives_its_values() -> None:
    epochs = numpy.arange(0.0, 11.0)
    values = numpy.array([0.1, 0.5, -2.25, 3.0, numpy.nan, 1.0, numpy.nan, 2.0, 2.5, 2.75, 2.9])
    drawn = svg.chart(epochs, [svg.Line("one", values)], "nats", "alt")
    assert drawn is not None
    tick_y = re.findall(r'<text x="[\d.]+" y="([\d.]+)" class="tick-y">(.*?)</text>', drawn)
    tick_x = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="tick-x">(.*?)</text>', drawn)
    slope_y, zero_y = numpy.polyfit(
        [float(y) - 3.5 for y, _ in tick_y], [float(word.replace("\N{MINUS SIGN}", "-")) for _, word in tick_y], 1
    )
    slope_x, zero_x = numpy.polyfit([float(x) for x, _ in tick_x], [float(word) for _, word in tick_x], 1)
    pieces = points(re.findall(r'class="line dash-0" d="(.*?)"', drawn)[0])
    assert [len(piece) for piece in pieces] == [4, 1, 4]
    read = [(slope_x * x + zero_x, slope_y * y + zero_y) for piece in pieces for x, y in piece]
    present = numpy.isfinite(values)
    assert numpy.allclose([x for x, _ in read], epochs[present], atol=0.02)
    assert numpy.allclose([y for _, y in read], values[present], atol=0.02)
    marks = re.findall(r"M([\d.]+) \d+v6", re.findall(r'class="missing" d="(.*?)"', drawn)[0])
    assert numpy.allclose([slope_x * float(x) + zero_x for x in marks], epochs[~present], atol=0.02)
    assert ">2.90</text>" in drawn


def test_tick_texts_fit_the_margin() -> None:
    assert [svg.tick_text(value, 0.5) for value in (-0.5, 0, 2.5)] == ["\N{MINUS SIGN}0.5", "0.0", "2.5"]
    assert [svg.tick_text(value, 20) for value in (-20, 0, 100)] == ["\N{MINUS SIGN}20", "0", "100"]
    assert svg.tick_text(2e7, 1e7) == "2e+07"
    assert svg.tick_text(0.000002, 0.000001) == "2e-06"


def test_a_chart_without_a_value_is_none_and_a_constant_one_has_an_axis() -> None:
    assert svg.chart(numpy.arange(3.0), [svg.Line("one", numpy.full(3, numpy.nan))], "%", "alt") is None
    drawn = svg.chart(numpy.array([0.0]), [svg.Line("one", numpy.array([10.0]))], "%", "alt")
    assert drawn is not None
    assert drawn.count("tick-y") >= 2
    assert "nan" not in drawn


def test_an_interval_lies_where_its_numbers_are() -> None:
    drawn = svg.interval(2.0, 1.0, math.inf, 0.0, (-1.0, 3.0), "alt")
    estimate = float(re.findall(r'cx="([\d.]+)"', drawn)[0])
    low, high = (float(x) for x in re.findall(r'class="range" d="M([\d.]+) 14H([\d.]+)"', drawn)[0])
    threshold = float(re.findall(r'class="threshold" d="M([\d.]+) ', drawn)[0])
    assert (low - threshold) == pytest.approx(estimate - low) == pytest.approx(224 / 4)
    assert high == pytest.approx(232)
    bare = svg.interval(1.0, NAN, NAN, NAN, (0.0, 2.0), "alt")
    assert "range" not in bare
    assert "threshold" not in bare


def drawn(space: str, arch: str, cell: str) -> Markup | None:
    """The picture of an architecture of a space."""
    return svg.cell(graphs(FACTS[space].form, arch, cell), FACTS[space].operations)


def test_the_final_cell_is_drawn_from_either_text() -> None:
    edges = drawn("nasbench201", NASBENCH201, "")
    assert edges is not None
    assert edges.count('class="edge') == 6
    assert [edges.count(f">{word}<") for word in ("conv 3x3", "conv 1x1", "avg pool 3x3", "skip", "none")] == [
        1,
        1,
        1,
        2,
        1,
    ]
    vertices = drawn("nasbench1shot1-s1", "0123456789abcdef", NASBENCH1SHOT1)
    assert vertices is not None
    assert vertices.count('class="edge') == 7
    assert vertices.count("<rect") == 5
    assert "edges 0 to 1, 0 to 2, 0 to 3, 1 to 2, 1 to 4, 2 to 3, 3 to 4" in vertices
    assert drawn("nasbench201", "arch-2", "") is None
    assert drawn("nasbench1shot1-s1", "arch-2", "011/00 input,output") is None
    assert drawn("nasbench201", "|skip_connect~3|", "") is None


def test_several_kinds_of_cells_are_drawn_below_each_other_each_with_its_name() -> None:
    form = FACTS["nasbench201"].form._replace(inputs=2)
    found = graphs(form, "normal:|skip_connect~0|nor_conv_3x3~1|;reduction:|none~1|+|mine~2|", "")
    assert found["normal"] == Graph(("0", "1", "2"), ((0, 2, "skip_connect"), (1, 2, "nor_conv_3x3")))
    assert found["reduction"].edges == ((1, 2, "none"), (2, 3, "mine"))
    pictures = svg.cell(found, FACTS["nasbench201"].operations)
    assert pictures is not None
    assert pictures.count("<svg") == 2
    assert pictures.index(">normal<") < pictures.index(">conv 3x3<") < pictures.index(">reduction<")
    assert 'class="edge conv"' in pictures[pictures.index(">reduction<") :]
    assert graphs(form, "normal:|skip_connect~0|;reduction:", "") == {}


def test_seeds_and_durations_for_people() -> None:
    assert texts.seed_text([4, 0, 1, 2, 7, 2]) == "0\N{EN DASH}2, 4, 7"
    assert [texts.duration(seconds) for seconds in (4.21, 61, 3600.4, 3599.9, NAN)] == [
        "4.2 s",
        "1 min 1 s",
        "1 h 0 min",
        "1 h 0 min",
        "—",
    ]
