"""A search space of one's own: two edges in a row, each a convolution of 3x3, one of 1x1, or nothing; nine cells."""

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.facts import Facts, Form, Operation
from nas_stability.benchmarks.spaces.space import Arch, Cell, Mixture, Space, Supernet, SupernetShape
from nas_stability.benchmarks.tables.open_file import open_table

OPERATIONS = {
    "conv3x3": Operation("conv 3x3", "3x3"),
    "conv1x1": Operation("conv 1x1", "1x1"),
    "skip": Operation("skip", "skip", "skip"),
}
NAMES = tuple(OPERATIONS)
EDGES = 2
FACTS = Facts(
    title="Chain",
    defaults={
        "batch_size": 64,
        "valid_batches": "fresh",
        "depth": 2,
        "batch_norm_momentum": 0.1,
        "clip_counts_mixture": False,
        "table_epochs": 8,
    },
    operations=OPERATIONS,
    groups={0: (NAMES,) * EDGES},
    datasets=("digits",),
    form=Form("(conv3x3|conv1x1|skip)-(conv3x3|conv1x1|skip)", "pairs such as conv3x3-skip"),
)


def conv_norm(width: int, side: int, momentum: float) -> nn.Module:
    """A convolution and the BatchNorm behind it."""
    conv = nn.Conv2d(width, width, side, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width, momentum=momentum))


class Chain(nn.Module):
    """One cell of PyTorch's own modules; the harness differentiates it twice without being told how."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(conv_norm(width, side, momentum) for side in (3, 1)) for _ in range(EDGES)
        )

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (B, width, H, W), weights (edges, choices) -> features of the same shape."""
        for convs, row in zip(self.edges, weights, strict=True):
            choices = [*(conv(F.relu(features)) for conv in convs), features]
            features = torch.stack([weight * choice for weight, choice in zip(row, choices, strict=True)]).sum(0)
        return features


def supernet(shape: SupernetShape) -> Supernet:
    """``depth`` cells between a stem and a head."""
    stem = nn.Conv2d(shape.in_channels, shape.width, 3, padding=1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape.width, shape.classes))
    cells = [Chain(shape.width, shape.batch_norm_momentum) for _ in range(shape.depth)]

    def arrange(mixture: Mixture, images: int) -> list[Tensor]:
        return list(mixture[0].expand(shape.depth, -1, -1).unbind(0))

    return Supernet(stem, cells, head, arrange)


def chosen(mixture: Mixture) -> tuple[str, ...]:
    """The operation of each edge."""
    return tuple(NAMES[index] for index in mixture[0].argmax(-1).tolist())


def configuration(cell: Cell) -> Mixture:
    """The one-hot mixture of a cell."""
    return (F.one_hot(torch.tensor([NAMES.index(name) for name in cell.operations]), len(NAMES)).double(),)


@functools.cache
def cells() -> Mapping[Arch, tuple[Cell, int]]:
    """All nine."""
    matrix = tuple(tuple(int(target == source + 1) for target in range(EDGES + 1)) for source in range(EDGES + 1))
    every = itertools.product(sorted(NAMES), repeat=EDGES)
    return {"-".join(names): (Cell(matrix, names), 1) for names in every}


def neighbours(mixture: Mixture) -> tuple[Arch, ...]:
    """The four that differ in one edge."""
    own = chosen(mixture)
    return tuple(arch for arch in cells() if sum(map(str.__ne__, arch.split("-"), own)) == 1)


SPACE = Space(
    name="chain",
    facts=FACTS,
    shapes=((EDGES, len(NAMES)),),
    supernet=supernet,
    discretize=lambda mixture: "-".join(chosen(mixture)),
    cells=cells,
    neighbours=neighbours,
    configuration=configuration,
)
table = functools.partial(open_table, Path(__file__).with_name("chain-digits.parquet"))
