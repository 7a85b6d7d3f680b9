"""Tangent rules of functions that bend: BatchNorm and blends of choices; which rule serves which."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.layers.batch_norm import normalized, with_statistics
from nas_stability.benchmarks.spaces.layers.channels_last import apart, blend, pixelwise, side_by_side
from nas_stability.benchmarks.spaces.layers.lean_operations import POOL, chosen, scaled
from nas_stability.benchmarks.spaces.layers.partial_channels import plus
from nas_stability.harness.measuring.plain_rules import (
    Curved,
    anything,
    beneath,
    both,
    divided,
    multiplied,
    pointwise,
    pulled,
)
from nas_stability.harness.measuring.straight_rules import (
    Call,
    Slopes,
    channelled,
    featured,
    gathered,
    passed,
)


class Normal(NamedTuple):
    """What a BatchNorm normalises with: x' = (x - mean) * inverse.

    Attributes:
        mean, inverse: (C,); ``inverse`` is 1 / deviation.
        of_batch: whether they are those of the batch, and move with it.
    """

    mean: Tensor
    inverse: Tensor
    of_batch: bool


def normal_of(features: Tensor, mean: Tensor | None, variance: Tensor | None, training: bool, eps: float) -> Normal:
    """Of the batch in training mode, else the running ones; the running ones are not moved."""
    if training:
        _, of_batch, inverse = with_statistics(features, None, None, None, None, True, 0.0, eps)
        return Normal(of_batch, inverse, True)
    assert mean is not None
    assert variance is not None
    return Normal(mean, (variance + eps).rsqrt(), False)


class Affine(NamedTuple):
    """The gain (C,) of a BatchNorm, gain * x' + shift, and the tangents (n, C) of both."""

    gain: Tensor
    of_gain: Tensor
    of_shift: Tensor


def normed(
    features: Tensor, tangents: Tensor | None, slope: Tensor, normal: Normal, affine: Affine
) -> tuple[Tensor, Tensor]:
    """Tangents (n, B, C, H, W) of gain * x' + shift, and its form; u, the tangents of x, may be None: it stands still.

    With N pixels, <.> their sum in a channel, g the slope, m = <u> / N, a = <x' u> / N, b = <g u> - <g> m and
    e = <g x'>: the tangent of x' is (u - m - a x') * inverse, that of e is (b - e a) * inverse, and the second
    derivative of e along u and v is -(a_u b_v + a_v b_u + e (<u v> / N - m_u m_v) - 3 e a_u a_v) * inverse ** 2.
    By running statistics m and a are 0, and so is the second derivative.
    """
    mean, inverse, of_batch = normal
    gain, of_gain, of_shift = affine
    steepness = gain * inverse
    form = slope.new_zeros(len(of_gain), len(of_gain))
    on_normal, constant = of_gain, of_shift
    if tangents is not None:
        a = m = torch.zeros_like(of_gain)
        b = torch.stack([weighed(u, slope) for u in tangents])
        e = torch.zeros_like(mean)
        if of_batch:
            pixels = features.numel() // len(mean)
            sums = [along_normal(u, features, normal) for u in tangents]
            a, m = (torch.stack(parts) / pixels for parts in zip(*sums, strict=True))
            e, total = along_normal(slope, features, normal)
            b = b - total * m
            factor = -steepness * inverse
            form = both((factor * a) @ (b - 1.5 * e * a).T) - (factor * e * m) @ m.T
            form += gram(tangents, factor * e / pixels)
            on_normal, constant = on_normal - steepness * a, constant - steepness * m
        form = form + both((inverse * (b - e * a)) @ of_gain.T)
    on_features = on_normal * inverse
    moved = featured(features.new_empty((len(of_gain), *channelled(features).shape)))
    torch.addcmul(beside(constant - mean * on_features), features, beside(on_features), out=moved)
    if tangents is not None:
        moved.addcmul_(tangents, pixelwise(steepness))
    return moved, form


def beside(values: Tensor) -> Tensor:
    """Values per tangent and channel (n, C) -> (n, 1, C, 1, 1), beside tangents."""
    return values[:, None, :, None, None]


def along_normal(slope: Tensor, features: Tensor, normal: Normal) -> tuple[Tensor, Tensor]:
    """Sums over pixels of slope * x' and of the slope, (C,) each: BatchNorm's gradient has both, in one pass."""
    mean, inverse, _ = normal
    _, along, total = torch.ops.aten.native_batch_norm_backward(
        slope, features, None, None, None, mean, inverse, True, 0.0, (False, True, True)
    )
    return along, total


def weighed(left: Tensor, right: Tensor) -> Tensor:
    """The sum over pixels of left * right, (C,)."""
    zero = left.new_zeros(left.shape[1])
    return along_normal(left, right, Normal(zero, zero + 1, True))[0]


def gram(tangents: Tensor, weights: Tensor) -> Tensor:
    """Sums over all pixels and channels of weights (C,) times each pair of tangents (n, B, C, H, W) -> (n, n)."""
    rows = channelled(tangents).transpose(0, 1)
    return torch.bmm(rows.flatten(2), (rows * weights).flatten(2).mT).sum(0)


def norm(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``normalized``; its features and its weight may move."""
    features, mean, variance, weight, bias, training, _, eps = call.args
    (slope,) = slopes
    normal = normal_of(features, mean, variance, training, eps)
    gain = torch.ones_like(normal.mean) if weight is None else weight
    still = gain.new_zeros(call.number, len(gain))
    of_gain, of_shift = (still if (found := call.tangents(one)) is None else found for one in (weight, bias))
    return call.value(), *normed(features, call.tangents(features), slope, normal, Affine(gain, of_gain, of_shift))


def plain_norm(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """``F.batch_norm``, of images by a formula."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    defaults = dict(zip(names[3:], (None, None, False, 0.1, 1e-5), strict=True))
    given = defaults | call.named(*names)
    rule = norm if given["input"].ndim == 4 else anything
    return rule(call._replace(args=tuple(given[name] for name in names), kwargs={}), slopes)


def scaled_norm(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``scaled``, whose weights move: where its ReLU is open, a BatchNorm with gain and shift times the weights."""
    features, module, weights = call.args
    (slope,) = slopes
    normal = normal_of(features, module.running_mean, module.running_var, module.training, module.eps)
    gain, shift = module.weight, module.bias
    steepness = gain * normal.inverse
    found = torch.addcmul(pixelwise(shift - normal.mean * steepness), features, pixelwise(steepness))
    along = call.moving[weights]
    affine = Affine(gain * weights, gain * along, shift * along)
    behind = torch.ops.aten.threshold_backward(slope, found, 0)
    tangents, form = normed(features, call.tangents(features), behind, normal, affine)
    return call.value(), passed(tangents, found, tangents), form


def blended(call: Call, slopes: Slopes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """``blend``."""
    weights, features = call.args
    tangents = rows_for(call, features)
    if tangents is not None:
        for slot, one in zip(tangents.unbind(2), features, strict=True):
            moved = call.tangents(one)
            slot.zero_() if moved is None else slot.copy_(channelled(moved))
    return products(call, weights, side_by_side(features), tangents, slopes)


def choice(call: Call, slopes: Slopes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """``chosen``."""
    vertex, conv3, conv1, weights, _ = call.args
    highest, where = torch.ops.aten.max_pool2d_with_indices(vertex, *POOL)
    tangents = rows_for(call, (vertex, conv3, conv1))
    if tangents is not None:
        of_highest, *of_opened = tangents.unbind(2)
        gathered(call.moving[vertex], where, of_highest)
        for slot, one in zip(of_opened, (conv3, conv1), strict=True):
            passed(call.moving[one], one, featured(slot))
    return products(call, weights, side_by_side((highest, F.relu(conv3), F.relu(conv1))), tangents, slopes)


def added_to(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``plus``."""
    _, weight, features = call.args
    of_base, of_weight, of_features = map(call.tangents, call.args)
    form = features.new_zeros(call.number, call.number)
    parts = [] if of_base is None else [of_base]
    if of_features is not None:
        parts.append(weight * of_features)
    if of_weight is not None:
        parts.append(beneath(of_weight, features.ndim) * features)
        if of_features is not None:
            form = both(torch.outer(pulled(of_features, slopes[0], of_weight), of_weight))
    return call.value(), functools.reduce(torch.add, parts), form


def rows_for(call: Call, features: Sequence[Tensor]) -> Tensor | None:
    """Memory for the tangents of k features side by side, (n, B, k, H, W, C); None where none of them moves."""
    if not any(one in call.moving for one in features):
        return None
    batch, *pixels = channelled(features[0]).shape
    return features[0].new_empty((call.number, batch, len(features), *pixels))


def products(
    call: Call, weights: Tensor, rows: Tensor, tangents: Tensor | None, slopes: Slopes
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """Weights (B, m, k) times rows (B, k, F) as features, their tangents, and their form.

    Args:
        call: in which the weights may move, along (n, B, m, k).
        weights, rows: of each image.
        tangents: of the rows, (n, B, k, H, W, C); None where they stand still.
        slopes: of the m sums, as features.
    """
    along = call.tangents(weights)
    form = rows.new_zeros(call.number, call.number)
    if tangents is None:
        assert along is not None
        found = torch.matmul(along, rows)
    else:
        moved = tangents.flatten(3)
        found = torch.matmul(weights, moved)
        if along is not None:
            for to, one in zip(found, along, strict=True):
                to.baddbmm_(one, rows)
            pull = torch.matmul(side_by_side(slopes), moved.mT)
            form = both(pull.flatten(1) @ along.flatten(1).T)
    (batch, channels, height, breadth), count = slopes[0].shape, call.number
    parts = found.view(count, batch, -1, height, breadth, channels).unbind(2)
    return apart(torch.bmm(weights, rows), slopes[0]), tuple(map(featured, parts)), form


CURVED: dict[Any, Curved] = {
    blend: blended,
    chosen: choice,
    normalized: norm,
    plus: added_to,
    scaled: scaled_norm,
    F.batch_norm: plain_norm,
    **dict.fromkeys((torch.mul, Tensor.mul), multiplied),
    **dict.fromkeys((torch.div, Tensor.div), divided),
    **dict.fromkeys(
        (
            torch.exp,
            torch.sigmoid,
            torch.tanh,
            F.elu,
            F.gelu,
            F.hardswish,
            F.hardtanh,
            F.leaky_relu,
            F.relu6,
            F.silu,
            F.softplus,
            Tensor.exp,
            Tensor.pow,
            Tensor.sigmoid,
            Tensor.square,
            Tensor.tanh,
        ),
        pointwise,
    ),
}
"""Functions with one whose formula we know; ``anything`` serves the others; ``tangents.curved`` adds to them."""
