"""folder:PATH: what is refused, in which words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import folder, folder_files
from tests.benchmarks.images.pictures import Content, encoded, made, palette, picture, pixels, png, usual, with_alpha
from tests.commands import COMMAND, refused

KEYED = encoded(picture(3, 5, 4), transparency=int(pixels(3, 5, 4)[0, 0]))
MOVING = encoded(palette(), "GIF", save_all=True, append_images=[palette().rotate(180)])
FEW = {f"{label}/1.png": picture(place) for place, label in enumerate("abcde")}
BLANK = {f"{label}/{number}.png": Image.new("L", (4, 5), 7) for label in "ab" for number in range(2)}
FRACTIONS = {name: Image.fromarray(pixels(place, 5, 4) % 2) for place, name in enumerate(BLANK)}

REFUSED: dict[str, tuple[dict[str, Content], str]] = {
    "another size": (
        {**usual(), "ape/0.png": picture(9, 6, 4, 3)},
        r"'ape/0\.png' is 6 x 4 in colour, 6 of 7 images are 5 x 4 in colour; all need one size",
    ),
    "grey among colour": ({**usual(), "cat/3.png": picture(9, 5, 4)}, r"'cat/3\.png' is 5 x 4 in grey, 6 of 7"),
    "another size for validation": ({**usual("train/"), **usual("val/", 9, 8, 8, 3)}, r"'val/cat/0\.png' is 8 x 8"),
    "transparent": ({**usual(), "cat/9.png": with_alpha(1, 254)}, r"'cat/9\.png' is transparent in places"),
    "transparent grey": ({**usual("", 0, 5, 4), "cat/9.png": with_alpha(1, 0, 5, 4)}, "is transparent in places"),
    "a transparent grey value": ({**usual("", 0, 5, 4), "cat/9.png": KEYED}, "is transparent in places"),
    "CMYK": ({**usual(), "cat/9.jpg": encoded(picture(3).convert("CMYK"), "JPEG")}, "has the mode CMYK, not 8 bits"),
    "16 bits of grey": ({**usual(), "cat/9.png": Image.fromarray(pixels(3, 5, 4).astype("u2") * 9)}, "has the mode I"),
    "16 bits of colour": ({**usual(), "cat/9.png": png(4, 5, 16)}, "has the mode RGB, not 8 bits"),
    "moving": ({**usual(), "cat/9.gif": MOVING}, r"'cat/9\.gif' holds several images"),
    "one class": ({"cat/1.png": picture(1), "cat/2.png": picture(2)}, "has the class 'cat' alone"),
    "one class of two splits": (
        {"train/cat/1.png": picture(1), "val/cat/1.png": picture(2)},
        "has the class 'train/cat' alone",
    ),
    "an empty class": ({**usual(), "ape": None}, "the class 'ape' has no images; remove its folder"),
    "hidden files alone": ({**usual(), "ape/.1.png": picture(1)}, "the class 'ape' has no images"),
    "nothing": ({"README": b""}, "has no folders of classes for train: images lie in CLASS/"),
    "no classes for test": ({**usual("train/"), "test": None}, "has no folders of classes for test"),
    "images of no class": ({**usual(), "1.png": picture(1)}, r"the image '1\.png' is of no class"),
    "images of no class in a split": ({**usual("train/"), "train/1.png": picture(1)}, r"'train/1\.png' is of no class"),
    "images beside splits": ({**usual("train/"), "1.JPG": picture(1)}, r"'1\.JPG' is of no class"),
    "two levels": (usual("animals/"), "has the class 'animals' alone"),
    "a folder in a class": ({**usual(), "cat/more/1.png": picture(1)}, "'cat/more' is a folder inside a class"),
    "a split beside a class": ({**usual("train/"), "ape/1.png": picture(1)}, "'train/cat' is a folder inside a class"),
    "no training": ({**usual("val/"), **usual("test/")}, "has a folder 'test' but none of the name 'train'"),
    "a split twice": (
        {**usual("train/"), **usual("val/"), **usual("valid/")},
        "has val twice, 'val' and 'valid'; leave one",
    ),
    "a class that training has not": (
        {**usual("train/"), "test/ape/1.png": picture(1)},
        r"'test/ape/1\.png' is of a class that training has not",
    ),
    "a text in a class": ({**usual(), "cat/boxes.txt": b"1"}, r"'cat/boxes\.txt' is no image \(known: \.png, "),
    "fewer than two images a class": (FEW, "has 5 classes and 5 images for training: fewer than two images a class"),
    "images constant": (BLANK, "images of train: every pixel is 7"),
    "fractions": (FRACTIONS, "images of train: every pixel is 0 or 1"),
    "a name that cannot be printed": ({**usual(), "cat/\x1b[31m.txt": b""}, r"'cat/\\x1b\[31m\.txt' is no image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_used(case: str, tmp_path: Path) -> None:
    contents, message = REFUSED[case]
    path = made(tmp_path / "mine", contents)
    with pytest.raises(BadInput, match=message) as caught:
        load_data(f"folder:{path}", Path())
    assert str(caught.value).startswith(f"the data folder {path}")
    assert "\n" not in str(caught.value)


WHOLE = {kind: encoded(picture(3, 40, 40, 3), kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")}

DAMAGED: dict[str, tuple[bytes, str]] = {
    **{
        f"{kind} cut": (whole[: len(whole) * 2 // 3], "is damaged|is no readable image")
        for kind, whole in WHOLE.items()
    },
    "empty": (b"", "is no readable image"),
    "text": (b"label,pixels\n", "is no readable image"),
    "a header alone": (WHOLE["PNG"][:40], "is no readable image"),
    "fewer pixels than the header says": (png(40, 40, 8), "is damaged"),
    "another format": (encoded(picture(3, 40, 40, 3), "EPS"), "is no readable image"),
    "a pixel altered": (WHOLE["PNG"][:900] + b"1234" + WHOLE["PNG"][904:], "is damaged"),
    "an endless size": (png(2**31 - 1, 2**31 - 1, 8), "is damaged"),
    "a size of nothing": (png(0, 0, 8), "is damaged|is no readable image"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_no_whole_image(case: str, tmp_path: Path) -> None:
    content, message = DAMAGED[case]
    path = made(tmp_path / "mine", {**usual("", 0, 40, 40, 3), "cat/this.png": content})
    with pytest.raises(CorruptFile, match=message) as caught:
        folder.read(path)
    assert str(caught.value).startswith(f"the data folder {path}: 'cat/this.png' ")
    assert "\n" not in str(caught.value)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: shutil.rmtree(path), "does not exist"),
    "a link to nothing": (lambda path: (path / "cat/9.png").symlink_to("gone"), r"link 'cat/9\.png' leads nowhere"),
    "a class that is a link to nothing": (lambda path: (path / "ape").symlink_to("gone"), "link 'ape' leads nowhere"),
    "links in a circle": (lambda path: (path / "ape").symlink_to("ape"), "'ape' cannot be read: Too many levels"),
    "a link to itself": (lambda path: (path / "ape").symlink_to(path), "'ape/ape' is a folder inside a class"),
    "a pipe": (lambda path: os.mkfifo(path / "cat" / "9.png"), r"'cat/9\.png' is no ordinary file"),
}


@pytest.mark.parametrize("case", PLACES)
def test_places_that_cannot_be_read(case: str, tmp_path: Path) -> None:
    change, message = PLACES[case]
    path = made(tmp_path / "mine", usual())
    change(path)
    for reader in (folder.read, folder_files.sha256_of):
        with pytest.raises(BadInput, match=message):
            reader(path)


def test_a_file_and_names_that_no_folder_can_have(tmp_path: Path) -> None:
    for file, message in (
        ("mine.npz", "is no folder; npz:PATH names a numpy archive; folder:PATH"),
        ("x.png", "is no f"),
    ):
        (tmp_path / file).write_bytes(b"1")
        with pytest.raises(BadInput, match=message):
            load_data(f"folder:{tmp_path / file}", Path())
    for name in ("a\0b", "x" * 300, "~nobody-here/a", f"{__file__}/mine", ""):
        with pytest.raises(BadInput, match=r"does not exist|cannot be read|names no folder"):
            load_data(f"folder:{name}", Path())


def test_a_file_that_the_system_does_not_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "mine", usual())

    def denied(*arguments: object, **options: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "sha256", denied)
    with pytest.raises(BadInput, match=r"'cat/0\.png' cannot be read: Permission denied"):
        folder_files.sha256_of(path)
    monkeypatch.setattr(Image, "open", denied)
    with pytest.raises(BadInput, match=r"'cat/0\.png' cannot be read: Permission denied"):
        folder.read(path)
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BadInput, match="cannot be read: Permission denied"):
        folder.read(path)


def test_more_than_the_memory_holds_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "mine", usual())
    monkeypatch.setattr(folder, "memory", lambda: 100)
    with pytest.raises(BadInput, match=r"6 images of 5 x 4 in colour take 0\.0 GiB, this machine's memory is"):
        folder.read(path)
    monkeypatch.undo()

    def short(*arguments: object, **options: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(numpy, "empty", short)
    with pytest.raises(BadInput, match="does not hold its images"):
        folder.read(path)


FLAGS = {
    "absent": ("folder:absent", "absent does not exist"),
    "no path": ("folder:", "without a path: folder:PATH"),
    "a file": ("folder:mine.npz", "is no folder; npz:PATH names a numpy archive"),
    "a folder as a file": ("npz:photos", "is a folder; npz:PATH names a numpy archive, folder:PATH a folder of images"),
    "no prefix": (
        "./photos",
        "own images are a numpy archive, named npz:PATH or a folder of images, named folder:PATH",
    ),
    "an empty folder": ("folder:photos", "has no folders of classes"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_on_the_command_line_it_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, message = FLAGS[case]
    (tmp_path / "place" / "photos").mkdir(parents=True)
    (tmp_path / "place" / "mine.npz").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "place")
    (tmp_path / "out").mkdir()
    assert message in refused([*COMMAND, f"--data={text}"], capsys, tmp_path / "out")
