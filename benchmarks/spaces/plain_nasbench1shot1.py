"""A NAS-Bench-1Shot1 supernet of PyTorch's own modules, as the paper has it: block by block, operation by operation.

Source: Zela, Siems and Hutter, NAS-Bench-1Shot1 (ICLR 2020), section 3. It computes what the one in ``nasbench1shot1``
does, whose layers are faster and harder to read; a test holds one to the other. Start here to try an idea in the cell.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.cells_1shot1 import Wiring
from nas_stability.benchmarks.spaces.layers.views import tensors
from nas_stability.benchmarks.spaces.space import Mixture, Supernet, SupernetShape


class ConvNormRelu(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, in_width: int, width: int, kernel: int, momentum: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width, momentum=momentum)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H, W)."""
        return F.relu(self.norm(self.conv(features)))


def operations(width: int, momentum: float) -> nn.ModuleList:
    """Those of a choice block, in the order of the choices: maxpool3x3, conv3x3-bn-relu, conv1x1-bn-relu."""
    return nn.ModuleList(
        [
            nn.MaxPool2d(3, stride=1, padding=1),
            ConvNormRelu(width, width, 3, momentum),
            ConvNormRelu(width, width, 1, momentum),
        ]
    )


class SupernetCell(nn.Module):
    """Choice blocks and an output; each block reads a projection of the cell's input and all blocks before it.

    Args:
        wiring: which blocks choose among what they read.
        in_width: channels of the cell's input.
        width: channels of a block; the output has ``blocks * width``.
        momentum: of the BatchNorms.
        halve: whether the resolution is halved before the cell.
    """

    def __init__(self, wiring: Wiring, in_width: int, width: int, momentum: float, halve: bool) -> None:
        super().__init__()
        self.wiring = wiring
        self.halve = nn.MaxPool2d(2, stride=2, padding=1) if halve else nn.Identity()
        self.projections = nn.ModuleList(ConvNormRelu(in_width, width, 1, momentum) for _ in range(wiring.blocks))
        self.to_output = ConvNormRelu(in_width, wiring.blocks * width, 1, momentum)
        self.blocks = nn.ModuleList(operations(width, momentum) for _ in range(wiring.blocks))

    def forward(self, features: Tensor, weights: Mixture) -> Tensor:
        """Features (B, in_width, H, W) and the cell's weights -> (B, blocks * width, H', W')."""
        features = self.halve(features)
        of_operations, (of_output,), *_ = weights
        blocks: list[Tensor] = []
        choices: Any
        for index, (project, choices) in enumerate(zip(self.projections, self.blocks, strict=True)):
            read = [project(features), *blocks]
            if index in self.wiring.group:  # it chooses among them; one that keeps all takes their sum
                (of_inputs,) = weights[self.wiring.group[index]]
                read = [weight * one for weight, one in zip(of_inputs, read, strict=True)]
            vertex = torch.stack(read).sum(0)
            mixed = [weight * make(vertex) for weight, make in zip(of_operations[index], choices, strict=True)]
            blocks.append(torch.stack(mixed).sum(0))
        of_input, *of_blocks = of_output
        kept = torch.cat([weight * block for weight, block in zip(of_blocks, blocks, strict=True)], 1)
        found: Tensor = kept + of_input * self.to_output(features)
        return found


class Head(nn.Module):
    """ReLU, 1x1 convolution, BatchNorm without affine part, global average, linear classifier."""

    def __init__(self, in_width: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width, momentum=0.1, affine=False)
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, in_width, H, W) -> logits (B, classes)."""
        logits: Tensor = self.classifier(self.norm(self.conv(F.relu(features))).mean((2, 3)))
        return logits


def supernet(wiring: Wiring, shape: SupernetShape) -> Supernet:
    """``depth`` cells; before cells depth // 3 and 2 * depth // 3 the resolution is halved and the width doubled.

    Initialised from PyTorch's global generator, in an order of its own.
    """
    momentum = shape.batch_norm_momentum
    blocks: list[nn.Module] = []
    in_width = width = shape.width
    for index in range(shape.depth):
        halve = index in (shape.depth // 3, 2 * shape.depth // 3)
        width = 2 * width if halve else width
        blocks.append(SupernetCell(wiring, in_width, width, momentum, halve))
        in_width = wiring.blocks * width

    def arrange(mixture: Mixture, images: int) -> list[Mixture]:
        return [tuple(group[cell] if group.ndim == 3 else group for group in mixture) for cell in range(shape.depth)]

    stem = ConvNormRelu(shape.in_channels, shape.width, 3, momentum)
    return Supernet(stem, blocks, Head(in_width, width, shape.classes), arrange)


def published(net: Supernet) -> dict[str, Tensor]:
    """Views of the supernet's weights and buffers under the published implementation's names."""
    named: dict[str, Any] = {"stem.op": net.stem}
    cell: Any
    for index, cell in enumerate(net.blocks):
        for block, choices in enumerate(cell.blocks):
            for choice in (1, 2):
                named[f"cells.{index}._choice_blocks.{block}.mixed_op._ops.{choice}.op.op"] = choices[choice]
        for block, project in enumerate([*cell.projections, cell.to_output]):
            named[f"cells.{index}._input_projections.{block}.op"] = project
    views = tensors("postprocess.op.1", net.head.conv) | tensors("postprocess.op.2", net.head.norm)
    for name, pair in named.items():
        views |= tensors(f"{name}.0", pair.conv) | tensors(f"{name}.1", pair.norm)
    return views | tensors("classifier", net.head.classifier)
