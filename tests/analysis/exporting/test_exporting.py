"""Records in trackers: what is read back is what the records say, once, and the study stays as it was."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from nas_stability.analysis.exporting import export as exporting
from nas_stability.analysis.exporting import mlflow_runs
from nas_stability.analysis.exporting.export import EXPORTERS, Exported, export
from nas_stability.analysis.exporting.tracked import KEYS, TrackedRun, tracked
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.command_line import main
from nas_stability.exporting import TRACKERS
from nas_stability.harness.records.record import CHECKPOINT, DONE, EPOCHS, ERROR, SPECTRUM, EpochRecord
from tests.analysis.exporting.read_back import READERS, Had
from tests.commands import refused
from tests.studies import contents

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]

every_tracker = pytest.mark.parametrize("tracker", EXPORTERS)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of MLflow, which takes ten seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    if importlib.util.find_spec("mlflow"):
        with mlflow_runs.mlflow(folder):
            pass
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to a store that whoever runs it has named."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def out(tracker: str, empty_store: Path, tmp_path: Path) -> Path:
    """Where to export to; skips where the tracker's library is absent."""
    pytest.importorskip(tracker)
    place = tmp_path / "out"
    if tracker == "mlflow":
        place.mkdir()
        shutil.copy(empty_store, place)
    return place


def cells(place: Path) -> dict[tuple[str, int], float]:
    """(column, epoch) -> number of every cell of a run's epochs.csv that has one, but for names."""
    with (place / EPOCHS).open() as file:
        return {
            (column, int(row["epoch"])): float(cell)
            for row in csv.DictReader(file)
            for column, cell in row.items()
            if cell and column not in KEYS
        }


def numbers(had: Had) -> dict[tuple[str, int], float]:
    """The numbers of a run that are there once, but for the number of the epoch."""
    assert all(len(values) == 1 for values in had.numbers.values()), "nothing is there twice"
    return {key: value for key, [value] in had.numbers.items() if key[0] != "epoch"}


def cut(run: Path, rows: int) -> None:
    """Puts a finished run back to where it had so many rows, as one that is carried out has them."""
    for name in (DONE, CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    for name in (EPOCHS, SPECTRUM):
        header, *lines = (run / name).read_text().splitlines(keepends=True)
        place = header.rstrip("\n").split(",").index("epoch")
        (run / name).write_text(header + "".join(line for line in lines if int(line.split(",")[place]) < rows))


@every_tracker
def test_a_tracker_has_what_the_records_say(tracker: str, study: Path, out: Path) -> None:
    before = contents(study)
    found = export(study, tracker, out)
    assert contents(study) == before, "not one byte of the study"
    assert (len(found.runs), found.epochs, found.waiting, found.damaged) == (4, 12, 0, ())
    had = READERS[tracker](out, "study")
    assert sorted(had) == sorted(path.parent.name for path in study.glob(f"*/{DONE}"))
    for name, run in had.items():
        assert numbers(run) == pytest.approx(cells(study / name), rel=1e-6)  # TensorBoard's are float32
        record = json.loads((study / name / DONE).read_text())
        assert float(run.fields["arch_lr"]) == record["spec"]["arch_lr"]
        assert run.fields["method"] == record["spec"]["method"]
        assert "settings" not in run.fields
        assert "data_sha256" not in run.fields, "empty fields say nothing"
        assert run.provenance["state"] == "finished"
        assert run.provenance["table.sha256"] == record["table"]["sha256"]
        assert run.provenance["versions.torch"] == record["versions"]["torch"]
        assert run.provenance["arch"].startswith("|")
        assert run.outcome == "good"
        assert run.histogram == (None if tracker == "mlflow" else 30), "6 edges of 5 operations"


@every_tracker
def test_again_adds_only_what_is_new(tracker: str, study: Path, out: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(study, whole)
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(going, 2)
    first = export(study, tracker, out)
    assert (len(first.runs), first.epochs) == (4, 11)
    had = READERS[tracker](out, "study")[going.name]
    assert {epoch for _, epoch in had.numbers} == {0, 1}
    assert (had.provenance["state"], had.histogram) == ("running", None)
    assert had.outcome == ("good" if tracker == "wandb" else ""), "a session of W&B always ends"
    assert export(study, tracker, out)[1:3] == ((), 0), "nothing is new"

    shutil.rmtree(going)
    shutil.copytree(whole / going.name, going)
    second = export(study, tracker, out)
    assert (second.runs, second.epochs) == ((going.name,), 1)
    had = READERS[tracker](out, "study")[going.name]
    assert numbers(had) == pytest.approx(cells(going), rel=1e-6)
    assert (had.provenance["state"], had.outcome) == ("finished", "good")


@every_tracker
def test_rows_that_are_void_are_replaced(tracker: str, study: Path, out: Path) -> None:
    """A search that went back has other rows than were told."""
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(going, 3)
    export(study, tracker, out)
    text = (going / EPOCHS).read_text()
    *kept, last = text.splitlines(keepends=True)
    parts = last.split(",")
    parts[text.splitlines()[0].split(",").index("valid_loss")] = "7.5"
    (going / EPOCHS).write_text("".join([*kept, ",".join(parts)]))
    found = export(study, tracker, out)
    assert (found.runs, found.epochs) == ((going.name,), 3)
    had = READERS[tracker](out, "study")[going.name]
    assert numbers(had)["valid_loss", 2] == 7.5
    assert numbers(had) == pytest.approx(cells(going), rel=1e-6)


def test_a_resumed_search_that_took_another_time_is_not_told_again(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(going, 3)
    export(study, "tensorboard", tmp_path / "out")
    lines = (going / EPOCHS).read_text().splitlines()
    (going / EPOCHS).write_text("\n".join([*lines[:-1], lines[-1].rpartition(",")[0] + ",99.0"]) + "\n")
    assert export(study, "tensorboard", tmp_path / "out").runs == ()


@every_tracker
def test_a_failed_run_is_told_as_one(tracker: str, study: Path, out: Path) -> None:
    failed = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(failed, 2)
    (failed / ERROR).write_text("FloatingPointError: the training loss is not a finite number\nmore\n")
    export(study, tracker, out)
    had = READERS[tracker](out, "study")[failed.name]
    assert had.outcome == "bad"
    assert had.provenance["state"] == "failed"
    assert had.provenance["error"] == "FloatingPointError: the training loss is not a finite number"


@every_tracker
def test_following_tells_new_epochs_and_new_runs_until_all_are_done(
    tracker: str, study: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(study, whole)
    growing, absent = sorted(path.parent for path in study.glob(f"*/{DONE}"))[:2]
    steps = [
        lambda: back(growing, 2),
        lambda: None,
        lambda: back(absent, 1),
        lambda: back(growing, 3),
        lambda: back(absent, 3),
    ]

    def back(run: Path, rows: int) -> None:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole / run.name, run)
        if rows < 3:
            cut(run, rows)

    back(growing, 1)
    shutil.rmtree(absent)
    monkeypatch.setattr(exporting.time, "sleep", lambda seconds: steps.pop(0)())
    heard: list[Exported] = []
    total = export(study, tracker, out, follow=True, heard=heard.append)
    assert not steps, "it went on until all were done, and no longer"
    assert [one.epochs for one in heard] == [7, 1, 1, 1, 2]
    assert (len(total.runs), total.epochs, total.waiting) == (4, 12, 0)
    had = READERS[tracker](out, "study")
    assert len(had) == 4
    for name, run in had.items():
        assert numbers(run) == pytest.approx(cells(whole / name), rel=1e-6)
        assert (run.outcome, run.provenance["state"]) == ("good", "finished")
        assert run.histogram == (None if tracker == "mlflow" else 30)
    if tracker == "wandb":
        assert len(list(out.glob("wandb/offline-run-*"))) == 4, "one session a run"


class Session:
    """What a run of W&B is told."""

    def __init__(self, **given: object) -> None:
        self.given = given
        self.told: list[tuple[str, int]] = []
        self.code: int | None = None
        self.config: dict[str, object] = {}

    def log(self, row: dict[str, object], step: int) -> None:
        self.told.append(("spectrum" if "spectrum" in row else "row", step))

    def finish(self, exit_code: int = 0) -> None:
        self.code = exit_code


def test_a_later_session_of_wandb_goes_on_and_is_told_no_row_twice(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B itself drops rows of steps that it has, so that its files do not show them."""
    wandb = pytest.importorskip("wandb")
    sessions: list[Session] = []

    class Config(dict[str, object]):
        def update(self, values: dict[str, object], allow_val_change: bool) -> None:  # type: ignore[override]
            assert allow_val_change

    def begin(**given: object) -> Session:
        sessions.append(Session(**given))
        sessions[-1].config = Config()
        return sessions[-1]

    monkeypatch.setattr(wandb, "init", begin)
    whole = tmp_path / "whole"
    shutil.copytree(study, whole)
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(going, 2)
    export(study, "wandb", tmp_path / "out")
    first = next(one for one in sessions if one.given["name"] == going.name)
    assert (first.given["resume"], first.told, first.code) == (None, [("row", 0), ("row", 1)], 0)
    shutil.rmtree(going)
    shutil.copytree(whole / going.name, going)
    sessions.clear()
    export(study, "wandb", tmp_path / "out")
    [second] = sessions
    assert (second.given["resume"], second.told) == ("allow", [("row", 2), ("spectrum", 3)])
    assert second.given["id"] == first.given["id"]
    assert (second.given["mode"], second.given["project"]) == ("offline", "study")


def test_ctrl_c_ends_following_and_breaks_off_what_is_not_followed(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pytest.importorskip("tensorboard")
    going = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    cut(going, 2)

    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting.time, "sleep", interrupt)
    words = ["export", str(study), "--to", "tensorboard", "--out"]
    assert main([*words, str(tmp_path / "out"), "--follow"]) == 0
    assert "exported: 4 runs, 11 new epochs" in capsys.readouterr().out
    monkeypatch.setattr(exporting, "tracked", interrupt)
    assert main([*words, str(tmp_path / "other")]) == 130


def test_damage_is_told_before_anything_is_written(study: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("tensorboard")
    path = sorted(study.glob(f"*/{EPOCHS}"))[0]
    path.write_text(path.read_text().replace("digits", "digitz", 1))
    with pytest.raises(CorruptFile, match="was altered"):
        export(study, "tensorboard", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert main(["export", str(study), "--to", "tensorboard", "--out", str(tmp_path / "out"), "--unverified"]) == 0
    assert "not verified" in capsys.readouterr().err


def test_rows_that_are_not_those_of_the_checkpoint_are_left_out(study: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("tensorboard")
    run = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    (run / DONE).unlink()
    (run / EPOCHS).write_text((run / EPOCHS).read_text().replace("digits", "digitz", 1))
    assert main(["export", str(study), "--to", "tensorboard", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "exported: 3 runs, 9 new epochs" in printed.out
    assert f"left out: {run.name}: {EPOCHS} was altered" in printed.err


@every_tracker
def test_a_missing_library_is_told_by_its_extra(
    tracker: str, study: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    said = refused(["export", str(study), "--to", tracker, "--out", str(tmp_path / "out")], capsys, tmp_path)
    assert f"needs the extra '{tracker}': pip install nas-stability[{tracker}]" in said


def test_where_it_may_not_write(study: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("tensorboard")
    run = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    assert "lies in" in refused(["export", str(run), "--to", "tensorboard"], capsys, tmp_path)
    assert "did you mean 'mlflow'" in refused(["export", str(study), "--to", "mlflo"], capsys, tmp_path)
    assert "holds no study" in refused(["export", str(tmp_path), "--to", "tensorboard"], capsys, tmp_path)
    out = tmp_path / "out"
    with exporting.alone(out, "tensorboard"), pytest.raises(BadInput, match="another process is exporting to"):
        export(study, "tensorboard", out)
    (out / "exported-tensorboard.json").write_text("[1]")
    with pytest.raises(BadInput, match=r"exported-tensorboard\.json is damaged"):
        export(study, "tensorboard", out)


def test_mlflow_goes_where_it_is_told_to(
    study: Path, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pytest.importorskip("mlflow")
    elsewhere = tmp_path / "server"
    elsewhere.mkdir()
    shutil.copy(empty_store, elsewhere)
    address = f"sqlite:///{elsewhere / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(["export", str(study), "--to", "mlflow", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith(f"look: mlflow ui --backend-store-uri {address}\n")
    assert not (tmp_path / "out" / "mlflow.db").exists()
    assert len(READERS["mlflow"](elsewhere, "study")) == 4


def test_without_out_it_goes_beside_the_study(study: Path, capsys: Capture) -> None:
    pytest.importorskip("tensorboard")
    assert main(["export", str(study), "--to", "tensorboard"]) == 0
    place = study.with_name("study-tensorboard")
    printed = capsys.readouterr().out
    assert printed == f"exported: 4 runs, 12 new epochs: {place}\nlook: tensorboard --logdir {place}\n"
    assert len(list(place.glob("study/*/events.out.tfevents.*"))) == 4


def test_a_surrogates_columns_keep_their_word_and_what_is_unknown_is_left_out(study: Path) -> None:
    run = sorted(path.parent for path in study.glob(f"*/{DONE}"))[0]
    header, *rows = (run / EPOCHS).read_text().splitlines()
    wanted = header.replace("accuracy_cifar10_valid", "accuracy_cifar10_valid_surrogate", 1).replace(
        "train_loss", "odd", 1
    )
    (run / EPOCHS).write_text("\n".join([wanted, *rows]).replace(rows[1].split(",")[9], "nan") + "\n")
    found: TrackedRun = tracked("s", run.name, run, verify=False)
    assert found.epochs[0].scalars["accuracy_cifar10_valid_surrogate"] > 10
    assert "accuracy_cifar10_valid" not in found.epochs[0].scalars
    assert "odd" not in found.epochs[0].scalars, "row 0 has no training loss"
    assert not {"arch", "seed", "epoch", *KEYS} & found.epochs[0].scalars.keys()
    assert set(KEYS) < set(EpochRecord.__dataclass_fields__)


def test_registry_verb_and_extras_name_the_same_trackers() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert list(EXPORTERS) == list(TRACKERS) == list(READERS)
    for name in EXPORTERS:
        assert [requirement.partition(">")[0] for requirement in extras[name]] == [name]


def test_exporting_takes_no_pytorch(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    import subprocess

    code = (
        "import sys; from nas_stability.command_line import main\n"
        f"assert main(['export', {str(study)!r}, '--to', 'tensorboard', '--out', {str(tmp_path / 'out')!r}]) == 0\n"
        "print('torch' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
