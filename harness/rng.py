"""Randomness as a function of (seed, purpose, epoch): there is no generator whose state matters.

Methods with the same seed share weights, batches and augmentation; a resumed run needs no generator state; measuring
cannot disturb the search. All draws are made on the CPU, so that a GPU sees the same ones.
"""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, purpose: str, epoch: int = 0, *place: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose in one epoch, or for one place in it: a step, a pass, a cell."""
    digest = hashlib.sha256("/".join(map(str, (seed, purpose, epoch, *place))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Float64 draws from [-1, 1), whatever the run's floating-point type."""
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
