"""layers/lean_operations.py against the same operations composed of PyTorch's, in float64, and what it keeps."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm
from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations, chosen, halved, scaled
from nas_stability.benchmarks.spaces.layers.partial_channels import parted, plus, shuffled
from nas_stability.benchmarks.spaces.space import SupernetShape

SPARSE = 5
"""Every fifth weight of the tests is exactly 0."""


def features(*shape: int, seed: int = 0) -> Tensor:
    """Channels-last; one value in two is exactly 0, so that maxima tie."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    values = values * (torch.rand(*shape, generator=generator) < 0.5)
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


def shares(*shape: int) -> Tensor:
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    values.view(-1)[::SPARSE] = 0.0
    return values.requires_grad_()


def slopes(found: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of a function that is neither linear nor the same for every output."""
    total = torch.stack([(torch.sin(one + place) ** 2).sum() for place, one in enumerate(found)]).sum()
    return torch.autograd.grad(total, inputs)


def assert_alike(function: Callable[[], tuple[Tensor, ...]], inputs: tuple[Tensor, ...]) -> None:
    ours = function()
    ours_slopes = slopes(ours, inputs)
    with PlainOperations():
        plain = function()
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours_slopes, slopes(plain, inputs), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sparing", [False, True])
@pytest.mark.parametrize("breadth", [6, 8192])  # the places of the maxima fit into two bytes, and do not
@pytest.mark.parametrize("receivers", [1, 4])
def test_chosen_equals_its_composition(receivers: int, breadth: int, sparing: bool) -> None:
    vertex, conv3, conv1 = (features(3, 4, 5, breadth, seed=seed) for seed in range(3))
    weights = shares(3, receivers, 3)
    assert_alike(lambda: chosen(vertex, conv3, conv1, weights, sparing), (vertex, conv3, conv1, weights))


def test_plus_equals_its_composition() -> None:
    base, added, weight = features(3, 4, 5, 6), features(3, 4, 5, 6, seed=1), shares(7)[1]
    assert_alike(lambda: (plus(base, weight, added),), (base, weight, added))
    assert_alike(lambda: (plus(None, weight, added),), (weight, added))


def test_a_shuffle_takes_each_channel_to_its_place() -> None:
    """Channel g * (C / groups) + c goes to c * groups + g."""
    whole = torch.arange(12.0).view(1, 12, 1, 1).expand(2, 12, 3, 3).contiguous(memory_format=torch.channels_last)
    found = shuffled(*parted(whole, 4))
    assert found.is_contiguous(memory_format=torch.channels_last)
    expected = {c * 4 + g: g * 3 + c for g in range(4) for c in range(3)}
    assert found[1, :, 2, 1].tolist() == [expected[place] for place in range(12)]


@pytest.mark.parametrize("training", [False, True])
def test_scaled_equals_its_composition_and_moves_the_same_statistics(training: bool) -> None:
    norm = BatchNorm(10, momentum=0.3).double().train(training)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1.5, 1.5, 10))
        norm.bias.copy_(torch.linspace(1.0, -0.5, 10))
        norm.get_buffer("running_mean").copy_(torch.linspace(-0.3, 0.4, 10))
        norm.eps = 0.5  # so large that it moves where the ReLU opens
        norm.get_buffer("running_var").fill_(norm.eps)
    twin = copy.deepcopy(norm)
    inputs = (features(3, 10, 4, 4), shares(10))
    found, plain = slopes_of(norm, inputs), slopes_of(twin, inputs, PlainOperations())
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(norm.state_dict(), twin.state_dict(), rtol=1e-12, atol=1e-12)
    assert training == bool((norm.get_buffer("running_var") != norm.eps).all())


def slopes_of(
    norm: BatchNorm, inputs: tuple[Tensor, Tensor], mode: PlainOperations | None = None
) -> tuple[Tensor, ...]:
    """The output, and the slopes of the inputs, the gain and the shift."""
    with mode or contextlib.nullcontext():
        found = scaled(inputs[0], norm, inputs[1])
    return found, *slopes((found,), (*inputs, norm.weight, norm.bias))


def test_halved_equals_its_composition() -> None:
    inputs = (features(3, 4, 7, 6),)
    assert_alike(lambda: (halved(inputs[0]),), inputs)


def test_scaled_without_a_norm_equals_its_composition() -> None:
    inputs = (features(3, 10, 4, 4), shares(10))
    assert_alike(lambda: (scaled(inputs[0], None, inputs[1]),), inputs)


def test_a_weight_of_zero_gets_its_gradient() -> None:
    """What folding the weight into the scale by PyTorch's operations would lose: relu(0 * x) has none."""
    weights = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    images = features(3, 10, 4, 4)
    (slope,) = torch.autograd.grad(scaled(images, None, weights).sum(), weights)
    torch.testing.assert_close(slope, F.relu(images).detach().sum((0, 2, 3)))
    assert bool((slope > 0).all())


def test_second_derivatives_are_refused_unless_plain() -> None:
    vertex, conv3, conv1 = (features(2, 3, 4, 4, seed=seed) for seed in range(3))
    weights = shares(2, 2, 3)

    def curved() -> Tensor:
        found = torch.stack(chosen(vertex, conv3, conv1, weights, False)).sum() ** 2
        (slope,) = torch.autograd.grad(found, weights, create_graph=True)
        slope.sum().backward()
        assert weights.grad is not None
        return weights.grad

    with pytest.raises(RuntimeError, match="once_differentiable"):
        curved()
    with PlainOperations():
        assert bool(curved().isfinite().all())


def kept(space: str, plain: bool) -> int:
    """Bytes that a training-mode pass with learning weights keeps for its gradient, those of the weights included."""
    net = SPACES[space].supernet(SupernetShape(8, 3, 10, 3, 0.1))
    mixture = tuple(torch.full(shape, 1 / shape[1]).requires_grad_() for shape in SPACES[space].shapes)
    sizes: dict[int, int] = {}
    holders: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        holders.append(tensor.detach())
        return tensor.detach()

    mode = PlainOperations() if plain else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), mode:
        net(torch.randn(8, 3, 16, 16), mixture)
    return sum(sizes.values())


@pytest.mark.parametrize("space", ["nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"])
def test_a_pass_keeps_two_thirds_of_what_its_composition_keeps(space: str) -> None:
    assert kept(space, plain=False) < 0.68 * kept(space, plain=True)
