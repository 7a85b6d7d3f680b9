"""What changes over the epochs of a search: the learning rate of the weights and the radius of the perturbation."""

from __future__ import annotations

import math
from typing import Protocol

from nas_stability.harness.specs.spec import RunSpec


class Annealed(Protocol):
    """What says how a learning rate falls: the spec of a run, or a protocol of training."""

    @property
    def lr(self) -> float: ...

    @property
    def lr_min(self) -> float: ...

    @property
    def lr_epoch_shift(self) -> int: ...

    @property
    def epochs(self) -> int: ...


def learning_rate(spec: Annealed, epoch: int) -> float:
    """Cosine from lr to lr_min over the epochs, read ``lr_epoch_shift`` epochs ahead (published: 1)."""
    share = (epoch + spec.lr_epoch_shift) / spec.epochs
    return spec.lr_min + (spec.lr - spec.lr_min) * (1 + math.cos(math.pi * share)) / 2


def perturbation_radius(spec: RunSpec, epoch: int) -> float:
    """Radius of an epoch, in probability: linear from radius_min towards radius, or constant."""
    if spec.radius_schedule == "constant":
        return spec.radius
    return spec.radius_min + (spec.radius - spec.radius_min) * epoch / spec.epochs
