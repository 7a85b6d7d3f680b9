"""Records that cannot lie: no output lands on them, what is altered is named, what is lost is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.command_line import main
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    ERROR,
    LANDSCAPE,
    PLANE,
    SPEC,
    SPECTRUM,
    STUDY,
)
from nas_stability.harness.records.sealed import read_head, sealed
from nas_stability.harness.records.status import read_status
from nas_stability.harness.runs import batch, checkpoint
from nas_stability.harness.runs.landscape import measure_landscape
from nas_stability.harness.runs.plane import Grid
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.harness.runs.test_run import Killed, interrupted
from tests.mutations import trial
from tests.small import PLACE, small_spec
from tests.studies import contents, first, run_words

Capture = pytest.CaptureFixture[str]


# A: earlier data lost or hidden

OUTPUTS: dict[str, Callable[[Path, Path], list[str]]] = {
    "A1: a figure onto its own run": lambda study, run: ["report", str(run), "--only", "spectrum", "--out", str(run)],
    "A1: a landscape's figure": lambda study, run: ["report", str(run), "--only", "landscape", "--out", str(run)],
    "A1: a report into the study": lambda study, run: ["report", str(study), "--out", str(study)],
    "A1: a report into a run of the study": lambda study, run: ["report", str(study), "--out", str(run / "x")],
    "A1: a report around the study": lambda study, run: ["report", str(study), "--out", str(study.parent)],
    "A1: verdicts onto run.json": lambda study, run: ["claims", str(study), "--out", str(run / DONE)],
    "A1: verdicts among records": lambda study, run: ["claims", str(study), "--out", str(study / "x.csv")],
    "A1: collected onto rows": lambda study, run: ["collect", str(run), "--out", str(run)],
    "A1: collected into another place of records": lambda study, run: ["collect", str(study), "--out", str(study)],
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_no_output_lands_on_a_record(case: str, study: Path, capsys: Capture) -> None:
    before = contents(study)
    assert main(OUTPUTS[case](study, first(study))) == 2
    printed = capsys.readouterr()
    assert "records of a run or study" in printed.err
    assert printed.err.count("\n") == 1
    assert contents(study) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["report", "--only", "results"], ["collect"]],
    ids=["A1: the report's own place", "A1: the collection's own place"],
)
def test_the_default_places_are_written(words: list[str], study: Path) -> None:
    assert main([words[0], str(study), *words[1:]]) == 0
    assert main([words[0], str(study), *words[1:], "--out", str(study / "report" / "again")]) == 0
    assert main(["check", str(study)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["A3: a run into a study", "A3: a run into a run of a study", "A3: a run into a report", "A3: around runs"]
)
def test_a_run_does_not_go_among_other_records(case: str, study: Path, capsys: Capture) -> None:
    out = {
        "A3: a run into a study": study,
        "A3: a run into a run of a study": first(study) / "inner",
        "A3: a run into a report": study / "report",
        "A3: around runs": study / "around",
    }[case]
    if case == "A3: around runs":
        shutil.copytree(first(study), study.parent / "around" / "run")
        out = study.parent / "around"
    before = contents(study)
    assert main(run_words(small_spec(seed=7), out)) == 2
    assert "choose another with --out" in capsys.readouterr().err
    assert contents(study) == before
    assert main(["check", str(study)]) == 0


def test_a_study_does_not_go_into_a_run_a3(study: Path, tmp_path: Path) -> None:
    other = PlannedStudy("other", (small_spec(seed=9),))
    for out, said in ((first(study), "holds a run"), (study, "a study of other runs"), (study / "inner", "records")):
        with pytest.raises(BadInput, match=said):
            batch.run_study(other, out, PLACE, batch.Engine(), lambda done: None)
    assert not (study / "inner").exists()


@pytest.mark.slow
def test_a_run_of_a_study_may_be_carried_out_by_itself_a3(study: Path) -> None:
    spec = small_spec(seed=0)
    shutil.rmtree(study / spec.run_id)
    assert run(spec, study / spec.run_id, PLACE, Watch())
    assert main(["check", str(study)]) == 0


@pytest.mark.slow
def test_rows_without_a_checkpoint_are_not_deleted_a4(tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path / "run")
    (tmp_path / "run" / CHECKPOINT).unlink()
    before = contents(tmp_path)
    with pytest.raises(CorruptFile, match=r"checkpoint\.pt is missing, though epochs\.csv has 2 rows"):
        run(spec, tmp_path / "run", PLACE, Watch())
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_a_process_that_died_in_its_first_save_begins_again_a4(tmp_path: Path) -> None:
    spec = small_spec(epochs=1)

    def die(epoch: int, epochs: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        run(spec, tmp_path / "run", PLACE, Watch(die))
    (tmp_path / "run" / CHECKPOINT).unlink()
    assert run(spec, tmp_path / "run", PLACE, Watch())
    assert main(["check", str(tmp_path / "run")]) == 0


# B: wrong numbers without a word


@pytest.mark.parametrize("name", [EPOCHS, SPECTRUM], ids=["B1: rows", "B1: eigenvalues"])
def test_an_old_row_that_was_changed_stops_the_run(name: str, tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    place = next(index for index in range(len(content) // 2, 0, -1) if chr(content[index]).isdigit())
    content[place] = ord("1") if content[place] != ord("1") else ord("2")
    (tmp_path / name).write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(CorruptFile, match=rf"{name} was altered"):
        run(spec, tmp_path, PLACE, Watch())
    after = contents(tmp_path)
    after.pop(ERROR, None)
    assert after == before
    assert [status.state for status in read_status(tmp_path)] == ["damaged"]


@pytest.mark.slow
def test_logits_that_were_changed_between_two_runs_are_written_again_b1(tmp_path: Path) -> None:
    spec = small_spec(epochs=2)
    run(spec, tmp_path / "whole", PLACE, Watch())
    interrupted(spec, tmp_path / "harmed")
    (tmp_path / "harmed" / ALPHAS).write_bytes(b"PK")
    run(spec, tmp_path / "harmed", PLACE, Watch())
    assert (tmp_path / "harmed" / ALPHAS).read_bytes() == (tmp_path / "whole" / ALPHAS).read_bytes()


def images(path: Path, seed: int) -> Path:
    """A file of 40 images of 8 x 8 pixels in two classes."""
    rng = numpy.random.default_rng(seed)
    numpy.savez(path, x_train=rng.integers(0, 255, (40, 8, 8), dtype=numpy.uint8), y_train=numpy.arange(40) % 2)
    return path


def own_images(path: Path) -> RunSpec:
    """A spec on a file of images."""
    values = {"images": 0, "data": f"npz:{path}", "crop_padding": 0, "flip": False, "batch_size": 8}
    return small_spec(epochs=3, **values)  # type: ignore[arg-type]


@pytest.mark.slow
def test_other_images_under_the_same_path_are_refused_b2_h3(tmp_path: Path) -> None:
    path = images(tmp_path / "mine.npz", 0)
    spec = own_images(path)
    assert "-npz-mine-" in spec.run_id
    interrupted(spec, tmp_path / "run")
    images(path, 1)
    assert own_images(path).run_id != spec.run_id
    before = contents(tmp_path / "run")
    with pytest.raises(BadInput, match=r"mine\.npz"):
        run(spec, tmp_path / "run", PLACE, Watch())
    with pytest.raises(BadInput, match="another spec: 'data_sha256'"):
        run(own_images(path), tmp_path / "run", PLACE, Watch())
    assert contents(tmp_path / "run") == before
    images(path, 0)
    assert run(spec, tmp_path / "run", PLACE, Watch())
    recorded = json.loads((tmp_path / "run" / DONE).read_text())["data"]
    assert recorded["name"] == "npz-mine"
    assert len(recorded["sha256"]) == 64
    images(path, 1)
    with pytest.raises(BadInput, match=r"mine\.npz"):
        measure_landscape(tmp_path / "run", Grid(3, 1.0), PLACE, Watch())
    assert not (tmp_path / "run" / PLANE).exists()


def test_another_data_set_of_the_same_name_is_refused_b2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas_stability.harness.runs import inputs

    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path)
    real = inputs.load_data

    def other(name: str, directory: Path) -> object:
        raw = real(name, directory)
        return raw._replace(images=raw.images ^ 1)

    monkeypatch.setattr(inputs, "load_data", other)
    with pytest.raises(BadInput, match="the data set digits is not the one that the run began with"):
        run(spec, tmp_path, PLACE, Watch())


def test_another_table_of_the_same_name_is_refused_b2_h2(tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path)
    state = checkpoint.load(tmp_path / CHECKPOINT)
    head = {
        name: value for name, value in read_head(tmp_path / CHECKPOINT).items() if name not in ("schema", "payload")
    }
    head["inputs"]["table"]["sha256"] = "0" * 64
    checkpoint.save(tmp_path / CHECKPOINT, head, state)
    with pytest.raises(BadInput, match="is not the one that"):
        run(spec, tmp_path, PLACE, Watch())


@pytest.mark.slow
def test_random_mutations_are_named_or_change_nothing_b3(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "study"))
    runs = sorted(path.parent for path in folder.glob(f"*/{DONE}"))
    answers, faults = trial(folder, runs, 40, seed=1)
    assert not faults
    assert answers["mutations"] > 20
    assert answers["refused by name"] > 20


HARMS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "B4: a finished run without its spec": (lambda study, run: (run / SPEC).unlink(), "spec.json is missing"),
    "B3: a row missing": (
        lambda study, run: (run / EPOCHS).write_text("".join((run / EPOCHS).read_text().splitlines(True)[:-1])),
        "epochs.csv was altered",
    ),
    "B3: the records of two runs swapped": (
        lambda study, run: [
            run.rename(study / "x"),
            (other := next(place for place in study.glob("*-s1-*"))).rename(run),
            (study / "x").rename(other),
        ],
        "is of another run",
    ),
    "D3: run.json of 10,000 brackets": (
        lambda study, run: (run / DONE).write_text("[" * 10_000),
        "run.json is damaged",
    ),
    "D3: run.json in Latin-1": (lambda study, run: (run / DONE).write_bytes(b'{"run": "\xe9"}'), "run.json is damaged"),
    "D3: study.json a list": (lambda study, run: (study / STUDY).write_text("[]"), "study.json is damaged"),
    "D3: study.json with a path in it": (
        lambda study, run: (study / STUDY).write_text(sealed({"schema": 3, "name": "x", "runs": {"../x": {}}})),
        "study.json was altered",
    ),
    "D3: rows of bytes": (
        lambda study, run: (run / EPOCHS).write_bytes(b"\xff\xfe\x00" * 99),
        "epochs.csv was altered",
    ),
    "D3: a landscape of bytes": (
        lambda study, run: (run / LANDSCAPE).write_bytes(b"\xff"),
        "landscape.csv was altered",
    ),
    "D3: a folder in place of a file": (
        lambda study, run: [(run / EPOCHS).unlink(), (run / EPOCHS).mkdir()],
        "epochs.csv is missing",
    ),
    "A3: a run's records among a study's": (
        lambda study, run: [shutil.copy(run / name, study / name) for name in (SPEC, DONE, EPOCHS)],
        "among a study's",
    ),
}


@pytest.mark.parametrize("case", HARMS)
def test_every_verb_names_what_is_damaged(case: str, study: Path, capsys: Capture) -> None:
    harm, message = HARMS[case]
    harm(study, first(study))
    for verb in ("check", "report", "claims", "collect", "status"):
        code = main([verb, str(study)])
        printed = capsys.readouterr()
        assert code in (1, 2), verb
        assert message in printed.err + printed.out, verb
        assert "Traceback" not in printed.err
        assert all(line.startswith("nas-stability: ") for line in printed.err.splitlines())
        assert len(printed.err.splitlines()) <= 2
    assert not (study / "report").exists()
    assert not (study / "collected").exists()


@pytest.mark.slow
def test_runs_that_are_missing_or_foreign_are_said_b4(study: Path, tmp_path: Path, capsys: Capture) -> None:
    gone = first(study)
    shutil.rmtree(gone)
    run(small_spec(seed=5), tmp_path / "foreign", PLACE, Watch())
    (tmp_path / "foreign").rename(study / "foreign")
    for verb in ("claims", "collect"):
        assert main([verb, str(study)]) == 0
        said = capsys.readouterr().err
        assert f"1 run missing (study.json names them): {gone.name}" in said
        assert "1 run foreign, not counted: foreign" in said
    assert main(["check", str(study)]) == 1
    said = capsys.readouterr().out
    assert f"{gone.name}: is missing" in said
    assert "foreign: is not a run of the study" in said
    assert main(["report", str(study), "--only", "results"]) == 0


def edit(path: Path) -> None:
    """Appends a digit to the last value of a file of rows."""
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows[:-1], rows[-1].rstrip("\n"), "0\n"]))


def test_who_edited_on_purpose_says_so(study: Path, capsys: Capture) -> None:
    edit(first(study) / EPOCHS)
    assert main(["claims", str(study)]) == 2
    assert "--unverified takes the files as they are" in capsys.readouterr().err
    assert main(["claims", str(study), "--unverified"]) == 0
    assert "not verified" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_of_edited_files_says_so(study: Path) -> None:
    edit(first(study) / EPOCHS)
    assert main(["report", str(study), "--unverified", "--workers", "1"]) == 0
    assert "Not verified:" in (study / "report" / "report.html").read_text()


@pytest.mark.parametrize("reach", ["1e308", "1e7", "-1"], ids=["B8: 1e308", "B8: 1e7", "B8: negative"])
def test_a_plane_that_is_no_plane(reach: str, study: Path, capsys: Capture) -> None:
    run = first(study)
    before = contents(run)
    assert main(["landscape", str(run), "--again", f"--reach={reach}", "--grid", "3"]) == 2
    assert "--reach takes a number" in capsys.readouterr().err
    assert contents(run) == before
