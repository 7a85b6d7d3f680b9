"""A supernet of DARTS's cells, of PyTorch's own modules, as somebody would write it who knows nothing of ours.

Source: Liu, Simonyan and Yang, DARTS (ICLR 2019), section 3.1 and appendix A: normal and reduction cells, four nodes,
each of which sums mixtures of eight operations over all nodes before it and the outputs of the two cells before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.space import Mixture, Supernet

NODES = 4
EDGES = sum(range(2, 2 + NODES))
SHAPES = ((EDGES, 8), (EDGES, 8))
"""(rows, choices) of the normal cells' group and of the reduction cells': 224 logits."""


def convolved(width: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    """ReLU, depthwise and pointwise convolution, BatchNorm."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(width, width, kernel, stride, padding, dilation, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width, affine=False),
    ]


class Nothing(nn.Module):
    """The operation none."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        return features[:, :, :: self.stride, :: self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    """Two strided convolutions, of the features and of those a pixel further, beside each other."""

    def __init__(self, in_width: int, width: int, affine: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_width, width // 2, 1, 2, bias=False)
        self.second = nn.Conv2d(in_width, width // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(width, affine=affine)

    def forward(self, features: Tensor) -> Tensor:
        features = torch.relu(features)
        found: Tensor = self.norm(torch.cat([self.first(features), self.second(features[:, :, 1:, 1:])], 1))
        return found


OPERATIONS: tuple[Callable[[int, int], nn.Module], ...] = (
    lambda width, stride: Nothing(stride),
    lambda width, stride: nn.Sequential(nn.MaxPool2d(3, stride, 1), nn.BatchNorm2d(width, affine=False)),
    lambda width, stride: nn.Sequential(
        nn.AvgPool2d(3, stride, 1, count_include_pad=False), nn.BatchNorm2d(width, affine=False)
    ),
    lambda width, stride: nn.Identity() if stride == 1 else FactorizedReduce(width, width, affine=False),
    lambda width, stride: nn.Sequential(*convolved(width, 3, stride, 1), *convolved(width, 3, 1, 1)),
    lambda width, stride: nn.Sequential(*convolved(width, 5, stride, 1), *convolved(width, 5, 1, 1)),
    lambda width, stride: nn.Sequential(*convolved(width, 3, stride, 2)),
    lambda width, stride: nn.Sequential(*convolved(width, 5, stride, 2)),
)
"""none, max and average pool, skip, separable convolutions of 3 and 5, dilated ones of 3 and 5."""


def preprocessed(in_width: int, width: int) -> nn.Module:
    """To the width of a cell."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(in_width, width, 1, bias=False), nn.BatchNorm2d(width, affine=False))


class Cell(nn.Module):
    """From the outputs of the two cells before to the nodes beside each other."""

    def __init__(self, widths: tuple[int, int], width: int, reduces: bool, after_reduction: bool) -> None:
        super().__init__()
        before, last = widths
        self.before = FactorizedReduce(before, width, False) if after_reduction else preprocessed(before, width)
        self.last = preprocessed(last, width)
        self.edges = nn.ModuleList(
            nn.ModuleList(make(width, 2 if reduces and source < 2 else 1) for make in OPERATIONS)
            for node in range(NODES)
            for source in range(2 + node)
        )

    def forward(self, pair: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
        before, last = pair if isinstance(pair, tuple) else (pair, pair)
        states = [self.before(before), self.last(last)]
        edges = iter(zip(self.edges, weights, strict=True))
        for _ in range(NODES):
            mixed = []
            for state in states:
                operations, row = next(edges)
                mixed.append(sum(weight * make(state) for make, weight in zip(operations, row, strict=True)))
            states.append(sum(mixed))
        return last, torch.cat(states[2:], 1)


class Head(nn.Module):
    """Global average and linear classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        found: Tensor = self.classifier(self.pool(pair[1]).flatten(1))
        return found


def supernet(width: int, cells: int, classes: int = 10) -> Supernet:
    """The resolution is halved and the width doubled by cells cells // 3 and 2 * cells // 3."""
    halving = {cells // 3, 2 * cells // 3} if cells > 1 else set()
    stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
    widths = (3 * width, 3 * width)
    blocks: list[nn.Module] = []
    for index in range(cells):
        width *= 1 + (index in halving)
        blocks.append(Cell(widths, width, index in halving, index - 1 in halving))
        widths = (widths[1], NODES * width)

    def arrange(mixture: Mixture, images: int) -> list[Tensor]:
        groups = [mixture[int(index in halving)] for index in range(cells)]
        return [group[index] if group.ndim == 3 else group for index, group in enumerate(groups)]

    return Supernet(stem, blocks, Head(widths[1], classes), arrange)
