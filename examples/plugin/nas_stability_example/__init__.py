"""A perturbation and a regulariser of one's own: functions, and what they need."""

from typing import Any

import torch
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Alpha, Mixture
from nas_stability.harness.methods.compositions import Method
from nas_stability.harness.methods.perturbations import LossAt, Perturbation, Perturbed, project
from nas_stability.harness.methods.regularisers import Regulariser
from nas_stability.harness.specs.fields import Range, described


def dropped(mixture: Mixture, loss: LossAt, radius: float, noise: Mixture, settings: Any) -> Perturbed:
    """Takes each choice's weight away with a probability, and shares it among the others of the row."""
    limit = 2 * settings.drop_rate - 1  # the noise is uniform in [-radius, radius]
    return Perturbed(project(tuple(rows * (one >= radius * limit) for rows, one in zip(mixture, noise, strict=True))))


def entropy(alpha: Alpha, progress: float, settings: Any) -> Tensor:
    """Pulls rows towards a decision, the more the longer the search goes on."""
    total = sum(torch.special.entr(torch.softmax(logits, -1)).sum() for logits in alpha)
    return settings.entropy_weight * progress * total


DROPPED = Perturbation(dropped, fields={"drop_rate": described(0.1, "probability that a choice is off", Range(0, 0.5))})
ENTROPY = Regulariser(entropy, {"entropy_weight": described(0.01, "weight of the entropy at the end", Range(0, 100))})
ENTROPY_DARTS = Method(regulariser="entropy")
