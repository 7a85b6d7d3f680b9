"""The three NAS-Bench-1Shot1 spaces and their supernet, from stem to head; ``wiring`` knows which cells there are.

Source: Zela, Siems and Hutter, NAS-Bench-1Shot1 (ICLR 2020), section 3; the supernet as searched by SmoothDARTS in its
final code. A cell has choice blocks (each one of three operations), weights over the inputs of each block that has a
choice, and weights over the inputs of the output.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces import module_hash, plain_nasbench1shot1
from nas_stability.benchmarks.spaces.cells_1shot1 import (
    OPERATIONS,
    Wiring,
    cells,
    configuration,
    describe,
    discretize,
    neighbours,
)
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm, ConvNorm
from nas_stability.benchmarks.spaces.layers.channels_last import channels_last
from nas_stability.benchmarks.spaces.layers.lean_operations import chosen, halved, scaled
from nas_stability.benchmarks.spaces.space import (
    Mixture,
    PlainSupernet,
    Space,
    Supernet,
    SupernetShape,
    paired,
    tensors,
)

HEAD_MOMENTUM = 0.1


class CellWeights(NamedTuple):
    """The mixture as a cell wants it.

    Attributes:
        received: per block, for each image, a matrix (B, receivers, 3): what the output and each later block, the last
            one first, receives of each of the block's operations: the operation's weight times the block's.
        projected: what the blocks in order, and then the output, receive of the cell's projected input, by channel,
            (2 * blocks * width,).
    """

    received: tuple[Tensor, ...]
    projected: Tensor


def arrange(wiring: Wiring, widths: tuple[int, ...], mixture: Mixture, images: int) -> list[CellWeights]:
    """The weights of the cells of these widths. A block that keeps all of its candidates has weight 1 for each.

    In what follows a weight is a number for all cells together, or one for each, (cells,).
    """
    blocks = range(wiring.blocks)
    of_input, *outputs = mixture[1][..., 0, :].unbind(-1)
    whole = torch.ones_like(of_input)
    candidates = [
        mixture[wiring.group[block]][..., 0, :].unbind(-1) if block in wiring.group else [whole] * (block + 1)
        for block in blocks
    ]
    receivers = [
        [outputs[block], *(later[block + 1] for later in reversed(candidates[block + 1 :]))] for block in blocks
    ]
    counts = [len(weights) for weights in receivers]
    shares = torch.stack([weight for weights in receivers for weight in weights], -1).unsqueeze(-1)
    rows = [row.expand(*row.shape[:-2], count, -1) for row, count in zip(mixture[0].split(1, -2), counts, strict=True)]
    of_projected = torch.stack([candidates[block][0] for block in blocks] + [of_input] * wiring.blocks, -1)
    received = (shares * torch.cat(rows, -2)).unsqueeze(-3).expand(len(widths), images, -1, -1).unbind(0)
    projected = {width: of_projected.repeat_interleave(width, -1) for width in set(widths)}
    return [
        CellWeights(of_cell.split(counts, 1), projected[width] if of_input.ndim == 0 else projected[width][cell])
        for cell, (of_cell, width) in enumerate(zip(received, widths, strict=True))
    ]


class ChoiceBlock(nn.Module):
    """One vertex of the cell: max pool, 3x3 and 1x1 convolution, mixed.

    A ReLU stands behind each BatchNorm, so the mixture is not folded into the scale: relu(w * x) and w * relu(x) agree
    for w >= 0, but at w = 0 only the second has the right gradient.
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.conv3 = ConvNorm(width, width, 3, momentum)
        self.conv1 = ConvNorm(width, width, 1, momentum)

    def forward(self, vertex: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Vertex (B, width, H, W) and weights (B, receivers, 3) -> what each receiver gets, (B, width, H, W)."""
        # Folded, it is in an attack, which keeps less than other passes anyway.
        return chosen(vertex, self.conv3(vertex), self.conv1(vertex), weights, not self.conv1.folded)


class MixedCell(nn.Module):
    """A cell: every projection of its input is one convolution, for the blocks and for the output alike.

    Args:
        blocks: number of choice blocks.
        in_width: channels of the cell's input.
        width: channels of a choice block; the output has ``blocks * width``.
        momentum: of the BatchNorms.
        halve: whether the resolution is halved before the cell.
    """

    def __init__(self, blocks: int, in_width: int, width: int, momentum: float, halve: bool) -> None:
        super().__init__()
        self.width = width
        self.halve = halve
        self.project = ConvNorm(in_width, 2 * blocks * width, 1, momentum)
        self.blocks = nn.ModuleList(ChoiceBlock(width, momentum) for _ in range(blocks))

    def forward(self, features: Tensor, weights: CellWeights) -> Tensor:
        """Features (B, in_width, H, W) and the arranged mixture -> (B, blocks * width, H', W')."""
        if self.halve:
            features = halved(features)
        projected = scaled(*self.project.parts(features), weights.projected)
        *to_blocks, to_output = projected.split([self.width] * len(self.blocks) + [len(self.blocks) * self.width], 1)
        arriving = [[part] for part in to_blocks]
        outputs: list[Tensor] = []
        for block, (choice, received) in enumerate(zip(self.blocks, weights.received, strict=True)):
            vertex = functools.reduce(torch.add, arriving[block])
            if block == 0:  # a slice of the projections, which every operation would copy
                vertex = channels_last(vertex)
            output, *later = choice(vertex, received)
            outputs.append(output)
            for receiver, part in zip(reversed(arriving), later, strict=False):
                receiver.append(part)
        mixed: Tensor = torch.cat(outputs, 1).add_(to_output)
        return mixed


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
        blocks.append(MixedCell(wiring.blocks, in_width, width, shape.batch_norm_momentum, halve))
        widths.append(width)
        in_width = wiring.blocks * width
    head = Head(in_width, width, shape.classes)
    return Supernet(stem, blocks, head, functools.partial(arrange, wiring, tuple(widths)))


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


def space(name: str, wiring: Wiring) -> Space:
    """A NAS-Bench-1Shot1 space of the given wiring."""
    return Space(
        name=name,
        shapes=wiring.shapes,
        operations=OPERATIONS,
        parameter_free={"pool": module_hash.MAXPOOL3X3},
        datasets=("cifar10",),
        supernet=functools.partial(supernet, wiring),
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
