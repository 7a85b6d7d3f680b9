"""A run's folder: records, resuming, failing, refusing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy
import pytest
import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES, open_table
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces import cells_1shot1
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness.records.record import ALPHAS, CHECKPOINT, DONE, EPOCHS, ERROR, SPECTRUM
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.specs.spec import RunSpec
from tests import oracles_measure
from tests.slow import slow_but
from tests.small import DIVERGES, LISTED, PLACE, small_spec


class Killed(BaseException):
    """Stands for a killed process: nothing in the harness may catch it."""


def rows(folder: Path, name: str = EPOCHS) -> list[dict[str, str]]:
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def without_seconds(folder: Path) -> dict[str, object]:
    """Bytes of everything a run leaves that must repeat: CSV without the seconds column, alphas, spec."""
    epochs = [{key: value for key, value in row.items() if key != "seconds"} for row in rows(folder)]
    return {
        "epochs": epochs,
        "spectrum": (folder / SPECTRUM).read_bytes(),
        "alphas": (folder / ALPHAS).read_bytes(),
        "spec": (folder / "spec.json").read_bytes(),
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", slow_but(("darts-2nd", "sdarts-rs", "sdarts-adv"), "sdarts-rs"))
def test_same_spec_same_bytes_and_a_resumed_run_equals_an_uninterrupted_one(method: str, tmp_path: Path) -> None:
    spec = small_spec(method=method, epochs=3)
    assert run(spec, tmp_path / "a", PLACE, Watch())
    run(spec, tmp_path / "b", PLACE, Watch())
    assert without_seconds(tmp_path / "a") == without_seconds(tmp_path / "b")

    def kill_after_one(epoch: int, epochs: int) -> None:
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        run(spec, tmp_path / "c", PLACE, Watch(kill_after_one))
    assert len(rows(tmp_path / "c")) == 2
    assert not (tmp_path / "c" / DONE).exists()
    # Rows ahead of the checkpoint and a torn line, as a crash between two writes leaves them.
    files.append(tmp_path / "c" / EPOCHS, "torn,line")
    run(spec, tmp_path / "c", PLACE, Watch())
    assert without_seconds(tmp_path / "a") == without_seconds(tmp_path / "c")
    left, right = (checkpoint.load(tmp_path / name / CHECKPOINT) for name in "ac")
    for name, value in left["net"].items():
        assert torch.equal(value, right["net"][name]), name


def hash_of(cell: str) -> str:
    """The hash of a described cell of NAS-Bench-101 by another route."""
    matrix, operations = (text.split(separator) for text, separator in zip(cell.split(), "/,", strict=True))
    parents = [[source for source, row in enumerate(matrix) if row[node] == "1"] for node in range(1, len(matrix))]
    return oracles_measure.hash_101(
        len(matrix) - 2, [cells_1shot1.OPERATIONS.index(name) for name in operations[1:-1]], parents
    )


@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench1shot1-s1"))
def test_rows_of_every_space(space: str, tmp_path: Path) -> None:
    spec = small_spec(space=space, method="sdarts-adv", epochs=1)
    run(spec, tmp_path, PLACE, Watch())
    first, second = rows(tmp_path)
    assert (first["epoch"], second["epoch"]) == ("0", "1")
    assert first["train_loss"] == first["lr"] == first["radius"] == first["attack_gain"] == ""
    assert float(second["attack_gain"]) >= 0
    assert 0 <= float(second["attack_fallback"]) <= 1
    assert float(second["radius"]) == 0.03
    assert second["run"] == spec.run_id
    for row in (first, second):
        if space == "nasbench201":
            assert row["arch"] in SPACES[space].archs()
        else:  # the largest space takes a minute to list, which test_spaces.py does
            assert row["arch"] == hash_of(row["cell"])
        assert float(row["spectral_norm"]) >= abs(float(row["eigenvalue_max"]))
        assert 0 < float(row["entropy"]) <= 1
        assert (row["share_skip"] == "") == (space != "nasbench201")
        assert (row["cell"] == "") == (space == "nasbench201")
    spectrum = rows(tmp_path, SPECTRUM)
    count = sum(n * choices for n, choices in SPACES[space].shapes)
    assert [row["index"] for row in spectrum] == [str(index) for index in range(count)] * 2
    assert float(spectrum[-1]["eigenvalue"]) == float(second["eigenvalue_max"])
    values = [float(row["eigenvalue"]) for row in spectrum[-count:]]
    assert values == sorted(values)
    assert sum(values) == pytest.approx(float(second["hessian_trace"]))


def test_table_columns_are_the_tables_answers_for_the_recorded_architecture(tmp_path: Path) -> None:
    spec = small_spec(epochs=2, arch_lr=1.0)
    run(spec, tmp_path, PLACE, Watch())
    table = open_table("auto", "nasbench201")
    assert table is not None
    best = {"cifar10": 91.607, "cifar100": 73.493, "imagenet16-120": 46.733}
    for row in rows(tmp_path):
        for dataset, top in best.items():
            value = table.score(row["arch"], dataset, "valid", 200)
            assert float(row[f"accuracy_{dataset}_valid"]) == value
            assert round(float(row[f"regret_{dataset}_valid"]) + value, 3) == pytest.approx(top, abs=6e-4)
            assert row[f"accuracy_{dataset}_test"] == row[f"regret_{dataset}_test"] == ""
    assert len({row["arch"] for row in rows(tmp_path)}) > 1


@pytest.mark.slow
def test_alphas_discretise_to_the_recorded_architectures(tmp_path: Path) -> None:
    spec = small_spec(space="nasbench1shot1-s3", epochs=2, arch_lr=1.0)
    run(spec, tmp_path, PLACE, Watch())
    with numpy.load(tmp_path / ALPHAS) as archive:
        groups = [torch.from_numpy(archive[f"group_{index}"]) for index in range(len(archive.files))]
    space = SPACES[spec.space]
    assert [group.shape for group in groups] == [(3, *shape) for shape in space.shapes]
    for epoch, row in enumerate(rows(tmp_path)):
        mixture = softmax(tuple(group[epoch] for group in groups))
        assert space.discretize(mixture) == row["arch"]
        assert space.describe(mixture) == row["cell"]


@pytest.mark.slow
def test_the_published_1shot1_query_is_one_epoch_late(tmp_path: Path) -> None:
    now = small_spec(space="nasbench1shot1-s1", epochs=3, arch_lr=2.0)
    late = small_spec(space="nasbench1shot1-s1", epochs=3, arch_lr=2.0, query="before")
    run(now, tmp_path / "now", PLACE, Watch())
    run(late, tmp_path / "late", PLACE, Watch())
    archs = [[row["arch"] for row in rows(tmp_path / name)] for name in ("now", "late")]
    assert len(set(archs[0])) > 1
    assert archs[1] == [archs[0][0], *archs[0][:-1]]


def test_the_published_hessian_convention(tmp_path: Path) -> None:
    spec = small_spec(images=46, hessian_batch="last", hessian_weight_decay=True, hessian_dtype="float64", epochs=1)
    run(spec, tmp_path, PLACE, Watch())
    first, second = rows(tmp_path)
    assert first["eigenvalue_max"] == ""
    values = [float(row["eigenvalue"]) for row in rows(tmp_path, SPECTRUM)]
    assert len(values) == 30
    assert sum(abs(value - 1e-3) < 1e-12 for value in values) == 6
    assert float(second["eigenvalue_max"]) == values[-1]


@pytest.mark.slow
def test_curvature_can_be_measured_less_often(tmp_path: Path) -> None:
    run(small_spec(epochs=3, measure_every=2), tmp_path / "some", PLACE, Watch())
    for name in ("eigenvalue_max", "gradient_norm", "discrete_valid_loss", "discrete_valid_accuracy"):
        assert [row[name] != "" for row in rows(tmp_path / "some")] == [True, False, True, True], name
    assert all(row["valid_loss"] for row in rows(tmp_path / "some"))
    run(small_spec(epochs=1, hessian=False), tmp_path / "none", PLACE, Watch())
    assert all(row["eigenvalue_max"] == row["spectral_norm"] == "" for row in rows(tmp_path / "none"))
    assert (tmp_path / "none" / SPECTRUM).read_text() == "epoch,index,eigenvalue\n"


@pytest.mark.slow
def test_provenance(tmp_path: Path) -> None:
    spec = small_spec(epochs=1)
    run(spec, tmp_path, PLACE, Watch())
    found = json.loads((tmp_path / DONE).read_text())
    assert found["spec"] == json.loads(spec.json())
    assert found["run"] == spec.run_id
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"]
    assert found["threads"] == 1
    assert len(found["table"]["sha256"]) == 64
    assert found["table"]["name"] == "nasbench201"
    assert (found["table_queries"], found["table_missing"]) == (2, 0)
    assert round(found["best_reachable"]["cifar100_valid"], 3) == 73.493


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    spec = small_spec(epochs=1)
    run(spec, tmp_path, PLACE, Watch())
    before = (tmp_path / EPOCHS).stat().st_mtime_ns
    assert not run(spec, tmp_path, PLACE, Watch())
    assert (tmp_path / EPOCHS).stat().st_mtime_ns == before


def test_another_spec_in_the_folder_is_refused(tmp_path: Path) -> None:
    run(small_spec(epochs=1), tmp_path, PLACE, Watch())
    with pytest.raises(BadInput, match=r"another spec: 'lr' is 0\.025 there and 0\.1 here"):
        run(small_spec(epochs=1, lr=0.1), tmp_path, PLACE, Watch())


def interrupted(spec: RunSpec, folder: Path) -> None:
    def kill(epoch: int, epochs: int) -> None:
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        run(spec, folder, PLACE, Watch(kill))


@pytest.mark.parametrize("harm", slow_but(["cut", "flip", "empty", "other"], "flip"))
def test_a_damaged_checkpoint_is_an_error_that_names_it_and_restarts_nothing(harm: str, tmp_path: Path) -> None:
    spec = small_spec(epochs=2)
    interrupted(spec, tmp_path)
    path = tmp_path / CHECKPOINT
    content = bytearray(path.read_bytes())
    if harm == "cut":
        del content[-100:]
    elif harm == "flip":
        content[len(content) // 2] ^= 1
    elif harm == "empty":
        content = bytearray()
    else:
        content = bytearray(b"not a checkpoint\n" * 100)
    path.write_bytes(content)
    before = (tmp_path / EPOCHS).read_bytes()
    with pytest.raises(CorruptFile, match=r"checkpoint\.pt"):
        run(spec, tmp_path, PLACE, Watch())
    assert (tmp_path / EPOCHS).read_bytes() == before
    assert path.read_bytes() == content


def test_a_record_shorter_than_the_checkpoint_says_is_an_error(tmp_path: Path) -> None:
    spec = small_spec(epochs=2)
    interrupted(spec, tmp_path)
    (tmp_path / EPOCHS).write_text("run\n")
    with pytest.raises(CorruptFile, match=r"epochs\.csv has 4 bytes"):
        run(spec, tmp_path, PLACE, Watch())


def test_a_loss_that_is_not_finite_keeps_whole_rows_and_says_why(tmp_path: Path) -> None:
    spec = small_spec(epochs=4, **DIVERGES)
    with pytest.raises(FloatingPointError):
        run(spec, tmp_path, PLACE, Watch())
    found = rows(tmp_path)
    assert found
    assert all(None not in row and None not in row.values() for row in found)
    assert "FloatingPointError" in (tmp_path / ERROR).read_text()
    assert not (tmp_path / DONE).exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "sdart-rs"}, "unknown method 'sdart-rs'; did you mean 'sdarts-rs'"),
        ({"data": "digit"}, "unknown data set 'digit'; did you mean 'digits'"),
        ({"table": "nasbench20"}, "unknown table 'nasbench20'; did you mean 'nasbench201'"),
        ({"table": "absent.parquet"}, r"absent\.parquet does not exist"),
        ({"table": "nasbench201", "table_epochs": 12}, r"has no budget of 12 epochs \(it has: 200\)"),
        ({"data": "npz:absent.npz"}, r"absent\.npz does not exist"),
    ],
)
def test_what_cannot_run_writes_nothing(values: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        run(small_spec(**values), tmp_path / "out", PLACE, Watch())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no CUDA GPU"):
        run(small_spec(), tmp_path / "out", Place(device="cuda"), Watch())
    with pytest.raises(BadInput, match="unknown device 'gpu'"):
        run(small_spec(), tmp_path / "out", Place(device="gpu"), Watch())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        run(small_spec(), tmp_path / "file" / "run", PLACE, Watch())


@pytest.mark.parametrize("method", slow_but(("darts", "sdarts-adv", "gdas-rs"), "darts"))
def test_a_run_stopped_between_steps_continues_bit_for_bit(method: str, tmp_path: Path) -> None:
    spec = small_spec(method=method, epochs=2)
    run(spec, tmp_path / "whole", PLACE, Watch())
    times = 0
    while stopped_after_two_steps(spec, tmp_path / "stopped"):
        times += 1
    assert times >= 2
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "stopped")


def stopped_after_two_steps(spec: RunSpec, folder: Path) -> bool:
    """Carries the run on for two steps at most; whether it is still unfinished."""
    asked: list[int] = []

    def interrupted() -> bool:
        asked.append(0)
        return len(asked) == 2

    try:
        run(spec, folder, PLACE, Watch(interrupted=interrupted))
    except Interrupted:
        return True
    return False
