"""The NAS-Bench-201 supernet of PyTorch's own modules, as the paper has it: edge by edge, operation by operation.

Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2. It computes what the one in ``nasbench201`` does, whose
layers are faster and harder to read; a test holds one to the other. Start here to try an idea in the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.layers.views import tensors
from nas_stability.benchmarks.spaces.space import Mixture, Supernet, SupernetShape

NODES = 4
EDGES = tuple((target, source) for target in range(1, NODES) for source in range(target))
"""(target, source) of each row of the mixture."""


class ReluConvNorm(nn.Module):
    """ReLU, convolution without bias, BatchNorm."""

    def __init__(
        self, in_width: int, width: int, kernel: int, momentum: float, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width, momentum=momentum, affine=affine)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H / stride, W / stride)."""
        found: Tensor = self.norm(self.conv(F.relu(features)))
        return found


class Nothing(nn.Module):
    """The operation `none`."""

    def forward(self, features: Tensor) -> Tensor:
        """Zeros of the same shape."""
        return torch.zeros_like(features)


def operations(width: int, momentum: float) -> nn.ModuleList:
    """Those of an edge, in the order of the choices: none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3."""
    return nn.ModuleList(
        [
            Nothing(),
            nn.Identity(),
            ReluConvNorm(width, width, 1, momentum, affine=False),
            ReluConvNorm(width, width, 3, momentum, affine=False),
            nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        ]
    )


def mixed(weights: Tensor, features: Sequence[Tensor]) -> Tensor:
    """The sum of the features (B, width, H, W), each times its weight."""
    return torch.stack([weight * one for weight, one in zip(weights, features, strict=True)]).sum(0)


class SupernetCell(nn.Module):
    """Four nodes; each is the sum of its edges from all nodes before it, each edge a weighted sum of operations."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.edges = nn.ModuleList(operations(width, momentum) for _ in EDGES)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (B, width, H, W) and weights (edges, operations) -> the last node, of the same shape."""
        nodes = [features]
        edges: Any = self.edges
        for target in range(1, NODES):
            arriving = [
                mixed(row, [make(nodes[source]) for make in edge])
                for (to, source), row, edge in zip(EDGES, weights, edges, strict=True)
                if to == target
            ]
            nodes.append(torch.stack(arriving).sum(0))
        return nodes[-1]


class Reduction(nn.Module):
    """The residual block between stages: half the resolution, twice the width; the mixture plays no part."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.conv_a = ReluConvNorm(width, 2 * width, 3, momentum, stride=2)
        self.conv_b = ReluConvNorm(2 * width, 2 * width, 3, momentum)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(width, 2 * width, 1, bias=False))

    def forward(self, features: Tensor, weights: object) -> Tensor:
        """Features (B, width, H, W) -> (B, 2 * width, H / 2, W / 2), sides rounded up."""
        found: Tensor = self.downsample(features) + self.conv_b(self.conv_a(features))
        return found


class Head(nn.Module):
    """BatchNorm, ReLU, global average, linear classifier."""

    def __init__(self, width: int, classes: int, momentum: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, momentum=momentum)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width, H, W) -> logits (B, classes)."""
        logits: Tensor = self.classifier(F.relu(self.norm(features)).mean((2, 3)))
        return logits


def supernet(shape: SupernetShape) -> Supernet:
    """Three stages of ``depth`` cells each; initialised from PyTorch's global generator, in an order of its own."""
    momentum = shape.batch_norm_momentum
    stem = nn.Sequential(
        nn.Conv2d(shape.in_channels, shape.width, 3, padding=1, bias=False),
        nn.BatchNorm2d(shape.width, momentum=momentum),
    )
    blocks: list[nn.Module] = []
    for stage in range(3):
        width = shape.width * 2**stage
        if stage > 0:
            blocks.append(Reduction(width // 2, momentum))
        blocks.extend(SupernetCell(width, momentum) for _ in range(shape.depth))

    def arrange(mixture: Mixture, images: int) -> list[Tensor | None]:
        (group,) = mixture
        cells = iter(group if group.ndim == 3 else [group] * (3 * shape.depth))
        return [next(cells) if isinstance(block, SupernetCell) else None for block in blocks]

    return Supernet(stem, blocks, Head(4 * shape.width, shape.classes, momentum), arrange, 3 * shape.depth)


def published(net: Supernet) -> dict[str, Tensor]:
    """Views of the supernet's weights and buffers under the published implementation's names."""
    stem: Any = net.stem
    views = tensors("stem.0", stem[0]) | tensors("stem.1", stem[1])
    blocks: Any = net.blocks
    named: dict[str, Any]
    for index, block in enumerate(blocks):
        if isinstance(block, SupernetCell):
            edges: Any = block.edges
            named = {
                f"edges.{target}<-{source}.{choice}": edge[choice]
                for (target, source), edge in zip(EDGES, edges, strict=True)
                for choice in (2, 3)
            }
        else:
            named = {"conv_a": block.conv_a, "conv_b": block.conv_b}
            views |= tensors(f"cells.{index}.downsample.1", block.downsample[1])
        for name, pair in named.items():
            views |= tensors(f"cells.{index}.{name}.op.1", pair.conv)
            views |= tensors(f"cells.{index}.{name}.op.2", pair.norm)
    return views | tensors("lastact.0", net.head.norm) | tensors("classifier", net.head.classifier)
