"""Names as people write them: CIFAR-10, NASBench201, SDARTS_RS. The standard library only."""

from __future__ import annotations

from collections.abc import Iterable

IMAGES = ("digits", "fashion-mnist", "cifar10", "cifar100", "svhn")
"""Data sets of images; a test holds them to ``catalog.DATASETS``, whose import takes PyTorch."""

DATA_SETS = (*IMAGES, "imagenet16-120")
"""Data sets of images or of tables."""


def squeezed(name: str) -> str:
    """The name without case, dashes, underscores and blanks."""
    return name.lower().translate(str.maketrans("", "", "-_ "))


def canonical(name: str, known: Iterable[str]) -> str:
    """The known name that differs in case, dashes, underscores and blanks at most, or else the name itself."""
    return next((other for other in known if squeezed(other) == squeezed(name)), name)


def canonical_data(name: str) -> str:
    """``canonical`` among the data sets."""
    return canonical(name, DATA_SETS)
