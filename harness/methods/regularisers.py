"""Regularisers: a scalar of the logits that is added to the validation loss of the architecture step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Alpha
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.specs.spec import FIELDS


class Penalty(Protocol):
    """(alpha, progress, settings) -> scalar in nats; ``progress`` and ``settings`` as of a relaxation."""

    def __call__(self, alpha: Alpha, progress: float, settings: Any) -> Tensor: ...


class Regulariser(NamedTuple):
    """A regulariser and the fields that it reads; without a penalty nothing is added."""

    penalty: Penalty | None
    fields: Mapping[str, Any] = NOTHING


def beta(alpha: Alpha, progress: float, settings: Any) -> Tensor:
    """Beta-DARTS: the mean over all rows of all groups of logsumexp, times a weight that rises from 0 over the search.

    Source: Ye et al., Beta-DARTS (CVPR 2022), equation 11; its published code has the weight 50 * epoch / 100 and one
    group of rows. Over several groups it does not say which mean is meant: here every row counts alike.
    """
    rows = torch.cat([torch.logsumexp(logits, dim=-1) for logits in alpha])
    found: Tensor = settings.beta_weight * progress * rows.mean()
    return found


REGULARISERS: dict[str, Regulariser] = {
    "none": Regulariser(None),
    "beta": Regulariser(beta, {"beta_weight": FIELDS["beta_weight"]}),
}
