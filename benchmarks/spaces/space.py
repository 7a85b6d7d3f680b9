"""The words of the harness: Mixture, Alpha, Arch, Supernet, Space.

A search space is a few plain values. The supernet takes the mixture as an argument, so that an idea about the
architecture is tried by passing another mixture; nothing is overwritten and restored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import Facts
from nas_stability.benchmarks.spaces.layers.channels_last import channels_last
from nas_stability.benchmarks.spaces.layers.noise import DrawnValues, Values
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape

Mixture = tuple[Tensor, ...]
"""One (rows, choices) matrix per group of decisions, each row on the simplex.

A supernet also takes a matrix for each of its cells, (cells, rows, choices), in the order of the cells.
"""

Alpha = tuple[Tensor, ...]
"""The logits behind a mixture: (rows, choices) per group, leaves that require a gradient."""

Relax = Callable[[Alpha], Mixture]
"""Logits -> mixture, differentiable; ``shift_invariant`` marks one to which a row of logits is as good as shifted."""

Marked = TypeVar("Marked", bound=Relax)

Arch = str
"""Canonical text of a discrete architecture: the key of tables and a cell of the CSV."""


class Cell(NamedTuple):
    """A cell as a graph: ``matrix[i][j]`` is 1 where vertex i feeds vertex j; ``operations`` names the vertices."""

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]


class Supernet(nn.Module):
    """Every architecture of a space at once, mixed by the mixture.

    Composed of a stem that does not see the mixture, blocks ``(features, weights) -> features``, and a head. What a
    block hands on may be more than one tensor; the first is given the stem's. Features lie channels-last in memory: on
    a CPU pooling is four times and BatchNorm twice as fast as channels-first.

    Args:
        stem: images (B, C, H, W) -> features.
        blocks: modules called in order with (features, weights).
        head: features -> logits (B, classes).
        arrange: mixture and number of images -> the weights of each block. They are made once, then handed out as views
            of one tensor, so that their gradients are summed by one operation, not by one per block. All groups have a
            matrix for each cell, or none has.
        cells: how many of the blocks are mixed; None: all.

    Attributes:
        cells: the same number: what a mixture with a matrix per cell must have.
        drawn: where operations take their draws from; None: none draws, and the net is a function of its arguments.
    """

    drawn: DrawnValues | None = None

    def __init__(
        self,
        stem: nn.Module,
        blocks: list[nn.Module],
        head: nn.Module,
        arrange: Callable[[Mixture, int], Sequence[Any]],
        cells: int | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.arrange = arrange
        self.cells = len(blocks) if cells is None else cells
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, mixture: Mixture) -> Tensor:
        """Images (B, C, H, W), standardised, and a mixture -> logits (B, classes); a pass in training mode counts."""
        if self.training:
            counts = [
                module.get_buffer("num_batches_tracked")
                for module in self.modules()
                if getattr(module, "counted_together", False)  # PyTorch's own BatchNorms count for themselves
            ]
            if counts:
                torch._foreach_add_(counts, 1)
        return self.logits(self.stem(images), mixture)

    def logits(self, features: Tensor, mixture: Mixture) -> Tensor:
        """The stem's output and a mixture -> logits (B, classes): what depends on the mixture.

        Raises:
            BadInput: a group has a matrix per cell, but not as many as there are cells.
        """
        # With one channel in the image both layouts are the same to PyTorch, and the stem's output would be the other.
        states: Any = channels_last(features)
        arranged = self.arrange(alike(mixture, self.cells), len(features))
        if self.drawn:
            self.drawn.begin()
        for block, weights in zip(self.blocks, arranged, strict=True):
            states = block(states, weights)
        logits: Tensor = self.head(states)
        return logits

    def drawing(self, given: Callable[[], Values] | None) -> contextlib.AbstractContextManager[object]:
        """Until it is left, operations that draw take their values from what this gives when a pass begins."""
        return self.drawn.taken_from(given) if self.drawn and given else contextlib.nullcontext()


class SupernetShape(NamedTuple):
    """The size of a supernet.

    Attributes:
        width: channels of the stem.
        depth: cells per stage (NAS-Bench-201) or cells in all (NAS-Bench-1Shot1).
        classes: number of classes.
        in_channels: channels of an image.
        batch_norm_momentum: PyTorch's convention: the share of the newest batch in the running statistics.
        partial: one in so many channels goes through the operations that are mixed, the others pass by; 1: all do.
        single_path: whether of a mixture with a matrix per cell only the largest operation of each row is computed.
    """

    width: int
    depth: int
    classes: int
    in_channels: int
    batch_norm_momentum: float
    partial: int = 1
    single_path: bool = False


def as_large(side: int, depth: int) -> int:
    """The deepest side of a space that never halves its features."""
    return side


def needless(mixture: Mixture) -> str:
    """The description of a cell whose architecture says it all."""
    return ""


def own_names(net: Supernet) -> dict[str, Tensor]:
    """Weights and buffers under the supernet's own names: of a space that was not published elsewhere."""
    return dict(net.state_dict())


class PlainSupernet(NamedTuple):
    """The supernet of a space once more, of PyTorch's own modules: to be read, and to hold the fast one to.

    Attributes:
        supernet, published: as of the space; what they are of the same weights is the same, but for rounding.
    """

    supernet: Callable[[SupernetShape], Supernet]
    published: Callable[[Supernet], dict[str, Tensor]]


class Unlisted(NamedTuple):
    """What takes the place of the list of architectures where there are too many.

    Attributes:
        total: how many there are.
        sample: generator -> an architecture, each as likely as any other.
        mixture: an architecture -> its decided mixture, in float64 on the CPU; raises BadInput for another text.
    """

    total: int
    sample: Callable[[torch.Generator], Arch]
    mixture: Callable[[Arch], Mixture]


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        name: its name in the catalog.
        facts: what it is called and made of, for whoever needs no supernet.
        shapes: (rows, choices) of each group of decisions.
        supernet: size -> supernet, initialised from PyTorch's global generator.
        discretize: mixture -> architecture; ties go to the first choice.
        cells: every reachable architecture once, sorted, with its cell and the number of raw configurations that it
            stands for; None where there are too many.
        neighbours: mixture -> the distinct architectures one decision (another operation, or a kept input exchanged for
            another) away from the one that it decides for, sorted, without that.
        configuration: a cell of ``cells`` -> a decided mixture that discretises to it, in float64 on the CPU; kept
            inputs share the weight of their row equally; None without ``cells``.
        unlisted: what takes the place of both where there are too many architectures to list.
        network: architecture and size -> the network that it is trained as from scratch, initialised from PyTorch's
            global generator; None: nobody has said.
        deepest_side: side of an image in pixels and depth -> smallest side of features; images of every side pass.
        describe: mixture -> the decided cell as text for a record; empty where the architecture says it all.
        read: an architecture in any form that it is written in -> its text, or BadInput; None: there is one form.
        distance: two architectures -> the fewest decisions that lead from one to the other; None: not known.
        kept: how many choices a row of each group keeps, the largest of it; empty for one each.
        harden: as ``hardened``, where rows are not decided each by itself, as ``kept`` says; None: they are.
        draws: whether an operation of its supernet draws (``Supernet.drawn``).
        variants: what its supernet can be besides itself: "partial" and "single-path" (SupernetShape).
        published: a supernet -> views of its weights and buffers under the names of the published implementation.
        plain: the supernet without fast layers, where there are two; None: ``supernet`` is plain itself.

    Raises:
        ValueError: facts and shapes differ, a row keeps more than it has, or nothing lists or samples architectures.
    """

    name: str
    facts: Facts
    shapes: tuple[tuple[int, int], ...]
    supernet: Callable[[SupernetShape], Supernet]
    discretize: Callable[[Mixture], Arch]
    neighbours: Callable[[Mixture], tuple[Arch, ...]]
    cells: Callable[[], Mapping[Arch, tuple[Cell, int]]] | None = None
    configuration: Callable[[Cell], Mixture] | None = None
    unlisted: Unlisted | None = None
    read: Callable[[str], Arch] | None = None
    distance: Callable[[Arch, Arch], int] | None = None
    kept: tuple[int, ...] = ()
    harden: Callable[[Mixture], Mixture] | None = None
    draws: bool = False
    variants: tuple[str, ...] = ()
    network: Callable[[Arch, NetworkShape], FoundNetwork] | None = None
    deepest_side: Callable[[int, int], int] = as_large
    describe: Callable[[Mixture], str] = needless
    published: Callable[[Supernet], dict[str, Tensor]] = own_names
    plain: PlainSupernet | None = None

    def __post_init__(self) -> None:
        for group, rows in self.facts.groups.items():
            named, shape = [len(row) for row in rows], self.shapes[group]
            if named != [shape[1]] * shape[0]:
                raise ValueError(f"the facts of {self.name} name {named} choices in the rows of group {group}: {shape}")
        if not self.kept:
            object.__setattr__(self, "kept", (1,) * len(self.shapes))
        fits = [0 < count <= choices for count, (_, choices) in zip(self.kept, self.shapes, strict=False)]
        if len(self.kept) != len(self.shapes) or not all(fits):
            raise ValueError(f"the rows of {self.name} cannot keep {self.kept} choices of {self.shapes}")
        if (self.cells is None) != (self.configuration is None) or (self.cells is None) != (self.unlisted is not None):
            raise ValueError(f"{self.name} needs either cells and configuration or, where they are too many, unlisted")

    @property
    def listed(self) -> Mapping[Arch, tuple[Cell, int]]:
        """Every reachable architecture, as ``cells`` has them.

        Raises:
            BadInput: there are too many.
        """
        if self.cells is None:
            raise BadInput(
                f"{self.name} has {self.count():,} architectures, too many to list: sample(), neighbours and distance "
                "tell of them one at a time"
            )
        return self.cells()

    def archs(self) -> tuple[Arch, ...]:
        """Every reachable architecture, once, sorted; raises BadInput where there are too many."""
        return tuple(self.listed)

    def count(self) -> int:
        """How many reachable architectures there are."""
        return self.unlisted.total if self.unlisted else len(self.listed)

    def sample(self, generator: torch.Generator) -> Arch:
        """An architecture of a raw configuration, each configuration as likely as any other."""
        if self.unlisted:
            return self.unlisted.sample(generator)
        counts = torch.tensor([count for _, count in self.listed.values()], dtype=torch.float64)
        return self.archs()[int(torch.multinomial(counts, 1, generator=generator))]

    def mixture(self, arch: Arch) -> Mixture:
        """The decided mixture of an architecture, in float64 on the CPU.

        Raises:
            BadInput: the space does not reach it.
        """
        if self.unlisted:
            return self.unlisted.mixture(arch)
        if arch not in self.listed:
            raise BadInput(f"{self.name} does not reach the architecture {arch[:60]!r}")
        assert self.configuration is not None
        return self.configuration(self.listed[arch][0])

    def hardened(self, mixture: Mixture) -> Mixture:
        """The decided mixture of rows of any numbers, the order of which decides; no value is read back."""
        return self.harden(mixture) if self.harden else hardened(mixture, self.kept)


def alike(mixture: Mixture, cells: int) -> Mixture:
    """The mixture as it is where all cells share it; else every group with a matrix per cell, (cells, rows, choices).

    Raises:
        BadInput: another number of matrices than of cells.
    """
    if all(group.ndim == 2 for group in mixture):
        return mixture
    for place, group in enumerate(mixture):
        if group.ndim not in (2, 3) or (group.ndim == 3 and len(group) != cells):
            raise BadInput(
                f"group {place} of the mixture has the shape {tuple(group.shape)}: make it (rows, choices), "
                f"or ({cells}, rows, choices) for the {cells} cells of this supernet"
            )
    return tuple(group if group.ndim == 3 else group.expand(cells, -1, -1) for group in mixture)


def shift_invariant(relax: Marked) -> Marked:
    """Marks a relaxation that gives the same mixture when a number is added to all logits of a row.

    The Hessian then takes a tangent less per row; with a wrong mark it is wrong. An object has it as an attribute.
    """
    relax.shift_invariant = True  # type: ignore[attr-defined]
    return relax


@shift_invariant
def softmax(alpha: Alpha) -> Mixture:
    """The mixture of the logits: the softmax of each row."""
    return tuple(torch.softmax(logits, dim=-1) for logits in alpha)


def one_hot(mixture: Mixture) -> Mixture:
    """The mixture with all of each row's weight on its largest entry (ties: the first); no value is read back."""
    return tuple(torch.zeros_like(rows).scatter(-1, rows.argmax(-1, keepdim=True), 1.0) for rows in mixture)


def hardened(mixture: Mixture, kept: Sequence[int]) -> Mixture:
    """The decided mixture: each row's weight in equal parts on its ``kept`` largest (ties: the first).

    The rows are of any numbers, the order of which decides. No value is read back.
    """
    return tuple(
        torch.zeros_like(rows).scatter(
            -1, rows.sort(dim=-1, descending=True, stable=True).indices[..., :count], 1 / count
        )
        for rows, count in zip(mixture, kept, strict=True)
    )


def leading(row: list[float], count: int) -> list[int]:
    """Indices of the ``count`` largest entries of a row, in ascending order; ties go to the first."""
    return sorted(sorted(range(len(row)), key=lambda index: (-row[index], index))[:count])
