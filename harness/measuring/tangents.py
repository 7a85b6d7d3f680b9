"""How every tensor of a computation moves along several directions at once, and how its result bends.

Source: the formulas are ours, from the chain rule of second derivatives; BatchNorm's from its definition (Ioffe and
Szegedy, ICML 2015, algorithm 1). Where a loss is a chain of functions v = f(u), its second derivative along the
directions i and j is the sum over all of them of <dloss/dv, f''(u)[u_i, u_j]>, with u_i the tangent of u. Convolutions,
sums, ReLUs and pooling have f'' = 0, so that one pass forward with all tangents side by side gives a Hessian: one
convolution per direction and layer, where products with the Hessian take two, and no graph is kept for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.weak import WeakIdKeyDictionary

from nas_stability.benchmarks.spaces.layers.batch_norm import normalized, with_statistics
from nas_stability.benchmarks.spaces.layers.channels_last import apart, blend, pixelwise, side_by_side
from nas_stability.benchmarks.spaces.layers.lean_operations import HALF, POOL, chosen, halved, scaled

Slopes = tuple[Tensor, ...]
"""The gradient of the result with respect to each output of a call."""


class Bends(TorchFunctionMode):
    """While it is entered, keeps the outputs of every call that may have a second derivative, in order.

    Attributes:
        outputs: of each such call; empty where they do not depend on what is differentiated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[tuple[Tensor, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func not in STRAIGHT and any(tensor.requires_grad for tensor in tensors_of((args, kwargs))):
            self.outputs.append(tuple(tensor for tensor in tensors_of(found) if tensor.requires_grad))
        return found

    def slopes(self, result: Tensor) -> list[Slopes]:
        """The gradients of a scalar with respect to all outputs that were kept."""
        outputs = [output for kept in self.outputs for output in kept]
        found = iter(torch.autograd.grad(result, outputs, materialize_grads=True))
        return [tuple(itertools.islice(found, len(kept))) for kept in self.outputs]


class Tangents(TorchFunctionMode):
    """While it is entered, every tensor that is made of moving ones moves too, and what bends adds to the form.

    Args:
        point: what moves.
        directions: for each tensor of the point, (n, *shape).
        slopes: of ``Bends``, from the same calls; taken out one by one, so that what is used is freed.

    Attributes:
        form: (n, n), second derivatives of the result along each pair of directions, once all calls have been made.
    """

    def __init__(self, point: Sequence[Tensor], directions: Sequence[Tensor], slopes: list[Slopes]) -> None:
        super().__init__()
        self.moving = WeakIdKeyDictionary(dict(zip(point, directions, strict=True)))
        self.slopes = slopes
        self.slopes.reverse()
        self.count = len(directions[0])
        self.form: Tensor = directions[0].new_zeros(self.count, self.count)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = Call(func, args, kwargs or {}, self.moving, self.count)
        if not any(tensor in self.moving for tensor in tensors_of((args, kwargs))):
            return call.value()
        if func in STRAIGHT:
            found, tangents = STRAIGHT[func](call)
        else:
            slopes = self.slopes.pop()
            if not slopes:
                return call.value()
            found, tangents, form = CURVED.get(func, anything)(call, slopes)
            self.form += form
        for tensor, tangent in zip(tensors_of(found), tensors_of(tangents), strict=True):
            self.moving[tensor] = tangent
        return found


class Call(NamedTuple):
    """A function with its arguments, of which some move.

    Attributes:
        func, args, kwargs: the call.
        moving: tensor -> tangents (n, *shape), for those that move.
        number: n.
    """

    func: Callable[..., Any]
    args: Any
    kwargs: Any
    moving: Mapping[Tensor, Tensor]
    number: int

    def value(self) -> Any:
        """What it returns."""
        return self.func(*self.args, **self.kwargs)

    def tangents(self, tensor: Tensor | None) -> Tensor | None:
        """(n, *shape), None for a tensor that stands still."""
        return None if tensor is None or tensor not in self.moving else self.moving[tensor]


Straight = Callable[[Call], tuple[Any, Any]]
"""Call -> what it returns, and the tangents of that; it has no second derivative."""

Curved = Callable[[Call, Slopes], tuple[Any, Any, Tensor]]
"""Call and the slopes of its outputs -> what it returns, tangents, and what it adds to the form (n, n)."""


def tensors_of(values: Any) -> Iterator[Tensor]:
    """All tensors of nested tuples, lists and dictionaries, in order."""
    return (leaf for leaf in tree_flatten(values)[0] if isinstance(leaf, Tensor))


def linear(call: Call) -> tuple[Any, Any]:
    """A function that is linear in all its tensors together."""
    return call.value(), through(call)


def through(call: Call) -> Any:
    """The tangents, put through a function as their tensors are."""
    leaves, structure = tree_flatten((call.args, call.kwargs))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def moved(*tangents: Tensor) -> Any:
        for place, tangent in zip(places, tangents, strict=True):
            leaves[place] = tangent
        args, kwargs = tree_unflatten(leaves, structure)
        return call.func(*args, **kwargs)

    found = [call.tangents(leaves[place]) for place in places]
    still = [torch.zeros_like(leaves[place]) if one is None else one for place, one in zip(places, found, strict=True)]
    return torch.vmap(moved, tuple(None if one is None else 0 for one in found))(*still)


def added(call: Call) -> tuple[Any, Any]:
    """A sum, in which a number is a constant."""
    return call.value(), through(call._replace(args=[one if isinstance(one, Tensor) else 0 for one in call.args]))


def imagewise(call: Call) -> tuple[Tensor, Tensor]:
    """A function that is linear in images (B, ...), its first argument: all tangents are one large batch of them."""
    images, *rest = call.args
    tangents = call.tangents(images)
    if tangents is None or any(tensor in call.moving for tensor in tensors_of((rest, call.kwargs))):
        raise TypeError(f"{call.func} is taken to be linear in images: nothing else of it may move")
    return call.value(), call.func(tangents.flatten(0, 1), *rest, **call.kwargs).unflatten(0, tangents.shape[:2])


def unbiased(call: Call) -> tuple[Tensor, Tensor]:
    """``imagewise`` for functions of images, weight and bias: tangents do without the bias."""
    images, weight, *rest = call.args
    return call.value(), imagewise(call._replace(args=(images, weight, None, *rest[1:])))[1]


def opened(call: Call) -> tuple[Tensor, Tensor]:
    """ReLU: a tangent passes where the features are above 0."""
    (features,) = call.args
    tangents = call.moving[features]
    return call.value(), passed(tangents, features, torch.empty_like(tangents))


def passed(tangents: Tensor, features: Tensor, to: Tensor) -> Tensor:
    """The tangents (n, *shape) where the features are above 0, elsewhere 0; written to ``to``."""
    found: Tensor = torch.ops.aten.threshold_backward.grad_input(tangents, features, 0, grad_input=to)
    return found


def half(call: Call) -> tuple[Tensor, Tensor]:
    """``halved``: a tangent comes from where the maximum is."""
    (features,) = call.args
    found, where = torch.ops.aten.max_pool2d_with_indices(features, *HALF)
    tangents = call.moving[features]
    to = tangents.new_empty((len(tangents), *channelled(found).shape))
    return found, featured(gathered(tangents, where, to))


def gathered(tangents: Tensor, where: Tensor, to: Tensor) -> Tensor:
    """Tangents (n, B, C, H, W) at the pixels ``where`` (B, C, H', W'), written to ``to`` (n, B, H', W', C)."""
    pixels, places = channelled(tangents).flatten(2, 3), channelled(where).flatten(1, 2)
    torch.gather(pixels, 2, places.expand(len(tangents), -1, -1, -1), out=to.flatten(2, 3))
    return to


def channelled(features: Tensor) -> Tensor:
    """Features (..., C, H, W) as (..., H, W, C), a view."""
    return features.movedim(-3, -1)


def featured(pixels: Tensor) -> Tensor:
    """``channelled``, undone."""
    return pixels.movedim(-1, -3)


def anything(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """A function of which nothing is known, by derivatives of its own; for small ones.

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


STRAIGHT: Mapping[Any, Straight] = {
    torch.conv2d: unbiased,
    F.linear: unbiased,
    F.avg_pool2d: imagewise,
    F.relu: opened,
    halved: half,
    torch.add: added,
    Tensor.add: added,
    **dict.fromkeys(
        (
            torch.cat,
            torch.stack,
            Tensor.add_,
            Tensor.contiguous,
            Tensor.expand,
            Tensor.mean,
            Tensor.permute,
            Tensor.repeat_interleave,
            Tensor.reshape,
            Tensor.split,
            Tensor.sum,
            Tensor.unbind,
            Tensor.unsqueeze,
            Tensor.view,
            Tensor.__getitem__,
        ),
        linear,
    ),
}
"""Functions without a second derivative, or none but at a kink."""

CURVED: Mapping[Any, Curved] = {
    blend: blended,
    chosen: choice,
    normalized: norm,
    scaled: scaled_norm,
}
"""Functions with one whose formula we know; ``anything`` serves the others."""
