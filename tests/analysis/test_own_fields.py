"""Fields of a method's own, its own defaults, and plug-ins: what is a variant, and what is compared with what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis.claims import judging
from nas_stability.analysis.figures import ablation
from nas_stability.analysis.page import whole_page
from nas_stability.analysis.report import write_report
from nas_stability.analysis.variants import taken_apart, variants
from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput
from tests.analysis.test_analysis import ACCURACY, write_run
from tests.analysis.test_variants import runs_with
from tests.small import load

PLUGIN = """
from nas_stability.harness.methods.compositions import Method

METHODS = {"clipped": Method(defaults={"arch_grad_clip": 5.0, "depth": 3})}
"""
A, B = "a" * 64, "b" * 64

Fields = Mapping[str, object]


def tilt(value: object) -> dict[str, object]:
    """Fields of a run of a method that has the field ``tilt``."""
    return {"settings": json.dumps({"tilt": value})}


def given(*checksums: str) -> dict[str, object]:
    """Fields of a run that was given plug-ins."""
    return {"plugins": plugins.written(plugins.Plugin(f"/x/{one[:1]}.py", one, {}) for one in checksums)}


LABELS: dict[str, tuple[list[dict[str, object]], list[str]]] = {
    "a field of the method's own": ([tilt(0.25), tilt(0.5)], ["tilt 0.25", "tilt 0.5"]),
    "the same value": ([tilt(0.25), tilt(0.25)], ["", ""]),
    "an integer for a number": ([tilt(1), tilt(1.0)], ["", ""]),
    "two fields, one of which varies": (
        [{"settings": json.dumps({"tilt": 1, "slope": slope})} for slope in (True, False)],
        ["slope true", "slope false"],
    ),
    "a method without the field": ([{"method": "rs", "settings": ""}, tilt(1), tilt(2)], ["", "tilt 1", "tilt 2"]),
    "a field that an earlier source of the method lacks": (
        [{"settings": ""}, tilt(1)],
        ["tilt not recorded", "tilt 1"],
    ),
    "a field with the name of another column": (
        [{"settings": json.dumps({"lr": lr, "seconds": 1}), "lr": 3} for lr in (1, 2)],
        ["own_lr 1", "own_lr 2"],
    ),
    "a value that is no number": ([tilt([1, 2]), tilt({"a": 1})], ["tilt [1, 2]", "tilt {'a': 1}"]),
    "records of before": ([{"settings": None, "plugins": None}, {"settings": "", "plugins": ""}], ["", ""]),
    "another source of a plug-in": ([given(A), given(B)], ["plugins aaaaaaaa", "plugins bbbbbbbb"]),
    "a source that another place has too": (
        [given(A), {"plugins": json.dumps({"/elsewhere/mine.py": A})}],
        ["", ""],
    ),
    "with and without a plug-in": ([given(A), given()], ["plugins aaaaaaaa", "plugins none"]),
    "several plug-ins": ([given(A, B), given(B)], ["plugins aaaaaaaa bbbbbbbb", "plugins bbbbbbbb"]),
    "checksums of one beginning": (
        [given("a" * 63 + digit) for digit in "01"],
        ["plugins " + "a" * 63 + "0", "plugins " + "a" * 63 + "1"],
    ),
    "methods with plug-ins of their own": ([given(A), {"method": "rs", **given(B)}], ["", ""]),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_names_fields_of_the_methods_own_and_sources(case: str) -> None:
    rows, expected = LABELS[case]
    assert variants(runs_with(*rows)) == expected
    assert variants(taken_apart(runs_with(*rows))) == expected


def test_settings_that_cannot_be_read_are_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="the field 'settings' is a JSON object"):
        variants(runs_with({"settings": "[1]"}))
    with pytest.raises(BadInput, match="plug-ins are recorded as"):
        variants(runs_with({"plugins": "[1]"}))


def test_the_settings_are_columns_in_their_place() -> None:
    found = taken_apart(runs_with({"lr": 1, **tilt(0.25), "flip": True}, {"method": "rs", "lr": 1, "flip": True}))
    assert list(found.columns) == ["run", "space", "method", "seed", "lr", "tilt", "flip"]
    assert list(found["tilt"]) == [0.25, None]


def written(folder: Path, runs: Sequence[tuple[str, int, Fields]]) -> Path:
    """A study of finished runs; a method that ``write_run`` has no numbers for has those of sdarts-rs."""
    for method, seed, fields in runs:
        place = write_run(folder, method if method in ACCURACY else "sdarts-rs", seed, **fields)
        for name in ("epochs.csv", "run.json", "spec.json"):
            text = (place / name).read_text()
            (place / name).write_text(text if method in ACCURACY else text.replace("sdarts-rs", method))
        if method not in ACCURACY:
            place.rename(folder / place.name.replace("sdarts-rs", method))
    return folder


def judged(folder: Path, method: str = "sdarts-rs") -> pandas.DataFrame:
    """The verdicts on whether a method ends better than DARTS, by variant."""
    study = load(folder)
    object.__setattr__(study, "claims", (("ends-better", method, "darts"),))
    found = judging.judge(study)
    return found[found["claim"].isin([f"{method}-ends-better", f"{method}-ends-better-than-darts"])].set_index(
        "variant"
    )


def test_a_method_without_a_field_is_compared_with_every_value_of_it(tmp_path: Path) -> None:
    runs = [("darts", seed, {}) for seed in range(3)]
    runs += [("sdarts-rs", seed, tilt(value)) for value in (0.25, 0.5) for seed in range(3)]
    found = judged(written(tmp_path, runs))
    assert list(found.index) == ["tilt 0.25", "tilt 0.5"]
    assert list(found["n"]) == [3, 3]
    better = [b[2] - a[2] for a, b in zip(ACCURACY["darts"], ACCURACY["sdarts-rs"], strict=True)]
    assert list(found["estimate"]) == [pytest.approx(sum(better) / 3)] * 2
    assert not found["reason"].str.contains("differ").any()


def test_methods_with_different_fields_of_their_own_are_compared_in_every_combination(tmp_path: Path) -> None:
    runs = [("darts", seed, {"settings": json.dumps({"slope": value})}) for value in (1, 2) for seed in range(3)]
    runs += [("sdarts-rs", seed, tilt(value)) for value in (3, 4) for seed in range(3)]
    found = judged(written(tmp_path, runs))
    pairs = [(slope, value) for slope in (1, 2) for value in (3, 4)]
    assert list(found.index) == [f"slope {slope}, tilt {value}" for slope, value in pairs]
    assert set(found["n"]) == {3}


def test_fields_that_both_have_must_agree_whatever_else_they_have(tmp_path: Path) -> None:
    runs = [("darts", seed, {"radius": radius}) for radius in (0.1, 0.2) for seed in range(3)]
    runs += [("sdarts-rs", seed, {"radius": 0.1, **tilt(value)}) for value in (3, 4) for seed in range(3)]
    found = judged(written(tmp_path, runs))
    assert found["n"].to_dict() == {"radius 0.1, tilt 3": 3, "radius 0.1, tilt 4": 3, "radius 0.2": 0}
    assert found.loc["radius 0.2", "reason"] == "no finished run of sdarts-rs with the same fields"


def test_another_source_is_compared_with_the_same_baseline(tmp_path: Path) -> None:
    runs = [("darts", seed, given()) for seed in range(3)]
    runs += [("sdarts-rs", seed, given(source)) for source in (A, B) for seed in range(3)]
    found = judged(written(tmp_path, runs))
    assert found["n"].to_dict() == {"plugins aaaaaaaa": 3, "plugins bbbbbbbb": 3}
    assert not found["reason"].str.contains("differ").any()


def test_one_plug_in_of_one_method_is_no_difference(tmp_path: Path) -> None:
    runs = [("darts", seed, given()) for seed in range(3)] + [("sdarts-rs", seed, given(A)) for seed in range(3)]
    found = judged(written(tmp_path, runs))
    assert found["n"].to_dict() == {"": 3}
    assert not found["reason"].str.contains("differ").any()


DIFFER: dict[str, tuple[Fields, Fields, str]] = {
    "both at their own defaults": ({"arch_grad_clip": 0.0}, {"arch_grad_clip": 5.0}, ""),
    "both at their defaults, the base's that of the space": ({"depth": 5}, {"depth": 3}, ""),
    "both at one value": ({"arch_grad_clip": 2.0}, {"arch_grad_clip": 2.0}, ""),
    "the base deviates": ({"arch_grad_clip": 1.0}, {"arch_grad_clip": 5.0}, "arch_grad_clip (5, 1)"),
    "the method deviates": ({"arch_grad_clip": 0.0}, {"arch_grad_clip": 3.0}, "arch_grad_clip (3, 0)"),
    "the method is at the base's default": ({"depth": 4}, {"depth": 5}, "depth (5, 4)"),
    "a field without a default of its own": ({"lr": 0.1}, {"lr": 0.025}, "lr (0.025, 0.1)"),
}


@pytest.mark.parametrize("case", DIFFER)
def test_what_a_methods_own_defaults_say_belongs_to_it(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, method, expected = DIFFER[case]
    folder = written(
        tmp_path / "study",
        [(name, seed, fields) for name, fields in (("darts", base), ("clipped", method)) for seed in range(3)],
    )
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.setattr(plugins, "LOADED", {})
    plugins.load("mine.py", tmp_path)
    (reason,) = judged(folder, "clipped")["reason"]
    assert ("differ" in reason) == bool(expected), reason
    assert expected in reason


def test_own_fields_in_figures_and_on_the_page(tmp_path: Path) -> None:
    runs = [("darts", seed, given()) for seed in range(2)]
    runs += [("sdarts-rs", seed, {**given(A), **tilt(value)}) for value in (0.25, 0.5) for seed in range(2)]
    study = load(written(tmp_path, runs))
    (series,) = ablation.series(study)
    assert (series.field, series.values) == ("tilt", ("0.25", "0.5"))
    html = whole_page.write_page(write_report(study, tmp_path / "out", only="results"), None).read_text()
    assert "2 variants: tilt varies" in html
    assert "sdarts-rs, tilt 0.25, seed 1" in html
    assert "a.py aaaaaaaa" in html
    assert A not in html
    design = whole_page.design(study, whole_page.varied_fields(study.runs))
    assert list(design["tilt"]) == ["\N{EM DASH}", "0.25", "0.5"]
