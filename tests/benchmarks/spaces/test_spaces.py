"""Contracts of every space in the catalog, and what is particular to each."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import cells_1shot1, module_hash
from nas_stability.benchmarks.spaces.space import Cell, SupernetShape, leading, one_hot, softmax
from nas_stability.harness.measuring.measure import entropy
from tests import oracles
from tests.slow import slow_but
from tests.small import LISTED, SHARED, random_alpha, random_batches, random_net

DECODE = Path(__file__).parents[2] / "traces" / "decode.json"


def unlike(alpha: Tensor, cells: int) -> Tensor:
    """Logits of each cell (cells, rows, choices), no two alike."""
    generator = torch.Generator().manual_seed(8)
    return alpha.detach() + torch.randn((cells, *alpha.shape), generator=generator, dtype=alpha.dtype)


def decode_cases(space: str) -> list[dict[str, object]]:
    """Recorded cases: all where the reference is at hand, the first 100 of each space otherwise."""
    whole = SHARED / "reference" / "decode.json"
    cases: list[dict[str, object]] = json.loads((whole if whole.exists() else DECODE).read_text())[space]
    return cases


@pytest.mark.parametrize("space", LISTED)
class TestContract:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_supernet_equals_its_literal_oracle(self, space: str, training: bool, depth: int) -> None:
        net = random_net(space, depth=depth)
        images = random_batches().train.images
        mixture = softmax(random_alpha(space))
        tensors = {name: view.clone() for name, view in SPACES[space].published(net).items()}
        momentum = 0.1 if space == "nasbench201" else 0.997
        expected = oracles.logits(space, tensors, images, mixture, depth, training, momentum)
        found = net.train(training)(images, mixture)
        assert found.shape == (5, 4)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
        for name, view in SPACES[space].published(net).items():
            torch.testing.assert_close(view, tensors[name], rtol=0, atol=1e-11, msg=name)

    def test_gradient_with_respect_to_the_mixture_is_right_also_at_zero_weight(self, space: str) -> None:
        net = random_net(space, depth=1).eval()
        images = random_batches().train.images
        mixture = tuple(rows.detach().requires_grad_() for rows in one_hot(softmax(random_alpha(space))))
        twin = tuple(rows.detach().clone().requires_grad_() for rows in mixture)
        tensors = SPACES[space].published(net)
        found = torch.autograd.grad(net(images, mixture).square().sum(), mixture)
        expected = torch.autograd.grad(oracles.logits(space, tensors, images, twin, 1, False, 0.1).square().sum(), twin)
        for left, right in zip(found, expected, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("training", [True, False])
    def test_every_cell_may_have_a_mixture_of_its_own(self, space: str, training: bool) -> None:
        net = random_net(space, depth=3).train(training)
        images = random_batches().train.images
        assert net.cells == {"nasbench201": 9}.get(space, 3)
        # The second group, where there is one, is shared by all cells.
        mixture = tuple(
            softmax((alpha.detach() if place == 1 else unlike(alpha, net.cells),))[0].detach().requires_grad_()
            for place, alpha in enumerate(random_alpha(space))
        )
        tensors = {name: view.clone() for name, view in SPACES[space].published(net).items()}
        momentum = 0.1 if space == "nasbench201" else 0.997
        expected = oracles.logits(space, tensors, images, mixture, 3, training, momentum)
        found = net(images, mixture)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        for left, right in zip(
            torch.autograd.grad(found.square().sum(), mixture),
            torch.autograd.grad(expected.square().sum(), mixture),
            strict=True,
        ):
            torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-10 * float(right.abs().max()))

    def test_the_same_mixture_for_each_cell_is_the_shared_one(self, space: str) -> None:
        net, images = random_net(space, depth=3), random_batches().train.images
        mixture = softmax(random_alpha(space))
        each = tuple(group.expand(net.cells, -1, -1) for group in mixture)
        assert torch.equal(net(images, mixture), net(images, each))

    def test_another_number_of_cells_is_refused(self, space: str) -> None:
        net, images = random_net(space, depth=3), random_batches().train.images
        each = tuple(group.expand(net.cells + 1, -1, -1) for group in softmax(random_alpha(space)))
        with pytest.raises(BadInput, match=rf"group 0 of the mixture has the shape .* for the {net.cells} cells"):
            net(images, each)

    def test_published_names_cover_every_weight_and_buffer_once(self, space: str) -> None:
        net = random_net(space, depth=2)
        views = SPACES[space].published(net)
        counted = {name: view.numel() for name, view in views.items() if view.ndim}
        assert sum(counted.values()) == sum(value.numel() for value in net.state_dict().values() if value.ndim)
        for view in views.values():
            view.zero_()
        assert not any(value.any() for value in net.state_dict().values())

    def test_discretize_agrees_with_the_recorded_cases(self, space: str) -> None:
        for case in decode_cases(space):
            mixture = softmax(tuple(torch.tensor(group, dtype=torch.float64) for group in case["alphas"]))  # type: ignore[attr-defined]
            assert SPACES[space].discretize(mixture) == case.get("arch_str", case.get("module_hash"))

    def test_ties_go_to_the_first_choice(self, space: str) -> None:
        flat = tuple(torch.full(shape, 1 / shape[1], dtype=torch.float64) for shape in SPACES[space].shapes)
        first = tuple(rows - 1e-9 * torch.arange(rows.shape[1]) for rows in flat)
        assert SPACES[space].discretize(flat) == SPACES[space].discretize(first)

    def test_full_size_supernet_has_the_measured_number_of_parameters(self, space: str) -> None:
        millions = {
            "nasbench201": 1.686,
            "nasbench1shot1-s1": 1.101,
            "nasbench1shot1-s2": 1.101,
            "nasbench1shot1-s3": 1.510,
        }
        depth = 5 if space == "nasbench201" else 9
        net = SPACES[space].supernet(SupernetShape(16, depth, 10, 3, 0.1))
        assert round(sum(weight.numel() for weight in net.parameters()) / 1e6, 3) == millions[space]


ENUMERATED = pytest.mark.parametrize("space", slow_but(LISTED, "nasbench201", "nasbench1shot1-s1"))
"""Every architecture of the space is listed, which takes a minute for the largest."""


@ENUMERATED
def test_a_one_hot_mixture_discretizes_like_its_origin_where_one_choice_is_kept(space: str) -> None:
    mixture = softmax(random_alpha(space))
    assert SPACES[space].discretize(mixture) in SPACES[space].archs()


@ENUMERATED
def test_archs_are_distinct_and_sorted(space: str) -> None:
    archs = SPACES[space].archs()
    assert list(archs) == sorted(set(archs))
    counts = {
        "nasbench201": 15_625,
        "nasbench1shot1-s1": 2_685,
        "nasbench1shot1-s2": 7_773,
        "nasbench1shot1-s3": 55_854,
    }
    assert len(archs) == counts[space]


@ENUMERATED
def test_raw_configurations_are_all_counted(space: str) -> None:
    raw = {
        "nasbench201": 15_625,
        "nasbench1shot1-s1": 14_580,
        "nasbench1shot1-s2": 29_160,
        "nasbench1shot1-s3": 1_312_200,
    }
    assert sum(count for _, count in SPACES[space].listed.values()) == raw[space]


@pytest.mark.slow
def test_s1_enumerated_configuration_by_configuration() -> None:
    space = cells_1shot1.Wiring((1, 2, 2, 2), 2)
    found: dict[str, int] = {}
    pairs = [((0,),), ((0, 1),), itertools.combinations(range(3), 2), itertools.combinations(range(4), 2)]
    for parents in itertools.product(*pairs, itertools.combinations(range(5), 2)):
        for operations in itertools.product(range(3), repeat=4):
            cell = module_hash.prune(cells_1shot1.graph(space, operations, parents))
            arch = module_hash.module_hash(cell)
            found[arch] = found.get(arch, 0) + 1
    cells = SPACES["nasbench1shot1-s1"].listed
    assert found == {arch: count for arch, (_, count) in cells.items()}


def test_module_hashes_of_the_two_known_cells() -> None:
    conv3, conv1, pool = module_hash.LABELS
    inception = Cell(
        (
            (0, 1, 1, 1, 0, 1, 0),
            (0, 0, 0, 0, 0, 0, 1),
            (0, 0, 0, 0, 0, 0, 1),
            (0, 0, 0, 0, 1, 0, 0),
            (0, 0, 0, 0, 0, 0, 1),
            (0, 0, 0, 0, 0, 0, 1),
            (0, 0, 0, 0, 0, 0, 0),
        ),
        ("input", conv1, conv3, conv3, conv3, pool, "output"),
    )
    first = Cell(
        (
            (0, 1, 0, 0, 1, 1, 0),
            (0, 0, 1, 0, 0, 0, 0),
            (0, 0, 0, 1, 0, 0, 1),
            (0, 0, 0, 0, 0, 1, 0),
            (0, 0, 0, 0, 0, 1, 0),
            (0, 0, 0, 0, 0, 0, 1),
            (0, 0, 0, 0, 0, 0, 0),
        ),
        ("input", conv3, pool, conv3, conv3, conv1, "output"),
    )
    assert module_hash.module_hash(module_hash.prune(inception)) == "28cfc7874f6d200472e1a9dcd8650aa0"
    assert module_hash.module_hash(module_hash.prune(first)) == "00005c142e6f48ac74fdcf73e3439874"


def test_a_cell_whose_output_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be reached"):
        module_hash.prune(Cell(((0, 1, 0), (0, 0, 0), (0, 0, 0)), ("input", module_hash.CONV1X1, "output")))


def test_leading_takes_the_largest_and_of_equals_the_first() -> None:
    assert leading([0.1, 0.4, 0.1, 0.4], 1) == [1]
    assert leading([0.1, 0.4, 0.1, 0.4], 3) == [0, 1, 3]


def test_entropy_is_one_for_uniform_and_zero_for_decided_rows() -> None:
    uniform = torch.full((2, 5), 0.2)
    decided = torch.eye(3)
    assert entropy((uniform,)) == pytest.approx(1)
    assert entropy((decided,)) == 0
    assert entropy((torch.tensor([[0.5, 0.5, 0.0, 0.0]]), torch.eye(2))) == pytest.approx(0.5 / 3)
