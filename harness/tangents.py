"""How every tensor of a computation moves along several directions at once, and how its result bends.

Source: the formulas are ours, from the chain rule of second derivatives; BatchNorm's from its definition (Ioffe and
Szegedy, ICML 2015, algorithm 1). Where a loss is a chain of functions v = f(u), its second derivative along the
directions i and j is the sum over all of them of <dloss/dv, f''(u)[u_i, u_j]>, with u_i the tangent of u. Convolutions,
sums, ReLUs and pooling have f'' = 0, so that one pass forward with all tangents side by side gives a Hessian: one
convolution per direction and layer, where products with the Hessian take two, and no graph is kept for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.weak import WeakIdKeyDictionary

from benchmarks.lean import HALF, POOL, chosen, halved, scaled
from benchmarks.space import BatchNorm, apart, blend, pixelwise, side_by_side

Slopes = tuple[Tensor, ...]
"""The gradient of the result with respect to each output of a call."""


class Bends(TorchFunctionMode):
    """While it is entered, keeps the outputs of every call that may bend, in order.

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
        flat = torch.autograd.grad(result, [one for kept in self.outputs for one in kept], materialize_grads=True)
        rest = iter(flat)
        return [tuple(itertools.islice(rest, len(kept))) for kept in self.outputs]


class Tangents(TorchFunctionMode):
    """While it is entered, every tensor that is made of moving ones moves too, and what bends adds to the form.

    Args:
        point: what moves.
        directions: for each tensor of the point, (n, *shape).
        slopes: of ``Bends``, from the same calls.

    Attributes:
        form: (n, n), second derivatives of the result along each pair of directions, once all calls have been made.
    """

    def __init__(self, point: Sequence[Tensor], directions: Sequence[Tensor], slopes: Iterable[Slopes]) -> None:
        super().__init__()
        self.moving = WeakIdKeyDictionary(dict(zip(point, directions, strict=True)))
        self.slopes = iter(slopes)
        self.count = len(directions[0])
        self.form = directions[0].new_zeros(self.count, self.count)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = Call(func, args, kwargs or {}, self.moving, self.count)
        if not any(tensor in self.moving for tensor in tensors_of((args, kwargs))):
            return call.value()
        if func in STRAIGHT:
            found, tangents = STRAIGHT[func](call)
        else:
            slopes = next(self.slopes)
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
        count: n.
    """

    func: Callable[..., Any]
    args: Any
    kwargs: Any
    moving: Mapping[Tensor, Tensor]
    count: int

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
    """A function that is linear in all its tensors together: its tangents are those of its arguments, put through it."""
    leaves, structure = tree_flatten((call.args, call.kwargs))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def moved(*tangents: Tensor) -> Any:
        for place, tangent in zip(places, tangents, strict=True):
            leaves[place] = tangent
        args, kwargs = tree_unflatten(leaves, structure)
        return call.func(*args, **kwargs)

    value = call.value()
    found = [call.tangents(leaves[place]) for place in places]
    still = [torch.zeros_like(leaves[place]) if one is None else one for place, one in zip(places, found, strict=True)]
    return value, torch.vmap(moved, tuple(None if one is None else 0 for one in found))(*still)


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
    return call.value(), passed(call.moving[features], features)


def passed(tangents: Tensor, features: Tensor) -> Tensor:
    """The tangents (n, *shape) where the features are above 0, elsewhere 0."""
    found: Tensor = torch.ops.aten.threshold_backward(tangents, features, 0)
    return found


def pooled(features: Tensor, tangents: Tensor | None, window: Any) -> tuple[Tensor, Tensor | None]:
    """Max-pooling (B, C, H, W): a tangent comes from where the maximum is."""
    found, where = torch.ops.aten.max_pool2d_with_indices(features, *window)
    if tangents is None:
        return found, None
    pixels = tangents.permute(0, 1, 3, 4, 2).flatten(2, 3)
    places = where.permute(0, 2, 3, 1).flatten(1, 2).expand(len(tangents), -1, -1, -1)
    taken = pixels.gather(2, places).unflatten(2, where.shape[2:])
    return found, taken.permute(0, 1, 4, 2, 3)


def half(call: Call) -> tuple[Tensor, Tensor]:
    """``halved``."""
    (features,) = call.args
    found, tangents = pooled(features, call.moving[features], HALF)
    assert tangents is not None
    return found, tangents


def anything(call: Call, slopes: Slopes) -> tuple[Any, Any, Tensor]:
    """A function of which nothing is known, by derivatives of its own; for small ones."""
    leaves, structure = tree_flatten((call.args, call.kwargs))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf in call.moving]
    point = tuple(leaves[place] for place in places)
    tangents = tuple(call.moving[tensor] for tensor in point)

    def of(*moved: Tensor) -> Any:
        for place, tensor in zip(places, moved, strict=True):
            leaves[place] = tensor
        args, kwargs = tree_unflatten(leaves, structure)
        found = call.func(*args, **kwargs)
        return found if isinstance(found, Tensor) else tuple(found)

    def sloping(*moved: Tensor) -> tuple[Tensor, ...]:
        _, back = torch.func.vjp(of, *moved)
        found: tuple[Tensor, ...] = back(slopes[0] if len(slopes) == 1 else slopes)
        return found

    moved = torch.vmap(lambda *along: torch.func.jvp(of, point, along)[1])(*tangents)
    curved = torch.vmap(lambda *along: torch.func.jvp(sloping, point, along)[1])(*tangents)
    return call.value(), moved, sum_of_products(curved, tangents)


def sum_of_products(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Of each pair of rows: left and right (n, ...) -> (n, n)."""
    pairs = [a.reshape(len(a), -1) @ b.reshape(len(b), -1).T for a, b in zip(left, right, strict=True)]
    return torch.stack(pairs).sum(0)


def both(form: Tensor) -> Tensor:
    """A mixed derivative and its mirror image."""
    return form + form.T


class Normed(NamedTuple):
    """A BatchNorm's input x, n tangents u of it, and a slope g behind it; N pixels, x' = (x - mean) / deviation.

    Attributes:
        normal: x', (B, C, H, W).
        tangents: gain / deviation * (u - <u> / N - x' <x' u> / N), (n, B, C, H, W); None where x stands still.
        pull: tangents of <g x'>, (n, C), likewise.
        form: second derivatives of gain * <g x'> along each pair of u, (n, n).
    """

    normal: Tensor
    tangents: Tensor | None
    pull: Tensor | None
    form: Tensor


class Statistics(NamedTuple):
    """What a BatchNorm normalises with.

    Attributes:
        mean, inverse: the mean and the inverse of the deviation, (C,).
        of_batch: whether they are those of the batch, and move with it.
    """

    mean: Tensor
    inverse: Tensor
    of_batch: bool


def statistics_of(
    features: Tensor, mean: Tensor | None, variance: Tensor | None, training: bool, eps: float
) -> Statistics:
    """Of the batch in training mode, else the running ones; the running ones are not moved."""
    if training:
        _, of_batch, inverse = torch.native_batch_norm(features, None, None, None, None, True, 0.0, eps)
        return Statistics(of_batch, inverse, True)
    assert mean is not None
    assert variance is not None
    return Statistics(mean, (variance + eps).rsqrt(), False)


def normed(
    features: Tensor, tangents: Tensor | None, slope: Tensor, gain: Tensor, known: Statistics, count: int
) -> Normed:
    """What a BatchNorm of this gain (C,) does to ``count`` tangents; the formulas are those of Normed.

    With a = <x' u> / N, m = <u> / N, b = <(g - <g> / N) u>, e = <g x'>, the second derivative of <g x'> along u and v is
    -(a_u b_v + a_v b_u + e (<u v> / N - m_u m_v) - 3 e a_u a_v) / variance.
    """
    mean, inverse, of_batch = known
    normal = torch.addcmul(pixelwise(-mean * inverse), features, pixelwise(inverse))
    still = slope.new_zeros(count, count)
    if tangents is None:
        return Normed(normal, None, None, still)
    zero, one = torch.zeros_like(mean), torch.ones_like(mean)
    if not of_batch:
        along = torch.stack([weigh(u, slope, zero, one) for u in tangents])
        return Normed(normal, tangents * pixelwise(gain * inverse), inverse * along, still)
    pixels = features.numel() // len(mean)
    moved = torch.empty_like(tangents)
    sums = []
    for u, to in zip(tangents, moved, strict=True):
        of_features, along, total = torch.ops.aten.native_batch_norm_backward(
            u, features, gain, None, None, mean, inverse, True, 0.0, (True, True, True)
        )
        to.copy_(of_features)
        sums.append(torch.stack([along, total, weigh(u, slope, zero, one)]))
    a, m, b = torch.stack(sums, 1).unbind(0)
    a, m = a / pixels, m / pixels
    e, f = weigh(slope, normal, zero, one), slope.sum((0, 2, 3))
    b = b - f * m
    factor = -gain * inverse**2
    mixed = (a * factor) @ (b - 1.5 * e * a).T
    spread = gram(tangents, factor * e / pixels) - (m * (factor * e)) @ m.T
    return Normed(normal, moved, inverse * (b - e * a), both(mixed) + spread)


def weigh(left: Tensor, right: Tensor, zero: Tensor, one: Tensor) -> Tensor:
    """The sum over pixels of left * right, (C,): what BatchNorm's gradient has for a gain, in one pass."""
    found: Tensor = torch.ops.aten.native_batch_norm_backward(
        left, right, one, zero, one, None, None, False, 0.0, (False, True, False)
    )[1]
    return found


def gram(tangents: Tensor, weights: Tensor) -> Tensor:
    """Sums over all pixels and channels of weights (C,) times each pair of tangents (n, B, C, H, W) -> (n, n)."""
    rows = tangents.permute(1, 0, 3, 4, 2)
    weighed = rows * weights
    return torch.bmm(rows.flatten(2), weighed.flatten(2).mT).sum(0)


def norm(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``F.batch_norm``; its features and its weight may move."""
    return batch_norm(call, *slopes, *call.args, **call.kwargs)


def batch_norm(
    call: Call,
    slope: Tensor,
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``norm``, with the arguments of ``F.batch_norm`` by name."""
    known = statistics_of(features, running_mean, running_var, training, eps)
    gain = torch.ones_like(known.mean) if weight is None else weight
    found = normed(features, call.tangents(features), slope, gain, known, call.count)
    along = call.tangents(weight)
    tangents, form = found.tangents, found.form
    if along is not None:
        tangents = plus(tangents, found.normal, pixelwise(along))
        if found.pull is not None:
            form = form + both(found.pull @ along.T)
    assert tangents is not None
    return call.value(), tangents, form


def plus(tangents: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """tangents + left * right."""
    return left * right if tangents is None else torch.addcmul(tangents, left, right)


def scaled_norm(call: Call, slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
    """``scaled``: relu(norm(features)) * weights, whose weights move; features may."""
    features, module, weights = call.args
    (slope,) = slopes
    assert isinstance(module, BatchNorm)
    known = statistics_of(features, module.running_mean, module.running_var, module.training, module.eps)
    gain = module.weight
    active = module.weight * known.inverse
    open_ = torch.addcmul(pixelwise(module.bias - known.mean * active), features, pixelwise(active))
    found = normed(
        features, call.tangents(features), passed(slope, open_), gain * weights, known, call.count
    )
    along = call.tangents(weights)
    tangents, form = found.tangents, found.form
    if along is not None:
        tangents = plus(tangents, open_, pixelwise(along))
        if found.pull is not None:
            form = form + both((found.pull * gain) @ along.T)
    assert tangents is not None
    return call.value(), passed(tangents, open_), form


def blended(call: Call, slopes: Slopes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """``blend``."""
    weights, features = call.args
    moved = [call.tangents(one) for one in features]
    rows, tangents = side_by_side(features), None
    if any(one is not None for one in moved):
        tangents = beside(moved, features, call.count)
    sums, form = products(weights, call.tangents(weights), rows, tangents, slopes)
    return apart(torch.bmm(weights, rows), features[0]), sums, form


def choice(call: Call, slopes: Slopes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """``chosen``."""
    vertex, conv3, conv1, weights, _ = call.args
    highest, of_highest = pooled(vertex, call.tangents(vertex), POOL)
    features = (highest, F.relu(conv3), F.relu(conv1))
    moved = [of_highest, *(None if (t := call.tangents(one)) is None else passed(t, one) for one in (conv3, conv1))]
    rows, tangents = side_by_side(features), None
    if any(one is not None for one in moved):
        tangents = beside(moved, features, call.count)
    sums, form = products(weights, call.tangents(weights), rows, tangents, slopes)
    return apart(torch.bmm(weights, rows), vertex), sums, form


def beside(tangents: Sequence[Tensor | None], features: Sequence[Tensor], count: int) -> Tensor:
    """``side_by_side`` of tangents: (n, B, k, H * W * C)."""
    present = [
        torch.zeros_like(one).expand(count, *one.shape) if tangent is None else tangent
        for tangent, one in zip(tangents, features, strict=True)
    ]
    return side_by_side([one.flatten(0, 1) for one in present]).unflatten(0, (count, len(features[0])))


def products(
    weights: Tensor, along: Tensor | None, rows: Tensor, tangents: Tensor | None, slopes: Slopes
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Tangents of weights (B, m, k) times rows (B, k, F), as features, and their form.

    Args:
        weights, rows: of each image.
        along: tangents of the weights, (n, B, m, k).
        tangents: of the rows, (n, B, k, F).
        slopes: of the m sums, as features.
    """
    count = len(tangents) if tangents is not None else len(along)  # type: ignore[arg-type]
    found = None
    form = weights.new_zeros(count, count)
    if tangents is not None:
        found = torch.matmul(weights, tangents)
        if along is not None:
            pull = torch.matmul(side_by_side(slopes), tangents.mT)
            form = both(pull.flatten(1) @ along.flatten(1).T)
    if along is not None:
        moved = torch.matmul(along, rows)
        found = moved if found is None else found.add_(moved)
    assert found is not None
    image = slopes[0]
    parts = apart(found.flatten(0, 1), image.expand(count, *image.shape).flatten(0, 1))
    return tuple(part.unflatten(0, (count, len(image))) for part in parts), form


STRAIGHT: Mapping[Any, Straight] = {
    torch.conv2d: unbiased,
    F.linear: unbiased,
    F.avg_pool2d: imagewise,
    F.relu: opened,
    halved: half,
    **dict.fromkeys(
        (
            torch.add,
            torch.cat,
            torch.stack,
            Tensor.add,
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
    F.batch_norm: norm,
    blend: blended,
    chosen: choice,
    scaled: scaled_norm,
}
"""Functions with one whose formula we know; ``anything`` serves the others."""
