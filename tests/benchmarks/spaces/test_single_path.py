"""Supernets of single paths: one operation alone, looked at or left on the device, and weights that coast."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces import arranged_1shot1, nasbench201
from nas_stability.benchmarks.spaces.layers.single_path import optional_pairs
from nas_stability.benchmarks.spaces.space import Mixture, Supernet, SupernetShape, one_hot, softmax
from nas_stability.harness import coasting
from tests.slow import slow_but
from tests.small import random_batches

FAMILIES = ("nasbench201", "nasbench1shot1-s1", "nasbench1shot1-s3")
MODULES = {"nasbench201": nasbench201, "nasbench1shot1-s1": arranged_1shot1, "nasbench1shot1-s3": arranged_1shot1}


def net_of(space: str, single_path: bool = True) -> Supernet:
    """A supernet in float64, with statistics away from their start."""
    torch.manual_seed(3)
    shape = SupernetShape(4, 1 if space == "nasbench201" else 3, 4, 3, 0.3, single_path=single_path)
    net = SPACES[space].supernet(shape).double()
    torch.manual_seed(4)
    for name, value in sorted(SPACES[space].published(net).items()):
        if name.endswith("running_var"):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.is_floating_point():
            value.copy_(0.5 * torch.randn_like(value) + (1.0 if value.ndim == 1 else 0.0))
    return net


def sample(space: str, net: Supernet, seed: int) -> Mixture:
    """A mixture for each cell, hard in its operations; its rows require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    soft = softmax(
        tuple(torch.randn((net.cells, *s), generator=generator, dtype=torch.float64) for s in SPACES[space].shapes)
    )
    groups = [
        one_hot((group,))[0] if index in SPACES[space].facts.groups else group for index, group in enumerate(soft)
    ]
    return tuple(group.requires_grad_() for group in groups)


def passed(space: str, net: Supernet, mixture: Mixture) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The loss of a pass, and the slopes of the mixture and of all weights."""
    batch = random_batches().train
    loss = F.cross_entropy(net(batch.images, mixture), batch.labels)
    weights = dict(net.named_parameters())
    found = torch.autograd.grad(loss, [*mixture, *weights.values()], allow_unused=True)
    names = [*(f"mixture {index}" for index in range(len(mixture))), *weights]
    return loss.detach(), dict(zip(names, found, strict=True))


@pytest.mark.parametrize("space", slow_but(FAMILIES, "nasbench201"))
@pytest.mark.parametrize("training", [True, False])
def test_the_choice_looked_at_and_the_choice_on_the_device_are_one(
    space: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        results = []
        for looked in (True, False):
            net = net_of(space).train(training)
            if not looked:
                monkeypatch.setattr(MODULES[space], "looked_at", lambda choices: choices)
            results.append((*passed(space, net, sample(space, net, seed)), net.state_dict()))
            monkeypatch.undo()
        (left, slopes, state), (right, others, other) = results
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
        for name, slope in slopes.items():
            found = others[name]
            assert found is not None
            expected = torch.zeros_like(found) if slope is None else slope
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10, msg=name)
        for name, value in state.items():
            torch.testing.assert_close(value, other[name], rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("space", FAMILIES)
def test_what_is_not_chosen_sees_nothing_of_a_pass(space: str) -> None:
    net = net_of(space)
    mixture = sample(space, net, 1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    _, slopes = passed(space, net, mixture)
    counts = [int(pair.norm.num_batches_tracked) for pair in optional_pairs(net)]
    assert set(counts) == {0, 1}
    for name, module in net.named_modules():
        if getattr(module, "optional", False) and not int(module.norm.num_batches_tracked):
            for inner in ("norm.running_mean", "norm.running_var"):
                assert torch.equal(before[f"{name}.{inner}"], net.state_dict()[f"{name}.{inner}"])
            assert slopes[f"{name}.conv.weight"] is None


@pytest.mark.parametrize("space", FAMILIES)
def test_a_mixture_of_all_cells_is_that_of_the_whole_supernet(space: str) -> None:
    paths, whole = net_of(space), net_of(space, single_path=False)
    mixture = tuple(
        group.requires_grad_() for group in softmax(tuple(torch.randn(s).double() for s in SPACES[space].shapes))
    )
    left, slopes = passed(space, paths, mixture)
    right, others = passed(space, whole, mixture)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
    for index in range(len(mixture)):
        torch.testing.assert_close(slopes[f"mixture {index}"], others[f"mixture {index}"], rtol=1e-9, atol=1e-11)
    other = SPACES[space].published(whole)
    for name, value in SPACES[space].published(paths).items():
        torch.testing.assert_close(value, other[name], rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("looked", [True, False])
def test_weights_keep_still_until_they_are_chosen_and_coast_after(
    looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against SGD written out, weight by weight, with zeros for gradients that are not there."""
    monkeypatch.setattr(coasting, "looks", lambda counts: looked)
    space, lr, momentum, decay = "nasbench1shot1-s1", 0.1, 0.9, 0.01
    net = net_of(space)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=decay, foreach=True)
    expected = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    buffers: dict[str, Tensor] = {}
    touched: set[str] = set()
    always = {name for name, _ in net.named_parameters()} - {
        f"{place}.{name}"
        for place, module in net.named_modules()
        if getattr(module, "optional", False)
        for name, _ in module.named_parameters()
    }
    for step in range(5):
        batch = random_batches().train
        optimizer.zero_grad()
        F.cross_entropy(net(batch.images, sample(space, net, step)), batch.labels).backward()
        slopes = {name: weight.grad for name, weight in net.named_parameters()}
        touched |= {name for name, slope in slopes.items() if slope is not None} | always
        settle = coasting.coast(tuple(optional_pairs(net)), optimizer)
        optimizer.step()
        settle()
        for name in touched:
            slope = slopes[name]
            whole = (0 if slope is None else slope) + decay * expected[name]
            buffers[name] = whole if name not in buffers else momentum * buffers[name] + whole
            expected[name] = expected[name] - lr * buffers[name]
        for name, weight in net.named_parameters():
            torch.testing.assert_close(weight.detach(), expected[name], rtol=1e-12, atol=1e-12, msg=f"{step} {name}")
    assert touched != set(expected), "some weight was never chosen"
