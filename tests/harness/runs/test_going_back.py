"""A search that goes back to an earlier epoch, and on with a larger weight decay: DARTS-ADA."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.methods.early_stopping import darts_es, stop_of
from nas_stability.harness.methods.restarts import RESTARTS, Restart, Returned, ada
from nas_stability.harness.records.record import ALPHAS, CHECKPOINT, DONE, EPOCHS, SPECTRUM
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.going_back import length_until
from nas_stability.harness.runs.run import Interrupted, Watch, run
from nas_stability.harness.search import advance
from tests.small import PLACE, begin, reseal, small_spec

SETTINGS = SimpleNamespace(ada_factor=10.0, ada_most=0.03)
EPOCHS_OF_IT = 6


def back_twice(rows: Sequence[Mapping[str, str]], weight_decay: float, settings: Any) -> Returned | None:
    """After four epochs back to two, then after five to one; with ten times the decay each time, to 0.03 at most."""
    larger = weight_decay * settings.ada_factor
    if larger > settings.ada_most * (1 + 1e-9):
        return None
    when, where = (4, 2) if weight_decay == 3e-4 else (5, 1)
    return Returned(where, larger) if len(rows) == when + 1 else None


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(RESTARTS, "ada", Restart(back_twice, RESTARTS["ada"].fields))
    return


def spec_of(method: str = "darts-ada") -> Any:
    return small_spec(method=method, epochs=EPOCHS_OF_IT, images=24, width=2, rank_sample=0)


@pytest.mark.slow
@pytest.mark.usefixtures("twice")
def test_it_goes_on_from_there_with_a_larger_decay(tmp_path: Path) -> None:
    """As a search does whose weight decay is 3e-4 for one epoch and 3e-2 from then on: the rest was abandoned."""
    run(spec_of(), tmp_path, PLACE, Watch())
    record = json.loads((tmp_path / DONE).read_text())
    assert record["decays"] == [[1, pytest.approx(3e-2)]], "the decay of the stretch that was abandoned is gone"
    assert [row["epoch"] for row in read_rows(tmp_path / EPOCHS)] == [str(e) for e in range(EPOCHS_OF_IT + 1)]
    search, data = begin(spec_of("darts-2nd"))
    losses = []
    for epoch in range(EPOCHS_OF_IT):
        search.decays = ((1, 3e-2),) if epoch else ()
        outcome = advance(search, data)
        assert outcome is not None
        losses.append(outcome.train_loss)
    with numpy.load(tmp_path / ALPHAS) as archive:
        assert (archive["group_0"][-1] == search.alpha[0].detach().numpy()).all()
    assert [float(row["train_loss"]) for row in read_rows(tmp_path / EPOCHS)[1:]] == losses
    assert check_study(tmp_path).problems == []


@pytest.mark.slow
@pytest.mark.usefixtures("twice")
def test_stopped_after_every_step_it_leaves_the_same(tmp_path: Path) -> None:
    """Also on the way back, which takes as many steps: it then begins that anew, until it is let through."""
    run(spec_of(), tmp_path / "whole", PLACE, Watch())
    asked = 0

    def sometimes() -> bool:
        nonlocal asked
        asked += 1
        return asked % 7 == 0

    stops = 0
    while not (tmp_path / "stopped" / DONE).exists():
        try:
            run(spec_of(), tmp_path / "stopped", PLACE, Watch(interrupted=sometimes))
        except Interrupted:
            stops += 1
    assert stops > 2
    for name in (ALPHAS, SPECTRUM):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    left, right = (json.loads((tmp_path / name / DONE).read_text())["decays"] for name in ("whole", "stopped"))
    assert left == right


@pytest.mark.slow
@pytest.mark.usefixtures("twice")
@pytest.mark.parametrize("killed", ["truncate", "save"])
def test_killed_on_the_way_back_it_goes_on(killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the checkpoint is replaced it goes back anew; after it, rows are longer than what it is tied to."""
    run(spec_of(), tmp_path / "whole", PLACE, Watch())
    module = "nas_stability.harness.runs.going_back"
    if killed == "save":
        monkeypatch.setattr(f"{module}.save", dies)
    else:
        monkeypatch.setattr(f"{module}.npz_bytes", dies)
    with pytest.raises(KeyboardInterrupt):
        run(spec_of(), tmp_path / "killed", PLACE, Watch())
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    monkeypatch.undo()
    monkeypatch.setitem(RESTARTS, "ada", Restart(back_twice, RESTARTS["ada"].fields))
    run(spec_of(), tmp_path / "killed", PLACE, Watch())
    for name in (ALPHAS, SPECTRUM):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def dies(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.usefixtures("twice")
def test_check_notices_rows_after_which_it_should_have_gone_back(tmp_path: Path) -> None:
    run(spec_of(), tmp_path, PLACE, Watch())
    record = json.loads((tmp_path / DONE).read_text())
    record["decays"] = [[1, 3e-4]]
    (tmp_path / DONE).write_text(json.dumps(record))
    reseal(tmp_path)
    (problem,) = check_study(tmp_path).problems
    assert "should have gone back, with a larger weight decay than 0.0003" in problem


def rows_of(values: Sequence[float]) -> list[dict[str, str]]:
    """Rows from epoch 0 on; the untrained one has an eigenvalue, too."""
    return [{"epoch": str(epoch), "eigenvalue_max": repr(value)} for epoch, value in enumerate([9.0, *values])]


def test_the_rule_is_that_of_early_stopping_asked_after_every_epoch() -> None:
    """The first epoch after which it goes back is the one that DARTS-ES detects in the whole search."""
    values = [1.0] * 17 + [2.0] * 33
    stop = darts_es(range(0, 50, 2), values[::2], 2)
    assert stop.detected is not None
    asked = [ada(rows_of(values[:done]), 3e-4, SETTINGS) for done in range(1, 50)]
    first = next(done for done, found in enumerate(asked, 1) if found)
    assert first == stop.detected + 1
    assert asked[first - 1] == Returned(stop.returned + 1, pytest.approx(3e-3))  # type: ignore[comparison-overlap]
    assert ada(rows_of(values), 3e-3, SETTINGS) is not None
    assert ada(rows_of(values), 3e-2, SETTINGS) is None, "the decay is as large as it gets"
    assert ada(rows_of([1.0] * 50), 3e-4, SETTINGS) is None
    assert ada([{"epoch": "0", "eigenvalue_max": ""}], 3e-4, SETTINGS) is None


def test_the_last_epoch_of_a_search_is_not_looked_at() -> None:
    values = {row: 1.0 if row < 23 else 100.0 for row in range(1, 24, 2)}
    assert stop_of(values, ended=False) is not None
    late = stop_of(values)
    assert late is not None
    assert late.detected is None


def test_rows_are_counted_to_the_last_of_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("run,epoch,x\na,0,1\na,1,2\na,1,3\na,2,4\n")
    assert path.read_text()[: length_until(path, 1)] == "run,epoch,x\na,0,1\na,1,2\na,1,3\n"
    assert length_until(path, 9) == path.stat().st_size


def test_without_eigenvalues_it_is_refused() -> None:
    with pytest.raises(BadInput, match="'hessian' must be true for darts-ada"):
        small_spec(method="darts-ada", hessian=False)
