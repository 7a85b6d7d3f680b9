"""Values that an operation of a supernet draws: those of the step that is given them, else the same in every pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Values = Callable[[tuple[int, ...]], Tensor]
"""Shape -> standard normal values of that shape, others at every call."""


def standard_normal(generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Values:
    """Draws of a generator on the CPU; those of float32 take a fifth of the time, and are others.

    They lie channels-last, as the features do that convolutions make beside them: sums of both layouts are slow.
    """

    def values(shape: tuple[int, ...]) -> Tensor:
        batch, channels, *sides = shape
        return torch.randn((batch, *sides, channels), generator=generator, dtype=dtype).movedim(-1, 1)

    return values


class DrawnValues:
    """Where the operations of one supernet take their draws from, in the order in which they compute.

    Within ``taken_from`` every pass asks for a source: the same, of which draws go on from pass to pass, or another.
    Outside it every pass draws the same, so that the net is a function of images and mixture: its Hessian is that of
    one function, and measuring moves nothing.
    """

    def __init__(self) -> None:
        self.given: Callable[[], Values] = always_the_same
        self.source = always_the_same()

    def begin(self) -> None:
        """A pass begins."""
        self.source = self.given()

    def like(self, features: Tensor, stride: int) -> Tensor:
        """The next draws, for features (B, C, H, W) of which every ``stride``-th row and column counts."""
        batch, channels, *sides = features.shape
        height, breadth = (-(-side // stride) for side in sides)
        return self.source((batch, channels, height, breadth)).to(features)

    @contextlib.contextmanager
    def taken_from(self, given: Callable[[], Values]) -> Iterator[None]:
        """Until it is left every pass takes its draws from what this gives when the pass begins."""
        self.given, before = given, self.given
        try:
            yield
        finally:
            self.given = before


def always_the_same() -> Values:
    """Draws that depend on nothing."""
    return standard_normal(torch.Generator().manual_seed(0))
