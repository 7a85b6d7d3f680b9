"""Perturbations of the mixture during the weight step: none, random, adversarial.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), sections 3.1 (SDARTS-RS) and 3.2 (SDARTS-ADV); the projection and the
fall-back as in the published implementation. A perturbation is a pure function: its noise is an argument, so that a
recorded run can be replayed, and its gradient is with respect to the mixture alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Mixture
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.rng import uniform
from nas_stability.harness.specs.spec import FIELDS

LossAt = Callable[[Mixture], Tensor]
"""The training loss of a mixture on the batch of the weight step: a scalar."""


class Perturbed(NamedTuple):
    """What a perturbation leaves.

    Attributes:
        mixture: rows on the simplex.
        gain: by how much it raised the loss, in nats; None where it does not look at the loss.
        fell_back: 1 where it returned the unperturbed mixture because the attack had not raised the loss, else 0;
            None where it does not fall back.
    """

    mixture: Mixture
    gain: Tensor | None = None
    fell_back: Tensor | None = None


class Perturb(Protocol):
    """(mixture, loss, radius, noise, settings) -> perturbed mixture.

    ``radius`` is in probability; ``noise`` has the mixture's shapes and is of the perturbation's distribution, times
    the radius. ``settings`` has the part's fields as attributes.
    """

    def __call__(self, mixture: Mixture, loss: LossAt, radius: float, noise: Mixture, settings: Any) -> Perturbed: ...


class Perturbation(NamedTuple):
    """A perturbation and what it needs.

    Attributes:
        perturb: the function; None leaves the mixture as it is.
        draw: the distribution of its noise at radius 1: (shape, CPU generator) -> float64 draws.
        fields: that it reads, by name.
    """

    perturb: Perturb | None
    draw: Callable[[tuple[int, ...], torch.Generator], Tensor] = uniform
    fields: Mapping[str, Any] = NOTHING


def project(mixture: Mixture) -> Mixture:
    """Back to the simplex, row by row: clamp to [0, 1] and divide by the sum.

    A row without a positive entry becomes one-hot at the entry that was largest. This is the published projection, not
    the Euclidean one; what comes out can lie further than the radius from where it started.
    """
    return apart(project_rows(together(mixture, -math.inf)), mixture)


def project_rows(rows: Tensor) -> Tensor:
    """``project`` of rows that are filled up with -inf, which come out as 0."""
    clamped = rows.clamp(0, 1)
    total = clamped.sum(-1, keepdim=True)
    largest = torch.zeros_like(rows).scatter(-1, rows.argmax(-1, keepdim=True), 1.0)
    return torch.where(total > 0, clamped / total, largest)


def together(groups: Mixture, filling: float) -> Tensor:
    """All rows of all groups in one matrix, the shorter ones filled up: one operation then serves them all."""
    missing = [max(group.shape[1] for group in groups) - group.shape[1] for group in groups]
    return torch.cat([F.pad(g, (0, n), value=filling) if n else g for g, n in zip(groups, missing, strict=True)])


def apart(rows: Tensor, groups: Mixture) -> Mixture:
    """Views of the rows of ``together`` in the shapes of the groups."""
    parts = rows.split([len(group) for group in groups])
    return tuple(part[:, : group.shape[1]] for part, group in zip(parts, groups, strict=True))


def random(mixture: Mixture, loss: LossAt, radius: float, noise: Mixture, settings: Any) -> Perturbed:
    """SDARTS-RS: add the noise and project."""
    return Perturbed(project(tuple(map(torch.add, mixture, noise))))


def adversarial(mixture: Mixture, loss: LossAt, radius: float, noise: Mixture, settings: Any) -> Perturbed:
    """SDARTS-ADV: projected gradient ascent on the loss in the ball of the radius (in the maximum norm)."""
    with torch.no_grad():
        before = loss(mixture)
    origin = together(mixture, -math.inf)  # the filling of the bounds makes that of the clamped rows -inf again
    low, high = origin - radius, origin + radius
    attacked = project_rows(origin + together(noise, 0.0)) if settings.attack_random_start else origin.clamp(min=0)
    size = settings.attack_scale * radius / settings.attack_steps
    for _ in range(settings.attack_steps):
        attacked.requires_grad_()
        (slope,) = torch.autograd.grad(loss(apart(attacked, mixture)), attacked)
        attacked = project_rows(torch.clamp(torch.add(attacked.detach(), slope.sign(), alpha=size), low, high))
    with torch.no_grad():
        after = loss(apart(attacked, mixture))
    fell_back = (before > after) & settings.attack_fallback
    chosen = torch.where(fell_back, origin.clamp(min=0), attacked)
    gain = torch.where(fell_back, 0.0, after - before)
    return Perturbed(apart(chosen, mixture), gain, fell_back.to(after.dtype))


ATTACK = ("attack_steps", "attack_scale", "attack_random_start", "attack_fallback")

PERTURBATIONS: dict[str, Perturbation] = {
    "none": Perturbation(None),
    "random": Perturbation(random),
    "adversarial": Perturbation(adversarial, fields={name: FIELDS[name] for name in ATTACK}),
}
