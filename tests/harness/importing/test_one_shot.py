"""Logs in the layout of NAS-Bench-1Shot1: logits become architectures, and these are asked of a table."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy
import pandas
import pytest
import torch

from nas_stability.benchmarks.catalog import find_space, open_table
from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.command_line import main
from nas_stability.harness.importing import one_shot
from tests.commands import refused

SHAPES = ((4, 3), (1, 5), (1, 3), (1, 4))
"""Of the logits of S1."""


def logs(folder: Path, count: int = 4, **entries: object) -> list[list[numpy.ndarray]]:
    """The log of a search of S1 of so many epochs; its logits."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"search_space": "1", "seed": 3, "epochs": 5} | entries))
    rng = numpy.random.default_rng(3)
    found = [[rng.normal(size=shape).astype(numpy.float32) for shape in SHAPES] for _ in range(count)]
    for epoch, arrays in enumerate(found):
        (folder / f"one_shot_architecture_{epoch}.obj").write_bytes(pickle.dumps(arrays))
    return found


def test_logits_become_architectures_with_a_tables_answers(tmp_path: Path) -> None:
    logits = logs(tmp_path / "logs" / "a", learning_rate=0.05, arch_learning_rate="0.001", layers=9)
    out = tmp_path / "study"
    words = ["import", "1shot1", str(tmp_path / "logs"), "--out", str(out), "--method", "sdarts_rs", "--data", "digits"]
    assert main([*words, "--table", "nasbench1shot1-s1-digits"]) == 2, "the shipped table has no budget of 108 epochs"
    assert not out.exists()
    assert main(words) == 0
    (run,) = (path.parent for path in out.glob("*/run.json"))
    record = json.loads((run / "run.json").read_text())
    spec = record["spec"]
    assert (spec["method"], spec["seed"], spec["epochs"], spec["lr"]) == ("sdarts-rs", 3, 5, 0.05)
    assert (spec["arch_lr"], spec["depth"], record["stopped"]) == (0.001, 9, 3)
    rows = pandas.read_csv(run / "epochs.csv")
    space = find_space("nasbench1shot1-s1")
    for row, arrays in zip(rows.to_dict("records"), logits, strict=True):
        mixture = tuple(torch.softmax(torch.from_numpy(array.astype(numpy.float64)), -1) for array in arrays)
        assert row["arch"] == space.discretize(mixture)
        assert row["cell"] == space.describe(mixture)
        shares = [-(one * one.log()).sum() / numpy.log(len(one)) for group in mixture for one in group]
        assert row["entropy"] == pytest.approx(float(numpy.mean(shares)))
    with numpy.load(run / "alphas.npz") as archive:
        assert numpy.array_equal(archive["group_2"][1], logits[1][2])
    assert main(["check", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    assert (out / "report" / "operations.png").exists()


def test_a_table_fills_the_columns_and_what_it_lacks_is_counted(tmp_path: Path) -> None:
    """An architecture of three is in the table."""
    logits = logs(tmp_path / "logs", count=3)
    space = find_space("nasbench1shot1-s1")
    archs = [
        space.discretize(tuple(torch.softmax(torch.from_numpy(array.astype(numpy.float64)), -1) for array in arrays))
        for arrays in logits
    ]
    assert len(set(archs)) == 3
    (tmp_path / "mine.csv").write_text(
        "arch,dataset,split,epochs,seed,accuracy\n"
        + f"{archs[1]},cifar10,valid,108,0,91.5\n{archs[1]},cifar10,test,108,0,90.5\n"
    )
    words = ["table", "import", str(tmp_path / "mine.csv"), "--space", "nasbench1shot1-s1", "--tables", str(tmp_path)]
    assert main(words) == 0
    table = next(tmp_path.glob("*.parquet"))
    out = tmp_path / "study"
    assert main(["import", "1shot1", str(tmp_path / "logs"), "--out", str(out), "--table", str(table)]) == 0
    (run,) = (path.parent for path in out.glob("*/run.json"))
    rows = pandas.read_csv(run / "epochs.csv")
    assert list(rows["accuracy_cifar10_valid"].fillna(0)) == [0, 91.5, 0]
    assert list(rows["regret_cifar10_test"].fillna(-1)) == [-1, 0, -1]
    record = json.loads((run / "run.json").read_text())
    assert (record["table_queries"], record["table_missing"]) == (3, 2)
    assert record["table"]["sha256"] == open_table(str(table), "nasbench1shot1-s1").sha256
    assert main(["check", str(out)]) == 0


class Harmful:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs(tmp_path / "logs")
    (tmp_path / "logs" / "one_shot_architecture_2.obj").write_bytes(pickle.dumps([Harmful(tmp_path / "harm")]))
    words = ["import", "1shot1", str(tmp_path / "logs"), "--out", str(tmp_path / "study")]
    message = refused(words, capsys, tmp_path)
    assert "one_shot_architecture_2.obj" in message
    assert "pickles can run code" in message
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    logits = logs(tmp_path, count=1)
    (tmp_path / "one_shot_architecture_1.obj").write_bytes(pickle.dumps(logits[0], protocol=protocol))
    (run,) = one_shot.read(tmp_path)
    assert all(torch.equal(*pair) for pair in zip(run.epochs[0].logits, run.epochs[1].logits, strict=True))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"search_space": "4"}, "'search_space' is to be 1, 2 or 3, not '4'"),
        ({"seed": "x"}, "'seed' is no int: 'x'"),
        ({"epochs": 2}, "has 4 files of logits, and config.json 2 epochs"),
    ],
)
def test_a_configuration_that_cannot_be(tmp_path: Path, entries: dict[str, object], message: str) -> None:
    logs(tmp_path, **entries)
    with pytest.raises(CorruptFile, match=message):
        one_shot.read(tmp_path)


def test_epochs_and_shapes_are_held(tmp_path: Path) -> None:
    logs(tmp_path)
    (tmp_path / "one_shot_architecture_1.obj").write_bytes(pickle.dumps([numpy.zeros((4, 3))]))
    with pytest.raises(CorruptFile, match=r"has logits of the shapes \(\(4, 3\),\)"):
        one_shot.read(tmp_path)
    (tmp_path / "one_shot_architecture_1.obj").write_bytes(pickle.dumps([numpy.full(s, numpy.nan) for s in SHAPES]))
    with pytest.raises(CorruptFile, match="logits that are no numbers"):
        one_shot.read(tmp_path)
    (tmp_path / "one_shot_architecture_1.obj").write_bytes(b"x")
    with pytest.raises(CorruptFile, match=r"one_shot_architecture_1\.obj"):
        one_shot.read(tmp_path)
    (tmp_path / "one_shot_architecture_1.obj").unlink()
    with pytest.raises(CorruptFile, match=r"lacks one_shot_architecture_1\.obj"):
        one_shot.read(tmp_path)
