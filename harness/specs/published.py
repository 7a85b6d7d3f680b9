"""What the paper uses where that depends on the data; where it depends on the space the space's facts have it."""

from __future__ import annotations

from nas_stability.harness.specs.fields import Value

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
