"""Relaxations: from the logits to the mixture of a pass.

A relaxation is a pure function of logits, draws and the share of the search that is done. Its draws are an argument, so
that a recorded run can be replayed and measuring draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nas_stability.benchmarks.spaces import space
from nas_stability.benchmarks.spaces.space import Alpha, Mixture
from nas_stability.harness.methods.compositions import NOTHING

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]
"""(shape, CPU generator) -> float64 draws."""


class Mix(Protocol):
    """(alpha, draws, progress, settings) -> mixture.

    ``draws`` has a tensor per group, (rows, choices) or (cells, rows, choices), and is empty for a relaxation that
    draws nothing; the mixture may have one matrix per cell likewise. ``progress`` is the share of the search's epochs
    that were done before this one, in [0, 1). ``settings`` has the part's fields as attributes, and
    ``operation_groups``, the space's groups whose choices are operations.
    """

    def __call__(self, alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture: ...


class Relaxation(NamedTuple):
    """A relaxation and what it needs.

    Attributes:
        mix: the function.
        draw: the distribution of its draws; None where it draws nothing, as one that measures and decides must.
        per_cell: whether every cell of the supernet has draws, and so a mixture, of its own.
        shift_invariant: whether adding a number to all logits of a row changes nothing: the Hessian then costs a
            tangent less for each row.
        fields: that it reads, by name.
    """

    mix: Mix
    draw: Draw | None = None
    per_cell: bool = False
    shift_invariant: bool = True
    fields: Mapping[str, Any] = NOTHING


def softmax(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """The softmax of each row (DARTS, equation 2)."""
    return space.softmax(alpha)


RELAXATIONS: dict[str, Relaxation] = {
    "softmax": Relaxation(softmax),
}
