"""The network that DARTS trains a found genotype as.

Source: DARTS (Liu et al., ICLR 2019), section 3.2 and appendix A.2.1; auxiliary classifier and drop path as in NASNet
(Zoph et al., CVPR 2018), in the form of the published code: the former reads maps of 8x8 pixels, the latter leaves out
operations image by image, but no identity.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.genotypes import INPUTS, KEPT, NODES, Choices, Gene
from nas_stability.benchmarks.spaces.layers.noise import DrawnValues
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.operations_darts import TRAINED_OPERATIONS, FactorizedReduce, ReluConvNorm
from nas_stability.benchmarks.spaces.space import Arch

STEM_MULTIPLIER = 3
"""Channels of the stem, in widths of the first cell."""

States = Tensor | tuple[Tensor, Tensor]
"""The outputs of the last two cells, the last one second; the stem's stands for both."""

AUXILIARY_SIDE = 8
"""Pixels of the maps that the auxiliary classifier is made for."""


class GenotypeCell(nn.Module):
    """A cell of a genotype: each of four nodes is the sum of its two operations.

    Args:
        genes: two per node.
        widths: channels of the outputs of the cell before the last, and of the last.
        width: channels of a node.
        halves: whether the cell halves the resolution.
        after_halving: whether the cell before does.
        drawn: where operations that draw take their values from.
    """

    def __init__(
        self,
        genes: Sequence[Gene],
        widths: tuple[int, int],
        width: int,
        halves: bool,
        after_halving: bool,
        drawn: DrawnValues,
    ) -> None:
        super().__init__()
        first = FactorizedReduce if after_halving else ReluConvNorm
        self.preprocess0 = first(widths[0], width, nn.BatchNorm2d)
        self.preprocess1 = ReluConvNorm(widths[1], width, nn.BatchNorm2d)
        self.operations = nn.ModuleList(
            TRAINED_OPERATIONS[name](width, 2 if halves and source < INPUTS else 1, nn.BatchNorm2d, drawn)
            for name, source in genes
        )
        self.sources = [source for _, source in genes]
        self.leaves_out = [not isinstance(operation, nn.Identity) for operation in self.operations]
        self.paths = sum(self.leaves_out)

    def forward(self, states: States, kept: Tensor | None) -> States:
        """The last two outputs and kept paths (paths, B) -> the last, and this cell's (B, 4 * width, H', W')."""
        before, last = (states, states) if isinstance(states, Tensor) else states
        nodes = [self.preprocess0(before), self.preprocess1(last)]
        paths = iter(() if kept is None else kept)
        made: list[Tensor] = []
        for source, operation, may in zip(self.sources, self.operations, self.leaves_out, strict=True):
            found = operation(nodes[source])
            if kept is not None and may:
                found = found * next(paths).to(found.dtype).view(-1, 1, 1, 1)
            made.append(found)
            if len(made) % KEPT == 0:
                nodes.append(functools.reduce(torch.add, made[-KEPT:]))
        return last, torch.cat(nodes[INPUTS:], 1)


class Auxiliary(nn.Module):
    """The second classifier: average pool, two convolutions, linear."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, padding=0, count_include_pad=False),
            nn.Conv2d(width, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, states: tuple[Tensor, Tensor]) -> Tensor:
        """The last two outputs -> logits (B, classes).

        Raises:
            BadInput: their maps are not of 8x8 pixels.
        """
        sides = tuple(states[1].shape[-2:])
        if sides != (AUXILIARY_SIDE, AUXILIARY_SIDE):
            raise BadInput(
                f"the auxiliary classifier reads maps of 8x8 pixels, as of images of 32x32, not of "
                f"{sides[0]}x{sides[1]}; --auxiliary 0 does without it"
            )
        logits: Tensor = self.classifier(self.features(states[1]).flatten(1))
        return logits


class PooledClassifier(nn.Module):
    """Global average of the last cell's output, linear classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: tuple[Tensor, Tensor]) -> Tensor:
        """The last two outputs -> logits (B, classes)."""
        logits: Tensor = self.classifier(states[1].mean((2, 3)))
        return logits


def halving(depth: int) -> set[int]:
    """The cells that halve the resolution, of so many; one where both would be the same."""
    return {depth // 3, 2 * depth // 3}


def network(choices: Choices, arch: Arch, shape: NetworkShape) -> FoundNetwork:
    """The network of a genotype, initialised from PyTorch's global generator.

    Raises:
        BadInput: the text is no genotype of these choices.
    """
    normal, reduction = genotypes.read(arch, choices)
    drawn = DrawnValues()
    stem_width = STEM_MULTIPLIER * shape.width
    stem = nn.Sequential(nn.Conv2d(shape.in_channels, stem_width, 3, padding=1, bias=False), nn.BatchNorm2d(stem_width))
    widths, width, after_halving = (stem_width, stem_width), shape.width, False
    second = 2 * shape.cells // 3
    cells: list[nn.Module] = []
    auxiliary: tuple[int, nn.Module] | None = None
    for place in range(shape.cells):
        halves = place in halving(shape.cells)
        width *= 1 + halves
        cells.append(GenotypeCell(reduction if halves else normal, widths, width, halves, after_halving, drawn))
        widths, after_halving = (widths[1], NODES * width), halves
        if shape.auxiliary and place == second:
            auxiliary = place, Auxiliary(widths[1], shape.classes)
    draws = any(name == "noise" for name, _ in (*normal, *reduction))
    return FoundNetwork(stem, cells, PooledClassifier(widths[1], shape.classes), auxiliary, drawn if draws else None)
