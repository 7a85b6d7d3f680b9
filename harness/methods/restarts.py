"""Rules by which a search goes back to an earlier epoch, and on from there with a larger weight decay. No PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.methods.early_stopping import stop_of
from nas_stability.harness.specs.spec import FIELDS


class Returned(NamedTuple):
    """Where a search goes on: with the state after ``epoch`` epochs, and this weight decay from then on."""

    epoch: int
    weight_decay: float


class RestartRule(Protocol):
    """(rows, weight decay, settings) -> where the search goes back to; None: it goes on as it is.

    Asked between epochs. ``rows`` are those of epochs.csv from epoch 0 on, as texts; the decay is that of now.
    """

    def __call__(self, rows: Sequence[Mapping[str, str]], weight_decay: float, settings: Any) -> Returned | None: ...


class Restart(NamedTuple):
    """A rule and the fields that it reads; without one a search never goes back."""

    rule: RestartRule | None
    fields: Mapping[str, Any] = NOTHING


def ada(rows: Sequence[Mapping[str, str]], weight_decay: float, settings: Any) -> Returned | None:
    """DARTS-ADA: where DARTS-ES would stop, back to the epoch that it returns, with ``ada_factor`` times the decay.

    Not beyond ``ada_most``. Source: Zela et al., Understanding and robustifying differentiable architecture search
    (ICLR 2020), section 5.3; factor and largest decay are those of its published script.
    """
    larger = weight_decay * settings.ada_factor
    if larger > settings.ada_most * (1 + 1e-9):
        return None
    measured = {int(row["epoch"]): float(row["eigenvalue_max"]) for row in rows if row["eigenvalue_max"]}
    stop = stop_of(measured, ended=False)
    return None if stop is None or stop.detected is None else Returned(stop.returned + 1, larger)


RESTARTS: dict[str, Restart] = {
    "never": Restart(None),
    "ada": Restart(ada, {name: FIELDS[name] for name in ("ada_factor", "ada_most")}),
}
