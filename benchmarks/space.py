"""The words of the harness: Mixture, Alpha, Arch, Supernet, Space.

A search space is a few plain values. The supernet takes the mixture as an argument, so that an idea about the
architecture is tried by passing another mixture; nothing is overwritten and restored.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

Mixture = tuple[Tensor, ...]
"""One (rows, choices) matrix per group of decisions, each row on the simplex."""

Alpha = tuple[Tensor, ...]
"""The logits behind a mixture: same shapes, leaves that require a gradient."""

Arch = str
"""Canonical text of a discrete architecture: the key of tables and a cell of the CSV."""


class Cell(NamedTuple):
    """A cell as a graph: ``matrix[i][j]`` is 1 where vertex i feeds vertex j; ``operations`` names the vertices."""

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's, but it does not count its passes: the supernet counts those of all its BatchNorms in one operation."""

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, C, H, W) -> the same shape; ``scale`` (C,) stands in for the weight of one without affine part.

        The mixture enters here where nothing but a sum stands behind: exact, and a multiplication saved.
        """
        return F.batch_norm(
            features,
            self.running_mean,
            self.running_var,
            self.weight if scale is None else scale,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


class ConvNorm(nn.Module):
    """A convolution without bias and the BatchNorm behind it, which are one convolution while the net is ``folded``.

    Args:
        in_width: channels of its input.
        width: channels of its output.
        kernel: side of the kernel; zeros are padded so that only the stride shrinks the resolution.
        momentum: of the BatchNorm.
        stride: of the convolution.
        affine: whether the BatchNorm has a weight and a bias.
    """

    def __init__(
        self, in_width: int, width: int, kernel: int, momentum: float, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel, stride, kernel // 2, bias=False)
        self.norm = BatchNorm(width, momentum=momentum, affine=affine)
        self.folded: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Features (B, in_width, H, W) -> (B, width, H / stride, W / stride); ``scale`` as BatchNorm's."""
        convolved, norm = self.parts(features)
        return norm(convolved, scale) if norm else convolved

    def parts(self, features: Tensor) -> tuple[Tensor, BatchNorm | None]:
        """The convolved features, and the BatchNorm that they still have before them: None while the net is folded."""
        if self.folded:
            weight, bias = self.folded
            return F.conv2d(features, weight, bias, self.conv.stride, self.conv.padding), None
        return self.conv(features), self.norm


@contextlib.contextmanager
def folded(net: nn.Module) -> Iterator[None]:
    """Running statistics and affine part of each BatchNorm in the convolution before it, for a net in evaluation mode.

    Exact but for rounding; for an attack, which passes the same weights through many mixtures. BatchNorms without
    affine part stay: the mixture is their scale.
    """
    pairs = [module for module in net.modules() if isinstance(module, ConvNorm) and module.norm.affine]
    norms = [pair.norm for pair in pairs]
    means, variances = ([norm.get_buffer(f"running_{name}") for norm in norms] for name in ("mean", "var"))
    with torch.no_grad():
        spread = torch._foreach_add(variances, norms[0].eps)
        gains = torch._foreach_div([norm.weight for norm in norms], torch._foreach_sqrt(spread))
        shifts = torch._foreach_addcmul([norm.bias for norm in norms], gains, means, value=-1.0)
        weights = torch._foreach_mul([pair.conv.weight for pair in pairs], [gain.view(-1, 1, 1, 1) for gain in gains])
    for pair, weight, shift in zip(pairs, weights, shifts, strict=True):
        pair.folded = (weight, shift)
    try:
        yield
    finally:
        for pair in pairs:
            pair.folded = None


class Supernet(nn.Module):
    """Every architecture of a space at once, mixed by the mixture.

    Composed of a stem that does not see the mixture, blocks ``(features, weights) -> features``, and a head. Features
    lie channels-last in memory: on a CPU pooling is four times and BatchNorm twice as fast as channels-first.

    Args:
        stem: images (B, C, H, W) -> features.
        blocks: modules called in order with (features, weights).
        head: features -> logits (B, classes).
        arrange: mixture and number of images -> the weights of each block. They are made once, then handed out as views
            of one tensor, so that their gradients are summed by one operation, not by one per block.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: list[nn.Module],
        head: nn.Module,
        arrange: Callable[[Mixture, int], Sequence[Any]],
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.arrange = arrange
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, mixture: Mixture) -> Tensor:
        """Images (B, C, H, W), standardised, and a mixture -> logits (B, classes); a pass in training mode counts."""
        if self.training:
            torch._foreach_add_([count for name, count in self.named_buffers() if name.endswith("tracked")], 1)
        return self.logits(self.stem(images), mixture)

    def logits(self, features: Tensor, mixture: Mixture) -> Tensor:
        """The stem's output and a mixture -> logits (B, classes): what depends on the mixture."""
        # With one channel in the image both layouts are the same to PyTorch, and the stem's output would be the other.
        features = channels_last(features)
        for block, weights in zip(self.blocks, self.arrange(mixture, len(features)), strict=True):
            features = block(features, weights)
        logits: Tensor = self.head(features)
        return logits


class SupernetShape(NamedTuple):
    """The size of a supernet.

    Attributes:
        width: channels of the stem.
        depth: cells per stage (NAS-Bench-201) or cells in all (NAS-Bench-1Shot1).
        classes: number of classes.
        in_channels: channels of an image.
        batch_norm_momentum: PyTorch's convention: the share of the newest batch in the running statistics.
    """

    width: int
    depth: int
    classes: int
    in_channels: int
    batch_norm_momentum: float


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        name: its name in the catalog.
        shapes: (rows, choices) of each group of decisions.
        operations: names of the choices of group 0, in order.
        parameter_free: which of the operations have no weights, by kind: "skip", "none", "pool".
        datasets: datasets that its public table answers for.
        supernet: size -> supernet, initialised from PyTorch's global generator.
        discretize: mixture -> architecture; ties go to the first choice.
        describe: mixture -> the decided cell as text for a record; empty where the architecture says it all.
        cells: every reachable architecture once, in sorted order, with its cell and the number of raw
            configurations (parents x operations) that it stands for.
        neighbours: mixture -> the distinct architectures one decision away from the one that it decides for (another
            operation, or one kept input exchanged for one that is not), sorted, without the architecture itself.
        configuration: a cell of ``cells`` -> a decided mixture that discretises to it, in float64 on the CPU: each
            operation's row is one-hot, kept inputs share the weight of their row equally.
        published: a supernet -> views of its weights and buffers under the names of the published implementation.
    """

    name: str
    shapes: tuple[tuple[int, int], ...]
    operations: tuple[str, ...]
    parameter_free: Mapping[str, str]
    datasets: tuple[str, ...]
    supernet: Callable[[SupernetShape], Supernet]
    discretize: Callable[[Mixture], Arch]
    describe: Callable[[Mixture], str]
    cells: Callable[[], Mapping[Arch, tuple[Cell, int]]]
    neighbours: Callable[[Mixture], tuple[Arch, ...]]
    configuration: Callable[[Cell], Mixture]
    published: Callable[[Supernet], dict[str, Tensor]]

    def archs(self) -> tuple[Arch, ...]:
        """Every reachable architecture, once, sorted."""
        return tuple(self.cells())


def channels_last(features: Tensor) -> Tensor:
    """The features (B, C, H, W) without gaps and channels-last in memory; under vmap too, unlike PyTorch's argument."""
    return features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


Returned = TypeVar("Returned")


def replaceable(function: Callable[..., Returned]) -> Callable[..., Returned]:
    """The function as one that a TorchFunctionMode sees as a whole, as it sees PyTorch's own; called by position."""

    @functools.wraps(function)
    def seen(*args: Any) -> Returned:
        if has_torch_function(args):
            replaced: Returned = handle_torch_function(seen, args, *args)
            return replaced
        return function(*args)

    return seen


@replaceable
def blend(weights: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Weighted sums of features by a matrix product for each image, whose gradients are products too.

    One product over all images would use one core, and less than half of what its memory can deliver.

    Args:
        weights: for each image, (B, m, n).
        features: n tensors of one shape (B, C, H, W), channels-last in memory.

    Returns:
        m tensors of that shape, each image channels-last.
    """
    return apart(torch.bmm(weights, side_by_side(features)), features[0])


def side_by_side(features: Sequence[Tensor]) -> Tensor:
    """n features (B, C, H, W), channels-last, as rows (B, n, H * W * C)."""
    rows = torch.stack([tensor.permute(0, 2, 3, 1) for tensor in features], 1)
    return rows.reshape(len(rows), len(features), -1)


def apart(rows: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """Rows (B, n, H * W * C) as n features (B, C, H, W), each image channels-last, views of them."""
    batch, channels, height, breadth = like.shape
    return tuple(part.permute(0, 3, 1, 2) for part in rows.view(batch, -1, height, breadth, channels).unbind(1))


def pixelwise(values: Tensor) -> Tensor:
    """Values per channel (..., C) -> (..., 1, C, 1, 1), beside features."""
    return values[..., None, :, None, None]


def softmax(alpha: Alpha) -> Mixture:
    """The mixture of the logits: the softmax of each row."""
    return tuple(torch.softmax(logits, dim=-1) for logits in alpha)


def one_hot(mixture: Mixture) -> Mixture:
    """The mixture with all of each row's weight on its largest entry (ties: the first)."""
    return tuple(F.one_hot(rows.argmax(-1), rows.shape[-1]).to(rows.dtype) for rows in mixture)


def entropy(mixture: Mixture) -> float:
    """Mean over all rows of the entropy as a share of its maximum: 1 is uniform, 0 is decided. No unit."""
    rows = [
        float(torch.special.entr(row.double()).sum() / math.log(len(row)))
        for group in mixture
        for row in group.detach().cpu()
    ]
    return sum(rows) / len(rows)


def leading(row: list[float], count: int) -> list[int]:
    """Indices of the ``count`` largest entries of a row, in ascending order; ties go to the first."""
    return sorted(sorted(range(len(row)), key=lambda index: (-row[index], index))[:count])


def tensors(prefix: str, module: Any, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
    """Views of one of equal ``parts`` of a module's tensors along their first dimension, named ``prefix.NAME``."""
    return {
        f"{prefix}.{name}": value if value.ndim == 0 else value.chunk(parts)[part]
        for name, value in module.state_dict().items()
    }


def paired(conv: str, norm: str, pair: Any, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
    """Views of a ConvNorm's tensors, its convolution's named ``conv.NAME`` and its BatchNorm's ``norm.NAME``."""
    return tensors(conv, pair.conv, part, parts) | tensors(norm, pair.norm, part, parts)
