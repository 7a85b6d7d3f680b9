"""The contract of a space: its facts, its architectures, its supernet, and the exact Hessian on it."""

from __future__ import annotations

import copy
import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import from_json
from nas_stability.benchmarks.spaces.space import Mixture, Space, Supernet, SupernetShape, one_hot, softmax
from nas_stability.harness.measuring.curvature import flat, hessian, unflat
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.testing.methods import equal, shallowest

CPU = torch.device("cpu")
CLASSES, CHANNELS, SIDE = 4, 3, 12
"""Of the images that a space is checked with."""

SAMPLE = 40
"""Architectures of a space or a table, and columns of a Hessian, that are looked at."""


def check_space(space: Space | str) -> None:
    """Checks a space: its facts, its architectures, its supernet, and the exact Hessian on it.

    Args:
        space: or its name.

    Raises:
        AssertionError: a contract is broken; the message says which.
    """
    space = find_space(space) if isinstance(space, str) else space
    check_facts(space)
    check_architectures(space)
    torch.manual_seed(0)
    shape = SupernetShape(4, shallowest(space), CLASSES, CHANNELS, 0.1)
    net = space.supernet(shape).double()
    check_supernet(space, net)
    check_hessian(space, net)


def check_facts(space: Space) -> None:
    """The facts are whole, and survive a record."""
    facts = space.facts
    assert from_json(facts.json())._asdict() == facts._asdict(), "its facts do not survive a record"
    for group, rows in facts.groups.items():
        assert [len(row) for row in rows] == [space.shapes[group][1]] * space.shapes[group][0], f"rows of group {group}"
        assert all(name in facts.operations for row in rows for name in row), f"group {group} names no operation"
    spec = run_spec({"data": "digits", "method": "darts", "space": "nasbench201", **facts.defaults})
    assert spec.epochs == facts.defaults.get("epochs", spec.epochs)


def check_architectures(space: Space) -> None:
    """Deciding, listing and neighbours agree with each other."""
    uniform = tuple(torch.full(shape, 1 / shape[1], dtype=torch.float64) for shape in space.shapes)
    first = one_hot(uniform)
    if len(space.shapes) == len(space.facts.groups):  # no row of kept inputs, of which several may be equal
        assert space.discretize(uniform) == space.discretize(first), "a tie does not go to the first choice"
    assert space.count() > 0
    if space.unlisted:
        generator = torch.Generator().manual_seed(0)
        chosen = [space.sample(generator) for _ in range(SAMPLE)]
        check_refusal(space)
    else:
        assert list(space.archs()) == sorted(space.archs()), "its architectures are not sorted"
        assert all(count > 0 for _, count in space.listed.values()), "an architecture stands for no configuration"
        chosen = list(space.archs())[:: max(1, space.count() // SAMPLE)]
    for arch in chosen:
        assert re.fullmatch(space.facts.form.pattern, arch), f"{arch} is not of the form that the facts state"
        mixture = space.mixture(arch)
        assert [tuple(group.shape) for group in mixture] == list(space.shapes), f"the configuration of {arch}"
        decided = space.discretize(mixture)
        assert decided == arch, f"the configuration of {arch} discretises to {decided}"
        hard = space.discretize(space.hardened(mixture))
        assert hard == arch, f"with as many choices kept as the space says, {arch} is {hard}"
        around = space.neighbours(mixture)
        assert arch not in around, f"{arch} is its own neighbour"
        assert list(around) == sorted(set(around)), f"the neighbours of {arch} are not sorted, or not distinct"
        if space.distance:
            apart = {space.distance(arch, one) for one in (*around[:5], *around[-5:])}
            assert (space.distance(arch, arch), apart) == (0, {1}), f"neighbours of {arch} are {apart} decisions away"
        if space.unlisted:
            assert all(arch in space.neighbours(space.mixture(one)) for one in around[:5]), f"{arch} is a neighbour's"
        else:
            assert set(around) <= space.listed.keys(), f"a neighbour of {arch} is not among the architectures"


def check_refusal(space: Space) -> None:
    """A space that is too large to list says so."""
    said = ""
    try:
        space.archs()
    except BadInput as error:
        said = str(error)
    assert f"{space.count():,}" in said, f"asked for all of its architectures, {space.name} does not say how many"


def images_and_labels() -> tuple[Tensor, Tensor]:
    """A batch in float64."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, CHANNELS, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (5,), generator=generator)


def random_mixture(space: Space) -> Mixture:
    """Rows on the simplex in float64."""
    generator = torch.Generator().manual_seed(2)
    return softmax(tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in space.shapes))


def check_supernet(space: Space, net: Supernet) -> None:
    """Passes count once, evaluating moves nothing, and the mixture's gradient is that of differences."""
    images, labels = images_and_labels()
    mixture = tuple(group.requires_grad_() for group in random_mixture(space))
    net.train()
    logits = net(images, mixture)
    assert logits.shape == (len(images), CLASSES), f"logits of shape {tuple(logits.shape)}"
    counts = {name: int(value) for name, value in net.named_buffers() if name.endswith("num_batches_tracked")}
    assert set(counts.values()) <= {1}, f"a pass in training mode is not counted once: {counts}"
    gradient = torch.autograd.grad(F.cross_entropy(logits, labels), mixture, allow_unused=True)
    assert all(slope is not None for slope in gradient), "the logits do not depend on a group of the mixture"
    kept = copy.deepcopy(net.state_dict())
    net.eval()
    with torch.no_grad():
        shared = net(images, mixture)
        apart = net(images, tuple(group.expand(net.cells, -1, -1) for group in mixture))
    assert equal(kept.values(), net.state_dict().values()), "a pass in evaluation mode moves a buffer"
    assert torch.allclose(shared, apart, atol=1e-10), "a mixture for each cell, all alike, is not the mixture of all"
    loss = F.cross_entropy(net(images, mixture), labels)
    slopes = torch.autograd.grad(loss, mixture)
    way = tuple(torch.randn_like(group) for group in mixture)
    step = 1e-6
    with torch.no_grad():
        ends = [
            F.cross_entropy(net(images, tuple(g + sign * step * d for g, d in zip(mixture, way, strict=True))), labels)
            for sign in (1, -1)
        ]
    along = sum(float((slope * one).sum()) for slope, one in zip(slopes, way, strict=True))
    found = float(ends[0] - ends[1]) / (2 * step)
    assert math.isclose(along, found, rel_tol=1e-4, abs_tol=1e-6), f"the slope is {along}, by differences {found}"


def check_hessian(space: Space, net: Supernet) -> None:
    """The exact Hessian of the validation loss is that of differences of gradients, column by column."""
    images, labels = images_and_labels()
    probe = copy.deepcopy(net).eval()  # PyTorch's second derivative; statistics of the batch have their own tests
    for weight in probe.parameters():
        weight.requires_grad_(False)
    alpha = tuple(group.detach().log() for group in random_mixture(space))

    def loss(mixture: Mixture) -> Tensor:
        return F.cross_entropy(probe(images, mixture), labels)

    found, point = hessian(loss, alpha), flat(alpha).requires_grad_()

    def slope(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(loss(softmax(unflat(at, alpha))), at)[0]

    step = 1e-7  # few ReLUs open or close within it, at each of which the slope jumps
    places = list(range(0, len(point), 1 + len(point) // SAMPLE))
    every = torch.eye(len(point), dtype=point.dtype)[places]
    columns = torch.stack([(slope(point + step * one) - slope(point - step * one)) / (2 * step) for one in every])
    worst = float((found[places] - columns).abs().max() / found.abs().max().clamp(min=1e-12))
    assert worst < 1e-4, f"the exact Hessian is not that of differences of gradients: {worst:.1e} of the largest entry"
