"""Data sets that are downloaded: by several processes at once, broken off, damaged, into a folder that is only read."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy
import pytest
import torchvision

from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import torchvision_sets
from nas_stability.benchmarks.images.dataset import Raw


class Stub:
    """Like torchvision's classes: finds its file in ``root``, or downloads it, slowly and not aside."""

    downloads: ClassVar[list[int]] = []
    pixels = bytes(range(1, 65))

    def __init__(self, root: str, train: bool, download: bool) -> None:
        path = Path(root) / "stub.bin"
        if download and not path.exists():
            self.downloads.append(threading.get_ident())
            with path.open("xb") as file:  # fails where another is at it
                for byte in self.pixels:
                    file.write(bytes([byte]))
                    file.flush()
                    time.sleep(0.001)
        if not path.exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.data = numpy.frombuffer(path.read_bytes(), numpy.uint8).reshape(4, 4, 4).copy()
        self.targets = [0, 1, 0, 1]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    """In the place of torchvision's FashionMNIST."""
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", Stub)
    monkeypatch.setattr(Stub, "downloads", [])
    return Stub


def test_several_that_need_one_data_set_download_it_once(stub: type[Stub], tmp_path: Path) -> None:
    found: list[Raw | Exception] = []
    together = threading.Barrier(4)

    def load() -> None:
        together.wait()
        try:
            found.append(load_data("fashion-mnist", tmp_path / "data"))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.downloads) == 1
    for raw in found:
        assert isinstance(raw, Raw)
        assert raw.images.flatten().tolist() == list(stub.pixels)


def test_data_in_a_folder_that_is_only_read_needs_no_lock(
    stub: type[Stub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub.bin").write_bytes(stub.pixels)
    assert len(load_data("fashion-mnist", tmp_path).labels) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["stub.bin"]

    def no_lock(path: Path) -> None:
        raise PermissionError(30, "Read-only file system")

    (tmp_path / "stub.bin").unlink()
    monkeypatch.setattr(torchvision_sets.filelock, "FileLock", lambda path: type("", (), {"acquire": no_lock})())
    assert len(load_data("fashion-mnist", tmp_path).labels) == 4


@pytest.mark.parametrize("content", [b"", bytes(63), bytes(65)], ids=["H7: empty", "H7: half", "H7: more"])
def test_a_broken_file_of_a_download_is_one_line(content: bytes, stub: type[Stub], tmp_path: Path) -> None:
    (tmp_path / "stub.bin").write_bytes(content)
    with pytest.raises(CorruptFile, match=r"the files of FashionMNIST in .* are damaged .*; remove them") as caught:
        load_data("fashion-mnist", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / "stub.bin").read_bytes() == content


def test_a_download_that_breaks_off_is_one_line(
    stub: type[Stub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, root: str, train: bool, download: bool) -> None:
        raise http.client.IncompleteRead(b"1") if download else RuntimeError("Dataset not found.\nYou can")

    monkeypatch.setattr(stub, "__init__", broken)
    with pytest.raises(BadInput, match=r"could not be downloaded .*IncompleteRead.*--data-dir") as caught:
        load_data("fashion-mnist", tmp_path)
    assert "\n" not in str(caught.value)
