"""Records that cannot lie: no output lands on them, what is altered is named, what is lost is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.command_line import main
from nas_stability.harness.measuring.measure import slope
from nas_stability.harness.records import claiming
from nas_stability.harness.records.folder import survey
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
from nas_stability.harness.runs import batch, checkpoint, machine
from nas_stability.harness.runs.landscape import carry_out
from nas_stability.harness.runs.plane import Grid
from nas_stability.harness.runs.run import Place, Watch, run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import Study
from tests.mutations import trial
from tests.small import PLACE, begin, reseal, small_spec
from tests.test_run import Killed, interrupted

Capture = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two methods and two seeds, one landscape among them."""
    folder = tmp_path_factory.mktemp("records") / "study"
    specs = tuple(small_spec(method=method, seed=seed) for method in ("darts", "sdarts-rs") for seed in (0, 1))
    batch.carry_out(Study("small", specs), folder, PLACE, batch.Engine(), lambda done: None)
    carry_out(folder / specs[0].run_id, Grid(3, 1.0), PLACE, Watch())
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to be harmed."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


def first(study: Path) -> Path:
    """The folder of a run of the study, the one with a landscape."""
    return next(path.parent for path in study.glob(f"*/{LANDSCAPE}"))


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


@pytest.mark.parametrize(
    "words",
    [["report", "--only", "results"], ["collect"]],
    ids=["A1: the report's own place", "A1: the collection's own place"],
)
def test_the_default_places_are_written(words: list[str], study: Path) -> None:
    assert main([words[0], str(study), *words[1:]]) == 0
    assert main([words[0], str(study), *words[1:], "--out", str(study / "report" / "again")]) == 0
    assert main(["check", str(study)]) == 0


def run_words(spec: RunSpec, out: Path) -> list[str]:
    """``run`` with every field of a spec that is a flag with another value than its default."""
    words = ["run", "--threads", "1", "--out", str(out)]
    for name, value in json.loads(spec.json()).items():
        if name != "data_sha256":
            words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return words


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
    other = Study("other", (small_spec(seed=9),))
    for out, said in ((first(study), "holds a run"), (study, "a study of other runs"), (study / "inner", "records")):
        with pytest.raises(BadInput, match=said):
            batch.carry_out(other, out, PLACE, batch.Engine(), lambda done: None)
    assert not (study / "inner").exists()


def test_a_run_of_a_study_may_be_carried_out_by_itself_a3(study: Path) -> None:
    spec = small_spec(seed=0)
    shutil.rmtree(study / spec.run_id)
    assert run(spec, study / spec.run_id, PLACE, Watch())
    assert main(["check", str(study)]) == 0


def test_rows_without_a_checkpoint_are_not_deleted_a4(tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path / "run")
    (tmp_path / "run" / CHECKPOINT).unlink()
    before = contents(tmp_path)
    with pytest.raises(CorruptFile, match=r"checkpoint\.pt is missing, though epochs\.csv has 2 rows"):
        run(spec, tmp_path / "run", PLACE, Watch())
    assert contents(tmp_path) == before


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
        carry_out(tmp_path / "run", Grid(3, 1.0), PLACE, Watch())
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


def test_who_edited_on_purpose_says_so(study: Path, capsys: Capture) -> None:
    path = first(study) / EPOCHS
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows[:-1], rows[-1].rstrip("\n"), "0\n"]))
    assert main(["claims", str(study)]) == 2
    assert "--unverified takes the files as they are" in capsys.readouterr().err
    assert main(["claims", str(study), "--unverified"]) == 0
    assert "not verified" in capsys.readouterr().err
    assert main(["report", str(study), "--unverified"]) == 0
    assert "Not verified:" in (study / "report" / "report.html").read_text()


@pytest.mark.parametrize("reach", ["1e308", "1e7", "-1"], ids=["B8: 1e308", "B8: 1e7", "B8: negative"])
def test_a_plane_that_is_no_plane(reach: str, study: Path, capsys: Capture) -> None:
    run = first(study)
    before = contents(run)
    assert main(["landscape", str(run), "--again", f"--reach={reach}", "--grid", "3"]) == 2
    assert "--reach takes a number" in capsys.readouterr().err
    assert contents(run) == before


# C: stuck afterwards


@pytest.mark.parametrize(
    "values",
    [{"batch_size": 40}, {"data": "npz:absent.npz"}, {"table": "absent"}, {"images": 10**6}],
    ids=["C3: batches beyond the data", "C3: no file", "C3: no table", "C3: images beyond the data"],
)
def test_a_refused_run_leaves_nothing(values: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        run(small_spec(**values), tmp_path / "run", PLACE, Watch())  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
    assert run(small_spec(epochs=1), tmp_path / "run", PLACE, Watch())


def test_a_study_is_refused_before_anything_is_written_c3(tmp_path: Path) -> None:
    specs = (small_spec(), small_spec(seed=1, batch_size=40))
    with pytest.raises(BadInput, match="batch_size"):
        batch.carry_out(Study("s", specs), tmp_path / "s", PLACE, batch.Engine(), lambda done: None)
    assert not (tmp_path / "s").exists()


# D: tracebacks


def test_a_checkpoint_with_the_right_checksum_and_foreign_content_d4(tmp_path: Path) -> None:
    spec = small_spec(epochs=3)
    interrupted(spec, tmp_path)
    head = {
        name: value for name, value in read_head(tmp_path / CHECKPOINT).items() if name not in ("schema", "payload")
    }
    states: list[dict[str, object]] = [{}, {"net": 3}, {"net": {}, "alpha": [torch.zeros(2)], "epoch": 1}]
    for state in states:
        checkpoint.save(tmp_path / CHECKPOINT, head, state)
        with pytest.raises(CorruptFile, match=r"checkpoint\.pt does not hold a state of this run"):
            run(spec, tmp_path, PLACE, Watch())


ERRORS: dict[str, tuple[BaseException, int, str]] = {
    "D1: a full disk": (OSError(28, "No space left on device", "x.csv"), 1, "x.csv: No space left on device"),
    "D1: no permission": (PermissionError(13, "Permission denied", "run.json"), 1, "run.json: Permission denied"),
    "D6: memory": (MemoryError(), 1, "too little memory"),
    "D6: PyTorch's memory": (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nto allocate 9 bytes"),
        1,
        "too little memory",
    ),
    "D9: Ctrl-C": (KeyboardInterrupt(), 130, "broken off"),
    "D: anything else": (IndexError("list index\nout of range"), 1, "IndexError: list index out of range (--debug"),
    "D: input": (BadInput("the thing"), 2, "nas-stability: the thing"),
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("debug", [False, True])
def test_one_edge_for_every_error(
    case: str, debug: bool, study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, code, message = ERRORS[case]

    def broken(folder: Path) -> object:
        raise error

    monkeypatch.setattr("nas_stability.harness.records.status.read_status", broken)
    assert main(["status", str(study), *(["--debug"] if debug else [])]) == code
    said = capsys.readouterr().err
    assert message in said
    assert ("Traceback" in said) == debug
    assert debug or said.count("\n") == 1


@pytest.mark.parametrize("kind", ["D1: a pipe", "D1: a folder"])
def test_what_is_no_file_is_not_replaced_by_one(kind: str, study: Path, tmp_path: Path, capsys: Capture) -> None:
    place = tmp_path / "place"
    if kind == "D1: a pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    assert main(["claims", str(study), "--out", str(place)]) == 1
    assert "place: is there and is not a file" in capsys.readouterr().err
    assert not place.is_file()


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", "cpu:x", ""], ids=lambda device: f"D6: {device}")
def test_a_device_that_searches_do_not_run_on(device: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([*run_words(small_spec(), tmp_path / "run"), "--device", device]) == 2
    assert "device" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_numpys_advice_is_not_passed_on_e(study: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(b"\x80\x04K\x01.")
    assert main(["verify", str(path)]) == 2
    (first(study) / ALPHAS).write_bytes(b"\x80\x04K\x01.")
    assert main(["report", str(study), "--unverified", "--only", "operations"]) == 2
    assert "pickle" not in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["D1: buffered", "D1: unbuffered"])
@pytest.mark.parametrize("words", [["status"], ["claims"], ["check"], ["--help"]], ids=lambda words: words[0])
def test_a_full_device_is_said(words: list[str], unbuffered: str, study: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nas_stability", *words, *([] if words == ["--help"] else [str(study)])],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.count("No space left on device") == 1
    assert "Traceback" not in done.stderr


def test_an_archive_without_checkpoints_is_checked_d10(study: Path, capsys: Capture) -> None:
    for path in study.glob(f"*/{CHECKPOINT}"):
        path.unlink()
    assert main(["check", str(study)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("all records of")
    assert said.count("has no checkpoint.pt") == 4
    path = first(study) / EPOCHS
    path.write_text(path.read_text().replace("skip_connect", "none"))
    reseal(path.parent)
    assert main(["check", str(study)]) == 1
    assert "the logits discretise to" in capsys.readouterr().out


# E, F, H


def test_logits_that_are_not_finite_are_called_so_e(monkeypatch: pytest.MonkeyPatch) -> None:
    from nas_stability.harness import search as searching

    search, data = begin(small_spec())

    def broken(search: searching.Search, *rest: object) -> searching.Step:
        with torch.no_grad():
            search.alpha[0][0, 0] = float("nan")
        return searching.Step(torch.tensor(2.3), torch.tensor(1), 10, None, None)

    with pytest.raises(FloatingPointError, match="the logits after epoch 1 are not finite"):
        searching.advance(search, data, step=broken)


def test_status_of_odd_files_f(study: Path, capsys: Capture) -> None:
    run = first(study)
    (run / DONE).unlink()
    os.utime(run / EPOCHS, (time.time() + 10**6,) * 2)
    assert {status.run: status.state for status in read_status(study)}[run.name] == "stopped"
    (run / ERROR).write_text("\x1b[31m" + "x" * 3_000_000 + "\n")
    assert main(["status", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len(printed) < 2_000


def test_status_names_what_is_copied_or_foreign_b4(study: Path, capsys: Capture) -> None:
    assert main(["status", str(study)]) == 0
    assert capsys.readouterr().err == ""
    run = first(study)
    shutil.copytree(run, study / f"{run.name}-copy")
    other = study / "nasbench201-darts-digits-s9-00000000"
    shutil.copytree(run, other)
    spec = json.loads((other / SPEC).read_text())
    (other / SPEC).write_text(json.dumps({**spec, "seed": 9}))
    (other / DONE).unlink()
    assert main(["status", str(study)]) == 0
    said = capsys.readouterr().err
    assert f"{run.name}-copy" in said
    assert other.name in said


def test_the_commit_is_of_the_harness_or_of_nothing_h8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    module = tmp_path / ".venv" / "machine.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.setattr(machine, "__file__", str(module))
    assert machine.git_commit() is None


def test_the_gradients_norm_is_that_of_differences() -> None:
    """Against central differences of the loss in float64, for both kinds of statistics; nothing is moved."""
    for statistics in ("batch", "running"):
        search, data = begin(small_spec(hessian_dtype="float64", dtype="float64", hessian_batch_norm=statistics))
        before = {name: value.clone() for name, value in search.net.state_dict().items()}
        found = slope(search, data)
        from nas_stability.harness.measuring.curvature import probe_loss
        from nas_stability.harness.measuring.measure import probe, softmax

        batch_of = probe(search, data, torch.float64)
        squares = 0.0
        with probe_loss(search.net, batch_of, statistics, torch.float64) as loss, torch.no_grad():
            for group in range(len(search.alpha)):
                for index in range(search.alpha[group].numel()):
                    ends = []
                    for side in (1, -1):
                        moved = [logits.detach().clone() for logits in search.alpha]
                        moved[group].view(-1)[index] += side * 1e-5
                        ends.append(float(loss(softmax(tuple(moved)))))
                    squares += ((ends[0] - ends[1]) / 2e-5) ** 2
        assert found == pytest.approx(squares**0.5, rel=1e-6)
        assert all(torch.equal(before[name], value) for name, value in search.net.state_dict().items())


# Run ids: a study of the old ones is recognised and continued


def old_names(folder: Path, specs: tuple[RunSpec, ...]) -> dict[str, dict[str, object]]:
    """Makes a study's folder what version 0.1 would have left, before any run began; old id -> spec."""
    from nas_stability.harness.specs.spec import known_ids

    values = [
        {name: value for name, value in json.loads(spec.json()).items() if name != "data_sha256"} for spec in specs
    ]
    planned = {known_ids(one)[-1]: one for one in values}
    folder.mkdir()
    (folder / STUDY).write_text(json.dumps({"name": "old", "runs": planned}, indent=1) + "\n")
    return planned


def test_a_study_of_old_ids_is_continued(tmp_path: Path) -> None:
    specs = tuple(small_spec(seed=seed, epochs=2) for seed in (0, 1))
    folder = tmp_path / "old"
    planned = old_names(folder, specs)
    old, new = next(iter(planned)), specs[0].run_id
    assert old != new
    begun = tmp_path / "begun"
    interrupted(specs[0], begun)
    for name in (EPOCHS, SPECTRUM):
        (begun / name).write_text((begun / name).read_text().replace(new, old))
    state = checkpoint.load(begun / CHECKPOINT)
    state["sizes"] = {name: (begun / name).stat().st_size for name in (EPOCHS, SPECTRUM)}
    write_first_version(begun / CHECKPOINT, state)
    (begun / SPEC).write_text(json.dumps(planned[old], sort_keys=True, indent=1) + "\n")
    begun.rename(folder / old)
    outcomes = batch.carry_out(Study("old", specs), folder, PLACE, batch.Engine(), lambda done: None)
    assert [(outcome.run, outcome.state) for outcome in outcomes] == [(old, "finished"), (specs[1].run_id, "finished")]
    record = json.loads((folder / old / DONE).read_text())
    assert (record["run"], record["inputs_since"]) == (old, 1)
    assert {line.split(",")[0] for line in (folder / old / EPOCHS).read_text().splitlines()[1:]} == {old}
    assert main(["check", str(folder)]) == 0
    assert main(["claims", str(folder)]) == 0
    assert survey(folder).remarks == []


def write_first_version(path: Path, state: dict[str, object]) -> None:
    """A checkpoint as version 0.1 wrote it."""
    import hashlib
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    line = b"%s%d %s\n" % (checkpoint.FIRST_VERSION, len(payload), hashlib.sha256(payload).hexdigest().encode())
    path.write_bytes(line + payload)


def test_a_run_of_an_old_study_that_has_not_begun_gets_its_name_of_today(tmp_path: Path) -> None:
    specs = (small_spec(epochs=1),)
    old_names(tmp_path / "old", specs)
    assert claiming.names_of(Study("old", specs), tmp_path / "old") == {specs[0]: specs[0].run_id}
    claiming.claim_study(Study("old", specs), tmp_path / "old")
    assert [status.run for status in read_status(tmp_path / "old")] == [specs[0].run_id]


def test_a_signal_to_a_run_saves_it_in_a_process_of_its_own_d9(tmp_path: Path) -> None:
    """Ctrl-C while a report's modules are imported is one line; the exit code says what it was."""
    code = (
        "import os, signal, sys, threading, nas_stability.command_line\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "sys.exit(nas_stability.command_line.main(['report', sys.argv[1]]))\n"
    )
    run(small_spec(epochs=1), tmp_path / "run", Place(threads=1), Watch())
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode in (130, -signal.SIGINT), done.stderr
    assert "Traceback" not in done.stderr
