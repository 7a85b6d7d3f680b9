"""ImageNet16-120: the first 120 classes of ImageNet in 16 x 16 pixels, as NAS-Bench-201 has it, from official files.

The images are those of Chrabaszcz, Loshchilov and Hutter, *A Downsampled Variant of ImageNet as an Alternative to the
CIFAR datasets*, 2017: 151,700 for training and 6,000 (theirs for validation) for test. They may not be passed on, and
have to be downloaded by hand. Training images are halved, as those of every data set here; NAS-Bench-201 trains the
weights on all of them, and the logits on half of the 6,000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy
import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import plain_pickle
from nas_stability.benchmarks.images.dataset import Raw

FOLDER = "ImageNet16"
"""In the folder of all data; the name is that of NAS-Bench-201's code."""

CLASSES = 120
"""Taken of the 1,000: those with the labels 1 to 120, which become 0 to 119."""

TEST = "val_data"

SUMS = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    TEST: "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""File -> its MD5, by NAS-Bench-201's code (DownsampledImageNet.py), in the order in which they are read."""


def read(directory: Path) -> Raw:
    """The data set, from the folder ImageNet16 in ``directory``.

    Raises:
        BadInput: a file is missing, or cannot be read.
        CorruptFile: a file is not the official one, or no pickle of images and labels.
    """
    folder = directory / FOLDER
    missing = [name for name in SUMS if not (folder / name).is_file()]
    if missing:
        raise BadInput(
            f"imagenet16-120 is read from the official files of ImageNet16, and {folder} lacks {', '.join(missing)}; "
            "download them by hand, in 16 x 16, from image-net.org and unpack them there, or name the folder that has "
            f"{FOLDER} with --data-dir"
        )
    train = first_classes(folder / name for name in SUMS if name != TEST)
    return Raw(*train, *first_classes([folder / TEST]))


def first_classes(paths: Iterable[Path]) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 3, 16, 16) of the first classes, and labels (N,) from 0, of files in turn."""
    parts = [part_of(path) for path in paths]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def part_of(path: Path) -> tuple[Tensor, Tensor]:
    """``first_classes`` of one file.

    Raises:
        BadInput, CorruptFile: as ``read``.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != SUMS[path.name]:
                raise CorruptFile(f"its MD5 is {found}, that of the official file {SUMS[path.name]}; download it again")
            file.seek(0)
            return first_of(plain_pickle.read(file))
    except CorruptFile as error:
        raise CorruptFile(f"the file {path} is not what it should be: {error}") from error
    except MemoryError as error:
        raise BadInput(f"the file {path} does not fit this machine's memory") from error
    except OSError as error:
        raise BadInput(f"the file {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever pickle and numpy raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CorruptFile(f"the file {path} is not what it should be: {reason}") from error


def first_of(content: object) -> tuple[Tensor, Tensor]:
    """Images and labels of the first classes out of a batch as it was pickled.

    Raises:
        CorruptFile: it is none.
    """
    if not isinstance(content, dict) or not {"data", "labels"} <= content.keys():
        raise CorruptFile("it holds no images and labels under 'data' and 'labels'")
    images, labels = (plain_pickle.numbers_of(content[name]) for name in ("data", "labels"))
    if images.dtype != numpy.uint8 or images.shape != (len(labels), 3 * 16 * 16) or labels.ndim != 1:
        raise CorruptFile(f"images are {images.dtype} of shape {images.shape} and labels of shape {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > 1000:
        raise CorruptFile("labels are not whole numbers from 1 to 1000")
    first = labels <= CLASSES
    return torch.from_numpy(images[first]).view(-1, 3, 16, 16), torch.from_numpy(labels[first].astype(numpy.int64) - 1)
