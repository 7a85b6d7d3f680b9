"""The architecture step: the gradient of the validation loss with respect to alpha.

Source: DARTS (Liu, Simonyan and Yang, ICLR 2019), section 2.3, equations 5 to 8; details as in the published
implementation of SmoothDARTS. No weight gradient is computed where none is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Supernet, softmax
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.methods.losses import Loss
from nas_stability.harness.specs.spec import FIELDS


class Batch(NamedTuple):
    """Standardised images (B, C, H, W) and labels (B,)."""

    images: Tensor
    labels: Tensor


class Batches(NamedTuple):
    """The training and the validation batch of one step."""

    train: Batch
    valid: Batch


class Optimizer(NamedTuple):
    """What the virtual weight step needs to know of SGD.

    Attributes:
        lr: learning rate.
        momentum: of SGD.
        weight_decay: L2.
        buffers: SGD's momentum buffer of each parameter, None before the first step.
    """

    lr: float
    momentum: float
    weight_decay: float
    buffers: Sequence[Tensor | None]


class Objective(NamedTuple):
    """What the architecture step descends on.

    Attributes:
        relax: logits -> the mixture of its passes.
        penalty: what is added to the validation loss; None for nothing.
        loss: (logits, labels) -> mean over the batch.
    """

    relax: Callable[[Alpha], Mixture] = softmax
    penalty: Callable[[Alpha], Tensor] | None = None
    loss: Loss = F.cross_entropy


class Slope(Protocol):
    """(net, alpha, batches, optimizer, objective, settings) -> gradient of the objective w.r.t. each group of alpha."""

    def __call__(
        self,
        net: Supernet,
        alpha: Alpha,
        batches: Batches,
        optimizer: Optimizer,
        objective: Objective,
        settings: Any,
    ) -> tuple[Tensor, ...]: ...


class Architect(NamedTuple):
    """How alpha's gradient is taken, and the fields that it reads; without a function there is no architecture step."""

    slope: Slope | None
    fields: Mapping[str, Any] = NOTHING


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Weights that ask for no gradient: no graph is built for what depends on weights alone, and none is kept."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def batch_loss(loss: Loss, net: Supernet, batch: Batch, mixture: Mixture) -> Tensor:
    """Mean loss of a batch at a mixture."""
    return loss(net(batch.images, mixture), batch.labels)


def penalised(objective: Objective, loss: Tensor, alpha: Alpha) -> Tensor:
    """A validation loss and what the objective adds to it."""
    return loss if objective.penalty is None else loss + objective.penalty(alpha)


def first_order(
    net: Supernet, alpha: Alpha, batches: Batches, optimizer: Optimizer, objective: Objective, settings: Any
) -> tuple[Tensor, ...]:
    """Gradient of L_valid(w, relax(alpha)) and the penalty; one training-mode pass."""
    with frozen(net):
        loss = batch_loss(objective.loss, net, batches.valid, objective.relax(alpha))
        return torch.autograd.grad(penalised(objective, loss, alpha), alpha)


def second_order(
    net: Supernet, alpha: Alpha, batches: Batches, optimizer: Optimizer, objective: Objective, settings: Any
) -> tuple[Tensor, ...]:
    """Gradient of L_valid(w', relax(alpha)) through one virtual step w' of the weights, and of the penalty.

    w' = w - lr * (momentum * buffer + grad L_train + weight_decay * w). The second-order term is either the published
    central difference with R = 0.01 / norm (``unrolled_product`` "difference"; three training-mode passes on the net:
    the virtual step, +R, -R) or the exact product ("exact"; one pass).
    """
    names, weights = zip(*net.named_parameters(), strict=True)
    mixture = objective.relax(alpha)
    exact = settings.unrolled_product == "exact"
    with PlainOperations() if exact else contextlib.nullcontext():
        loss = batch_loss(objective.loss, net, batches.train, mixture)
    slopes = torch.autograd.grad(loss, weights, create_graph=exact)
    with torch.no_grad():
        moved = [
            weight
            - optimizer.lr
            * ((0 if buffer is None else optimizer.momentum * buffer) + slope + optimizer.weight_decay * weight)
            for weight, slope, buffer in zip(weights, slopes, optimizer.buffers, strict=True)
        ]
    moved = [weight.requires_grad_() for weight in moved]
    # The buffers of the copy are the copy's own: this pass leaves no mark on the net.
    copies = {name: buffer.clone() for name, buffer in net.named_buffers()}
    logits = functional_call(
        net, {**dict(zip(names, moved, strict=True)), **copies}, (batches.valid.images, objective.relax(alpha))
    )
    loss = penalised(objective, objective.loss(logits, batches.valid.labels), alpha)
    gradient = torch.autograd.grad(loss, (*alpha, *moved))
    direct, direction = gradient[: len(alpha)], gradient[len(alpha) :]
    if exact:
        inner = torch.stack([(slope * vector).sum() for slope, vector in zip(slopes, direction, strict=True)]).sum()
        curved = torch.autograd.grad(inner, alpha)
    else:
        curved = central_difference(net, alpha, batches.train, direction, objective)
    return tuple(left - optimizer.lr * right for left, right in zip(direct, curved, strict=True))


def central_difference(
    net: Supernet, alpha: Alpha, batch: Batch, direction: Sequence[Tensor], objective: Objective
) -> tuple[Tensor, ...]:
    """d/dR of the training loss's alpha gradient along ``direction`` of the weights (DARTS, equation 8).

    The weights are moved and put back bit for bit; the running statistics see both passes, as published.
    """
    weights = tuple(net.parameters())
    kept = [weight.detach().clone() for weight in weights]
    reach = 0.01 / torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in direction]))
    sides: list[tuple[Tensor, ...]] = []
    with frozen(net):
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for weight, origin, part in zip(weights, kept, direction, strict=True):
                    weight.copy_(origin + sign * reach * part)
            sides.append(torch.autograd.grad(batch_loss(objective.loss, net, batch, objective.relax(alpha)), alpha))
        with torch.no_grad():
            for weight, origin in zip(weights, kept, strict=True):
                weight.copy_(origin)
    above, below = sides
    return tuple((up - down) / (2 * reach) for up, down in zip(above, below, strict=True))


ARCHITECTS: dict[str, Architect] = {
    "first-order": Architect(first_order),
    "none": Architect(None),
    "second-order": Architect(second_order, {"unrolled_product": FIELDS["unrolled_product"]}),
}
