"""Operations of a NAS-Bench-1Shot1 cell that keep little for their gradients and read the features less often.

Source: the formulas are ours. Of PyTorch's operations, a cell would keep what each of them reads and returns: here only
what the gradients cannot do without. They have first derivatives alone; while ``PlainOperations`` is entered,
PyTorch's stand in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from nas_stability.benchmarks.spaces.layers import partial_channels
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm, normalized, with_statistics
from nas_stability.benchmarks.spaces.layers.channels_last import apart, blend, pixelwise, replaceable, side_by_side

POOL = ((3, 3), (1, 1), (1, 1), (1, 1), False)
HALF = ((2, 2), (2, 2), (1, 1), (1, 1), False)
"""Kernel, stride, padding, dilation and ceiling mode of max-pooling in a choice block, and between cells."""


class PlainOperations(TorchFunctionMode):
    """While it is entered, the operations of this module are composed of PyTorch's, which have all derivatives."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return PLAIN.get(func, func)(*args, **(kwargs or {}))


@replaceable
def scaled(features: Tensor, norm: BatchNorm | None, weights: Tensor) -> Tensor:
    """``relu(norm(features))`` times a weight per channel.

    Args:
        features: (B, C, H, W), channels-last.
        norm: with affine part; in training mode its running statistics move. None: ``relu(features)``.
        weights: (C,), none below 0. The gradient is right at 0 as well.

    Returns:
        (B, C, H, W), channels-last.
    """
    if norm is None:
        opened: Tensor = Opened.apply(features, weights)
        return opened
    found: Tensor = Scaled.apply(
        features,
        weights,
        norm.weight,
        norm.bias,
        norm.running_mean,
        norm.running_var,
        norm.training,
        norm.momentum or 0.0,
        norm.eps,
    )
    return found


@replaceable
def chosen(vertex: Tensor, conv3: Tensor, conv1: Tensor, weights: Tensor, sparing: bool) -> tuple[Tensor, ...]:
    """Weighted sums of ``max_pool(vertex)``, ``relu(conv3)`` and ``relu(conv1)``.

    Args:
        vertex, conv3, conv1: (B, C, H, W), channels-last.
        weights: for each image, (B, receivers, 3).
        sparing: whether to keep the place of a maximum in two bytes instead of eight, which takes time.

    Returns:
        A sum of that shape for each receiver.
    """
    found: tuple[Tensor, ...] = Chosen.apply(vertex, conv3, conv1, weights, sparing)
    return found


@replaceable
def halved(features: Tensor) -> Tensor:
    """Max-pooling (2x2, stride 2, padding 1): features (B, C, H, W) -> (B, C, H // 2 + 1, W // 2 + 1)."""
    found: Tensor = Halved.apply(features)
    return found


def plainly_scaled(features: Tensor, norm: BatchNorm | None, weights: Tensor) -> Tensor:
    """``scaled``, of PyTorch's operations."""
    return F.relu(norm(features) if norm else features) * pixelwise(weights)


def plainly_chosen(vertex: Tensor, conv3: Tensor, conv1: Tensor, weights: Tensor, sparing: bool) -> tuple[Tensor, ...]:
    """``chosen``, of PyTorch's operations."""
    return blend(weights, (F.max_pool2d(vertex, *POOL), F.relu(conv3), F.relu(conv1)))


def plainly_halved(features: Tensor) -> Tensor:
    """``halved``, of PyTorch's operations."""
    return F.max_pool2d(features, *HALF)


PLAIN: Mapping[Any, Callable[..., Any]] = {
    normalized: F.batch_norm,
    scaled: plainly_scaled,
    chosen: plainly_chosen,
    halved: plainly_halved,
    **partial_channels.PLAIN,
}
"""What ``PlainOperations`` puts in whose place."""


class Scaled(Function):
    """With w >= 0, relu(gain * x' + shift) * w = relu(gain * w * x' + shift * w): a BatchNorm and no multiplication.

    The slope of w is gain * <t x'> + shift * <t>, where t is the slope behind the ReLU and <.> the sum over pixels:
    the gradient of BatchNorm takes both anyway. Where the ReLU is open is computed again, and without w.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weights: Tensor,
        gain: Tensor,
        shift: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        training: bool,
        momentum: float,
        epsilon: float,
    ) -> Tensor:
        steep, raised = gain * weights, shift * weights
        found, mean, inverse = with_statistics(
            features, steep, raised, running_mean, running_var, training, momentum, epsilon
        )
        if not training:
            mean, inverse = running_mean, (running_var + epsilon).rsqrt()
        ctx.save_for_backward(features, weights, gain, shift, steep, running_mean, running_var, mean, inverse)
        ctx.training, ctx.epsilon = training, epsilon
        return found.relu_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        features, weights, gain, shift, steep, *running, mean, inverse = ctx.saved_tensors
        steepness = gain * inverse
        constant = torch.addcmul(shift, mean, steepness, value=-1.0)
        normal = torch.addcmul(pixelwise(constant), features, pixelwise(steepness))
        behind = torch.ops.aten.threshold_backward(slope, normal.to(slope.dtype), 0)
        of_features, along, total = torch.ops.aten.native_batch_norm_backward(
            behind, features, steep, *running, mean, inverse, ctx.training, ctx.epsilon, (True, True, True)
        )
        _, mixed, learning, *_ = ctx.needs_input_grad
        of_weights = torch.addcmul(gain * along, shift, total) if mixed else None
        of_gain, of_shift = (weights * along, weights * total) if learning else (None, None)
        return of_features, of_weights, of_gain, of_shift, *[None] * 5


class Opened(Function):
    """relu(x) * w. Both slopes are those of a BatchNorm in evaluation mode that does not change x: one operation."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(features, weights)
        return features.relu().mul_(pixelwise(weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        features, weights = ctx.saved_tensors
        zero, one = torch.zeros_like(weights), torch.ones_like(weights)
        behind = torch.ops.aten.threshold_backward(slope, features, 0)
        of_features, of_weights, _ = torch.ops.aten.native_batch_norm_backward(
            behind, features, weights, zero, one, None, None, False, 0.0, (True, True, False)
        )
        return of_features, of_weights


class Chosen(Function):
    """Keeps the three features side by side, as the sums read them, and of each pixel where its maximum was."""

    @staticmethod
    def forward(
        ctx: Any, vertex: Tensor, conv3: Tensor, conv1: Tensor, weights: Tensor, sparing: bool
    ) -> tuple[Tensor, ...]:
        rows = gapless(3, vertex)
        pooled, open3, open1 = apart(rows, vertex)
        where = torch.empty_like(vertex, dtype=torch.long)
        torch.ops.aten.max_pool2d_with_indices.out(vertex, *POOL, out=pooled, indices=where)
        torch.clamp_min(conv3, 0, out=open3)
        torch.clamp_min(conv1, 0, out=open1)
        if sparing:
            where = where.to(narrow(vertex))
        weights = weights.to(vertex.dtype)
        ctx.save_for_backward(rows, where, weights)
        return apart(torch.bmm(weights, rows), vertex)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        rows, where, weights = ctx.saved_tensors
        pooled, *_ = apart(rows, where)
        arriving = side_by_side(slopes)
        spread = torch.bmm(weights.mT, arriving)
        opened = gapless(2, where, spread.dtype)
        torch.ops.aten.threshold_backward.grad_input(spread[:, 1:], rows[:, 1:], 0, grad_input=opened)
        of_pooled, *_ = apart(spread, where)
        of_vertex = torch.ops.aten.max_pool2d_with_indices_backward(of_pooled, pooled, *POOL, where.long())
        of_weights = torch.bmm(arriving, rows.mT) if ctx.needs_input_grad[3] else None
        return of_vertex, *apart(opened, where), of_weights, None


class Halved(Function):
    """Keeps where the maxima were, and not the features."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        found: Tensor
        found, where = torch.ops.aten.max_pool2d_with_indices(features, *HALF)
        ctx.shape = features.shape
        ctx.save_for_backward(where.to(narrow(features)))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        (where,) = ctx.saved_tensors
        # The shape and the layout of the features matter, not their values: memory that nothing touches.
        features = torch.empty(ctx.shape, dtype=slope.dtype, device=slope.device, memory_format=torch.channels_last)
        return torch.ops.aten.max_pool2d_with_indices_backward(slope, features, *HALF, where.long())


def narrow(features: Tensor) -> torch.dtype:
    """The smallest integers that count the pixels of features (B, C, H, W)."""
    return torch.int16 if features[0, 0].numel() <= 2**15 else torch.int32


def gapless(count: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for rows (B, count, H * W * C) that come apart as features without gaps."""
    batch = len(like)
    rows = torch.empty((count, batch, like[0].numel()), dtype=dtype or like.dtype, device=like.device)
    return rows.transpose(0, 1)
