"""The mixture of a NAS-Bench-1Shot1 supernet, arranged once per pass as its cells want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.spaces.cells_1shot1 import Wiring
from nas_stability.benchmarks.spaces.layers.single_path import looked_at
from nas_stability.benchmarks.spaces.space import Mixture


class CellWeights(NamedTuple):
    """The mixture as a cell wants it.

    Attributes:
        received: per block, for each image, a matrix (B, receivers, 3): what the output and each later block, the last
            one first, receives of each of the block's operations: the operation's weight times the block's.
        projected: what the blocks in order, and then the output, receive of the cell's projected input, by channel,
            (2 * blocks * width,).
        chosen: the only operation of each block that is computed; None: all are.
    """

    received: tuple[Tensor, ...]
    projected: Tensor
    chosen: Sequence[int] | Tensor | None = None


class PartialWeights(NamedTuple):
    """The mixture as a cell of partial channels wants it.

    Attributes:
        operations: per block, for each image, the weights of its operations, (B, 1, 3).
        shares: per block the weight of it for each who receives it, in the order of ``CellWeights``: numbers.
        projected: as of ``CellWeights``.
    """

    operations: tuple[Tensor, ...]
    shares: list[list[Tensor]]
    projected: Tensor


def arrange_paths(wiring: Wiring, widths: tuple[int, ...], mixture: Mixture, images: int) -> list[CellWeights]:
    """``arrange`` of a supernet of single paths: of a mixture for each cell the largest operations alone."""
    cells = arrange(wiring, widths, mixture, images)
    if mixture[0].ndim == 2:
        return cells
    choices = mixture[0].detach().argmax(-1)
    return [cell._replace(chosen=looked_at(rows)) for cell, rows in zip(cells, choices, strict=True)]


def arrange(wiring: Wiring, widths: tuple[int, ...], mixture: Mixture, images: int) -> list[CellWeights]:
    """The weights of the cells of these widths. A block that keeps all of its candidates has weight 1 for each.

    In what follows a weight is a number for all cells together, or one for each, (cells,).
    """
    receivers = receivers_of(wiring, mixture)
    counts = [len(weights) for weights in receivers]
    shares = torch.stack([weight for weights in receivers for weight in weights], -1).unsqueeze(-1)
    rows = [row.expand(*row.shape[:-2], count, -1) for row, count in zip(mixture[0].split(1, -2), counts, strict=True)]
    received = (shares * torch.cat(rows, -2)).unsqueeze(-3).expand(len(widths), images, -1, -1).unbind(0)
    projected = projections_of(wiring, widths, mixture)
    return [
        CellWeights(of_cell.split(counts, 1), weights) for of_cell, weights in zip(received, projected, strict=True)
    ]


def receivers_of(wiring: Wiring, mixture: Mixture) -> list[list[Tensor]]:
    """Per block the weight of it for each who receives it: the output, then the later blocks, the last one first."""
    outputs, candidates = mixture[1][..., 0, 1:].unbind(-1), candidates_of(wiring, mixture)
    return [
        [outputs[block], *(later[block + 1] for later in reversed(candidates[block + 1 :]))]
        for block in range(wiring.blocks)
    ]


def candidates_of(wiring: Wiring, mixture: Mixture) -> list[Sequence[Tensor]]:
    """Per block the weights of the cell's input and of the blocks before it."""
    whole = torch.ones_like(mixture[1][..., 0, 0])
    return [
        mixture[wiring.group[block]][..., 0, :].unbind(-1) if block in wiring.group else [whole] * (block + 1)
        for block in range(wiring.blocks)
    ]


def projections_of(wiring: Wiring, widths: tuple[int, ...], mixture: Mixture) -> list[Tensor]:
    """Per cell what the blocks, and then the output, receive of its projected input, by channel."""
    of_input = mixture[1][..., 0, 0]
    of_blocks = [weights[0] for weights in candidates_of(wiring, mixture)]
    of_projected = torch.stack(of_blocks + [of_input] * wiring.blocks, -1)
    projected = {width: of_projected.repeat_interleave(width, -1) for width in set(widths)}
    return [projected[width] if of_input.ndim == 0 else projected[width][cell] for cell, width in enumerate(widths)]


def arrange_partial(wiring: Wiring, widths: tuple[int, ...], mixture: Mixture, images: int) -> list[PartialWeights]:
    """``arrange`` of a supernet of partial channels."""
    cells = len(widths)
    operations = mixture[0].unsqueeze(-2).expand(cells, wiring.blocks, 1, -1)
    of_images = operations.unsqueeze(2).expand(-1, -1, images, -1, -1).unbind(0)
    shares = [[weight.expand(cells).unbind(0) for weight in weights] for weights in receivers_of(wiring, mixture)]
    projected = projections_of(wiring, widths, mixture)
    return [
        PartialWeights(
            of_images[cell].unbind(0), [[weight[cell] for weight in weights] for weights in shares], projected[cell]
        )
        for cell in range(cells)
    ]
