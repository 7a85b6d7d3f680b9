"""Every fast supernet against the plain one of its space: the same weights, by their published names, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.space import Supernet, SupernetShape, softmax
from nas_stability.harness.measuring.curvature import validation_hessian
from tests.slow import slow_but
from tests.small import random_alpha, random_batches, random_net

CASES = [name for name, space in SPACES.items() if space.plain]


def twins(name: str, depth: int) -> tuple[Supernet, Supernet]:
    """The fast supernet and the plain one with its weights and buffers."""
    plain = SPACES[name].plain
    assert plain is not None
    fast = random_net(name, depth=depth)
    momentum = 0.1 if name == "nasbench201" else 0.997
    twin = plain.supernet(SupernetShape(2, depth, 4, 3, momentum)).double()
    views = SPACES[name].published(fast)
    named = plain.published(twin)
    assert {key: value.shape for key, value in named.items()} == {key: value.shape for key, value in views.items()}
    assert len(named) == len(twin.state_dict())  # each once
    for key, value in named.items():
        value.copy_(views[key])
    return fast, twin


def gradients(net: Supernet) -> Supernet:
    """A copy whose weights are the gradients."""
    found = copy.deepcopy(net)
    for copied, weight in zip(found.parameters(), net.parameters(), strict=True):
        assert weight.grad is not None
        copied.data.copy_(weight.grad)
    return found


def close(left: Tensor, right: Tensor, name: str) -> None:
    torch.testing.assert_close(left, right, rtol=0, atol=1e-10 * max(1.0, float(right.detach().abs().max())), msg=name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depth", slow_but([1, 3], 1))
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_fast_supernet_equals_the_plain_one(name: str, each: bool, depth: int, training: bool) -> None:
    fast, plain = twins(name, depth)
    batch = random_batches(size=7).train
    assert fast.cells == plain.cells
    alpha = random_alpha(name)
    if each:
        generator = torch.Generator().manual_seed(6)
        shift = [torch.randn((fast.cells, 1, group.shape[1]), generator=generator).double() for group in alpha]
        alpha = tuple(group.detach() + more for group, more in zip(alpha, shift, strict=True))
    mixtures = [tuple(rows.detach().requires_grad_() for rows in softmax(alpha)) for _ in range(2)]
    logits = [net.train(training)(batch.images, mixture) for net, mixture in zip((fast, plain), mixtures, strict=True)]
    close(*logits, "logits")
    for one in logits:
        F.cross_entropy(one, batch.labels).backward()
    for left, right in zip(*mixtures, strict=True):
        assert left.grad is not None
        assert right.grad is not None
        close(left.grad, right.grad, "mixture")
    published = SPACES[name].plain.published  # type: ignore[union-attr]
    slopes = SPACES[name].published(gradients(fast))
    for key, right in published(gradients(plain)).items():
        close(slopes[key], right, key)
    state = SPACES[name].published(fast)
    for key, right in published(plain).items():  # running statistics and counts as well
        close(state[key].double(), right.double(), key)
        assert not key.endswith("num_batches_tracked") or int(right) == training


@pytest.mark.parametrize("name", slow_but(CASES, "nasbench201"))
def test_their_hessians_are_equal(name: str) -> None:
    fast, plain = twins(name, 1 if name == "nasbench201" else 3)
    alpha, batch = random_alpha(name), random_batches().valid
    left, right = (
        validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=0.0)
        for net in (fast, plain)
    )
    torch.testing.assert_close(left, right, rtol=0, atol=1e-10 * float(right.abs().max()))
