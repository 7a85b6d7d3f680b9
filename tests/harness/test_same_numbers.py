"""The same numbers as the literal reference: losses of every method, slopes of an attack, gradients of the weights."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import statistics
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F

from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness.benching import cases as bench_cases
from nas_stability.harness.benching import instrument
from nas_stability.harness.benching.cases import GROWN
from nas_stability.harness.benching.comparison import LITERAL, OURS
from nas_stability.harness.given import Draws, Moment, epoch_batches
from nas_stability.harness.methods import compositions
from nas_stability.harness.methods.architects import Batch
from nas_stability.harness.search import evaluated_loss, search_step
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start
from tests.bench_losses import literal_loss, random_steps, twin_of
from tests.slow import slow_but
from tests.small import CPU, LISTED, begin, small_spec

EVERY = [(space, method) for space in LISTED for method in GROWN]

PROGRESS = 0.4
"""Of the search, at which a temperature and a regulariser are on their way."""


def deviations(space: str, method: str, seed: int, dtype: str, count: int, *alone: int) -> list[float]:
    """The largest relative difference of our training losses from the reference's over ``count`` steps.

    One number for each of ``alone``: after how many steps that reference is put in the state of ours again; the losses
    from the second step on show the updates.

    The images are noisy: the margins of the digits are constant, and where maxima tie exactly, rounding decides which
    pixel a gradient goes to.
    """
    spec = small_spec(space=space, method=method, seed=seed, images=420, arch_lr=3e-4, dtype=dtype)
    search, data = begin(spec)
    twins = [twin_of(search)] * len(alone)
    generator = torch.Generator().manual_seed(seed)
    worst, steps = [0.0] * len(alone), 0
    for batches, draws in itertools.islice(epoch_batches(search, data, 0.1), count):
        for images, _ in batches:
            images += 0.1 * torch.randn(images.shape, generator=generator, dtype=images.dtype)
        twins = [twin if steps % each else twin_of(search) for twin, each in zip(twins, alone, strict=True)]
        ours = float(search_step(search, batches, Moment(spec.lr, 0.1, PROGRESS), draws).loss)
        literal = [literal_loss(twin, spec, batches, 0.1, draws, PROGRESS) for twin in twins]
        worst = [max(most, abs(ours - loss) / loss) for most, loss in zip(worst, literal, strict=True)]
        steps += 1
    assert steps == count
    return worst


QUICK = [
    ("nasbench201", "sdarts-adv"),
    ("nasbench1shot1-s1", "sdarts-rs"),
    ("nasbench201", "gdas-rs"),
    ("nasbench1shot1-s2", "pc-darts-adv"),
    ("nasbench1shot1-s1", "nasp-rs"),
]


CELLS = ("darts", "darts-2nd", "sdarts-rs", "pc-darts-adv", "nasp-rs", "beta-darts", "random-ws")
EXACT = [
    *((space, method) for space in LISTED for method in compositions.METHODS if not method.startswith("drnas")),
    *((space, method) for space in ("darts-s1", "darts-s3") for method in CELLS),
    *((space, "sdarts-adv") for space in ("darts-s1", "darts-s2", "darts-s3", "darts")),
]
"""All but DrNAS, whose reference samples as PyTorch does, with draws of its own (test_gammas.py holds ours to it)."""


@pytest.mark.parametrize(("space", "method"), slow_but(EXACT, *QUICK))
def test_losses_in_float64_are_those_of_the_reference(space: str, method: str) -> None:
    assert deviations(space, method, 0, "float64", 5, 5)[0] < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(("space", "method"), EVERY)
def test_losses_follow_the_reference_for_20_steps(space: str, method: str) -> None:
    """In float32, from the same states before every second step, to 1e-3, for most seeds.

    Most: a rounding can become a whole step of an attack, on one processor and not on the next. Left alone for 20 steps
    neither ours nor the reference keeps within 1e-3 of itself, once its weights start one unit in the last place
    higher: docs/performance.md, "The same numbers"; in float64 it does, and there an update that is another shows.
    """
    again = [deviations(space, method, seed, "float32", 20, 2)[0] for seed in range(3)]
    assert statistics.median(again) < 1e-3
    assert deviations(space, method, 0, "float64", 20, 20)[0] < 1e-8


def after_steps(spec: RunSpec, channels: int, side: int, count: int) -> tuple[Search, Batch]:
    """A search after that many steps on random images, and its last training batch."""
    search = start(spec, instrument.CLASSES, channels, CPU)
    for batches, noise in itertools.islice(random_steps(search, channels, side, 0.1), count):
        search_step(search, batches, Moment(spec.lr, 0.1), Draws(noise))
    return search, batches.train


def slope_errors(space: str, seed: int) -> tuple[float, float]:
    """Largest error of an attack's first slopes in float32, ours and the reference's, over the largest slope."""
    spec = dataclasses.replace(bench_cases.quick(space, "sdarts-adv"), seed=seed)
    search, (images, labels) = after_steps(spec, *bench_cases.IMAGES[spec.data], count=4)
    mixture = tuple(rows.detach().requires_grad_() for rows in softmax(search.alpha))
    exact = copy.deepcopy(search.net).double().eval()
    wide = tuple(rows.detach().double().requires_grad_() for rows in mixture)
    losses = {
        "exact": (F.cross_entropy(exact(images.double(), wide), labels), wide),
        LITERAL: (twin_of(search).loss((images, labels), mixture, training=False), mixture),
    }
    with contextlib.ExitStack() as stack:
        losses[OURS] = (evaluated_loss(search, stack, [], Batch(images, labels), mixture), mixture)
    slopes = {
        name: torch.cat([slope.double().flatten() for slope in torch.autograd.grad(loss, point)])
        for name, (loss, point) in losses.items()
    }
    scale = slopes["exact"].abs().max()
    return tuple(float((slopes[name] - slopes["exact"]).abs().max() / scale) for name in (OURS, LITERAL))


@pytest.mark.slow
@pytest.mark.parametrize("space", LISTED)
def test_slopes_of_an_attack_are_as_exact_as_the_references(space: str) -> None:
    """An attack goes by their signs: what rounds to the other side of 0 is a step of the attack."""
    errors = [slope_errors(space, seed) for seed in range(5)]
    ours, literal = (statistics.median(found) for found in zip(*errors, strict=True))
    assert 0 < ours < 10 * literal < 1e-4


def gradient_errors(space: str, seed: int) -> tuple[float, float]:
    """Error of the weights' gradient in float32 on 32x32 images over its length, ours and the reference's."""
    spec = dataclasses.replace(bench_cases.quick(space, "darts"), seed=seed)
    search, (images, labels) = after_steps(spec, 3, 32, count=3)
    mixture = tuple(rows.detach() for rows in softmax(search.alpha))
    twin = twin_of(search)
    twin.loss((images, labels), mixture).backward()  # type: ignore[no-untyped-call]

    def ours(dtype: torch.dtype) -> torch.Tensor:
        net = copy.deepcopy(search.net).to(dtype)
        found = net(images.to(dtype), tuple(rows.to(dtype) for rows in mixture))
        F.cross_entropy(found, labels).backward()
        with torch.no_grad():
            for weight in net.parameters():
                weight.copy_(weight.grad)
        return joined(search.space.published(net))

    def joined(tensors: Mapping[str, torch.Tensor | None]) -> torch.Tensor:
        learning = [tensors[name] for name, value in twin.tensors.items() if value.requires_grad]
        return torch.cat([value.double().flatten() for value in learning if value is not None])

    exact = ours(torch.float64)
    found = ours(torch.float32), joined({name: value.grad for name, value in twin.tensors.items()})
    return tuple(float((one - exact).norm() / exact.norm()) for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("space", LISTED)
def test_gradients_of_the_weights_are_as_exact_as_the_references(space: str) -> None:
    """With PyTorch's batch statistics of channels-last features they were off by a hundredth (layers/batch_norm.py).

    Where a rounding opens a ReLU or moves a maximum, either jumps, by up to some 5e-3, and another number of threads
    rounds otherwise: so it is the best of five seeds that is held. The fault was there at every seed.
    """
    errors = [gradient_errors(space, seed) for seed in range(5)]
    ours, literal = map(min, zip(*errors, strict=True))
    assert 0 < ours < 3e-4
    assert 0 < literal < 3e-4
