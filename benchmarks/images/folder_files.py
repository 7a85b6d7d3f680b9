"""Which files of a folder are images of which class, and the checksum over them. The standard library only.

    PATH/CLASS/IMAGE          all of them are for training
    PATH/train/CLASS/IMAGE    or, where PATH has no other sub-folders than these, those of train are, val (valid,
    PATH/val/CLASS/IMAGE      validation) moves the logits, and test is for tables, as the arrays of an npz archive
    PATH/test/CLASS/IMAGE

What nobody can mean for an image of a class is let be: hidden files, those that file managers leave behind, and, beside
the folders of classes, files that are no images. Whatever else is not as it should be is refused by name. Links are
followed: it is the content that counts.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, shown

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""Of images, in lower case."""

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Sub-folder, in lower case -> the part of the data that it holds."""

LEFT_BEHIND = ("thumbs.db", "desktop.ini")
"""Files that are not hidden, and that file managers put into every folder."""

LAYOUT = "images lie in CLASS/, or in train/CLASS/, val/CLASS/ and test/CLASS/ where there are no other sub-folders"


class ImageFile(NamedTuple):
    """A file of a folder of images.

    Attributes:
        name: relative to the folder, with slashes: "train/cat/1.png".
        part: "train", "val" or "test".
        label: its class: "cat".
        state: i-node, bytes, and times of change in nanoseconds: others, if the content may be another.
    """

    name: str
    part: str
    label: str
    state: tuple[int, int, int, int]


class Entry(NamedTuple):
    """What stands in a folder, links followed.

    Attributes:
        name: relative to the folder of images.
        last: part of it.
        state: as the system has it.
    """

    name: str
    last: str
    state: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Whether there can be others in it."""
        return stat.S_ISDIR(self.state.st_mode)


def listed(path: Path) -> tuple[ImageFile, ...]:
    """The images of a folder, by part (train, val, test), then by class, then by file, sorted by the bytes of names.

    Raises:
        BadInput: no such folder, or it is not laid out as above; a class without images, or something in a class that
            is no ordinary file or has not the ending of an image.
    """
    refuse_other_paths(path)
    top = entries(path, "")
    folders = [entry for entry in top if entry.is_folder]
    names = [entry.last.lower() for entry in folders]
    if not folders or not set(names) <= PARTS.keys():
        return tuple(of_part(path, "train", top))
    if "train" not in names:
        raise BadInput(f"the data folder {path} has a folder {shown(folders[0].name)} but none of the name 'train'")
    found: list[ImageFile] = []
    for part in dict.fromkeys(PARTS.values()):
        here = [entry for entry in folders if PARTS[entry.last.lower()] == part]
        if len(here) > 1:
            twice = " and ".join(shown(entry.name) for entry in here)
            raise BadInput(f"the data folder {path} has {part} twice, {twice}; leave one of them")
        for entry in here:
            found += of_part(path, part, entries(path, entry.name))
    refuse_strays(path, [entry for entry in top if not entry.is_folder])
    return tuple(found)


def refuse_other_paths(path: Path) -> None:
    """Refuses what is no folder that can be read."""
    what = f"the data folder {path}"
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name no file can have
        raise BadInput(f"{what} does not exist") from error
    except OSError as error:
        raise BadInput(f"{what} cannot be read: {error.strerror or error}") from error
    if not is_folder:
        archive = "; npz:PATH names a numpy archive" if path.suffix.lower() == ".npz" else ""
        raise BadInput(f"{what} is no folder{archive}; folder:PATH names a folder of images: {LAYOUT}")


def entries(path: Path, name: str) -> list[Entry]:
    """What is visible in a sub-folder, sorted by the bytes of names.

    Args:
        path: of the folder of images.
        name: of the sub-folder, relative to it; "" of itself.

    Raises:
        BadInput: it, or something in it, cannot be read; a link leads nowhere.
    """
    found: list[Entry] = []
    here = name
    try:
        with os.scandir(path / name) as there:
            for entry in there:
                if entry.name.startswith(".") or entry.name.lower() in LEFT_BEHIND:
                    continue
                here = f"{name}/{entry.name}" if name else entry.name
                found.append(Entry(here, entry.name, entry.stat()))
    except FileNotFoundError as error:
        raise BadInput(f"the data folder {path}: the link {shown(here)} leads nowhere; remove it") from error
    except OSError as error:
        raise BadInput(f"the data folder {path}: {shown(here)} cannot be read: {error.strerror or error}") from error
    return sorted(found, key=lambda entry: os.fsencode(entry.last))


def of_part(path: Path, part: str, top: list[Entry]) -> Iterator[ImageFile]:
    """The images of one part of the data, given what stands beside the folders of its classes."""
    refuse_strays(path, [entry for entry in top if not entry.is_folder])
    classes = [entry for entry in top if entry.is_folder]
    if not classes:
        raise BadInput(f"the data folder {path} has no folders of classes for {part}: {LAYOUT}")
    if part == "train" and len(classes) == 1:
        raise BadInput(
            f"the data folder {path} has the class {shown(classes[0].name)} alone: there is nothing to tell apart; "
            f"{LAYOUT}"
        )
    for label in classes:
        images = entries(path, label.name)
        if not images:
            raise BadInput(f"the data folder {path}: the class {shown(label.name)} has no images; remove its folder")
        for image in images:
            refuse_other_files(path, image)
            state = image.state
            times = state.st_mtime_ns, state.st_ctime_ns
            yield ImageFile(image.name, part, label.last, (state.st_ino, state.st_size, *times))


def refuse_strays(path: Path, beside: list[Entry]) -> None:
    """Refuses images that lie beside the folders of classes, in none."""
    for entry in beside:
        if entry.last.lower().endswith(ENDINGS):
            raise BadInput(f"the data folder {path}: the image {shown(entry.name)} is of no class: {LAYOUT}")


def refuse_other_files(path: Path, entry: Entry) -> None:
    """Refuses what lies in the folder of a class and is no file with the ending of an image."""
    what = f"the data folder {path}: {shown(entry.name)}"
    if entry.is_folder:
        raise BadInput(f"{what} is a folder inside a class: {LAYOUT}")
    if not entry.last.lower().endswith(ENDINGS):
        raise BadInput(f"{what} is no image (known: {', '.join(ENDINGS)}); remove it, or convert it")
    if not stat.S_ISREG(entry.state.st_mode):  # a pipe, say, which has no end
        raise BadInput(f"{what} is no ordinary file; remove it")


def sha256_of(path: Path) -> str:
    """SHA-256 over names and contents of the images of a folder; read once as long as the files stay as they are.

    It is that of what ``sha256sum --zero`` prints for the relative names, sorted by their bytes.

    Raises:
        BadInput: as ``listed``; a file that cannot be read.
    """
    return read_once(path, listed(path))


@functools.lru_cache(maxsize=16)
def read_once(path: Path, found: tuple[ImageFile, ...]) -> str:
    """``sha256_of`` files in the state that they have; a study of many runs reads each folder once."""
    digest = hashlib.sha256()
    for name in sorted(os.fsencode(one.name) for one in found):
        try:
            content = files.sha256(path / os.fsdecode(name))
        except OSError as error:
            raise unreadable(path, os.fsdecode(name), error) from error
        digest.update(content.encode() + b"  " + name + b"\0")
    return digest.hexdigest()


def unreadable(path: Path, name: str, error: OSError) -> BadInput:
    """The error for a file that the system does not give."""
    return BadInput(f"the data folder {path}: {shown(name)} cannot be read: {error.strerror or error}")
