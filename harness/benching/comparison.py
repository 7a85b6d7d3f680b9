"""What a search step and a Hessian cost, beside others that compute the same, and how it grows with the supernet.

The reference is the oracle that the tests use (tests/oracles.py of a checkout): one call per edge and operation, full
backward passes, rows of the Hessian one by one. The plain one is our search and our Hessian of a supernet of PyTorch's
own modules (``Space.plain``): what the fast layers buy. All work on the same weights, batches and noise, in alternation
in one process, so that what else the machine does falls on all. How to read the files is in docs/performance.md.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import io
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.spaces.space import SupernetShape
from nas_stability.harness.benching.cases import GROWN, HESSIAN, IMAGES, Case, Growth, Measured, Ratio, StepCost
from nas_stability.harness.benching.instrument import CLASSES, Work, asked_by, convolution_peak, processor, seconds
from nas_stability.harness.benching.markdown_tables import BARS, rounded
from nas_stability.harness.given import PASSES, Draws, Moment, operation_draws, relaxation_draws
from nas_stability.harness.measuring.curvature import flat, unflat, validation_hessian
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import find_method
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
from nas_stability.harness.schedules import perturbation_radius
from nas_stability.harness.search import search_step
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, Step, assemble, start

OURS, LITERAL, PLAIN, DARTS = "ours", "literal", "plain", "darts"


CASE_SECONDS = 2.0
FEWEST_ROUNDS, MOST_ROUNDS = 3, 15
"""A case is repeated for about CASE_SECONDS, within these rounds."""

GROWTH_ROUNDS = 2
"""Of each point of scaling.csv: there are many, and they are read as curves."""

STEP, RATIOS, SCALING, MACHINE = "step.csv", "ratios.csv", "scaling.csv", "machine.json"


def reference() -> Any:
    """The module tests/oracles.py beside the package, None where it is absent: in an installed wheel."""
    path = Path(__file__).resolve().parents[2] / "tests" / "oracles.py"
    if not path.is_file():
        return None
    found = importlib.util.spec_from_file_location(
        "literal_reference",
        path,
        submodule_search_locations=[str(path.parent)],  # where it imports from
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # its dataclass looks itself up there
    found.loader.exec_module(module)
    return module


def works(case: Case, device: torch.device, literal: Any, plain: bool = True) -> dict[str, Work]:
    """Ours and, where there are, the literal reference and the plain supernet, of the same weights, logits and batches.

    Beside a method that is neither DARTS nor DARTS perturbed also a step of DARTS, of batches of the same size.

    Each call goes on from the state that the one before left.

    Args:
        case: to measure.
        device: where.
        literal: of ``reference``.
        plain: whether the plain supernet takes part.
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
    searches = {OURS: search}
    if plain and search.space.plain and find_method(spec.method).variant == "whole":
        searches[PLAIN] = plainly(search, channels)
    if case.what == HESSIAN:
        size = min(spec.hessian_batch_size, spec.batch_size)
        return hessian_works(searches, Batch(valid.images[:size], valid.labels[:size]), literal, twin)
    radius = perturbation_radius(spec, 0)
    noise = tuple((radius * uniform(shape, generator)).to(search.alpha[0]) for shape in search.space.shapes)
    batches, moment = Batches(train, valid), Moment(spec.lr, radius)
    draws = Draws(noise, *(relaxation_draws(search, 0, name) for name in PASSES))
    found: dict[str, Work] = {
        name: functools.partial(step, one, batches, moment, draws) for name, one in searches.items()
    }
    if literal:
        found[LITERAL] = lambda: literal.literal_step(
            twin, spec.method, train, valid, radius, noise, spec.clip_counts_mixture, tuple(draws[1:])
        )
    if plain and spec.method not in GROWN:
        darts = start(dataclasses.replace(spec, method="darts"), CLASSES, channels, device)
        found[DARTS] = functools.partial(step, darts, batches, moment, Draws(noise))
    return found


def step(search: Search, batches: Batches, moment: Moment, draws: Draws) -> Step:
    """A search step as an epoch takes it, with what operations draw."""
    with search.net.drawing(operation_draws(search, 0)):
        return search_step(search, batches, moment, draws)


def plainly(search: Search, channels: int) -> Search:
    """A search of the plain supernet, with the weights, buffers and logits of one of the fast supernet."""
    spec, space = search.spec, search.space
    assert space.plain is not None
    net = space.plain.supernet(SupernetShape(spec.width, spec.depth, CLASSES, channels, spec.batch_norm_momentum))
    views = space.published(search.net)
    with torch.no_grad():
        for name, value in space.plain.published(net).items():
            value.copy_(views[name])
    alpha = tuple(logits.detach().clone() for logits in search.alpha)
    return assemble(spec, space, find_method(spec.method), net, alpha, alpha[0].device)


def hessian_works(searches: Mapping[str, Search], batch: Batch, literal: Any, twin: Any) -> dict[str, Work]:
    """``works`` for the exact Hessian on a batch, with batch statistics."""
    alpha = searches[OURS].alpha
    found: dict[str, Work] = {
        name: functools.partial(
            validation_hessian, one.net, alpha, batch, statistics="batch", dtype=alpha[0].dtype, weight_decay=0.0
        )
        for name, one in searches.items()
    }
    if literal:

        def loss(point: torch.Tensor) -> Any:
            return twin.loss(batch, literal.softmax(unflat(point, alpha)))

        point = flat(alpha).detach()
        found[LITERAL] = lambda: literal.hessian(loss, point)
    return found


def launched(case: Case, device: torch.device) -> dict[str, Work]:
    """What stands in for ours where launches are counted: on a CPU the same in float64, on a GPU nothing.

    Of many pixels in float32 a BatchNorm is ten operations on a CPU (layers/batch_norm.py). In float64 it is one there,
    as on a GPU in any type, and all else is the same.
    """
    if device.type != "cpu":
        return {}
    wide = case._replace(spec=dataclasses.replace(case.spec, dtype="float64"))
    return {OURS: works(wide, device, None, plain=False)[OURS]}


def measure(case: Case, device: torch.device, literal: Any, rounds: int = 0, plain: bool = True) -> dict[str, Measured]:
    """Counts, peaks and times of ``works``, in alternation: a call each to warm up, one to count, then the rounds.

    Args:
        case: to measure.
        device: where.
        literal: of ``reference``.
        rounds: 0 for as many as CASE_SECONDS allow.
        plain: whether the plain supernet takes part.
    """
    found, stateful = works(case, device, literal, plain), case.what != HESSIAN
    asked = {name: asked_by(work, stateful) for name, work in found.items()}
    launches = asked | {name: asked_by(work, stateful) for name, work in launched(case, device).items()}
    first = {name: seconds(work, device) for name, work in found.items()}
    if not rounds:
        rounds = min(max(int(CASE_SECONDS / sum(first.values())), FEWEST_ROUNDS), MOST_ROUNDS)
    others = [{name: seconds(work, device) for name, work in found.items()} for _ in range(rounds - 1)]
    times = {name: tuple(one[name] for one in (first, *others)) for name in found}
    return {name: Measured(launches[name].operations, asked[name], times[name]) for name in found}


def costs(case: Case, measured: Mapping[str, Measured], threads: int, peak: float) -> list[StepCost]:
    """The rows of a case; ``peak`` in GFLOP per second."""
    return [
        StepCost(
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
    """Ours against the others, round by round."""
    family = case.spec.space.split("-")[0]
    return [
        Ratio(
            case.spec.space,
            case.size,
            case.what,
            beside,
            quantity,
            statistics.median(found),
            min(found),
            max(found),
            len(found),
            BARS.get(beside, {}).get((quantity, case.what), {}).get(family),
        )
        for beside, other in measured.items()
        if beside != OURS
        for quantity, found in times_cheaper(measured[OURS], other).items()
    ]


def times_cheaper(ours: Measured, other: Measured) -> dict[str, list[float]]:
    """Quantity -> its ratios, as of ``Ratio``: one per round, or one where no round differs."""
    return {
        "seconds": [theirs / mine for mine, theirs in zip(ours.seconds, other.seconds, strict=True)],
        "operations": [other.launches / ours.launches],
        "peak_mb": [ours.asked.peak_mb / other.asked.peak_mb],
    }


def measure_cases(
    cases: Sequence[Case],
    growths: Sequence[Growth],
    place: Place,
    rounds: int,
    folder: Path,
    progress: Callable[[int], None],
) -> tuple[list[StepCost], list[Ratio]]:
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
    found: list[StepCost] = []
    compared: list[Ratio] = []
    for done, case in enumerate(cases, 1):
        measured = measure(case, device, literal, rounds)
        found += costs(case, measured, threads, peak)
        compared += ratios(case, measured)
        # After every case: at the published settings a whole pass takes long, and what is measured is kept.
        write(folder / STEP, StepCost._fields, [cost._asdict() for cost in found])
        met = {True: "met", False: "not met", None: None}
        write(folder / RATIOS, (*Ratio._fields, "met"), [{**row._asdict(), "met": met[row.met]} for row in compared])
        progress(done)
    grown: list[dict[str, Any]] = []
    known: dict[RunSpec, list[StepCost]] = {}  # the axes cross in one point
    for done, (axis, value, case) in enumerate(growths, len(cases) + 1):
        if case.spec not in known:
            measured = measure(case, device, literal, GROWTH_ROUNDS, plain=False)
            known[case.spec] = costs(case, measured, threads, peak)
        grown += [{"axis": axis, "value": value, "method": case.what, **row._asdict()} for row in known[case.spec]]
        progress(done)
    write(folder / SCALING, GROWTH_COLUMNS, grown)
    return found, compared


GROWTH_COLUMNS = ("space", "method", "axis", "value", *StepCost._fields[StepCost._fields.index("implementation") :])


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file of these columns; numbers with four digits, what is not known empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([rounded(row[name]) for name in columns] for row in rows)
    files.write(path, lines.getvalue())
