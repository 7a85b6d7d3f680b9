"""Images as uint8 tensors on the device; batches and augmentation by index arithmetic there.

No worker processes; what is drawn for an epoch goes to the device before its first batch, and nothing comes back.
Augmentation is the published one of the CIFAR searches: zero padding and a random crop, a random horizontal flip, then
standardisation; cutout sets a square to the mean.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput


class Raw(NamedTuple):
    """A data set as loaded, on the CPU: uint8 images (N, C, H, W) and int64 labels (N,) from 0, all of one size.

    Attributes:
        images: for training; halved, unless there are images for validation.
        labels: of them.
        test_images: None where the data has none.
        test_labels: likewise.
        valid_images: that move the logits, where the data set says which; ``images`` then moves the weights whole.
        valid_labels: likewise.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    valid_images: Tensor | None = None
    valid_labels: Tensor | None = None


class Half(NamedTuple):
    """Images of one purpose, on the device.

    Attributes:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: per channel (1, C, 1, 1), in units of the raw values.
        deviation: per channel, likewise.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    deviation: Tensor


class Dataset(NamedTuple):
    """What a search sees of a data set: the first half of the training images moves the weights, the second the logits.

    Attributes:
        train: first half, or all training images of a data set that has its own for validation.
        valid: second half, or those.
        classes: number of classes.
        in_channels: channels of an image.
    """

    train: Half
    valid: Half
    classes: int
    in_channels: int


class Augmentation(NamedTuple):
    """What happens to an image before it is standardised.

    Attributes:
        crop_padding: zero padding in pixels on each side before a random crop of the original size; 0: none.
        flip: whether half of the images are mirrored.
        cutout: side of a square set to the mean, in pixels; 0: none.
    """

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0


def half_sizes(raw: Raw, images: int) -> tuple[int, int]:
    """How many images move the weights and how many the logits.

    Of ``images`` the first half moves the weights and the rest the logits, also where each has images of its own.

    Args:
        raw: the data set.
        images: taken in all; 0: every one.

    Raises:
        BadInput: more than there are, or fewer than 4.
    """
    count, own = len(raw.labels), raw.valid_labels
    middle, rest = images // 2, images - images // 2
    if own is None and images > count:
        raise BadInput(f"the field 'images' asks for {images} images, the data has {count}")
    if own is not None and (middle > count or rest > len(own)):
        raise BadInput(
            f"the field 'images' asks for {middle} images for training and {rest} for validation, "
            f"the data has {count} and {len(own)}; 0 takes all"
        )
    if images:
        first, second = middle, rest
    else:
        first, second = (count // 2, count - count // 2) if own is None else (count, len(own))
    if min(first, second) >= 2:
        return first, second
    if 0 < images < 4:
        raise BadInput(f"the field 'images' must be at least 4 (two halves of two), not {images}")
    raise BadInput(f"the data has {first} images for training and {second} for validation; each takes at least 2")


def halves(raw: Raw, images: int, device: torch.device) -> Dataset:
    """The images that move the weights and those that move the logits, on the device (``half_sizes``).

    Mean and deviation are those of all the images taken.

    Raises:
        BadInput: more images asked for than there are, or fewer than 4.
    """
    middle, rest = half_sizes(raw, images)
    count = middle + rest
    if raw.valid_images is None or raw.valid_labels is None:
        taken, labels = raw.images[:count], raw.labels[:count]
    else:
        taken = torch.cat([raw.images[:middle], raw.valid_images[:rest]])
        labels = torch.cat([raw.labels[:middle], raw.valid_labels[:rest]])
    mean = taken.double().mean((0, 2, 3), keepdim=True)
    deviation = taken.double().var((0, 2, 3), keepdim=True, unbiased=False).sqrt().clamp_min(1.0)
    parts = [
        Half(taken[part].to(device), labels[part].to(device), mean.to(device), deviation.to(device))
        for part in (slice(0, middle), slice(middle, count))
    ]
    return Dataset(parts[0], parts[1], int(raw.labels.max()) + 1, raw.images.shape[1])


def sha256_of(raw: Raw) -> str:
    """SHA-256 over names, types, shapes and values of all tensors of a data set, the same on every machine."""
    digest = hashlib.sha256()
    for name, part in raw._asdict().items():
        if part is not None:
            array = numpy.ascontiguousarray(part.numpy())
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.reshape(-1).view(numpy.uint8).data)
    return digest.hexdigest()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on the device; the host does not wait for the copy to a GPU."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def standardise(half: Half, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Raw images -> zero mean and unit deviation per channel."""
    return ((images.to(dtype) - half.mean.to(dtype)) / half.deviation.to(dtype)).to(dtype)


def draw_batches(
    half: Half,
    batch_size: int,
    augmentation: Augmentation,
    generator: torch.Generator,
    fresh: bool,
    drop_last: bool,
    steps: int,
    dtype: torch.dtype,
) -> Iterator[tuple[Tensor, Tensor]]:
    """``steps`` batches of augmented, standardised images (B, C, H, W) and labels (B,).

    Args:
        half: the images to draw from.
        batch_size: images per batch; the last one of a pass may be smaller.
        augmentation: of each image.
        generator: a CPU generator; everything is drawn from it before the first batch.
        fresh: draw each batch anew without replacement within it, instead of one pass over a permutation.
        drop_last: drop a ragged last batch of a pass.
        steps: number of batches; a pass that is shorter begins again with the same permutation.
        dtype: floating-point type of the images.
    """
    order = index_batches(len(half.labels), batch_size, generator, fresh, drop_last, steps)
    device = half.images.device
    sizes = [len(batch) for batch in order]
    indices = sent(torch.cat(order), device).split(sizes)
    places = [
        sent(part, device).split(sizes)
        for part in draw_places(sum(sizes), half.images.shape[-2:], augmentation, generator)
    ]
    for batch, rows, columns, flips, centre_rows, centre_columns in zip(indices, *places, strict=True):
        images = crop(half.images, batch, rows, columns, flips)
        images = standardise(half, images, dtype)
        if augmentation.cutout:
            images = images * outside_square(images, centre_rows, centre_columns, augmentation.cutout)
        yield images, half.labels[batch]


def index_batches(
    count: int, batch_size: int, generator: torch.Generator, fresh: bool, drop_last: bool, steps: int
) -> list[Tensor]:
    """Indices of ``steps`` batches out of ``count`` images."""
    if fresh:
        return [torch.randperm(count, generator=generator)[:batch_size] for _ in range(steps)]
    order = list(torch.randperm(count, generator=generator).split(batch_size))
    if drop_last and len(order) > 1 and len(order[-1]) < batch_size:
        order.pop()
    return [order[step % len(order)] for step in range(steps)]


def batch_sizes(count: int, batch_size: int, fresh: bool, drop_last: bool, steps: int) -> list[int]:
    """Images in each of the batches of ``index_batches``."""
    if fresh:
        return [min(count, batch_size)] * steps
    whole, ragged = divmod(count, batch_size)
    order = [batch_size] * whole + [ragged] * (ragged > 0 and not (drop_last and whole))
    return [order[step % len(order)] for step in range(steps)]


def draw_places(
    count: int, size: tuple[int, ...], augmentation: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """For ``count`` images: offsets of the crop (rows, columns), flips, centres of the cutout (rows, columns)."""
    height, breadth = size
    reach = 2 * augmentation.crop_padding + 1

    def integers(limit: int) -> Tensor:
        return torch.randint(limit, (count,), generator=generator)

    flips = integers(2).bool() if augmentation.flip else torch.zeros(count, dtype=torch.bool)
    rows, columns = integers(reach) - augmentation.crop_padding, integers(reach) - augmentation.crop_padding
    return rows, columns, flips, integers(height), integers(breadth)


def crop(images: Tensor, batch: Tensor, rows: Tensor, columns: Tensor, flips: Tensor) -> Tensor:
    """Images ``batch`` shifted by (rows, columns) pixels with zeros from outside, then mirrored where ``flips``.

    Args:
        images: (N, C, H, W).
        batch: indices (B,).
        rows: (B,) first row of the crop, relative to the image; may be negative.
        columns: (B,) likewise.
        flips: (B,) bool.
    """
    _, channels, height, breadth = images.shape
    device = images.device
    across = torch.arange(breadth, device=device).expand(len(batch), breadth)
    across = torch.where(flips.unsqueeze(1), breadth - 1 - across, across) + columns.unsqueeze(1)
    down = torch.arange(height, device=device) + rows.unsqueeze(1)
    inside = ((down >= 0) & (down < height)).unsqueeze(2) & ((across >= 0) & (across < breadth)).unsqueeze(1)
    taken = images[
        batch.view(-1, 1, 1, 1),
        torch.arange(channels, device=device).view(1, -1, 1, 1),
        down.clamp(0, height - 1).view(len(batch), 1, height, 1),
        across.clamp(0, breadth - 1).view(len(batch), 1, 1, breadth),
    ]
    return taken * inside.unsqueeze(1)


def outside_square(images: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Mask (B, 1, H, W): 0 in the square of ``side`` pixels around (rows, columns), cut at the border; 1 outside."""
    height, breadth = images.shape[-2:]
    down = torch.arange(height, device=images.device) - (rows - side // 2).unsqueeze(1)
    across = torch.arange(breadth, device=images.device) - (columns - side // 2).unsqueeze(1)
    inside = ((down >= 0) & (down < side)).unsqueeze(2) & ((across >= 0) & (across < side)).unsqueeze(1)
    return (~inside).unsqueeze(1).to(images.dtype)


def plain_batches(half: Half, batch_size: int, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, standardised, not augmented."""
    for images, labels in zip(half.images.split(batch_size), half.labels.split(batch_size), strict=True):
        yield standardise(half, images, dtype), labels


def fixed_batch(half: Half, batch_size: int, generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One random batch without replacement, not augmented: the probe of measurements."""
    batch = sent(torch.randperm(len(half.labels), generator=generator)[:batch_size], half.images.device)
    return standardise(half, half.images[batch], dtype), half.labels[batch]


DIGITS_TRAIN = 1437
"""Of scikit-learn's 1,797 digits the first 1,437 are for training, the last 360 for test."""


def digits(directory: Path) -> Raw:
    """scikit-learn's digits: 8x8 pixels, one channel, 10 classes; nothing is downloaded."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy((found.images * 15).round().astype(numpy.uint8)).unsqueeze(1)
    labels = torch.from_numpy(found.target.astype(numpy.int64))
    return Raw(images[:DIGITS_TRAIN], labels[:DIGITS_TRAIN], images[DIGITS_TRAIN:], labels[DIGITS_TRAIN:])


Loader = Callable[[Path], Raw]
"""Folder for downloads -> data set."""


def steps_per_epoch(images: int, batch_size: int, drop_last: bool) -> int:
    """Batches of one pass over ``images``; at least one."""
    return max(1, (math.floor if drop_last else math.ceil)(images / batch_size))
