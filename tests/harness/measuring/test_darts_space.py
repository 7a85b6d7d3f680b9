"""The Hessian of a supernet that knows nothing of ours, by tangents against double differentiation, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Alpha, Mixture, shift_invariant
from nas_stability.harness.measuring import tangents
from nas_stability.harness.measuring.curvature import flat, probe_loss, unflat, validation_hessian
from tests import darts_space
from tests.small import random_batches

OFFSETS = tuple(torch.randn(shape, generator=torch.Generator().manual_seed(4)) for shape in darts_space.SHAPES)


@shift_invariant
def few(alpha: Alpha) -> Mixture:
    """Two rows of logits per group, from which all 14 are made: so that the test has 32 logits and not 224."""
    return tuple(
        torch.softmax(torch.cat([logits] * (darts_space.EDGES // 2)) + offsets.to(logits), -1)
        for logits, offsets in zip(alpha, OFFSETS, strict=True)
    )


@pytest.mark.slow
def test_hessian_equals_double_differentiation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows, and a product with a random vector, in which every entry takes part."""
    by_autograd: list[str] = []

    def watched(call: tangents.Call, slopes: tangents.Slopes) -> tuple[object, object, Tensor]:
        by_autograd.append(call.func.__name__)
        return anything(call, slopes)

    anything = tangents.anything
    monkeypatch.setattr(tangents, "anything", watched)
    torch.manual_seed(1)
    net = darts_space.supernet(2, 3, classes=4).double()
    alpha = tuple(torch.randn(2, 8, dtype=torch.float64) for _ in darts_space.SHAPES)
    batch = random_batches(batch=2).valid
    found = validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=0.0, relax=few)
    assert found.shape == (32, 32)
    assert set(by_autograd) == {"softmax", "cross_entropy"}  # all that is large has a rule
    point = flat(alpha).requires_grad_()
    with probe_loss(net, batch, "batch", torch.float64) as loss:
        (slope,) = torch.autograd.grad(loss(few(unflat(point, alpha))), point, create_graph=True)
    for vector in (*torch.eye(32, dtype=torch.float64)[[0, 13, 31]], torch.randn(32).double()):
        (expected,) = torch.autograd.grad(slope, point, vector, retain_graph=True)
        torch.testing.assert_close(found @ vector, expected, rtol=0, atol=1e-10 * float(found.abs().max()))
