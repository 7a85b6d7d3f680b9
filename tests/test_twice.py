"""Derivatives of harness/twice.py against PyTorch's own and against differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.twice import TWICE, Twice

Function = Callable[..., Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def batch_norm(features: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    return F.batch_norm(features, None, None, scale, shift, True, 0.1, 1e-5)


def convolved(stride: int, kernel: int) -> Function:
    weight = normal(4, 3, kernel, kernel, seed=7).detach()
    pairs = (stride, stride), (kernel // 2, kernel // 2)  # as nn.Conv2d calls it
    return lambda features: F.conv2d(features, weight, None, *pairs)


CASES: dict[str, tuple[Function, tuple[Tensor, ...]]] = {
    "convolution 3x3": (convolved(1, 3), (normal(2, 3, 5, 5),)),
    "convolution 3x3, stride 2": (convolved(2, 3), (normal(2, 3, 5, 5),)),
    "convolution 1x1": (convolved(1, 1), (normal(2, 3, 5, 5),)),
    "convolution with groups": (
        lambda features: F.conv2d(features, normal(4, 1, 3, 3).detach(), None, (1, 1), (1, 1), (1, 1), 2),
        (normal(2, 2, 5, 5),),
    ),
    "norm": (batch_norm, (normal(3, 2, 3, 3),)),
    "norm, scale": (batch_norm, (normal(3, 2, 3, 3), normal(2, seed=1))),
    "norm, scale and shift": (batch_norm, (normal(3, 2, 3, 3), normal(2, seed=1), normal(2, seed=2))),
    "norm, constant features": (
        lambda scale, shift: batch_norm(normal(3, 2, 3, 3).detach(), scale, shift),
        (normal(2, seed=1), normal(2, seed=2)),
    ),
    "norm, constant scale": (lambda features: batch_norm(features, normal(2, seed=1).detach()), (normal(3, 2, 3, 3),)),
    "cat": (lambda *tensors: torch.cat(tensors, 1), (normal(2, 1, 3), normal(2, 2, 3, seed=1))),
    "stack": (lambda *tensors: torch.stack(tensors, dim=1), (normal(2, 3), normal(2, 3, seed=1))),
}


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives_equal_differences_of_the_first(case: str) -> None:
    function, inputs = CASES[case]

    def curved(*points: Tensor) -> Tensor:
        with Twice():
            return torch.sin(function(*points))

    assert torch.autograd.gradcheck(curved, inputs)
    assert torch.autograd.gradgradcheck(curved, inputs)


def slopes(function: Function, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    value = (torch.sin(function(*inputs)) ** 2).sum()
    found: tuple[Tensor, ...] = torch.autograd.grad(value, inputs, create_graph=True)
    return found


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_products_equal_those_of_pytorch(case: str, together: bool) -> None:
    function, inputs = CASES[case]
    inputs = tuple(one.detach().contiguous(memory_format=layout(one)).requires_grad_() for one in inputs)
    directions = tuple(normal(5, *one.shape, seed=3).detach() for one in inputs)

    def products(of: tuple[Tensor, ...], *vectors: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = torch.autograd.grad(of, inputs, vectors, retain_graph=True)
        return found

    expected = slopes(function, inputs)
    with Twice():
        found = slopes(function, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = [products(expected, *vectors) for vectors in zip(*directions, strict=True)]
    if together:
        got: Any = torch.vmap(lambda *vectors: products(found, *vectors))(*directions)
    else:
        got = [
            torch.stack(parts)
            for parts in zip(*(products(found, *v) for v in zip(*directions, strict=True)), strict=True)
        ]
    for left, right in zip(got, zip(*wanted, strict=True), strict=True):
        torch.testing.assert_close(left, torch.stack(right), rtol=1e-11, atol=1e-11)


def layout(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.ndim == 4 else torch.contiguous_format


def test_running_statistics_and_weights_that_learn_are_left_to_pytorch() -> None:
    features, weight = normal(2, 3, 5, 5), normal(4, 3, 3, 3, seed=1)
    mean, variance = normal(3, seed=2).detach(), normal(3, seed=3).detach().abs()
    with Twice():
        left = F.conv2d(features, weight, None, 1, 1)
        right = F.batch_norm(features, mean, variance, None, None, False, 0.1, 1e-5)
    torch.testing.assert_close(left, F.conv2d(features, weight, None, 1, 1), rtol=0, atol=0)
    torch.testing.assert_close(right, F.batch_norm(features, mean, variance, None, None, False), rtol=0, atol=0)
    (of_weight,) = torch.autograd.grad(left.sum(), weight)
    assert bool(of_weight.any())


def test_every_replacement_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case for each: none is listed that nothing above would miss."""
    used: set[Any] = set()
    for function, replacement in TWICE.items():
        monkeypatch.setitem(TWICE, function, lambda *a, f=function, r=replacement, **k: (used.add(f), r(*a, **k))[1])  # type: ignore[arg-type]
    with Twice():
        for function, inputs in CASES.values():
            function(*inputs)
    assert used == set(TWICE)
