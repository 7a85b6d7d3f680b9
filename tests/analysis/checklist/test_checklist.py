"""What the records answer of the checklist: two studies differ where their records do, and nothing is canned."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from nas_stability.analysis.checklist.checklist import ITEMS, answered
from nas_stability.analysis.study import Study
from nas_stability.command_line import main
from nas_stability.harness.records.record import DONE
from tests.analysis.written import write_run
from tests.commands import refused
from tests.small import load
from tests.studies import contents

Capture = pytest.CaptureFixture[str]


def answers(study: Study) -> dict[str, tuple[str, str]]:
    """Name of the function that answers an item -> verdict and text."""
    names = [item.answer.__name__ for items in ITEMS.values() for item in items]
    rows = answered(study)
    assert len(names) == len(rows) == 16
    return dict(zip(names, zip(rows["verdict"], rows["text"], strict=True), strict=True))


def altered(place: Path, **entries: object) -> Path:
    """A run whose run.json has other entries."""
    record = json.loads((place / DONE).read_text())
    (place / DONE).write_text(json.dumps({**record, **entries}))
    return place


def recorded(folder: Path, method: str, seed: int, space: str = "nasbench201", **fields: object) -> Path:
    """A run by hand with the provenance that one has that was carried out."""
    return altered(
        write_run(folder, method, seed, space, table_epochs=200, images=256, **fields),
        versions={"python": "3.11.7", "torch": "2.14.1", "nas-stability": "0.1.0"},
        git_commit="ba913e821ce1003b56b9",
        device="cpu (x86_64)",
        threads=1,
        data={"name": "digits", "sha256": "1083f7131f", "images": 1437},
        table={"name": "nasbench201", "source": "s", "sha256": "a77623d2c0"},
        table_queries=3,
        table_missing=1,
        random={"cifar10_valid": {"best_of_1": 83.687, "best_of_10": 89.975, "answered": 100.0}},
    )


@pytest.fixture
def good(tmp_path: Path) -> Study:
    """Two methods, three seeds, all recorded."""
    for method in ("darts", "sdarts-rs"):
        for seed in range(3):
            recorded(tmp_path / "good", method, seed)
    return load(tmp_path / "good")


@pytest.fixture
def poor(tmp_path: Path) -> Study:
    """One run of one method, about which nothing is known."""
    write_run(tmp_path / "poor", "darts", 0)
    return load(tmp_path / "poor")


def test_what_is_recorded_is_told_with_its_numbers(good: Study) -> None:
    found = answers(good)
    wanted = {
        "search_method": ("in part", "darts and sdarts-rs of nas-stability 0.1.0, commit ba913e82;"),
        "search_space": ("in part", "nasbench201 of nas-stability 0.1.0, commit ba913e82;"),
        "training_code": ("in part", "the table nasbench201 (SHA-256 a77623d2, 200 epochs of training)"),
        "search_settings": ("yes", "its 6 fields, seeds 0\N{EN DASH}2"),
        "same_benchmark": ("yes", "All 2 methods in nasbench201, on the images digits (SHA-256 1083f713)"),
        "confounders": ("yes", "device cpu (x86_64); threads 1; PyTorch 2.14.1"),
        "same_evaluation": ("yes", "200 epochs of training"),
        "over_time": ("yes", "18 rows, one per run and epoch, with accuracy_cifar10_valid"),
        "random_search": ("yes", "cifar10_valid: 83.69 of 1, 89.97 of 10"),
        "repeated": ("yes", "3 seeds of each space, method and variant: 0\N{EN DASH}2"),
        "tabular": ("yes", "6 of 18 architectures asked for were missing"),
        "whole_time": ("in part", "12.0 s for the searches of 6 runs"),
        "ablations": ("no", "No field but space, method and seed varies"),
        "tuning": ("only the author can say", "How the settings were chosen"),
    }
    for name, (verdict, text) in wanted.items():
        assert found[name][0] == verdict, (name, found[name])
        assert text in found[name][1], (name, found[name])


def test_what_is_not_recorded_is_not_claimed(poor: Study) -> None:
    found = answers(poor)
    verdicts = {name: verdict for name, (verdict, _) in found.items()}
    assert {name for name, verdict in verdicts.items() if verdict == "yes"} == {"search_settings", "over_time"}
    no = ("training_code", "training_settings", "same_benchmark", "ablations", "same_evaluation", "random_search")
    assert {name for name, verdict in verdicts.items() if verdict == "no"} == {*no, "repeated", "tabular"}
    assert "nas-stability none recorded, commit none recorded; 1 run of no recorded commit" in found["search_method"][1]
    assert found["confounders"][0] == "only the author can say"
    assert "nothing to compare it with" in found["same_benchmark"][1]


def test_what_differs_between_methods_is_named(good: Study) -> None:
    folder = good.folder
    place = next(folder.glob("*sdarts-rs*s0*"))
    altered(
        place,
        device="cuda (H100)",
        table={"name": "nasbench201", "source": "s", "sha256": "other"},
        data={"name": "digits", "sha256": "another", "images": 10},
    )
    recorded(folder, "darts", 0, "nasbench1shot1-s1")
    found = answers(load(folder))
    verdict, text = found["same_benchmark"]
    assert verdict == "no"
    assert "sdarts-rs not run in nasbench1shot1-s1; data.sha256 differs in nasbench201; table.sha256 differs" in text
    assert found["confounders"][0] == "in part"
    assert found["confounders"][1].startswith("Not the same in all runs: device. device cpu (x86_64) and cuda (H100)")
    assert found["same_evaluation"] == (
        "no",
        "Not the same within a space: table.sha256. Each run's last row, asked of nasbench201 "
        "(SHA-256 a77623d2 and other, 200 epochs of training).",
    )
    assert found["repeated"] == (
        "no",
        "1 to 3 seeds of each space, method and variant: 0\N{EN DASH}2.",
    )


def test_ablations_are_those_that_vary(tmp_path: Path) -> None:
    for radius in (0.1, 0.3):
        for seed in range(2):
            write_run(tmp_path, "sdarts-rs", seed, radius=radius)
    assert answers(load(tmp_path))["ablations"] == ("yes", "2 variants: radius in nasbench201.")
    assert "; radius varied" in answers(load(tmp_path))["search_settings"][1]


def test_imported_searches_are_of_others(tmp_path: Path) -> None:
    source = {"layout": "robustdarts", "name": "RobustDARTS", "licence": "Apache-2.0", "told": ["seed", "lr"]}
    for seed in range(2):
        altered(write_run(tmp_path, "darts", seed), imported=source)
    found = answers(load(tmp_path))
    assert found["search_method"][0] == "only the author can say"
    assert "2 runs of 2 were carried out elsewhere" in found["search_method"][1]
    assert "RobustDARTS" in found["search_space"][1]
    assert found["search_settings"] == (
        "in part",
        "Seeds 0\N{EN DASH}1; of the fields the logs told lr and seed, the others are unknown.",
    )


def test_plugins_are_to_be_released_too(tmp_path: Path) -> None:
    place = recorded(tmp_path, "darts", 0, plugins=json.dumps({"/somewhere/mine.py": "0123456789abcdef"}))
    record = json.loads((place / DONE).read_text())
    record["spec"]["space"] = "chain"
    (place / DONE).write_text(json.dumps(record))
    rows = pandas.read_csv(place / "epochs.csv").assign(space="chain")
    rows.to_csv(place / "epochs.csv", index=False)
    found = answers(load(tmp_path))
    assert found["search_space"] == (
        "in part",
        "The spaces chain are of plug-ins (mine.py 01234567): release these files too.",
    )


def test_what_was_trained_from_scratch_answers_for_the_final_training(good: Study) -> None:
    rows = pandas.DataFrame(
        {
            "method": ["darts", "sdarts-rs", "random"],
            "protocol": ["short", "short", "short"],
            "data": ["digits"] * 3,
            "network": ["a", "b", "b"],
            "network_seed": [0, 1, 1],
            "seconds": [60.0, 30.0, 30.0],
        }
    )
    object.__setattr__(good, "evaluated", rows)
    found = answers(good)
    assert found["training_code"][0] == "yes"
    assert "2 networks trained from scratch by the protocol short" in found["training_code"][1]
    assert "seeds 0\N{EN DASH}1" in found["training_settings"][1]
    assert found["same_evaluation"][0] == "yes"
    assert "1 random architecture trained beside those found" in found["random_search"][1]
    assert found["whole_time"] == ("yes", "12.0 s for the searches of 6 runs, 1 min 30 s for training what was found.")
    object.__setattr__(good, "evaluated", rows.assign(protocol=["short", "paper", "short"]))
    assert answers(good)["same_evaluation"][0] == "no"


def test_the_verb_writes_it_and_prints_where(study: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["report", str(study), "--checklist"]) == 0
    path = study / "report" / "checklist.md"
    assert capsys.readouterr().out == f"checklist: {path}\n"
    assert [child.name for child in path.parent.iterdir()] == ["checklist.md"]
    text = path.read_text()
    assert text.startswith("# Checklist: study\n\n4 finished runs of 2 epochs: darts and sdarts-rs in nasbench201")
    assert text.count("\n* **") == 16
    assert "torch" not in text
    assert json.loads(next(study.glob(f"*/{DONE}")).read_text())["table"]["sha256"][:8] in text
    before = contents(study)
    assert main(["report", str(study), "--checklist", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "checklist.md").read_text() == text
    assert contents(study) == before
    capsys.readouterr()
    assert "leave out --only" in refused(["report", str(study), "--checklist", "--only", "x"], capsys, tmp_path)
