"""Operations whose second derivatives cost about as much as their first.

Source: the formulas are ours, from the definition of BatchNorm (Ioffe and Szegedy, ICML 2015, algorithm 1). PyTorch
differentiates the gradient of a convolution sample by sample under vmap, that of BatchNorm by some 25 passes over the
features, and that of a concatenation by writing zeros around each part. Here each gradient is an operation with a
derivative of its own. Third derivatives are not to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from benchmarks.space import pixelwise

PIXELS = (-4, -2, -1)
"""Dimensions of features (..., B, C, H, W) over which a BatchNorm takes its statistics."""


class Twice(TorchFunctionMode):
    """While it is entered, PyTorch's functions are those of TWICE."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return TWICE.get(func, func)(*args, **(kwargs or {}))


def conv2d(features: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, *rest: Any) -> Tensor:
    """``torch.conv2d``; PyTorch's with a bias, dilation or groups, and where weights learn or features do not."""
    plain = bias is None and rest in ((), ((1, 1), 1))
    if not plain or weight.requires_grad or not features.requires_grad:
        return torch.conv2d(features, weight, bias, stride, padding, *rest)
    found: Tensor = Convolution.apply(features, weight, stride, padding)
    return found


def batch_norm(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """``F.batch_norm``, PyTorch's where it takes running statistics; they are not moved."""
    if not training:
        return F.batch_norm(features, running_mean, running_var, weight, bias, training, momentum, eps)
    found: Tensor = Norm.apply(features, weight, bias, eps)[0]
    return found


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """``torch.cat``."""
    found: Tensor = Joined.apply(dim, *tensors)
    return found


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """``torch.stack``."""
    return cat([tensor.unsqueeze(dim) for tensor in tensors], dim)


class Convolution(Function):
    """(features (B, C, H, W), weight, stride, padding) -> their convolution; groups and dilation are 1."""

    @staticmethod
    def forward(features: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
        return torch.conv2d(features, weight, None, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        features, weight, ctx.stride, ctx.padding = inputs
        ctx.shape = features.shape
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return ConvolutionSlope.apply(slope, weight, ctx.shape, ctx.stride, ctx.padding), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, features: Tensor, weight: Tensor, stride: Any, padding: Any) -> Any:
        many = features.movedim(in_dims[0], 0)
        return Convolution.apply(many.flatten(0, 1), weight, stride, padding).unflatten(0, many.shape[:2]), 0


class ConvolutionSlope(Function):
    """The transpose of ``Convolution``: slope of its output -> slope of its features, which had the given shape."""

    @staticmethod
    def forward(slope: Tensor, weight: Tensor, shape: Any, stride: Any, padding: Any) -> Tensor:
        # The shape and the layout of the features matter, not their values: memory that nothing touches.
        features = torch.empty(shape, dtype=slope.dtype, device=slope.device, memory_format=torch.channels_last)
        found: Tensor = torch.ops.aten.convolution_backward(
            slope, features, weight, None, stride, padding, (1, 1), False, (0, 0), 1, (True, False, False)
        )[0]
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return Convolution.apply(direction, weight, ctx.stride, ctx.padding), None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, slope: Tensor, weight: Tensor, shape: Any, stride: Any, padding: Any) -> Any:
        many = slope.movedim(in_dims[0], 0)
        whole = (len(many) * shape[0], *shape[1:])
        return ConvolutionSlope.apply(many.flatten(0, 1), weight, whole, stride, padding).unflatten(
            0, many.shape[:2]
        ), 0


class Joined(Function):
    """``torch.cat``, whose gradient is one split, and not a slice for each tensor: that of a slice writes zeros."""

    @staticmethod
    def forward(dim: int, *tensors: Tensor) -> Tensor:
        return torch.cat(tensors, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.dim, *tensors = inputs
        ctx.sizes = [tensor.shape[ctx.dim] for tensor in tensors]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return None, *slope.split(ctx.sizes, ctx.dim)


class Norm(Function):
    """(features (B, C, H, W), scale, shift, epsilon) -> BatchNorm by batch statistics, their mean and 1 / deviation.

    The scale and the shift (C,) may be None.
    """

    @staticmethod
    def forward(features: Tensor, scale: Tensor | None, shift: Tensor | None, epsilon: float) -> Any:
        return torch.native_batch_norm(features, scale, shift, None, None, True, 0.0, epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        features, scale, _, _ = inputs
        _, mean, inverse = output
        ctx.mark_non_differentiable(mean, inverse)
        ctx.save_for_backward(features, scale, mean, inverse)

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *_: Any) -> Any:
        slopes = NormSlope.apply(slope, *ctx.saved_tensors)
        return *(found if wanted else None for found, wanted in zip(slopes, ctx.needs_input_grad, strict=False)), None


class NormSlope(Function):
    """Slope of BatchNorm's output -> slopes of its features, scale and shift.

    With x' = (x - mean) * inverse, n the number of pixels and <.> their sum in a channel: the features' is
    scale * inverse * (slope - <slope> / n - x' <slope x'> / n), the scale's <slope x'>, the shift's <slope>.
    """

    @staticmethod
    def forward(slope: Tensor, features: Tensor, scale: Tensor | None, mean: Tensor, inverse: Tensor) -> Any:
        # Its epsilon is in ``inverse`` already.
        return torch.ops.aten.native_batch_norm_backward(
            slope, features, scale, None, None, mean, inverse, True, 0.0, (True, True, True)
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, direction: Tensor | None, of_scale: Tensor | None, of_shift: Tensor | None) -> Any:
        """The derivative of <direction, slope of the features> + <of_scale, slope of the scale> + the shift's."""
        slope, features, scale, mean, inverse, slope_of_scale, slope_of_shift = ctx.saved_tensors
        count = features.numel() // len(mean)
        # Means over pixels: of the slope (c) and of slope x' (e).
        c, e = slope_of_shift / count, slope_of_scale / count
        zero = torch.zeros_like(mean)
        a, b, d = zero, zero, zero  # means over pixels: of direction slope, direction, direction x'
        to_slope = None
        if direction is not None:
            to_slope, d, b = NormSlope.apply(direction, features, scale, mean, inverse)
            a = (direction * slope).sum(PIXELS)
            a, b, d = a / count, b / count, d / count
        gain = zero if of_scale is None else of_scale * inverse
        if of_scale is not None or of_shift is not None:
            constant = (zero if of_shift is None else of_shift) - gain * mean
            moved = torch.addcmul(pixelwise(constant), features, pixelwise(gain))
            to_slope = moved if to_slope is None else to_slope + moved
        factor = -(inverse**2) if scale is None else -scale * inverse**2
        along = (factor * (a - b * c - 3 * d * e) - gain * e) * inverse
        to_features = torch.addcmul(
            pixelwise(-factor * (e * b + d * c) - gain * c - along * mean), features, pixelwise(along)
        )
        to_features = torch.addcmul(to_features, slope, pixelwise(factor * d + gain))
        if direction is not None:
            to_features = torch.addcmul(to_features, direction, pixelwise(factor * e))
        to_scale = None if scale is None else count * inverse * (a - b * c - d * e)
        return to_slope, to_features, to_scale, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, slope: Tensor, features: Tensor, scale: Tensor | None, mean: Tensor, inverse: Tensor
    ) -> Any:
        many = slope.movedim(in_dims[0], 0)
        count = features.numel() // len(mean)
        factor = inverse if scale is None else scale * inverse
        normal = (features - pixelwise(mean)) * pixelwise(inverse)
        of_shift = many.sum(PIXELS)
        of_scale = (many * normal).sum(PIXELS)
        along = torch.addcmul(pixelwise(of_shift), normal, pixelwise(of_scale))
        of_features = torch.sub(many, along, alpha=1 / count) * pixelwise(factor)
        return (of_features, of_scale, of_shift), (0, 0, 0)


TWICE: Mapping[Any, Callable[..., Tensor]] = {
    torch.conv2d: conv2d,
    F.batch_norm: batch_norm,
    torch.cat: cat,
    torch.stack: stack,
}
"""What ``Twice`` puts in whose place."""
