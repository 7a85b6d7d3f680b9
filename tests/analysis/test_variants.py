"""H1: the unit of repetition is the seed within one variant. C2 and A2, as far as they concern what is shown."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy
import pandas
import pytest

from nas_stability.analysis import summaries
from nas_stability.analysis.claims import judging
from nas_stability.analysis.figures import ablation
from nas_stability.analysis.figures.curves import draw_gap
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.figures.panels import PAPER, SCREEN, style
from nas_stability.analysis.page import whole_page
from nas_stability.analysis.report import write_report
from nas_stability.analysis.statistics.intervals import estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import TABLES
from nas_stability.analysis.variants import Group, field_names, natural, variants
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs.spec import FIELDS
from tests.analysis.figures.test_figures import PUBLISHED, check_words, enriched
from tests.analysis.test_analysis import ACCURACY, write_run
from tests.small import PLACE, load, small_spec

S1 = "nasbench1shot1-s1"
BASE = {"attack_steps": 7, "attack_batch_norm": "evaluation", "attack_fallback": True, "batch_norm_momentum": 0.997}
CHANGES: list[dict[str, object]] = [
    {},
    *({"attack_steps": steps} for steps in (1, 3, 20)),
    {"attack_batch_norm": "training"},
    {"attack_fallback": False},
    {"batch_norm_momentum": 0.003},
]
ATTACKS = [
    *("base", "attack_steps 1", "attack_steps 3", "attack_steps 20", "attack_batch_norm training"),
    *("attack_fallback false", "batch_norm_momentum 0.003"),
]
"""Labels of CHANGES around BASE."""

Fields = Mapping[str, object]

STUDIES: dict[str, list[tuple[str, str, int, Fields]]] = {
    "radius": [
        ("nasbench201", method, seed, {"radius": radius})
        for method in ACCURACY
        for radius in (0.03, 0.1, 0.2, 0.3, 0.5)
        for seed in range(3)
    ],
    "attack": [(S1, "sdarts-rs", seed, {**BASE, **change}) for change in CHANGES for seed in range(3)],
    "data": [
        ("nasbench201", method, seed, {"data": data, "crop_padding": crop})
        for method in ACCURACY
        for data, crop in (("digits", 0), ("npz:/a/my_data.npz", 4), ("npz:/b/other_images.npz", 4))
        for seed in range(2)
    ],
    "baseline": [
        *(("nasbench201", "darts", seed, {"radius": 0.3}) for seed in range(3)),
        *(("nasbench201", "sdarts-rs", seed, {"radius": radius}) for radius in (0.1, 0.3) for seed in range(3)),
        *((S1, "darts", seed, {"radius": 0.3}) for seed in range(3)),
    ],
}
"""Name -> its runs: space, method, seed, fields. ``radius`` and ``attack`` are the shipped ablations."""


def written(folder: Path, runs: Sequence[tuple[str, str, int, Fields]]) -> Path:
    """A study of finished runs; the accuracies of each variant are a little lower than those of the one before."""
    order = list(dict.fromkeys(json.dumps(fields, sort_keys=True) for *_, fields in runs))
    for space, method, seed, fields in runs:
        place = write_run(folder, method, seed, space, **fields)
        enriched(place, seed, space)
        rows = pandas.read_csv(place / "epochs.csv")
        lower = order.index(json.dumps(fields, sort_keys=True)) * (rows["epoch"] > 1)
        rows["accuracy_cifar10_valid"] -= lower
        if order.index(json.dumps(fields, sort_keys=True)) > 1:  # surfaces take longest to draw
            (place / "landscape.csv").unlink(missing_ok=True)
        rows.to_csv(place / "epochs.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    return {name: load(written(tmp_path_factory.mktemp(name), runs)) for name, runs in STUDIES.items()}


def runs_with(*rows: Mapping[str, object]) -> pandas.DataFrame:
    """The frame of runs that differ in the given fields; a seed each unless they say otherwise."""
    common = {"space": "a", "method": "darts"}
    return pandas.DataFrame([{"run": f"run-{seed}", **common, "seed": seed, **row} for seed, row in enumerate(rows)])


LABELS: dict[str, tuple[list[dict[str, object]], list[str]]] = {
    "H1: nothing varies": ([{"radius": 0.3}, {"radius": 0.3}], ["", ""]),
    "H1: radius": ([{"radius": 0.3}, {"radius": 0.1}], ["radius 0.3", "radius 0.1"]),
    "H1: numbers of one field": ([{"lr": 1e-05}, {"lr": 1.0}], ["lr 1e-05", "lr 1"]),
    "H1: true and false": ([{"flip": True}, {"flip": False}], ["flip true", "flip false"]),
    "H1: close numbers": ([{"lr": 0.1}, {"lr": 0.1 + 1e-12}], ["lr 0.1", "lr 0.10000000000100001"]),
    "H1: two fields, every combination": (
        [{"lr": lr, "radius": radius} for lr in (0.1, 0.2) for radius in (1, 2)],
        ["lr 0.1, radius 1", "lr 0.1, radius 2", "lr 0.2, radius 1", "lr 0.2, radius 2"],
    ),
    "H1: one field at a time around a base": (
        [{**BASE, **change} for change in CHANGES],
        ATTACKS,
    ),
    "H1: two fields away from the base": (
        [{**BASE, **change} for change in ({"attack_steps": 3, "attack_fallback": False}, *CHANGES)],
        ["attack_steps 3, attack_fallback false", *ATTACKS],
    ),
    "H1: what spaces publish differently": (
        [{"space": "a", "depth": 5}, {"space": "b", "depth": 9}, {"space": "b", "depth": 9}],
        ["", "", ""],
    ),
    "H1: what methods have differently": ([{"lr": 0.1}, {"method": "sdarts-rs", "lr": 0.2}], ["", ""]),
    "H1: of one method alone": (
        [{"lr": 0.1}, {"method": "rs", "lr": 0.1}, {"method": "rs", "lr": 0.2}],
        ["", "lr 0.1", "lr 0.2"],
    ),
    "H1: data sets, and what comes with them": (
        [
            {"data": "digits", "flip": False},
            {"data": "svhn", "flip": True},
            {"data": "npz:/x/my_data.npz", "flip": True},
        ],
        ["data digits", "data svhn", "data my_data"],
    ),
    "H1: data sets, and flips of one of them": (
        [{"data": "digits", "flip": False}, {"data": "svhn", "flip": True}, {"data": "svhn", "flip": False}],
        ["data digits", "data svhn, flip true", "data svhn"],
    ),
    "H3: two files of one name": (
        [{"data": "npz:/x/mine.npz"}, {"data": "npz:/y/mine.npz"}],
        ["data npz:/x/mine.npz", "data npz:/y/mine.npz"],
    ),
    "H3: one file replaced": (
        [{"data": "npz:mine.npz", "data_sha256": digit * 64} for digit in "abb"],
        ["data mine aaaaaaaa", "data mine bbbbbbbb", "data mine bbbbbbbb"],
    ),
    "H3: one content under two names": (
        [{"data": f"npz:/{place}/mine.npz", "data_sha256": "a" * 64} for place in "xy"],
        ["", ""],
    ),
    "H3: a checksum that older runs lack": (
        [{"data": "digits", "data_sha256": None}, {"data": "digits", "data_sha256": "a" * 64}],
        ["", ""],
    ),
    "H1: a field that older runs lack": ([{"lr": 0.1}, {"lr": None}], ["lr 0.1", "lr not recorded"]),
    "H1: paths": (
        [{"table": "/x/one.parquet"}, {"table": "/x/two.parquet"}],
        ["table one.parquet", "table two.parquet"],
    ),
    "C2: a newline": ([{"data": "a\nb"}, {"data": "c"}], [r"data a\nb", "data c"]),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_names_what_differs_within_a_space_and_method(case: str) -> None:
    rows, expected = LABELS[case]
    assert variants(runs_with(*rows)) == expected


@pytest.mark.parametrize(
    ("case", "rows", "message"),
    [
        ("B3: a copied folder", [{"run": "x", "seed": 0}, {"run": "x", "seed": 0}], "the run x is there twice"),
        (
            "B3: an id of another version",
            [{"run": "x", "seed": 0}, {"run": "y", "seed": 0}],
            "runs x and y",
        ),
    ],
)
def test_a_run_that_is_there_twice_is_refused_by_name(case: str, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        variants(runs_with(*rows))
    assert variants(runs_with(rows[0], {**rows[1], "lr": 0.1})) != ["", ""], case


def test_a_copied_folder_is_told_and_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(PUBLISHED, tmp_path / "study")
    assert main(["claims", str(folder)]) == 0
    whole = capsys.readouterr()
    shutil.copytree(next(folder.glob("nasbench201-darts-*")), folder / "copy")
    assert main(["claims", str(folder)]) == 0
    found = capsys.readouterr()
    assert found.out == whole.out
    assert "1 run copied, not counted: copy" in found.err
    assert main(["check", str(folder)]) == 1
    assert "copy: is a copy of another run" in capsys.readouterr().out


def test_labels_are_sorted_as_numbers() -> None:
    labels = ["radius 0.5", "radius 0.03", "", "radius 0.1", "lr 1e-05", "lr 0.0001", "base", "radius 10", "radius 9"]
    expected = ["", "base", "lr 1e-05", "lr 0.0001"]
    expected += ["radius 0.03", "radius 0.1", "radius 0.5", "radius 9", "radius 10"]
    assert sorted(labels, key=natural) == expected


def test_the_fields_of_a_run_are_those_of_its_spec(tmp_path: Path) -> None:
    """What run.json gains at its top must not be taken for a field, which would make every run a variant."""
    for seed in range(2):
        spec = small_spec(seed=seed, epochs=1, hessian=False, rank_sample=0)
        run(spec, tmp_path / spec.run_id, PLACE, Watch())
    study = load(tmp_path)
    assert set(field_names(study.runs)) == set(FIELDS)
    assert study.variants == [""]


def test_two_thousand_runs_are_labelled_quickly() -> None:
    rows = [
        {
            **dict.fromkeys(FIELDS, 1),
            "space": "a",
            "method": m,
            "seed": s,
            "radius": r,
            "lr": lr,
            "run": f"{m}{s}{r}{lr}",
        }
        for m, s, r, lr in itertools.product("xy", range(50), range(5), (0.1, 0.2, 0.3, 0.4))
    ]
    runs = pandas.DataFrame(rows)
    began = time.process_time()
    found = variants(runs)
    assert time.process_time() - began < 0.5
    assert len(set(found)) == 20


# Tables


def interval(values: list[float]) -> tuple[float, float]:
    """The interval of a mean over seeds."""
    found = estimate(numpy.array(values))
    return found.low, found.high


def test_the_frames_have_the_variant_and_the_records_do_not(studies: dict[str, Study], tmp_path: Path) -> None:
    study = studies["radius"]
    assert study.variants == [f"radius {radius}" for radius in (0.03, 0.1, 0.2, 0.3, 0.5)]
    labels = dict(zip(study.runs["run"], study.runs["variant"], strict=True))
    for frame in (study.epochs, study.spectrum):
        assert (frame["run"].astype(str).map(labels) == frame["variant"]).all()
    assert study.groups("nasbench201")[:2] == [
        Group("nasbench201", "darts", "radius 0.03"),
        Group("nasbench201", "darts", "radius 0.1"),
    ]
    assert main(["collect", str(study.folder), "--out", str(tmp_path / "out"), "--unverified"]) == 0
    assert "variant" not in pandas.read_csv(tmp_path / "out" / "epochs.csv")


SEEDS = {"radius": {3}, "attack": {3}, "data": {2}, "baseline": {3}}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("table", [*TABLES, "summary"])
def test_a_table_has_a_row_per_variant_with_its_own_seeds(table: str, name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    found = summaries.summary(study) if table == "summary" else TABLES[table](study)
    assert set(found["seeds"]) == SEEDS[name]
    groups = [group for space in study.spaces for group in study.groups(space)]
    assert list(found[["space", "method", "variant"]].itertuples(index=False, name=None)) == [*map(tuple, groups)]


def test_the_numbers_of_a_row_are_those_of_its_variant_alone(studies: dict[str, Study]) -> None:
    found = TABLES["results"](studies["radius"]).set_index(["method", "variant"])
    for lower, radius in enumerate((0.03, 0.1, 0.2, 0.3, 0.5)):
        final = [of_seed[-1] - lower for of_seed in ACCURACY["darts"]]
        row = found.loc[("darts", f"radius {radius}")]
        assert row["final"] == pytest.approx(sum(final) / 3)
        assert (row["final_low"], row["final_high"]) == pytest.approx(interval(final))
        assert row["rows"] == 9


def test_a_table_of_variants_says_what_they_are(studies: dict[str, Study]) -> None:
    table = TABLES["results"](studies["attack"])
    shown = summaries.markdown(table, summaries.NOTES["results"])
    assert "| sdarts-rs | attack_batch_norm training |" in shown
    assert summaries.VARIANTS in shown
    latex = summaries.latex(table, summaries.NOTES["results"])
    assert r"attack\_batch\_norm training" in latex
    assert summaries.VARIANTS in latex
    assert r"\begin{tabular}{llll" in latex


# Figures


def drawn_by(study: Study, paper: bool) -> dict[str, object]:
    """Every figure that the study has data for."""
    with matplotlib.rc_context(style(paper)):
        return {name: found for name, draw in FIGURES.items() if (found := draw(study, PAPER if paper else SCREEN))}


WORDS = {"data": ("overview", "cells", "eigenvalue-fall", "ablation"), "baseline": ("gap",)}
"""Figures of a study whose words are looked at; all of the others'."""


@pytest.mark.parametrize(("name", "paper"), [("radius", False), ("attack", True), ("data", False), ("baseline", True)])
def test_every_figure_has_every_variant_by_itself_and_can_be_read(
    name: str, paper: bool, studies: dict[str, Study]
) -> None:
    study = studies[name]
    found = drawn_by(study, paper)
    expected = {*FIGURES} - {"paper-trajectory", "paper-hessian", "paper-landscape"}
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


@pytest.mark.parametrize(
    "figure", ["trajectory", "overview", "hessian", "gap", "cells", "operations", "flatness", "rank"]
)
@pytest.mark.parametrize("name", STUDIES)
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
        falls = [of_seed[1] - (of_seed[2] - lower) for of_seed in ACCURACY["sdarts-rs"]]
        assert numbers.loc[("sdarts-rs", radius, "fall"), "mean"] == pytest.approx(sum(falls) / 3)
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


# Claims


def test_a_claim_is_judged_within_each_variant(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["radius"]).set_index(["claim", "variant"])
    for lower, radius in enumerate((0.03, 0.1, 0.2, 0.3, 0.5)):
        row = judged.loc[("darts-deteriorates", f"radius {radius}")]
        falls = [of_seed[1] - (of_seed[2] - lower) for of_seed in ACCURACY["darts"]]
        assert (row["n"], row["estimate"]) == (3, pytest.approx(sum(falls) / 3))
        row = judged.loc[("sdarts-rs-ends-better", f"radius {radius}")]
        better = [b[2] - a[2] for a, b in zip(ACCURACY["darts"], ACCURACY["sdarts-rs"], strict=True)]
        assert (row["n"], row["estimate"]) == (3, pytest.approx(sum(better) / 3))


def test_methods_are_compared_where_they_have_the_same_fields(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["baseline"])
    found = judged[judged["claim"] == "sdarts-rs-ends-better"].set_index(["space", "variant"])
    assert found.loc[("nasbench201", "radius 0.3"), "n"] == 3
    assert found.loc[("nasbench201", "radius 0.1"), "verdict"] == "no data"
    assert found.loc[("nasbench201", "radius 0.1"), "reason"] == "no finished run of darts with the same fields"
    assert found.loc[(S1, ""), "reason"] == "no finished run of sdarts-rs"
    pooled = judged[(judged["claim"] == "darts-deteriorates") & (judged["space"] == judging.POOLED)]
    assert list(pooled["variant"]) == [""]
    assert list(pooled["n"]) == [6]


@pytest.mark.parametrize(
    ("case", "rs", "verdict", "reason"),
    [
        ("H1: never the same", (0.1, 0.2), "no data", "(darts with radius 0.3; sdarts-rs with radius 0.1, radius 0.2)"),
        ("H1: whole methods differ", (0.1,), "undecided", "the methods differ in radius (0.3, 0.1)"),
    ],
)
def test_methods_that_differ_say_so(
    case: str, rs: tuple[float, ...], verdict: str, reason: str, tmp_path: Path
) -> None:
    runs = [("nasbench201", "darts", seed, {"radius": 0.3}) for seed in range(3)]
    runs += [("nasbench201", "sdarts-rs", seed, {"radius": radius}) for radius in rs for seed in range(3)]
    judged = judging.judge(load(written(tmp_path, runs))).set_index("claim")
    row = judged.loc["sdarts-rs-ends-better"]
    assert (row["verdict"], row["variant"]) == (verdict, ""), case
    assert reason in row["reason"], case


def test_verdicts_of_variants_for_people(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["baseline"])
    blocks = judging.text(judged).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        *(S1, "nasbench201", "nasbench201, radius 0.1", "nasbench201, radius 0.3", "all spaces"),
    ]
    assert judging.markdown(judged).startswith("| claim | space | variant | verdict |")
    assert "| variant |" not in judging.markdown(judged.assign(variant=""))


# The page


def test_the_page_tells_variants_apart(studies: dict[str, Study], tmp_path: Path) -> None:
    study = studies["attack"]
    written_report = write_report(study, tmp_path, only="results")
    html = whole_page.write_page(written_report, judging.judge(study)).read_text()
    assert "7 variants: attack_steps, attack_batch_norm, attack_fallback and batch_norm_momentum vary" in html
    assert "sdarts-rs, attack_batch_norm training, seed 2" in html
    assert f"{S1}, attack_steps 20</span>" in html
    design = whole_page.design(study, whole_page.varied_fields(study.runs))
    assert list(design["variant"]) == study.variants
    assert set(design["runs"]) == {3}
    assert list(design["seeds"]) == ["0\N{EN DASH}2"] * 7


# A2: what stood there before still stands


@pytest.mark.parametrize("case", ["A2: a figure", "A2: a table", "A2: the page", "A2: the verdicts"])
def test_a_full_disk_leaves_the_earlier_file(
    case: str, studies: dict[str, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, verdicts = studies["baseline"].folder, tmp_path / "verdicts.csv"

    def write() -> object:
        if case == "A2: the verdicts":
            return main(["claims", str(folder), "--out", str(verdicts), "--unverified"])
        report = write_report(load(folder), tmp_path / "out", only="hessian" if case == "A2: a figure" else "results")
        return whole_page.write_page(report, None) if case == "A2: the page" else report

    write()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    if case == "A2: the verdicts":
        assert write() == 1
    else:
        with pytest.raises(OSError, match="No space left"):
            write()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
