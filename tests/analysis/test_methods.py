"""Methods in figures and tables: their titles, their order, their colours."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.analysis import names
from nas_stability.analysis.figures.panels import PALETTE, colour
from nas_stability.benchmarks import plugins
from nas_stability.harness.methods import compositions

TITLES = {
    "darts": "DARTS",
    "darts-2nd": "DARTS (2nd order)",
    "sdarts-rs": "SDARTS-RS",
    "sdarts-adv": "SDARTS-ADV",
    "darts-2nd-rs": "DARTS (2nd order)-RS",
    "darts-2nd-adv": "DARTS (2nd order)-ADV",
}

PLUGIN = """
from nas_stability.harness.methods.compositions import Method

METHODS = {"tilted": Method("Tilted DARTS"), "plain": Method()}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plugins.Plugin:
    monkeypatch.setattr(plugins, "LOADED", {})
    (tmp_path / "mine.py").write_text(PLUGIN)
    return plugins.load("mine.py", tmp_path)


def test_titles_are_those_of_the_compositions() -> None:
    for name, title in TITLES.items():
        assert names.method_name(name) == title
    assert all(method.title for method in compositions.METHODS.values())
    assert names.method_name("of-nobody") == "OF-NOBODY"


def test_the_titles_of_a_plug_in_are_known_once_it_is_loaded(plugin: plugins.Plugin) -> None:
    found = {name: names.method_name(name) for name in ("tilted", "tilted-rs", "tilted-other", "plain", "plain-adv")}
    assert found == {
        "tilted": "Tilted DARTS",
        "tilted-rs": "Tilted DARTS-RS",
        "tilted-other": "TILTED-OTHER",
        "plain": "PLAIN",
        "plain-adv": "PLAIN-ADV",
    }


def test_published_methods_come_first_and_a_base_stands_with_its_perturbed_forms() -> None:
    assert list(names.METHODS)[:6] == list(TITLES)
    given = ["new-adv", "new-2", "sdarts-adv", "new", "darts-2nd-rs", "new-rs", "darts-2nd", "new-2-rs", "darts"]
    assert names.in_order(given) == [
        *("darts", "darts-2nd", "sdarts-adv", "darts-2nd-rs"),
        *("new", "new-rs", "new-adv", "new-2", "new-2-rs"),
    ]


def test_the_published_methods_keep_their_colours_and_no_two_of_a_study_share_one() -> None:
    for place, method in enumerate(compositions.FIRST):
        assert colour(method, []) == PALETTE[place]
    fewer = len(PALETTE) - len(names.METHODS)
    study = [*names.METHODS, *(f"new-{index}" for index in range(fewer))]
    assert len({colour(method, study) for method in study}) == len(PALETTE)


def test_a_method_from_outside_can_be_seen_on_white() -> None:
    """W3C's contrast, of what text needs: a light grey has 1.9."""
    for method in ("darts-gaussian", "new"):
        shares = [int(colour(method, ["darts", method])[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        luminance = sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        assert 1.05 / (luminance + 0.05) >= 4.5


def test_a_colour_that_another_method_of_the_study_has_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {**names.METHODS, **{f"later-{index}": "" for index in range(len(PALETTE))}}
    monkeypatch.setattr(names, "METHODS", many)
    same = list(many)[len(PALETTE)]
    assert colour(same, [same]) == colour("darts", [same, "darts"]) == PALETTE[0]
    assert colour(same, [same, "darts"]) == PALETTE[1]
