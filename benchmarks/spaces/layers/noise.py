"""Values that an operation of a supernet draws: those of the step that is given them, else the same in every pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
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


NEAREST_TO_ONE = 1 - 2**-24
"""Of float32, below it; the normal values drawn from 32 bits end at 5.4 standard deviations."""


def float32_normal(seed: int) -> Values:
    """Draws of float32 in two thirds of the time of PyTorch's, which go through one core: channels-last as well.

    In a supernet with noise on every edge drawing is a quarter of an attack. 32 random bits are a uniform value u of
    (-1, 1), and sqrt(2) erfinv(u) is a standard normal one: the inverse of its distribution function.
    """
    bits = np.random.SFC64(seed)

    def values(shape: tuple[int, ...]) -> Tensor:
        batch, channels, *sides = shape
        count = math.prod(shape)
        drawn = bits.random_raw(-(-count // 2)).view(np.int32)[:count]
        uniform = torch.from_numpy(drawn).to(torch.float32).mul_(NEAREST_TO_ONE * 2**-31)
        return uniform.erfinv_().mul_(math.sqrt(2)).view(batch, *sides, channels).movedim(-1, 1)

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
