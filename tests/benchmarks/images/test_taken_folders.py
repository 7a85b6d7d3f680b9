"""folder:PATH: what is taken, as what, in which order; what is refused, in which words; which run it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from nas_stability.benchmarks.catalog import OWN, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images import folder, folder_files, npz
from nas_stability.benchmarks.images.dataset import halves, sha256_of
from nas_stability.benchmarks.spellings import SOURCES, canonical_data
from nas_stability.harness.records.record import DONE, EPOCHS
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.specs import located
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.recorded import same_run
from nas_stability.harness.specs.spec import RunSpec
from tests.benchmarks.images.pictures import Content, encoded, made, palette, picture, pixels, usual, with_alpha
from tests.commands import NEEDED
from tests.small import CPU, PLACE, small_spec


def test_every_kind_of_own_images_is_read_checked_and_named() -> None:
    assert set(OWN) == set(located.CHECKSUMS) == set(SOURCES) == {"npz", "folder"}
    assert canonical_data("Folder:./Mine") == "folder:./Mine"
    assert located.own_kind("digits") == ""


def test_a_folder_is_the_archive_of_its_files_sorted_by_the_bytes_of_their_names(tmp_path: Path) -> None:
    classes = ["10", "9", "Zebra", "ant", "\u00e9l\u00e9phant"]
    names = ["10.png", "2.png", "B.PNG", "a.jpeg.png", "\u00fc.png"]
    every = [f"{label}/{name}" for label in classes for name in names]
    found = {name: pixels(place) for place, name in enumerate(every)}
    path = made(tmp_path / "mine", {name: Image.fromarray(found[name]) for name in sorted(found, key=hash)})
    numpy.savez(tmp_path / "mine.npz", x_train=numpy.stack([*found.values()]), y_train=numpy.arange(25) // 5)
    raw = load_data(f"folder:{path}", Path())
    assert raw.images.dtype == torch.uint8
    assert raw.images.shape == (25, 3, 5, 4)
    assert sha256_of(raw) == sha256_of(npz.read(tmp_path / "mine.npz"))
    assert set(halves(raw, 0, CPU).train.labels.tolist()) == {0, 1, 2, 3, 4}


SPLITS = [("train", "val", "test"), ("Train", "VALID", "Test"), ("train", "validation", "test")]


@pytest.mark.parametrize("names", SPLITS, ids="-".join)
def test_splits_are_those_of_an_archive(names: tuple[str, str, str], tmp_path: Path) -> None:
    parts = {name: usual(f"{name}/", 100 * place) for place, name in enumerate(names)}
    path = made(tmp_path / "mine", {**parts[names[0]], **parts[names[1]], **parts[names[2]]})
    arrays = {}
    for ours, name in zip(("train", "val", "test"), names, strict=True):
        arrays[f"x_{ours}"] = numpy.stack([numpy.asarray(image) for image in parts[name].values()])
        arrays[f"y_{ours}"] = numpy.arange(6) // 3
    numpy.savez(tmp_path / "mine.npz", **arrays)
    assert sha256_of(folder.read(path)) == sha256_of(npz.read(tmp_path / "mine.npz"))
    shutil.rmtree(path / names[1])
    assert folder.read(path).valid_images is None
    shutil.rmtree(path / names[2])
    assert folder.read(path).test_images is None


def test_validation_images_move_the_logits_and_n_takes_half_of_each(tmp_path: Path) -> None:
    raw = folder.read(made(tmp_path / "mine", {**usual("train/"), **usual("val/", 50)}))
    whole, few = halves(raw, 0, CPU), halves(raw, 5, CPU)
    assert (len(whole.train.labels), len(whole.valid.labels)) == (6, 6)
    assert torch.equal(few.train.images, raw.images[:2])
    assert raw.valid_images is not None
    assert torch.equal(few.valid.images, raw.valid_images[:3])


def test_a_class_of_the_name_of_a_split_is_a_class_beside_others(tmp_path: Path) -> None:
    contents = {**usual(), "train/1.png": picture(7), "train/2.png": picture(8)}
    assert sorted(folder.read(made(tmp_path / "mine", contents)).labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    raw = folder.read(made(tmp_path / "mine", usual("", 0, 5, 4)))
    assert raw.images.shape == (6, 1, 5, 4)
    assert sorted(raw.images[:, 0, 3, 2].tolist()) == sorted(int(pixels(seed, 5, 4)[3, 2]) for seed in range(6))


BITS = Image.fromarray((pixels(3, 5, 4) > 99).astype(numpy.uint8) * 255).convert("1")
COLOURS = numpy.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])

SAME: dict[str, tuple[Content, Any]] = {
    "a palette": (palette(), COLOURS[numpy.arange(20).reshape(5, 4) % 4]),
    "a GIF": (encoded(palette(), "GIF"), COLOURS[numpy.arange(20).reshape(5, 4) % 4]),
    "opaque": (with_alpha(3, 255), pixels(3)),
    "opaque grey": (with_alpha(3, 255, 5, 4), pixels(3, 5, 4)),
    "one bit": (BITS, numpy.asarray(BITS.convert("L"))),
    "a bitmap of another ending": (encoded(picture(3), "BMP"), pixels(3)),
    "PPM": (encoded(picture(3), "PPM"), pixels(3)),
    "TIFF": (encoded(picture(3), "TIFF"), pixels(3)),
    "WebP": (encoded(picture(3), "WEBP", lossless=True), pixels(3)),
}


@pytest.mark.parametrize("case", SAME)
def test_what_loses_nothing_is_taken(case: str, tmp_path: Path) -> None:
    content, expected = SAME[case]
    shape = expected.shape
    raw = folder.read(made(tmp_path / "mine", {**usual("", 50, *shape), "cat/this.png": content}))
    pictures = [image.permute(1, 2, 0).reshape(shape).tolist() for image in raw.images]
    assert expected.tolist() in pictures


def test_what_nobody_means_for_an_image_is_let_be(tmp_path: Path) -> None:
    path = made(tmp_path / "mine", usual())
    plain = folder_files.sha256_of(path), sha256_of(folder.read(path))
    names = ["README.md", "labels.csv", ".DS_Store", "cat/.hidden.png", "horse/Thumbs.db", ".git/x.png"]
    made(path, dict.fromkeys(names, b"1"))
    assert (folder_files.sha256_of(path), sha256_of(folder.read(path))) == plain


def test_links_are_followed_and_the_content_counts(tmp_path: Path) -> None:
    path = made(tmp_path / "mine", usual())
    there = tmp_path / "links"
    there.mkdir()
    (there / "cat").symlink_to(path / "cat")
    (there / "horse").mkdir()
    for image in (path / "horse").iterdir():
        (there / "horse" / image.name).symlink_to(image)
    (tmp_path / "all").symlink_to(there)
    for other in (there, tmp_path / "all"):
        assert folder_files.sha256_of(other) == folder_files.sha256_of(path)
        assert sha256_of(folder.read(other)) == sha256_of(folder.read(path))


def test_the_checksum_is_of_names_and_contents(tmp_path: Path) -> None:
    contents: dict[str, Content] = {"a/1.png": picture(1), "a-b/2.png": picture(2), "\u00fc/3.png": picture(3)}
    path = made(tmp_path / "mine", contents)
    lines = b""
    for name in ("a-b/2.png", "a/1.png", "\u00fc/3.png"):  # as sha256sum --zero has it, the names sorted by bytes
        lines += hashlib.sha256((path / name).read_bytes()).hexdigest().encode() + b"  " + name.encode() + b"\0"
    found = folder_files.sha256_of(path)
    assert found == hashlib.sha256(lines).hexdigest()
    (path / "a" / "1.png").write_bytes(encoded(picture(4)))
    (path / "\u00fc" / "3.png").rename(path / "\u00fc" / "4.png")
    assert len({found, folder_files.sha256_of(path)}) == 2
    (path / "a" / "1.png").write_bytes(encoded(picture(1)))
    assert folder_files.sha256_of(path) != found
    (path / "\u00fc" / "4.png").rename(path / "\u00fc" / "3.png")
    assert folder_files.sha256_of(path) == found


def own_images(path: Path) -> RunSpec:
    """A spec on a folder."""
    values = {"images": 0, "data": f"folder:{path}", "crop_padding": 0, "flip": False, "batch_size": 8}
    return small_spec(epochs=3, **values)  # type: ignore[arg-type]


def forty(path: Path, seed: int = 0) -> Path:
    """Two classes of twenty images of 8 x 8 pixels."""
    names = [f"{label}/{number}.png" for label in "ab" for number in range(20)]
    return made(path, {name: picture(seed + place, 8, 8) for place, name in enumerate(names)})


def test_the_same_content_is_the_same_run_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = forty(tmp_path / "my photos.v2"), tmp_path / "x" / "my photos.v2"
    shutil.copytree(here, there)
    first, second = own_images(here), own_images(there)
    assert first.run_id == second.run_id
    assert first.run_id.startswith("nasbench201-darts-folder-my-photos.v2-s0-")
    assert same_run(first, {**json.loads(first.json()), "data": "folder:/gone/my photos.v2"})
    forty(there, seed=1)
    assert own_images(there).run_id != first.run_id
    monkeypatch.chdir(tmp_path / "x")
    for text in ("folder:my photos.v2", "FOLDER:./my photos.v2/", f"folder:{there}", "folder:my photos.v2/a/.."):
        assert run_spec({**NEEDED, "data": text}) == run_spec({**NEEDED, "data": f"folder:{there}"})


@pytest.mark.slow
def test_a_run_is_carried_out_and_refuses_a_folder_that_changed(tmp_path: Path) -> None:
    path = forty(tmp_path / "mine")
    spec = own_images(path)
    assert run(spec, tmp_path / "run", PLACE, Watch())
    assert "darts,folder-mine,0," in (tmp_path / "run" / EPOCHS).read_text()
    recorded = json.loads((tmp_path / "run" / DONE).read_text())["data"]
    assert (recorded["name"], recorded["images"]) == ("folder-mine", 40)
    (path / "a" / "0.png").write_bytes(encoded(picture(99, 8, 8)))
    with pytest.raises(BadInput, match=r"the data folder .*mine is not the one with SHA-256 .* 'data_sha256'"):
        run(spec, tmp_path / "other", PLACE, Watch())
    assert not (tmp_path / "other").exists()
