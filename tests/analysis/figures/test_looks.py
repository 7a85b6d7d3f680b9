"""How figures look: order, colours, words that can be read, sizes, the same bytes, panels in a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nas_stability import analysis
from nas_stability.analysis.figures import curves, final_cells, panels, planes, spectrum
from nas_stability.analysis.figures.figures import FIGURES, Drawn, style
from nas_stability.analysis.names import METHODS
from nas_stability.analysis.report import write_figure
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.spaces.graphs import edges_graph
from tests.analysis.figures.enriched import ANSWER, ARCH, S1, S2, changed_study
from tests.analysis.figures.words import check_words
from tests.small import load


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


@pytest.mark.slow
def test_words_in_a_paper_are_large_enough_and_do_not_overlap(every: dict[str, Drawn]) -> None:
    with matplotlib.rc_context(style(paper=True)):
        for name, found in every.items():
            check_words(name, found.figure)


@pytest.mark.slow
def test_words_on_a_screen_are_large_enough_and_do_not_overlap(folder: Path, tmp_path: Path) -> None:
    small = changed_study(folder, tmp_path, lambda rows: rows, (S2,))
    with matplotlib.rc_context(style(paper=False)):
        for name, draw in FIGURES.items():
            if found := draw(small):
                check_words(name, found.figure)


WIDE = {"cells", "landscape", "smoothing", "paper-trajectory", "paper-hessian", "paper-landscape"}
"""Figures that take both columns of a paper."""


@pytest.mark.slow
def test_a_figure_for_a_paper_is_a_vector_of_one_or_two_columns_in_serif(
    every: dict[str, Drawn], tmp_path: Path
) -> None:
    widths = {name: found.figure.get_figwidth() for name, found in every.items()}
    assert widths == {name: 6.8 if name in WIDE else 3.3 for name in every}
    with matplotlib.rc_context(style(paper=True)):
        _, pdf, _ = write_figure(every["hessian"], tmp_path, "hessian")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf.read_bytes())
    assert box is not None
    assert float(box[1]) == pytest.approx(3.3 * 72)
    assert b"STIX" in pdf.read_bytes()
    assert b"/Subtype /Image" not in pdf.read_bytes()


@pytest.mark.slow
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
