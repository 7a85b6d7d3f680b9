"""Landscapes of runs: left alone, refused, shared, checked; and the command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.flags import REQUEUE
from nas_stability.harness.records import claiming
from nas_stability.harness.records.record import CHECKPOINT, DONE, LANDSCAPE, PLANE
from nas_stability.harness.runs import batch, landscape
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.landscape import chosen_runs, measure_landscape
from nas_stability.harness.runs.plane import Grid, read_plane, write_plane
from nas_stability.harness.runs.run import Watch
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.harness.runs.landscapes import contents, copied, rows
from tests.small import PLACE, reseal, small_spec

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_whole_landscape_is_left_alone_and_another_is_refused(landscapes: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path)
    assert not measure_landscape(folder, Grid(5, 1.5), PLACE, Watch())
    before = contents(folder)
    with pytest.raises(BadInput, match="a landscape of another grid: 5 there and 3 here; --again replaces it"):
        measure_landscape(folder, Grid(3, 1.5), PLACE, Watch())
    with pytest.raises(BadInput, match=r"a landscape of another reach: 1\.5 there and 2\.0 here"):
        measure_landscape(folder, Grid(5, 2.0), PLACE, Watch())
    assert contents(folder) == before
    assert measure_landscape(folder, Grid(3, 2.0), PLACE, Watch(), again=True)
    assert len(rows(folder / LANDSCAPE)) == 9
    assert read_plane(folder).gradient == read_plane(landscapes["nasbench201"]).gradient
    assert measure_landscape(folder, Grid(5, 1.5), PLACE, Watch(), again=True)
    assert contents(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("unfinished", "is not finished: it has no run.json"),
        ("checkpoint", "was altered: it is not the one that run.json names"),
        ("no checkpoint", "has no checkpoint.pt"),
        ("plane", "landscape.json is not a landscape's"),
        ("spec", "spec.json was altered"),
        ("record", "run.json is damaged"),
    ],
)
def test_what_cannot_be_used_is_named(harm: str, message: str, landscapes: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path, LANDSCAPE)
    if harm == "unfinished":
        (folder / DONE).unlink()
    elif harm == "checkpoint":
        (folder / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes()[:-1])
    elif harm == "no checkpoint":
        (folder / CHECKPOINT).unlink()
    elif harm == "plane":
        (folder / PLANE).write_text("{}")
    elif harm == "spec":
        (folder / "spec.json").write_text("{}")
    else:
        (folder / DONE).write_text("{}")
    before = contents(folder)
    with pytest.raises(BadInput, match=message) as raised:
        measure_landscape(folder, Grid(5, 1.5), PLACE, Watch())
    assert "\n" not in str(raised.value)
    assert contents(folder) == before


def test_a_landscape_of_another_place_or_table_is_refused(landscapes: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path, LANDSCAPE)
    write_plane(folder, read_plane(folder)._replace(device="cuda"))
    with pytest.raises(BadInput, match="a landscape of another device"):
        measure_landscape(folder, Grid(5, 1.5), PLACE, Watch())
    record = json.loads((folder / DONE).read_text())
    record["table"]["sha256"] = "0" * 64
    (folder / DONE).write_text(json.dumps(record))
    reseal(folder)
    with pytest.raises(BadInput, match=r"table .* is not the one that"):
        measure_landscape(folder, Grid(5, 1.5), PLACE, Watch())


@pytest.mark.slow
def test_two_processes_do_not_measure_the_same_one(landscapes: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path, LANDSCAPE)
    code = (
        "import sys\nfrom pathlib import Path\nfrom nas_stability.harness.runs.landscape import measure_landscape\n"
        "from nas_stability.harness.runs.plane import Grid\n"
        "from nas_stability.harness.runs.run import Held, Watch\nfrom tests.small import PLACE\n"
        "try: measure_landscape(Path(sys.argv[1]), Grid(5, 1.5), PLACE, Watch())\n"
        "except Held as error: print(error)\n"
    )
    with filelock.FileLock(folder / landscape.LOCK):
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, cwd=ROOT
        )
    assert done.stdout == f"another process is measuring the landscape in {folder}\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (LANDSCAPE, "|+|", "|+|none~0|+|", "the logits discretise to"),
        (LANDSCAPE, "\n-0.75,", "\n-0.76,", "does not have the 25 points"),
        (PLANE, '"gradient": [\n  ', '"gradient": [\n  1', "are not orthogonal and of norm 1"),
        (PLANE, '"run": "', '"run": "x', "is of another run or checkpoint"),
        (PLANE, '"grid"', '"gird"', "is not a landscape's"),
    ],
)
def test_check_notices_a_changed_landscape(
    file: str, old: str, new: str, message: str, landscapes: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert any(file in problem for problem in check_study(folder).problems)
    reseal(folder)
    problems = check_study(folder).problems
    assert any(message in problem for problem in problems), problems


def test_check_asks_the_table_about_every_point(landscapes: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path)
    found = rows(folder / LANDSCAPE)
    found[3]["accuracy_cifar10_valid"], found[12]["valid_loss"] = "12.5", "9.5"
    with (folder / LANDSCAPE).open("w") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    reseal(folder)
    problems = check_study(folder).problems
    assert any("accuracy_cifar10_valid is 12.5, the table says" in problem for problem in problems)
    assert any("valid_loss in the middle is 9.5, epochs.csv has" in problem for problem in problems)
    assert len(problems) == 2


@pytest.mark.slow
def test_of_a_study_the_lowest_seed_per_space_and_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [("sdarts-rs", 2), ("sdarts-rs", 1), ("darts", 2), ("darts", 1)]
    runs = tuple(small_spec(method=method, seed=seed, epochs=1, images=24) for method, seed in kinds)
    study = PlannedStudy("study", (*runs, small_spec(space="nasbench1shot1-s1", epochs=1, images=24, table_epochs=6)))
    with pytest.raises(BadInput, match="holds no study and no run"):
        chosen_runs(tmp_path)
    out = tmp_path / "study"
    claiming.claim_study(study, out)
    with pytest.raises(BadInput, match="has no finished run yet"):
        chosen_runs(out)
    batch.run_study(study, out, PLACE, batch.Engine(), lambda done: None)
    assert chosen_runs(out) == [out / study.runs[index].run_id for index in (1, 3, 4)]
    (out / study.runs[1].run_id / DONE).unlink()
    assert chosen_runs(out)[0] == out / study.runs[0].run_id
    arguments = ["landscape", str(out), "--grid", "3", "--reach", "0.5", "--threads", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.count("finished: ") == 3
    assert "9 of 9 points" in printed.err
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("was finished already: ") == 3
    assert sorted(path.parent.name for path in out.glob(f"*/{LANDSCAPE}")) == sorted(
        study.runs[index].run_id for index in (0, 3, 4)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "4"], "--grid takes an odd number from 3 to"),
        (["--grid", "1"], "--grid takes an odd number from 3 to"),
        (["--reach", "0"], "--reach takes a number greater than 0"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--girt", "3"], "did you mean '--grid'"),
    ],
)
def test_bad_input_is_one_line_and_exit_two(
    arguments: list[str], message: str, landscapes: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["landscape", str(landscapes["nasbench201"]), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert main(["landscape", "absent"]) == 2


def test_a_signal_saves_and_exits_with_75(
    landscapes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path, LANDSCAPE, PLANE)
    real = landscape.evaluate

    def told_to_stop(*values: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(landscape, "evaluate", told_to_stop)
    arguments = ["landscape", str(folder), "--grid", "5", "--threads", "1"]
    assert main(arguments) == REQUEUE
    assert "stopped after point 1 of 25" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(arguments) == 0
    assert contents(folder) == contents(landscapes["nasbench201"])
