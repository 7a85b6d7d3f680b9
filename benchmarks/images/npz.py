"""Images of one's own: a numpy archive of arrays by name.

    x_train    images, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, pixels from 0 to 255
    y_train    labels, integers (N,) from 0 to K - 1, each of which occurs
    x_val, y_val      optional: x_train then moves the weights whole, x_val the logits; without them x_train is halved
    x_test, y_test    optional: for tables that are trained on the images (``table train``)

Whatever else has such a name, or other content, is refused: a run must not go on without what somebody meant it to use.
"""

from __future__ import annotations

import difflib
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import Raw
from nas_stability.benchmarks.images.pixels import channels_first, memory, random_order, refuse_pixels, refuse_shape

PARTS = ("train", "val", "test")
NAMES = tuple(f"{letter}_{part}" for part in PARTS for letter in "xy")

MEANT = {
    *(
        "x",
        "y",
        "train",
        "training",
        "tr",
        "val",
        "valid",
        "validation",
        "dev",
        "eval",
        "holdout",
        "test",
        "testing",
        "te",
    ),
    *("image", "images", "img", "imgs", "pixels", "label", "labels", "target", "targets", "data"),
}
"""Words of a name by which an array is taken for images or labels that somebody meant to be used."""

NAMING = {"name", "names", "class", "classes"}
"""Words of a name by which it is not: label_names."""

IMAGES = ("x_train", "X_train", "train_x", "train_images", "train_data", "images", "imgs", "X", "x", "data", "arr_0")
LABELS = ("y_train", "Y_train", "train_y", "train_labels", "train_targets", "labels", "targets", "Y", "y", "arr_1")
"""Names that others give to what is x_train and y_train here, the likeliest first."""


class Header(NamedTuple):
    """What a member of the archive says of its array."""

    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]

    @property
    def bytes(self) -> int:
        """Of the array's content."""
        count = self.dtype.itemsize
        for length in self.shape:  # as Python's integers, which have no end
            count *= length
        return count

    def __str__(self) -> str:
        return f"{self.dtype.name} of shape {self.shape}"


def read(path: Path) -> Raw:
    """The data set of an archive.

    Training and validation images are put into an order of our own, the same each time: such files are often sorted by
    class, and the two halves of a sorted file would have different classes.

    Raises:
        BadInput: no such file, or an array is missing, unknown, or not of the expected type, shape and values.
        CorruptFile: not a readable archive.
    """
    refuse_other_files(path)
    try:
        with zipfile.ZipFile(path) as archive:
            headers = read_headers(path, archive)
            refuse_names(path, headers)
            refuse_headers(path, headers)
            arrays = {name: read_array(archive, name) for name in NAMES if name in headers}
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"the data file {path}: this machine's memory does not hold its arrays") from error
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise CorruptFile(f"the data file {path} is damaged: {error}") from error
    return raw_of(path, arrays)


def refuse_other_files(path: Path) -> None:
    """Refuses what is no zip archive, as which numpy writes an npz, and says what it is instead."""
    what = f"the data file {path}"
    wanted = "wanted is a numpy archive: numpy.savez('images.npz', x_train=..., y_train=...)"
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                start = file.read(8)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name no file can have
        raise BadInput(f"{what} does not exist") from error
    except OSError as error:
        raise BadInput(f"{what} cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise BadInput(f"{what} is a folder; {wanted}")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{what} is not a regular file; {wanted}")
    if not start:
        raise CorruptFile(f"{what} is empty")
    if start.startswith(b"\x93NUMPY"):
        raise CorruptFile(f"{what} is one numpy array (.npy); {wanted}")
    if not zipfile.is_zipfile(path):
        if start.startswith(b"PK"):
            raise CorruptFile(f"{what} is not a whole npz archive: its end is missing")
        raise CorruptFile(f"{what} is not an npz archive; {wanted}")


def read_headers(path: Path, archive: zipfile.ZipFile) -> dict[str, Header]:
    """Name -> header of every array; no array is read yet.

    Raises:
        CorruptFile: the archive holds other files, the same name twice, or more or less than the headers say.
    """
    members = archive.namelist()
    foreign = [name for name in members if not name.endswith(".npy")]
    if foreign:
        raise CorruptFile(f"the data file {path} is not an npz archive: it holds the file {shown(foreign[0])}")
    if len(members) != len(set(members)):
        raise CorruptFile(f"the data file {path} holds an array twice: {shown(repeated(members))}")
    found: dict[str, Header] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        with archive.open(info) as file:
            try:
                header = read_header(file)
            except (zipfile.BadZipFile, zlib.error):
                raise
            except Exception as error:  # numpy's own words advise to trust the file
                raise CorruptFile(f"the data file {path}: the array {shown(name)} has no readable header") from error
            if header.dtype.hasobject:
                raise BadInput(
                    f"the data file {path}: the array {shown(name)} holds Python objects, which are never read (they "
                    "could run code); write numbers: numpy.stack for images of one size, .astype('int64') for labels"
                )
            if file.tell() + header.bytes != info.file_size:
                raise CorruptFile(
                    f"the data file {path}: the array {shown(name)} has {info.file_size} bytes, "
                    f"its header ({header}) asks for {file.tell() + header.bytes}"
                )
        found[name] = header
    return found


def read_header(file: IO[bytes]) -> Header:
    """Shape and type of an array of numpy's format, of which ``file`` then stands at the content."""
    version = numpy.lib.format.read_magic(file)
    readers = {
        (1, 0): numpy.lib.format.read_array_header_1_0,
        (2, 0): numpy.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[version](file)
    return Header(shape, dtype)


def read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array; zipfile compares the checksum at its end, which ``read_headers`` knows to be the member's."""
    with archive.open(f"{name}.npy") as file:
        found: NDArray[Any] = numpy.lib.format.read_array(file, allow_pickle=False)
    return found


def refuse_names(path: Path, headers: Mapping[str, Header]) -> None:
    """Refuses an archive without x_train and y_train, half a pair, and what seems to be meant but is not known."""
    what = f"the data file {path}"
    there = ", ".join(map(shown, sorted(headers))) or "none"
    for name in ("x_train", "y_train"):
        if name not in headers:
            raise BadInput(f"{what} has no array {name!r} (it has: {there}); {renaming(path, headers)}")
    for name in NAMES:
        partner = {"x": "y", "y": "x"}[name[0]] + name[1:]
        if name in headers and partner not in headers:
            raise BadInput(f"{what} has {name!r} but no {partner!r}; write both or neither")
    for name in headers:
        words = set(re.findall(r"[a-z]+", name.lower()))
        if name not in NAMES and words & MEANT and not words & NAMING:
            near = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BadInput(
                f"{what} has an array {shown(name)}, which no run would use: {hint}(known: {', '.join(NAMES)}); "
                "rename it, or leave it out"
            )


def renaming(path: Path, headers: Mapping[str, Header]) -> str:
    """The line of Python that writes the archive with the names that are wanted."""
    given = {
        wanted: f"d[{next((name for name in names if name in headers), '...')!r}]"
        for wanted, names in (("x_train", IMAGES), ("y_train", LABELS))
    }
    pairs = ", ".join(f"{wanted}={name}" for wanted, name in given.items())
    return f"write it: d = numpy.load({str(path)!r}); numpy.savez('renamed.npz', {pairs})"


def refuse_headers(path: Path, headers: Mapping[str, Header]) -> None:
    """Refuses types and shapes before an array is read."""
    known = {name: header for name, header in headers.items() if name in NAMES}
    total = sum(header.bytes for header in known.values())
    if total > memory():
        raise BadInput(
            f"the data file {path}: its arrays take {total / 2**30:.1f} GiB, this machine's memory is "
            f"{memory() / 2**30:.1f} GiB; write fewer or smaller images"
        )
    for part in PARTS:
        if f"x_{part}" in known:
            images, labels = known[f"x_{part}"], known[f"y_{part}"]
            if images.shape[:1] == (0,):
                without = "" if part == "train" else f"; leave x_{part} and y_{part} out"
                raise BadInput(f"the data file {path}: x_{part} has no images{without}")
            refuse_shape(images.shape, images.dtype, f"the data file {path}: x_{part}")
            refuse_labels(f"the data file {path}: y_{part}", labels, images.shape[0])


def refuse_labels(what: str, header: Header, count: int) -> None:
    """Refuses labels that are not one whole number per image."""
    expected = f"one label per image is expected, whole numbers of shape ({count},)"
    name = what.rpartition(" ")[2]
    if header.dtype.kind not in "iu":
        convert = {
            "U": f"numpy.unique({name}, return_inverse=True)[1]",
            "S": f"numpy.unique({name}, return_inverse=True)[1]",
            "M": f"numpy.unique({name}, return_inverse=True)[1]",
        }.get(header.dtype.kind, f"{name}.astype('int64'), if they are whole numbers")
        raise BadInput(f"{what} holds {header}; {expected}: {convert}")
    if header.shape in ((count,), (count, 1)):
        return
    if len(header.shape) == 2 and header.shape[0] == count:
        raise BadInput(f"{what} has the shape {header.shape}; {expected}: of one-hot labels, {name}.argmax(1)")
    raise BadInput(f"{what} has the shape {header.shape}; {expected}")


def raw_of(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Raw:
    """The data set of arrays whose types and shapes are known to be right."""
    what = f"the data file {path}"
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    for part in (part for part in PARTS if f"x_{part}" in arrays):
        images = channels_first(arrays[f"x_{part}"], f"{what}: x_{part}")
        labels = arrays[f"y_{part}"].reshape(-1)
        refuse_pixels(f"{what}: x_{part}", images)
        if part == "train":
            refuse_classes(f"{what}: y_train", labels)
        elif images.shape[1:] != parts["train"][0].shape[1:]:
            sizes = [tuple(one.shape[1:]) for one in (images, parts["train"][0])]
            raise BadInput(f"{what}: an image of x_{part} is {sizes[0]}, one of x_train {sizes[1]} (C, H, W)")
        elif not numpy.isin(labels, arrays["y_train"]).all():
            other = labels[~numpy.isin(labels, arrays["y_train"])][0]
            raise BadInput(f"{what}: y_{part} has the label {other}, which y_train has not")
        parts[part] = images, torch.from_numpy(labels.astype(numpy.int64))
    mixed = {part: shuffled(*parts[part]) for part in ("train", "val") if part in parts}
    return Raw(*mixed["train"], *parts.get("test", (None, None)), *mixed.get("val", (None, None)))


def shuffled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both in ``random_order``."""
    order = random_order(len(labels))
    return images[order], labels[order]


def refuse_classes(what: str, labels: NDArray[Any]) -> None:
    """Refuses labels that are not 0 to K - 1 with K of at least 2 and, on average, at least two images a class."""
    values = numpy.unique(labels)
    lowest, highest, count = int(values[0]), int(values[-1]), len(values)
    expected = "labels from 0 to K - 1 are expected, each of which occurs"
    if count == 1:
        raise BadInput(f"{what} has the label {lowest} alone: there is nothing to tell apart")
    if lowest != 0 or highest != count - 1:
        raise BadInput(
            f"{what} has {count} labels between {lowest} and {highest}; {expected}: "
            f"numpy.unique({what.rpartition(' ')[2]}, return_inverse=True)[1]"
        )
    if len(labels) < 2 * count:
        raise BadInput(f"{what} has {count} labels for {len(labels)} images: fewer than two images a class")


def repeated(names: list[str]) -> str:
    """The first name that occurs twice."""
    return next(name for index, name in enumerate(names) if name in names[:index])


def shown(name: str) -> str:
    """A name out of a file as it can be printed: quoted, control characters escaped, not too long."""
    return ascii(name if len(name) <= 60 else name[:57] + "...")
