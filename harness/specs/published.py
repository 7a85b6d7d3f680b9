"""What the paper uses where that depends on the space or the data: the defaults of RunSpec's required fields."""

from __future__ import annotations

from nas_stability.harness.specs.fields import Value

_SHARED_1SHOT1: dict[str, Value] = {
    "batch_size": 96,
    "valid_batches": "pass",
    "depth": 9,
    "batch_norm_momentum": 0.997,
    "clip_counts_mixture": False,
    "table_epochs": 108,
}

PUBLISHED: dict[str, dict[str, Value]] = {
    "nasbench201": {
        "batch_size": 64,
        "valid_batches": "fresh",
        "depth": 5,
        "batch_norm_momentum": 0.1,
        "clip_counts_mixture": True,
        "table_epochs": 200,
    },
    "nasbench1shot1-s1": _SHARED_1SHOT1,
    "nasbench1shot1-s2": _SHARED_1SHOT1,
    "nasbench1shot1-s3": _SHARED_1SHOT1,
}
"""What the paper uses for each space, where that differs between spaces (facts of the method, sections 2 and 3)."""

AUGMENTATION: dict[str, dict[str, Value]] = {
    "digits": {"crop_padding": 0, "flip": False},
    "fashion-mnist": {"crop_padding": 2, "flip": True},
    "imagenet16-120": {"crop_padding": 2, "flip": True},
    "svhn": {"crop_padding": 4, "flip": False},
}
"""Augmentation of the data sets for which that of the CIFAR searches (crop with padding 4, flip) makes no sense.

That of imagenet16-120 is NAS-Bench-201's.
"""

PUBLISHED_AUGMENTATION: dict[str, Value] = {"crop_padding": 4, "flip": True}
"""Of the CIFAR searches: everything else."""
