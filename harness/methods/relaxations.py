"""Relaxations: from the logits to the mixture of a pass.

A relaxation is a pure function of logits, draws and the share of the search that is done. Its draws are an argument, so
that a recorded run can be replayed and measuring draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces import space
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, one_hot
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.methods.gammas import gamma, gamma_draws
from nas_stability.harness.specs.spec import FIELDS

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]
"""(shape, CPU generator) -> float64 draws."""


class Mix(Protocol):
    """(alpha, draws, progress, settings) -> mixture.

    ``draws`` has a tensor per group, (rows, choices) or (cells, rows, choices), and is empty for a relaxation that
    draws nothing; the mixture may have one matrix per cell likewise. ``progress`` is the share of the search's epochs
    that were done before this one, in [0, 1). ``settings`` has the part's fields as attributes, and
    ``operation_groups``, the space's groups whose choices are operations, and ``kept``, how many choices a row of each
    group keeps.
    """

    def __call__(self, alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture: ...


class Sampling(Protocol):
    """(distribution, draws, progress, settings) -> mixture, of rows on the simplex in the place of logits."""

    def __call__(self, distribution: Mixture, draws: Mixture, progress: float, settings: Any) -> Mixture: ...


class Relaxation(NamedTuple):
    """A relaxation and what it needs.

    Attributes:
        mix: the function.
        sample: of a relaxation that samples a distribution, the evaluation's mixture: (distribution, draws, progress,
            settings) -> mixture. A perturbation is then of the distribution.
        draw: the distribution of its draws; None where it draws nothing, as one that measures and decides must.
        per_cell: whether every cell of the supernet has draws, and so a mixture, of its own.
        shift_invariant: whether adding a number to all logits of a row changes nothing: the Hessian then costs a
            tangent less for each row.
        smooth: whether the mixture follows the logits smoothly; else there is no curvature with respect to them.
        fields: that it reads, by name.
    """

    mix: Mix
    draw: Draw | None = None
    sample: Sampling | None = None
    per_cell: bool = False
    shift_invariant: bool = True
    smooth: bool = True
    fields: Mapping[str, Any] = NOTHING


def softmax(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """The softmax of each row (DARTS, equation 2)."""
    return space.softmax(alpha)


def binarised(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """The mixture at the point where each operation's row is the one-hot of its largest logit; other rows stay soft.

    The gradient is that at this point, taken for one with respect to the logits. Ties go to the first.

    Source: NASP (Yao, Xu, Tu and Zhu, AAAI 2020), algorithm 1. The published code of the NAS-Bench-1Shot1 experiments
    applies the softmax to the one-hot all the same (0.58, 0.21, 0.21 of three operations); the paper does not.
    """
    groups = []
    for index, logits in enumerate(alpha):
        if index in settings.operation_groups:
            (hard,) = one_hot((logits.detach(),))
            point = hard + (logits - logits.detach())
            groups.append(torch.softmax(point, -1) if settings.nasp_softmax else point)
        else:
            groups.append(torch.softmax(logits, -1))
    return tuple(groups)


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel draws: the negative logarithm of exponential ones."""
    return -torch.empty(shape, dtype=torch.float64).exponential_(generator=generator).log()


def gumbel(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """A sample for each cell: rows of operations hard, with the straight-through gradient, other rows soft.

    Source: GDAS (Dong and Yang, CVPR 2019), equations 3 to 5; the temperature falls linearly over the epochs, and the
    rows of kept inputs stay soft, as in the published code of the NAS-Bench-1Shot1 experiments.
    """
    tau = settings.tau_max + progress * (settings.tau_min - settings.tau_max)
    groups = []
    for index, (logits, noise) in enumerate(zip(alpha, draws, strict=True)):
        soft = torch.softmax((logits + noise) / tau, -1)
        if index in settings.operation_groups:
            (hard,) = one_hot((soft.detach(),))
            soft = hard - soft.detach() + soft
        groups.append(soft)
    return tuple(groups)


FLOOR = 1e-8
"""Of a probability whose logarithm is taken: a projected row holds zeros."""


def gumbel_of(distribution: Mixture, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """``gumbel`` of rows on the simplex in the place of logits: of their logarithms, with a floor."""
    return gumbel(tuple(rows.clamp(min=FLOOR).log() for rows in distribution), draws, progress, settings)


def concentration(alpha: Alpha) -> Mixture:
    """What DrNAS has for logits: elu + 1, above 0."""
    return tuple(F.elu(logits) + 1 for logits in alpha)


def normalised(groups: Mixture) -> Mixture:
    """Rows above 0, each divided by its sum."""
    return tuple(rows / rows.sum(-1, keepdim=True) for rows in groups)


def dirichlet(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """A sample of Dirichlet(elu(alpha) + 1) for each row, the same in all cells: gammas divided by their sum.

    Source: DrNAS (Chen, Wang, Cheng, Tang and Hsieh, ICLR 2021), section 3.1.
    """
    return normalised(tuple(gamma(shape, one) for shape, one in zip(concentration(alpha), draws, strict=True)))


def dirichlet_mean(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """The mean of ``dirichlet``."""
    return normalised(concentration(alpha))


def uniform_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws uniform in [0, 1)."""
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def uniform(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """A decided mixture, the same in all cells, whatever the logits: every raw configuration is as likely.

    Source: Li and Talwalkar, Random search and reproducibility for NAS (UAI 2019), section 3.
    """
    found: Mixture = settings.hardened(draws)
    return found


def hardened(alpha: Alpha, draws: Mixture, progress: float, settings: Any) -> Mixture:
    """The decided mixture of the logits."""
    found: Mixture = settings.hardened(alpha)
    return found


RELAXATIONS: dict[str, Relaxation] = {
    "softmax": Relaxation(softmax),
    "gumbel": Relaxation(
        gumbel, gumbel_noise, gumbel_of, per_cell=True, fields={name: FIELDS[name] for name in ("tau_max", "tau_min")}
    ),
    "dirichlet": Relaxation(dirichlet, gamma_draws, shift_invariant=False),
    "dirichlet-mean": Relaxation(dirichlet_mean, shift_invariant=False),
    "uniform": Relaxation(uniform, uniform_noise, smooth=False),
    "hardened": Relaxation(hardened, smooth=False),
    "binarised": Relaxation(binarised, shift_invariant=False, fields={"nasp_softmax": FIELDS["nasp_softmax"]}),
}
