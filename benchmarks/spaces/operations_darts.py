"""The operations of the spaces of DARTS cells, of PyTorch's own modules.

Source: DARTS (Liu et al., ICLR 2019), section 3.1.1; noise: RobustDARTS (Zela et al., ICLR 2020), section 3. In the
published search no BatchNorm has weights, and pools have one behind them; in a network that is trained from scratch
every BatchNorm has weights, and pools have none.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.layers.batch_norm import ConvolutionAndNorm, Folded
from nas_stability.benchmarks.spaces.layers.dilated import DilatedDepthwise
from nas_stability.benchmarks.spaces.layers.noise import DrawnValues

Norm = Callable[[int], nn.Module]
"""Channels -> the BatchNorm behind a convolution."""


def without_weights(momentum: float) -> Norm:
    """The BatchNorms of a search's cells."""
    return functools.partial(nn.BatchNorm2d, momentum=momentum, affine=False)


class ReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, BatchNorm."""

    def __init__(self, in_width: int, width: int, norm: Norm) -> None:
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(in_width, width, 1, bias=False), norm(width))
        self.folded: Folded = ()

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H, W)."""
        return self.behind_relu(F.relu(features))

    def behind_relu(self, opened: Tensor) -> Tensor:
        """``forward`` of features that went through the ReLU."""
        for weight, bias in self.folded:
            return F.conv2d(opened, weight, bias)
        _, convolution, norm = self.op
        found: Tensor = norm(convolution(opened))
        return found

    def pairs(self) -> list[ConvolutionAndNorm]:
        """The convolution with its BatchNorm."""
        return pairs_of(self.op)


def pairs_of(op: nn.Sequential) -> list[ConvolutionAndNorm]:
    """Every BatchNorm with the convolution before it, in order."""
    return [
        (convolution, norm)
        for convolution, norm in itertools.pairwise(op)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]


class FactorizedReduce(nn.Module):
    """Half the resolution by two 1x1 convolutions, the second of which sees the pixels that the first leaves out."""

    def __init__(self, in_width: int, width: int, norm: Norm) -> None:
        super().__init__()
        if width % 2:
            raise BadInput(f"the field 'width' must be even in a space of DARTS cells, which halve it: not {width}")
        self.conv_1 = nn.Conv2d(in_width, width // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(in_width, width // 2, 1, stride=2, bias=False)
        self.bn = norm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W), sides even -> (B, width, H / 2, W / 2)."""
        return self.behind_relu(F.relu(features))

    def behind_relu(self, opened: Tensor) -> Tensor:
        """``forward`` of features that went through the ReLU."""
        halves = [self.conv_1(opened), self.conv_2(opened[:, :, 1:, 1:])]
        found: Tensor = self.bn(torch.cat(halves, 1))
        return found


class Convolutions(nn.Module):
    """Rounds of ReLU, depthwise convolution, 1x1 convolution, BatchNorm; the first alone has the stride."""

    def __init__(self, depthwise: list[nn.Module], width: int, norm: Norm) -> None:
        super().__init__()
        self.op = nn.Sequential(
            *(
                part
                for convolution in depthwise
                for part in (nn.ReLU(), convolution, nn.Conv2d(width, width, 1, bias=False), norm(width))
            )
        )
        self.folded: Folded = ()

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width, H, W) -> (B, width, H / stride, W / stride)."""
        return self.behind_relu(F.relu(features))

    def behind_relu(self, opened: Tensor) -> Tensor:
        """``forward`` of features that went through the first ReLU."""
        parts, found = list(self.op), opened
        for place in range(len(parts) // 4):
            _, depthwise, pointwise, norm = parts[4 * place : 4 * place + 4]
            inner = depthwise(F.relu(found, inplace=True) if place else found)
            found = F.conv2d(inner, *self.folded[place]) if self.folded else norm(pointwise(inner))
        return found

    def pairs(self) -> list[ConvolutionAndNorm]:
        """Of each round the 1x1 convolution with its BatchNorm."""
        return pairs_of(self.op)


class PooledNorm(nn.Sequential):
    """A pool, the same on every edge out of a state, and a BatchNorm behind it, whose statistics are the edge's."""

    @property
    def pool(self) -> nn.Module:
        """The pool alone."""
        return self[0]

    @property
    def pool_name(self) -> str:
        """What the pool computes: its kind, sides and stride."""
        return repr(self[0])

    def behind_pool(self, pooled: Tensor) -> Tensor:
        """``forward`` of features that went through the pool."""
        found: Tensor = self[1](pooled)
        return found


class Nothing(nn.Module):
    """The operation ``none``: zeros."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> zeros (B, C, H / stride, W / stride)."""
        return torch.zeros_like(features[:, :, :: self.stride, :: self.stride])


class Noise(nn.Module):
    """The operation ``noise`` of S4: standard normal values, others in every pass of a search; nothing flows back."""

    def __init__(self, stride: int, drawn: DrawnValues) -> None:
        super().__init__()
        self.stride, self.drawn = stride, drawn

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> values (B, C, H / stride, W / stride)."""
        return self.drawn.like(features, self.stride)


def skip(width: int, stride: int, norm: Norm, drawn: DrawnValues) -> nn.Module:
    """The identity; where the resolution is halved a FactorizedReduce, which has weights."""
    return nn.Identity() if stride == 1 else FactorizedReduce(width, width, norm)


MakeOperation = Callable[[int, int, Norm, DrawnValues], nn.Module]
"""(width, stride, BatchNorms, where draws come from) -> operation."""


def separable(kernel: int) -> MakeOperation:
    """What makes a separable convolution: two rounds."""

    def depthwise(width: int, stride: int) -> nn.Module:
        return nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)

    return lambda width, stride, norm, drawn: Convolutions([depthwise(width, stride), depthwise(width, 1)], width, norm)


def dilated(kernel: int) -> MakeOperation:
    """What makes a dilated convolution: one round."""
    return lambda width, stride, norm, drawn: Convolutions([DilatedDepthwise(width, kernel, stride)], width, norm)


def max_pool(width: int, stride: int, norm: Norm, drawn: DrawnValues) -> nn.Module:
    """The largest of 3x3."""
    return nn.MaxPool2d(3, stride, 1)


def average_pool(width: int, stride: int, norm: Norm, drawn: DrawnValues) -> nn.Module:
    """The mean of 3x3, of the pixels that there are."""
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def followed_by_norm(pool: MakeOperation) -> MakeOperation:
    """What makes a pool and a BatchNorm behind it."""
    return lambda width, stride, norm, drawn: PooledNorm(pool(width, stride, norm, drawn), norm(width))


OPERATIONS: Mapping[str, MakeOperation] = {
    "none": lambda width, stride, norm, drawn: Nothing(stride),
    "noise": lambda width, stride, norm, drawn: Noise(stride, drawn),
    "skip_connect": skip,
    "max_pool_3x3": followed_by_norm(max_pool),
    "avg_pool_3x3": followed_by_norm(average_pool),
    "sep_conv_3x3": separable(3),
    "sep_conv_5x5": separable(5),
    "dil_conv_3x3": dilated(3),
    "dil_conv_5x5": dilated(5),
}
"""Every operation of the spaces, as it is searched."""

TRAINED_OPERATIONS: Mapping[str, MakeOperation] = {
    **{name: make for name, make in OPERATIONS.items() if name != "none"},
    "max_pool_3x3": max_pool,
    "avg_pool_3x3": average_pool,
}
"""Every operation that an edge can be decided for, as it is trained from scratch."""
