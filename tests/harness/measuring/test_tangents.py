"""Rules of harness/measuring/tangents.py against PyTorch's second derivatives of the same functions, in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm
from nas_stability.benchmarks.spaces.layers.channels_last import blend, channels_last
from nas_stability.benchmarks.spaces.layers.lean_operations import Plain, chosen, halved, scaled
from nas_stability.harness.measuring import straight_rules
from nas_stability.harness.measuring.curved_rules import CURVED
from nas_stability.harness.measuring.straight_rules import STRAIGHT
from nas_stability.harness.measuring.tangents import Bends, Tangents
from tests import oracles

BATCH, WIDTH, SIDE = 3, 2, 5
FEATURES = (BATCH, WIDTH, SIDE, SIDE)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features(seed: int, width: int = WIDTH) -> Tensor:
    return channels_last(normal(BATCH, width, SIDE, SIDE, seed=seed))


def norm(training: bool, affine: bool) -> BatchNorm:
    made = BatchNorm(WIDTH, affine=affine).double().train(training).requires_grad_(False)
    made.running_mean, made.running_var = normal(WIDTH, seed=20), normal(WIDTH, seed=21).square() + 0.5
    if affine:
        made.weight.copy_(normal(WIDTH, seed=22))
        made.bias.copy_(normal(WIDTH, seed=23))
    return made


# Made here: what makes them would be found among what may bend.
NORM, PLAIN_NORM, RUNNING, PLAIN_RUNNING = (
    norm(training, affine) for training in (True, False) for affine in (True, False)
)


def rows(weights: Tensor, images: int = BATCH) -> Tensor:
    """The same weights for each image."""
    return weights.expand(images, *weights.shape)


def weight(*shape: int) -> Tensor:
    return normal(*shape, seed=30).contiguous(memory_format=torch.channels_last)


def sums(found: Sequence[Tensor]) -> Tensor:
    return torch.stack(tuple(found))


# What moves is a vector; each case makes tensors of all of it, by products with fixed matrices, and one call of theirs.
Maker = Callable[..., Tensor]
CASES: dict[str, Callable[[Maker], Tensor]] = {
    "conv2d": lambda of: F.conv2d(of(*FEATURES), weight(3, WIDTH, 3, 3), None, (2, 2), (1, 1)),
    "conv2d with a bias": lambda of: F.conv2d(of(*FEATURES), weight(3, WIDTH, 1, 1), normal(3, seed=4)),
    "linear": lambda of: F.linear(of(4, 3), normal(2, 3, seed=5), normal(2, seed=6)),
    "avg_pool2d": lambda of: F.avg_pool2d(of(*FEATURES), 3, stride=1, padding=1, count_include_pad=False),
    "relu": lambda of: F.relu(of(*FEATURES)),
    "halved": lambda of: halved(channels_last(of(*FEATURES))),
    "norm": lambda of: PLAIN_NORM(of(*FEATURES)),
    "norm, affine": lambda of: NORM(of(*FEATURES)),
    "norm, scale moves": lambda of: PLAIN_NORM(of(*FEATURES), of(WIDTH)),
    "norm, scale alone moves": lambda of: PLAIN_NORM(features(7), of(WIDTH)),
    "norm, all move": lambda of: F.batch_norm(
        of(*FEATURES), None, None, weight=of(WIDTH), bias=of(WIDTH, 1)[:, 0], training=True, momentum=0.1, eps=1e-5
    ),
    "norm, running": lambda of: RUNNING(of(*FEATURES)),
    "norm, running, scale moves": lambda of: PLAIN_RUNNING(of(*FEATURES), of(WIDTH)),
    "scaled": lambda of: scaled(of(*FEATURES), NORM, of(WIDTH).square()),
    "scaled, weights alone move": lambda of: scaled(features(8), NORM, of(WIDTH).square()),
    "scaled, a weight of 0": lambda of: scaled(
        of(*FEATURES), NORM, of(WIDTH) * torch.tensor([0.0, 1.0], dtype=torch.float64)
    ),
    "scaled, running": lambda of: scaled(of(*FEATURES), RUNNING, of(WIDTH).square()),
    "chosen": lambda of: sums(
        chosen(of(*FEATURES), of(*FEATURES, 2)[..., 0], of(*FEATURES, 3)[..., 1], rows(of(4, 3)), True)
    ),
    "chosen, weights alone move": lambda of: sums(chosen(features(1), features(2), features(3), rows(of(1, 3)), True)),
    "chosen, weights stand still": lambda of: sums(
        chosen(of(*FEATURES), of(*FEATURES, 2)[..., 0], of(*FEATURES, 3)[..., 1], rows(normal(4, 3)), True)
    ),
    "blend": lambda of: sums(blend(rows(of(3, 2)), [of(*FEATURES), of(*FEATURES, 2)[..., 0]])),
    "blend, one stands still": lambda of: sums(blend(rows(of(3, 2)), [of(*FEATURES), features(4)])),
    "blend, weights alone move": lambda of: sums(blend(rows(of(3, 2)), [features(4), features(5)])),
    "anything": lambda of: torch.softmax(of(4, 3), 1) * of(4, 3).prod() + of(4, 3).pow(3),
    "anything, several": lambda of: sums(torch.var_mean(of(*FEATURES), (0, 2))),
    "cross entropy": lambda of: F.cross_entropy(of(4, 3), torch.tensor([0, 2, 1, 1])),
    "a mean of the sums of parts": lambda of: torch.stack(
        [part.mean((2, 3)).contiguous().add(1.0) for part in of(*FEATURES).split([1, 1], 1)]
    ).sum(0),
    "a moving sum in place": lambda of: torch.cat([of(*FEATURES), features(9)], 1).add_(of(BATCH, 4, SIDE, SIDE)),
    "shapes": lambda of: torch.add(
        of(2, 3).unsqueeze(0).expand(4, -1, -1).permute(1, 0, 2).reshape(2, 12).view(24), 1.0
    )[3:].repeat_interleave(2),
    "rows": lambda of: sums(of(2, 3).unbind(1)),
    "constants of its shape": lambda of: of(2, 3) * torch.ones_like(of(2, 3)) * of(2, 3).shape[0],
}

POINT = 0.3 * normal(4, seed=40)


def maker(point: Tensor) -> Maker:
    """Shape -> a tensor of that shape, (of the point) through a matrix of its own."""

    def of(*shape: int) -> Tensor:
        size = torch.Size(shape).numel()
        found = (normal(size, len(point), seed=size) @ point + normal(size, seed=size + 1)).view(shape)
        return channels_last(found) if shape == FEATURES else found

    return of


def loss_of(case: str, point: Tensor) -> Tensor:
    found = CASES[case](maker(point))
    return (torch.sin(found) * normal(*(found.shape or (1,)), seed=50)).sum()


@pytest.fixture(autouse=True)
def _the_maker_is_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrices of ``maker`` would be found among what may bend; they need no rule of the package."""
    monkeypatch.setitem(STRAIGHT, Tensor.__matmul__, matrix)  # type: ignore[arg-type]
    monkeypatch.setitem(STRAIGHT, Tensor.matmul, matrix)  # type: ignore[arg-type]


def matrix(call: straight_rules.Call) -> tuple[Tensor, Tensor]:
    left, right = call.args
    return call.value(), call.moving[right] @ left.T


def form_of(case: str) -> Tensor:
    point = POINT.clone().requires_grad_()
    with Bends() as bends:
        value = loss_of(case, point)
    slopes = bends.slopes(value)
    still = POINT.clone()
    with torch.no_grad(), Tangents((still,), (torch.eye(len(still), dtype=still.dtype),), slopes) as found:
        loss_of(case, still)
    assert not slopes  # every call of the first pass was met in the second
    return found.form


@pytest.mark.parametrize("case", CASES)
def test_every_rule_equals_row_by_row_differentiation(case: str) -> None:
    with Plain():
        expected = oracles.hessian(lambda point: loss_of(case, point), POINT)
    assert float(expected.abs().max()) > 0.01
    torch.testing.assert_close(form_of(case), expected, rtol=1e-10, atol=1e-11)


def test_every_rule_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case for each: none is listed that nothing above would miss."""
    listed, used = {*STRAIGHT, *CURVED} - {Tensor.__matmul__, Tensor.matmul}, set()

    def watched(call: straight_rules.Call, *rest: Any) -> Any:
        used.add(call.func)
        return rules[call.func](call, *rest)

    rules: dict[Any, Any] = {**STRAIGHT, **CURVED}
    for table in (STRAIGHT, CURVED):
        for function in tuple(table):
            monkeypatch.setitem(table, function, watched)  # type: ignore[arg-type]
    for case in CASES:
        form_of(case)
    assert {str(function) for function in listed - used} == set()


def test_a_weight_that_moves_in_a_convolution_is_refused() -> None:
    still = normal(2)
    directions = (torch.eye(2, dtype=torch.float64),)
    with Tangents((still,), directions, []), pytest.raises(TypeError, match="nothing else of it may move"):
        F.conv2d(features(1), still.view(1, 2, 1, 1))


def test_nothing_moves_outside() -> None:
    still = normal(2)
    with contextlib.suppress(ZeroDivisionError), Tangents((still,), (torch.eye(2, dtype=torch.float64),), []):
        raise ZeroDivisionError
    torch.testing.assert_close(F.relu(still), still.clamp(min=0), rtol=0, atol=0)
