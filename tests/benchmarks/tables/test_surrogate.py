"""A table that lists no architectures: it answers for every one that it is asked for, and has no best."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables.table import Floats, Unanswered
from nas_stability.command_line import main
from nas_stability.harness.measuring.asked_table import answers, table_of
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.run import Watch, run
from tests.small import PLACE, small_spec


@dataclass(frozen=True)
class Surrogate:
    """Makes a number up of the letters of an architecture; refuses what is not its data set, split and budget."""

    name: str = "guess"
    source: str = "tests"
    sha256: str = "ab" * 32
    datasets: tuple[str, ...] = ("cifar10",)
    budgets: tuple[int, ...] = (200,)
    listed: None = None

    def score(self, arch: str, dataset: str, split: str, epochs: int) -> float:
        """Percent."""
        if (dataset, split, epochs) != ("cifar10", "valid", 200):
            raise Unanswered(f"{self.name} answers for cifar10 valid at 200 epochs")
        return hashlib.sha256(arch.encode()).digest()[0] / 2.56

    def scores(self, archs: Sequence[str], dataset: str, split: str, epochs: int) -> Floats:
        """Percent of each."""
        return numpy.array([self.score(arch, dataset, split, epochs) for arch in archs])


@pytest.fixture(autouse=True)
def guess(monkeypatch: pytest.MonkeyPatch) -> Surrogate:
    found = Surrogate()
    monkeypatch.setitem(catalog.TABLES, "guess", lambda: found)
    return found


def test_a_run_asks_it_and_has_no_regret(guess: Surrogate, tmp_path: Path) -> None:
    spec = small_spec(table="guess", epochs=1)
    run(spec, tmp_path / "run", PLACE, Watch())
    rows = read_rows(tmp_path / "run" / "epochs.csv")
    for row in rows:
        assert float(row["accuracy_cifar10_valid"]) == guess.score(row["arch"], "cifar10", "valid", 200)
        assert float(row["neighbours_worst_cifar10_valid"]) <= float(row["neighbours_mean_cifar10_valid"])
        assert row["neighbours_missing_cifar10_valid"] == "0"
        empty = ("accuracy_cifar10_test", "regret_cifar10_valid", "rank_tau_cifar10_valid", "rank_count_cifar10_valid")
        assert {row[name] for name in empty} == {""}
    assert main(["check", str(tmp_path / "run")]) == 0


def test_it_has_neither_best_nor_sample_where_a_table_has_both(guess: Surrogate) -> None:
    space, table = catalog.SPACES["nasbench201"], catalog.open_table("auto", "nasbench201")
    assert table is not None
    assert table.listed is table
    found, whole = (answers(one, space, 200, 4) for one in (guess, table))
    assert (found.best, found.sample) == ({}, None)
    assert whole.best
    assert whole.sample is not None


def test_it_is_of_every_space_and_held_to_its_budgets(guess: Surrogate) -> None:
    for space in catalog.SPACES:
        assert catalog.open_table("guess", space) is guess
    assert table_of(small_spec(table="guess", space="nasbench1shot1-s1", table_epochs=200)) is guess
    with pytest.raises(BadInput, match="the table guess has no budget of 108 epochs"):
        table_of(small_spec(table="guess", space="nasbench1shot1-s1"))


@pytest.mark.parametrize("verb", [["best", "guess", "--space", "nasbench201"], ["verify", "guess"]])
def test_what_needs_a_list_says_that_there_is_none(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", *verb]) == 2
    assert "the table guess lists no architectures" in capsys.readouterr().err
    assert main(["table", "list"]) == 0
    assert any(line.startswith("guess ") for line in capsys.readouterr().out.splitlines())
