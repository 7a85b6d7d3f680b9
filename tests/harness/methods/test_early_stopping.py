"""DARTS-ES against the published rule written out step by step, and on the searches that its authors published."""

from __future__ import annotations

import random

import pandas
import pytest

from nas_stability.harness.methods.early_stopping import Stop, darts_es
from tests.small import SHARED

LOGS = SHARED / "data" / "robustdarts"


def literal(values: dict[int, float], every: int, last: int) -> Stop:
    """The rule as a tracker that is told of one epoch after the other."""
    known: list[float] = []
    local: dict[int, float] = {}
    for epoch in range(last + 1):
        if epoch % every and epoch != last:
            continue
        known.append(values[epoch])
        if len(known) < 3 or epoch == last:
            continue
        recent = known[-5:]
        local[epoch - 2 * every] = sum(recent) / len(recent)
        now, before = epoch - 2 * every, epoch - 6 * every
        if before >= 10 and local[now] / local[before] > 1.3:
            return Stop(epoch, before)
    return Stop(None, last)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_it_is_the_literal_rule_on_random_trajectories(every: int) -> None:
    rng = random.Random(every)
    stopped = 0
    for _ in range(200):
        last = rng.randrange(29, 99)
        drift = rng.uniform(0.98, 1.06)
        values = {epoch: rng.uniform(0.5, 1.5) * drift**epoch for epoch in range(last + 1)}
        epochs = [epoch for epoch in values if epoch % every == 0 or epoch == last]
        found = darts_es(epochs, [values[epoch] for epoch in epochs], every)
        assert found == literal(values, every, last)
        stopped += found.detected is not None
    assert 20 < stopped < 200


def test_by_hand() -> None:
    """Flat at 1 until epoch 12, then 2: of f = 2, the average at 16 has one 2 of five, at 18 two."""
    epochs = [*range(0, 50, 2), 49]
    values = [1.0 if epoch <= 16 else 2.0 for epoch in epochs]
    # After epoch 22 the window 14 to 22 holds 1 1 2 2 2: 1.6 against that of 6 to 14, centred at 10: 1.
    assert darts_es(epochs, values, 2) == Stop(22, 10)
    assert darts_es(epochs, [1.0] * len(epochs), 2) == Stop(None, 49)
    with pytest.raises(ValueError, match="not finite"):
        darts_es([0, 1], [1.0, float("nan")], 1)


@pytest.mark.skipif(not LOGS.exists(), reason="the published searches are not beside this checkout")
def test_on_the_published_searches() -> None:
    """40 of the 67 stop; those of s1 with the published regularisation after 22, 22 and 30, returning 10, 10, 18."""
    rows = pandas.read_csv(LOGS / "spectrum.csv.gz")
    columns = [name for name in rows.columns if name.startswith(("eigenvalue", "e_", "lambda"))] or [
        name for name in rows.columns if name.rsplit("_", 1)[-1].isdigit()
    ]
    keys = ["space", "dataset", "drop_path", "weight_decay", "job", "run"]
    stops = {}
    for key, run in rows.groupby([name for name in keys if name in rows], dropna=False):
        run = run.sort_values("epoch")
        largest = run[columns].max(axis=1)
        stops[key] = darts_es([epoch - 1 for epoch in run["epoch"]], largest.tolist(), 2)
    assert len(stops) == 67
    assert sum(stop.detected is not None for stop in stops.values()) == 40
    plain = rows[(rows["space"] == "s1") & (rows["weight_decay"] == 3e-4) & (rows["drop_path"] == 0)]
    names = [name for name in keys if name in rows]
    published = [stops[key] for key in sorted(set(plain[names].itertuples(index=False, name=None)))]
    assert published == [Stop(22, 10), Stop(22, 10), Stop(30, 18)]
