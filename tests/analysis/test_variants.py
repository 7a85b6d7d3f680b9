"""Variants: labels, repeated runs, rows of tables, the page. The unit of repetition is the seed within one (H1)."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis import summaries, table_texts
from nas_stability.analysis.claims import judging
from nas_stability.analysis.page import whole_page
from nas_stability.analysis.report import write_report
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import TABLES
from nas_stability.analysis.variants import Group, field_names, natural, variants
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs.spec import FIELDS
from tests.analysis.figures.enriched import PUBLISHED
from tests.analysis.variant_studies import ATTACKS, BASE, CHANGES, S1, SEEDS, STUDIES, interval
from tests.analysis.written import ACCURACY
from tests.small import PLACE, load, small_spec


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    shown = table_texts.markdown(table, summaries.NOTES["results"])
    assert "| sdarts-rs | attack_batch_norm training |" in shown
    assert summaries.VARIANTS in shown
    latex = table_texts.latex(table, summaries.NOTES["results"])
    assert r"attack\_batch\_norm training" in latex
    assert summaries.VARIANTS in latex
    assert r"\begin{tabular}{llll" in latex


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
