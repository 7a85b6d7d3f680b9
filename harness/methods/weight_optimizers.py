"""Optimisers of the supernet's weights. Their learning rate is set before every step, from the schedule of the spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from nas_stability.benchmarks.plugins import find
from nas_stability.harness.specs.spec import RunSpec

Build = Callable[[Iterable[nn.Parameter], RunSpec], torch.optim.Optimizer]
"""(weights, spec) -> optimiser, whose state can be saved."""


def sgd(weights: Iterable[nn.Parameter], spec: RunSpec) -> torch.optim.Optimizer:
    """SGD with momentum and L2 weight decay, as published."""
    return torch.optim.SGD(weights, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay, foreach=True)


WEIGHT_OPTIMIZERS: dict[str, Build] = {
    "sgd": sgd,
}


def weight_optimizer(spec: RunSpec) -> Build:
    """What makes the optimiser of a spec.

    Raises:
        BadInput: unknown.
    """
    return find("weight_optimizers", "weight optimizer", spec.weight_optimizer, WEIGHT_OPTIMIZERS)
