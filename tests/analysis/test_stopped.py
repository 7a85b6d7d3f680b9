"""A study read as if its searches had been stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis.claims.judging import judge
from nas_stability.analysis.report import summary
from nas_stability.analysis.stopped import stop_of_run, with_stops
from nas_stability.analysis.study import Study, load
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from tests.analysis.claims.synthetic import study

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "quick"
EPOCHS = 50


def growing(every: int = 1) -> Study:
    """Two methods, three seeds: DARTS's eigenvalue doubles after epoch 16 and its accuracy falls after epoch 25."""
    epoch = numpy.arange(EPOCHS + 1)
    eigenvalue = numpy.ones((3, 3, EPOCHS + 1))
    eigenvalue[0] = numpy.where(epoch > 17, 2.0, 1.0)
    accuracy = numpy.full((3, 3, EPOCHS + 1), 90.0)
    accuracy[0] -= numpy.where(epoch > 25, 20.0, 0.0)
    found = study(
        {"a": {"eigenvalue_max": eigenvalue, "spectral_norm": eigenvalue, "accuracy_cifar10_valid": accuracy}}
    )
    if every == 1:
        return found
    epochs = found.epochs.copy()
    epochs.loc[epochs["epoch"] % every > 0, "eigenvalue_max"] = numpy.nan
    return dataclasses.replace(found, epochs=epochs)


def test_rows_end_with_the_epoch_that_is_returned() -> None:
    """Row e + 1 is the state after epoch e: of a jump after epoch 16, epoch 10 is returned, which is row 11."""
    found = growing()
    rows = found.epochs[(found.epochs["method"] == "darts") & (found.epochs["seed"] == 0)]
    stop = stop_of_run(rows)
    assert stop is not None
    assert (stop.detected, stop.returned) == (22, 10)
    stopped = with_stops(found, "darts-es")
    last = stopped.epochs.groupby("method")["epoch"].max()
    assert last["darts-es"] == 11
    assert last["darts"] == last["sdarts-rs-es"] == EPOCHS
    assert stopped.methods[:3] == ["darts", "sdarts-rs", "sdarts-adv"]
    table = summary(stopped).set_index("method")
    assert table.loc["darts", "final"] == 70
    assert table.loc["darts-es", "final"] == 90


def test_a_stopped_method_is_judged_against_the_one_that_goes_on() -> None:
    judged = judge(with_stops(growing(), "darts-es")).set_index("claim")
    assert judged.loc["darts-es-ends-better", "estimate"] == pytest.approx(20)
    assert "darts-ends-better" not in judged.index
    assert judged.loc["darts-es-ends-better", "statement"].startswith("DARTS-ES ends with more accurate")


def test_measurements_further_apart_are_taken_as_they_are() -> None:
    found = growing(5)
    rows = found.epochs[(found.epochs["method"] == "darts") & (found.epochs["seed"] == 0)]
    assert stop_of_run(rows) is not None
    assert stop_of_run(rows.assign(eigenvalue_max=numpy.nan)) is None


@pytest.mark.slow
def test_a_study_of_records_is_read_in_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, stopped = load(PUBLISHED), with_stops(load(PUBLISHED), "darts-es")
    assert len(stopped.runs) == 2 * len(whole.runs)
    run = next(iter(stopped.ends))
    assert len(stopped.alphas(run)[0]) == stopped.ends[run] + 1
    assert stopped.landscape(run) is None
    again = stopped.epochs[stopped.epochs["run"].isin(whole.runs["run"])].reset_index(drop=True)
    pandas.testing.assert_frame_equal(again[["epoch", "seed"]], whole.epochs[["epoch", "seed"]].reset_index(drop=True))
    assert main(["report", str(PUBLISHED), "--stop", "darts-es", "--only", "results", "--out", str(tmp_path)]) == 0
    assert "darts-es" in capsys.readouterr().out


def test_an_unknown_rule_and_a_study_without_eigenvalues_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown stopping rule 'darts-se'; did you mean 'darts-es'"):
        with_stops(growing(), "darts-se")
    found = growing()
    bare = dataclasses.replace(found, epochs=found.epochs.assign(eigenvalue_max=numpy.nan))
    with pytest.raises(BadInput, match=r"no run of .* measured any"):
        with_stops(bare, "darts-es")
