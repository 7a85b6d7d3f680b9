"""Images in an array: which types, shapes and values are taken, as what and in which order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput

CHANNELS = (1, 3)
"""How many an image may have."""

_FRACTIONS = (
    "; convert pixels from 0 to 1 by (x * 255).round().astype('uint8'), "
    "pixels from 0 to 255 by x.round().astype('uint8')"
)
_INTEGERS = "; convert pixels from 0 to 255 by x.astype('uint8')"
CONVERSIONS = {"f": _FRACTIONS, "i": _INTEGERS, "u": _INTEGERS, "b": "; convert by x * numpy.uint8(255)"}
"""Kind of a type in numpy's letters -> how images of it become uint8."""


def channels_first(images: NDArray[Any], name: str) -> Tensor:
    """uint8 images (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels -> (N, C, H, W).

    Raises:
        BadInput: another shape or type, or channels could be first as well as last.
    """
    refuse_shape(images.shape, images.dtype, name)
    found = torch.from_numpy(numpy.ascontiguousarray(images))
    if found.ndim == 3:
        return found.unsqueeze(1)
    if found.shape[1] in CHANNELS:
        return found
    return found.permute(0, 3, 1, 2).contiguous()


def refuse_shape(shape: Sequence[int], dtype: numpy.dtype[Any], name: str) -> None:
    """Refuses what ``channels_first`` cannot take.

    Args:
        shape: of the array.
        dtype: likewise.
        name: of the images, with which the message begins.

    Raises:
        BadInput: saying what is there, what is expected and how to get there.
    """
    expected = "images must be uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels"
    there = f"{name}: {expected}, not {dtype.name} of shape {tuple(shape)}"
    if dtype != numpy.uint8:
        raise BadInput(there + CONVERSIONS.get(dtype.kind, ""))
    if len(shape) not in (3, 4):
        raise BadInput(there)
    if 0 in shape:
        raise BadInput(f"{there}: there is nothing in it")
    if len(shape) == 4:
        ends = [shape[axis] in CHANNELS for axis in (1, 3)]
        if not any(ends):
            raise BadInput(f"{there}: neither axis 1 nor axis 3 holds 1 or 3 channels")
        if all(ends):
            raise BadInput(f"{there}: axis 1 and axis 3 could both be the channels; give sides of 4 or more")


def refuse_pixels(what: str, images: Tensor) -> None:
    """Refuses images of one value, and of 0 and 1 alone: what is left of fractions that were cast to uint8."""
    lowest, highest = int(images.min()), int(images.max())
    if lowest == highest:
        raise BadInput(f"{what}: every pixel is {lowest}")
    if highest == 1:
        raise BadInput(
            f"{what}: every pixel is 0 or 1, as of fractions that were cast; pixels from 0 to 255 are expected: "
            "(x * 255).round().astype('uint8') of the fractions, or x * 255 of black and white images"
        )


def random_order(count: int) -> Tensor:
    """Indices in a random order, the same each time; the halves of images sorted by class would have other classes."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
