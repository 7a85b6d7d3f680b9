"""What a piece of work costs: seconds, operations, memory, launches; and what the machine can do at most."""

from __future__ import annotations

import contextlib
import platform
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

CLASSES = 10


Work = Callable[[], object]
"""Something to measure: it may be called any number of times."""


class Demand(NamedTuple):
    """What a call asks of the device.

    Attributes:
        operations: ATen operations that it dispatches, and that have something to do.
        gflop: 1e9 floating-point operations of convolutions and matrix products.
        peak_mb: memory of the tensors that it makes, as many of them as are there at once, in 1e6 bytes.
    """

    operations: int
    gflop: float
    peak_mb: float


class Counter(TorchDispatchMode):
    """Counts what is dispatched while it is entered, and the memory of its results while they are there.

    Views, allocations and reads of a scalar launch nothing. Results in the memory of an input are none of their own.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.flop = 0
        self.held = 0
        self.peak = 0
        self.storages = WeakIdKeyDictionary()

    @property
    def asked(self) -> Demand:
        """What was counted so far."""
        return Demand(self.operations, self.flop / 1e9, self.peak / 1e6)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        name = str(func)
        if not func.is_view and not any(part in name for part in NOT_LAUNCHED):
            self.operations += 1
        if func.overloadpacket in flop_registry:
            self.flop += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
        given = {storage.data_ptr() for storage in storages((args, kwargs))}
        for storage in storages(found):
            if storage.data_ptr() not in given and storage not in self.storages:
                self.storages[storage] = True
                self.hold(storage.nbytes())
                weakref.finalize(storage, self.hold, -storage.nbytes())
        return found

    def hold(self, size: int) -> None:
        """So many bytes more, or less."""
        self.held += size
        self.peak = max(self.peak, self.held)


def storages(values: Any) -> list[Any]:
    """The memory behind all tensors in nested values."""
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


NOT_LAUNCHED = ("empty", "profiler.", "_local_scalar_dense")


def seconds(work: Work, device: torch.device) -> float:
    """Wall-clock time of one call, until the device has finished."""
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    """Waits for a GPU; a CPU has finished when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def convolution_peak(device: torch.device) -> float:
    """The fastest convolution measured here, in GFLOP per second: 3x3, float32, channels-last, forward."""
    batch = 512 if device.type == "cuda" else 64
    best = 0.0
    for channels, side in ((64, 32), (128, 16), (256, 8)):
        images = torch.randn(batch, channels, side, side, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
        flop = 2.0 * images.numel() * channels * 9
        with torch.no_grad():
            times = [seconds(lambda: F.conv2d(images, weight, padding=1), device) for _ in range(6)]  # noqa: B023
        best = max(best, flop / min(times) / 1e9)
    return best


def asked_by(work: Work, stateful: bool) -> Demand:
    """What one call asks; the second one, if the first makes something that it finds, as a step's optimisers do."""
    if stateful:
        work()
    with Counter() as counter:
        work()
    asked: Demand = counter.asked
    return asked


def processor() -> str:
    """Model of the CPU as Linux names it, or what the platform says."""
    with contextlib.suppress(OSError, StopIteration), Path("/proc/cpuinfo").open() as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return platform.processor()
