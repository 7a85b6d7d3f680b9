"""Images: halves, crops, flips, cutout, batches, loaders."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
import torchvision
from torch import Tensor

from nas_stability.benchmarks.catalog import DATASETS, load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import dataset, npz
from nas_stability.harness.rng import stream
from tests.small import CPU, SHARED


def crop(image: Tensor, row: int, column: int, flip: bool) -> Tensor:
    """One image (C, H, W), shifted by (row, column) pixels with zeros from outside, then mirrored; pixel by pixel."""
    channels, height, breadth = image.shape
    out = torch.zeros_like(image)
    for channel in range(channels):
        for y in range(height):
            for x in range(breadth):
                source_y, source_x = y + row, (breadth - 1 - x if flip else x) + column
                if 0 <= source_y < height and 0 <= source_x < breadth:
                    out[channel, y, x] = image[channel, source_y, source_x]
    return out


def random_half(count: int = 12, channels: int = 3, size: int = 6) -> dataset.Half:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    raw = dataset.Raw(images, torch.arange(count) % 3)
    return dataset.halves(raw, 0, CPU).train


def test_crop_and_flip_equal_the_pixel_by_pixel_oracle() -> None:
    half = random_half()
    batch = torch.tensor([0, 3, 3, 5])
    rows, columns = torch.tensor([-2, 0, 3, 1]), torch.tensor([1, -3, 0, 2])
    flips = torch.tensor([False, True, True, False])
    found = dataset.crop(half.images, batch, rows, columns, flips)
    for index in range(4):
        expected = crop(half.images[batch[index]], int(rows[index]), int(columns[index]), bool(flips[index]))
        assert torch.equal(found[index], expected)


def test_cutout_zeroes_a_square_clipped_at_the_border() -> None:
    mask = dataset.outside_square(torch.zeros(2, 3, 5, 5), torch.tensor([2, 0]), torch.tensor([2, 4]), 2)
    assert mask.shape == (2, 1, 5, 5)
    assert mask[0, 0].tolist() == [
        [1, 1, 1, 1, 1],
        [1, 0, 0, 1, 1],
        [1, 0, 0, 1, 1],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
    ]
    assert mask[1, 0].tolist() == [[1, 1, 1, 0, 0]] + [[1] * 5] * 4


def test_places_cover_the_whole_range() -> None:
    rows, columns, flips, _, _ = dataset.draw_places(4000, (8, 8), dataset.Augmentation(4, True), stream(0, "places"))
    assert (int(rows.min()), int(rows.max())) == (-4, 4)
    assert (int(columns.min()), int(columns.max())) == (-4, 4)
    assert 0.45 < float(flips.float().mean()) < 0.55
    rows, _, flips, _, _ = dataset.draw_places(100, (8, 8), dataset.Augmentation(), stream(0, "places"))
    assert not rows.any()
    assert not flips.any()


def test_batches_without_augmentation_are_the_standardised_images() -> None:
    half = random_half(30)
    batches = list(
        dataset.draw_batches(half, 4, dataset.Augmentation(), stream(0, "b"), False, False, 4, torch.float64)
    )
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 3]
    images = torch.cat([images for images, _ in batches])
    expected = dataset.standardise(half, half.images, torch.float64)
    assert sorted(map(tuple, images.flatten(1).tolist())) == sorted(map(tuple, expected.flatten(1).tolist()))


def test_standardised_images_have_zero_mean_and_unit_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = dataset.Raw(
        torch.randint(0, 256, (40, 2, 4, 4), generator=generator, dtype=torch.uint8), torch.arange(40) % 2
    )
    found = dataset.halves(raw, 0, CPU)
    both = torch.cat([dataset.standardise(half, half.images, torch.float64) for half in (found.train, found.valid)])
    torch.testing.assert_close(both.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(both.std((0, 2, 3), unbiased=False), torch.ones(2, dtype=torch.float64))


def test_halves_are_the_first_and_the_second() -> None:
    raw = load_data("digits", Path())
    assert raw.images.shape == (1437, 1, 8, 8)
    assert raw.test_images is not None
    assert len(raw.test_images) == 360
    found = dataset.halves(raw, 100, CPU)
    assert torch.equal(found.train.images, raw.images[:50])
    assert torch.equal(found.valid.labels, raw.labels[50:100])
    assert (found.classes, found.in_channels) == (10, 1)
    with pytest.raises(BadInput, match="asks for 5000 images"):
        dataset.halves(raw, 5000, CPU)


def test_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    images = numpy.random.default_rng(0).integers(0, 256, (8, 5, 5, 3), dtype=numpy.uint8)
    numpy.savez(path, x_train=images, y_train=numpy.arange(8) % 2)
    raw = load_data(f"npz:{path}", Path())
    assert raw.images.shape == (8, 3, 5, 5)
    found = sorted((image[:, 2, 4].tolist(), int(label)) for image, label in zip(raw.images, raw.labels, strict=True))
    assert found == sorted((images[index, 2, 4].tolist(), index % 2) for index in range(8))
    assert torch.equal(raw.images, load_data(f"npz:{path}", Path()).images)
    assert raw.test_images is None


def test_halves_of_a_file_sorted_by_class_have_all_classes(tmp_path: Path) -> None:
    path = tmp_path / "sorted.npz"
    numpy.savez(
        path, x_train=numpy.arange(1280, dtype=numpy.uint8).reshape(80, 4, 4), y_train=numpy.repeat(numpy.arange(4), 20)
    )
    found = dataset.halves(load_data(f"npz:{path}", Path()), 0, CPU)
    assert set(found.train.labels.tolist()) == set(found.valid.labels.tolist()) == {0, 1, 2, 3}


def test_npz_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    with pytest.raises(BadInput, match="does not exist"):
        npz.read(path)
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CorruptFile, match=r"images\.npz"):
        npz.read(path)
    numpy.savez(path, x_train=numpy.zeros((4, 5, 5, 3), numpy.uint8))
    with pytest.raises(BadInput, match="no array 'y_train'"):
        npz.read(path)
    numpy.savez(path, x_train=numpy.zeros((4, 5, 5, 3), numpy.float32), y_train=numpy.zeros(4, numpy.int64))
    with pytest.raises(BadInput, match="must be uint8"):
        npz.read(path)
    numpy.savez(path, x_train=numpy.zeros((4, 5, 5, 3), numpy.uint8), y_train=numpy.zeros(3, numpy.int64))
    with pytest.raises(BadInput, match="one label"):
        npz.read(path)


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="the real images are not beside this checkout")
def test_the_real_cifar10_subset() -> None:
    raw = load_data(f"npz:{SHARED / 'data' / 'cifar10_subset_6000_2000.npz'}", Path())
    assert raw.images.shape == (6000, 3, 32, 32)
    assert raw.test_images is not None
    assert len(raw.test_images) == 2000
    counts = torch.bincount(raw.labels[:3000])
    assert len(counts) == 10
    assert int(counts.min()) > 240


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves tmp_path/served on loopback."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_torchvision_data_is_downloaded_checked_and_read(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = []
    for name, count in (("train", 6), ("t10k", 4)):
        pixels = bytes(range(256))[: count * 16]
        files = {
            f"{name}-images-idx3-ubyte.gz": struct.pack(">iiii", 2051, count, 4, 4) + pixels,
            f"{name}-labels-idx1-ubyte.gz": struct.pack(">ii", 2049, count) + bytes(range(count)),
        }
        for file, content in files.items():
            packed = gzip.compress(content)
            (tmp_path / "served" / file).write_bytes(packed)
            resources.append((file, hashlib.md5(packed).hexdigest()))
    kind = torchvision.datasets.FashionMNIST
    monkeypatch.setattr(kind, "mirrors", [server])
    monkeypatch.setattr(kind, "resources", resources)
    raw = load_data("fashion-mnist", tmp_path / "data")
    assert raw.images.shape == (6, 1, 4, 4)
    assert raw.images[1, 0, 0].tolist() == [16, 17, 18, 19]
    assert raw.labels.tolist() == list(range(6))
    assert raw.test_images is not None
    assert raw.test_images.shape == (4, 1, 4, 4)


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_data_that_cannot_be_downloaded_is_one_clear_line(
    name: str, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = {"fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN"}
    kind = getattr(torchvision.datasets, classes[name])
    if name == "fashion-mnist":
        monkeypatch.setattr(kind, "mirrors", [server])
    elif name == "svhn":
        absent = {split: [server + "absent.mat", "absent.mat", "0" * 32] for split in ("train", "test")}
        monkeypatch.setattr(kind, "split_list", absent)
    else:
        monkeypatch.setattr(kind, "url", server + "absent.tar.gz")
    with pytest.raises(BadInput, match="could not be downloaded") as caught:
        load_data(name, tmp_path / "data")
    assert "--data-dir" in str(caught.value)


def test_every_dataset_is_listed_by_name() -> None:
    assert set(DATASETS) == {"digits", "fashion-mnist", "cifar10", "cifar100", "imagenet16-120", "svhn"}
    with pytest.raises(BadInput, match="did you mean 'cifar10'"):
        load_data("cifra10", Path())
