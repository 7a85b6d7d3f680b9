"""Tangent rules of functions that bend: products, BatchNorm, blends of choices, and anything else by autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from nas_stability.benchmarks.spaces.layers.batch_norm import normalized, with_statistics
from nas_stability.benchmarks.spaces.layers.channels_last import apart, blend, pixelwise, side_by_side
from nas_stability.benchmarks.spaces.layers.lean_operations import POOL, chosen, scaled
from nas_stability.harness.measuring.straight_rules import (
    Call,
    Slopes,
    channelled,
    featured,
    gathered,
    passed,
    tensors_of,
)

Curved = Callable[[Call, Slopes], tuple[Any, Any, Tensor]]
"""Call and the slopes of its outputs -> what it returns, tangents, and what it adds to the form (n, n)."""


FEW = 1024
"""Entries of a product that ``anything`` serves: its last bits are in the recorded spectra of NAS-Bench-1Shot1."""


def anything(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """A function of which nothing is known, by derivatives of its own: exact, and slow where it has many elements.

    With g the slopes and J the function's derivative, <J' g, u> has two derivatives: with respect to g it is J u, the
    tangent, and with respect to the function's arguments its second derivative along u.
    """
    leaves, structure = tree_flatten((call.args, call.kwargs))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf in call.moving]
    tangents = tuple(call.moving[leaves[place]] for place in places)
    point = tuple(leaves[place].detach().requires_grad_() for place in places)
    for place, tensor in zip(places, point, strict=True):
        leaves[place] = tensor
    behind = tuple(slope.detach().requires_grad_() for slope in slopes)
    with torch.enable_grad():
        args, kwargs = tree_unflatten(leaves, structure)
        outputs = tuple(tensors_of(call.func(*args, **kwargs)))
        sloping = torch.autograd.grad(outputs, point, behind, create_graph=True, materialize_grads=True)
        along = torch.stack(
            [(left * right).reshape(call.number, -1).sum(1) for left, right in zip(tangents, sloping, strict=True)]
        ).sum(0)
    every = torch.eye(call.number, dtype=along.dtype, device=along.device)
    curved = torch.autograd.grad(along, (*point, *behind), every, is_grads_batched=True, allow_unused=True)
    moved = curved[len(point) :]
    pairs = [
        (one.reshape(call.number, -1), tangent.reshape(call.number, -1))
        for one, tangent in zip(curved, tangents, strict=False)
        if one is not None  # nothing bends along it
    ]
    form = torch.stack([left @ right.T for left, right in pairs]).sum(0) if pairs else torch.zeros_like(every)
    return call.value(), moved, form


def both(form: Tensor) -> Tensor:
    """A mixed derivative and its mirror image."""
    return form + form.T


def multiplied(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``mul``: by a number, or of tensors whose shapes go together, such as a weight and features."""
    left, right = call.args
    found = call.value()
    if found.numel() <= FEW:
        return anything(call, slopes)
    along, across = (
        None if tangents is None else beneath(tangents, found.ndim) for tangents in map(call.tangents, (left, right))
    )
    form = found.new_zeros(call.number, call.number)
    if along is None or across is None:
        return found, left * across if along is None else along * right, form
    few, many = (along, across) if along.numel() < across.numel() else (across, along)
    pull = pulled(many, slopes[0], few)
    return found, along * right + left * across, both(few.reshape(len(few), -1) @ pull.reshape(len(few), -1).T)


def beneath(tangents: Tensor, dimensions: int) -> Tensor:
    """Tangents (n, *shape) of a tensor that is to be broadcast to so many dimensions."""
    return tangents.view(len(tangents), *[1] * (dimensions + 1 - tangents.ndim), *tangents.shape[1:])


def pulled(tangents: Tensor, slope: Tensor, like: Tensor) -> Tensor:
    """Tangents (n, ...) times the slope, summed to the shape of ``like`` (n, ...)."""
    if like[0].numel() == 1:
        rows, row = in_memory(tangents, slope)
        return rows @ row
    return (tangents * slope).sum_to_size(like.shape)


def in_memory(tangents: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Tangents (n, *shape) as rows (n, F) and features as one (F,), their entries as they lie in memory."""
    order = sorted(range(features.ndim), key=features.stride, reverse=True)
    return tangents.permute(0, *(place + 1 for place in order)).flatten(1), features.permute(order).flatten()


def divided(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """``div``, by what stands still."""
    over, by, *rest = call.args
    if rest or call.kwargs or (isinstance(by, Tensor) and by in call.moving):
        return anything(call, slopes)
    found = call.value()
    return found, beneath(call.moving[over], found.ndim) / by, found.new_zeros(call.number, call.number)


def pointwise(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """A function f of each entry by itself: the tangent is f' u, the second derivative along u and v f'' u v."""
    features, *rest = call.args
    if any(tensor in call.moving for tensor in tensors_of((rest, call.kwargs))):
        return anything(call, slopes)
    with torch.enable_grad():
        point = features.detach().requires_grad_()
        found = call.func(point, *rest, **{name: one for name, one in call.kwargs.items() if name != "inplace"})
        (steep,) = torch.autograd.grad(found.sum(), point, create_graph=True)
        (bent,) = torch.autograd.grad(steep.sum(), point, materialize_grads=True)
    tangents = call.moving[features]
    rows, weights = in_memory(tangents, slopes[0] * bent)
    return call.value(), tangents * steep.detach(), (rows * weights) @ rows.T


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
"""Functions with one whose formula we know; ``anything`` serves the others, and ``tangents.curved`` adds to them."""
