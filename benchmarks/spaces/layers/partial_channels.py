"""Operations that see one in so many channels: the others pass by, and all are shuffled.

Source: PC-DARTS (Xu et al., ICLR 2020), section 3.1. The shuffle takes channel g * (C / groups) + c to c * groups + g
(ShuffleNet; Zhang et al., CVPR 2018); it is linear, so that what comes together at a node is shuffled once, as a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nas_stability.benchmarks.spaces.layers.channels_last import channels_last, replaceable


def parted(features: Tensor, partial: int) -> tuple[Tensor, Tensor]:
    """The first one in ``partial`` channels of features (B, C, H, W), without gaps, and a view of the others."""
    mixed = features.shape[1] // partial
    part, passing = features.split([mixed, features.shape[1] - mixed], 1)
    return channels_last(part), passing


def shuffled(mixed: Tensor, passing: Tensor) -> Tensor:
    """Mixed (B, C / groups, H, W) and passing (B, C - C / groups, H, W) channels behind each other, shuffled."""
    groups = [mixed, *passing.split(mixed.shape[1], 1)]
    return torch.stack([group.permute(0, 2, 3, 1) for group in groups], -1).flatten(-2).permute(0, 3, 1, 2)


@replaceable
def plus(base: Tensor | None, weight: Tensor, features: Tensor) -> Tensor:
    """``base + weight * features``, in one pass; first derivatives alone.

    Args:
        base: (B, C, H, W), channels-last; None for zeros.
        weight: of the mixture, without dimensions.
        features: as ``base``.
    """
    found: Tensor = Plus.apply(base, weight, features)
    return found


def plainly_plus(base: Tensor | None, weight: Tensor, features: Tensor) -> Tensor:
    """``plus``, of PyTorch's operations."""
    weighted = weight * features
    return weighted if base is None else base + weighted


class Plus(Function):
    """The slope of the weight is an inner product, which reads both features once and writes nothing."""

    @staticmethod
    def forward(ctx: Any, base: Tensor | None, weight: Tensor, features: Tensor) -> Tensor:
        _, of_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(weight, features if of_weight else None)
        as_factor = weight.to(features.dtype)
        return as_factor * features if base is None else torch.addcmul(base, features, as_factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        weight, features = ctx.saved_tensors
        of_weight = None
        if features is not None:
            of_weight = torch.dot(in_line(slope), in_line(features.to(slope.dtype))).to(weight.dtype)
        of_features = slope * weight.to(slope.dtype) if ctx.needs_input_grad[2] else None
        return slope if ctx.needs_input_grad[0] else None, of_weight, of_features


def in_line(features: Tensor) -> Tensor:
    """All values of features, in the order in which they lie in memory."""
    return features.permute(0, 2, 3, 1).reshape(-1)


PLAIN: Mapping[Any, Callable[..., Any]] = {plus: plainly_plus}
"""What ``PlainOperations`` (lean_operations.py) puts in whose place."""
