"""One of several operations alone: what is not chosen is not computed, and its BatchNorm does not see the pass.

On a CPU the choice is looked at, elsewhere it stays on the device: the chosen convolution's kernel is put together from
all of them, so that one convolution is launched and the host waits for nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.layers.batch_norm import ConvNorm


def optional(pairs: Sequence[ConvNorm]) -> None:
    """Marks convolutions that a pass may leave out: each counts its own passes."""
    for pair in pairs:
        pair.optional = True
        pair.norm.counted_together = False


def optional_pairs(net: nn.Module) -> Iterator[ConvNorm]:
    """The convolutions that a pass may leave out."""
    return (module for module in net.modules() if isinstance(module, ConvNorm) and module.optional)


def looks(values: Tensor) -> bool:
    """Whether values may be looked at: on a CPU, where the host waits for nothing."""
    return values.device.type == "cpu"


def looked_at(choices: Tensor) -> list[int] | Tensor:
    """Chosen operations (n,) as numbers of the host where they may be looked at; else as they are, on the device."""
    return choices.tolist() if looks(choices) else choices


def counted(pair: ConvNorm, features: Tensor, scale: Tensor | None = None) -> Tensor:
    """A convolution and its BatchNorm; a pass in training mode counts."""
    if pair.training:
        pair.norm.get_buffer("num_batches_tracked").add_(1)
    found: Tensor = pair(features, scale)
    return found


def selected(pairs: Sequence[ConvNorm], features: Tensor, mask: Tensor) -> Tensor:
    """The convolution of which the mask is 1, and its BatchNorm; zeros where it is 0 for all.

    Args:
        pairs: of odd kernels, stride 1, one width, and all or none with an affine part.
        features: (B, C, H, W).
        mask: (pairs,), 1 for at most one of them.
    """
    side = max(pair.conv.kernel_size[0] for pair in pairs)

    def masked(values: Iterable[Tensor]) -> Tensor:
        return torch.stack([value * one for value, one in zip(values, mask, strict=True)]).sum(0)

    kernels = (F.pad(pair.conv.weight, [(side - pair.conv.kernel_size[0]) // 2] * 4) for pair in pairs)
    convolved = F.conv2d(features, masked(kernels), padding=side // 2)
    norms = [pair.norm for pair in pairs]
    affine = norms[0].affine
    gain, shift = (masked(getattr(norm, name) for norm in norms) if affine else None for name in ("weight", "bias"))
    if not norms[0].training:
        mean, variance = (masked(norm.get_buffer(f"running_{name}") for norm in norms) for name in ("mean", "var"))
        variance = variance + (1 - mask.sum())
        return F.batch_norm(convolved, mean, variance, gain, shift, False, 0.0, norms[0].eps)
    with torch.no_grad():
        variance, mean = torch.var_mean(convolved.detach(), (0, 2, 3), correction=1)
        for norm, one in zip(norms, mask, strict=True):
            share = (norm.momentum or 0.0) * one
            norm.get_buffer("running_mean").add_(share * (mean - norm.get_buffer("running_mean")))
            norm.get_buffer("running_var").add_(share * (variance - norm.get_buffer("running_var")))
            norm.get_buffer("num_batches_tracked").add_(one.long())
    return F.batch_norm(convolved, None, None, gain, shift, True, 0.0, norms[0].eps)


class PathWeights(NamedTuple):
    """The mixture of the edges out of one node, for a supernet of single paths.

    Attributes:
        rows: of each edge in order of its target, (edges, 5).
        chosen: the only operation of each edge that is computed; None: all are.
    """

    rows: Tensor
    chosen: Sequence[int] | Tensor | None


class PathEdge(nn.Module):
    """One edge of a fan, its operations computed one at a time where it is told which.

    Source: GDAS (Dong and Yang, CVPR 2019), section 3.2.
    """

    def __init__(self, fan: Any, edge: int) -> None:
        super().__init__()
        width, momentum = fan.conv1.conv.in_channels, fan.conv1.norm.momentum or 0.0
        with torch.random.fork_rng(devices=[]):  # the weights are those of the fan
            self.conv1 = ConvNorm(width, width, 1, momentum, affine=False)
            self.conv3 = ConvNorm(width, width, 3, momentum, affine=False)
        with torch.no_grad():
            for ours, theirs in ((self.conv1, fan.conv1), (self.conv3, fan.conv3)):
                ours.conv.weight.copy_(theirs.conv.weight.chunk(fan.edges)[edge])
        optional((self.conv1, self.conv3))

    def forward(self, node: Tensor, row: Tensor, chosen: int | Tensor | None) -> Tensor:
        """Node (B, width, H, W), its weights (5,) and the operation to compute -> (B, width, H, W)."""
        pairs = (self.conv1, self.conv3)
        none, skip, *convs, pool = row.unbind(0)
        if isinstance(chosen, int):
            if chosen in (2, 3):
                return counted(pairs[chosen - 2], F.relu(node), scale(convs[chosen - 2], node))
            if chosen == 0:
                return none * torch.zeros_like(node)
            return skip * node if chosen == 1 else pool * pooled(node)
        if chosen is None:
            mixed = [counted(pair, F.relu(node), scale(one, node)) for pair, one in zip(pairs, convs, strict=True)]
            return functools.reduce(torch.add, mixed) + skip * node + pool * pooled(node)
        mask = F.one_hot(chosen, len(row)).to(row.dtype)
        found = selected(pairs, F.relu(node), mask[2:4])
        weight = (row * mask).sum()
        return weight * (mask[1] * node + mask[4] * pooled(node) + mask[2:4].sum() * found)


def scale(weight: Tensor, node: Tensor) -> Tensor:
    """An edge's weight of an operation as the scale of its BatchNorm, (width,), in memory of its own."""
    return weight.reshape(1).repeat_interleave(node.shape[1])


def pooled(node: Tensor) -> Tensor:
    """The average pool of an edge: 3x3, stride 1, over the pixels that are there."""
    return F.avg_pool2d(node, 3, stride=1, padding=1, count_include_pad=False)


class PathFan(nn.Module):
    """All edges out of one node, each with an operation of its own."""

    def __init__(self, fan: Any) -> None:
        super().__init__()
        self.edges = nn.ModuleList(PathEdge(fan, edge) for edge in range(fan.edges))

    def forward(self, node: Tensor, weights: PathWeights) -> tuple[Tensor, ...]:
        """Node (B, width, H, W) and its edges' weights -> one (B, width, H, W) per edge."""
        chosen = [None] * len(self.edges) if weights.chosen is None else weights.chosen
        given = zip(self.edges, weights.rows, chosen, strict=True)
        return tuple(edge(node, row, operation) for edge, row, operation in given)
