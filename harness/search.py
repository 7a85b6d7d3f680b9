"""The bilevel search: a state and a transition, readable in one sitting.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), algorithm 1. ``start`` makes the state, ``advance`` moves it by one
epoch, ``search_step`` is one step of it. Nothing is read back from the device inside an epoch.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import choose
from nas_stability.benchmarks.images.dataset import Augmentation, Dataset, Half, draw_batches, sent, steps_per_epoch
from nas_stability.benchmarks.spaces.layers.batch_norm import folded
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Space, Supernet, SupernetShape, softmax
from nas_stability.harness.methods import architects, perturbations
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import METHODS, Method
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.schedules import learning_rate, perturbation_radius
from nas_stability.harness.specs.spec import RunSpec


class Step(NamedTuple):
    """What one step leaves, on the device.

    Attributes:
        loss: training loss at the perturbed mixture, in nats; scalar.
        correct: number of training images classified correctly in the same pass; scalar.
        images: of the training batch.
        gain: the attack's gain in nats, None where there is no attack.
        fell_back: whether the attack was discarded (0 or 1), None where there is none.
    """

    loss: Tensor
    correct: Tensor
    images: int
    gain: Tensor | None
    fell_back: Tensor | None


@dataclass
class Search:
    """The state of a search: what a checkpoint holds, and the spec that moves it.

    Attributes:
        spec: the run.
        space: its space.
        method: its method.
        net: the supernet, in training mode between steps.
        alpha: the logits.
        weight_optimizer: SGD on the supernet's weights.
        arch_optimizer: Adam on alpha.
        epoch: epochs done.
        steps: what the steps of the epoch under way left so far; empty between epochs.
    """

    spec: RunSpec
    space: Space
    method: Method
    net: Supernet
    alpha: Alpha
    weight_optimizer: torch.optim.SGD
    arch_optimizer: torch.optim.Adam
    epoch: int = 0
    steps: list[Step] = field(default_factory=list)


class Epoch(NamedTuple):
    """What one epoch leaves.

    Attributes:
        train_loss: mean training loss of its weight steps per image, at the perturbed mixtures, in nats.
        train_accuracy: share of training images classified correctly in those passes, in percent.
        lr: learning rate of the weights.
        radius: perturbation radius, in probability; None for a method without one.
        attack_gain: mean gain of the attack per step in nats, None without an attack.
        attack_fallback: share of steps that fell back, None without an attack.
        last_valid: the last validation batch.
    """

    train_loss: float
    train_accuracy: float
    lr: float
    radius: float | None
    attack_gain: float | None
    attack_fallback: float | None
    last_valid: Batch


def start(spec: RunSpec, classes: int, in_channels: int, device: torch.device) -> Search:
    """The state before the first epoch: weights and logits from the seed, the same on every device.

    Args:
        spec: the run.
        classes: of the data.
        in_channels: of an image.
        device: where the search lives.

    Raises:
        BadInput: an unknown space or method.
    """
    space = choose("space", spec.space, SPACES)
    method = choose("method", spec.method, METHODS)
    shape = SupernetShape(spec.width, spec.depth, classes, in_channels, spec.batch_norm_momentum)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, "weights").initial_seed())
        net = space.supernet(shape)
    generator = stream(spec.seed, "alpha")
    alpha = tuple(
        (spec.arch_init * torch.randn(rows, choices, generator=generator, dtype=torch.float64))
        for rows, choices in space.shapes
    )
    return assemble(spec, space, method, net, alpha, device)


def assemble(
    spec: RunSpec, space: Space, method: Method, net: Supernet, alpha: tuple[Tensor, ...], device: torch.device
) -> Search:
    """A search around given weights and logits, in the spec's floating-point type on the device."""
    dtype = getattr(torch, spec.dtype)
    net = net.to(device=device, dtype=dtype).train()
    leaves = tuple(logits.to(device=device, dtype=dtype).requires_grad_() for logits in alpha)
    return Search(
        spec=spec,
        space=space,
        method=method,
        net=net,
        alpha=leaves,
        weight_optimizer=torch.optim.SGD(
            net.parameters(), lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay, foreach=True
        ),
        arch_optimizer=torch.optim.Adam(
            leaves,
            lr=spec.arch_lr,
            betas=(spec.arch_beta1, spec.arch_beta2),
            weight_decay=spec.arch_weight_decay,
            foreach=True,
            # Adam counts its steps where the logits are, so that a step waits for nothing and can be captured.
            capturable=device.type not in ("cpu", "mps"),
        ),
    )


def never() -> bool:
    """Nothing interrupts."""
    return False


Transition = Callable[[Search, Batches, float, float, Mixture], Step]
"""``search_step``, or something that moves the search as it does (harness/capture.py)."""


def advance(
    search: Search, data: Dataset, interrupted: Callable[[], bool] = never, step: Transition | None = None
) -> Epoch | None:
    """Moves the search by one epoch, or by the rest of one that was interrupted.

    Args:
        search: the state, moved in place.
        data: its images.
        interrupted: asked after every step but the last; once it is true the epoch stops there, to be continued.
        step: in place of ``search_step``.

    Returns:
        What the epoch left; None where it was interrupted.

    Raises:
        FloatingPointError: the training loss is not finite; the state is not worth keeping.
    """
    spec, epoch = search.spec, search.epoch
    lr, radius = learning_rate(spec, epoch), perturbation_radius(spec, epoch)
    total = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    for batches, noise in itertools.islice(epoch_batches(search, data, radius), len(search.steps), None):
        search.steps.append((step or search_step)(search, batches, lr, radius, noise))
        if len(search.steps) < total and interrupted():
            return None
    if spec.hessian_moves_statistics:
        with torch.no_grad():
            search.net(batches.valid.images, softmax(search.alpha))
    search.epoch += 1
    steps, search.steps = search.steps, []
    outcome = Epoch(
        train_loss=float(torch.stack([step.loss * step.images for step in steps]).sum()) / total_images(steps),
        train_accuracy=100 * float(torch.stack([step.correct for step in steps]).sum()) / total_images(steps),
        lr=lr,
        radius=None if search.method.perturbation is perturbations.unperturbed else radius,
        attack_gain=mean_of([step.gain for step in steps]),
        attack_fallback=mean_of([step.fell_back for step in steps]),
        last_valid=batches.valid,
    )
    if not math.isfinite(outcome.train_loss):
        raise FloatingPointError(
            f"the training loss of epoch {search.epoch} is {outcome.train_loss}, not a finite number"
        )
    if not all(bool(logits.isfinite().all()) for logits in search.alpha):
        raise FloatingPointError(f"the logits after epoch {search.epoch} are not finite numbers")
    return outcome


def total_images(steps: list[Step]) -> int:
    """Images of the training batches of all steps."""
    return sum(step.images for step in steps)


def mean_of(values: list[Tensor | None]) -> float | None:
    """Mean over the steps, None for a method that does not have the number."""
    present = [value for value in values if value is not None]
    return float(torch.stack(present).mean()) if present else None


def epoch_batches(search: Search, data: Dataset, radius: float) -> Iterator[tuple[Batches, Mixture]]:
    """The batches of the coming epoch and the noise of each of its steps, all from the seed and the epoch."""
    spec, epoch = search.spec, search.epoch
    augmentation = Augmentation(spec.crop_padding, spec.flip, spec.cutout)
    dtype, device = search.alpha[0].dtype, search.alpha[0].device

    def batches(half: Half, name: str, fresh: bool) -> Iterator[tuple[Tensor, Tensor]]:
        generator = stream(spec.seed, name, epoch)
        return draw_batches(half, spec.batch_size, augmentation, generator, fresh, spec.drop_last, steps, dtype)

    steps = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    generator = stream(spec.seed, "noise", epoch)
    noise = [
        sent((radius * uniform((steps, *shape), generator)).to(dtype), device).unbind(0)
        for shape in search.space.shapes
    ]
    train = batches(data.train, "train-batches", False)
    valid = batches(data.valid, "valid-batches", spec.valid_batches == "fresh")
    for step, (left, right) in enumerate(zip(train, valid, strict=True)):
        yield Batches(Batch(*left), Batch(*right)), tuple(group[step] for group in noise)


def search_step(search: Search, batches: Batches, lr: float, radius: float, noise: Mixture) -> Step:
    """One step: move alpha on the validation batch, perturb its mixture, move the weights at the perturbed mixture.

    Args:
        search: the state, moved in place.
        batches: training and validation batch.
        lr: learning rate of the weights.
        radius: of the perturbation, in probability.
        noise: uniform in [-radius, radius], with the mixture's shapes.
    """
    spec, net = search.spec, search.net
    for group in search.weight_optimizer.param_groups:
        group["lr"] = lr

    optimizer = architects.Optimizer(
        lr, spec.momentum, spec.weight_decay, [buffer_of(search, weight) for weight in net.parameters()]
    )
    with precision(search):
        gradient = search.method.architect(net, search.alpha, batches, optimizer, spec.unrolled_product)
    for logits, slope in zip(search.alpha, gradient, strict=True):
        logits.grad = slope
    search.arch_optimizer.step()

    with torch.no_grad():
        mixture = softmax(search.alpha)
    with precision(search):
        perturbed = perturb_mixture(search, mixture, batches.train, radius, noise)

    point = tuple(rows.detach().requires_grad_(spec.clip_counts_mixture) for rows in perturbed.mixture)
    with precision(search):
        logits = net(batches.train.images, point)
        loss = F.cross_entropy(logits, batches.train.labels)
    search.weight_optimizer.zero_grad()
    loss.backward()
    together = True if loss.device.type == "cpu" else None  # None: all at once where the device can
    torch.nn.utils.clip_grad_norm_([*net.parameters(), *point], spec.grad_clip, foreach=together)
    search.weight_optimizer.step()

    correct = (logits.detach().argmax(1) == batches.train.labels).sum()
    return Step(loss.detach(), correct, len(batches.train.labels), perturbed.gain, perturbed.fell_back)


def precision(search: Search) -> contextlib.AbstractContextManager[object]:
    """Automatic casts for the passes of a step, as the field ``autocast`` says; what is stored keeps its type."""
    if search.spec.autocast == "off":
        return contextlib.nullcontext()
    # Without its cache: weights change between the passes of a step, and a captured step must cast each time.
    return torch.autocast(search.alpha[0].device.type, getattr(torch, search.spec.autocast), cache_enabled=False)


def buffer_of(search: Search, weight: Tensor) -> Tensor | None:
    """SGD's momentum buffer of a weight, None before the first step."""
    state = search.weight_optimizer.state
    return state[weight].get("momentum_buffer") if weight in state else None


def perturb_mixture(
    search: Search, mixture: Mixture, batch: Batch, radius: float, noise: Mixture
) -> perturbations.Perturbed:
    """The method's perturbation against the training loss of the batch; weights are held fixed."""
    spec, net = search.spec, search.net
    settings = perturbations.Settings(
        spec.attack_steps, spec.attack_scale, spec.attack_random_start, spec.attack_fallback
    )
    with architects.frozen(net), contextlib.ExitStack() as stack:
        if spec.attack_batch_norm == "training":
            loss = functools.partial(architects.cross_entropy, net, batch)
        else:
            loss = functools.partial(evaluated_loss, net, stack, [], batch)
        return search.method.perturbation(mixture, loss, radius, noise, settings)


def evaluated_loss(
    net: Supernet, stack: contextlib.ExitStack, features: list[Tensor], batch: Batch, mixture: Mixture
) -> Tensor:
    """Cross-entropy in evaluation mode, which the first call enters until ``stack`` is left.

    The stem, which does not see the mixture, is computed at the first call. A perturbation that does not look at the
    loss pays for none of this.
    """
    if not features:
        net.eval()
        stack.callback(net.train)
        stack.enter_context(folded(net))
        features.append(net.stem(batch.images))
    return F.cross_entropy(net.logits(features[0], mixture), batch.labels)
