"""The network that NAS-Bench-201 trains an architecture as.

Source: Dong and Yang, NAS-Bench-201 (ICLR 2020), section 2.1: the skeleton of the supernet, with one operation on each
edge, and weights in every BatchNorm.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.plain_nasbench201 import EDGES, NODES, Head, Nothing, Reduction, ReluConvNorm
from nas_stability.benchmarks.spaces.space import Arch

MOMENTUM = 0.1
"""PyTorch's own: the share of the newest batch in the running statistics."""

STAGES = 3


def operation(name: str, width: int) -> nn.Module:
    """The operation of an edge.

    Raises:
        BadInput: there is none of this name.
    """
    if name == "none":
        return Nothing()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    if name in ("nor_conv_1x1", "nor_conv_3x3"):
        return ReluConvNorm(width, width, int(name[-1]), MOMENTUM)
    raise BadInput(f"{name!r} is no operation of NAS-Bench-201")


class ChosenCell(nn.Module):
    """Four nodes; each is the sum of its edges from all nodes before it, each edge one operation."""

    def __init__(self, names: list[str], width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(operation(name, width) for name in names)

    def forward(self, features: Tensor, kept: object) -> Tensor:
        """Features (B, width, H, W) -> the last node, of the same shape."""
        nodes = [features]
        for target in range(1, NODES):
            arriving = [
                edge(nodes[source]) for (to, source), edge in zip(EDGES, self.edges, strict=True) if to == target
            ]
            nodes.append(functools.reduce(torch.add, arriving))
        return nodes[-1]


def network(arch: Arch, shape: NetworkShape) -> FoundNetwork:
    """Three stages of ``cells`` cells each, initialised from PyTorch's global generator.

    Raises:
        BadInput: the text is no architecture of the space.
    """
    names = [name.partition("~")[0] for name in arch.replace("+", "").strip("|").split("|") if name]
    if len(names) != len(EDGES):
        raise BadInput(f"{arch[:60]!r} is no architecture of NAS-Bench-201, of {len(EDGES)} edges")
    stem = nn.Sequential(
        nn.Conv2d(shape.in_channels, shape.width, 3, padding=1, bias=False), nn.BatchNorm2d(shape.width)
    )
    blocks: list[nn.Module] = []
    for stage in range(STAGES):
        width = shape.width * 2**stage
        if stage > 0:
            blocks.append(Reduction(width // 2, MOMENTUM))
        blocks.extend(ChosenCell(names, width) for _ in range(shape.cells))
    return FoundNetwork(stem, blocks, Head(4 * shape.width, shape.classes, MOMENTUM))
