"""Features as they lie in memory: channels-last, apart or side by side, and sums of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function


def channels_last(features: Tensor) -> Tensor:
    """The features (B, C, H, W) without gaps and channels-last in memory; under vmap too, unlike PyTorch's argument."""
    return features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


Output = TypeVar("Output")


def replaceable(function: Callable[..., Output]) -> Callable[..., Output]:
    """The function as one that a TorchFunctionMode sees as a whole, as it sees PyTorch's own.

    Of a module's forward likewise: then the module is the first of the arguments. Rules of tangents
    (harness/measuring/tangents.py) are registered for such a function.
    """

    @functools.wraps(function)
    def seen(*args: Any, **kwargs: Any) -> Output:
        if has_torch_function(args):
            replaced: Output = handle_torch_function(seen, args, *args, **kwargs)
            return replaced
        return function(*args, **kwargs)

    return seen


@replaceable
def blend(weights: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Weighted sums of features by a matrix product for each image, whose gradients are products too.

    One product over all images would use one core, and less than half of what its memory can deliver.

    Args:
        weights: for each image, (B, m, n).
        features: n tensors of one shape (B, C, H, W), channels-last in memory.

    Returns:
        m tensors of that shape, each image channels-last.
    """
    return apart(torch.bmm(weights, side_by_side(features)), features[0])


def side_by_side(features: Sequence[Tensor]) -> Tensor:
    """n features (B, C, H, W), channels-last, as rows (B, n, H * W * C)."""
    rows = torch.stack([tensor.permute(0, 2, 3, 1) for tensor in features], 1)
    return rows.reshape(len(rows), len(features), -1)


def apart(rows: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """Rows (B, n, H * W * C) as n features (B, C, H, W), each image channels-last, views of them."""
    batch, channels, height, breadth = like.shape
    return tuple(part.permute(0, 3, 1, 2) for part in rows.view(batch, -1, height, breadth, channels).unbind(1))


def pixelwise(values: Tensor) -> Tensor:
    """Values per channel (..., C) -> (..., 1, C, 1, 1), beside features."""
    return values[..., None, :, None, None]
