"""Perturbations of the mixture during the weight step: none, random, adversarial.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), sections 3.1 (SDARTS-RS) and 3.2 (SDARTS-ADV); the projection and the
fall-back as in the published implementation. A perturbation is a pure function: its noise is an argument, so that a
recorded run can be replayed, and its gradient is with respect to the mixture alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks.space import Mixture

Loss = Callable[[Mixture], Tensor]
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


class Settings(NamedTuple):
    """How an attack is carried out; the published values are the defaults of RunSpec.

    Attributes:
        steps: PGD steps.
        scale: step size times steps over radius (2: every entry can cross the ball once).
        random_start: whether it starts at the noise or at the mixture.
        fallback: whether an attack that lowered the loss is discarded.
    """

    steps: int = 7
    scale: float = 2.0
    random_start: bool = True
    fallback: bool = True


class Perturbation(Protocol):
    """(mixture, loss, radius, noise, settings) -> perturbed mixture.

    ``radius`` is in probability; ``noise`` has the mixture's shapes and is uniform in [-radius, radius].
    """

    def __call__(
        self, mixture: Mixture, loss: Loss, radius: float, noise: Mixture, settings: Settings
    ) -> Perturbed: ...


def project(mixture: Mixture) -> Mixture:
    """Back to the simplex, row by row: clamp to [0, 1] and divide by the sum.

    A row without a positive entry becomes one-hot at the entry that was largest. This is the published projection, not
    the Euclidean one; what comes out can lie further than the radius from where it started.
    """
    return tuple(project_rows(rows) for rows in mixture)


def project_rows(rows: Tensor) -> Tensor:
    clamped = rows.clamp(0, 1)
    total = clamped.sum(-1, keepdim=True)
    largest = torch.zeros_like(rows).scatter(-1, rows.argmax(-1, keepdim=True), 1.0)
    return torch.where(total > 0, clamped / torch.where(total > 0, total, 1.0), largest)


def unperturbed(mixture: Mixture, loss: Loss, radius: float, noise: Mixture, settings: Settings) -> Perturbed:
    """Plain DARTS: the mixture as it is."""
    return Perturbed(mixture)


def random(mixture: Mixture, loss: Loss, radius: float, noise: Mixture, settings: Settings) -> Perturbed:
    """SDARTS-RS: add the noise and project."""
    return Perturbed(project(tuple(map(torch.add, mixture, noise))))


def adversarial(mixture: Mixture, loss: Loss, radius: float, noise: Mixture, settings: Settings) -> Perturbed:
    """SDARTS-ADV: projected gradient ascent on the loss in the ball of the radius (in the maximum norm)."""
    with torch.no_grad():
        before = loss(mixture)
    attacked = project(tuple(map(torch.add, mixture, noise))) if settings.random_start else mixture
    size = settings.scale * radius / settings.steps
    for _ in range(settings.steps):
        point = tuple(rows.detach().requires_grad_() for rows in attacked)
        gradient = torch.autograd.grad(loss(point), point)
        attacked = project(
            tuple(
                torch.minimum(torch.maximum(rows.detach() + size * slope.sign(), origin - radius), origin + radius)
                for rows, slope, origin in zip(point, gradient, mixture, strict=True)
            )
        )
    with torch.no_grad():
        after = loss(attacked)
    fell_back = (before > after) & settings.fallback
    chosen = tuple(torch.where(fell_back, origin, rows) for origin, rows in zip(mixture, attacked, strict=True))
    gain = torch.where(fell_back, torch.zeros_like(after), after - before)
    return Perturbed(chosen, gain, fell_back.to(after.dtype))


PERTURBATIONS: dict[str, Perturbation] = {
    "none": unperturbed,
    "random": random,
    "adversarial": adversarial,
}
