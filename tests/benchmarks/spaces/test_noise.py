"""Noise of float32: a function of its seed, standard normal into its tails."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch

from nas_stability.benchmarks.spaces.layers.noise import float32_normal


@pytest.mark.parametrize("shape", [(3, 5, 7, 9), (1, 1, 1, 1), (0, 4, 2, 2)])
def test_the_seed_alone_says_what_is_drawn_and_every_call_draws_other_values(shape: tuple[int, ...]) -> None:
    source, again = float32_normal(7), float32_normal(7)
    first, second = source(shape), source(shape)
    assert first.shape == shape
    assert first.dtype == torch.float32
    assert torch.equal(first, again(shape))
    if first.numel():
        assert not torch.equal(first, second)
        assert not torch.equal(first, float32_normal(8)(shape))


def test_values_are_standard_normal_far_into_their_tails() -> None:
    drawn = float32_normal(0)((64, 16, 64, 64)).double().flatten().numpy()
    count = len(drawn)
    assert np.isfinite(drawn).all()
    assert abs(drawn.mean()) < 5 / count**0.5
    assert abs(drawn.var() - 1) < 5 * (2 / count) ** 0.5
    for bound in (0.5, 1.0, 2.0, 3.0, 4.0):
        share = 2 * scipy.stats.norm.sf(bound)
        assert abs((np.abs(drawn) > bound).mean() - share) < 5 * (share / count) ** 0.5
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / count**0.5
    assert scipy.stats.kstest(drawn[:100_000], "norm").pvalue > 1e-4


def test_the_extreme_bits_are_finite_values(monkeypatch: pytest.MonkeyPatch) -> None:
    extremes = np.array([-(2**31), 2**31 - 1], dtype=np.int32).view(np.uint64)
    monkeypatch.setattr(np.random, "SFC64", lambda seed: SimpleNamespace(random_raw=lambda count: extremes))
    drawn = float32_normal(0)((1, 1, 1, 2)).flatten().tolist()
    furthest = scipy.stats.norm.isf(2**-25)
    assert drawn == pytest.approx([-furthest, furthest], rel=1e-3)
