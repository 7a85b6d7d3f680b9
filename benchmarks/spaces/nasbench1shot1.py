"""The three NAS-Bench-1Shot1 spaces and their supernet, from stem to head; ``wiring`` knows which cells there are.

Source: Zela, Siems and Hutter, NAS-Bench-1Shot1 (ICLR 2020), section 3; the supernet as searched by SmoothDARTS in its
final code. A cell has choice blocks (each one of three operations), weights over the inputs of each block that has a
choice, and weights over the inputs of the output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import plain_nasbench1shot1
from nas_stability.benchmarks.spaces.arranged_1shot1 import (
    CellWeights,
    PartialWeights,
    arrange,
    arrange_partial,
    arrange_paths,
)
from nas_stability.benchmarks.spaces.cells_1shot1 import (
    Wiring,
    cells,
    configuration,
    describe,
    discretize,
    neighbours,
)
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm, ConvNorm
from nas_stability.benchmarks.spaces.layers.channels_last import blend, channels_last
from nas_stability.benchmarks.spaces.layers.lean_operations import POOL, chosen, halved, scaled
from nas_stability.benchmarks.spaces.layers.partial_channels import parted, plus, shuffled
from nas_stability.benchmarks.spaces.layers.single_path import counted, optional, selected
from nas_stability.benchmarks.spaces.layers.views import paired, tensors
from nas_stability.benchmarks.spaces.networks import nasbench101_network
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.space import Arch, PlainSupernet, Space, Supernet, SupernetShape

HEAD_MOMENTUM = 0.1


class ChoiceBlock(nn.Module):
    """One vertex of the cell: max pool, 3x3 and 1x1 convolution, mixed.

    A ReLU stands behind each BatchNorm, so the mixture is not folded into the scale: relu(w * x) and w * relu(x) agree
    for w >= 0, but at w = 0 only the second has the right gradient.
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.conv3 = ConvNorm(width, width, 3, momentum)
        self.conv1 = ConvNorm(width, width, 1, momentum)

    def forward(self, vertex: Tensor, weights: Tensor, operation: object = None) -> tuple[Tensor, ...]:
        """Vertex (B, width, H, W) and weights (B, receivers, 3) -> what each receiver gets, (B, width, H, W)."""
        # Folded, it is in an attack, which keeps less than other passes anyway.
        return chosen(vertex, self.conv3(vertex), self.conv1(vertex), weights, not self.conv1.folded)


class SinglePathBlock(nn.Module):
    """A choice block that computes the chosen operation alone where it is told one.

    Source: GDAS (Dong and Yang, CVPR 2019), section 3.2.
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.inner = ChoiceBlock(width, momentum)
        self.conv3, self.conv1 = self.inner.conv3, self.inner.conv1
        optional((self.conv3, self.conv1))

    def forward(self, vertex: Tensor, weights: Tensor, operation: int | Tensor | None = None) -> tuple[Tensor, ...]:
        """Vertex (B, width, H, W) and weights (B, receivers, 3) -> what each receiver gets, (B, width, H, W)."""
        pairs = (self.conv3, self.conv1)
        if operation is None:
            convolved = [F.relu(counted(pair, vertex)) for pair in pairs]
            return blend(weights, [F.max_pool2d(vertex, *POOL), *convolved])
        if isinstance(operation, int):
            weight = weights[..., operation : operation + 1]
            if operation == 0:
                return blend(weight, [F.max_pool2d(vertex, *POOL)])
            return blend(weight, [F.relu(counted(pairs[operation - 1], vertex))])
        mask = F.one_hot(operation, weights.shape[-1]).to(weights.dtype)
        found = mask[0] * F.max_pool2d(vertex, *POOL) + (1 - mask[0]) * F.relu(selected(pairs, vertex, mask[1:]))
        return blend((weights * mask).sum(-1, keepdim=True), [found])


class MixedCell(nn.Module):
    """A cell: every projection of its input is one convolution, for the blocks and for the output alike.

    Args:
        blocks: number of choice blocks.
        in_width: channels of the cell's input.
        width: channels of a choice block; the output has ``blocks * width``.
        momentum: of the BatchNorms.
        halve: whether the resolution is halved before the cell.
        block: width and momentum -> a choice block.
    """

    def __init__(
        self,
        blocks: int,
        in_width: int,
        width: int,
        momentum: float,
        halve: bool,
        block: Callable[[int, float], nn.Module],
    ) -> None:
        super().__init__()
        self.width = width
        self.halve = halve
        self.project = ConvNorm(in_width, 2 * blocks * width, 1, momentum)
        self.blocks = nn.ModuleList(block(width, momentum) for _ in range(blocks))

    def forward(self, features: Tensor, weights: CellWeights) -> Tensor:
        """Features (B, in_width, H, W) and the arranged mixture -> (B, blocks * width, H', W')."""
        if self.halve:
            features = halved(features)
        projected = scaled(*self.project.parts(features), weights.projected)
        *to_blocks, to_output = projected.split([self.width] * len(self.blocks) + [len(self.blocks) * self.width], 1)
        arriving = [[part] for part in to_blocks]
        outputs: list[Tensor] = []
        operations = [None] * len(self.blocks) if weights.chosen is None else weights.chosen
        given = zip(self.blocks, weights.received, operations, strict=True)
        for block, (choice, received, operation) in enumerate(given):
            vertex = functools.reduce(torch.add, arriving[block])
            if block == 0:  # a slice of the projections, which every operation would copy
                vertex = channels_last(vertex)
            output, *later = choice(vertex, received, operation)
            outputs.append(output)
            for receiver, part in zip(reversed(arriving), later, strict=False):
                receiver.append(part)
        mixed: Tensor = torch.cat(outputs, 1).add_(to_output)
        return mixed


class PartialCell(nn.Module):
    """A cell whose choice blocks mix one in ``partial`` channels (partial_channels.py).

    Source: PC-DARTS as searched in NAS-Bench-1Shot1 by the published code of SmoothDARTS: without edge normalisation,
    whose part the input weights of a block play. What a block gives is made once, and weighed where it is received.

    Args:
        partial: see above; the others as of ``MixedCell``.
    """

    def __init__(self, blocks: int, in_width: int, width: int, momentum: float, halve: bool, partial: int) -> None:
        super().__init__()
        self.width = width
        self.halve = halve
        self.partial = partial
        self.project = ConvNorm(in_width, 2 * blocks * width, 1, momentum)
        self.blocks = nn.ModuleList(ChoiceBlock(width // partial, momentum) for _ in range(blocks))

    def forward(self, features: Tensor, weights: PartialWeights) -> Tensor:
        """Features (B, in_width, H, W) and the arranged mixture -> (B, blocks * width, H', W')."""
        if self.halve:
            features = halved(features)
        projected = scaled(*self.project.parts(features), weights.projected)
        *vertices, to_output = projected.split([self.width] * len(self.blocks) + [len(self.blocks) * self.width], 1)
        outputs = list(to_output.split(self.width, 1))
        for block, (choice, of_operations) in enumerate(zip(self.blocks, weights.operations, strict=True)):
            part, passing = parted(vertices[block], self.partial)
            (mixed,) = choice(part, of_operations)
            given = shuffled(mixed, passing)
            of_output, *of_later = weights.shares[block]
            outputs[block] = plus(outputs[block], of_output, given)
            for later, share in enumerate(reversed(of_later), start=block + 1):
                vertices[later] = plus(vertices[later], share, given)
        return torch.cat(outputs, 1)


class Head(nn.Module):
    """ReLU, 1x1 convolution, BatchNorm without affine part, global average, linear classifier."""

    def __init__(self, in_width: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, 1, bias=False)
        self.norm = BatchNorm(width, momentum=HEAD_MOMENTUM, affine=False)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W) -> logits (B, classes)."""
        logits: Tensor = self.classifier(self.norm(self.conv(F.relu(features))).mean((2, 3)))
        return logits


def supernet(wiring: Wiring, shape: SupernetShape) -> Supernet:
    """The supernet of a wiring; ``depth`` is the number of cells in all (9 in the paper).

    The resolution is halved and the width doubled before cells depth // 3 and 2 * depth // 3.
    """
    stem = nn.Sequential(ConvNorm(shape.in_channels, shape.width, 3, shape.batch_norm_momentum), nn.ReLU())
    blocks: list[nn.Module] = []
    widths: list[int] = []
    in_width = width = shape.width
    for index in range(shape.depth):
        halve = index in halving(shape.depth)
        width = 2 * width if halve else width
        cell = (wiring.blocks, in_width, width, shape.batch_norm_momentum, halve)
        if shape.partial > 1:
            blocks.append(PartialCell(*cell, shape.partial))
        else:
            blocks.append(MixedCell(*cell, SinglePathBlock if shape.single_path else ChoiceBlock))
        widths.append(width)
        in_width = wiring.blocks * width
    head = Head(in_width, width, shape.classes)
    arranged = arrange_paths if shape.single_path else arrange_partial if shape.partial > 1 else arrange
    return Supernet(stem, blocks, head, functools.partial(arranged, wiring, tuple(widths)))


def halving(depth: int) -> set[int]:
    """Indices of the cells before which the resolution is halved."""
    return {depth // 3, 2 * depth // 3}


def deepest_side(side: int, depth: int) -> int:
    """Side of the features before the head, in pixels; the pool's padding adds one where a side is even."""
    for _ in halving(depth):
        side = side // 2 + 1
    return side


def published(wiring: Wiring, net: Supernet) -> dict[str, Tensor]:
    """Views of the supernet's weights and buffers under the published implementation's names."""
    stem: Any = net.stem
    views = paired("stem.op.0", "stem.op.1", stem[0])
    cell: Any
    for index, cell in enumerate(net.blocks):
        for block, choice in enumerate(cell.blocks):
            for op, pair in ((1, choice.conv3), (2, choice.conv1)):
                name = f"cells.{index}._choice_blocks.{block}.mixed_op._ops.{op}.op.op"
                views |= paired(f"{name}.0", f"{name}.1", pair)
        for block in range(wiring.blocks + 1):
            # The last projection feeds the output and is as wide as all the others together.
            part = (block, 2 * wiring.blocks) if block < wiring.blocks else (1, 2)
            name = f"cells.{index}._input_projections.{block}.op"
            views |= paired(f"{name}.0", f"{name}.1", cell.project, *part)
    views |= tensors("postprocess.op.1", net.head.conv) | tensors("postprocess.op.2", net.head.norm)
    return views | tensors("classifier", net.head.classifier)


def network(wiring: Wiring, arch: Arch, shape: NetworkShape) -> FoundNetwork:
    """NAS-Bench-101's network of a reachable cell.

    Raises:
        BadInput: the space does not reach it.
    """
    listed = cells(wiring)
    if arch not in listed:
        raise BadInput(f"the space does not reach the cell {arch[:60]!r}")
    return nasbench101_network.network(listed[arch][0], shape)


def space(name: str, wiring: Wiring) -> Space:
    """A NAS-Bench-1Shot1 space of the given wiring."""
    return Space(
        name=name,
        facts=FACTS[name],
        shapes=wiring.shapes,
        kept=wiring.kept,
        supernet=functools.partial(supernet, wiring),
        variants=("partial", "single-path"),
        network=functools.partial(network, wiring),
        deepest_side=deepest_side,
        discretize=functools.partial(discretize, wiring),
        describe=functools.partial(describe, wiring),
        cells=functools.partial(cells, wiring),
        neighbours=functools.partial(neighbours, wiring),
        configuration=functools.partial(configuration, wiring),
        published=functools.partial(published, wiring),
        plain=PlainSupernet(functools.partial(plain_nasbench1shot1.supernet, wiring), plain_nasbench1shot1.published),
    )


S1 = space("nasbench1shot1-s1", Wiring(block_inputs=(1, 2, 2, 2), output_inputs=2))
S2 = space("nasbench1shot1-s2", Wiring(block_inputs=(1, 1, 2, 2), output_inputs=3))
S3 = space("nasbench1shot1-s3", Wiring(block_inputs=(1, 1, 1, 2, 2), output_inputs=2))
