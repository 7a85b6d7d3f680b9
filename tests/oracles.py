"""The same things by a slower, independent, literal route, in float64: one call per edge and operation, all by name.

Nothing here imports a formula of the package; weights are looked up under the published implementation's names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .oracles_supernets import CHOICES, WIRINGS, Mixture, Seen, Tensors, darts_decided, logits

Batch = tuple[Tensor, Tensor]


def softmax(alpha: Sequence[Tensor]) -> Mixture:
    """exp over sum of exp, by rows."""
    return tuple(group.exp() / group.exp().sum(1, keepdim=True) for group in alpha)


@dataclass
class LiteralSearch:
    """A search as the published one does it: full backward passes, one call per edge and operation.

    Attributes:
        space: its name.
        tensors: leaves and buffers by published name.
        alpha: leaves.
        depth, momentum: of the supernet.
        settings: the run's other fields.
        weight_optimizer, arch_optimizer: SGD and Adam, PyTorch's own.
    """

    space: str
    tensors: Tensors
    alpha: tuple[Tensor, ...]
    depth: int
    momentum: float
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer
    settings: Mapping[str, Any]

    def loss(self, batch: Batch, mixture: Mixture, training: bool = True, tensors: Tensors | None = None) -> Tensor:
        """Mean cross-entropy in nats; ``tensors``: in the place of the search's own."""
        method, supernet = self.settings["method"], (self.depth, training, self.momentum)
        partial = self.settings["partial_channels"] if method.startswith("pc-darts") else 1
        alone = method.startswith("gdas") and mixture[0].ndim == 3
        found = logits(self.space, tensors or self.tensors, batch[0], mixture, *supernet, Seen(partial, alone))
        return F.cross_entropy(found, batch[1])

    @property
    def weights(self) -> list[Tensor]:
        """The leaves that SGD moves."""
        return [value for value in self.tensors.values() if value.requires_grad]


def literal_search(space: str, views: Tensors, alpha: Mixture, settings: Mapping[str, Any]) -> LiteralSearch:
    """Copies of the weights, buffers and logits; ``settings`` names depth, momenta and rates as a run's fields do."""
    tensors = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in views.items()}
    for name, value in tensors.items():
        value.requires_grad_(name.endswith((".weight", ".bias")))
    leaves = tuple(group.detach().clone().requires_grad_() for group in alpha)
    weights = [value for value in tensors.values() if value.requires_grad]
    decay, rate, betas = settings["arch_weight_decay"], settings["arch_lr"], (settings["arch_beta1"], 0.999)
    return LiteralSearch(
        space,
        tensors,
        leaves,
        settings["depth"],
        settings["batch_norm_momentum"],
        torch.optim.SGD(weights, settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]),
        torch.optim.Adam(leaves, rate, betas=betas, weight_decay=decay),
        settings,
    )


def hot(group: Tensor, count: int = 1) -> Tensor:
    """Each row's weight in equal parts on its largest entries; ties go to the first."""
    found = torch.zeros_like(group)
    for row, of_row in zip(group.reshape(-1, group.shape[-1]).tolist(), found.view(-1, group.shape[-1]), strict=True):
        for place in sorted(range(len(row)), key=lambda place: (-row[place], place))[:count]:
            of_row[place] = 1 / count
    return found


def gumbel_sample(search: LiteralSearch, logits: Mixture, draws: Mixture, progress: float) -> Mixture:
    """GDAS: a sample for each cell, operations hard with the gradient of the soft one."""
    tau = search.settings["tau_max"] * (1 - progress) + search.settings["tau_min"] * progress
    soft = [torch.softmax((group + noise) / tau, -1) for group, noise in zip(logits, draws, strict=True)]
    return (hot(soft[0].detach()) - soft[0].detach() + soft[0], *soft[1:])


def relaxed(search: LiteralSearch, base: str, draws: Mixture, progress: float) -> Mixture:
    """The mixture of a pass; a Dirichlet sample is PyTorch's own, and takes no draws."""
    alpha = search.alpha
    if base == "gdas":
        return gumbel_sample(search, alpha, draws, progress)
    if base == "nasp":
        deciding = len(alpha) if search.space in CHOICES else 1  # groups of operations come first
        points = [hot(group.detach()) + group - group.detach() for group in alpha[:deciding]]
        return softmax((*points, *alpha[deciding:]))
    if base == "drnas":
        return tuple(torch.distributions.Dirichlet(F.elu(group) + 1).rsample() for group in alpha)
    if base == "random-ws" and search.space in CHOICES:
        return darts_decided(search.space, draws)
    if base == "random-ws":
        kept = [1]
        if search.space in WIRINGS:
            _, parents, outputs = WIRINGS[search.space]
            kept += [outputs, *(count for block, count in enumerate(parents) if count <= block)]
        return tuple(hot(rows, count) for rows, count in zip(draws, kept, strict=True))
    return softmax(alpha)


def second_order(search: LiteralSearch, train: Batch, valid: Batch, lr: float) -> None:
    """DARTS, equations 7 and 8: the gradient of alpha through a virtual step of the weights, by a difference."""
    names = [name for name, value in search.tensors.items() if value.requires_grad]
    decay, momentum = search.settings["weight_decay"], search.settings["momentum"]
    slopes = torch.autograd.grad(search.loss(train, softmax(search.alpha)), search.weights)
    virtual = {name: value.detach().clone() for name, value in search.tensors.items()}
    for name, slope in zip(names, slopes, strict=True):
        weight = search.tensors[name]
        buffer = search.weight_optimizer.state[weight].get("momentum_buffer")
        step = slope + decay * weight.detach() + (0 if buffer is None else momentum * buffer)
        virtual[name] = (weight.detach() - lr * step).requires_grad_()
    leaves = [*search.alpha, *(virtual[name] for name in names)]
    found = torch.autograd.grad(search.loss(valid, softmax(search.alpha), tensors=virtual), leaves)
    direct, direction = found[: len(search.alpha)], found[len(search.alpha) :]
    reach = 0.01 / torch.linalg.vector_norm(torch.cat([part.reshape(-1) for part in direction]))
    sides = []
    for sign in (1, -1):
        moved = dict(search.tensors)  # buffers are the search's own: their statistics see both passes
        for name, part in zip(names, direction, strict=True):
            moved[name] = search.tensors[name].detach() + sign * reach * part
        sides.append(torch.autograd.grad(search.loss(train, softmax(search.alpha), tensors=moved), search.alpha))
    for leaf, straight, up, down in zip(search.alpha, direct, *sides, strict=True):
        leaf.grad = straight - lr * (up - down) / (2 * reach)


def arch_step(search: LiteralSearch, base: str, train: Batch, valid: Batch, draws: Mixture, progress: float) -> None:
    """One step of Adam on the logits."""
    search.arch_optimizer.zero_grad()
    if base == "darts-2nd":
        second_order(search, train, valid, search.settings["lr"])
    else:
        loss = search.loss(valid, relaxed(search, base, draws, progress))
        if base == "beta-darts":
            rows = torch.cat([group.exp().sum(1).log() for group in search.alpha])
            loss = loss + search.settings["beta_weight"] * progress * rows.mean()
        loss.backward()
    if search.settings["arch_grad_clip"]:
        torch.nn.utils.clip_grad_norm_(search.alpha, search.settings["arch_grad_clip"])
    search.arch_optimizer.step()


def literal_step(
    search: LiteralSearch,
    method: str,
    train: Batch,
    valid: Batch,
    radius: float,
    noise: Mixture,
    clip_counts_mixture: bool,
    draws: tuple[Mixture, Mixture] = ((), ()),
    progress: float = 0.0,
) -> Tensor:
    """One step of any method (attacks: 7 PGD steps); returns the training loss.

    ``draws`` are the relaxation's, of the architecture and of the weight step.
    """
    base, _, ending = method.rpartition("-")
    base, ending = (base, ending) if ending in ("rs", "adv") else (method, "")
    base = {"sdarts": "darts", "darts-ada": "darts-2nd"}.get(base, base)
    if base != "random-ws":
        arch_step(search, base, train, valid, draws[0], progress)

    def formed(point: Mixture) -> Mixture:
        sampled = base == "gdas" and ending
        return gumbel_sample(search, [p.clamp(min=1e-8).log() for p in point], draws[1], progress) if sampled else point

    of_logits = softmax(search.alpha) if base == "gdas" and ending else relaxed(search, base, draws[1], progress)
    origin = tuple(group.detach() for group in of_logits)
    point = origin
    if ending:
        point = tuple(project_group(p + n) for p, n in zip(origin, noise, strict=True))
    if ending == "adv":
        before = search.loss(train, formed(origin), training=False).item()
        for _ in range(7):
            leaves = tuple(group.detach().requires_grad_() for group in point)
            # As published, backwards through everything; GDAS's weights must not be touched by an attack.
            asked = leaves if base == "gdas" else [*leaves, *search.weights]
            slopes = torch.autograd.grad(search.loss(train, formed(leaves), training=False), asked)[: len(leaves)]
            moved = [p.detach() + 2 * radius / 7 * slope.sign() for p, slope in zip(leaves, slopes, strict=True)]
            point = tuple(
                project_group(torch.minimum(torch.maximum(p, o - radius), o + radius))
                for p, o in zip(moved, origin, strict=True)
            )
        if before > search.loss(train, formed(point), training=False).item():
            point = origin
    # Zeros, not nothing: a weight that some pass has seen goes on coasting where it is not chosen.
    search.weight_optimizer.zero_grad(set_to_none=base != "gdas")
    point = tuple(group.detach().requires_grad_() for group in formed(point))
    loss = search.loss(train, point)
    loss.backward()
    for name, weight in search.tensors.items() if base == "gdas" else ():
        here = f"{name.rsplit('.', 2)[0]}."
        seen = [count for place, count in search.tensors.items() if place.startswith(here) and "num_" in place]
        if weight.requires_grad and weight.grad is None and (not seen or int(seen[0])):
            weight.grad = torch.zeros_like(weight)  # it was computed once, and nothing leads on from it now
    torch.nn.utils.clip_grad_norm_([*search.weights, *(point if clip_counts_mixture else ())], 5.0)
    search.weight_optimizer.step()
    if base == "nasp":
        with torch.no_grad():
            for group in search.alpha:
                group.clamp_(0, 1)
    return loss.detach()


def project_group(group: Tensor) -> Tensor:
    """``project_row`` for a matrix, for rows that keep a positive entry."""
    clamped = group.clamp(0, 1)
    return clamped / clamped.sum(1, keepdim=True)


def hessian(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Second derivatives of a scalar function of a vector, a row at a time through the whole graph."""
    point = point.detach().clone().requires_grad_()
    slope = torch.autograd.grad(loss(point), point, create_graph=True)[0]
    return torch.stack([torch.autograd.grad(entry, point, retain_graph=True)[0] for entry in slope])
