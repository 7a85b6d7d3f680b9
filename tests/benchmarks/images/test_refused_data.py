"""Archives of images that are refused, and in which words."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import npz
from nas_stability.command_line import main
from tests.benchmarks.images.archives import Arrays, images, labels, saved, training

OBJECTS = numpy.array([0, 1, 2] * 4, dtype=object)
STRUCTURED = numpy.zeros(12, dtype=[("label", "i4")])

REFUSED: dict[str, tuple[Arrays, str]] = {
    "B7: labels 1.7": (
        training(y_train=labels() + 0.7),
        r"y_train holds float64 of shape \(12,\); one label per image",
    ),
    "B7: labels float, whole": (training(y_train=labels() * 1.0), r"y_train\.astype\('int64'\)"),
    "B7: labels float16": (training(y_train=labels().astype("f2")), "holds float16"),
    "B7: labels complex": (training(y_train=labels() * 1j), "holds complex128"),
    "B7: labels dates": (training(y_train=labels().astype("M8[D]")), r"datetime64.*numpy\.unique\(y_train"),
    "B7: labels durations": (training(y_train=labels().astype("m8[s]")), "holds timedelta64"),
    "B7: labels booleans": (training(y_train=labels(12, 2).astype(bool)), "holds bool"),
    "B7: labels bytes": (training(y_train=labels().astype("S")), r"return_inverse=True\)\[1\]"),
    "B7: labels structured": (training(y_train=STRUCTURED), "holds void"),
    "B7: labels negative": (training(y_train=labels() - 1), "3 labels between -1 and 1; labels from 0"),
    "B7: labels from 1": (training(y_train=labels() + 1), "3 labels between 1 and 3"),
    "B7: labels with a gap": (training(y_train=labels() * 2), "3 labels between 0 and 4"),
    "B7: labels up to 2^64 - 1": (training(y_train=labels().astype("u8") - 1), "18446744073709551615"),
    "B7: a single class": (training(y_train=labels() * 0), "the label 0 alone"),
    "B7: a class per image": (training(y_train=numpy.arange(12)), "12 labels for 12 images"),
    "B7: labels one-hot": (
        training(y_train=numpy.eye(3, dtype=int)[labels()]),
        r"one-hot labels, y_train\.argmax\(1\)",
    ),
    "B7: labels one-hot, float": (training(y_train=numpy.eye(3)[labels()]), r"holds float64 of shape \(12, 3\)"),
    "B7: a scalar": (training(y_train=numpy.int64(3)), r"y_train has the shape \(\)"),
    "B7: too few labels": (training(y_train=labels(11)), r"whole numbers of shape \(12,\)"),
    "B7: test labels that training has not": (
        training(x_test=images(3), y_test=numpy.array([0, 7, 1])),
        "y_test has the label 7, which y_train has not",
    ),
    "B7: labels of x_val negative": (training(x_val=images(3), y_val=labels(3) - 1), "y_val has the label -1"),
    "D7: labels text": (training(y_train=labels().astype("U")), r"holds str.*numpy\.unique\(y_train"),
    "D7: labels 10^9": (training(y_train=labels(12, 2) * 10**9), "between 0 and 1000000000"),
    "D7: no images": (training(x_train=images(0), y_train=labels(0)), "x_train has no images"),
    "D7: an empty test set": (training(x_test=images(0), y_test=labels(0)), "leave x_test and y_test out"),
    "D7: an empty validation set": (training(x_val=images(0), y_val=labels(0)), "leave x_val and y_val out"),
    "D7: sides of 0": (training(x_train=images(12, 0, 4)), "there is nothing in it"),
    "D7: no channels": (training(x_train=images(12, 5, 4, 0)), "there is nothing in it"),
    "D7: 2 channels": (training(x_train=images(12, 5, 4, 2)), "neither axis 1 nor axis 3 holds 1 or 3 channels"),
    "D7: 4 channels": (training(x_train=images(12, 4, 8, 8)), r"shape \(12, 4, 8, 8\)"),
    "D7: channels first or last": (training(x_train=images(12, 3, 5, 3)), "could both be the channels"),
    "D7: images flat": (training(x_train=images(12, 20).reshape(12, 20)), r"of shape \(12, 20\)"),
    "D7: images of 5 axes": (training(x_train=images(12, 1, 5, 4, 1)), r"of shape \(12, 1, 5, 4, 1\)"),
    "D7: images a scalar": (training(x_train=numpy.uint8(3)), r"of shape \(\)"),
    "D7: images float": (training(x_train=images() / 255), r"\(x \* 255\)\.round\(\)\.astype\('uint8'\)"),
    "D7: images NaN": (training(x_train=images() * numpy.nan), "not float64"),
    "D7: images big-endian": (training(x_train=images().astype(">u2")), r"not uint16.*x\.astype\('uint8'\)"),
    "D7: images int64": (training(x_train=images().astype("i8")), r"not int64.*x\.astype\('uint8'\)"),
    "D7: images int8": (training(x_train=images().view("i1")), "not int8"),
    "D7: images boolean": (training(x_train=images() > 99), r"not bool.*numpy\.uint8\(255\)"),
    "D7: images text": (training(x_train=images().astype("U")), "not str"),
    "D7: images constant": (training(x_train=images() * 0 + 7), "every pixel is 7"),
    "D7: fractions cast": (training(x_train=(images() > 99) * numpy.uint8(1)), r"0 or 1, as of fractions"),
    "D7: test images of another size": (
        training(x_test=images(3, 5, 5), y_test=labels(3)),
        r"an image of x_test is \(1, 5, 5\), one of x_train \(1, 5, 4\)",
    ),
    "D7: test images in colour": (training(x_test=images(3, 5, 4, 3), y_test=labels(3)), r"x_test is \(3, 5, 4\)"),
    "D7: test images float": (training(x_test=images(3) / 255, y_test=labels(3)), "x_test: images must be uint8"),
    "E: objects as labels": (training(y_train=OBJECTS), r"'y_train' holds Python objects, which are never read"),
    "E: objects as images": (training(x_train=numpy.array([images(1), None] * 6, dtype=object)), r"numpy\.stack"),
    "E: objects of another name": (training(notes=OBJECTS), r"'notes' holds Python objects"),
    "H10: images and labels": (
        {"images": images(), "labels": labels()},
        r"has no array 'x_train' \(it has: 'images', 'labels'\).*x_train=d\['images'\], y_train=d\['labels'\]\)",
    ),
    "H10: X and y": ({"X": images(), "y": labels()}, r"x_train=d\['X'\], y_train=d\['y'\]"),
    "H10: X_train": ({"X_train": images(), "y_train": labels()}, r"x_train=d\['X_train'\], y_train=d\['y_train'\]"),
    "H10: train_images": (
        {"train_images": images(), "train_labels": labels(), "val_images": images()},
        r"x_train=d\['train_images'\], y_train=d\['train_labels'\]",
    ),
    "H10: no names": ({"arr_0": images(), "arr_1": labels()}, r"x_train=d\['arr_0'\], y_train=d\['arr_1'\]"),
    "H10: other names": ({"foo": images(), "bar": labels()}, r"it has: 'bar', 'foo'.*x_train=d\['\.\.\.'\]"),
    "H10: an empty archive": ({}, "it has: none"),
    "H10: no labels": (
        training(y_train=None),
        r"has no array 'y_train'.*x_train=d\['x_train'\], y_train=d\['\.\.\.'\]",
    ),
    "H10: x_val without y_val": (training(x_val=images(3)), "has 'x_val' but no 'y_val'; write both or neither"),
    "H10: y_val without x_val": (training(y_val=labels(3)), "has 'y_val' but no 'x_val'"),
    "H10: x_test without y_test": (training(x_test=images(3)), "has 'x_test' but no 'y_test'"),
    "H10: x_valid": (
        training(x_valid=images(3), y_valid=labels(3)),
        "'x_valid', which no run would use: did you mean 'x_val'",
    ),
    "H10: x_dev": (training(x_dev=images(3)), "'x_dev', which no run would use"),
    "H10: X_val": (training(X_val=images(3)), "did you mean 'x_val'"),
    "H10: val_images": (training(val_images=images(3)), "'val_images', which no run would use"),
    "H10: control characters": (training(**{"x_\x1b[31m": images(3)}), r"'x_\\x1b\[31m'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_archive_that_cannot_be_used(case: str, tmp_path: Path) -> None:
    arrays, message = REFUSED[case]
    path = saved(tmp_path / "mine.npz", arrays)
    with pytest.raises(BadInput, match=message) as caught:
        load_data(f"npz:{path}", tmp_path)
    assert str(caught.value).startswith(f"the data file {path}")
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def packed(**members: bytes) -> bytes:
    """A zip archive, stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


def of_array(array: Any) -> bytes:
    """An array in numpy's format."""
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    return buffer.getvalue()


def of_header(text: str) -> bytes:
    """A member with a header of this text and no content."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


WHOLE = packed(x_train_dot_npy=of_array(images()), y_train_dot_npy=of_array(labels()))
PIXELS = WHOLE.index(images().tobytes())
HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 32, 32), }"

FILES: dict[str, tuple[bytes, str]] = {
    "E: empty": (b"", "is empty"),
    "E: text": (b"label,pixels\n", "is not an npz archive; wanted is a numpy archive"),
    "E: csv of one byte": (b"1", "is not an npz archive"),
    "E: .npy": (of_array(images()), r"is one numpy array \(\.npy\); wanted"),
    "E: .pt": (
        packed(archive__data_dot_pkl=b"\x80\x02", archive__version=b"3"),
        r"it holds the file 'archive/data\.pkl'",
    ),
    "E: old .pt, pickle": (b"\x80\x02cos\nsystem\n", "is not an npz archive"),
    "E: gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "is not an npz archive"),
    "E: cut in the middle": (WHOLE[: len(WHOLE) // 2], "its end is missing"),
    "E: cut at the end": (WHOLE[:-1], "is not a whole npz archive|is damaged"),
    "E: a pixel flipped": (WHOLE[:PIXELS] + bytes([WHOLE[PIXELS] ^ 1]) + WHOLE[PIXELS + 1 :], "is damaged: Bad CRC-32"),
    "E: a member that is no array": (packed(x_train_dot_npy=b"hello"), "'x_train' has no readable header"),
    "E: an empty member": (packed(x_train_dot_npy=b""), "'x_train' has no readable header"),
    "E: an array cut": (packed(x_train_dot_npy=of_array(images())[:-5]), "its header .* asks for"),
    "E: an array with more": (packed(x_train_dot_npy=of_array(images()) + b"1"), "its header .* asks for"),
    "E: a header of 10^15 bytes": (packed(x_train_dot_npy=of_header(HUGE)), "its header .* asks for 1024000000000"),
    "E: a header of 20 KB": (packed(x_train_dot_npy=of_header("{" + " " * 20000 + "}")), "has no readable header"),
    "E: code in a header": (packed(x_train_dot_npy=of_header("__import__('os').abort()")), "has no readable header"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_npz_archive(case: str, tmp_path: Path) -> None:
    content, message = FILES[case]
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=message) as caught:
        npz.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    for advice in ("allow_pickle", "max_header_size", "load securely"):
        assert advice not in str(caught.value)


def test_a_checksum_is_compared_where_an_array_ends_with_its_stream(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    numpy.savez_compressed(path, x_train=images(40, 32, 32), y_train=labels(40))
    with zipfile.ZipFile(path) as archive:
        checksum = struct.pack("<L", archive.getinfo("x_train.npy").CRC)
    assert len(npz.read(path).labels) == 40
    path.write_bytes(path.read_bytes().replace(checksum, b"1234"))
    with pytest.raises(CorruptFile, match="is damaged: Bad CRC-32 for file 'x_train"):
        npz.read(path)


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(packed(x_train_dot_npy=of_array(images()), y_train_dot_npy=of_array(labels())))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("y_train.npy", of_array(labels()))
    with pytest.raises(CorruptFile, match=r"holds an array twice: 'y_train\.npy'"):
        npz.read(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "does not exist", id="E: absent"),
        pytest.param(Path.mkdir, "is a folder; wanted is a numpy archive", id="E: a folder"),
        pytest.param(os.mkfifo, "is not a regular file", id="E: a pipe"),
    ],
)
def test_what_is_no_file(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "mine.npz")
    with pytest.raises(BadInput, match=message):
        npz.read(tmp_path / "mine.npz")


NO_FILES = ["a\0b", "x" * 300, "~nobody-here/a.npz", f"{__file__}/mine.npz", ""]


@pytest.mark.parametrize("path", NO_FILES, ids=lambda path: f"E: {path[:9]!r}")
def test_a_name_that_no_file_can_have(path: str) -> None:
    with pytest.raises(BadInput, match=r"does not exist|cannot be read|names no file"):
        load_data(f"npz:{path}", Path())


def test_more_than_the_memory_holds_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "mine.npz", training())
    monkeypatch.setattr(npz, "memory", lambda: 100)
    with pytest.raises(BadInput, match=r"its arrays take 0\.0 GiB, this machine's memory is"):
        npz.read(path)
    monkeypatch.undo()

    def short(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(npz, "read_array", short)
    with pytest.raises(BadInput, match="does not hold its arrays"):
        npz.read(path)


@pytest.mark.parametrize("name", ["./mine.npz", "mine.npz", "data/", "~/images.npy", "/a/b.csv", "C:\\mine.npz"])
def test_a_path_without_its_prefix_is_told_how_to_write_it(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_data(name, Path())
    what, kind = ("folder", "folder") if name == "data/" else ("file", "npz")
    assert str(caught.value) == f"unknown data set {name!r}; a {what} of images is written {kind}:{name}"


def test_on_the_command_line_it_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "mine.npz", training(y_train=labels() + 0.7))
    command = ["run", "--space", "nasbench201", "--method", "darts", "--table", "none", "--out", str(tmp_path / "out")]
    assert main([*command, "--data", f"npz:{path}"]) == 2
    error = capsys.readouterr().err
    assert "y_train holds float64" in error
    assert "Traceback" not in error
