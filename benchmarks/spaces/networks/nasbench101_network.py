"""The network that NAS-Bench-101 trains a cell as, of nasbench_pytorch.

Source: Ying et al., NAS-Bench-101 (ICML 2019), section 2.1: a stem and three stacks of the cell, a halved resolution
between them.
"""

from __future__ import annotations

import numpy
from nasbench_pytorch.model import Network
from torch import nn

from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.space import Cell

STACKS = 3

MOMENTUM = 0.1
"""PyTorch's own. nasbench_pytorch has 0.997 in stem and projections, the paper's share of the old in PyTorch's place
of the share of the new, so that running statistics would be those of the last batch."""


def network(cell: Cell, shape: NetworkShape) -> FoundNetwork:
    """Three stacks of ``cells`` cells each, initialised from PyTorch's global generator."""
    net: nn.Module = Network(
        (numpy.array(cell.matrix), list(cell.operations)),
        num_labels=shape.classes,
        in_channels=shape.in_channels,
        stem_out_channels=shape.width,
        num_stacks=STACKS,
        num_modules_per_stack=shape.cells,
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    return FoundNetwork(net, [], nn.Identity())
