"""The claims that count are settled in a study's file before its seeds are seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy
import pytest

from nas_stability.analysis.claims import judging
from nas_stability.analysis.claims.judging import judge
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records import claiming, study_record
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.claimed import Counting
from nas_stability.planned import find_study
from tests.analysis.claims.synthetic import study, with_effects, without_effects
from tests.commands import refused

FILE = """\
[base]
space = "nasbench201"
data = "digits"
epochs = 1
[over]
seed = "0-1"
method = ["darts", "sdarts-rs"]
[claims]
question = "Does it lose less?"
count = ["sdarts-rs-deteriorates-less", "sdarts-rs-ends-better"]
"""

COUNTING = Counting("Does it lose less?", ("sdarts-rs-deteriorates-less", "sdarts-rs-ends-better"))


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_what_counts_is_in_the_folder_from_the_start(tmp_path: Path) -> None:
    planned = find_study(str(written(tmp_path)))
    assert planned.counting == COUNTING
    claiming.claim_study(planned, tmp_path / "mine")
    assert study_record.read_counting(tmp_path / "mine") == COUNTING
    assert study_record.read_counting(tmp_path / "mine").question == "Does it lose less?"


def test_what_counts_may_change_until_a_run_has_begun(tmp_path: Path) -> None:
    planned, folder = find_study(str(written(tmp_path))), tmp_path / "mine"
    claiming.claim_study(planned, folder)
    other = dataclasses.replace(planned, counting=COUNTING._replace(claims=COUNTING.claims[:1]))
    claiming.claim_study(other, folder)
    assert study_record.read_counting(folder) == other.counting
    run = folder / planned.runs[0].run_id
    run.mkdir()
    (run / "spec.json").write_text("{}")
    (run / "epochs.csv").write_text("")
    before = (folder / "study.json").read_bytes()
    claiming.claim_study(other, folder)
    with pytest.raises(BadInput, match=r"1 run of the study .* began while other claims counted \(sdarts-rs-det"):
        claiming.claim_study(planned, folder)
    with pytest.raises(BadInput, match="settled before the first seed"):
        claiming.claim_study(dataclasses.replace(planned, counting=Counting()), folder)
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"sdarts-rs-ends-better"]',
            '"sdarts-rs-ends-bettter"]',
            "10: unknown claim of this study 'sdarts-rs-ends-bet",
        ),
        ('"sdarts-rs-ends-better"]', '"darts-ends-better"]', "10: unknown claim of this study 'darts-ends-better'"),
        ('"sdarts-rs-ends-better"]', '"sdarts-rs-deteriorates-less"]', "10: 'count' has 'sdarts-rs-det.* twice"),
        ("count = [", "counts = [", "10: unknown key 'counts'; did you mean 'count'"),
        ('["sdarts-rs-deteriorates-less", "sdarts-rs-ends-better"]', "[]", "10: 'count' takes a list of names"),
        ('"Does it lose less?"', "3", "9: 'question' takes a sentence, not 3"),
        ("[claims]", "[[claims]]", r"8: 'claims' is written \[claims\], once"),
    ],
)
def test_sections_that_cannot_be_name_the_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(BadInput, match=rf"mine\.toml:{message}"):
        find_study(str(written(tmp_path, FILE.replace(old, new))))


def test_claims_that_count_are_corrected_over_these_alone() -> None:
    found = study({"a": with_effects(numpy.random.default_rng(0), 6, 1.0)})
    counting = Counting("?", ("sdarts-rs-ends-better",))
    plain, told = judge(found), judge(dataclasses.replace(found, counting=counting))
    assert set(plain["counts"]) == {""}
    counted = told["claim"] == "sdarts-rs-ends-better"
    assert list(told["counts"]) == ["yes" if one else "exploratory" for one in counted]
    before = plain.loc[counted, "p"].item()
    assert told.loc[counted, "p"].item() < before, "one test where there were twelve"
    assert "over 1 test" in told.loc[counted, "reason"].item()
    others = told.loc[~counted & told["p"].notna()]
    assert all(" 11 tests" in reason for reason in others["reason"] if "Holm" in reason)
    assert judging.printed(told).index("claims that count") < judging.printed(told).index("exploratory")
    assert "exploratory" not in judging.printed(plain)
    assert "| counts |" in judging.markdown(told)
    assert "counts" not in judging.markdown(plain)


def test_without_effects_a_claim_that_counts_is_decided_as_rarely_as_it_may() -> None:
    counting = Counting("?", ("sdarts-rs-ends-better", "sdarts-rs-deteriorates-less"))
    judged = [judge(dataclasses.replace(found, counting=counting)) for found in without_effects(80)]
    counted = [told[told["counts"] == "yes"] for told in judged]
    assert all(set(one["claim"]) == set(counting.claims) for one in counted)
    wrong = sum((one["verdict"] == "supported").any() for one in counted)
    assert wrong <= 8, "twice what 5 % of 80 are"


def test_a_field_is_varied_without_a_file(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    planned = find_study(path, ["seed=4-6", "epochs=3"])
    assert {(spec.seed, spec.method, spec.epochs) for spec in planned.runs} == {
        (seed, method, 3) for method in ("darts", "sdarts-rs") for seed in (4, 5, 6)
    }
    assert planned.counting == COUNTING
    assert find_study(path, ["method=darts"]).counting.claims == ()
    assert {spec.arch_lr for spec in find_study(path, ["arch-lr=0.1,0.2"]).runs} == {0.1, 0.2}
    with pytest.raises(BadInput, match="unknown field 'seeds'; did you mean 'seed'"):
        find_study(path, ["seeds=1"])
    with pytest.raises(BadInput, match="'seed' takes int, not 'x'"):
        find_study(path, ["seed=x"])
    with pytest.raises(BadInput, match="--set takes NAME=VALUE, not 'seed'"):
        find_study(path, ["seed"])


def test_a_study_varied_so_that_no_claim_is_left_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "mine"
    for _ in range(2):
        planned = find_study(str(written(tmp_path)), ["method=darts"])
        claiming.claim_study(planned, folder)
        run = folder / planned.runs[0].run_id
        run.mkdir(exist_ok=True)
        (run / "spec.json").write_text(planned.runs[0].json())
        (run / "epochs.csv").write_text("")
    assert planned.counting == Counting()
    assert not caplog.records


def test_a_claim_of_its_own_goes_with_the_methods_that_it_is_of(tmp_path: Path) -> None:
    own = '[[claim]]\ntemplate = "ends-better"\nmethod = "SDARTS_RS"\nbase = "darts"\n'
    path = written(tmp_path, FILE + own)
    claim = ("ends-better", "sdarts-rs", "darts")
    assert find_study(str(path)).claims == find_study(str(path), ["seed=4"]).claims == (claim,)
    assert find_study(str(path), ["method=darts"]).claims == ()
    path.write_text(FILE + own.replace("SDARTS_RS", "sdarts-sr"))
    for settings in ([], ["method=darts"]):
        with pytest.raises(BadInput, match=r"unknown method of the study 'sdarts-sr'; did you mean 'sdarts-rs'\?"):
            find_study(str(path), settings)


@pytest.mark.parametrize("setting", ["seed=7-8", "method=darts", "epochs=2,3"])
def test_what_is_varied_is_so_in_every_group_of_runs(setting: str) -> None:
    name, _, text = setting.partition("=")
    planned = find_study("quick", [setting])
    wanted = {"seed": {7, 8}, "method": {"darts"}, "epochs": {2, 3}}[name]
    for space in ("nasbench201", "nasbench1shot1-s1"):
        assert {getattr(spec, name) for spec in planned.runs if spec.space == space} == wanted, text
    assert len(study_file.read(study_file.find("quick")).runs) == 36


def test_a_relative_path_of_a_setting_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    numpy.savez(tmp_path / "here" / "images.npz", x_train=numpy.zeros((8, 8, 8), numpy.uint8), y_train=numpy.arange(8))
    monkeypatch.chdir(tmp_path / "here")
    planned = find_study(str(written(tmp_path)), ["data=npz:images.npz"])
    assert {spec.data for spec in planned.runs} == {f"npz:{(tmp_path / 'here' / 'images.npz').resolve()}"}


def test_the_command_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(
        ["study", str(written(tmp_path)), "--set", "sed=3", "--out", str(tmp_path / "o")], capsys, tmp_path
    )
    assert "unknown field 'sed'; did you mean 'seed'?" in message
