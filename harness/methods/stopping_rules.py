"""Rules that end a search before its last epoch: asked between epochs, of the rows recorded so far. No PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nas_stability.harness.methods.compositions import NOTHING


class StopRule(Protocol):
    """(rows, settings) -> whether the search ends here.

    ``rows`` are those of epochs.csv from epoch 0 on, each column's text by its name; an empty text is a number that is
    not known.
    """

    def __call__(self, rows: Sequence[Mapping[str, str]], settings: Any) -> bool: ...


class StoppingRule(NamedTuple):
    """A rule and the fields that it reads; without one a search goes on to its last epoch."""

    stops: StopRule | None
    fields: Mapping[str, Any] = NOTHING


STOPPING_RULES: dict[str, StoppingRule] = {
    "at-the-end": StoppingRule(None),
}
