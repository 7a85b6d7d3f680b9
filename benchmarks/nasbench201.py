"""NAS-Bench-201 from top to bottom: operations, cell, supernet, discretize.

Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2; the supernet as searched by SmoothDARTS (Chen, Hsieh, ICML
2020). A cell has four nodes; every edge j <- i (i < j) mixes five operations. Three stages of search cells, a residual
block of stride 2 and twice the width between stages.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.space import Arch, Cell, Mixture, Space, Supernet, SupernetShape, leading, tensors

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
EDGES = tuple((target, source) for target in range(1, NODES) for source in range(target))
"""(target, source) of each row of the mixture: 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""

OUTGOING = tuple(sorted(EDGES, key=lambda edge: edge[::-1]))
"""The same edges by source: the three out of node 0, the two out of node 1, the one out of node 2."""


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
        self.conv1 = nn.Conv2d(width, edges * width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(edges * width, momentum=momentum, affine=False)
        self.conv3 = nn.Conv2d(width, edges * width, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(edges * width, momentum=momentum, affine=False)

    def forward(self, node: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Node (B, width, H, W) and the rows of the mixture (edges, 5) -> one (B, width, H, W) per edge."""
        batch, width, height, breadth = node.shape
        _, skip, one, three, pool = weights.unbind(1)  # `none` contributes nothing
        active = F.relu(node)
        convolved = scaled_norm(self.norm1, self.conv1(active), one) + scaled_norm(
            self.norm3, self.conv3(active), three
        )
        pooled = F.avg_pool2d(node, 3, stride=1, padding=1, count_include_pad=False)
        mixed = convolved.view(batch, self.edges, width, height, breadth)
        mixed = torch.addcmul(mixed, skip.view(1, -1, 1, 1, 1), node.unsqueeze(1))
        mixed = torch.addcmul(mixed, pool.view(1, -1, 1, 1, 1), pooled.unsqueeze(1))
        return mixed.unbind(1)


def scaled_norm(norm: nn.BatchNorm2d, features: Tensor, scale: Tensor) -> Tensor:
    """BatchNorm of (B, edges * width, H, W), the channels of each edge scaled by its entry of ``scale`` (edges,)."""
    channels = scale.unsqueeze(1).expand(-1, features.shape[1] // len(scale)).reshape(-1)
    if norm.training:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
    return F.batch_norm(
        features,
        norm.running_mean,
        norm.running_var,
        weight=channels,
        training=norm.training,
        momentum=norm.momentum or 0.0,
        eps=norm.eps,
    )


class SearchCell(nn.Module):
    """A cell of four nodes; node j is the sum of its edges; the output is node 3."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.fans = nn.ModuleList(Fan(width, NODES - 1 - source, momentum) for source in range(NODES - 1))

    def forward(self, features: Tensor, mixture: Mixture) -> Tensor:
        """Features (B, width, H, W) and the mixture ((6, 5),) -> features of the same shape."""
        rows = mixture[0].unbind(0)
        by_source = torch.stack([rows[EDGES.index(edge)] for edge in OUTGOING]).split([3, 2, 1])
        arriving: list[list[Tensor]] = [[] for _ in range(NODES)]
        arriving[0].append(features)
        for source, (fan, weights) in enumerate(zip(self.fans, by_source, strict=True)):
            node = functools.reduce(torch.add, arriving[source])
            for target, edge in enumerate(fan(node, weights), start=source + 1):
                arriving[target].append(edge)
        output: Tensor = functools.reduce(torch.add, arriving[NODES - 1])
        return output


class Reduction(nn.Module):
    """The residual block between stages: halves the resolution, doubles the width; the mixture plays no part."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(2 * width, momentum=momentum)
        self.conv_b = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.norm_b = nn.BatchNorm2d(2 * width, momentum=momentum)
        self.downsample = nn.Conv2d(width, 2 * width, 1, bias=False)

    def forward(self, features: Tensor, mixture: Mixture) -> Tensor:
        """Features (B, width, H, W) -> (B, 2 * width, H / 2, W / 2)."""
        inner: Tensor = self.norm_a(self.conv_a(F.relu(features)))
        inner = self.norm_b(self.conv_b(F.relu(inner)))
        shortcut: Tensor = self.downsample(F.avg_pool2d(features, 2))
        return shortcut + inner


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
    """The NAS-Bench-201 supernet; ``depth`` is the number of cells per stage (N; 5 in the paper)."""
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
        blocks.extend(SearchCell(width, momentum) for _ in range(shape.depth))
    return Supernet(stem, blocks, Head(4 * shape.width, shape.classes, momentum))


def text(choices: tuple[int, ...]) -> Arch:
    """Operation index per edge, in the order of EDGES -> |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""
    names = {edge: OPERATIONS[choice] for edge, choice in zip(EDGES, choices, strict=True)}
    return "+".join(
        "|" + "|".join(f"{names[target, source]}~{source}" for source in range(target)) + "|"
        for target in range(1, NODES)
    )


def discretize(mixture: Mixture) -> Arch:
    """The operation of largest weight on each edge; `none` may win (facts of the method: discretise)."""
    return text(tuple(leading(row, 1)[0] for row in mixture[0].tolist()))


@functools.cache
def cells() -> Mapping[Arch, tuple[Cell, int]]:
    """All 15,625 architectures, each with its cell (operations on vertices: one vertex per edge is not needed here,
    so the matrix holds the nodes and ``operations`` the edges in the order of EDGES)."""
    matrix = tuple(tuple(int(source < target) for target in range(NODES)) for source in range(NODES))
    found = {
        text(choices): (Cell(matrix, tuple(OPERATIONS[choice] for choice in choices)), 1)
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
    return tuple(sorted(map(text, others)))


def configuration(cell: Cell) -> Mixture:
    """The one-hot mixture of a cell of ``cells``."""
    chosen = torch.tensor([OPERATIONS.index(operation) for operation in cell.operations])
    return (F.one_hot(chosen, len(OPERATIONS)).double(),)


def published(net: Supernet) -> dict[str, Tensor]:
    """Views of the supernet's weights and buffers under the published implementation's names."""
    views = tensors("stem.0", net.stem[0]) | tensors("stem.1", net.stem[1])  # type: ignore[index]
    depth = (len(net.blocks) - 2) // 3
    reductions = (depth, 2 * depth + 1)
    for index, block in enumerate(net.blocks):
        prefix = f"cells.{index}"
        if index in reductions:
            views |= tensors(f"{prefix}.conv_a.op.1", block.conv_a) | tensors(f"{prefix}.conv_a.op.2", block.norm_a)
            views |= tensors(f"{prefix}.conv_b.op.1", block.conv_b) | tensors(f"{prefix}.conv_b.op.2", block.norm_b)
            views |= tensors(f"{prefix}.downsample.1", block.downsample)
            continue
        for source, fan in enumerate(block.fans):  # type: ignore[arg-type]
            for row, target in enumerate(range(source + 1, NODES)):
                for op, conv, norm in ((2, fan.conv1, fan.norm1), (3, fan.conv3, fan.norm3)):
                    name = f"{prefix}.edges.{target}<-{source}.{op}.op"
                    views |= tensors(f"{name}.1", conv, row, fan.edges) | tensors(f"{name}.2", norm, row, fan.edges)
    return views | tensors("lastact.0", net.head.norm) | tensors("classifier", net.head.classifier)


SPACE = Space(
    name="nasbench201",
    shapes=((len(EDGES), len(OPERATIONS)),),
    operations=OPERATIONS,
    parameter_free={"none": "none", "skip": "skip_connect", "pool": "avg_pool_3x3"},
    datasets=("cifar10", "cifar100", "imagenet16-120"),
    supernet=supernet,
    discretize=discretize,
    describe=lambda mixture: "",
    cells=cells,
    neighbours=neighbours,
    configuration=configuration,
    published=published,
)
