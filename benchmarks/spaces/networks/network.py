"""The words of networks that are trained from scratch: the network of one architecture, and its size.

Drop path is an argument: which paths a step leaves out is decided outside, so that a network is a function of images
and of what is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from nas_stability.benchmarks.spaces.layers.noise import DrawnValues, Values


class NetworkShape(NamedTuple):
    """The size of a network.

    Attributes:
        width: channels of the first cells.
        cells: in all (DARTS cells), per stage (NAS-Bench-201), or per stack (NAS-Bench-101).
        classes: number of classes.
        in_channels: channels of an image.
        auxiliary: whether it has a second classifier at two thirds of its depth, which is there in training alone.
    """

    width: int
    cells: int
    classes: int
    in_channels: int
    auxiliary: bool = False


class FoundNetwork(nn.Module):
    """The network of one architecture.

    Args:
        stem: images (B, C, H, W) -> features.
        blocks: called in order with (features, kept paths (paths, B) or None); one that has paths says how many by an
            attribute ``paths``.
        head: features -> logits (B, classes).
        auxiliary: the block after which the second classifier reads, and the classifier.
        drawn: where operations take their draws from; None: none draws.

    Attributes:
        paths: operations that drop path may leave out of an image, in all blocks.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Sequence[nn.Module],
        head: nn.Module,
        auxiliary: tuple[int, nn.Module] | None = None,
        drawn: DrawnValues | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.after = auxiliary[0] if auxiliary else -1
        self.auxiliary = auxiliary[1] if auxiliary else None
        self.drawn = drawn
        self.paths = sum(getattr(block, "paths", 0) for block in blocks)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Standardised images (B, C, H, W) -> logits (B, classes), and in training those of the second classifier.

        Args:
            images: standardised, (B, C, H, W).
            kept: (paths, B): 0 where an image does without an operation, else what its output is multiplied by; None:
                every path is kept as it is.
        """
        if self.drawn:
            self.drawn.begin()
        states: Any = self.stem(images)
        second, done = None, 0
        for place, block in enumerate(self.blocks):
            paths = getattr(block, "paths", 0)
            states = block(states, None if kept is None else kept[done : done + paths])
            done += paths
            if self.training and self.auxiliary is not None and place == self.after:
                second = self.auxiliary(states)
        logits: Tensor = self.head(states)
        return logits, second

    def drawing(self, given: Callable[[], Values]) -> contextlib.AbstractContextManager[object]:
        """Until it is left, operations that draw take their values from what this gives when a pass begins."""
        return self.drawn.taken_from(given) if self.drawn else contextlib.nullcontext()

    def trained(self, auxiliary: bool = True) -> list[nn.Parameter]:
        """The parameters that an output depends on; without ``auxiliary``, that of the first classifier alone."""
        return [
            value
            for name, value in self.named_parameters()
            if name.rpartition(".")[2] not in PLACEHOLDERS and (auxiliary or not name.startswith("auxiliary."))
        ]


PLACEHOLDERS = ("a", "dev_param")
"""Parameters that nasbench_pytorch's modules have beside their weights."""
