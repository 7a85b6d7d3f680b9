"""The same numbers in float32: python -m tests.bench_losses [--size quick] [--again 2 20] [--seeds 4] [--out FILE].

The training losses of 20 steps, as the largest relative difference from those of the literal reference
(tests/oracles.py), which is put into our state before every second step (``--again 2``), so that what differs is the
step itself, or once (``--again 20``), so that every rounding since the first step adds to it:

ours        our losses.
itself      the reference's own, once its images are one unit in the last place larger: no code that rounds differently
            can be expected to do better than this.

Images and labels are random, fresh for every step; the learning rate is that of the first epoch, the largest, and the
radius that of the middle of a search. A difference of ours above 1e-3 makes the exit status 1.
"""

from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.space import Mixture
from nas_stability.harness.benching import cases, instrument, markdown_tables
from nas_stability.harness.given import Draws, Moment
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.runs.machine import keep_freed_memory
from nas_stability.harness.schedules import perturbation_radius
from nas_stability.harness.search import buffer_of, search_step
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start
from tests import oracles

STEPS = 20
BAR = 1e-3


class Deviation(NamedTuple):
    """Largest relative differences of the training losses of STEPS steps from the reference's.

    Attributes:
        space, size, method, seed: of the search.
        again: the reference is put into our state before every that many steps; from 2 on, losses show the updates.
        ours: of our losses.
        itself: of the reference's, with images one unit in the last place larger.
    """

    space: str
    size: str
    method: str
    seed: int
    again: int
    ours: float
    itself: float


def twin_of(search: Search) -> oracles.LiteralSearch:
    """The reference in the state of ours: weights, buffers, logits, and what both optimisers remember."""
    published = search.space.published
    twin = oracles.literal_search(
        search.space.name, published(search.net), search.alpha, dataclasses.asdict(search.spec)
    )
    momenta = copy.deepcopy(search.net)
    with torch.no_grad():
        for ours, weight in zip(momenta.parameters(), search.net.parameters(), strict=True):
            momentum = buffer_of(search, weight)
            ours.copy_(torch.zeros_like(weight) if momentum is None else momentum)
    for name, value in published(momenta).items():
        if twin.tensors[name].requires_grad:
            twin.weight_optimizer.state[twin.tensors[name]]["momentum_buffer"] = value.clone()
    for theirs, ours in zip(twin.alpha, search.alpha, strict=True):
        remembered = search.arch_optimizer.state.get(ours, {})
        twin.arch_optimizer.state[theirs].update({key: value.clone() for key, value in remembered.items()})
    return twin


def literal_loss(
    twin: oracles.LiteralSearch, spec: RunSpec, batches: Batches, radius: float, draws: Draws, progress: float = 0.0
) -> float:
    """The training loss of the reference's next step, in nats."""
    return float(
        oracles.literal_step(
            twin,
            spec.method,
            tuple(batches.train),
            tuple(batches.valid),
            radius,
            draws.perturbation,
            spec.clip_counts_mixture,
            (draws.architect, draws.weights),
            progress,
        )
    )


def raised(batch: Batch) -> Batch:
    """Every value of the images one unit in the last place larger."""
    return Batch(torch.nextafter(batch.images, torch.full_like(batch.images, torch.inf)), batch.labels)


def random_steps(search: Search, channels: int, side: int, radius: float) -> Iterator[tuple[Batches, Mixture]]:
    """STEPS batches of noise as images, and the perturbations' noise."""
    spec, generator = search.spec, stream(search.spec.seed, "losses")
    for _ in range(STEPS):
        images = torch.randn(2, spec.batch_size, channels, side, side, generator=generator)
        labels = torch.randint(instrument.CLASSES, (2, spec.batch_size), generator=generator)
        noise = tuple((radius * uniform(shape, generator)).to(search.alpha[0]) for shape in search.space.shapes)
        yield Batches(Batch(images[0], labels[0]), Batch(images[1], labels[1])), noise


def deviation(space: str, size: str, method: str, seed: int, again: int) -> Deviation:
    """Measures one case on the CPU."""
    spec = dataclasses.replace(cases.SIZES[size](space, method), seed=seed)
    channels, side = cases.IMAGES[spec.data]
    radius = perturbation_radius(spec, spec.epochs // 2)
    search = start(spec, instrument.CLASSES, channels, torch.device("cpu"))
    worst = [0.0, 0.0]
    for step, (batches, noise) in enumerate(random_steps(search, channels, side, radius)):
        if step % again == 0:
            literal, other = twin_of(search), twin_of(search)
        ours = float(search_step(search, batches, Moment(spec.lr, radius), Draws(noise)).loss)
        theirs = literal_loss(literal, spec, batches, radius, Draws(noise))
        itself = literal_loss(other, spec, Batches(*map(raised, batches)), radius, Draws(noise))
        worst = list(map(max, worst, (abs(ours - theirs) / theirs, abs(itself - theirs) / theirs)))
    return Deviation(space, size, method, seed, again, *worst)


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", nargs="+", choices=tuple(SPACES), default=("nasbench201", "nasbench1shot1-s1"))
    parser.add_argument("--method", nargs="+", choices=cases.GROWN, default=cases.GROWN)
    parser.add_argument("--size", choices=tuple(cases.SIZES), default="quick")
    parser.add_argument("--again", type=int, nargs="+", default=(2, STEPS))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="CSV; rows are appended")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    largest = 0.0
    for again, seed, space, method in itertools.product(asked.again, range(asked.seeds), asked.space, asked.method):
        row = deviation(space, asked.size, method, seed, again)
        largest = max(largest, row.ours)
        print(
            f"{space:18} {asked.size:10} {method:11} seed {seed} again after {again:2}   "
            f"ours {row.ours:.1e}   itself {row.itself:.1e}",
            flush=True,
        )
        if asked.out:
            append(asked.out, row)
    met = largest < BAR
    print(f"at most {largest:.1e} (bar {BAR:g}): {'met' if met else 'not met'}")
    return 0 if met else 1


def append(path: Path, row: Deviation) -> None:
    """One more row, behind a header in a new file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(Deviation._fields)
        writer.writerow([markdown_tables.rounded(value) for value in row])


if __name__ == "__main__":
    sys.exit(main())
