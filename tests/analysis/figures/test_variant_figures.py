"""Figures of variants: each by itself, named, readable; the ablation by hand (H1)."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from nas_stability.analysis.figures import ablation
from nas_stability.analysis.figures.curves import draw_gap
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.figures.panels import PAPER, SCREEN, style
from nas_stability.analysis.report import write_report
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.errors import BadInput
from tests.analysis.figures.words import check_words
from tests.analysis.variant_studies import SEEDS, STUDIES, interval, written
from tests.analysis.written import ACCURACY
from tests.slow import slow_but
from tests.small import load


def drawn_by(study: Study, paper: bool) -> dict[str, object]:
    """Every figure that the study has data for."""
    with matplotlib.rc_context(style(paper)):
        return {name: found for name, draw in FIGURES.items() if (found := draw(study, PAPER if paper else SCREEN))}


WORDS = {"data": ("overview", "cells", "eigenvalue-fall", "ablation"), "baseline": ("gap",)}
"""Figures of a study whose words are looked at; all of the others'."""
DRAWN = [("radius", False), ("attack", True), ("data", False), ("baseline", True)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "paper"), DRAWN)
def test_every_figure_has_every_variant_by_itself_and_can_be_read(
    name: str, paper: bool, studies: dict[str, Study]
) -> None:
    study = studies[name]
    found = drawn_by(study, paper)
    expected = {*FIGURES} - {"methods", "policies", "paper-trajectory", "paper-hessian", "paper-landscape"}
    assert {*found} == expected
    labels = {label for label in study.variants if label}
    for figure, drawn in found.items():
        numbers = drawn.numbers  # type: ignore[attr-defined]
        here = set(numbers["variant"]) - {""}
        assert here <= labels if figure == "landscape" else here == labels, figure
        if "seeds" in numbers:
            assert numbers["seeds"].max() <= max(SEEDS[name]), figure
        assert not numbers.duplicated([c for c in numbers if c not in ("mean", "low", "high", "share")]).any(), figure
        if figure in WORDS.get(name, FIGURES):
            with matplotlib.rc_context(style(paper)):
                check_words(figure, drawn.figure)  # type: ignore[attr-defined]


NAMING = ("trajectory", "overview", "hessian", "gap", "cells", "operations", "flatness", "rank")
NAMED = [(figure, name) for figure in NAMING for name in STUDIES]


@pytest.mark.parametrize(
    ("figure", "name"), slow_but(NAMED, ("gap", "baseline"), ("hessian", "baseline"), ("trajectory", "baseline"))
)
def test_every_variant_is_named_in_the_figure(figure: str, name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    with matplotlib.rc_context(style(False)):
        drawn = FIGURES[figure](study)
    assert drawn is not None
    legends = [text.get_text() for legend in drawn.figure.legends for text in legend.get_texts()]
    titles = [panel.get_title().replace("\n", " ") for panel in drawn.figure.axes]
    for label in filter(None, study.variants):
        assert label in legends or any(label in title for title in titles), label


def test_a_line_per_variant_or_a_panel_per_variant(studies: dict[str, Study]) -> None:
    def lines(name: str) -> dict[str, int]:
        drawn = FIGURES["trajectory"](studies[name])
        assert drawn is not None
        return {panel.get_title(): len(panel.lines) for panel in drawn.figure.axes}

    assert lines("radius") == {"NAS-Bench-201\nDARTS": 5, "NAS-Bench-201\nSDARTS-RS": 5}
    labels = studies["attack"].variants
    assert lines("attack") == {f"1Shot1 S1\n{label}": 1 for label in labels}
    assert lines("baseline") == {"1Shot1 S1": 1, "NAS-Bench-201\nSDARTS-RS": 3}, "DARTS beside the variants"


def test_a_variant_that_is_not_there_is_refused_by_name(studies: dict[str, Study]) -> None:
    axes = matplotlib.figure.Figure().add_subplot()
    draw_gap(axes, studies["radius"], "nasbench201", "darts", "radius 0.1")
    with pytest.raises(BadInput, match=r"no run of darts in nasbench201 with variant '' \(its variants: radius 0.03; "):
        draw_gap(axes, studies["radius"], "nasbench201", "darts")


@pytest.mark.slow
def test_a_caption_says_what_a_label_leaves_out(studies: dict[str, Study], tmp_path: Path) -> None:
    caption = write_report(studies["attack"], tmp_path, only="gap").shown["gap"].caption
    assert "Variants are never averaged" in caption
    usual = "attack_steps 7, attack_batch_norm evaluation, attack_fallback true, batch_norm_momentum 0.997"
    assert f"has its usual value ({usual})." in caption
    plain = write_report(studies["radius"], tmp_path, only="gap").shown["gap"].caption
    assert "usual value" not in plain


def test_an_ablation_by_hand(studies: dict[str, Study]) -> None:
    drawn = ablation.ablation(studies["radius"])
    assert drawn is not None
    numbers = drawn.numbers.set_index(["method", "value", "column"])
    assert set(numbers["field"]) == {"radius"}
    for lower, radius in enumerate(("0.03", "0.1", "0.2", "0.3", "0.5")):
        final = [of_seed[-1] - lower for of_seed in ACCURACY["sdarts-rs"]]
        row = numbers.loc[("sdarts-rs", radius, "final")]
        assert (row["mean"], row["seeds"], row["missing"]) == (pytest.approx(sum(final) / 3), 3, 0)
        assert (row["low"], row["high"]) == pytest.approx(interval(final))
        lost = [of_seed[1] - (of_seed[2] - lower) for of_seed in ACCURACY["sdarts-rs"]]
        assert numbers.loc[("sdarts-rs", radius, "deterioration"), "mean"] == pytest.approx(sum(lost) / 3)
    first = drawn.figure.axes[0]
    assert first.get_xscale() == "log"
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["0.03", "0.1", "0.2", "0.3", "0.5"]
    assert len(drawn.figure.axes) == 3
    for panel, column in zip(drawn.figure.axes, ablation.QUANTITIES, strict=True):
        low, high = panel.get_ylim()
        values = ablation.series(studies["radius"])[0].runs[column]
        assert low < values.min() < values.max() < high, column
        assert high - low < 1.5 * (values.max() - values.min()), column
        assert panel.get_xlim()[0] < 0.03 < 0.5 < panel.get_xlim()[1]


@pytest.mark.slow
def test_an_ablation_holds_the_other_fields_at_their_usual_values(studies: dict[str, Study]) -> None:
    found = ablation.series(studies["attack"])
    assert {(one.field, one.rest, one.values) for one in found} == {
        ("attack_steps", "", ("1", "3", "7", "20")),
        ("attack_batch_norm", "", ("evaluation", "training")),
        ("attack_fallback", "", ("false", "true")),
        ("batch_norm_momentum", "", ("0.003", "0.997")),
    }
    assert {len(one.runs) for one in found} == {12, 6}
    drawn = ablation.ablation(studies["attack"])
    assert drawn is not None
    labels = [[tick.get_text() for tick in panel.get_xticklabels()] for panel in drawn.figure.axes[::3]]
    assert ["evaluation", "training"] in labels


def test_an_ablation_of_every_combination_has_a_row_per_setting_of_the_others(tmp_path: Path) -> None:
    both = [{"lr": lr, "radius": radius} for lr in (0.1, 0.2) for radius in (0.0, 0.3)]
    folder = written(tmp_path, [("nasbench201", "darts", seed, fields) for fields in both for seed in range(2)])
    found = [(one.field, one.rest) for one in ablation.series(load(folder))]
    assert found == [("lr", "radius 0"), ("lr", "radius 0.3"), ("radius", "lr 0.1"), ("radius", "lr 0.2")]
