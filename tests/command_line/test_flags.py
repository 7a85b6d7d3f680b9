"""Flags as people write them, and what is said of those that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.command_line import build_parser
from tests.commands import COMMAND, refused

FLAGS = {
    "G: --batch_size 12": ["--batch_size", "12"],
    "G: --batch_size=12": ["--batch_size=12"],
    "G: --batch-size=12": ["--batch-size=12"],
}


@pytest.mark.parametrize("arguments", FLAGS.values(), ids=FLAGS)
def test_flags_with_underscores(arguments: list[str]) -> None:
    assert build_parser().parse_args([*COMMAND, *arguments]).field_batch_size == "12"


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "quick", "--runs_per_gpu", "2", "--dry_run", "--no_report", "--data_dir=x", "--cuda_graph"],
        ["run", "--data_dir", "x", "--data_sha256", "y", "--cuda_graph"],
        ["table", "train", "--train_images", "9", "--data_dir", "x", "--batch_size", "3"],
        ["landscape", "x", "--data_dir", "y"],
    ],
    ids=lambda arguments: f"G: {arguments[0]}",
)
def test_every_verbs_flags_take_underscores(arguments: list[str]) -> None:
    written = build_parser().parse_known_args(arguments)
    dashed = [text.replace("_", "-") if text.startswith("--") else text for text in arguments]
    assert written == build_parser().parse_known_args(dashed)
    assert written[1] == []


def test_underscores_in_values_stay() -> None:
    options = build_parser().parse_args(["report", "my_study", "--out", "my_report"])
    assert (options.folder, options.out) == (Path("my_study"), Path("my_report"))


UNKNOWN = {
    "E: --epoch": (["--epoch", "3"], "unknown argument '--epoch'; did you mean '--epochs'?"),
    "E: a value behind =": (
        ["--batchsize=" + "9" * 99],
        "unknown argument '--batchsize'; did you mean '--batch-size'?",
    ),
    "E: with underscores": (["--batch_sizes=3"], "unknown argument '--batch_sizes'; did you mean '--batch-size'?"),
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stduy", "quick"], "argument VERB: unknown value 'stduy'; did you mean 'study'?"),
        (["table", "querry"], "argument VERB: unknown value 'querry'; did you mean 'query'?"),
        (["bench", "--size", "quik"], "argument --size: unknown value 'quik'; did you mean 'quick'?"),
        (["zzz"], "(known: bench, check, claims, "),
    ],
    ids=["E: stduy", "E: table querry", "E: a choice", "E: like none"],
)
def test_an_unknown_verb_names_the_nearest_alone(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(arguments, capsys, tmp_path)


@pytest.mark.parametrize(("arguments", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_flag_names_the_nearest_alone(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused([*COMMAND, *arguments], capsys, tmp_path) == f"nas-stability: {message}\n"


PATHS = {
    "H12: ~": (["claims", "~/study", "--out", "~/x.csv"], {"folder": "study", "out": "x.csv"}),
    "H12: --out=~": (["run", "--out=~/x", "--data-dir=~/d"], {"out": "x", "data_dir": "d"}),
    "H12: study --out": (["study", "quick", "--out=~/x"], {"out": "x"}),
    "H12: report": (["report", "~/a", "--out=~/b"], {"folder": "a", "out": "b"}),
    "H12: status": (["status", "~/a"], {"folder": "a"}),
    "H12: check": (["check", "~/a"], {"folder": "a"}),
    "H12: collect": (["collect", "~/a", "--out", "~/b"], {"folder": "a", "out": "b"}),
    "H12: landscape": (["landscape", "~/a"], {"folder": "a"}),
    "H12: bench": (["bench", "--out=~/a"], {"out": "a"}),
    "H12: table import": (["table", "import", "~/a", "--space", "s", "--tables=~/b"], {"file": "a", "tables": "b"}),
    "H12: table pack": (["table", "pack", "name", "~/a"], {"file": "a"}),
    "H12: table train": (["table", "train", "--out=~/a", "--data-dir=~/b"], {"out": "a", "data_dir": "b"}),
}


@pytest.mark.parametrize(("arguments", "places"), PATHS.values(), ids=PATHS)
def test_the_home_folder_in_flags(
    arguments: list[str], places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = build_parser().parse_args(arguments)
    assert {name: getattr(options, name) for name in places} == {name: tmp_path / end for name, end in places.items()}


@pytest.mark.parametrize("value", ["", "a\0b", "~nobody-of-this-name/x"], ids=["empty", "NUL", "no such home"])
def test_a_folder_that_cannot_be_one(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "argument --out: " in refused([*COMMAND, f"--out={value}"], capsys, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [["landscape", "x", "--grid", "1_1"], ["landscape", "x", "--reach", "nan"], ["bench", "--rounds", "\u0663"]],
    ids=["F: --grid 1_1", "B8: --reach nan", "F: --rounds in Arabic digits"],
)
def test_numbers_of_other_flags_are_read_as_strictly(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert " takes " in refused(arguments, capsys, tmp_path)
