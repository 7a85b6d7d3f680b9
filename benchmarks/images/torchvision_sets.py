"""Data sets that torchvision downloads: by one process at a time, into a folder that all share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy
import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import Raw
from nas_stability.benchmarks.images.pixels import channels_first


def torchvision_data(class_name: str, directory: Path) -> Raw:
    """A data set of torchvision, which downloads it into ``directory`` once and checks its sums.

    Raises:
        BadInput: it is not there and cannot be downloaded.
        CorruptFile: it is there, and cannot be read.
    """
    parts: list[Tensor] = []
    for train in (True, False):
        found = whole(class_name, directory, train)
        images = channels_first(numpy.asarray(found.data), class_name)
        labels = torch.as_tensor(numpy.asarray(found.labels if class_name == "SVHN" else found.targets)).long()
        if len(images) != len(labels):
            raise damaged(class_name, directory, f"{len(images)} images and {len(labels)} labels")
        parts += [images, labels]
    return Raw(*parts)


def whole(class_name: str, directory: Path, train: bool) -> Any:
    """The training or the test part as torchvision has it, downloaded under a lock where it is not there.

    What is there is read without the lock: a file that another process is just writing fails torchvision's sums or its
    own lengths, and is read again once that process is done.

    Raises:
        BadInput, CorruptFile: as ``torchvision_data``.
    """
    import torchvision

    kind = getattr(torchvision.datasets, class_name)
    split = {"split": "train" if train else "test"} if class_name == "SVHN" else {"train": train}
    if directory.is_dir():
        with contextlib.suppress(Exception):
            return kind(root=str(directory), download=False, **split)
    with alone(directory / f".{class_name}.lock"):
        try:
            return kind(root=str(directory), download=True, **split)
        except MemoryError:
            raise
        except Exception as error:  # whatever urllib, tarfile, gzip, pickle and torchvision raise
            if (reason := unreadable(kind, directory, split)) is not None:
                raise damaged(class_name, directory, reason) from error
            raise BadInput(
                f"{class_name} is not, or not whole, in {directory} and could not be downloaded "
                f"({one_line(error)}); put it there or name its folder with --data-dir"
            ) from error


def unreadable(kind: Any, directory: Path, split: dict[str, Any]) -> str | None:
    """Why files that torchvision finds there cannot be read; None where it does not find all of them."""
    try:
        kind(root=str(directory), download=False, **split)
    except Exception as error:
        return None if "not found" in str(error) else one_line(error)
    return None


def damaged(class_name: str, directory: Path, reason: str) -> CorruptFile:
    """The error for files that torchvision's sums do not cover."""
    return CorruptFile(
        f"the files of {class_name} in {directory} are damaged ({reason}); remove them, and they are downloaded again"
    )


def one_line(error: Exception) -> str:
    """An error's text on one line, or what kind it is where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Waits until no other process downloads the same, and keeps others from it meanwhile.

    Where no lock can be had (a folder that is only read, a file system without locks) there is none.
    """
    held = filelock.FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        held.release()
