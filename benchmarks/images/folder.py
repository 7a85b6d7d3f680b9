"""Images of one's own: a folder of files, one sub-folder per class (``folder_files`` has the layout).

    colour, grey    as they are, one or the other in the whole folder, all of one size, 8 bits per channel
    palette         becomes colour; black and white of one bit becomes grey: either loses nothing
    transparency    dropped where everything is opaque, refused otherwise: nobody said what is behind it

Pixels are those that are stored, as torchvision's ImageFolder has them: a camera's note on which side is up is not
heeded.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput, CorruptFile, shown
from nas_stability.benchmarks.images.dataset import Raw
from nas_stability.benchmarks.images.folder_files import ImageFile, listed
from nas_stability.benchmarks.images.pixels import memory, random_order, refuse_pixels

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""That are read, whatever a file's ending says; Pillow has others, of which EPS starts a program."""

CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3}
"""Pillow's mode of a file -> channels of what is taken from it."""

COLOURS = {1: "grey", 3: "colour"}


class Shape(NamedTuple):
    """What all images of a folder have in common.

    Attributes:
        channels: 1 of grey, 3 of colour.
        height: in pixels.
        breadth: likewise.
    """

    channels: int
    height: int
    breadth: int

    def __str__(self) -> str:
        return f"{self.height} x {self.breadth} in {COLOURS[self.channels]}"


def read(path: Path) -> Raw:
    """The data set of a folder; labels number the classes of training, sorted by the bytes of their names.

    Training and validation images are put into an order of our own, the same each time, as those of an archive.

    Raises:
        BadInput: as ``listed``; images of another size, another mode or a single value; too few of them.
        CorruptFile: a file is not a readable image.
    """
    found = listed(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged notes beside the pixels
        try:
            kind = common_kind(path, found)
            refuse_too_many(path, kind, len(found))
            parts = {part: read_part(path, part, found, kind) for part in dict.fromkeys(one.part for one in found)}
        except MemoryError as error:
            raise BadInput(f"the data folder {path}: this machine's memory does not hold its images") from error
    nothing = (None, None)
    return Raw(*parts["train"], *parts.get("test", nothing), *parts.get("val", nothing))


def common_kind(path: Path, found: Sequence[ImageFile]) -> Shape:
    """Size and channels of all images, by their headers alone.

    Raises:
        BadInput: not all have the same; the message names one of the fewer.
    """
    kinds = [kind_of(path, one.name) for one in found]
    usual, count = Counter(kinds).most_common(1)[0]
    for one, kind in zip(found, kinds, strict=True):
        if kind != usual:
            raise BadInput(
                f"the data folder {path}: {shown(one.name)} is {kind}, {count} of {len(found)} images are {usual}; "
                "all need one size and either colour or grey: convert the others, or leave them out"
            )
    return usual


def kind_of(path: Path, name: str) -> Shape:
    """Size and channels of one image by its header.

    Raises:
        BadInput: it has a mode that is not taken, or is several images.
        CorruptFile: it is none.
    """
    what = f"the data folder {path}: {shown(name)}"
    with opened(path, name) as image:
        mode, several, tiles = image.mode, getattr(image, "is_animated", False), getattr(image, "tile", ())
        breadth, height = image.size
    if several:
        raise BadInput(f"{what} holds several images; save the one that is meant")
    if mode not in CHANNELS or any(";16" in str(tile[-1]) for tile in tiles):  # of which Pillow would drop the lower 8
        raise BadInput(f"{what} has the mode {mode}, not 8 bits of grey or of red, green and blue; convert it")
    return Shape(CHANNELS[mode], height, breadth)


@contextlib.contextmanager
def opened(path: Path, name: str) -> Iterator[Image.Image]:
    """A file as Pillow has it, of which the header is read.

    Raises:
        BadInput, CorruptFile: as ``no_image``, of whatever Pillow raises in the context.
    """
    try:
        with Image.open(path / name, formats=FORMATS) as image:
            yield image
    except Exception as error:  # each of Pillow's readers raises its own
        raise no_image(path, name, error) from error


def no_image(path: Path, name: str, error: Exception) -> BadInput:
    """The error for what Pillow raised."""
    what = f"the data folder {path}: {shown(name)}"
    if isinstance(error, MemoryError):
        return BadInput(f"{what} does not fit this machine's memory")
    if isinstance(error, UnidentifiedImageError):
        return CorruptFile(f"{what} is no readable image ({', '.join(FORMATS)}); replace it, or leave it out")
    if isinstance(error, OSError) and error.strerror:  # the system's
        return BadInput(f"{what} cannot be read: {error.strerror}")
    reason = " ".join(str(error).split()) or type(error).__name__
    return CorruptFile(f"{what} is damaged ({reason}); replace it, or leave it out")


def refuse_too_many(path: Path, kind: Shape, count: int) -> None:
    """Refuses images that this machine's memory cannot hold as uint8, before they are read."""
    total = count * kind.channels * kind.height * kind.breadth
    if total > memory():
        raise BadInput(
            f"the data folder {path}: {count} images of {kind} take {total / 2**30:.1f} GiB, this machine's memory is "
            f"{memory() / 2**30:.1f} GiB; take fewer or smaller ones"
        )


def read_part(path: Path, part: str, found: Sequence[ImageFile], kind: Shape) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, C, H, W) and labels (N,) of one part of the data."""
    names = dict.fromkeys(one.label for one in found if one.part == "train")
    classes = {name: label for label, name in enumerate(names)}
    here = [one for one in found if one.part == part]
    refuse_classes(path, part, here, classes)
    images = numpy.empty((len(here), *kind), dtype=numpy.uint8)
    labels = torch.empty(len(here), dtype=torch.int64)
    places = range(len(here)) if part == "test" else random_order(len(here)).argsort().tolist()
    for place, one in zip(places, here, strict=True):  # each where it belongs: the images are in memory once
        images[place] = pixels(path, one.name, kind)
        labels[place] = classes[one.label]
    everything = torch.from_numpy(images)
    refuse_pixels(f"the data folder {path}: images of {part}", everything)
    return everything, labels


def refuse_classes(path: Path, part: str, here: Sequence[ImageFile], classes: dict[str, int]) -> None:
    """Refuses classes that training has not, and fewer than two images a class, on average, for training."""
    for one in here:
        if one.label not in classes:
            raise BadInput(f"the data folder {path}: {shown(one.name)} is of a class that training has not")
    if part == "train" and len(here) < 2 * len(classes):
        raise BadInput(
            f"the data folder {path} has {len(classes)} classes and {len(here)} images for training: fewer than two "
            "images a class"
        )


def pixels(path: Path, name: str, kind: Shape) -> NDArray[Any]:
    """One image, uint8 (C, H, W).

    Raises:
        BadInput: part of it is transparent.
        CorruptFile: it cannot be decoded whole.
    """
    with opened(path, name) as image:
        seen = image.convert("RGBA") if image.has_transparency_data else image
        opaque = seen is image or seen.getchannel("A").getextrema()[0] == 255
        found = numpy.asarray(seen.convert("L" if kind.channels == 1 else "RGB"))
    if not opaque:
        raise BadInput(
            f"the data folder {path}: {shown(name)} is transparent in places; put a background behind it, and save it "
            "without transparency"
        )
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)
