"""What a trained table is of: its spec, its images and what is left of each cell."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Half, Raw, halves, standardise
from nas_stability.benchmarks.spaces.facts import MODULE_HASH
from nas_stability.benchmarks.spaces.space import Space


@dataclass(frozen=True)
class TrainSpec:
    """How the networks are trained: everything that decides the numbers, and nothing else.

    The learning rate rises linearly over the first fifth of the steps and then falls to 0 as half a cosine. The
    optimizer is Adam without weight decay: with SGD, seeds differed more than twice as much in the pilot
    (results/tables/README.md).

    Attributes:
        space: name of a space made of NAS-Bench-101 cells, or ``darts``: cells of all the spaces of DARTS cells.
        cells: of ``darts`` as many cells as are trained; 0 elsewhere, where every distinct one is.
        data: name of the images.
        images: of the training images only the first n, halved into training and validation; 0: all.
        train_images: of the training half only the first n, which makes the task harder; 0: all.
        width: channels of the stem; doubled from stack to stack.
        stacks: stacks of cells, with a halved resolution between them.
        modules: cells per stack.
        epochs: passes over the training images.
        batch_size: images per step; a ragged last batch is kept.
        lr: highest learning rate.
        seeds: networks per cell; their seeds are 0, 1, ...
    """

    space: str = "nasbench1shot1-s1"
    cells: int = 0
    data: str = "digits"
    images: int = 0
    train_images: int = 360
    width: int = 8
    stacks: int = 3
    modules: int = 1
    epochs: int = 6
    batch_size: int = 90
    lr: float = 0.04
    seeds: int = 3

    @property
    def name(self) -> str:
        """Name of the table."""
        return f"{self.space}-{self.data}"

    def json(self) -> str:
        """All fields as JSON, keys sorted; without ``cells`` where it is 0, as before there was such a field."""
        fields = dataclasses.asdict(self)
        return json.dumps({name: value for name, value in fields.items() if name != "cells" or value}, sort_keys=True)

    def sha256(self) -> str:
        """SHA-256 of the JSON, in hexadecimal."""
        return hashlib.sha256(self.json().encode()).hexdigest()


class Examples(NamedTuple):
    """Standardised images, float32 (N, C, H, W), and labels, int64 (N,)."""

    images: Tensor
    labels: Tensor


class Splits(NamedTuple):
    """What a network is trained on and judged by; all are standardised alike.

    Attributes:
        train: the training half, or its beginning.
        valid: the validation half.
        test: the test images; None where the data has none.
        classes: number of classes.
    """

    train: Examples
    valid: Examples
    test: Examples | None
    classes: int


class TrainedNetwork(NamedTuple):
    """One trained network.

    Attributes:
        valid: images of the validation half classified correctly.
        test: test images classified correctly; None where there are none.
        seconds: processor time of training on one thread, without evaluation.
        parameters: trained weights.
    """

    valid: int
    test: int | None
    seconds: float
    parameters: int


def splits(spec: TrainSpec, raw: Raw) -> Splits:
    """The images of a spec. Mean and deviation are those of all the training images taken, as in the search.

    Raises:
        BadInput: the spec asks for more images than there are, or for more stacks than their size allows.
    """
    found = halves(raw, spec.images, torch.device("cpu"))
    if spec.train_images > len(found.train.labels):
        raise BadInput(
            f"the field 'train_images' asks for {spec.train_images} images, "
            f"the training half of {spec.data} has {len(found.train.labels)}"
        )
    if min(raw.images.shape[-2:]) < 1 << (spec.stacks - 1):
        raise BadInput(
            f"the field 'stacks' is {spec.stacks}: images of {' x '.join(map(str, raw.images.shape[-2:]))} "
            f"cannot be halved {spec.stacks - 1} times"
        )
    count = spec.train_images or len(found.train.labels)

    def examples(half: Half) -> Examples:
        return Examples(standardise(half, half.images, torch.float32), half.labels)

    test = None
    if raw.test_images is not None and raw.test_labels is not None:
        test = examples(found.train._replace(images=raw.test_images, labels=raw.test_labels))
    train = examples(found.train._replace(images=found.train.images[:count], labels=found.train.labels[:count]))
    return Splits(train, examples(found.valid), test, found.classes)


UNION_NAME = "darts"
"""The space that stands for all of DARTS cells."""

LEAST = {
    "cells": 0,
    "images": 0,
    "train_images": 0,
    "width": 2,
    "stacks": 1,
    "modules": 1,
    "epochs": 1,
    "batch_size": 2,
    "seeds": 1,
}
"""Smallest value of each whole field."""


def check(spec: TrainSpec, space: Space) -> None:
    """Refuses what cannot be trained.

    Raises:
        BadInput: naming the field.
    """
    for field, least in LEAST.items():
        if getattr(spec, field) < least:
            raise BadInput(f"the field {field!r} must be at least {least}, not {getattr(spec, field)}")
    if not (math.isfinite(spec.lr) and spec.lr > 0):
        raise BadInput(f"the field 'lr' must be a positive number, not {spec.lr}")
    if space.name != spec.space:
        raise BadInput(f"the field 'space' is {spec.space}, the space given is {space.name}")
    if space.facts.form != MODULE_HASH and spec.space != UNION_NAME:
        raise BadInput(
            f"the space {space.name} is not made of NAS-Bench-101 cells; those alone can be trained, and {UNION_NAME}, "
            "which stands for all spaces of DARTS cells"
        )
    if (spec.space == UNION_NAME) != (spec.cells > 0):
        raise BadInput(
            f"the field 'cells' is {spec.cells}: {UNION_NAME} takes the number of cells, such as 800"
            if spec.space == UNION_NAME
            else f"the field 'cells' is {spec.cells}: of {spec.space} every distinct cell is trained; leave it out"
        )
