"""Networks that are trained from scratch, by a slower, literal route: one call per edge and operation.

Nothing here imports a formula of the package; weights are taken in the order in which they stand in the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLS = ("max_pool_3x3", "avg_pool_3x3")


class Weights:
    """The convolutions, BatchNorms and linear layers of a network, one after the other as it was built."""

    def __init__(self, net: nn.Module) -> None:
        kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
        self.parts: Iterator[nn.Module] = iter([module for module in net.modules() if isinstance(module, kinds)])

    def conv(self, features: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Tensor:
        """The next convolution."""
        return F.conv2d(features, next(self.parts).weight, None, stride, padding, dilation, groups)

    def norm(self, features: Tensor) -> Tensor:
        """The next BatchNorm, in training mode, written out."""
        part = next(self.parts)
        mean = features.mean((0, 2, 3), keepdim=True)
        variance = ((features - mean) ** 2).mean((0, 2, 3), keepdim=True)
        normal = (features - mean) / torch.sqrt(variance + 1e-5)
        return normal * part.weight.view(1, -1, 1, 1) + part.bias.view(1, -1, 1, 1)

    def linear(self, features: Tensor) -> Tensor:
        """The next linear layer."""
        part = next(self.parts)
        return features @ part.weight.t() + part.bias


def genes_of(text: str) -> tuple[list[list[tuple[str, int]]], ...]:
    """The canonical text -> of each kind of cell its nodes, each two (operation, source)."""
    return tuple(
        [[(name, int(source)) for name, source in re.findall(r"([a-z0-9_]+)~(\d)", node)] for node in cell.split("+")]
        for cell in re.fullmatch(r"normal:(.*);reduction:(.*)", text).groups()  # type: ignore[union-attr]
    )


def reduced(weights: Weights, features: Tensor) -> Tensor:
    """FactorizedReduce."""
    opened = features.clamp_min(0)
    return weights.norm(torch.cat([weights.conv(opened, stride=2), weights.conv(opened[:, :, 1:, 1:], stride=2)], 1))


def operated(weights: Weights, name: str, features: Tensor, stride: int) -> Tensor:
    """One operation."""
    channels = features.shape[1]
    if name == "skip_connect":
        return features if stride == 1 else reduced(weights, features)
    if name == "max_pool_3x3":
        return F.max_pool2d(F.pad(features, (1, 1, 1, 1), value=-torch.inf), 3, stride)
    if name == "avg_pool_3x3":
        count = F.avg_pool2d(F.pad(torch.ones_like(features), (1, 1, 1, 1)), 3, stride)
        return F.avg_pool2d(F.pad(features, (1, 1, 1, 1)), 3, stride) / count
    kind, kernel = name[:3], int(name[-1])
    dilation = 2 if kind == "dil" else 1
    for step in (stride,) if kind == "dil" else (stride, 1):
        padding = dilation * (kernel - 1) // 2
        features = weights.conv(features.clamp_min(0), step, padding, dilation, channels)
        features = weights.norm(weights.conv(features))
    return features


def darts_logits(net: nn.Module, text: str, cells: int, images: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """DARTS's network in training mode with its auxiliary classifier: both logits.

    ``kept``: (operations that are no identity, in order, images): what the output of each is multiplied by.
    """
    weights = Weights(net)
    left = iter(() if kept is None else kept)
    normal, reduction = genes_of(text)
    first = second = weights.norm(weights.conv(images, padding=1))
    seen: list[Tensor] = []
    after_halving = False
    for place in range(cells):
        halves = place in (cells // 3, 2 * cells // 3)
        before = reduced(weights, first) if after_halving else weights.norm(weights.conv(first.clamp_min(0)))
        states = [before, weights.norm(weights.conv(second.clamp_min(0)))]
        for node in reduction if halves else normal:
            total = torch.zeros(())
            for name, source in node:
                stride = 2 if halves and source < 2 else 1
                made = operated(weights, name, states[source], stride)
                if kept is not None and not (name == "skip_connect" and stride == 1):
                    made = made * next(left)[:, None, None, None]
                total = total + made
            states.append(total)
        first, second, after_halving = second, torch.cat(states[2:], 1), halves
        seen.append(second)
    logits = weights.linear(second.mean((2, 3)))
    features = F.avg_pool2d(seen[2 * cells // 3].clamp_min(0), 5, 3)
    features = weights.norm(weights.conv(features)).clamp_min(0)
    features = weights.norm(weights.conv(features)).clamp_min(0)
    return logits, weights.linear(features.flatten(1))


def darts_parameters(text: str, cells: int, width: int, classes: int, channels: int = 3) -> int:
    """Trained weights of DARTS's network without the auxiliary classifier, counted layer by layer."""
    normal, reduction = genes_of(text)
    total = channels * 3 * width * 9 + 2 * 3 * width
    before = last = 3 * width
    for place in range(cells):
        halves = place in (cells // 3, 2 * cells // 3)
        width *= 2 if halves else 1
        total += before * width + 2 * width + last * width + 2 * width
        for node in reduction if halves else normal:
            for name, source in node:
                square = {"3": 9, "5": 25}.get(name[-1], 0)
                if name.startswith("sep"):
                    total += 2 * (square * width + width * width + 2 * width)
                if name.startswith("dil"):
                    total += square * width + width * width + 2 * width
                if name == "skip_connect" and halves and source < 2:
                    total += width * width + 2 * width
        before, last = last, 4 * width
    return total + last * classes + classes
