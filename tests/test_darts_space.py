"""The Hessian of a supernet that knows nothing of ours, by tangents against double differentiation, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness.measuring import tangents
from nas_stability.harness.measuring.curvature import flat, probe_loss, unflat, validation_hessian
from tests import darts_space
from tests.small import random_batches


def test_hessian_equals_double_differentiation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of both groups, and products with random vectors, in which every entry takes part."""
    by_autograd: list[str] = []

    def watched(call: tangents.Call, slopes: tangents.Slopes) -> tuple[object, object, Tensor]:
        by_autograd.append(call.func.__name__)
        return tangents.CURVED.get(call.func, anything)(call, slopes)

    anything = tangents.anything
    monkeypatch.setattr(tangents, "anything", watched)
    torch.manual_seed(1)
    net = darts_space.supernet(2, 3, classes=4).double()
    alpha = tuple(torch.randn(shape, dtype=torch.float64) for shape in darts_space.SHAPES)
    batch = random_batches(batch=2).valid
    found = validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=0.0)
    assert found.shape == (224, 224)
    assert set(by_autograd) == {"softmax", "cross_entropy"}  # all that is large has a rule
    point = flat(alpha).requires_grad_()
    with probe_loss(net, batch, "batch", torch.float64) as loss:
        (slope,) = torch.autograd.grad(loss(softmax(unflat(point, alpha))), point, create_graph=True)
    vectors = torch.cat([torch.eye(224, dtype=torch.float64)[[0, 13, 150, 223]], torch.randn(2, 224).double()])
    for vector in vectors:
        (expected,) = torch.autograd.grad(slope, point, vector, retain_graph=True)
        torch.testing.assert_close(found @ vector, expected, rtol=0, atol=1e-10 * float(found.abs().max()))
