"""NAS-Bench-201 from top to bottom: operations, cell, supernet, discretize.

Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2; the supernet as searched by SmoothDARTS (Chen, Hsieh, ICML
2020). A cell has four nodes; every edge j <- i (i < j) mixes five operations. Three stages of search cells, a residual
block of stride 2 and twice the width between stages.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces import plain_nasbench201
from nas_stability.benchmarks.spaces.facts import FACTS, OPERATIONS_201
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm, ConvNorm
from nas_stability.benchmarks.spaces.layers.channels_last import blend
from nas_stability.benchmarks.spaces.layers.partial_channels import parted, shuffled
from nas_stability.benchmarks.spaces.layers.single_path import PathFan, PathWeights, looked_at, pooled
from nas_stability.benchmarks.spaces.layers.views import paired, tensors
from nas_stability.benchmarks.spaces.networks import nasbench201_network
from nas_stability.benchmarks.spaces.space import (
    Arch,
    Cell,
    Mixture,
    PlainSupernet,
    Space,
    Supernet,
    SupernetShape,
    leading,
)

OPERATIONS = tuple(OPERATIONS_201)
"""none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3."""

NODES = 4
EDGES = tuple((target, source) for target in range(1, NODES) for source in range(target))
"""(target, source) of each row of the mixture: 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""

OUTGOING = tuple(sorted(EDGES, key=lambda edge: edge[::-1]))
"""The same edges by source: the three out of node 0, the two out of node 1, the one out of node 2."""

FAN_EDGES = (3, 2, 1)
"""Edges out of nodes 0, 1 and 2."""


class FanWeights(NamedTuple):
    """The mixture of the edges out of one node.

    Attributes:
        direct: of the node itself and of its average pool, for each image, (B, edges, 2).
        conv1: of the 1x1 convolution per channel, (edges * width,).
        conv3: of the 3x3 convolution, likewise.
    """

    direct: Tensor
    conv1: Tensor
    conv3: Tensor


def arrange(width: int, depth: int, mixture: Mixture, images: int) -> list[tuple[FanWeights, ...]]:
    """The weights of each block: by source node for a cell, nothing for a reduction; `none` contributes nothing.

    In what follows the mixture has (6, 5) entries for all cells together, or (cells, 6, 5).
    """
    rows = mixture[0].unbind(-2)
    _, skip, conv1, conv3, pool = torch.stack([rows[EDGES.index(edge)] for edge in OUTGOING], -1).unbind(-2)
    direct = torch.stack([skip, pool], -1).unsqueeze(-3).expand(3 * depth, images, -1, -1).unbind(0)
    blocks: list[tuple[FanWeights, ...]] = []
    for stage in range(3):
        start = stage * depth
        channels = [edges * width * 2**stage for edges in FAN_EDGES]
        of_stage = [weights if weights.ndim == 1 else weights[start : start + depth] for weights in (conv1, conv3)]
        cells = [weights.repeat_interleave(width * 2**stage, -1).expand(depth, -1).unbind(0) for weights in of_stage]
        for of_cell, one, three in zip(direct[start:], *cells, strict=False):
            fans = zip(of_cell.split(FAN_EDGES, 1), one.split(channels), three.split(channels), strict=True)
            blocks.append(tuple(FanWeights(*fan) for fan in fans))
        blocks.append(())
    return blocks[:-1]


class Fan(nn.Module):
    """All edges out of one node: they read the same input, so each kind of operation is one call for all of them.

    The two BatchNorms have no affine part and nothing but a sum behind them, so the mixture enters as their scale,
    which is exact and saves a multiplication per operation.

    Args:
        width: channels of the node.
        edges: number of edges out of it.
        momentum: of the BatchNorms.
    """

    def __init__(self, width: int, edges: int, momentum: float) -> None:
        super().__init__()
        self.edges = edges
        self.conv1 = ConvNorm(width, edges * width, 1, momentum, affine=False)
        self.conv3 = ConvNorm(width, edges * width, 3, momentum, affine=False)

    def forward(self, node: Tensor, weights: FanWeights) -> tuple[Tensor, ...]:
        """Node (B, width, H, W) and its edges' weights -> one (B, width, H, W) per edge."""
        active = F.relu(node)
        convolved = self.conv1(active, weights.conv1) + self.conv3(active, weights.conv3)
        direct = blend(weights.direct, [node, pooled(node)])
        return tuple(map(torch.add, convolved.split(node.shape[1], 1), direct))


def arrange_paths(depth: int, mixture: Mixture, images: int) -> list[tuple[PathWeights, ...]]:
    """``arrange`` of a supernet of single paths: of a mixture for each cell the largest operations alone."""
    order = [EDGES.index(edge) for edge in OUTGOING]
    apart = mixture[0].ndim == 3
    rows = torch.stack([mixture[0].expand(3 * depth, -1, -1)[:, edge] for edge in order], 1)
    cells = []
    for of_cell in rows.unbind(0):
        chosen = looked_at(of_cell.detach().argmax(-1)) if apart else None
        fans = [slice(sum(FAN_EDGES[:fan]), sum(FAN_EDGES[: fan + 1])) for fan in range(len(FAN_EDGES))]
        cells.append(tuple(PathWeights(of_cell[fan], None if chosen is None else chosen[fan]) for fan in fans))
    return [*cells[:depth], (), *cells[depth : 2 * depth], (), *cells[2 * depth :]]


class SearchCell(nn.Module):
    """A cell of four nodes; node j is the sum of its edges; the output is node 3.

    Args:
        width: channels.
        momentum: of the BatchNorms.
        partial: one in so many channels of each node is mixed; the others pass by every edge, and the sum at a node is
            shuffled (partial_channels.py), on every edge as DrNAS has it in NAS-Bench-201.
        single_path: whether each edge computes its largest operation alone.
    """

    def __init__(self, width: int, momentum: float, partial: int, single_path: bool) -> None:
        super().__init__()
        self.partial = partial
        fans = [Fan(width // partial, edges, momentum) for edges in FAN_EDGES]
        self.fans = nn.ModuleList(PathFan(fan) if single_path else fan for fan in fans)

    def forward(self, features: Tensor, weights: tuple[FanWeights, ...] | tuple[PathWeights, ...]) -> Tensor:
        """Features (B, width, H, W) and the weights of its fans -> features of the same shape."""
        arriving: list[list[Tensor]] = [[features], [], [], []]
        passing: list[Tensor] = []
        for source, (fan, of_fan) in enumerate(zip(self.fans, weights, strict=True)):
            node = self.joined(arriving[source], passing)
            if self.partial > 1:
                node, others = parted(node, self.partial)
                passing.append(others)
            for target, edge in enumerate(fan(node, of_fan), start=source + 1):
                arriving[target].append(edge)
        return self.joined(arriving[NODES - 1], passing)

    def joined(self, arriving: list[Tensor], passing: list[Tensor]) -> Tensor:
        """A node: the sum of what arrives, shuffled with that of the channels that passed by all nodes before it."""
        node = functools.reduce(torch.add, arriving)
        return shuffled(node, functools.reduce(torch.add, passing)) if passing else node


class Reduction(nn.Module):
    """The residual block between stages: halves the resolution, doubles the width; the mixture plays no part.

    Of an odd side both paths keep the last row: the convolution by its padding, the average pool by a ragged window,
    whose mean is over the pixels that are there. The published pool drops it, and the sum fails.
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.conv_a = ConvNorm(width, 2 * width, 3, momentum, stride=2)
        self.conv_b = ConvNorm(2 * width, 2 * width, 3, momentum)
        self.downsample = nn.Conv2d(width, 2 * width, 1, bias=False)

    def forward(self, features: Tensor, weights: object) -> Tensor:
        """Features (B, width, H, W) -> (B, 2 * width, H / 2, W / 2), sides rounded up."""
        inner: Tensor = self.conv_b(F.relu(self.conv_a(F.relu(features))))
        shortcut: Tensor = self.downsample(F.avg_pool2d(features, 2, ceil_mode=True))
        return shortcut + inner


class Head(nn.Module):
    """BatchNorm, ReLU, global average, linear classifier."""

    def __init__(self, width: int, classes: int, momentum: float) -> None:
        super().__init__()
        self.norm = BatchNorm(width, momentum=momentum)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width, H, W) -> logits (B, classes)."""
        logits: Tensor = self.classifier(F.relu(self.norm(features)).mean((2, 3)))
        return logits


def supernet(shape: SupernetShape) -> Supernet:
    """The NAS-Bench-201 supernet; ``depth`` is the number of cells per stage (N; 5 in the paper)."""
    momentum = shape.batch_norm_momentum
    stem = ConvNorm(shape.in_channels, shape.width, 3, momentum)
    blocks: list[nn.Module] = []
    for stage in range(3):
        width = shape.width * 2**stage
        if stage > 0:
            blocks.append(Reduction(width // 2, momentum))
        blocks.extend(SearchCell(width, momentum, shape.partial, shape.single_path) for _ in range(shape.depth))
    head = Head(4 * shape.width, shape.classes, momentum)
    arranged: Callable[[Mixture, int], Sequence[Any]] = (
        functools.partial(arrange_paths, shape.depth)
        if shape.single_path
        else functools.partial(arrange, shape.width // shape.partial, shape.depth)
    )
    return Supernet(stem, blocks, head, arranged, 3 * shape.depth)


def deepest_side(side: int, depth: int) -> int:
    """Side of the features before the head, in pixels: two reductions, each rounding up."""
    return -(-side // 4)


def arch_of(choices: tuple[int, ...]) -> Arch:
    """Operation index per edge, in the order of EDGES -> |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""
    names = {edge: OPERATIONS[choice] for edge, choice in zip(EDGES, choices, strict=True)}
    return "+".join(
        "|" + "|".join(f"{names[target, source]}~{source}" for source in range(target)) + "|"
        for target in range(1, NODES)
    )


def discretize(mixture: Mixture) -> Arch:
    """The operation of largest weight on each edge; `none` may win (facts of the method: discretise)."""
    return arch_of(tuple(leading(row, 1)[0] for row in mixture[0].tolist()))


@functools.cache
def cells() -> Mapping[Arch, tuple[Cell, int]]:
    """All 15,625 architectures, each with its cell (operations on vertices: one vertex per edge is not needed here,
    so the matrix holds the nodes and ``operations`` the edges in the order of EDGES)."""
    matrix = tuple(tuple(int(source < target) for target in range(NODES)) for source in range(NODES))
    found = {
        arch_of(choices): (Cell(matrix, tuple(OPERATIONS[choice] for choice in choices)), 1)
        for choices in itertools.product(range(len(OPERATIONS)), repeat=len(EDGES))
    }
    return dict(sorted(found.items()))


def neighbours(mixture: Mixture) -> tuple[Arch, ...]:
    """The 24 architectures that differ from the decided one in the operation of one edge, sorted."""
    return changed(tuple(leading(row, 1)[0] for row in mixture[0].tolist()))


@functools.lru_cache(maxsize=1 << 12)
def changed(choices: tuple[int, ...]) -> tuple[Arch, ...]:
    """The architectures that differ from the chosen operations in one of them, sorted."""
    others = (
        (*choices[:edge], other, *choices[edge + 1 :])
        for edge, chosen in enumerate(choices)
        for other in range(len(OPERATIONS))
        if other != chosen
    )
    return tuple(sorted(map(arch_of, others)))


def configuration(cell: Cell) -> Mixture:
    """The one-hot mixture of a cell of ``cells``."""
    chosen = torch.tensor([OPERATIONS.index(operation) for operation in cell.operations])
    return (F.one_hot(chosen, len(OPERATIONS)).double(),)


def published(net: Supernet) -> dict[str, Tensor]:
    """Views of the supernet's weights and buffers under the published implementation's names."""
    views = paired("stem.0", "stem.1", net.stem)
    depth = (len(net.blocks) - 2) // 3
    reductions = (depth, 2 * depth + 1)
    block: Any
    for index, block in enumerate(net.blocks):
        prefix = f"cells.{index}"
        if index in reductions:
            for name, pair in (("conv_a", block.conv_a), ("conv_b", block.conv_b)):
                views |= paired(f"{prefix}.{name}.op.1", f"{prefix}.{name}.op.2", pair)
            views |= tensors(f"{prefix}.downsample.1", block.downsample)
            continue
        for source, fan in enumerate(block.fans):
            for row, target in enumerate(range(source + 1, NODES)):
                single = isinstance(fan, PathFan)
                owner, part = (fan.edges[row], (0, 1)) if single else (fan, (row, fan.edges))
                for op, pair in ((2, owner.conv1), (3, owner.conv3)):
                    name = f"{prefix}.edges.{target}<-{source}.{op}.op"
                    views |= paired(f"{name}.1", f"{name}.2", pair, *part)
    return views | tensors("lastact.0", net.head.norm) | tensors("classifier", net.head.classifier)


SPACE = Space(
    name="nasbench201",
    facts=FACTS["nasbench201"],
    shapes=((len(EDGES), len(OPERATIONS)),),
    supernet=supernet,
    variants=("partial", "single-path"),
    network=nasbench201_network.network,
    deepest_side=deepest_side,
    discretize=discretize,
    describe=lambda mixture: "",
    cells=cells,
    neighbours=neighbours,
    configuration=configuration,
    published=published,
    plain=PlainSupernet(plain_nasbench201.supernet, plain_nasbench201.published),
)
