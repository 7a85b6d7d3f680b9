"""A spec against its images: what is refused would fail or mean nothing, and what is accepted runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from nas_stability.benchmarks.catalog import SPACES, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Raw, batch_sizes, halves, index_batches, steps_per_epoch
from nas_stability.benchmarks.spaces.space import SupernetShape, softmax
from nas_stability.harness.measuring.curvature import validation_hessian
from nas_stability.harness.measuring.measure import probe
from nas_stability.harness.methods.architects import Batch
from nas_stability.harness.rng import stream
from nas_stability.harness.search import advance
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.fit import refuse_unfit
from nas_stability.harness.specs.spec import RunSpec, Value
from nas_stability.harness.state import start
from tests import oracles
from tests.slow import slow_but
from tests.small import CPU, LISTED, random_alpha, random_net, small_spec


def raw_of(side: int, count: int = 12, *, breadth: int | None = None, classes: int = 3, own: int = 0) -> Raw:
    """Random images of one channel, of which ``own`` more are for validation."""
    generator = torch.Generator().manual_seed(side)

    def images(number: int) -> torch.Tensor:
        return torch.randint(0, 256, (number, 1, side, breadth or side), generator=generator, dtype=torch.uint8)

    valid = (images(own), torch.arange(own) % classes) if own else (None, None)
    return Raw(images(count), torch.arange(count) % classes, None, None, *valid)


def fitting(**values: Value) -> RunSpec:
    """A spec that fits 12 images of 8 x 8."""
    base: dict[str, Value] = {"images": 0, "batch_size": 3, "hessian_batch_size": 4, "crop_padding": 0, "flip": False}
    return small_spec(**{**base, **values})


Fields = Mapping[str, Value]

UNFIT: dict[str, tuple[Fields, Raw, str]] = {
    "B9: crop_padding 100": (
        {"crop_padding": 100},
        raw_of(8),
        r"'crop_padding' must lie in \[0, 7\] for images of 8 x 8 pixels, not 100",
    ),
    "B9: crop_padding of the side": ({"crop_padding": 8}, raw_of(8), r"\[0, 7\]"),
    "B9: crop_padding of the smaller side": (
        {"crop_padding": 5},
        raw_of(9, breadth=5),
        r"\[0, 4\] for images of 9 x 5",
    ),
    "B9: cutout 100": (
        {"cutout": 100},
        raw_of(8),
        r"'cutout' must lie in \[0, 8\] for images of 8 x 8 .* not 100",
    ),
    "B9: cutout past the smaller side": ({"cutout": 6}, raw_of(9, breadth=5), r"\[0, 5\]"),
    "B9: cutout of the only pixel": ({"cutout": 1}, raw_of(1), r"\[0, 0\] for images of 1 x 1"),
    "B9: batch_size": (
        {"batch_size": 7},
        raw_of(8),
        r"'batch_size' must lie in \[2, 6\], not 7: there are 6 images for training and 6 for validation",
    ),
    "B9: batch_size, odd number of images": (
        {"batch_size": 7},
        raw_of(8, 13),
        r"\[2, 6\].* 6 images .* and 7 for",
    ),
    "B9: batch_size of the images taken": ({"batch_size": 5, "images": 8}, raw_of(8), r"\[2, 4\]"),
    "B9: batch_size past x_val": ({"batch_size": 6}, raw_of(8, own=5), r"\[2, 5\].* 12 images .* and 5 for validation"),
    "B9: hessian_batch_size": (
        {"hessian_batch_size": 7},
        raw_of(8),
        r"'hessian_batch_size' must lie in \[1, 6\], not 7: there are 6 images for validation",
    ),
    "B9: hessian_batch_size past x_val": ({"hessian_batch_size": 6}, raw_of(8, own=5), r"\[1, 5\], not 6"),
    "B9: images": ({"images": 13}, raw_of(8), "asks for 13 images, the data has 12"),
    "B9: several at once": (
        {"crop_padding": 9, "cutout": 9, "batch_size": 9, "hessian_batch_size": 9},
        raw_of(8),
        "'crop_padding'.*; the field 'cutout'.*; the field 'batch_size'.*; the field 'hessian_batch_size'",
    ),
    "D7: one class": ({}, raw_of(8, classes=1), "the 6 images for training are all of the class 0"),
    "D7: three images": ({}, raw_of(8, 3), "1 images for training and 2 for validation; each takes at least 2"),
    "D7: 4x4 pixels, a last batch of one image": (
        {"batch_size": 5},
        raw_of(4),
        "batch of 6 images for training by 5 is one image: images of 4 x 4 pixels are one pixel in the deepest",
    ),
    "D7: 1x1 pixels in 1Shot1": ({"batch_size": 5, "space": "nasbench1shot1-s2"}, raw_of(1), "'drop_last' true"),
    "D7: a last batch of one image of x_val": (
        {"batch_size": 3, "valid_batches": "pass"},
        raw_of(4, own=4),
        "the last batch of 4 images for validation by 3 is one image",
    ),
    "D7: a probe of one image": ({"hessian_batch_size": 1}, raw_of(4), "'hessian_batch_size' must be at least 2"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_field_that_does_not_fit_the_images(case: str) -> None:
    values, raw, message = UNFIT[case]
    spec = fitting(**values)
    with pytest.raises(BadInput, match=message) as caught:
        refuse_unfit(spec, raw, SPACES[spec.space])
    assert "\n" not in str(caught.value)


FIT: dict[str, tuple[Fields, Raw]] = {
    "the largest of all": ({"crop_padding": 7, "cutout": 8, "batch_size": 6, "hessian_batch_size": 6}, raw_of(8)),
    "all images": ({"images": 12}, raw_of(8)),
    "few images and the default probe": ({"hessian_batch_size": 256}, raw_of(8)),
    "a ragged batch of one image of 5 x 5": ({"batch_size": 5}, raw_of(5)),
    "a ragged batch of one image of 4 x 5": ({"batch_size": 5}, raw_of(4, breadth=5)),
    "a ragged batch of one image that is dropped": ({"batch_size": 5, "drop_last": True}, raw_of(4)),
    "a ragged batch of one image that is not reached": (
        {"batch_size": 3, "valid_batches": "pass"},
        raw_of(4, 13),
    ),
    "running statistics of one image": ({"hessian_batch_size": 1, "hessian_batch_norm": "running"}, raw_of(4)),
}


@pytest.mark.parametrize("case", slow_but(FIT, "the largest of all", "a ragged batch of one image that is dropped"))
def test_what_fits_is_carried_out(case: str) -> None:
    values, raw = FIT[case]
    spec = fitting(**values)
    refuse_unfit(spec, raw, SPACES[spec.space])
    epoch(spec, raw)


def epoch(spec: RunSpec, raw: Raw) -> None:
    """One epoch of the search and a Hessian of its supernet; raises where a number is not finite."""
    data = halves(raw, spec.images, CPU)
    search = start(spec, data.classes, data.in_channels, CPU)
    outcome = advance(search, data)
    assert outcome is not None
    assert all(bool(value.isfinite().all()) for value in search.net.state_dict().values())
    batches = [probe(search, data, torch.float32)] if spec.hessian_batch == "probe" else [outcome.last_valid]
    for batch in batches:
        matrix = validation_hessian(
            search.net, search.alpha, batch, statistics=spec.hessian_batch_norm, dtype=torch.float32, weight_decay=0.0
        )
        assert bool(matrix.isfinite().all())


GRID = list(itertools.product(["nasbench201", "nasbench1shot1-s1"], [1, 2, 4, 5], [3, 5], ["fresh", "pass"]))
QUICK = [case for case in GRID if case[2:] == (5, "fresh")]


@pytest.mark.parametrize(
    ("space", "side", "batch_size", "valid_batches"),
    slow_but(GRID, *QUICK),
)
def test_what_is_refused_fails_and_what_is_accepted_runs(
    space: str, side: int, batch_size: int, valid_batches: str
) -> None:
    spec = fitting(space=space, batch_size=batch_size, valid_batches=valid_batches, depth=1, hessian_batch_size=2)
    for raw in (raw_of(side), raw_of(side, 6, own=11)):
        try:
            refuse_unfit(spec, raw, SPACES[space])
        except BadInput:
            with pytest.raises((ValueError, AssertionError, FloatingPointError)):
                epoch(spec, raw)
        else:
            epoch(spec, raw)


SIDES = (*range(1, 11), 15, 30, 45, 50)


@pytest.mark.parametrize("depth", slow_but([1, 3], 3))
@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench1shot1-s1"))
def test_images_of_every_side_pass_and_become_as_small_as_the_space_says_h6(space: str, depth: int) -> None:
    torch.manual_seed(0)
    net = SPACES[space].supernet(SupernetShape(1, depth, 3, 1, 0.1))
    alpha = tuple(logits.float().detach().requires_grad_() for logits in random_alpha(space))
    deepest: list[tuple[int, ...]] = []
    net.head.register_forward_pre_hook(lambda module, args: deepest.append(tuple(args[0].shape[2:])))
    for height, breadth in [*((side, side) for side in SIDES), (1, 9), (6, 3), (30, 31)]:
        logits = net(torch.randn(2, 1, height, breadth), softmax(alpha))
        F.cross_entropy(logits, torch.tensor([0, 2])).backward()
        assert deepest.pop() == tuple(SPACES[space].deepest_side(side, depth) for side in (height, breadth))
        assert all(bool(logits.grad.isfinite().all()) for logits in alpha if logits.grad is not None)


@pytest.mark.parametrize("side", [1, 2, 5, 6, 7, 10])
@pytest.mark.parametrize("space", ["nasbench201", "nasbench1shot1-s3"])
def test_a_supernet_on_odd_sides_equals_its_literal_oracle_h6(space: str, side: int) -> None:
    net = random_net(space, depth=2, channels=1).train()
    images = torch.randn(4, 1, side, side + 1, generator=stream(0, "images"), dtype=torch.float64)
    alpha = random_alpha(space)
    tensors = {name: view.clone() for name, view in SPACES[space].published(net).items()}
    momentum = 0.1 if space == "nasbench201" else 0.997
    expected = oracles.logits(space, tensors, images, softmax(alpha), 2, True, momentum)
    torch.testing.assert_close(net(images, softmax(alpha)), expected, rtol=0, atol=1e-11)


@pytest.mark.slow
def test_a_hessian_on_odd_sides_equals_that_of_the_oracle() -> None:
    net = random_net("nasbench201", channels=1).train()
    images = torch.randn(4, 1, 7, 5, generator=stream(0, "images"), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3])
    alpha = random_alpha("nasbench201")
    tensors = {name: view.clone() for name, view in SPACES["nasbench201"].published(net).items()}

    def loss(point: torch.Tensor) -> torch.Tensor:
        mixture = softmax((point.view(6, 5),))
        return F.cross_entropy(oracles.logits("nasbench201", tensors, images, mixture, 1, True, 0.1), labels)

    expected = oracles.hessian(loss, alpha[0].detach().reshape(-1))
    found = validation_hessian(
        net, alpha, Batch(images, labels), statistics="batch", dtype=torch.float64, weight_decay=0.0
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_batch_sizes_are_those_of_the_batches() -> None:
    for count, size, fresh, drop_last in itertools.product(
        (2, 3, 6, 7, 12), (2, 3, 6, 12), (False, True), (False, True)
    ):
        for steps in (1, steps_per_epoch(count, size, drop_last), 9):
            drawn = index_batches(count, size, stream(0, "batches"), fresh, drop_last, steps)
            assert batch_sizes(count, size, fresh, drop_last, steps) == [len(batch) for batch in drawn]


CIFAR10 = Raw(torch.zeros(50000, 3, 32, 32, dtype=torch.uint8), torch.arange(50000) % 10)


@pytest.mark.parametrize("name", study_file.shipped())
def test_shipped_studies_fit_their_images(name: str) -> None:
    raw = {"digits": load_data("digits", Path()), "cifar10": CIFAR10, "cifar100": CIFAR10, "svhn": CIFAR10}
    for spec in study_file.read(study_file.shipped()[name]).runs:
        refuse_unfit(spec, raw[spec.data], SPACES[spec.space])


@pytest.mark.parametrize("space", SPACES)
def test_published_settings_fit_images_of_the_named_sizes(space: str) -> None:
    sizes = {"cifar10": 32, "cifar100": 32, "svhn": 32, "fashion-mnist": 28, "digits": 8}
    for data, side in sizes.items():
        spec = run_spec({"space": space, "method": "darts", "data": data})
        raw = Raw(torch.zeros(1437, 1, side, side, dtype=torch.uint8), torch.arange(1437) % 10)
        refuse_unfit(spec, raw, SPACES[space])
