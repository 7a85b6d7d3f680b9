"""A study's architectures trained from scratch: which, their rows, and that check finds every lie about them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from nas_stability.analysis.study import load
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.command_line import main
from nas_stability.harness.records.evaluated import (
    EVALUATED,
    NETWORK,
    NETWORKS,
    REQUESTS,
    TRAINING,
    read_requests,
    write_rows,
)
from nas_stability.harness.records.record import EPOCHS
from nas_stability.harness.records.sealed import SEAL, sealed
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.rng import stream
from nas_stability.harness.runs.attempt import Outcome
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.training.evaluation import epoch_of, evaluate, planned
from nas_stability.harness.training.protocol import Request
from tests.small import PLACE

FEW = {"epochs": "2", "width": "2", "images": "60", "batch_size": "10"}
"""Of a network of a second."""

REQUEST = Request(random=1, given=FEW)


def trained(study: Path, request: Request = REQUEST, workers: int = 1) -> list[Outcome]:
    return evaluate(study, planned(study, request, PLACE), PLACE, workers, lambda done: None)


@pytest.fixture(scope="module")
def done(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("evaluated") / "study"))
    trained(folder)
    return folder


@pytest.fixture
def harmed(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "study"))


def rows_of(folder: Path) -> pandas.DataFrame:
    return pandas.read_csv(folder / EVALUATED)


def test_every_run_has_a_row_of_its_last_architecture(done: Path) -> None:
    study, found = load(done), rows_of(done).set_index("run")
    for run, rows in study.epochs.groupby("run", observed=True):
        last = rows.iloc[-1]
        assert found.loc[run, "arch"] == last["arch"]
        assert found.loc[run, "at"] == 2
        assert found.loc[run, "rule"] == "final"
        assert found.loc[run, "accuracy_cifar10_valid"] == last["accuracy_cifar10_valid"], "the table's value beside it"
    random = found.loc["random-0"]
    assert random["arch"] == find_space("nasbench201").sample(stream(0, "random architecture"))
    assert len(found) == 5
    assert (found["budget"] == 2).all()
    assert found["test_accuracy"].between(0, 100).all()
    assert check_study(done).problems == []


def test_what_was_found_alike_is_trained_once(harmed: Path) -> None:
    shutil.rmtree(harmed / NETWORKS)
    (harmed / REQUESTS).unlink()
    (harmed / EVALUATED).unlink()
    trained(harmed, REQUEST._replace(at="0"))
    found = rows_of(harmed)
    of_runs = found[found["method"] != "random"]
    pairs = of_runs.groupby("seed")["arch"].nunique()
    assert (pairs == 1).all(), "methods of one seed begin alike"
    assert of_runs["network"].nunique() == 2
    assert len(list((harmed / NETWORKS).iterdir())) == found["network"].nunique()


def test_again_there_is_nothing_to_do_and_more_can_be_asked_for(harmed: Path) -> None:
    before = (harmed / EVALUATED).read_bytes()
    assert trained(harmed) == []
    assert (harmed / EVALUATED).read_bytes() == before
    assert {outcome.state for outcome in trained(harmed, REQUEST._replace(seeds=2))} == {"finished"}
    found = rows_of(harmed)
    assert sorted(found["network_seed"].unique()) == [0, 1]
    assert len(found) == 10
    assert check_study(harmed).problems == []


@pytest.mark.slow
def test_two_workers_give_the_same_rows(done: Path, finished: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(finished, tmp_path / "study"))
    trained(other, workers=2)
    ours, theirs = (rows_of(folder).drop(columns="seconds") for folder in (done, other))
    pandas.testing.assert_frame_equal(ours, theirs)


def test_an_epoch_is_chosen_by_rule() -> None:
    rows = [
        {"valid_accuracy": str(accuracy), "eigenvalue_max": str(eigenvalue)}
        for accuracy, eigenvalue in zip([99, 50, 70, 70, 60], [1, 1, 1, 1, 1], strict=True)
    ]
    assert epoch_of("run", rows, "final") == ("final", 4)
    assert epoch_of("run", rows, "best") == ("best", 2), "the first of equals; the untrained state does not count"
    assert epoch_of("run", rows, "3") == ("epoch", 3)
    assert epoch_of("run", rows, "stop") == ("stop", 4), "nothing grew"
    grown = [{"valid_accuracy": "1", "eigenvalue_max": str(1.0 + 2.0 * (epoch > 25))} for epoch in range(51)]
    rule, at = epoch_of("run", grown, "stop")
    assert rule == "stop"
    assert 11 <= at < 26
    for wrong in ("5", "-1", "last", "1e1", "٣"):
        with pytest.raises(BadInput, match="--at takes final, best, stop or an epoch from 0 to 4 of run"):
            epoch_of("run", rows, wrong)
    with pytest.raises(BadInput, match="--at stop needs the eigenvalues"):
        epoch_of("run", [{**row, "eigenvalue_max": ""} for row in rows], "stop")


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A sealed record with another value, sealed again."""
    values = json.loads(path.read_text())
    values.pop(SEAL)
    change(values)
    path.write_text(sealed(values))


def edited(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def first_network(folder: Path) -> Path:
    return folder / NETWORKS / read_requests(folder)[0].network / NETWORK


def harm_csv(folder: Path) -> None:
    text = (folder / EVALUATED).read_text()
    cell = text.split("\n")[1].split(",")[16]
    (folder / EVALUATED).write_text(text.replace(cell, "99.5", 1))


def wanted(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rewritten(folder / REQUESTS, lambda record: record["wanted"][0].update(values))

    return change


def network(**values: object) -> Callable[[Path], None]:
    return lambda folder: rewritten(first_network(folder), lambda record: record.update(values))


HARMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a number of the csv": (harm_csv, "evaluated.csv was altered"),
    "no csv": (lambda folder: (folder / EVALUATED).unlink(), "evaluated.csv is missing"),
    "no requests": (lambda folder: (folder / REQUESTS).unlink(), "is there without evaluated.json"),
    "no network": (lambda folder: first_network(folder).unlink(), "evaluated.csv was altered"),
    "a byte of a network": (
        lambda folder: first_network(folder).write_text(
            first_network(folder).read_text().replace('"seed": 0', '"seed": 1')
        ),
        "seal does not match",
    ),
    "a network's accuracy": (network(test_accuracy=99.5), "evaluated.csv was altered"),
    "another run's": (wanted(run="nobody"), "names the run nobody"),
    "another epoch": (wanted(at=1, rule="final"), "evaluated.csv was altered"),
    "another architecture": (wanted(arch="elsewhere"), "is of another architecture"),
    "other answers": (wanted(answers={"accuracy_cifar10_valid": 99.5}), "evaluated.csv was altered"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_every_lie_is_found_by_check_and_by_reading(harm: str, harmed: Path) -> None:
    change, message = HARMS[harm]
    change(harmed)
    problems = check_study(harmed).problems
    assert any(message in problem for problem in problems), problems
    with pytest.raises(CorruptFile):
        load(harmed)


def test_a_consistent_lie_is_found_by_check(harmed: Path) -> None:
    """The csv is made again of the record that lies, so that it agrees with it."""
    network(seed=5)(harmed)
    write_rows(harmed)
    assert any("has a record of another protocol, architecture or seed" in one for one in check_study(harmed).problems)


def test_an_epoch_that_its_rule_does_not_choose_is_found_by_check(harmed: Path) -> None:
    """Of a run whose architecture and answers are the same after both epochs, so that nothing else tells."""
    one = read_requests(harmed)[0]
    for epoch in (0, 1):
        row = read_rows(harmed / one.run / EPOCHS)[epoch]
        answers = {name: float(cell) if cell else None for name, cell in row.items() if name.startswith("accuracy_")}
        wanted(at=epoch, arch=row["arch"], answers=answers)(harmed)
        network(arch=row["arch"])(harmed)
        write_rows(harmed)
        assert any(f"final is after 2 epochs, not {epoch}" in problem for problem in check_study(harmed).problems)


def test_a_random_architecture_that_was_not_drawn_is_found_by_check(harmed: Path) -> None:
    place = next(index for index, one in enumerate(read_requests(harmed)) if one.method == "random")
    name = read_requests(harmed)[place].network
    arch = find_space("nasbench201").sample(stream(7, "random architecture"))
    rewritten(harmed / REQUESTS, lambda record: record["wanted"][place].update(arch=arch))
    rewritten(harmed / NETWORKS / name / NETWORK, lambda record: record.update(arch=arch))
    write_rows(harmed)
    problems = check_study(harmed).problems
    assert any("is not the random architecture of nasbench201 of its number" in problem for problem in problems)


def test_the_command_line(harmed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [part for name, value in FEW.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = ["evaluate", str(harmed), *flags, "--random", "1", "--workers", "1"]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "5 rows, 5 networks"
    assert "random-0  drawn at random  |" in printed[-2]
    assert main(command) == 0
    assert capsys.readouterr().out == f"all trained already: {harmed / EVALUATED}\n"
    assert main(["report", str(harmed), "--only", "evaluated"]) == 0
    table = (harmed / "report" / "evaluated.md").read_text()
    assert (
        "| nasbench201 | random | digits_test | short,batch_size=10,epochs=2,images=60,width=2 | drawn | 1 |" in table
    )
    for wrong, message in (
        (["--at", "9"], "--at takes final, best, stop or an epoch"),
        (["--protocol", "papers"], "paper"),
        (["--data", "cifar11"], "cifar1"),
        (["--epochs", "0"], "'epochs' must lie in"),
    ):
        assert main(["evaluate", str(harmed), *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_run_that_is_not_finished_is_left_out_and_none_is_refused(harmed: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a run's folder"):
        planned(next(path for path in harmed.iterdir() if path.name.startswith("nasbench201-darts")), REQUEST, PLACE)
    with pytest.raises(BadInput, match="does not exist"):
        planned(tmp_path / "absent", REQUEST, PLACE)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_saves_and_exits_with_75(workers: str, finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "study"))
    command = [sys.executable, "-m", "nas_stability", "evaluate", str(folder), "--epochs", "9999", "--workers", workers]
    process = subprocess.Popen(
        [*command, "--images", "60", "--batch-size", "10", "--width", "2"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list((folder / NETWORKS).glob("*/.lock")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert b"the same command goes on from there" in errors
    assert list((folder / NETWORKS).glob(f"*/{TRAINING}"))
    assert check_study(folder).problems == []
