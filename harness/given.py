"""What the steps of an epoch are given: rates, batches, and draws, all from the seed and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.images.dataset import Augmentation, Dataset, Half, draw_batches, sent, steps_per_epoch
from nas_stability.benchmarks.spaces.layers.noise import Values, float32_normal, standard_normal
from nas_stability.benchmarks.spaces.space import Mixture
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.rng import stream
from nas_stability.harness.schedules import learning_rate, perturbation_radius
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search


class Moment(NamedTuple):
    """What is the same for all steps of an epoch.

    Attributes:
        lr: learning rate of the weights.
        radius: of the perturbation, in probability.
        progress: share of the search's epochs that were done before, in [0, 1).
        frozen: whether the logits stay as they are.
    """

    lr: float
    radius: float
    progress: float = 0.0
    frozen: bool = False


class Draws(NamedTuple):
    """What is drawn for one step, a tensor per group of decisions each; empty where nothing is drawn.

    Attributes:
        perturbation: the perturbation's noise, (rows, choices).
        architect: of the relaxation in the architecture step, (rows, choices) or (cells, rows, choices).
        weights: of the relaxation in the weight step.
    """

    perturbation: Mixture
    architect: Mixture = ()
    weights: Mixture = ()


def moment_of(spec: RunSpec, epoch: int) -> Moment:
    """What is the same for all steps of an epoch of a run."""
    return Moment(
        learning_rate(spec, epoch), perturbation_radius(spec, epoch), epoch / spec.epochs, epoch < spec.arch_warmup
    )


def epoch_batches(search: Search, data: Dataset, radius: float) -> Iterator[tuple[Batches, Draws]]:
    """The batches of the coming epoch and what is drawn for each of its steps, all from the seed and the epoch."""
    spec, epoch = search.spec, search.epoch
    augmentation = Augmentation(spec.crop_padding, spec.flip, spec.cutout)
    dtype, device = search.alpha[0].dtype, search.alpha[0].device

    def batches(half: Half, name: str, fresh: bool) -> Iterator[tuple[Tensor, Tensor]]:
        generator = stream(spec.seed, name, epoch)
        return draw_batches(half, spec.batch_size, augmentation, generator, fresh, spec.drop_last, steps, dtype)

    steps = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    generator = stream(spec.seed, "noise", epoch)
    noise = [
        sent((radius * search.parts.noise((steps, *shape), generator)).to(dtype), device).unbind(0)
        for shape in search.space.shapes
    ]
    train = batches(data.train, "train-batches", False)
    valid = batches(data.valid, "valid-batches", spec.valid_batches == "fresh")
    for step, (left, right) in enumerate(zip(train, valid, strict=True)):
        draws = Draws(tuple(group[step] for group in noise), *(relaxation_draws(search, step, name) for name in PASSES))
        yield Batches(Batch(*left), Batch(*right)), draws


def operation_draws(search: Search, step: int) -> Callable[[], Values] | None:
    """What operations that draw are given in a step: values of its own stream, one pass after the other."""
    if search.net.drawn is None:
        return None
    dtype = getattr(torch, search.spec.dtype)
    generator = stream(search.spec.seed, "operations", search.epoch, step)
    quick = dtype == torch.float32
    source = float32_normal(generator.initial_seed()) if quick else standard_normal(generator, dtype)
    return lambda: source


PASSES = ("architect", "weights")
"""Passes of a step for which a relaxation draws."""


def relaxation_draws(search: Search, step: int, name: str) -> Mixture:
    """The relaxation's draws of a pass, each cell's from a stream of its own; empty where it draws nothing."""
    spec, parts, logits = search.spec, search.parts, search.alpha[0]
    if parts.draw is None or (name == "architect" and parts.architect is None):
        return ()
    streams = [
        stream(spec.seed, "relaxation", search.epoch, step, name, cell)
        for cell in range(search.net.cells if parts.per_cell else 1)
    ]
    of_cells = [[parts.draw(shape, one) for shape in search.space.shapes] for one in streams]
    groups = [torch.stack(group) if parts.per_cell else group[0] for group in zip(*of_cells, strict=True)]
    return tuple(sent(group.to(logits.dtype), logits.device) for group in groups)
