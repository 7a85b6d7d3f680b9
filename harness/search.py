"""The bilevel search: a state and a transition, readable in one sitting.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), algorithm 1. ``start`` makes the state, ``advance`` moves it by one
epoch, ``search_step`` is one step of it. Nothing is read back from the device inside an epoch.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.images.dataset import Dataset, steps_per_epoch
from nas_stability.benchmarks.spaces.layers.batch_norm import folded
from nas_stability.benchmarks.spaces.space import Mixture
from nas_stability.harness.coasting import coast
from nas_stability.harness.given import Draws, Moment, epoch_batches, moment_of, operation_draws
from nas_stability.harness.methods import architects, perturbations
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.rng import stream
from nas_stability.harness.state import Search, Step, put


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


def never() -> bool:
    """Nothing interrupts."""
    return False


Transition = Callable[[Search, Batches, Moment, Draws], Step]
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
    spec, moment = search.spec, moment_of(search.spec, search.epoch)
    for group in search.weight_optimizer.param_groups if search.decays else ():
        group["weight_decay"] = search.weight_decay
    total = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    for batches, draws in itertools.islice(epoch_batches(search, data, moment.radius), len(search.steps), None):
        with search.net.drawing(operation_draws(search, len(search.steps))):
            search.steps.append((step or search_step)(search, batches, moment, draws))
        if len(search.steps) < total and interrupted():
            return None
    if spec.hessian_moves_statistics:
        with torch.no_grad():
            search.net(batches.valid.images, search.evaluated())
    search.epoch += 1
    if search.parts.choose:
        generator = stream(spec.seed, "candidates", search.epoch)
        put(search.alpha, search.parts.choose(search.net, data.valid, search.alpha, generator))
    steps, search.steps = search.steps, []
    outcome = Epoch(
        train_loss=float(torch.stack([step.loss * step.images for step in steps]).sum()) / total_images(steps),
        train_accuracy=100 * float(torch.stack([step.correct for step in steps]).sum()) / total_images(steps),
        lr=moment.lr,
        radius=None if search.parts.perturb is None else moment.radius,
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


def search_step(search: Search, batches: Batches, moment: Moment, draws: Draws) -> Step:
    """One step: move alpha on the validation batch, perturb its mixture, move the weights at the perturbed mixture.

    Args:
        search: the state, moved in place.
        batches: training and validation batch.
        moment: rates of the epoch.
        draws: of this step.
    """
    spec, net, parts = search.spec, search.net, search.parts
    for group in search.weight_optimizer.param_groups:
        group["lr"] = moment.lr
    if parts.architect and not moment.frozen:
        arch_step(search, batches, moment, draws.architect)

    with precision(search):
        perturbed = perturbed_mixture(search, batches.train, moment, draws)

    point = tuple(rows.detach().requires_grad_(spec.clip_counts_mixture) for rows in perturbed.mixture)
    with precision(search):
        logits = net(batches.train.images, point)
        loss = parts.loss(logits, batches.train.labels)
    search.weight_optimizer.zero_grad()
    loss.backward()
    settle = coast(search.optional, search.weight_optimizer)
    norm = clip([*net.parameters(), *point], spec.grad_clip)
    search.weight_optimizer.step()
    settle()
    if parts.correct:
        put(search.alpha, parts.correct(search.alpha))

    correct = (logits.detach().argmax(1) == batches.train.labels).sum()
    return Step(loss.detach(), correct, len(batches.train.labels), perturbed.gain, perturbed.fell_back, norm)


def arch_step(search: Search, batches: Batches, moment: Moment, draws: Mixture) -> None:
    """Moves alpha along the architect's gradient of the validation loss; ``draws`` are the relaxation's."""
    spec, net, parts = search.spec, search.net, search.parts
    assert parts.architect is not None
    objective = architects.Objective(
        lambda alpha: parts.relax(alpha, draws, moment.progress),
        parts.penalty and (lambda alpha: parts.penalty(alpha, moment.progress)),
        parts.loss,
    )
    optimizer = architects.Optimizer(
        moment.lr, spec.momentum, search.weight_decay, [buffer_of(search, weight) for weight in net.parameters()]
    )
    with precision(search):
        gradient = parts.architect(net, search.alpha, batches, optimizer, objective)
    for logits, slope in zip(search.alpha, gradient, strict=True):
        logits.grad = slope
    if spec.arch_grad_clip:
        clip(search.alpha, spec.arch_grad_clip)
    search.arch_optimizer.step()


def clip(tensors: Sequence[Tensor], largest: float) -> Tensor:
    """Scales the gradients of the tensors down to a norm over all of them together; the norm before."""
    together = True if tensors[0].device.type == "cpu" else None  # None: all at once where the device can
    return torch.nn.utils.clip_grad_norm_(tensors, largest, foreach=together)


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


def perturbed_mixture(search: Search, batch: Batch, moment: Moment, draws: Draws) -> perturbations.Perturbed:
    """The mixture of the weight step, perturbed against the training loss of its batch; weights are held fixed.

    A relaxation that samples a distribution has the distribution perturbed, and the sample drawn from what comes out.
    """
    net, parts = search.net, search.parts

    def formed(rows: Mixture) -> Mixture:
        return parts.sample(rows, draws.weights, moment.progress) if parts.sample else rows

    with torch.no_grad():
        sampled = parts.perturb is not None and parts.sample is not None
        given = search.evaluated() if sampled else parts.relax(search.alpha, draws.weights, moment.progress)
    if parts.perturb is None:
        return perturbations.Perturbed(given)
    with architects.frozen(net), contextlib.ExitStack() as stack:
        if search.spec.attack_batch_norm == "training":
            loss = functools.partial(architects.batch_loss, parts.loss, net, batch)
        else:
            loss = functools.partial(evaluated_loss, search, stack, [], batch)
        found = parts.perturb(given, lambda rows: loss(formed(rows)), moment.radius, draws.perturbation)
    with torch.no_grad():
        return found._replace(mixture=formed(found.mixture))


def evaluated_loss(
    search: Search, stack: contextlib.ExitStack, features: list[Tensor], batch: Batch, mixture: Mixture
) -> Tensor:
    """The loss in evaluation mode, which the first call enters until ``stack`` is left.

    The stem, which does not see the mixture, is computed at the first call. A perturbation that does not look at the
    loss pays for none of this.
    """
    net = search.net
    if not features:
        net.eval()
        stack.callback(net.train)
        stack.enter_context(folded(net))
        features.append(net.stem(batch.images))
    return search.parts.loss(net.logits(features[0], mixture), batch.labels)
