"""Rules of harness/measuring/tangents.py against PyTorch's second derivatives of the same functions, in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.layers.batch_norm import BatchNorm
from nas_stability.benchmarks.spaces.layers.channels_last import blend, channels_last, replaceable
from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations, chosen, halved, scaled
from nas_stability.benchmarks.spaces.layers.partial_channels import plus
from nas_stability.harness.measuring import plain_rules, straight_rules
from nas_stability.harness.measuring.curved_rules import CURVED
from nas_stability.harness.measuring.straight_rules import STRAIGHT
from nas_stability.harness.measuring.tangents import Behind, Bends, Tangents, curved, straight
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


MODULE = nn.BatchNorm2d(WIDTH).double()
RUNNING_MODULE = nn.BatchNorm2d(WIDTH).double().eval()
for module in (MODULE, RUNNING_MODULE):
    module.load_state_dict(NORM.state_dict())
    module.requires_grad_(False)


def dilated(one: Tensor) -> Tensor:
    """A depthwise convolution with holes, and a pointwise one."""
    apart = F.conv2d(one, weight=weight(WIDTH, 1, 3, 3), padding=2, dilation=2, groups=WIDTH)
    return F.conv2d(apart, weight(WIDTH, WIDTH, 1, 1), bias=normal(WIDTH))


def reduced(one: Tensor) -> Tensor:
    """Two strided convolutions, one of them a pixel further, beside each other."""
    parts = [F.conv2d(shifted, weight(1, WIDTH, 1, 1), stride=2) for shifted in (one, one[:, :, 1:, 1:])]
    return NORM(torch.cat(parts, 1))


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
    "plus": lambda of: plus(of(*FEATURES), of(1)[0], of(*FEATURES, 2)[..., 0]),
    "plus, the weight alone moves": lambda of: plus(features(4), of(1)[0], features(5)),
    "plus, the weight stands still": lambda of: plus(of(*FEATURES), normal(1)[0], of(*FEATURES, 2)[..., 0]),
    "plus, without a base": lambda of: plus(None, of(1)[0], of(*FEATURES, 2)[..., 0]),
    "plus, the base stands still": lambda of: plus(features(4), of(1)[0], of(*FEATURES)),
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
    "batch_norm of PyTorch's": lambda of: MODULE(of(*FEATURES)),
    "batch_norm, running": lambda of: RUNNING_MODULE(of(*FEATURES)),
    "batch_norm of what are no images": lambda of: F.batch_norm(of(4, 3), None, None, training=True),
    "max_pool2d": lambda of: F.max_pool2d(of(*FEATURES), 3, 1, 1) + torch.max_pool2d(of(*FEATURES, 2)[..., 0], 3, 1, 1),
    "max_pool2d, strided": lambda of: nn.MaxPool2d((2, 3), ceil_mode=True)(of(*FEATURES)),
    "max_pool2d, dilated": lambda of: F.max_pool2d(of(*FEATURES), kernel_size=2, stride=(2, 1), dilation=2),
    "avg_pool2d of PyTorch's": lambda of: nn.AvgPool2d(3, 2, 1, count_include_pad=False)(of(*FEATURES)),
    "adaptive pool": lambda of: nn.AdaptiveAvgPool2d((2, 1))(of(*FEATURES)),
    "interpolate": lambda of: F.interpolate(of(*FEATURES), scale_factor=2, mode="bilinear"),
    "pad": lambda of: F.pad(of(*FEATURES), (0, 1, 2, 0)) + F.pad(of(*FEATURES), (0, 1, 2, 0), value=1.0),
    "pad by a reflection": lambda of: F.pad(of(*FEATURES), (1, 1, 1, 1), mode="reflect"),
    "dropout": lambda of: nn.Dropout(0.3).eval()(of(*FEATURES)) * F.dropout2d(of(*FEATURES), 0.2, training=False),
    "relu, in place": lambda of: F.relu(NORM(of(*FEATURES)), inplace=True),
    "relu, elsewhere": lambda of: torch.relu(of(3, 4)) + of(3, 4).relu(),
    "a weight times features": lambda of: of(4)[1] * of(*FEATURES),
    "a weight times features, in the other order": lambda of: torch.mul(of(*FEATURES), of(2)[1]),
    "a weight times features that stand still": lambda of: of(4)[1] * features(3),
    "still weights times features": lambda of: normal(2, 1, 1, seed=3) * of(*FEATURES),
    "weights per channel and image": lambda of: of(BATCH, 1, 1, 1) * of(*FEATURES) * of(WIDTH, 1, 1),
    "features by features": lambda of: of(*FEATURES) * of(*FEATURES, 2)[..., 0] * of(*FEATURES),
    "features by themselves": lambda of: (lambda one: one * one)(of(*FEATURES)),
    "outer": lambda of: of(4, 1) * of(3),
    "times a number": lambda of: torch.div(of(*FEATURES), 3) * 2.5 / normal(5, seed=2),
    "divided": lambda of: of(4, 3) / of(3).square().add(1.0) + 1 / of(3).square().add(1.0),
    "pointwise": lambda of: sums(
        [
            *(function(of(*FEATURES)) for function in (torch.exp, torch.sigmoid, torch.tanh, F.gelu, F.softplus)),
            *(function(of(*FEATURES)) for function in (F.elu, F.silu, F.hardswish, F.hardtanh, F.relu6, F.leaky_relu)),
            *(function(of(*FEATURES)) for function in (Tensor.exp, Tensor.sigmoid, Tensor.square, Tensor.tanh)),
        ]
    ),
    "powers": lambda of: of(4, 3) ** 3 + of(4, 3).exp().pow(of(3)),
    "silu, in place": lambda of: nn.SiLU(inplace=True)(NORM(of(*FEATURES))),
    "differences": lambda of: (1 - of(4, 3)).sub(of(3)) - torch.sub(-of(4, 3), 2.0, alpha=3),
    "more shapes": lambda of: sums(
        [
            torch.cat([part.transpose(1, 2).squeeze(0) for part in torch.chunk(of(1, 4, 6), 2, 2)]).flatten(),
            torch.flatten(torch.stack(torch.split(of(6, 4), 3))),
            torch.cat(of(4, 6).chunk(2, 1)).view(24).contiguous(),
            (torch.sum(of(24, 3), 1) + torch.mean(of(24, 2), 1)).flatten(),
        ]
    ),
    "separable and dilated": lambda of: dilated(F.relu(of(*FEATURES))),
    "factorized reduce": lambda of: reduced(F.relu(of(BATCH, WIDTH, 4, 4))),
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
    for function in MATRICES:
        monkeypatch.setitem(STRAIGHT, function, matrix)
    monkeypatch.setattr(plain_rules, "FEW", 0)


MATRICES = (Tensor.__matmul__, Tensor.matmul)


def matrix(call: straight_rules.Call) -> tuple[Tensor, Tensor]:
    left, right = call.args
    return call.value(), call.moving[right] @ left.T


def form_of(
    case: str, mode: type[PlainOperations] | type[contextlib.nullcontext[None]] = contextlib.nullcontext
) -> Tensor:
    point = POINT.clone().requires_grad_()
    with Bends() as bends, mode():
        value = loss_of(case, point)
    slopes = bends.slopes(value)
    still = POINT.clone()
    with torch.no_grad(), Tangents((still,), (torch.eye(len(still), dtype=still.dtype),), slopes) as found, mode():
        loss_of(case, still)
    assert not slopes  # every call of the first pass was met in the second
    return found.form


@pytest.mark.parametrize("case", CASES)
def test_every_rule_equals_row_by_row_differentiation(case: str) -> None:
    with PlainOperations():
        expected = oracles.hessian(lambda point: loss_of(case, point), POINT)
    assert float(expected.abs().max()) > 0.01
    torch.testing.assert_close(form_of(case), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("case", [case for case in CASES if "in place" not in case])
def test_every_rule_equals_the_one_for_anything(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = form_of(case)
    for table in (STRAIGHT, CURVED):
        for function in set(table) - set(MATRICES):
            monkeypatch.delitem(table, function)
    torch.testing.assert_close(found, form_of(case, PlainOperations), rtol=1e-10, atol=1e-11)


def test_every_rule_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case for each: none is listed that nothing above would miss."""
    listed, used = {*STRAIGHT, *CURVED} - set(MATRICES), set()

    def watched(call: straight_rules.Call, *rest: Any) -> Any:
        used.add(call.func)
        return rules[call.func](call, *rest)

    rules: dict[Any, Any] = {**STRAIGHT, **CURVED}
    for table in (STRAIGHT, CURVED):
        for function in tuple(table):
            monkeypatch.setitem(table, function, watched)
    for case in CASES:
        form_of(case)
    assert {str(function) for function in listed - used} == set()


def test_a_weight_that_moves_in_a_convolution_is_refused() -> None:
    still = normal(2)
    directions = (torch.eye(2, dtype=torch.float64),)
    behind = [Behind(1, 1, ()), Behind(1, 1, ())]
    with Tangents((still,), directions, behind), pytest.raises(TypeError, match="nothing else of it may move"):
        F.conv2d(features(1), still.view(1, 2, 1, 1))


class Cube(torch.autograd.Function):
    """As somebody's fused layer: what is inside is not seen, and it has first derivatives alone."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, still: Tensor) -> Tensor:
        ctx.save_for_backward(one, still)
        return still * one**3

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        one, still = ctx.saved_tensors
        return slope * still * 3 * one**2, None


class Layer(nn.Module):
    """A module of which the forward has a rule, registered below."""

    def __init__(self) -> None:
        super().__init__()
        self.still = normal(WIDTH, 1, 1, seed=61)

    @replaceable
    def forward(self, one: Tensor, scale: float = 1.0) -> Tensor:
        found: Tensor = Cube.apply(one * scale, self.still)
        return found


def cubed(call: straight_rules.Call, slopes: straight_rules.Slopes) -> tuple[Tensor, Tensor, Tensor]:
    layer, one = call.args
    tangents, scale = call.moving[one], call.kwargs["scale"]
    bent = slopes[0] * layer.still * 6 * scale**3 * one
    form = torch.einsum("iabcd,jabcd,abcd->ij", tangents, tangents, bent)
    return call.value(), tangents * layer.still * 3 * scale**3 * one**2, form


def test_a_layer_of_somebody_else_registers_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer()
    monkeypatch.setitem(CASES, "layer", lambda of: layer(of(*FEATURES), scale=0.7))
    assert curved(Layer.forward)(cubed) is cubed
    monkeypatch.setitem(CURVED, Layer.forward, CURVED[Layer.forward])  # taken out again at the end
    found = form_of("layer")
    monkeypatch.setitem(CASES, "layer", lambda of: layer.still * (0.7 * of(*FEATURES)) ** 3)
    torch.testing.assert_close(found, oracles.hessian(lambda at: loss_of("layer", at), POINT), rtol=1e-10, atol=1e-11)


def test_the_last_rule_of_a_function_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (STRAIGHT, CURVED):
        monkeypatch.setattr(f"nas_stability.harness.measuring.tangents.{name_of(table)}", dict(table))
    expected = form_of("relu")
    curved(F.relu)(plain_rules.anything)
    torch.testing.assert_close(form_of("relu"), expected)
    straight(F.relu)(lambda call: (call.value(), 2 * straight_rules.opened(call)[1]))
    torch.testing.assert_close(form_of("relu"), 4 * expected)


def name_of(table: object) -> str:
    return "STRAIGHT" if table is STRAIGHT else "CURVED"


def test_dropout_that_draws_is_refused() -> None:
    still = normal(2)
    tangents = Tangents((still,), (torch.eye(2, dtype=torch.float64),), [Behind(1, 1, ())])
    with tangents, pytest.raises(BadInput, match=r"dropout draws anew in each pass.*hessian_batch_norm = running"):
        F.dropout(still)


@pytest.mark.parametrize("hidden", ["a function", "an assignment"])
def test_what_nothing_sees_is_refused(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def assigned(one: Tensor) -> Tensor:
        to = torch.zeros_like(one)
        to[:, 1:] = one[:, 1:]
        return one + to

    layer: Any = {"a function": lambda one: one + Cube.apply(one, one.detach()), "an assignment": assigned}[hidden]
    monkeypatch.setitem(CASES, "hidden", lambda of: layer(of(*FEATURES)))
    with pytest.raises(ValueError, match=r"1 tensors move, but 2 have a gradient: .* hides what it does"):
        form_of("hidden")


def test_nothing_moves_outside() -> None:
    still = normal(2)
    with contextlib.suppress(ZeroDivisionError), Tangents((still,), (torch.eye(2, dtype=torch.float64),), []):
        raise ZeroDivisionError
    torch.testing.assert_close(F.relu(still), still.clamp(min=0), rtol=0, atol=0)
