"""Collected files as Croissant: read by its own library, described column by column."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nas_stability.analysis import croissant
from nas_stability.analysis.croissant import licence_of
from nas_stability.analysis.dictionary import columns, described
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.records.record import DONE, EPOCHS, SPECTRUM_COLUMNS
from tests.analysis.written import write_run
from tests.commands import refused
from tests.small import load

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
Capture = pytest.CaptureFixture[str]


def made(folder: Path, out: Path, *about: str) -> dict[str, Any]:
    """croissant.json of a study."""
    assert main(["collect", str(folder), "--croissant", "--out", str(out), *about]) == 0
    found: dict[str, Any] = json.loads((out / "croissant.json").read_text())
    return found


def test_files_are_told_by_size_and_checksum(study: Path, tmp_path: Path) -> None:
    found = made(study, tmp_path / "out")
    assert [one["contentUrl"] for one in found["distribution"]] == ["epochs.csv", "epochs.parquet", "spectrum.parquet"]
    for one in found["distribution"]:
        content = (tmp_path / "out" / one["contentUrl"]).read_bytes()
        assert one["contentSize"] == f"{len(content)} B"
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["name"] == "study"
    assert "4 finished runs of 2 epochs" in found["description"]
    before = (tmp_path / "out" / "croissant.json").read_bytes()
    made(study, tmp_path / "out")
    assert (tmp_path / "out" / "croissant.json").read_bytes() == before, "the same of the same study"


def test_every_column_is_a_field_of_its_type_with_its_meaning(study: Path, tmp_path: Path) -> None:
    epochs, spectrum = made(study, tmp_path / "out")["recordSet"]
    with (tmp_path / "out" / "epochs.csv").open() as file:
        names = next(csv.reader(file))
    fields = {field["name"]: field for field in epochs["field"]}
    assert list(fields) == names
    assert [field["name"] for field in spectrum["field"]] == ["run", "space", "method", "seed", *SPECTRUM_COLUMNS]
    assert all(field["description"] for field in (*epochs["field"], *spectrum["field"]))
    kinds = {name: fields[name]["dataType"] for name in ("run", "seed", "valid_loss", "arch", "radius", "neighbours")}
    assert kinds == {
        "run": "sc:Text",
        "seed": "sc:Integer",
        "valid_loss": "sc:Float",
        "arch": "sc:Text",
        "radius": "sc:Float",
        "neighbours": "sc:Integer",
    }
    assert fields["valid_loss"]["description"].endswith("(unit: nats)")
    assert fields["valid_accuracy"]["description"].endswith("(unit: percent)")
    assert fields["neighbours_mean_cifar10_valid"]["description"].startswith("mean and lowest accuracy")
    assert all(field["source"]["fileObject"] == {"@id": "epochs.csv"} for field in epochs["field"])
    assert all(field["source"]["extract"] == {"column": field["name"]} for field in spectrum["field"])


def test_croissants_own_library_reads_the_rows(study: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("mlcroissant")
    said = {**dict.fromkeys(croissant.ABOUT, "https://example.org"), "published": "2026-11-28", "version": "1.0.0"}
    about = [part for name, value in said.items() for part in ("--about", f"{name}={value}")]
    made(study, tmp_path / "out", *about)
    found = library.Dataset(str(tmp_path / "out" / "croissant.json"))
    assert not found.metadata.issues.errors
    assert not found.metadata.issues.warnings, "all that is recommended is there where the author says it"
    rows = list(found.records("epochs"))
    with (tmp_path / "out" / "epochs.csv").open() as file:
        wanted = list(csv.DictReader(file))
    assert len(rows) == len(wanted) == 12
    for row, there in zip(rows, wanted, strict=True):
        assert row["epochs/valid_loss"] == pytest.approx(float(there["valid_loss"]), rel=1e-6)
        assert row["epochs/seed"] == int(there["seed"])
        assert row["epochs/run"].decode() == there["run"]
    assert len(list(found.records("spectrum"))) == 12 * 30


def test_what_nobody_said_is_named_and_left_out(study: Path, tmp_path: Path, capsys: Capture) -> None:
    found = made(study, tmp_path / "out", "--about", "licence=CC-BY-4.0", "--about", "creator=A. Author")
    assert (found["license"], found["creator"]["name"]) == ("CC-BY-4.0", "A. Author")
    assert not {"url", "datePublished", "citeAs", "version"} & found.keys()
    said = capsys.readouterr().err
    assert "it does not say: where it is published (url); the date of publication (published)" in said
    assert "licence" not in said
    assert "license" not in made(study, tmp_path / "other")
    assert "the licence (licence)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (["--croissant", "--about", "license=MIT"], "did you mean 'licence'"),
        (["--croissant", "--about", "licence="], "takes NAME=VALUE"),
        (["--croissant", "--about", "published=yesterday"], "takes a date such as 2026-11-28, not 'yesterday'"),
        (["--about", "licence=MIT"], "--about is of --croissant"),
    ],
)
def test_what_cannot_be_said(about: list[str], message: str, study: Path, tmp_path: Path, capsys: Capture) -> None:
    assert message in refused(["collect", str(study), *about], capsys, tmp_path)


def test_imported_searches_bring_their_licence(tmp_path: Path) -> None:
    for seed, licence in ((0, "Apache-2.0"), (1, "Apache-2.0"), (2, "not stated")):
        place = write_run(tmp_path / "study", "darts", seed)
        record = json.loads((place / DONE).read_text())
        record["imported"] = {"name": "they", "licence": licence, "layout": "robustdarts"}
        (place / DONE).write_text(json.dumps(record))
    assert licence_of(load(tmp_path / "study")) == {}, "not of all"
    shutil.rmtree(place)
    assert licence_of(load(tmp_path / "study")) == {"licence": "Apache-2.0"}


def test_the_dictionary_has_every_column_that_is_published() -> None:
    headers = {path.read_text().split("\n", 1)[0] for path in PUBLISHED.glob(f"*/*/{EPOCHS}")}
    assert headers
    for column in {name for header in headers for name in header.split(",")}:
        meaning = described(column, EPOCHS)
        assert meaning, column
        assert meaning.definition


def test_meanings_by_hand() -> None:
    assert columns("spectrum.csv")["index"].text == "0 is the smallest"
    loss = described("valid_loss", EPOCHS)
    accuracy = described("valid_accuracy", EPOCHS)
    assert loss is not None
    assert accuracy is not None
    assert (loss.unit, accuracy.unit) == ("nats", "percent")
    assert loss.definition == accuracy.definition
    expected = described("accuracy_cifar10_valid_surrogate_sd", EPOCHS)
    assert expected is not None
    assert "one standard deviation" in expected.definition
    assert described("nothing_of_this", EPOCHS) is None
    with pytest.raises(LookupError):
        columns("absent.csv")


def test_a_date_is_one() -> None:
    croissant.check_date("2026-11-28")
    with pytest.raises(BadInput):
        croissant.check_date("28.11.2026")
