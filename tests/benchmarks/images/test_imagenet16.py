"""imagenet16-120 from files in the layout of the official ones, made here; and pickles that want more than arrays."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images import imagenet16, plain_pickle
from nas_stability.benchmarks.images.dataset import Raw
from nas_stability.harness.specs.filled_in import run_spec
from tests.commands import COMMAND, NEEDED, refused

NAMES = [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]


def batch(seed: int, count: int = 400) -> dict[str, Any]:
    """A batch as the official files hold one; labels from 1 to 1000 as a list of Python's integers."""
    generator = numpy.random.default_rng(seed)
    labels = generator.integers(1, 250, count)
    labels[:6] = 1, 120, 121, 1000, 120, 1
    data = generator.integers(0, 256, (count, 768), dtype=numpy.uint8)
    return {"data": data, "labels": labels.tolist(), "mean": data.mean(0)}


def text(content: bytes) -> bytes:
    """A string of Python 2 in a pickle."""
    return b"T" + struct.pack("<i", len(content)) + content


def array_of_python_2(array: Any) -> bytes:
    """What Python 2 and numpy 1 pickle of an array of bytes in protocol 2, from the definition of the opcodes."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", length) for length in array.shape) + b"t"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2
    return made + b"(K\x01" + shape + kind + b"K\x00tb" + b"\x89" + text(array.tobytes()) + b"tb"


def by_python_2(content: dict[str, Any]) -> bytes:
    """What Python 2 would have written of a batch."""
    labels = b"](" + b"".join(b"M" + struct.pack("<H", label) for label in content["labels"]) + b"e"
    items = text(b"data") + array_of_python_2(content["data"]) + text(b"labels") + labels
    return b"\x80\x02}(" + items + b"u."


def put(directory: Path, monkeypatch: pytest.MonkeyPatch, **replaced: bytes) -> Path:
    """All files, taken for the official ones; some of them replaced."""
    folder = directory / "ImageNet16"
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(NAMES):
        content = replaced.get(name, pickle.dumps(batch(seed), protocol=2))
        (folder / name).write_bytes(content)
        monkeypatch.setitem(imagenet16.SUMS, name, hashlib.md5(content).hexdigest())
    return directory


def expected() -> Raw:
    """What the files of ``put`` hold, image by image."""
    parts = []
    for seeds in (range(10), [10]):
        images, labels = [], []
        for seed in seeds:
            content = batch(seed)
            for image, label in zip(content["data"], content["labels"], strict=True):
                if label in range(1, 121):
                    planes = [[image[256 * c + 16 * y : 256 * c + 16 * y + 16] for y in range(16)] for c in range(3)]
                    images.append(numpy.array(planes))
                    labels.append(label - 1)
        parts += [torch.from_numpy(numpy.stack(images)), torch.tensor(labels)]
    return Raw(*parts)


def assert_same(found: Raw) -> None:
    """Against the files of ``put``."""
    for ours, theirs in zip(found[:4], expected()[:4], strict=True):
        assert ours is not None
        assert theirs is not None
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert found.valid_images is None


def test_the_first_120_classes_of_all_batches_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_data("ImageNet16-120", put(tmp_path, monkeypatch))
    assert_same(found)
    assert set(found.labels.tolist()) == set(range(120))
    assert found.images.shape[1:] == (3, 16, 16)


def test_files_of_python_2_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {name: by_python_2(batch(seed)) for seed, name in enumerate(NAMES)}
    plain = pickle.loads(written["val_data"], encoding="latin1")
    assert (plain["data"] == batch(10)["data"]).all(), "what this test writes is what Python reads"
    assert_same(load_data("imagenet16-120", put(tmp_path, monkeypatch, **written)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", ["core", "_core"], ids=["numpy 1", "numpy 2"])
def test_arrays_of_every_protocol_are_those_that_were_pickled(protocol: int, core: str) -> None:
    numbers = numpy.random.default_rng(0).integers(0, 99, (3, 4))
    kinds = (">i2", "<u8", "u1", "f8")
    arrays = [numbers.astype(kind) for kind in kinds] + [numpy.asfortranarray(numbers), numbers[:, :0], numbers[1]]
    content = pickle.dumps({"arrays": arrays, "list": [*numbers[0], 7]}, protocol)
    for name in ("multiarray", "numeric"):
        theirs = f"numpy._core.{name}".encode()
        ours = f"numpy.{core}.{name}".encode()
        if protocol >= 4:  # where a name follows its length
            theirs, ours = (b"\x8c" + bytes([len(one)]) + one for one in (theirs, ours))
        content = content.replace(theirs, ours)
    if protocol >= 4:  # frames have lengths too
        content = unframed(content)
    found = plain_pickle.read(io.BytesIO(content))
    assert isinstance(found, dict)
    for array, one in zip(arrays, found["arrays"], strict=True):
        assert plain_pickle.numbers_of(one).tolist() == array.tolist()
        assert plain_pickle.numbers_of(one).dtype == array.dtype
    assert plain_pickle.numbers_of(found["list"]).tolist() == [*numbers[0].tolist(), 7]


def unframed(content: bytes) -> bytes:
    """A pickle of one frame without it."""
    assert content[2:3] == b"\x95"
    return content[:2] + content[11:]


class Evil:
    """Runs a command where it is read without care."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.made = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.made


WHOLE = pickle.dumps(batch(3), protocol=2)

ASKING: dict[str, tuple[bytes, str]] = {
    "a command": (pickle.dumps(Evil(os.system, "touch owned")), r"it asks for 'posix\.system', and arrays are all"),
    "eval in a batch": (pickle.dumps({**batch(3), "mean": Evil(eval, "1")}), r"it asks for 'builtins\.eval'"),
    "getattr": (b"cbuiltins\ngetattr\n.", r"it asks for 'builtins\.getattr'"),
    "a name of a name": (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", r"asks for 'numpy\.dtype\.__init__'"),
    "another function of numpy": (pickle.dumps(Evil(numpy.fromfile, "/etc/passwd")), "it asks for 'numpy"),
    "a class of our own": (b"cnas_stability.benchmarks.images.plain_pickle\nPlain\n.", "it asks for 'nas_stability"),
    "an array of objects": (
        pickle.dumps({**batch(3), "data": numpy.array([1, None], dtype=object)}, protocol=2),
        "an array of 'O8', not of numbers",
    ),
    "a name that cannot be printed": (b"c\x1b[31m\n\x07\n.", r"it asks for '\\x1b\[31m\.\\x07'"),
    "cut": (WHOLE[: len(WHOLE) // 2], "is not what it should be: .*truncated"),
    "empty": (b"", "is not what it should be: "),
    "text": (b"hello\n", "is not what it should be: "),
    "an array cut": (WHOLE.replace(struct.pack("<h", 768), struct.pack("<h", 769)), "is not what it should be: "),
    "a list": (pickle.dumps([1, 2]), "no images and labels under 'data' and 'labels'"),
    "no labels": (pickle.dumps({"data": batch(3)["data"]}), "no images and labels"),
    "images of 32 x 32": (
        pickle.dumps({**batch(3), "data": numpy.zeros((400, 3072), numpy.uint8)}),
        r"images are uint8 of shape \(400, 3072\) and labels of shape \(400,\)",
    ),
    "fractions": (pickle.dumps({**batch(3), "data": batch(3)["data"] / 255}), "images are float64"),
    "fewer labels": (pickle.dumps({**batch(3), "labels": [1, 2]}), r"labels of shape \(2,\)"),
    "labels from 0": (pickle.dumps({**batch(3), "labels": [0] * 400}), "labels are not whole numbers from 1 to 1000"),
    "labels with a half": (pickle.dumps({**batch(3), "labels": [1.5] * 400}), "labels are not whole numbers"),
    "labels of text": (pickle.dumps({**batch(3), "labels": ["1"] * 400}), "labels are not whole numbers"),
    "no list of labels": (pickle.dumps({**batch(3), "labels": None}), "a NoneType where an array is expected"),
}


@pytest.mark.parametrize("case", ASKING)
def test_a_file_that_is_no_pickle_of_images(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, message = ASKING[case]
    monkeypatch.chdir(tmp_path)
    put(tmp_path, monkeypatch, train_data_batch_4=content)
    with pytest.raises(CorruptFile, match=message) as caught:
        load_data("imagenet16-120", tmp_path)
    assert str(caught.value).startswith(f"the file {tmp_path / 'ImageNet16' / 'train_data_batch_4'} is not what it")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["ImageNet16"]


def test_a_file_that_is_not_the_official_one_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch)
    monkeypatch.setattr(plain_pickle, "read", lambda file: pytest.fail("it was read"))
    monkeypatch.setitem(imagenet16.SUMS, "train_data_batch_1", "0" * 32)
    with pytest.raises(
        CorruptFile, match=r"train_data_batch_1 is not .* its MD5 is [0-9a-f]{32}, that of the official"
    ):
        load_data("imagenet16-120", tmp_path)


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch)
    (tmp_path / "ImageNet16" / "train_data_batch_7").unlink()
    (tmp_path / "ImageNet16" / "val_data").unlink()
    with pytest.raises(BadInput) as caught:
        load_data("imagenet16-120", tmp_path)
    assert f"{tmp_path / 'ImageNet16'} lacks train_data_batch_7, val_data; download them by hand" in str(caught.value)
    assert "--data-dir" in str(caught.value)


def test_on_the_command_line_it_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused([*COMMAND, "--data", "imagenet16-120", "--data-dir", "there"], capsys, tmp_path)
    assert f"there/ImageNet16 lacks {', '.join(NAMES)}; download them by hand" in said


def test_the_official_sums_are_of_eleven_files_and_the_augmentation_is_that_of_nasbench201() -> None:
    assert list(imagenet16.SUMS) == NAMES
    assert len({*imagenet16.SUMS.values()}) == 11
    spec = run_spec({**NEEDED, "data": "ImageNet16-120"})
    assert (spec.data, spec.crop_padding, spec.flip) == ("imagenet16-120", 2, True)
