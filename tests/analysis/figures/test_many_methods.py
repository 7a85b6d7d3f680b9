"""Studies of many methods: a panel for each, and labels at the ends of lines."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as some

from nas_stability.analysis.figures import multiples, trajectories
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.figures.line_ends import MANY, spread
from nas_stability.analysis.figures.panels import PAPER, SCREEN, colour, style
from nas_stability.analysis.study import Study
from tests.analysis.figures.words import check_words
from tests.analysis.written import ACCURACY, EIGENVALUE, write_run
from tests.small import load

ROOT = Path(__file__).parents[3]
METHODS = ("darts", "sdarts-rs", "pc-darts", "gdas", "nasp")


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Five methods, three seeds each; those that are not written by hand have the numbers of darts."""
    for method in METHODS[2:]:
        monkeypatch.setitem(ACCURACY, method, ACCURACY["darts"])
        monkeypatch.setitem(EIGENVALUE, method, EIGENVALUE["darts"])
    for method, seed in itertools.product(METHODS, range(3)):
        write_run(tmp_path, method, seed)
    return load(tmp_path)


@given(some.lists(some.floats(-2, 2), max_size=12).map(sorted), some.floats(0.01, 0.5))
def test_labels_are_moved_apart_and_keep_their_order(heights: list[float], least: float) -> None:
    found = spread(heights, least)
    assert len(found) == len(heights)
    assert all(above - below >= least - 1e-9 for below, above in itertools.pairwise(found))
    assert sum(found) == pytest.approx(sum(heights), abs=1e-9), "about where they were"
    if all(above - below >= least for below, above in itertools.pairwise(heights)):
        assert found == pytest.approx(heights, abs=1e-12), "what is apart stays"


def test_labels_by_hand() -> None:
    assert spread([0.0, 0.0], 0.2) == pytest.approx([-0.1, 0.1])
    assert spread([0.0, 0.1, 0.9], 0.2) == pytest.approx([-0.05, 0.15, 0.9])
    assert spread([0.0, 0.1, 0.2], 0.2) == pytest.approx([-0.1, 0.1, 0.3])


def test_many_methods_are_named_at_the_ends_of_their_means(crowd: Study) -> None:
    drawn = trajectories.trajectory(crowd)
    assert drawn is not None
    panel = drawn.figure.axes[0]
    named = {text.get_text(): text for text in panel.texts}
    assert {"DARTS", "SDARTS-RS", "PC-DARTS", "GDAS", "NASP"} == set(named)
    assert named["GDAS"].get_color() == colour("gdas", crowd.methods)
    heights = sorted(text.xy[1] for text in panel.texts)  # type: ignore[attr-defined]
    assert all(above - below > 0.02 for below, above in itertools.pairwise(heights))
    assert len(panel.collections) == 0, "no seeds and no bands"
    assert "named at their ends" in drawn.caption


def test_few_methods_are_not(crowd: Study, tmp_path: Path) -> None:
    for method, seed in itertools.product(METHODS[: MANY - 1], range(3)):
        write_run(tmp_path / "few", method, seed)
    few = load(tmp_path / "few")
    drawn = trajectories.trajectory(few)
    assert drawn is not None
    assert len(drawn.figure.axes[0].texts) == 0
    assert len(drawn.figure.axes[0].collections) > 0
    assert "named at their ends" not in drawn.caption
    assert multiples.methods(few) is None


def test_each_has_a_panel_before_the_others_in_grey(crowd: Study) -> None:
    drawn, plain = multiples.methods(crowd), trajectories.trajectory(crowd)
    assert drawn is not None
    assert plain is not None
    assert [panel.get_title() for panel in drawn.figure.axes] == ["DARTS", "SDARTS-RS", "PC-DARTS", "GDAS", "NASP"]
    for panel, method in zip(drawn.figure.axes, METHODS, strict=True):
        colours = [line.get_color() for line in panel.lines]
        assert colours.count(multiples.OTHERS) == len(METHODS) - 1
        assert colours.count(colour(method, crowd.methods)) == 1
        assert len(panel.collections) > 0
    assert len({panel.get_ylim() for panel in drawn.figure.axes}) == 1
    first = drawn.numbers["column"].iloc[0]
    shown = plain.numbers[plain.numbers["column"] == first].reset_index(drop=True)
    assert drawn.numbers.reset_index(drop=True).equals(shown)


@pytest.mark.slow
@pytest.mark.parametrize("paper", [False, True])
def test_the_published_study_of_seven_methods_can_be_read(paper: bool) -> None:
    study = load(ROOT / "results" / "published" / "stabilisers")
    assert len(study.methods) == 7
    with matplotlib.rc_context(style(paper)):
        for name in ("trajectory", "methods", "best-so-far", "regret", "hessian", "overview"):
            drawn = FIGURES[name](study, PAPER if paper else SCREEN)
            assert drawn is not None, name
            check_words(name, drawn.figure)
