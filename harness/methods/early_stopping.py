"""Where a search should have stopped, read off its recorded eigenvalues: DARTS-ES.

Source: Zela et al., Understanding and robustifying differentiable architecture search (ICLR 2020), section 4.3; the
conventions of its published code, which the text leaves open, are those of ``darts_es``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WINDOW = 5
"""Measurements in a local average."""

GROWTH = 1.3
"""By what factor an average may exceed the one four measurements earlier; the paper has its inverse, 0.75."""

FIRST = 10
"""The earliest epoch, from 0, whose architecture can be returned."""


ENDING = "es"
"""Of the name of a method that was stopped by the rule: METHOD-es."""


class Stop(NamedTuple):
    """Where the rule stops a search.

    Attributes:
        detected: epoch, from 0, after whose training it stops; None where it goes on to the end.
        returned: epoch whose architecture it takes: of a search that goes on, the last.
    """

    detected: int | None
    returned: int


PUBLISHED_SPACING = 2
"""Epochs between two measurements in the published searches; one that measured each epoch is read at every second."""


def stop_of(measured: Mapping[int, float], ended: bool = True) -> Stop | None:
    """Where DARTS-ES stops a run, in epochs from 0 (row e + 1 is the state after epoch e); None without eigenvalues.

    Args:
        measured: row -> largest eigenvalue in nats, of the rows that have one; the untrained row 0 plays no part.
        ended: whether the last of them is that of the search's last epoch, after which nothing is stopped.
    """
    rows = sorted(row for row in measured if row > 0)
    if len(rows) < 2:
        return None
    epochs = [row - 1 for row in rows]
    every = epochs[1] - epochs[0]
    if every == 1:
        every = PUBLISHED_SPACING
        epochs = [epoch for epoch in epochs if epoch % every == 0 or (ended and epoch == epochs[-1])]
    return darts_es(epochs, [measured[epoch + 1] for epoch in epochs], every, ended)


def darts_es(epochs: Sequence[int], eigenvalues: Sequence[float], every: int, ended: bool = True) -> Stop:
    """Stops where the local average of the largest eigenvalue has grown by GROWTH in four measurements.

    The average of the last WINDOW values (at the start of fewer, from three on) belongs to the epoch two measurements
    back; it is compared with that of four measurements before it, whose architecture is returned.

    Args:
        epochs: measured ones, from 0, ascending; each ``every`` epochs, and the last.
        eigenvalues: the largest signed one after each of them, in nats.
        every: epochs between two measurements.
        ended: whether the last of them is the search's last epoch, after which nothing is stopped.

    Raises:
        ValueError: there is no measurement, or one is not finite.
    """
    if not epochs or len(epochs) != len(eigenvalues):
        raise ValueError(f"{len(eigenvalues)} eigenvalues of {len(epochs)} epochs: there must be one of each")
    if not all(map(math.isfinite, eigenvalues)):
        raise ValueError("an eigenvalue is not finite")
    averages: dict[int, float] = {}
    for index, epoch in enumerate(epochs[:-1] if ended else epochs):
        if index < 2:
            continue
        window = eigenvalues[max(0, index + 1 - WINDOW) : index + 1]
        centre = epoch - 2 * every
        averages[centre] = math.fsum(window) / len(window)
        earlier = centre - 4 * every
        if earlier >= FIRST and earlier in averages and averages[centre] / averages[earlier] > GROWTH:
            return Stop(epoch, earlier)
    return Stop(None, epochs[-1])
