"""Losses of the search: what the weight step, the architecture step and an attack see. What is measured stays
cross-entropy, so that runs can be compared whatever they were searched with."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, classes), labels (B,)) -> mean over the batch, a scalar."""

LOSSES: dict[str, Loss] = {
    "cross-entropy": F.cross_entropy,
}
