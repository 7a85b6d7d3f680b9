"""Archives of images that are taken, and as what: types, layouts, halves, spellings, checksums."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import numpy
import pytest
import torch

from nas_stability.benchmarks import spellings
from nas_stability.benchmarks.catalog import DATASETS, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images import npz
from nas_stability.benchmarks.images.dataset import Raw, half_sizes, halves, sha256_of
from tests.benchmarks.images.archives import images, labels, saved, training
from tests.small import CPU

TYPES = ("i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8")


@pytest.mark.parametrize("kind", TYPES, ids=[f"B7: integers {kind}" for kind in TYPES])
def test_labels_of_every_integer_type_are_taken_exactly(kind: str, tmp_path: Path) -> None:
    expected = npz.read(saved(tmp_path / "plain.npz", training()))
    path = saved(tmp_path / "mine.npz", training(y_train=labels().astype(kind)[:, None]))
    assert torch.equal(npz.read(path).labels, expected.labels)
    assert sorted(expected.labels.tolist()) == [0] * 4 + [1] * 4 + [2] * 4


def test_layouts_of_one_image_are_read_alike(tmp_path: Path) -> None:
    colour = images(12, 5, 4, 3)
    first = numpy.asfortranarray(numpy.moveaxis(colour, 3, 1))
    found = [npz.read(saved(tmp_path / "mine.npz", training(x_train=one))) for one in (colour, first)]
    assert found[0].images.shape == (12, 3, 5, 4)
    assert torch.equal(found[0].images, found[1].images)
    assert sha256_of(found[0]) == sha256_of(found[1])


def test_an_array_that_nobody_can_mean_for_images_is_let_be(tmp_path: Path) -> None:
    names = {
        "class_names": numpy.array(["a", "b", "c"]),
        "label_names": numpy.array(["a"]),
        "source": numpy.array("me"),
    }
    assert len(npz.read(saved(tmp_path / "mine.npz", training(**names))).labels) == 12


def test_the_documented_recipe_writes_a_file_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "own-data.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (recipe,) = (block for block in blocks if "numpy.savez" in block)
    monkeypatch.chdir(tmp_path)
    exec(recipe, {"fractions": images(12, 30, 30, 3) / 255, "names": numpy.array(["cat", "dog", "cow"] * 4)})
    raw = load_data("npz:mine.npz", Path())
    assert raw.images.shape == (12, 3, 30, 30)
    assert sorted(raw.labels.tolist()) == sorted(labels())


def test_a_home_folder_is_found_behind_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "mine.npz", training())
    assert len(load_data("npz:~/mine.npz", Path()).labels) == 12


def by_content(found: torch.Tensor) -> list[list[int]]:
    """Images as sorted lists of pixels."""
    return sorted(found.flatten(1).tolist())


def test_validation_images_of_the_file_move_the_logits_and_training_images_the_weights_whole(tmp_path: Path) -> None:
    own = images(7)
    raw = npz.read(saved(tmp_path / "mine.npz", training(x_val=own, y_val=labels(7))))
    found = halves(raw, 0, CPU)
    assert by_content(found.train.images) == by_content(torch.from_numpy(images()))
    assert by_content(found.valid.images) == by_content(torch.from_numpy(own))
    for image, label in zip(found.valid.images, found.valid.labels, strict=True):
        place = (own == image[0].numpy()).all((1, 2)).argmax()
        assert int(label) == place % 3
    everything = torch.cat([found.train.images, found.valid.images]).double()
    torch.testing.assert_close(found.train.mean, everything.mean((0, 2, 3), keepdim=True))
    few = halves(raw, 9, CPU)
    assert (len(few.train.labels), len(few.valid.labels)) == (4, 5)
    assert torch.equal(few.train.images, found.train.images[:4])
    assert torch.equal(few.valid.images, found.valid.images[:5])


@pytest.mark.parametrize(
    ("own", "asked", "message"),
    [
        pytest.param(
            7, 15, "asks for 7 images for training and 8 for validation, the data has 12 and 7", id="H10: more"
        ),
        pytest.param(1, 0, "has 12 images for training and 1 for validation; each takes at least 2", id="H10: one"),
        pytest.param(7, 3, "must be at least 4", id="H10: three"),
        pytest.param(None, 13, "asks for 13 images, the data has 12", id="B9: images beyond the data"),
    ],
)
def test_halves_that_cannot_be_had(own: int | None, asked: int, message: str) -> None:
    blank = torch.zeros(12, 1, 4, 4, dtype=torch.uint8)
    valid = (None, None) if own is None else (blank[:own], torch.arange(own))
    with pytest.raises(BadInput, match=message):
        half_sizes(Raw(blank, torch.arange(12) % 3, None, None, *valid), asked)


SPELT = {
    "cifar10": ["CIFAR-10", "CIFAR10", "Cifar10", "cifar_10", "cifar-10", " cifar 10 "],
    "cifar100": ["CIFAR-100", "CIFAR100", "cifar_100"],
    "fashion-mnist": ["FashionMNIST", "fashionmnist", "Fashion-MNIST", "fashion_mnist", "FMNIST"],
    "svhn": ["SVHN", "Svhn"],
    "digits": ["Digits", "DIGITS"],
}


@pytest.mark.parametrize(("name", "spelt"), [(name, one) for name, all_ in SPELT.items() for one in all_])
def test_official_spellings_are_the_names(name: str, spelt: str) -> None:
    assert spellings.canonical_data(spelt) == name


def test_every_data_set_has_its_spelling_and_nothing_else_is_changed() -> None:
    assert set(spellings.IMAGES) == set(DATASETS)
    for name in (*DATASETS, "cifar", "cifar1000", "mnist", "npz:./CIFAR10", "", "\u00b9\u2070"):
        assert spellings.canonical_data(name) == name
    assert spellings.canonical_data("NPZ:./Mine.npz") == "npz:./Mine.npz"
    assert len(load_data("Digits", Path()).labels) == 1437


def test_the_checksum_is_of_names_types_shapes_and_values() -> None:
    pixels = torch.arange(32, dtype=torch.uint8).view(2, 1, 4, 4)
    classes = torch.tensor([0, 1])
    text = b"images |u1 (2, 1, 4, 4)\n" + bytes(range(32)) + b"labels <i8 (2,)\n" + struct.pack("<qq", 0, 1)
    assert sha256_of(Raw(pixels, classes)) == hashlib.sha256(text).hexdigest()
    changed = pixels.clone()
    changed[1, 0, 3, 3] ^= 1
    others = [
        Raw(pixels, classes.flip(0)),
        Raw(changed, classes),
        Raw(pixels.view(2, 1, 2, 8), classes),
        Raw(pixels, classes, pixels, classes),
        Raw(pixels, classes, None, None, pixels, classes),
    ]
    assert len({sha256_of(raw) for raw in [Raw(pixels, classes), *others]}) == 6
    elsewhere = pixels.transpose(2, 3).contiguous().transpose(2, 3)
    assert sha256_of(Raw(elsewhere, classes)) == sha256_of(Raw(pixels, classes))
