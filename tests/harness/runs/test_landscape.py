"""The supernet around a finished run: the plane, resuming, refusing, the command line."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import numpy
import pytest
import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.flags import REQUEUE
from nas_stability.harness.records import claiming
from nas_stability.harness.records.record import CHECKPOINT, DONE, EPOCHS, LANDSCAPE, PLANE
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import batch, checkpoint, landscape
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.landscape import carry_out, chosen_runs, directions
from nas_stability.harness.runs.plane import UNFINISHED, Grid, read_plane, write_plane
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec, Value
from nas_stability.harness.specs.study_file import Study
from tests import oracles_measure
from tests.harness.runs.test_run import Killed
from tests.small import PLACE, digits, reseal, small_spec

ROOT = Path(__file__).parents[3]
CASES: dict[str, dict[str, Value]] = {
    "nasbench201": {"dtype": "float64", "arch_lr": 0.3},
    "nasbench1shot1-s1": {"dtype": "float64", "table_epochs": 6},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each case, with its landscape of 5 x 5 points."""
    folders = {}
    for space, values in CASES.items():
        folders[space] = tmp_path_factory.mktemp(space) / "run"
        run(spec_of(space), folders[space], PLACE, Watch())
        before = contents(folders[space])
        assert carry_out(folders[space], Grid(5, 1.5), PLACE, Watch())
        after = contents(folders[space])
        assert {name: after[name] for name in before} == before, values
        assert after.keys() - before.keys() == {LANDSCAPE, PLANE, landscape.LOCK}
    return folders


def spec_of(space: str) -> RunSpec:
    return small_spec(space=space, images=100, lr=0.1, **CASES[space])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def copied(folder: Path, tmp_path: Path, *without: str) -> Path:
    """The run's folder again, as it was before some of its files were there."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in without:
        (copy / name).unlink()
    return copy


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def final_state(folder: Path) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Weights under the published names, and logits, in float64."""
    state = checkpoint.load(folder / CHECKPOINT)
    spec = recorded_spec(json.loads((folder / "spec.json").read_text()))
    data = digits(spec)
    search = landscape.restored(spec, folder, data, torch.device("cpu"))
    for name, value in search.net.state_dict().items():
        assert torch.equal(value, state["net"][name])
    return search.space.published(search.net), list(state["alpha"])


@pytest.mark.parametrize("space", CASES)
class TestPlane:
    def test_the_middle_is_the_recorded_last_epoch_bit_for_bit(self, space: str, finished: dict[str, Path]) -> None:
        points, last = rows(finished[space] / LANDSCAPE), rows(finished[space] / EPOCHS)[-1]
        assert (points[12]["x"], points[12]["y"]) == ("0.0", "0.0")
        for name in ("valid_loss", "valid_accuracy", "arch"):
            assert points[12][name] == last[name]
        assert {name: points[12][name] for name in last if name.startswith("accuracy_")} == {
            name: cell for name, cell in last.items() if name.startswith("accuracy_")
        }

    def test_points_equal_a_literal_loop(self, space: str, finished: dict[str, Path]) -> None:
        folder = finished[space]
        spec, plane = spec_of(space), read_plane(folder)
        tensors, alpha = final_state(folder)
        data = digits(spec)
        images = (data.valid.images.double() - data.valid.mean) / data.valid.deviation
        losses = set()
        for index in (0, 3, 12, 17, 24):
            row = rows(folder / LANDSCAPE)[index]
            x, y = 1.5 * (index % 5 - 2) / 2, 1.5 * (index // 5 - 2) / 2
            assert (float(row["x"]), float(row["y"])) == (x, y)
            step = iter([x * first + y * second for first, second in zip(plane.gradient, plane.random, strict=True)])
            logits = [
                torch.tensor([[value + next(step) for value in line] for line in group.tolist()], dtype=torch.float64)
                for group in alpha
            ]
            loss, accuracy = oracles_measure.loss_and_accuracy(
                space, tensors, images, data.valid.labels, logits, spec.depth
            )
            assert float(row["valid_loss"]) == pytest.approx(float(loss), rel=1e-12)
            assert float(row["valid_accuracy"]) == accuracy
            losses.add(float(loss))
        assert len(losses) == 5

    def test_the_directions_are_orthonormal_and_the_first_is_the_gradient(
        self, space: str, finished: dict[str, Path]
    ) -> None:
        folder = finished[space]
        spec, plane = spec_of(space), read_plane(folder)
        assert math.hypot(*plane.gradient) == pytest.approx(1, abs=1e-15)
        assert math.hypot(*plane.random) == pytest.approx(1, abs=1e-15)
        inner = math.fsum(left * right for left, right in zip(plane.gradient, plane.random, strict=True))
        assert abs(inner) < 1e-15
        tensors, alpha = final_state(folder)
        data = digits(spec)
        images = (data.valid.images.double() - data.valid.mean) / data.valid.deviation
        leaves = [group.clone().requires_grad_() for group in alpha]
        loss, _ = oracles_measure.loss_and_accuracy(space, tensors, images, data.valid.labels, leaves, spec.depth)
        slope = torch.cat([part.flatten() for part in torch.autograd.grad(loss, leaves)])
        assert plane.gradient_norm == pytest.approx(float(slope.norm()), rel=1e-9)
        torch.testing.assert_close(
            torch.tensor(plane.gradient, dtype=torch.float64), slope / slope.norm(), rtol=0, atol=1e-9
        )
        drawn = torch.randn(len(slope), generator=stream(spec.seed, "landscape"), dtype=torch.float64)
        span = torch.tensor([plane.gradient, plane.random], dtype=torch.float64)
        torch.testing.assert_close(span.T @ (span @ drawn), drawn, rtol=0, atol=1e-9)

    def test_check_finds_nothing_wrong(self, space: str, finished: dict[str, Path]) -> None:
        assert check_study(finished[space]).problems == []

    def test_the_loss_rises_along_the_gradient(self, space: str, finished: dict[str, Path], tmp_path: Path) -> None:
        folder = copied(finished[space], tmp_path, LANDSCAPE, PLANE)
        carry_out(folder, Grid(3, 1e-6), PLACE, Watch())
        below, middle, above = (float(row["valid_loss"]) for row in rows(folder / LANDSCAPE)[3:6])
        norm = read_plane(folder).gradient_norm
        assert (above - below) / 2e-6 == pytest.approx(norm, rel=1e-5)
        assert below < middle < above

    def test_a_landscape_stopped_and_killed_equals_an_undisturbed_one(
        self, space: str, finished: dict[str, Path], tmp_path: Path
    ) -> None:
        folder = copied(finished[space], tmp_path, LANDSCAPE, PLANE)
        with pytest.raises(Interrupted, match="stopped after point 1 of 25"):
            carry_out(folder, Grid(5, 1.5), PLACE, Watch(interrupted=lambda: True))

        def kill_at(point: int) -> Watch:
            def progress(done: int, total: int) -> None:
                if done == point:
                    raise Killed

            return Watch(progress)

        for point in (7, 8, 25):
            with pytest.raises(Killed):
                carry_out(folder, Grid(5, 1.5), PLACE, kill_at(point))
            assert not (folder / LANDSCAPE).exists()
            if point == 7:
                files.append(folder / UNFINISHED, "0.75,-1.5,torn")
            if point == 8:  # torn within the first write, which holds the header and a row
                text = (folder / UNFINISHED).read_text()
                (folder / UNFINISHED).write_text(text[: text.index("\n") + 9])
                write_plane(folder, read_plane(folder)._replace(rows=None))
        assert carry_out(folder, Grid(5, 1.5), PLACE, Watch())
        assert contents(folder) == contents(finished[space])


def test_the_random_direction_is_of_norm_one_and_orthogonal_whatever_the_slope() -> None:
    for index in range(20):
        slope = torch.randn(30, generator=stream(index, "slope"), dtype=torch.float64) * 10.0 ** (index - 10)
        first, second = directions(slope, stream(index, "landscape"))
        assert abs(float(first @ second)) < 1e-15
        assert float(second.norm()) == pytest.approx(1, abs=1e-14)
        torch.testing.assert_close(first * slope.norm(), slope)


def test_coordinates_are_symmetric_and_the_middle_is_zero() -> None:
    assert Grid(5, 1.0).coordinates == (-1.0, -0.5, 0.0, 0.5, 1.0)
    for points in (3, 21, 41):
        found = Grid(points, 1.5).coordinates
        assert found[points // 2] == 0
        assert [-x for x in reversed(found)] == list(found)
    assert list(Grid(3, 1.0).pairs)[:4] == [(-1.0, -1.0), (0.0, -1.0), (1.0, -1.0), (-1.0, 0.0)]


def test_architectures_change_over_the_plane(finished: dict[str, Path]) -> None:
    for space, folder in finished.items():
        archs = [row["arch"] for row in rows(folder / LANDSCAPE)]
        assert len(set(archs)) > 3
        assert set(archs) <= set(SPACES[space].archs())


def test_a_whole_landscape_is_left_alone_and_another_is_refused(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(finished["nasbench201"], tmp_path)
    assert not carry_out(folder, Grid(5, 1.5), PLACE, Watch())
    before = contents(folder)
    with pytest.raises(BadInput, match="a landscape of another grid: 5 there and 3 here; --again replaces it"):
        carry_out(folder, Grid(3, 1.5), PLACE, Watch())
    with pytest.raises(BadInput, match=r"a landscape of another reach: 1\.5 there and 2\.0 here"):
        carry_out(folder, Grid(5, 2.0), PLACE, Watch())
    assert contents(folder) == before
    assert carry_out(folder, Grid(3, 2.0), PLACE, Watch(), again=True)
    assert len(rows(folder / LANDSCAPE)) == 9
    assert read_plane(folder).gradient == read_plane(finished["nasbench201"]).gradient
    assert carry_out(folder, Grid(5, 1.5), PLACE, Watch(), again=True)
    assert contents(folder) == before


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
def test_what_cannot_be_used_is_named(harm: str, message: str, finished: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(finished["nasbench201"], tmp_path, LANDSCAPE)
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
        carry_out(folder, Grid(5, 1.5), PLACE, Watch())
    assert "\n" not in str(raised.value)
    assert contents(folder) == before


def test_a_landscape_of_another_place_or_table_is_refused(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(finished["nasbench201"], tmp_path, LANDSCAPE)
    write_plane(folder, read_plane(folder)._replace(device="cuda"))
    with pytest.raises(BadInput, match="a landscape of another device"):
        carry_out(folder, Grid(5, 1.5), PLACE, Watch())
    record = json.loads((folder / DONE).read_text())
    record["table"]["sha256"] = "0" * 64
    (folder / DONE).write_text(json.dumps(record))
    reseal(folder)
    with pytest.raises(BadInput, match=r"table .* is not the one that"):
        carry_out(folder, Grid(5, 1.5), PLACE, Watch())


def test_two_processes_do_not_measure_the_same_one(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(finished["nasbench201"], tmp_path, LANDSCAPE)
    code = (
        "import sys\nfrom pathlib import Path\nfrom nas_stability.harness.runs.landscape import carry_out\n"
        "from nas_stability.harness.runs.plane import Grid\n"
        "from nas_stability.harness.runs.run import Held, Watch\nfrom tests.small import PLACE\n"
        "try: carry_out(Path(sys.argv[1]), Grid(5, 1.5), PLACE, Watch())\n"
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
    file: str, old: str, new: str, message: str, finished: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(finished["nasbench201"], tmp_path)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert any(file in problem for problem in check_study(folder).problems)
    reseal(folder)
    problems = check_study(folder).problems
    assert any(message in problem for problem in problems), problems


def test_check_asks_the_table_about_every_point(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(finished["nasbench201"], tmp_path)
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


def test_of_a_study_the_lowest_seed_per_space_and_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [("sdarts-rs", 2), ("sdarts-rs", 1), ("darts", 2), ("darts", 1)]
    runs = tuple(small_spec(method=method, seed=seed, epochs=1, images=24) for method, seed in kinds)
    study = Study("study", (*runs, small_spec(space="nasbench1shot1-s1", epochs=1, images=24, table_epochs=6)))
    with pytest.raises(BadInput, match="holds no study and no run"):
        chosen_runs(tmp_path)
    out = tmp_path / "study"
    claiming.claim_study(study, out)
    with pytest.raises(BadInput, match="has no finished run yet"):
        chosen_runs(out)
    batch.carry_out(study, out, PLACE, batch.Engine(), lambda done: None)
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


def test_a_run_without_a_table_and_in_float32(tmp_path: Path) -> None:
    run(small_spec(space="nasbench1shot1-s2", epochs=1, images=40), tmp_path, PLACE, Watch())
    carry_out(tmp_path, Grid(3, 1.0), PLACE, Watch())
    points, last = rows(tmp_path / LANDSCAPE), rows(tmp_path / EPOCHS)[-1]
    assert (points[4]["valid_loss"], points[4]["arch"]) == (last["valid_loss"], last["arch"])
    assert {row["accuracy_cifar10_valid"] for row in points} == {""}
    assert check_study(tmp_path).problems == []


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
    arguments: list[str], message: str, finished: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["landscape", str(finished["nasbench201"]), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert main(["landscape", "absent"]) == 2


def test_a_signal_saves_and_exits_with_75(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(finished["nasbench201"], tmp_path, LANDSCAPE, PLANE)
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
    assert contents(folder) == contents(finished["nasbench201"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_on_a_gpu(tmp_path: Path) -> None:
    place = Place("cuda")
    run(small_spec(epochs=1), tmp_path, place, Watch())
    carry_out(tmp_path, Grid(3, 1.0), place, Watch())
    points, last = rows(tmp_path / LANDSCAPE), rows(tmp_path / EPOCHS)[-1]
    assert (points[4]["valid_loss"], points[4]["arch"]) == (last["valid_loss"], last["arch"])
    assert check_study(tmp_path).problems == []


def test_a_gradient_without_a_direction_is_refused(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(finished["nasbench201"], tmp_path, LANDSCAPE, PLANE)
    for value in (0.0, numpy.nan):
        slope = torch.full((30,), value, dtype=torch.float64)
        monkeypatch.setattr(landscape, "validation_gradient", lambda search, data, slope=slope: slope)
        with pytest.raises(BadInput, match="no direction"):
            carry_out(folder, Grid(3, 1.0), PLACE, Watch())
        assert not (folder / PLANE).exists()
