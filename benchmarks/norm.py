"""BatchNorm, and convolutions with one behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's, but it does not count its passes: the supernet counts those of all its BatchNorms in one operation."""

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, C, H, W) -> the same shape; ``scale`` (C,) stands in for the weight of one without affine part.

        The mixture enters here where nothing but a sum stands behind: exact, and a multiplication saved.
        """
        return F.batch_norm(
            features,
            self.running_mean,
            self.running_var,
            self.weight if scale is None else scale,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


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
        self.folded: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H / stride, W / stride); ``scale`` as BatchNorm's."""
        convolved, norm = self.parts(features)
        return norm(convolved, scale) if norm else convolved

    def parts(self, features: Tensor) -> tuple[Tensor, BatchNorm | None]:
        """The convolved features, and the BatchNorm that they still have before them: None while the net is folded."""
        if self.folded:
            weight, bias = self.folded
            return F.conv2d(features, weight, bias, self.conv.stride, self.conv.padding), None
        return self.conv(features), self.norm


@contextlib.contextmanager
def folded(net: nn.Module) -> Iterator[None]:
    """Running statistics and affine part of each BatchNorm in the convolution before it, for a net in evaluation mode.

    Exact but for rounding; for an attack, which passes the same weights through many mixtures. BatchNorms without
    affine part stay: the mixture is their scale.
    """
    pairs = [module for module in net.modules() if isinstance(module, ConvNorm) and module.norm.affine]
    norms = [pair.norm for pair in pairs]
    means, variances = ([norm.get_buffer(f"running_{name}") for norm in norms] for name in ("mean", "var"))
    with torch.no_grad():
        spread = torch._foreach_add(variances, norms[0].eps)
        gains = torch._foreach_div([norm.weight for norm in norms], torch._foreach_sqrt(spread))
        shifts = torch._foreach_addcmul([norm.bias for norm in norms], gains, means, value=-1.0)
        weights = torch._foreach_mul([pair.conv.weight for pair in pairs], [gain.view(-1, 1, 1, 1) for gain in gains])
    for pair, weight, shift in zip(pairs, weights, shifts, strict=True):
        pair.folded = (weight, shift)
    try:
        yield
    finally:
        for pair in pairs:
            pair.folded = None
