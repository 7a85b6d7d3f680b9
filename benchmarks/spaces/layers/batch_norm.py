"""BatchNorm, as exact in float32 channels-last on a CPU as elsewhere, and convolutions with one behind them.

Source: Ioffe and Szegedy, ICML 2015, algorithm 1. Of features of float32 that lie channels-last PyTorch takes sums over
pixels in float32 on a CPU, one pixel after the other (in float64 where a channel lies in one piece, by parts on a GPU):
of 60,000 pixels with a mean of five standard deviations, the mean then misses by 2e-5 of them, the deviation by 3e-6 of
itself. Here each column of pixels has its own first, and they are put together: 1e-6 and 1e-7, in about the same time.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nas_stability.benchmarks.spaces.layers.channels_last import replaceable

FEW = 2048
"""Pixels whose sums are left to PyTorch: no more than there are in a column of a published batch, 64 images of 32."""


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's, but it does not count its passes: the supernet counts those of all such in one operation."""

    counted_together = True

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, C, H, W) -> the same shape; ``scale`` (C,) stands in for the weight of one without affine part.

        The mixture enters here where nothing but a sum stands behind: exact, and a multiplication saved.
        """
        return normalized(
            features,
            self.running_mean,
            self.running_var,
            self.weight if scale is None else scale,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


@replaceable
def normalized(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """``F.batch_norm``, of the same arguments; where it takes care of the sums it has first derivatives alone."""
    if not (training and coarse(features)):
        return F.batch_norm(features, running_mean, running_var, weight, bias, training, momentum, eps)
    found: Tensor = Normed.apply(features, running_mean, running_var, weight, bias, momentum, eps)
    return found


class Normed(Function):
    """``with_statistics``, and the gradient that PyTorch's BatchNorm has with them."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        found, mean, inverse = with_statistics(features, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(features, weight, mean, inverse)
        ctx.eps = eps
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        features, weight, mean, inverse = ctx.saved_tensors
        of_features, _, _, of_weight, of_bias, *_ = ctx.needs_input_grad
        slopes = torch.ops.aten.native_batch_norm_backward(
            slope, features, weight, None, None, mean, inverse, True, ctx.eps, (of_features, of_weight, of_bias)
        )
        return slopes[0], None, None, slopes[1], slopes[2], None, None


def with_statistics(
    features: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``torch.native_batch_norm``, of the same arguments: features, and the mean and 1 / deviation of the batch."""
    if not (training and coarse(features)):
        return torch.native_batch_norm(features, weight, bias, running_mean, running_var, training, momentum, eps)
    mean, variance = batch_statistics(features)
    found, _, _ = torch.native_batch_norm(features, weight, bias, mean, variance, False, 0.0, eps)
    if running_mean is not None and running_var is not None:
        pixels = features.numel() // len(mean)
        running_mean.lerp_(mean, momentum)
        running_var.mul_(1 - momentum).add_(variance, alpha=momentum * pixels / (pixels - 1))
    return found, mean, (variance + eps).rsqrt()


def coarse(features: Tensor) -> bool:
    """Whether PyTorch would take sums over their pixels in float32, one after the other, and they are many."""
    pixels = features.numel() // features.shape[1]
    return features.device.type == "cpu" and features.dtype == torch.float32 and pixels > FEW


def batch_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over the pixels of features (B, C, H, W), which lie channels-last.

    Each column of pixels is taken as channels of its own, (B * H, W * C). By the law of total variance the variance is
    the mean of theirs and the variance of their means.
    """
    _, channels, _, breadth = features.shape
    columns = features.permute(0, 2, 3, 1).reshape(-1, breadth * channels)
    means, variances = torch.batch_norm_update_stats(columns, None, None, 0.0)
    between, mean = torch.var_mean(means.view(breadth, channels), 0, correction=0)
    return mean, variances.view(breadth, channels).mean(0).add_(between)


class ConvNorm(nn.Module):
    """A convolution without bias and the BatchNorm behind it, which are one convolution while the net is ``folded``.

    Args:
        in_width: channels of its input.
        width: channels of its output.
        kernel: side of the kernel; zeros are padded so that only the stride shrinks the resolution.
        momentum: of the BatchNorm.
        stride: of the convolution.
        affine: whether the BatchNorm has a weight and a bias.
    """

    def __init__(
        self, in_width: int, width: int, kernel: int, momentum: float, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel, stride, kernel // 2, bias=False)
        self.norm = BatchNorm(width, momentum=momentum, affine=affine)
        self.folded: Folded = ()
        self.optional = False  # whether a pass may leave it out (single_path.py)

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H / stride, W / stride); ``scale`` as BatchNorm's."""
        convolved, norm = self.parts(features)
        return norm(convolved, scale) if norm else convolved

    def parts(self, features: Tensor) -> tuple[Tensor, BatchNorm | None]:
        """The convolved features, and the BatchNorm that they still have before them: None while the net is folded."""
        for weight, bias in self.folded:
            return F.conv2d(features, weight, bias, self.conv.stride, self.conv.padding), None
        return self.conv(features), self.norm

    def pairs(self) -> list[ConvolutionAndNorm]:
        """Itself; none without affine part, whose scale may be the mixture."""
        return [(self.conv, self.norm)] if self.norm.affine else []


ConvolutionAndNorm = tuple[nn.Conv2d, nn.BatchNorm2d]
"""A convolution without bias and the BatchNorm behind it."""

Folded = tuple[tuple[Tensor, Tensor], ...]
"""Of each pair of a module the weight and bias of the one convolution that it is; empty while the net is not folded."""


@runtime_checkable
class Foldable(Protocol):
    """A module that knows which of its convolutions have a BatchNorm behind them.

    Attributes:
        folded: of each of ``pairs``, while the net is folded.
    """

    folded: Folded

    def pairs(self) -> list[ConvolutionAndNorm]:
        """In the order of ``folded``."""


@contextlib.contextmanager
def folded(net: nn.Module) -> Iterator[None]:
    """Running statistics and affine part of BatchNorms in the convolutions before them, for a net in evaluation mode.

    Exact but for rounding; for an attack, which passes the same weights through many mixtures.
    """
    of_modules = [(module, module.pairs()) for module in net.modules() if isinstance(module, Foldable)]
    each = iter(merged([pair for _, pairs in of_modules for pair in pairs]))
    for module, pairs in of_modules:
        module.folded = tuple(itertools.islice(each, len(pairs)))
    try:
        yield
    finally:
        for module, _ in of_modules:
            module.folded = ()


@torch.no_grad()
def merged(pairs: Sequence[ConvolutionAndNorm]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the convolution that each pair is by running statistics; all in few operations."""
    if not pairs:
        return []
    kernels, norms = [convolution.weight for convolution, _ in pairs], [norm for _, norm in pairs]
    means, variances = ([norm.get_buffer(f"running_{name}") for norm in norms] for name in ("mean", "var"))
    scales: list[Tensor] = [
        one.weight if one.affine else torch.ones_like(one.get_buffer("running_var")) for one in norms
    ]
    biases: list[Tensor] = [
        one.bias if one.affine else torch.zeros_like(one.get_buffer("running_var")) for one in norms
    ]
    spread = torch._foreach_sqrt(torch._foreach_add(variances, norms[0].eps))
    gains = torch._foreach_div(scales, list(spread))
    shifts = torch._foreach_addcmul(biases, gains, means, value=-1.0)
    weights = torch._foreach_mul(kernels, [gain.view(-1, 1, 1, 1) for gain in gains])
    return list(zip(weights, shifts, strict=True))
