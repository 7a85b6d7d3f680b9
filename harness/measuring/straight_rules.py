"""Tangent rules of functions that are linear in the features, or piecewise so: nothing bends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from nas_stability.benchmarks.spaces.layers.lean_operations import HALF, halved

Slopes = tuple[Tensor, ...]
"""The gradient of the result with respect to each output of a call."""


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
