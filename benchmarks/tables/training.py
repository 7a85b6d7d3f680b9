"""A table of our own: cells trained from scratch on a small data set.

NAS-Bench-101 cannot be shipped, and the spaces of DARTS cells have no table, so that a search on a fresh machine would
have no answers. Of a NAS-Bench-1Shot1 space every distinct cell is trained, in the network of nasbench_pytorch (a stem
and stacks of the cell; Ying et al., NAS-Bench-101, ICML 2019, section 2.1); of the spaces of DARTS cells so many as are
asked for (drawn_cells.py), in the network that DARTS trains what it found as; both only smaller. They are trained on
the training half of the images; validation accuracy is of the other half, test accuracy of the test images. Every
number but the seconds is a function of (TrainSpec, architecture, seed): it does not depend on the number of workers, on
the order in which they work, or on interruptions.

nasbench_pytorch gives its BatchNorms a momentum of 0.997 in the stem and the projections, in PyTorch's convention:
running statistics would be those of the last batch alone, and 0.1 in the vertices. Neither is good after a few dozen
steps, so that running statistics are thrown away and estimated anew after training, from the whole training half.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import filelock
import numpy
import torch
import torch.nn.functional as F
from nasbench_pytorch.model import Network
from torch import Tensor, nn
from tqdm import tqdm

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Raw
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.networks import darts_network
from nas_stability.benchmarks.spaces.networks.network import PLACEHOLDERS, NetworkShape
from nas_stability.benchmarks.spaces.space import Arch, Cell, Space
from nas_stability.benchmarks.tables.drawn_cells import draw_cells
from nas_stability.benchmarks.tables.open_file import Floats, Question, Source, TimedTraining, write_packed
from nas_stability.benchmarks.tables.train_spec import Examples, Splits, TrainedNetwork, TrainSpec, check, splits
from nas_stability.benchmarks.tables.trained_parts import claim, read_parts, versions
from nas_stability.benchmarks.workers import Crew, Lost

Trainable: TypeAlias = Cell | Arch
"""What a network is built of: a cell as a graph, or the text of a genotype."""

Chunk: TypeAlias = Sequence[tuple[Arch, Trainable]]
"""The cells of one part."""

CELLS_PER_PART = 15
"""Cells per part: what an interruption loses at most, per worker; about half a minute of work."""

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""

LONGEST_NAME = 64
"""Characters of an architecture that a file is called by."""

PASS = 1024
"""Images per forward pass outside of training."""


def seeded(*parts: object) -> int:
    """A signed 64-bit seed that is a function of the parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def build(spec: TrainSpec, cell: Trainable, classes: int, in_channels: int) -> nn.Module:
    """The network of a cell, initialised from PyTorch's global generator."""
    if isinstance(cell, str):
        shape = NetworkShape(spec.width, spec.stacks * spec.modules, classes, in_channels)
        return darts_network.network(genotypes.ANY, cell, shape)
    net: nn.Module = Network(
        (numpy.array(cell.matrix), list(cell.operations)),
        num_labels=classes,
        in_channels=in_channels,
        stem_out_channels=spec.width,
        num_stacks=spec.stacks,
        num_modules_per_stack=spec.modules,
    )
    return net


def logits_of(net: nn.Module, images: Tensor) -> Tensor:
    """What a network answers for images (B, C, H, W): logits (B, classes)."""
    found = net(images)
    logits: Tensor = found[0] if isinstance(found, tuple) else found
    return logits


def weights(net: nn.Module) -> list[nn.Parameter]:
    """The parameters that an output depends on: without those of nasbench_pytorch's placeholders."""
    return [value for name, value in net.named_parameters() if name.rpartition(".")[2] not in PLACEHOLDERS]


def lr_share(step: int, steps: int) -> float:
    """Learning rate of a step (from 0) as a share of the highest: linear rise, then half a cosine to 0."""
    warm = math.ceil(WARM_UP * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def train_net(spec: TrainSpec, data: Splits, arch: Arch, cell: Trainable, seed: int) -> TrainedNetwork:
    """Trains one network from scratch; weights and batches are functions of (arch, seed)."""
    images, labels = data.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded("weights", arch, seed))
        net = build(spec, cell, data.classes, images.shape[1])
    net.to(memory_format=torch.channels_last)  # a fifth faster than the default on a CPU
    trained = weights(net)
    optimizer = torch.optim.Adam(trained, lr=spec.lr, fused=True)
    steps = spec.epochs * math.ceil(len(labels) / spec.batch_size)
    step = 0
    began = time.process_time()
    for epoch in range(spec.epochs):
        generator = torch.Generator().manual_seed(seeded("batches", arch, seed, epoch))
        for batch in torch.randperm(len(labels), generator=generator).split(spec.batch_size):
            optimizer.param_groups[0]["lr"] = spec.lr * lr_share(step, steps)
            optimizer.zero_grad()
            F.cross_entropy(logits_of(net, images[batch]), labels[batch]).backward()
            optimizer.step()
            step += 1
    seconds = time.process_time() - began
    estimate_statistics(net, images)
    return TrainedNetwork(
        valid=correct(net, data.valid),
        test=None if data.test is None else correct(net, data.test),
        seconds=round(seconds, 3),
        parameters=sum(weight.numel() for weight in trained),
    )


def estimate_statistics(net: nn.Module, images: Tensor) -> None:
    """Sets the running statistics of every BatchNorm to their mean over passes of up to PASS of the images."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # PyTorch's word for the plain mean over passes
    net.train()
    with torch.no_grad():
        for part in images.split(PASS):
            net(part)


def correct(net: nn.Module, examples: Examples) -> int:
    """Number of images classified correctly, with running statistics."""
    net.eval()
    with torch.no_grad():
        return sum(
            int((logits_of(net, images).argmax(1) == labels).sum())
            for images, labels in zip(examples.images.split(PASS), examples.labels.split(PASS), strict=True)
        )


def name_of(cells: Chunk) -> str:
    """Name of a part: its first architecture, of which a text that is too long for a file's name is hashed."""
    arch, _ = cells[0]
    return arch if len(arch) <= LONGEST_NAME else hashlib.sha256(arch.encode()).hexdigest()[:32]


def train_part(spec: TrainSpec, data: Splits, parts: Path, cells: Chunk) -> int:
    """Trains some cells with every seed, on one thread, and writes the part; how many cells."""
    path = parts / f"{name_of(cells)}.json"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a sum split over threads rounds differently
    try:
        rows = {arch: [train_net(spec, data, arch, cell, seed) for seed in range(spec.seeds)] for arch, cell in cells}
    finally:
        torch.set_num_threads(threads)
    files.write(path, json.dumps(rows))
    return len(cells)


def train_table(spec: TrainSpec, space: Space, raw: Raw, out: Path, workers: int = 1) -> Path:
    """Trains the cells of a spec and packs the results; started again, it goes on where it was stopped.

    Args:
        spec: how.
        space: of the spec's name.
        raw: the images of the spec's name.
        out: folder for the parts (``parts``) and the table.
        workers: processes of one thread each; they change no accuracy.

    Returns:
        The table file, ``OUT/NAME.parquet``.

    Raises:
        BadInput: a field out of range; cells that are not NAS-Bench-101's; the folder holds parts of another spec, or
            another process trains in it.
        CorruptFile: a part in the folder is not what was written.
        Lost: workers died, so that some cells are not trained; all others are.
    """
    check(spec, space)
    if workers < 1:
        raise BadInput(f"the number of workers must be at least 1, not {workers}")
    data = splits(spec, raw)
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(out / "lock", timeout=0):
            claim(parts, spec)
            train_rest(spec, data, cells_of(spec, space), parts, workers)
            return pack(spec, data, read_parts(parts, spec.seeds), out / f"{spec.name}.parquet")
    except filelock.Timeout as error:
        raise BadInput(f"another process trains a table in {out}") from error


def cells_of(spec: TrainSpec, space: Space) -> Mapping[Arch, Trainable]:
    """Architecture -> what its network is built of: every one of a space, or those that are drawn of several."""
    if spec.cells:
        drawn = draw_cells(spec.cells, torch.Generator().manual_seed(seeded("cells")))
        return {arch: arch for arch in drawn}
    return {arch: cell for arch, (cell, _) in space.listed.items()}


def train_rest(spec: TrainSpec, data: Splits, cells: Mapping[Arch, Trainable], parts: Path, workers: int) -> None:
    """Trains the cells that no part has yet."""
    finished = read_parts(parts, spec.seeds)
    rest = [(arch, cell) for arch, cell in cells.items() if arch not in finished]
    chunks = [rest[start : start + CELLS_PER_PART] for start in range(0, len(rest), CELLS_PER_PART)]
    one = functools.partial(train_part, spec, data, parts)
    show(train_parts(one, chunks, min(workers, len(chunks))), len(cells) - len(rest), len(cells))


def train_parts(one: Callable[[Chunk], int], chunks: Sequence[Chunk], workers: int) -> Iterator[int]:
    """How many cells each part has, as they come; a part that has lost its workers does not keep the others back.

    Raises:
        Lost: at the end, if some cells were not trained.
    """
    if workers <= 1:
        yield from map(one, chunks)
        return
    lost: list[tuple[int, str]] = []
    with Crew(one, workers, threads=1) as crew:
        for answer in crew.carry_out(chunks, name=lambda chunk: f"the part {name_of(chunk)}"):
            if isinstance(answer.error, Lost):
                lost.append((len(chunks[answer.task]), str(answer.error)))
            else:
                yield answer.result()
    if lost:
        raise Lost(
            f"{sum(count for count, _ in lost)} cells are not trained: {lost[-1][1]}; the same command, with fewer "
            "--workers, goes on from there"
        )


def show(done: Iterable[int], already: int, total: int) -> None:
    """Works through ``done`` (cells each) with a bar on standard error, or plain lines where that is no terminal."""
    if sys.stderr.isatty():
        with tqdm(total=total, initial=already, unit="cell", file=sys.stderr) as bar:
            for count in done:
                bar.update(count)
        return
    began = time.monotonic()
    finished = already
    for count in done:
        finished += count
        left = (time.monotonic() - began) / (finished - already) * (total - finished)
        print(f"trained {finished} of {total} cells, {left / 60:.0f} min left", file=sys.stderr, flush=True)


def pack(spec: TrainSpec, data: Splits, rows: Mapping[Arch, Sequence[TrainedNetwork]], path: Path) -> Path:
    """Writes the packed table, one row per architecture in sorted order.

    Its source is the spec: ``source_version`` is the spec's JSON, ``sha256`` the sum over that.
    """
    archs = sorted(rows)
    accuracies: dict[Question, Floats] = {}
    seconds: dict[TimedTraining, Floats] = {}
    for seed in range(spec.seeds):
        results = [rows[arch][seed] for arch in archs]
        right = {"valid": [result.valid for result in results]}
        images = {"valid": len(data.valid.labels)}
        if data.test is not None:
            right["test"] = [result.test or 0 for result in results]
            images["test"] = len(data.test.labels)
        for split, counts in right.items():
            question = Question(spec.data, split, spec.epochs, seed)
            accuracies[question] = 100 * numpy.array(counts, dtype=numpy.float64) / images[split]
        seconds[TimedTraining(spec.data, spec.epochs, seed)] = numpy.array([result.seconds for result in results])
    made_by = ", ".join(f"{name} {number}" for name, number in versions().items())
    source = Source(spec.name, f"nas-stability table train ({made_by})", spec.json(), spec.sha256(), "Apache-2.0")
    write_packed(path, source, archs, accuracies, seconds, [rows[arch][0].parameters for arch in archs])
    return path
