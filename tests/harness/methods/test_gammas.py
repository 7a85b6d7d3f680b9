"""Gamma samples from draws made before: their distribution by scipy's, their gradient by PyTorch's own samples."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from nas_stability.harness.methods.gammas import CANDIDATES, gamma, gamma_draws
from nas_stability.harness.methods.relaxations import RELAXATIONS


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 2.5, 30.0])
def test_samples_have_the_distribution(shape: float) -> None:
    draws = gamma_draws((4000,), torch.Generator().manual_seed(1))
    found = gamma(torch.full((4000,), shape, dtype=torch.float64), draws)
    assert stats.kstest(found.numpy(), stats.gamma(shape).cdf).pvalue > 0.01
    assert stats.kstest(found.numpy(), stats.gamma(shape * 1.2).cdf).pvalue < 0.01, "the test can fail"


def test_the_gradient_is_the_implicit_one() -> None:
    """At a fixed value of the distribution function, the sample moves as the quantile does."""
    shape = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64).requires_grad_()
    found = gamma(shape, gamma_draws((3,), torch.Generator().manual_seed(2)))
    (slope,) = torch.autograd.grad(found.sum(), shape)
    for at, value, ours in zip(shape.tolist(), found.tolist(), slope.tolist(), strict=True):
        level, step = stats.gamma(at).cdf(value), 1e-6
        quantile = [stats.gamma(at + sign * step).ppf(level) for sign in (1, -1)]
        assert ours == pytest.approx((quantile[0] - quantile[1]) / (2 * step), rel=1e-4)


def test_the_first_accepted_candidate_is_taken_and_equal_draws_are_equal_samples() -> None:
    draws = gamma_draws((5,), torch.Generator().manual_seed(3))
    shape = torch.full((5,), 1.5, dtype=torch.float64)
    assert torch.equal(gamma(shape, draws), gamma(shape, draws))
    later = draws.clone()
    later[:, 1:CANDIDATES] += 1  # the first is accepted nearly always
    assert (gamma(shape, draws) == gamma(shape, later)).sum() >= 4


def test_the_mean_of_dirichlet_samples_is_the_evaluation() -> None:
    alpha = (torch.tensor([[-0.7, 0.2, 1.5]], dtype=torch.float64),)
    draws = (gamma_draws((20000, 1, 3), torch.Generator().manual_seed(4)),)
    many = (alpha[0].expand(20000, 1, 3),)
    mean = RELAXATIONS["dirichlet"].mix(many, draws, 0.0, None)[0].mean(0)
    expected = RELAXATIONS["dirichlet-mean"].mix(alpha, (), 0.0, None)[0]
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.01)
