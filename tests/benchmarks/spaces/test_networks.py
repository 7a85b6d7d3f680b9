"""Networks that are trained from scratch: literal oracles, published sizes, and what the supernets compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nasbench_pytorch.model import Network
from torch import nn

from nas_stability.benchmarks.catalog import SPACES, find_space
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.space import SupernetShape
from tests import oracles_networks

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
"""The cell that DARTS published as its second-order result (Liu et al., ICLR 2019, figures 4 and 5)."""

CELLS = ("darts-s1", "darts-s2", "darts-s3", "darts")


def built(space: str, arch: str, shape: NetworkShape) -> FoundNetwork:
    network = find_space(space).network
    assert network is not None
    return network(arch, shape)


def count(net: FoundNetwork) -> int:
    return sum(weight.numel() for weight in net.trained(auxiliary=False))


def shaken(net: FoundNetwork) -> FoundNetwork:
    """With every weight away from its initial value, in float64."""
    net = net.double()
    for value in net.parameters():
        value.data += 0.1 * torch.randn_like(value)
    return net


def test_sizes_are_the_published_ones() -> None:
    """3.349342 M: what DARTS's own training prints for that cell at 20 cells and 36 channels on CIFAR-10 (3.3 M in
    table 1). 1.531546 M: the largest NAS-Bench-201 architecture, all 3x3 convolutions (15,625 archs, CIFAR-10)."""
    assert count(built("darts", DARTS_V2, NetworkShape(36, 20, 10, 3))) == 3_349_342
    largest = "+".join("|" + "".join(f"nor_conv_3x3~{source}|" for source in range(node)) for node in (1, 2, 3))
    assert count(built("nasbench201", largest, NetworkShape(16, 5, 10, 3))) == 1_531_546


def test_the_auxiliary_classifier_is_not_counted() -> None:
    net = built("darts", DARTS_V2, NetworkShape(36, 20, 10, 3, auxiliary=True))
    assert count(net) == 3_349_342
    features = 4 * 4 * 36  # of the first cell that halves a second time
    own = features * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    assert sum(weight.numel() for weight in net.trained()) == 3_349_342 + own


@pytest.mark.parametrize("space", CELLS)
@pytest.mark.parametrize("seed", range(4))
def test_weights_of_any_genotype_are_counted_layer_by_layer(space: str, seed: int) -> None:
    arch = find_space(space).sample(torch.Generator().manual_seed(seed))
    for cells, width in ((3, 4), (6, 2), (8, 16)):
        expected = oracles_networks.darts_parameters(arch, cells, width, 10)
        assert count(built(space, arch, NetworkShape(width, cells, 10, 3))) == expected


@pytest.mark.parametrize("space", CELLS)
@pytest.mark.parametrize("drops", [False, True])
def test_a_network_of_darts_cells_equals_its_literal_oracle(space: str, drops: bool) -> None:
    torch.manual_seed(5)
    for seed in range(3):
        arch = find_space(space).sample(torch.Generator().manual_seed(seed))
        net = shaken(built(space, arch, NetworkShape(2, 3, 5, 3, auxiliary=True)))
        images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
        kept = 2.0 * torch.randint(2, (net.paths, 3)).double() if drops else None
        found = net(images, kept)
        expected = oracles_networks.darts_logits(net, arch, 3, images, kept)
        for ours, literal in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, literal, rtol=0, atol=1e-9 * float(literal.detach().abs().max()))


def test_no_identity_is_left_out() -> None:
    skips = "|skip_connect~0|skip_connect~1|+" + "|skip_connect~0|skip_connect~2|+" * 3
    cell = skips.rstrip("+")
    net = built("darts", f"normal:{cell};reduction:{cell}", NetworkShape(4, 3, 10, 3))
    halving = sum(source < 2 for source in (0, 1, 0, 2, 0, 2, 0, 2))
    assert net.paths == 2 * halving, "those that halve the resolution have weights, and are none"


def test_a_second_classifier_that_does_not_fit_is_refused_by_name() -> None:
    net = built("darts", DARTS_V2, NetworkShape(4, 3, 10, 1, auxiliary=True))
    with pytest.raises(BadInput, match=r"maps of 8x8 pixels, as of images of 32x32, not of 2x2; --auxiliary 0"):
        net(torch.rand(2, 1, 8, 8))
    net.eval()
    assert net(torch.rand(2, 1, 8, 8))[1] is None, "it is there in training alone"


def convolutions(net: nn.Module) -> list[Any]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_nasbench201_is_the_supernet_at_its_own_mixture(seed: int) -> None:
    """Of the plain supernet, in training mode; every BatchNorm's weights are 1 and 0 in the beginning."""
    space = SPACES["nasbench201"]
    assert space.plain is not None
    arch = space.sample(torch.Generator().manual_seed(seed))
    supernet = space.plain.supernet(SupernetShape(4, 2, 10, 3, 0.1)).double()
    net = built("nasbench201", arch, NetworkShape(4, 2, 10, 3)).double()
    mixture = space.mixture(arch)
    names = [name.partition("~")[0] for name in arch.replace("+", "").strip("|").split("|") if name]
    places = {"nor_conv_1x1": 0, "nor_conv_3x3": 1}
    blocks: Any = supernet.blocks
    taken = list(convolutions(supernet.stem))
    for block in blocks:
        if hasattr(block, "edges"):
            for name, edge in zip(names, block.edges, strict=True):
                taken += [convolutions(edge)[places[name]]] if name in places else []
        else:
            taken += convolutions(block)
    taken += convolutions(supernet.head)
    for ours, theirs in zip(convolutions(net), taken, strict=True):
        ours.load_state_dict(theirs.state_dict())
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(images)[0], supernet(images, mixture), rtol=1e-12, atol=1e-12)


def test_a_network_of_nasbench101_is_that_of_nasbench_pytorch() -> None:
    space = SPACES["nasbench1shot1-s1"]
    arch = space.sample(torch.Generator().manual_seed(1))
    cell, _ = space.listed[arch]
    torch.manual_seed(2)
    net = built("nasbench1shot1-s1", arch, NetworkShape(4, 2, 10, 3))
    torch.manual_seed(2)
    theirs = Network((cell.matrix, list(cell.operations)), 10, 3, 4, 3, 2)
    images = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(net(images)[0], theirs(images))
    assert {module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    unused = {id(weight) for weight in net.parameters()} - {id(weight) for weight in net.trained()}
    named = {name.rpartition(".")[2] for name, weight in net.named_parameters() if id(weight) in unused}
    assert named == {"a", "dev_param"}


@pytest.mark.parametrize("space", ["nasbench201", "nasbench1shot1-s1", "darts-s1"])
def test_another_text_is_refused_by_name(space: str) -> None:
    with pytest.raises(BadInput, match="elsewhere"):
        built(space, "elsewhere", NetworkShape(4, 3, 10, 3))


def test_noise_is_drawn_anew_where_a_source_is_given_and_the_same_elsewhere() -> None:
    noise = "|noise~0|sep_conv_3x3~1|+" + "|noise~0|sep_conv_3x3~2|+" * 3
    cell = noise.rstrip("+")
    net = built("darts-s4", f"normal:{cell};reduction:{cell}", NetworkShape(4, 3, 10, 1)).eval()
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(net(images)[0], net(images)[0])
    generator = torch.Generator().manual_seed(1)
    with net.drawing(lambda: lambda shape: torch.randn(shape, generator=generator)):
        assert not torch.equal(net(images)[0], net(images)[0])
