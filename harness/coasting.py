"""Weights of operations that a pass may leave out: they keep still until a pass has chosen them, then coast.

Source: the published GDAS ran on PyTorch 1.3, whose ``zero_grad`` left zeros: a weight that some pass had touched, the
architecture step's or the weight step's, went on decaying and coasting on its momentum where it was not chosen; one
that none had touched was left alone. Today's ``zero_grad`` would leave both still. Here a weight was touched if its
BatchNorm has counted a pass, and every weight that no pass may leave out always is: in NAS-Bench-201, of which there is
no published GDAS of this kind, the choice of `none` may cut off what is before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.layers.batch_norm import ConvNorm
from nas_stability.benchmarks.spaces.layers.single_path import looks


def coast(pairs: Iterable[ConvNorm], optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Gives every touched weight a gradient, and keeps the others; the returned function ends the optimiser's step.

    Args:
        pairs: the convolutions that a pass may leave out (single_path.py), after the backward pass.
        optimizer: of its weights, before its step.
    """
    untouched: list[tuple[nn.Parameter, Tensor, Tensor]] = []
    pairs = tuple(pairs)
    optional = {weight for pair in pairs for weight in pair.parameters()}
    for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
        if pairs and weight.grad is None and weight not in optional:
            weight.grad = torch.zeros_like(weight)  # of a stem, say, that nothing leads on from where all choose `none`
    for pair in pairs:
        counts = pair.norm.get_buffer("num_batches_tracked")
        looked = looks(counts)
        for weight in pair.parameters():
            if looked and not counts:
                weight.grad = None
                continue
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            if not looked:
                untouched.append((weight, weight.detach().clone(), counts == 0))

    def settle() -> None:
        with torch.no_grad():
            for weight, before, still in untouched:
                weight.copy_(torch.where(still, before, weight))
                for name, value in optimizer.state.get(weight, {}).items():
                    if isinstance(value, Tensor) and value.shape == weight.shape:
                        optimizer.state[weight][name].copy_(torch.where(still, torch.zeros_like(value), value))

    return settle
