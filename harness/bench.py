"""What a search step and a Hessian cost, beside a literal reference, and how the cost grows with the supernet.

The reference is the oracle that the tests use (tests/oracles.py of a checkout): one call per edge and operation, full
backward passes, rows of the Hessian one by one. Both work on the same weights, batches and noise, in alternation in
one process, so that what else the machine does falls on both. How to read the files is in docs/performance.md.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.util
import io
import json
import platform
import statistics
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import choose
from nas_stability.harness.measuring.curvature import flat, unflat, validation_hessian
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.runs.machine import (
    PACKAGES,
    Place,
    device_name,
    find_device,
    git_commit,
    keep_freed_memory,
    version,
)
from nas_stability.harness.search import Search, perturbation_radius, search_step, start
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.spec import RunSpec, run_spec

METHODS = ("darts", "sdarts-rs", "sdarts-adv")
HESSIAN = "hessian"
OURS, LITERAL = "ours", "literal"

IMAGES = {"cifar10": (3, 32), "digits": (1, 8)}
"""Channels and side in pixels of the images of the data that the sizes name; random ones of that shape stand in."""

CLASSES = 10
CASE_SECONDS = 2.0
FEWEST_ROUNDS, MOST_ROUNDS = 3, 15
"""A case is repeated for about CASE_SECONDS, within these rounds."""

GROWTH_ROUNDS = 2
"""Of each point of scaling.csv: there are many, and they are read as curves."""

STEP, RATIOS, SCALING, MACHINE = "step.csv", "ratios.csv", "scaling.csv", "machine.json"

Work = Callable[[], object]
"""Something to measure: it may be called any number of times."""


class Case(NamedTuple):
    """One thing to measure.

    Attributes:
        size: what the settings are called.
        what: a method, for a search step of it, or "hessian".
        spec: the settings.
    """

    size: str
    what: str
    spec: RunSpec


class Growth(NamedTuple):
    """A search step at one value of one setting, the others being those of the size ``quick``.

    Attributes:
        axis: the field that varies: "width", "depth" or "batch_size".
        value: of the field.
        case: with that value.
    """

    axis: str
    value: int
    case: Case


class Asked(NamedTuple):
    """What a call asks of the device.

    Attributes:
        operations: ATen operations that it dispatches, and that have something to do.
        gflop: 1e9 floating-point operations of convolutions and matrix products.
        peak_mb: memory of the tensors that it makes, as many of them as are there at once, in 1e6 bytes.
    """

    operations: int
    gflop: float
    peak_mb: float


class Measured(NamedTuple):
    """One implementation of one case.

    Attributes:
        launches: ATen operations that a GPU would have to launch for one call.
        asked: by one call.
        seconds: wall-clock time of each round.
    """

    launches: int
    asked: Asked
    seconds: tuple[float, ...]


class Cost(NamedTuple):
    """A row of step.csv; units in docs/performance.md."""

    space: str
    size: str
    what: str
    implementation: str
    threads: int
    seconds_median: float
    seconds_min: float
    seconds_max: float
    operations: int
    dispatched: int
    gflop: float
    share_of_peak: float
    peak_mb: float
    rounds: int


class Ratio(NamedTuple):
    """A row of ratios.csv: how many times cheaper ours is, or for memory the share of the reference's that it needs.

    Attributes:
        quantity: "seconds", "operations" (both literal / ours) or "peak_mb" (ours / literal).
        median, low, high: over the rounds; all the same where the quantity does not depend on the round.
        bar: that is aimed at, None where there is none; the ratio of memory is to lie below it, the others above.
    """

    space: str
    size: str
    what: str
    quantity: str
    median: float
    low: float
    high: float
    rounds: int
    bar: float | None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the bar; None where there is none."""
        if self.bar is None:
            return None
        return self.median <= self.bar if self.quantity == "peak_mb" else self.median >= self.bar


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
    def asked(self) -> Asked:
        """What was counted so far."""
        return Asked(self.operations, self.flop / 1e9, self.peak / 1e6)

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


def reference() -> Any:
    """The module tests/oracles.py beside the package, None where it is absent: in an installed wheel."""
    path = Path(__file__).resolve().parents[1] / "tests" / "oracles.py"
    if not path.is_file():
        return None
    found = importlib.util.spec_from_file_location("literal_reference", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # its dataclass looks itself up there
    found.loader.exec_module(module)
    return module


def works(case: Case, device: torch.device, literal: Any) -> dict[str, Work]:
    """Ours and, where there is one, the literal reference, from the same weights and logits on the same batches.

    Each call goes on from the state that the one before left.

    Args:
        case: to measure.
        device: where.
        literal: of ``reference``.
    """
    spec = case.spec
    channels, side = IMAGES[spec.data]
    search = start(spec, CLASSES, channels, device)
    generator = stream(spec.seed, "bench")
    images = torch.randn(2, spec.batch_size, channels, side, side, generator=generator).to(search.alpha[0])
    labels = torch.randint(CLASSES, (2, spec.batch_size), generator=generator).to(device)
    train, valid = Batch(images[0], labels[0]), Batch(images[1], labels[1])
    twin = None
    if literal:
        twin = literal.literal_search(
            spec.space, search.space.published(search.net), search.alpha, dataclasses.asdict(spec)
        )
    if case.what == HESSIAN:
        size = min(spec.hessian_batch_size, spec.batch_size)
        return hessian_works(search, Batch(valid.images[:size], valid.labels[:size]), literal, twin)
    radius = perturbation_radius(spec, 0)
    noise = tuple((radius * uniform(shape, generator)).to(search.alpha[0]) for shape in search.space.shapes)
    found: dict[str, Work] = {OURS: lambda: search_step(search, Batches(train, valid), spec.lr, radius, noise)}
    if literal:
        found[LITERAL] = lambda: literal.literal_step(
            twin, spec.method, train, valid, radius, noise, spec.clip_counts_mixture
        )
    return found


def hessian_works(search: Search, batch: Batch, literal: Any, twin: Any) -> dict[str, Work]:
    """``works`` for the exact Hessian on a batch, with batch statistics."""
    found: dict[str, Work] = {
        OURS: lambda: validation_hessian(
            search.net, search.alpha, batch, statistics="batch", dtype=search.alpha[0].dtype, weight_decay=0.0
        )
    }
    if literal:

        def loss(point: torch.Tensor) -> Any:
            return twin.loss(batch, literal.softmax(unflat(point, search.alpha)))

        point = flat(search.alpha).detach()
        found[LITERAL] = lambda: literal.hessian(loss, point)
    return found


def launched(case: Case, device: torch.device) -> dict[str, Work]:
    """What stands in for ours where launches are counted: on a CPU the same in float64, on a GPU nothing.

    Of many pixels in float32 a BatchNorm is ten operations on a CPU (layers/batch_norm.py). In float64 it is one there,
    as on a GPU in any type, and all else is the same.
    """
    if device.type != "cpu":
        return {}
    return {OURS: works(case._replace(spec=dataclasses.replace(case.spec, dtype="float64")), device, None)[OURS]}


def measure(case: Case, device: torch.device, literal: Any, rounds: int = 0) -> dict[str, Measured]:
    """Counts, peaks and times of ``works``, in alternation: a call each to warm up, one to count, then the rounds.

    Args:
        case: to measure.
        device: where.
        literal: of ``reference``.
        rounds: 0 for as many as CASE_SECONDS allow.
    """
    found, stateful = works(case, device, literal), case.what != HESSIAN
    asked = {name: asked_by(work, stateful) for name, work in found.items()}
    launches = asked | {name: asked_by(work, stateful) for name, work in launched(case, device).items()}
    first = {name: seconds(work, device) for name, work in found.items()}
    if not rounds:
        rounds = min(max(int(CASE_SECONDS / sum(first.values())), FEWEST_ROUNDS), MOST_ROUNDS)
    others = [{name: seconds(work, device) for name, work in found.items()} for _ in range(rounds - 1)]
    times = {name: tuple(one[name] for one in (first, *others)) for name in found}
    return {name: Measured(launches[name].operations, asked[name], times[name]) for name in found}


def asked_by(work: Work, stateful: bool) -> Asked:
    """What one call asks; the second one, if the first makes something that it finds, as a step's optimisers do."""
    if stateful:
        work()
    with Counter() as counter:
        work()
    asked: Asked = counter.asked
    return asked


def costs(case: Case, measured: Mapping[str, Measured], threads: int, peak: float) -> list[Cost]:
    """The rows of a case; ``peak`` in GFLOP per second."""
    return [
        Cost(
            case.spec.space,
            case.size,
            case.what,
            name,
            threads,
            statistics.median(one.seconds),
            min(one.seconds),
            max(one.seconds),
            one.launches,
            one.asked.operations,
            one.asked.gflop,
            one.asked.gflop / statistics.median(one.seconds) / peak,
            one.asked.peak_mb,
            len(one.seconds),
        )
        for name, one in measured.items()
    ]


def ratios(case: Case, measured: Mapping[str, Measured]) -> list[Ratio]:
    """Ours against the reference, round by round; empty where there is none."""
    if LITERAL not in measured:
        return []
    ours, literal = measured[OURS], measured[LITERAL]
    values = {
        "seconds": [theirs / mine for mine, theirs in zip(ours.seconds, literal.seconds, strict=True)],
        "operations": [literal.launches / ours.launches],
    }
    values["peak_mb"] = [ours.asked.peak_mb / literal.asked.peak_mb]
    family = case.spec.space.split("-")[0]
    return [
        Ratio(
            case.spec.space,
            case.size,
            case.what,
            quantity,
            statistics.median(found),
            min(found),
            max(found),
            len(found),
            BARS.get((quantity, case.what), {}).get(family),
        )
        for quantity, found in values.items()
    ]


def published(space: str, method: str) -> RunSpec:
    """The paper's settings."""
    return run_spec({"space": space, "method": method, "data": "cifar10"})


def quick(space: str, method: str) -> RunSpec:
    """The settings of the shipped study ``quick``; a space that it lacks has those of the nearest that it has."""
    runs = study_file.read(study_file.find("quick")).runs
    family = space.split("-")[0]
    spec = next(run for run in runs if run.space.startswith(family) and run.method == method)
    return dataclasses.replace(spec, space=space)


def plan(spaces: Sequence[str], sizes: Sequence[str]) -> list[Case]:
    """Every method and the Hessian, in every space, at every size.

    Raises:
        BadInput: an unknown space or size.
    """
    settings = [(size, choose("size", size, SIZES)) for size in sizes]
    for space in spaces:
        choose("space", space, SPACES)
    return [
        Case(size, what, spec_of(space, "darts" if what == HESSIAN else what))
        for space in spaces
        for size, spec_of in settings
        for what in (*METHODS, HESSIAN)
    ]


def growth_plan(spaces: Sequence[str]) -> list[Growth]:
    """A step of every method in every space, at every value of every axis."""
    found = []
    for space in spaces:
        for method in METHODS:
            base = dataclasses.replace(quick(space, method), batch_size=16)
            depths = (base.depth, 2 * base.depth, 3 * base.depth)
            for axis, values in {"width": (4, 8, 16), "depth": depths, "batch_size": (16, 32, 64)}.items():
                for value in values:
                    spec = run_spec({**dataclasses.asdict(base), axis: value})
                    found.append(Growth(axis, value, Case(axis, method, spec)))
    return found


def carry_out(
    cases: Sequence[Case],
    growths: Sequence[Growth],
    place: Place,
    rounds: int,
    folder: Path,
    progress: Callable[[int], None],
) -> tuple[list[Cost], list[Ratio]]:
    """Measures, and writes step.csv, ratios.csv, scaling.csv and machine.json into the folder.

    Args:
        cases: of ``plan``.
        growths: of ``growth_plan``.
        place: device and threads.
        rounds: of each case; 0 for as many as CASE_SECONDS allow.
        folder: made if it is not there.
        progress: told how many cases and growths are done.

    Raises:
        BadInput: no such device.
    """
    device = find_device(place.device)
    keep_freed_memory()  # as a run does
    if place.threads:
        torch.set_num_threads(place.threads)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)  # as a run does by default
    threads, literal, peak = torch.get_num_threads(), reference(), convolution_peak(device)
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "device": device_name(place.device),
        "processor": processor(),
        "threads": threads,
        "convolution_peak_gflop_per_second": rounded(peak),
        "reference": literal is not None,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }
    files.write(folder / MACHINE, json.dumps(machine, indent=1) + "\n")
    found: list[Cost] = []
    compared: list[Ratio] = []
    for done, case in enumerate(cases, 1):
        measured = measure(case, device, literal, rounds)
        found += costs(case, measured, threads, peak)
        compared += ratios(case, measured)
        # After every case: at the published settings a whole pass takes long, and what is measured is kept.
        write(folder / STEP, Cost._fields, [cost._asdict() for cost in found])
        met = {True: "met", False: "not met", None: None}
        write(folder / RATIOS, (*Ratio._fields, "met"), [{**row._asdict(), "met": met[row.met]} for row in compared])
        progress(done)
    grown: list[dict[str, Any]] = []
    known: dict[RunSpec, list[Cost]] = {}  # the axes cross in one point
    for done, (axis, value, case) in enumerate(growths, len(cases) + 1):
        if case.spec not in known:
            measured = measure(case, device, literal, GROWTH_ROUNDS)
            known[case.spec] = costs(case, measured, threads, peak)
        grown += [{"axis": axis, "value": value, "method": case.what, **row._asdict()} for row in known[case.spec]]
        progress(done)
    write(folder / SCALING, GROWTH_COLUMNS, grown)
    return found, compared


GROWTH_COLUMNS = ("space", "method", "axis", "value", *Cost._fields[Cost._fields.index("implementation") :])


def processor() -> str:
    """Model of the CPU as Linux names it, or what the platform says."""
    with contextlib.suppress(OSError, StopIteration), Path("/proc/cpuinfo").open() as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return platform.processor()


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file of these columns; numbers with four digits, what is not known empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([rounded(row[name]) for name in columns] for row in rows)
    files.write(path, lines.getvalue())


def rounded(value: Any) -> Any:
    """A float with four significant digits; anything else as it is."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def tables(found: Sequence[Cost], compared: Sequence[Ratio]) -> str:
    """What was measured, and every ratio beside its bar, as two tables in Markdown."""
    lines = [["space", "size", "what", "", "seconds", "GFLOP", "% of peak", "operations", "dispatched", "peak MB"]]
    for cost in found:
        numbers = f"{cost.seconds_median:.3g}", f"{cost.gflop:.3g}", f"{100 * cost.share_of_peak:.3g}"
        place = cost.space, cost.size, cost.what, cost.implementation
        lines.append([*place, *numbers, f"{cost.operations}", f"{cost.dispatched}", f"{cost.peak_mb:.3g}"])
    text = markdown(lines, 4)
    if compared:
        lines = [["space", "size", "what", "ratio", "verdict", "median", "low", "high", "bar"]]
        for row in compared:
            bar = "" if row.bar is None else f"{'<=' if row.quantity == 'peak_mb' else '>='} {row.bar:g}"
            verdict = {True: "met", False: "not met", None: ""}[row.met]
            words = row.space, row.size, row.what, RATIO_NAMES[row.quantity], verdict
            lines.append([*words, f"{row.median:.2f}", f"{row.low:.2f}", f"{row.high:.2f}", bar])
        text += "\n\n" + markdown(lines, 5)
    return text


def markdown(lines: Sequence[Sequence[str]], words: int) -> str:
    """A table with its columns aligned; the first ``words`` columns are words, the others numbers."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    rows = [
        [
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


RATIO_NAMES = {"seconds": "times faster", "operations": "times fewer operations", "peak_mb": "share of peak memory"}

BARS: dict[tuple[str, str], dict[str, float]] = {
    ("seconds", "darts"): {"nasbench201": 1.7, "nasbench1shot1": 1.5},
    ("seconds", "sdarts-rs"): {"nasbench201": 1.7, "nasbench1shot1": 1.5},
    ("seconds", "sdarts-adv"): {"nasbench201": 2.2, "nasbench1shot1": 2.0},
    ("seconds", HESSIAN): {"nasbench201": 2.0, "nasbench1shot1": 2.0},
    **{("operations", method): {"nasbench201": 3.0, "nasbench1shot1": 3.0} for method in METHODS},
    ("peak_mb", "sdarts-adv"): {"nasbench201": 0.7, "nasbench1shot1": 0.7},
}
"""By quantity and what: the ratio to reach, by family of spaces; that of memory is the most, the others the least."""

SIZES: dict[str, Callable[[str, str], RunSpec]] = {
    "published": published,
    "quick": quick,
}
