"""Small archives of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

Arrays = dict[str, Any]


def images(count: int = 12, *shape: int) -> Any:
    """Random pixels (count, *shape), by default of 5 x 4 pixels."""
    generator = numpy.random.default_rng(count)
    return generator.integers(0, 256, (count, *(shape or (5, 4))), dtype=numpy.uint8)


def labels(count: int = 12, classes: int = 3) -> Any:
    """0, 1, ... in turn."""
    return numpy.arange(count) % classes


def training(**others: Any) -> Arrays:
    """Arrays that are taken, some of them replaced or more of them; None leaves one out."""
    merged = {"x_train": images(), "y_train": labels(), **others}
    return {name: array for name, array in merged.items() if array is not None}


def saved(path: Path, arrays: Arrays) -> Path:
    """The arrays as an npz file."""
    numpy.savez(path, **arrays)
    return path
