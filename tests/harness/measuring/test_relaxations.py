"""The Hessian and the gradient of any relaxation, against row-by-row differentiation, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Relax, shift_invariant, softmax
from nas_stability.harness.measuring import curvature
from nas_stability.harness.measuring.curvature import flat, gradient_norm, hessian, probe_loss, validation_hessian
from nas_stability.harness.measuring.tangents import Tangents
from tests import oracles
from tests.slow import slow_but
from tests.small import LISTED, random_alpha, random_batches, random_net

DEPTH = {"nasbench201": 1}
"""Of a supernet; 3 cells in every space."""


def raised(alpha: Alpha) -> Mixture:
    """elu(alpha) + 1, divided by its sum."""
    positive = [F.elu(logits) + 1 for logits in alpha]
    return tuple(rows / rows.sum(-1, keepdim=True) for rows in positive)


@shift_invariant
def straight_through(alpha: Alpha) -> Mixture:
    """One-hot, with the derivatives of a softmax at half the temperature."""
    soft = [torch.softmax(2 * logits, -1) for logits in alpha]
    return tuple(F.one_hot(rows.argmax(-1), rows.shape[-1]).to(rows.dtype) - rows.detach() + rows for rows in soft)


def sigmoids(alpha: Alpha) -> Mixture:
    """Each choice by itself; the rows do not sum to 1."""
    return tuple(torch.sigmoid(logits) for logits in alpha)


def sampled(cells: int) -> Relax:
    """A softmax for each cell, with noise of its own that stays the same from call to call."""

    @shift_invariant
    def relax(alpha: Alpha) -> Mixture:
        generator = torch.Generator().manual_seed(2)
        noise = [torch.randn((cells, *group.shape), generator=generator, dtype=group.dtype) for group in alpha]
        return tuple(torch.softmax(logits + more, -1) for logits, more in zip(alpha, noise, strict=True))

    return relax


RELAXATIONS: dict[str, Callable[[int], Relax]] = {
    "softmax": lambda cells: softmax,
    "raised": lambda cells: raised,
    "straight through": lambda cells: straight_through,
    "sigmoids": lambda cells: sigmoids,
    "sampled for each cell": sampled,
}


PLACES = [(space, way) for space in ("nasbench201", "nasbench1shot1-s1") for way in ("batch", "running")]


@pytest.mark.parametrize("name", slow_but(RELAXATIONS, "softmax"))
@pytest.mark.parametrize(("space", "statistics"), slow_but(PLACES, ("nasbench201", "batch")))
def test_hessian_and_gradient_equal_row_by_row_differentiation(space: str, name: str, statistics: str) -> None:
    net, batch, alpha = random_net(space, depth=DEPTH.get(space, 3)), random_batches().valid, random_alpha(space)
    relax = RELAXATIONS[name](net.cells)

    def loss(point: Tensor) -> Tensor:
        with PlainOperations(), probe_loss(net, batch, statistics, torch.float64) as of:
            return of(relax(curvature.unflat(point, alpha)))

    point = flat(alpha).detach().requires_grad_()
    expected = oracles.hessian(loss, point)
    found = validation_hessian(
        net, alpha, batch, statistics=statistics, dtype=torch.float64, weight_decay=0.0, relax=relax
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    (slope,) = torch.autograd.grad(loss(point), point)
    norm = gradient_norm(net, alpha, batch, statistics=statistics, dtype=torch.float64, relax=relax)
    assert norm == pytest.approx(float(slope.norm()), rel=1e-10)


@pytest.mark.parametrize(("relax", "carried"), [(softmax, 24), (straight_through, 24), (raised, 30), (sigmoids, 30)])
def test_a_logit_of_each_row_is_spared_only_where_shifts_change_nothing(
    relax: Relax, carried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    class Counted(Tangents):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            counts.append(self.count)

    monkeypatch.setattr(curvature, "Tangents", Counted)
    hessian(lambda mixture: mixture[0].square().sum(), random_alpha("nasbench201"), relax)
    assert counts == [carried]


@pytest.mark.parametrize("space", LISTED)
def test_marked_relaxations_are_indeed_indifferent_to_shifts(space: str) -> None:
    alpha = random_alpha(space)
    shifted = tuple(group + torch.arange(len(group), dtype=group.dtype)[:, None] for group in alpha)
    for name, made in RELAXATIONS.items():
        relax = made(3)
        moved = [
            not torch.allclose(left, right, atol=1e-12)
            for left, right in zip(relax(alpha), relax(shifted), strict=True)
        ]
        assert any(moved) != getattr(relax, "shift_invariant", False), name


def test_a_relaxation_that_hides_its_calls_is_refused() -> None:
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, logits: Tensor) -> Tensor:
            return torch.softmax(logits, -1)

        @staticmethod
        def backward(ctx: object, slope: Tensor) -> Tensor:
            return slope

    def hidden(alpha: Alpha) -> Mixture:
        return tuple(Hidden.apply(logits) for logits in alpha)

    with pytest.raises(ValueError, match="did not make the same calls"):
        hessian(lambda mixture: mixture[0].square().sum(), random_alpha("nasbench201"), hidden)
