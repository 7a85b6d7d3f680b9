"""NAS-Bench-201's dumps: the file ``NAS-Bench-201-v1_1-096897.pth`` and the NATS-Bench topology archive.

CIFAR-10 has two settings in the source. Its ``cifar10-valid`` was trained on half of the training images and has
validation (the other half) and test; its ``cifar10`` was trained on all of them and has only test. A search chooses by
the first and is judged by the second, so that here

    cifar10        valid is the half-trained network's; train and test are the fully trained network's
    cifar10-valid  train, valid and test are all the half-trained network's

CIFAR-100 and ImageNet16-120 were trained on all their training images; their test images are halved into ``valid`` and
``test``, and ``valid+test`` is all of them. Seeds keep the source's numbers (777, 888, 999; at 12 epochs 111 and 777).

Source: Dong and Yang, NAS-Bench-201 (ICLR 2020); D-X-Y/NATS-Bench.
"""

from __future__ import annotations

import bz2
import io
import itertools
import pickle
import tarfile
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces import nasbench201
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables.packed_file import Contents
from nas_stability.benchmarks.tables.table import Floats, Question, TimedTraining
from nas_stability.benchmarks.tables.tidy_file import BOUNDS, first_line

COMMON = {"train": "train", "x-valid": "valid", "x-test": "test", "ori-test": "valid+test"}
SETTINGS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "cifar10-valid": (
        ("train", "cifar10-valid", "train"),
        ("x-valid", "cifar10-valid", "valid"),
        ("ori-test", "cifar10-valid", "test"),
        ("x-valid", "cifar10", "valid"),
    ),
    "cifar10": (("train", "cifar10", "train"), ("ori-test", "cifar10", "test")),
    "cifar100": tuple((theirs, "cifar100", ours) for theirs, ours in COMMON.items()),
    "ImageNet16-120": tuple((theirs, "imagenet16-120", ours) for theirs, ours in COMMON.items()),
}
"""The source's data set -> (its name of a split, our data set, our split)."""

BUDGETS = (12, 200)
"""Training budgets of the topology space, in epochs."""

SUFFIX = ".pickle.pbz2"
META = "meta"


class RecordedTraining(NamedTuple):
    """What one training of one architecture left.

    Attributes:
        dataset: by the source's name.
        epochs: training budget.
        seed: by the source's number.
        accuracies: percent by the source's name of a split, at the end of training.
        seconds: training time; NaN where the source has none.
        parameters: weights of the network.
    """

    dataset: str
    epochs: int
    seed: int
    accuracies: Mapping[str, float]
    seconds: float
    parameters: int


def trained(state: Mapping[str, Any]) -> Iterator[RecordedTraining]:
    """The trainings in the state of one of the source's ArchResults, read by nas_201_api's class.

    Raises:
        KeyError, TypeError, ValueError, AttributeError or AssertionError: it is not one, or a number in it cannot be.
    """
    from nas_201_api.api_utils import ArchResults

    found = ArchResults.create_from_state_dict(dict(state))
    if not found.get_dataset_names():
        raise ValueError("no training is in it")
    for dataset in found.get_dataset_names():
        for seed in found.get_dataset_seeds(dataset):
            result = found.query(dataset, seed)
            if result.get_total_epoch() not in BUDGETS or not 0 <= whole(seed) <= BOUNDS["seed"][1]:
                raise ValueError(f"no run of {BUDGETS} epochs with a seed: {result.get_total_epoch()!r}, {seed!r}")
            accuracies = {name: result.get_eval(name)["accuracy"] for name in result.get_eval_set()}
            accuracies["train"] = result.get_train()["accuracy"]
            seconds = result.get_times()["T-train@total"]
            yield RecordedTraining(
                dataset=dataset,
                epochs=whole(result.get_total_epoch()),
                seed=whole(seed),
                accuracies={name: within(value, 100, f"{name} accuracy") for name, value in accuracies.items()},
                seconds=numpy.nan if seconds is None else within(seconds, 1e9, "training time"),
                parameters=round(within(result.params, 1e3, "millions of parameters") * 1e6),
            )


def whole(value: Any) -> int:
    """An integer that is none of the things that Python takes for one.

    Raises:
        TypeError: it is not an integer.
    """
    if isinstance(value, bool) or not isinstance(value, int | numpy.integer):
        raise TypeError(f"{value!r} is no integer")
    return int(value)


def within(value: Any, top: float, what: str) -> float:
    """A number in [0, top].

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, bool | str) or not 0 <= float(value) <= top:
        raise ValueError(f"{what} {value!r} is not in [0, {top:g}]")
    return float(value)


def contents(path: Path, records: Iterable[tuple[str, Arch, Iterable[Mapping[str, Any]]]]) -> Contents:
    """A table's contents from (name of the record, architecture, the states of its ArchResults).

    Raises:
        CorruptFile: naming the file and the record.
    """
    archs: list[Arch] = []
    accuracies: dict[Question, dict[int, float]] = defaultdict(dict)
    seconds: dict[TimedTraining, dict[int, float]] = defaultdict(dict)
    parameters: dict[str, dict[int, float]] = defaultdict(dict)
    known = nasbench201.cells()
    for record, arch, states in records:
        row = len(archs)
        archs.append(arch)
        try:
            if arch not in known:
                raise ValueError(f"{arch!r} is no architecture of NAS-Bench-201")
            for one in (one for state in states for one in trained(state)):
                ours = SETTINGS[one.dataset][0][1]
                for theirs, dataset, split in SETTINGS[one.dataset]:
                    if theirs in one.accuracies:
                        accuracies[Question(dataset, split, one.epochs, one.seed)][row] = one.accuracies[theirs]
                seconds[TimedTraining(ours, one.epochs, one.seed)][row] = one.seconds
                parameters[ours][row] = one.parameters
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise CorruptFile(f"{path}, record {record}: not a NAS-Bench-201 result: {error!r}") from error
    order = sorted(range(len(archs)), key=archs.__getitem__)
    for before, after in itertools.pairwise(order):
        if archs[before] == archs[after]:
            raise CorruptFile(f"{path}: two records are of the architecture {archs[after]}")

    def dense(values: Mapping[int, float]) -> Floats:
        return numpy.array([values.get(row, numpy.nan) for row in order])

    return Contents(
        [archs[row] for row in order],
        {question: dense(values) for question, values in sorted(accuracies.items())},
        {run: dense(values) for run, values in sorted(seconds.items())},
        {dataset: dense(values) for dataset, values in sorted(parameters.items())},
    )


def plain_dtype(code: str, align: bool = False, copy: bool = False) -> numpy.dtype[Any]:
    """A numpy dtype of plain numbers.

    Raises:
        UnpicklingError: another one.
    """
    if not isinstance(code, str) or code.lstrip("<>=|") not in ("f4", "f8", "i4", "i8", "b1"):
        raise pickle.UnpicklingError(f"the dtype {code!r} is not expected")
    return numpy.dtype(code)


class ResultUnpickler(pickle.Unpickler):
    """Loads containers, text, numbers, ordered dictionaries and numpy's numbers; refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        from collections import OrderedDict

        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("numpy", "dtype"): plain_dtype,
            ("numpy.core.multiarray", "scalar"): numpy.float64(0).__reduce__()[0],
            ("numpy._core.multiarray", "scalar"): numpy.float64(0).__reduce__()[0],
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"the global {module}.{name} is not expected")
        return allowed[module, name]


def unpickle(path: Path, record: str, compressed: bytes) -> Any:
    """The object in one bz2 pickle of the archive.

    Raises:
        CorruptFile: naming the archive and the record: cut, altered, or it asks for an unexpected global.
    """
    try:
        return ResultUnpickler(io.BytesIO(bz2.decompress(compressed))).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise CorruptFile(f"{path}, record {record}: it cannot be loaded: {error}") from error


def archive_records(path: Path) -> Iterator[tuple[str, Arch, list[Mapping[str, Any]]]]:
    """The records of the NATS-Bench topology archive, a folder or a tar of it: one by one, never all in memory.

    Returns:
        Name, architecture, the state of each budget.

    Raises:
        BadInput: the folder or tar has no records.
        CorruptFile: naming the archive and the record.
    """
    listed: list[Arch] | None = None
    seen: dict[str, Arch] = {}
    for name, compressed in (archive_folder if path.is_dir() else archive_tar)(path):
        record = name.removesuffix(SUFFIX)
        found = unpickle(path, record, compressed)
        if record == META:
            listed = found.get("meta_archs") if isinstance(found, dict) else None
            continue
        try:
            states = list(found.values())
            (arch,) = {str(state["arch_str"]) for state in states}
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path}, record {record}: not a NAS-Bench-201 result: {error!r}") from error
        seen[record] = arch
        yield record, arch, states
    if not seen:
        raise BadInput(f"{path} has no records (files named 000000{SUFFIX} and so on)")
    if listed is not None:
        for record, arch in seen.items():
            if not record.isdigit() or int(record) >= len(listed) or listed[int(record)] != arch:
                raise CorruptFile(f"{path}, record {record}: its architecture {arch} is not the one that {META} lists")


def archive_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the records in a folder, in sorted order."""
    for file in record_files(path):
        yield file.name, file.read_bytes()


def record_files(path: Path) -> list[Path]:
    """The records in a folder, sorted."""
    return sorted(file for file in path.glob(f"*{SUFFIX}") if file.is_file())


def is_archive(path: Path) -> bool:
    """Whether a folder has records."""
    return bool(record_files(path))


def archive_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the records in a tar, compressed or not, in its order.

    Raises:
        CorruptFile: it cannot be read.
    """
    name = "first"
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member) if member.isfile() and name.endswith(SUFFIX) else None
                if content is not None:
                    yield name, content.read()
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise CorruptFile(f"{path}, record {name.removesuffix(SUFFIX)}: the tar cannot be read: {error}") from error


def pth(path: Path) -> Contents:
    """The file ``NAS-Bench-201-v1_1-096897.pth``, which PyTorch loads whole: it needs about 28 GB of memory.

    Raises:
        CorruptFile: naming the file and the record: not readable, or it asks for an unexpected global.
    """
    import torch

    scalar = numpy.float64(0).__reduce__()[0]
    admitted: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        numpy.dtype,
        *(type(numpy.dtype(code)) for code in ("f4", "f8", "i4", "i8")),
    ]
    try:
        with torch.serialization.safe_globals(admitted), warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)
        archs, infos = found["meta_archs"], dict(found["arch2infos"])
    except Exception as error:  # zip, pickle and PyTorch each raise their own
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line), first_line(error))
        if "weights_only" in reason:  # PyTorch's advice is to load without its guard
            reason = "it is damaged, or holds more than plain results"
        raise CorruptFile(f"{path} is not a readable NAS-Bench-201 file: {reason.strip()}") from error

    def records() -> Iterator[tuple[str, Arch, list[Mapping[str, Any]]]]:
        for index in sorted(infos):
            try:
                states = [infos[index][budget] for budget in ("less", "full")]
                (arch,) = {archs[index], *(state["arch_str"] for state in states)}
            except (LookupError, TypeError, ValueError) as error:
                raise CorruptFile(f"{path}, record {index}: not a NAS-Bench-201 result: {error!r}") from error
            yield str(index), arch, states

    return contents(path, records())
