"""The DARTS cell spaces: the full one, and S1 to S4 of RobustDARTS, of PyTorch's own modules, from stem to head.

Source: DARTS (Liu et al., ICLR 2019), section 2 and appendix A; Understanding and robustifying DARTS (Zela et al., ICLR
2020), section 3, for S1 to S4; as searched by the published code of SmoothDARTS, whose full space has no ``none``. A
cell reads the outputs of the two cells before it; each of its four nodes is the sum of a mixed operation on every node
before. Cells at a third and at two thirds of the depth halve the resolution, double the width, and have logits of their
own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.genotypes import EDGES, INPUTS, NODES, Choices
from nas_stability.benchmarks.spaces.layers.noise import DrawnValues
from nas_stability.benchmarks.spaces.layers.partial_channels import parted, plus, shuffled
from nas_stability.benchmarks.spaces.networks import darts_network
from nas_stability.benchmarks.spaces.networks.darts_network import STEM_MULTIPLIER, States, halving
from nas_stability.benchmarks.spaces.operations_darts import (
    OPERATIONS,
    Convolutions,
    FactorizedReduce,
    Norm,
    Nothing,
    PooledNorm,
    ReluConvNorm,
    without_weights,
)
from nas_stability.benchmarks.spaces.space import Arch, Mixture, Space, Supernet, SupernetShape, Unlisted


class Seen:
    """A state as the edges out of it see it: what several of them need is computed once in a pass.

    Attributes:
        part: of features (B, C, H, W) the one in ``partial`` channels that is operated on.
        passing: the other channels; None where all are operated on.
    """

    def __init__(self, features: Tensor, partial: int) -> None:
        self.part: Tensor = features
        self.passing: Tensor | None = None
        if partial > 1:
            self.part, self.passing = parted(features, partial)
        self.made: dict[str, Tensor] = {}

    def through(self, name: str, part: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function or module without weights makes of the part, computed when the first edge asks for it."""
        if name not in self.made:
            self.made[name] = part(self.part)
        return self.made[name]


class MixedOperation(nn.Module):
    """The operations of an edge, mixed; with ``partial`` on one in so many channels, the others passing by.

    Source of the latter: PC-DARTS (Xu et al., ICLR 2020), section 3.1, as in the published code of SmoothDARTS: where
    the edge halves the resolution the channels that pass by are max-pooled (2x2). There is no edge normalisation.
    """

    def __init__(self, names: Sequence[str], width: int, stride: int, norm: Norm, drawn: DrawnValues) -> None:
        super().__init__()
        self.choices = nn.ModuleList(OPERATIONS[name](width, stride, norm, drawn) for name in names)
        self.stride = stride

    def forward(self, seen: Seen, weights: Tensor, node: Tensor | None) -> Tensor:
        """A state (B, width, H, W), weights (choices,) and the sum of the node's edges before this one, None at first
        -> the sum with this one (B, width, H / stride, W / stride).
        """
        total: Any = node if seen.passing is None else None
        for weight, choice in zip(weights, self.choices, strict=True):
            if not isinstance(choice, Nothing):
                total = plus(total, weight, result(choice, seen))
        if seen.passing is not None:
            total = shuffled(total, seen.passing if self.stride == 1 else F.max_pool2d(seen.passing, 2))
            total = total if node is None else node + total
        found: Tensor = total
        return found


def result(choice: nn.Module, seen: Seen) -> Tensor:
    """What an operation makes of a state; a first ReLU is the state's, and so is a pool."""
    if isinstance(choice, Convolutions | FactorizedReduce):
        return choice.behind_relu(seen.through("relu", F.relu))
    if isinstance(choice, PooledNorm):
        return choice.behind_pool(seen.through(choice.pool_name, choice.pool))
    found: Tensor = choice(seen.part)
    return found


class SupernetCell(nn.Module):
    """Four nodes on the outputs of the two cells before; the output is all four behind each other.

    Args:
        choices: of each edge the names of its operations.
        widths: channels of the outputs of the cell before the last, and of the last.
        width: channels of a node.
        halves: whether the cell halves the resolution.
        after_halving: whether the cell before does, so that the output before that has twice the resolution.
        norm: the BatchNorms.
        partial: as of SupernetShape.
        drawn: where operations that draw take their values from.
    """

    def __init__(
        self,
        choices: Sequence[Sequence[str]],
        widths: tuple[int, int],
        width: int,
        halves: bool,
        after_halving: bool,
        norm: Norm,
        partial: int,
        drawn: DrawnValues,
    ) -> None:
        super().__init__()
        first = FactorizedReduce if after_halving else ReluConvNorm
        self.preprocess0 = first(widths[0], width, norm)
        self.preprocess1 = ReluConvNorm(widths[1], width, norm)
        strides = [2 if halves and source < INPUTS else 1 for _, source in EDGES]
        self.edges = nn.ModuleList(
            MixedOperation(names, width // partial, stride, norm, drawn)
            for names, stride in zip(choices, strides, strict=True)
        )
        self.halves, self.partial = halves, partial

    def forward(self, states: States, weights: Tensor) -> States:
        """The last two outputs and weights (edges, choices) -> the last one, and this cell's (B, 4 * width, H', W').

        The output before the last comes, and the last one goes on, behind the ReLU through which both cells that read
        it see it, so that it is computed once. The stem's output comes alone, as it is.
        """
        opened_before, last = (None, states) if isinstance(states, Tensor) else states
        if self.halves and (last.shape[-1] % 2 or last.shape[-2] % 2):
            raise BadInput(
                f"a cell cannot halve features of {last.shape[-2]}x{last.shape[-1]} pixels: DARTS cells take images "
                "whose sides are multiples of 4"
            )
        opened = F.relu(last)
        nodes = [
            self.preprocess0.behind_relu(opened if opened_before is None else opened_before),
            self.preprocess1.behind_relu(opened),
        ]
        seen = [Seen(node, self.partial) for node in nodes]
        for node in range(NODES):
            total: Any = None
            for (target, source), edge, row in zip(EDGES, self.edges, weights, strict=True):
                if target == node:
                    total = edge(seen[source], row, total)
            nodes.append(total)
            seen.append(Seen(nodes[-1], self.partial))
        return opened, torch.cat(nodes[INPUTS:], 1)


class Head(nn.Module):
    """Global average of the last cell's output, linear classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, classes)

    def forward(self, states: tuple[Tensor, Tensor]) -> Tensor:
        """The last two outputs -> logits (B, classes)."""
        logits: Tensor = self.classifier(states[1].mean((2, 3)))
        return logits


def supernet(choices: Choices, shape: SupernetShape) -> Supernet:
    """The supernet of a space; ``depth`` is the number of cells in all (8 in the papers)."""
    drawn, momentum = DrawnValues(), shape.batch_norm_momentum
    norm = without_weights(momentum)
    stem_width = STEM_MULTIPLIER * shape.width
    stem = nn.Sequential(
        nn.Conv2d(shape.in_channels, stem_width, 3, padding=1, bias=False),
        nn.BatchNorm2d(stem_width, momentum=momentum),
    )
    widths, width, after_halving = (stem_width, stem_width), shape.width, False
    cells: list[nn.Module] = []
    for place in range(shape.depth):
        halves = place in halving(shape.depth)
        width *= 1 + halves
        names = choices.reduction if halves else choices.normal
        cells.append(SupernetCell(names, widths, width, halves, after_halving, norm, shape.partial, drawn))
        widths, after_halving = (widths[1], NODES * width), halves
    arranged = functools.partial(arrange, shape.depth)
    net = Supernet(stem, cells, Head(widths[1], shape.classes), arranged)
    net.drawn = drawn if draws(choices) else None
    return net


def draws(choices: Choices) -> bool:
    """Whether an operation draws."""
    return any("noise" in row for names in choices for row in names)


def arrange(depth: int, mixture: Mixture, images: int) -> list[Tensor]:
    """The weights (edges, choices) of each cell: of the group of its kind."""
    groups = [group.expand(depth, *group.shape[-2:]).unbind(0) for group in mixture]
    return [groups[int(place in halving(depth))][place] for place in range(depth)]


def deepest_side(side: int, depth: int) -> int:
    """Side of the features before the head, in pixels.

    Raises:
        BadInput: the image's is no multiple of what it is halved by.
    """
    by: int = 2 ** len(halving(depth))
    if side % by:
        raise BadInput(f"a space of DARTS cells takes images whose sides are multiples of {by}, not of {side} pixels")
    return side // by


def published(net: Supernet) -> dict[str, Tensor]:
    """Views of the weights and buffers under the names of the published implementation."""
    return {own_to_published(name): value for name, value in net.state_dict().items()}


def own_to_published(name: str) -> str:
    """The published name of one of ours: ``cells.K._ops.EDGE._ops.COLUMN`` is an operation."""
    of_cell = re.sub(r"^blocks\.(\d+)\.edges\.(\d+)\.choices\.", r"cells.\1._ops.\2._ops.", name)
    return re.sub("^blocks", "cells", of_cell).removeprefix("head.")


def space(name: str) -> Space:
    """One of the spaces."""
    facts = FACTS[name]
    choices = Choices(facts.groups[0], facts.groups[1])

    def discretize(mixture: Mixture) -> Arch:
        return genotypes.text_of(genotypes.genotype_of(choices, mixture))

    def neighbours(mixture: Mixture) -> tuple[Arch, ...]:
        around = genotypes.neighbours(choices, genotypes.genotype_of(choices, mixture))
        return tuple(sorted(map(genotypes.text_of, around)))

    def distance(left: Arch, right: Arch) -> int:
        return genotypes.distance(choices, genotypes.read(left, choices), genotypes.read(right, choices))

    return Space(
        name=name,
        facts=facts,
        shapes=tuple((len(rows), len(rows[0])) for rows in choices),
        supernet=functools.partial(supernet, choices),
        discretize=discretize,
        unlisted=Unlisted(
            genotypes.count(choices),
            lambda generator: genotypes.text_of(genotypes.sample(choices, generator)),
            lambda arch: genotypes.mixture_of(genotypes.read(arch, choices), choices),
        ),
        neighbours=neighbours,
        read=lambda text: genotypes.text_of(genotypes.read(text, choices)),
        distance=distance,
        harden=functools.partial(genotypes.decided, choices),
        draws=draws(choices),
        variants=("partial",),
        network=functools.partial(darts_network.network, choices),
        deepest_side=deepest_side,
        published=published,
    )


S1, S2, S3, S4, FULL = map(space, ("darts-s1", "darts-s2", "darts-s3", "darts-s4", "darts"))
