"""layers/batch_norm.py: batch statistics, gradients and running statistics in float32 against PyTorch's in float64."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.layers.batch_norm import FEW, BatchNorm, folded, normalized, with_statistics
from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations
from nas_stability.benchmarks.spaces.space import SupernetShape, softmax
from nas_stability.harness.measuring.curvature import validation_hessian
from nas_stability.harness.methods.architects import Batch
from nas_stability.harness.rng import stream
from tests.small import LISTED

EPS = 1e-5
FAR = 5.0
"""Standard deviations that the features lie away from 0, as behind a ReLU and a convolution."""


class Case(NamedTuple):
    """What goes into a BatchNorm: features, weight, bias, running mean and variance, and the slope behind it."""

    features: Tensor
    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor
    variance: Tensor
    slope: Tensor


def case_of(*shape: int, affine: bool = True, memory: torch.memory_format = torch.channels_last) -> Case:
    generator = stream(0, f"norm {shape}")
    features, slope = (torch.randn(shape, generator=generator).to(memory_format=memory) for _ in range(2))
    of_channels = torch.rand(4, shape[1], generator=generator) + 0.5
    weight, bias, mean, variance = of_channels.unbind()
    return Case(features + FAR, *((weight, bias) if affine else (None, None)), mean, variance, slope)


class Found(NamedTuple):
    """Features, running statistics, and the gradients with respect to features, weight and bias."""

    features: Tensor
    mean: Tensor
    variance: Tensor
    slopes: tuple[Tensor, ...]


def found_by(case: Case, dtype: torch.dtype) -> Found:
    """By ours in that type; a ReLU would only hide differences."""
    given = Case(*(value if value is None else value.to(dtype) for value in copy.deepcopy(case)))
    inputs = [value.requires_grad_() for value in given[:3] if value is not None]
    features = normalized(given.features, given.mean, given.variance, given.weight, given.bias, True, 0.3, EPS)
    return Found(features.detach(), given.mean, given.variance, torch.autograd.grad(features, inputs, given.slope))


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(64, 16, 32, 32), (96, 5, 16, 16), (3, 4, 33, 31), (40, 3, 64, 1), (1, 2, 50, 50)])
def test_float32_equals_float64_but_for_rounding(
    shape: tuple[int, ...], affine: bool, memory: torch.memory_format
) -> None:
    case = case_of(*shape, affine=affine, memory=memory)
    assert case.features[:, 0].numel() > FEW
    ours, exact = found_by(case, torch.float32), found_by(case, torch.float64)
    for name in ("features", "mean", "variance"):
        torch.testing.assert_close(getattr(ours, name).double(), getattr(exact, name), rtol=1e-6, atol=1e-5)
    assert len(ours.slopes) == (3 if affine else 1)
    for one, other in zip(ours.slopes, exact.slopes, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-5 * float(other.abs().max()))
    assert ours.features.is_contiguous(memory_format=memory)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_statistics_of_many_pixels_are_as_exact_as_of_few(one_thread: None) -> None:
    """PyTorch's own miss by five times the bound at least, which is why there are ours; less where threads share."""
    features = case_of(64, 16, 32, 32).features
    exact = features.double()
    mean, inverse = exact.mean((0, 2, 3)), (exact.var((0, 2, 3), correction=0) + EPS).rsqrt()

    def errors(mine: Tensor, other: Tensor) -> tuple[float, float]:
        return float(((mine - mean) * inverse).abs().max()), float((other / inverse - 1).abs().max())

    ours = errors(*with_statistics(features, None, None, None, None, True, 0.0, EPS)[1:])
    pytorchs = errors(*torch.native_batch_norm(features, None, None, None, None, True, 0.0, EPS)[1:])
    for mine, theirs, bound in zip(ours, pytorchs, (1.5e-6, 2.5e-7), strict=True):
        assert 0 < mine < bound < theirs / 5


@pytest.mark.parametrize(("training", "side"), [(True, 16), (False, 16), (False, 32)])
def test_of_few_pixels_and_by_running_statistics_it_is_pytorchs(training: bool, side: int) -> None:
    case = case_of(8, 4, side, side)
    assert (case.features[:, 0].numel() > FEW) == (side == 32)
    twin = copy.deepcopy(case)
    ours = normalized(case.features, case.mean, case.variance, case.weight, case.bias, training, 0.3, EPS)
    theirs = F.batch_norm(twin.features, twin.mean, twin.variance, twin.weight, twin.bias, training, 0.3, EPS)
    assert torch.equal(ours, theirs)
    assert torch.equal(case.mean, twin.mean)
    assert torch.equal(case.variance, twin.variance)


def test_only_what_learns_gets_a_gradient() -> None:
    """The architect and an attack hold the weights still, and go through features and the mixture's scale."""
    norm = BatchNorm(4, affine=False)
    features = case_of(32, 4, 16, 16).features
    scale = torch.ones(4, requires_grad=True)
    norm(features, scale).sum().backward()
    assert scale.grad is not None
    assert features.grad is None
    still = BatchNorm(4).requires_grad_(False)
    assert not still(features).requires_grad
    still(features.requires_grad_()).square().sum().backward()
    assert features.grad is not None
    assert all(weight.grad is None for weight in still.parameters())


def test_second_derivatives_are_refused_unless_plain() -> None:
    features = case_of(32, 4, 16, 16).features.requires_grad_()

    def curved() -> Tensor:
        found = normalized(features, None, None, None, None, True, 0.0, EPS).pow(3).sum()
        (slope,) = torch.autograd.grad(found, features, create_graph=True)
        slope.square().sum().backward()
        assert features.grad is not None
        return features.grad

    with pytest.raises(RuntimeError, match="once_differentiable"):
        curved()
    with PlainOperations():
        assert bool(curved().isfinite().all())


def hessian_error(space: str, seed: int) -> float:
    """Largest error of a Hessian in float32 over the largest entry."""
    torch.manual_seed(seed)
    net = SPACES[space].supernet(SupernetShape(4, 3, 10, 3, 0.1))
    generator = stream(seed, "hessian")
    alpha = tuple(0.1 * torch.randn(shape, generator=generator) for shape in SPACES[space].shapes)
    batch = Batch(torch.randn(40, 3, 8, 8, generator=generator), torch.arange(40) % 10)
    with torch.no_grad():  # away from its start, and with running statistics that are not those of the batch
        for _ in range(3):
            net(batch.images, softmax(alpha))
    narrow, wide = (
        validation_hessian(net, alpha, batch, statistics="batch", dtype=dtype, weight_decay=0.0)
        for dtype in (torch.float32, torch.float64)
    )
    assert narrow.dtype == torch.float32
    return float((narrow.double() - wide).abs().max() / wide.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("space", LISTED)
def test_a_hessian_in_float32_is_that_in_float64_but_for_rounding(space: str) -> None:
    """In the median: where a rounding opens a ReLU or moves a maximum, a Hessian jumps."""
    assert 0 < statistics.median(hessian_error(space, seed) for seed in range(5)) < 1e-4


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_folded_net_is_the_net_in_evaluation_mode(name: str) -> None:
    """Of running statistics that are no longer 0 and 1, with fewer BatchNorms asked than there are."""
    space, generator = SPACES[name], torch.Generator().manual_seed(3)
    net = space.supernet(SupernetShape(4, 3, 5, 3, 0.1)).double()
    images = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    mixture = tuple(torch.rand(shape, generator=generator, dtype=torch.float64).softmax(-1) for shape in space.shapes)
    for _ in range(3):
        net(images, mixture)
    net.eval()
    asked: list[nn.Module] = []
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda norm, *_: asked.append(norm))
    with torch.no_grad():
        plainly, every = net(images, mixture), len(asked)
        asked.clear()
        with folded(net):
            found, others = net(images, mixture), len(asked)
        asked.clear()
        again = net(images, mixture)
    torch.testing.assert_close(found, plainly, rtol=1e-10, atol=1e-12)
    assert others < every == len(asked)
    assert torch.equal(again, plainly)
