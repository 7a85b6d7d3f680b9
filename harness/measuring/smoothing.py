"""How the loss answers to perturbations of the mixture, beside what its second-order expansion predicts.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), section 3.3, which argues that random smoothing adds a multiple of the
trace of the Hessian to what is minimised, and the attack a multiple of its norm. The Hessian here is that with respect
to the mixture p, whose perturbations they are, not to the logits:

    L(p + d) - L(p)  =  g.d + d.H.d / 2 + O(|d|^3)

Of draws d uniform in [-r, r], independent in every entry, the mean of g.d is 0 and that of d.H.d is r^2 / 3 times the
trace, so that the expectation is r^2 / 6 times the trace. Of finitely many draws, of draws that are projected back to
the simplex, and of an attack, neither mean is that: for each the prediction is the mean of g.d + d.H.d / 2 over the
same d as were measured, with the two parts apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas_stability.benchmarks.images.dataset import Dataset
from nas_stability.benchmarks.spaces.space import Mixture
from nas_stability.harness.measuring.curvature import flat, hessian, probe_loss
from nas_stability.harness.measuring.measure import due, probe
from nas_stability.harness.methods.assembled import settings_of
from nas_stability.harness.methods.perturbations import PERTURBATIONS, LossAt, adversarial, project
from nas_stability.harness.records.record import SmoothingRecord
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.state import Search

RADII = (0.03, 0.3)
"""In probability: the smallest and the largest of the paper."""

DRAWS = 16
"""Of the random perturbation; the same in every epoch, and for every method of a seed."""


def smoothing(search: Search, data: Dataset) -> list[SmoothingRecord]:
    """What is measured of the state as it stands, on the probe batch; nothing where it is not due, or not asked for.

    The loss is that whose Hessian is measured: the cross-entropy of the probe batch, with the type and the BatchNorm
    statistics of the fields ``hessian_dtype`` and ``hessian_batch_norm``. The attack is that of SDARTS-ADV, at its
    fields' values, started where the first draw is.
    """
    spec = search.spec
    if not (spec.smoothing and search.parts.smooth and due(search)):
        return []
    dtype = getattr(torch, spec.hessian_dtype)
    mixture = tuple(rows.detach().to(dtype) for rows in search.evaluated())
    settings = settings_of(spec, search.space, PERTURBATIONS["adversarial"].fields)
    generator = stream(spec.seed, "smoothing")
    noise = [tuple(uniform(rows.shape, generator).to(rows) for rows in mixture) for _ in range(DRAWS)]
    with probe_loss(search.net, probe(search, data, dtype), spec.hessian_batch_norm, dtype) as loss:
        slope, bend = expansion(loss, mixture)

        def record(name: str, radius: float, moved: Sequence[Mixture], expected: float | None) -> SmoothingRecord:
            measured, first, second = answers(loss, mixture, moved, slope, bend)
            return SmoothingRecord(search.epoch, name, radius, measured, first + second, first, second, expected)

        found = []
        for radius in RADII:
            drawn = [tuple(radius * rows for rows in draw) for draw in noise]
            moved = [tuple(map(torch.add, mixture, draw)) for draw in drawn]
            found.append(record("uniform", radius, moved, radius**2 / 6 * float(bend.trace())))
            found.append(record("projected", radius, [project(one) for one in moved], None))
            attacked = adversarial(mixture, loss, radius, drawn[0], settings).mixture
            found.append(record("attack", radius, [attacked], None))
    return found


def expansion(loss: LossAt, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Gradient (n,) and Hessian (n, n) of the loss with respect to the mixture, its entries free of each other."""
    point = tuple(rows.detach().requires_grad_() for rows in mixture)
    slope = flat(torch.autograd.grad(loss(point), point))
    return slope, hessian(loss, mixture, as_it_is)


def as_it_is(mixture: Mixture) -> Mixture:
    """The mixture in the place of the logits."""
    return tuple(rows * 1 for rows in mixture)


def answers(
    loss: LossAt, mixture: Mixture, moved: Sequence[Mixture], slope: Tensor, bend: Tensor
) -> tuple[float, float, float]:
    """Means over moved mixtures: of the loss there less that at the mixture, of g.d, and of d.H.d / 2; nats."""
    with torch.no_grad():
        base = loss(mixture)
        raised = torch.stack([loss(one) - base for one in moved]).mean()
        steps = torch.stack([flat(one) - flat(mixture) for one in moved])
        first = (steps @ slope).mean()
        second = torch.einsum("ki,ij,kj->k", steps, bend, steps).mean() / 2
    return float(raised), float(first), float(second)
