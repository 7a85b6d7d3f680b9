"""Tangent rules of functions that are linear in the features, or piecewise so: nothing bends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from nas_stability.benchmarks.errors import BadInput
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

    def named(self, *names: str) -> dict[str, Any]:
        """Its arguments by name, given the names of those that came by position; those that did not come are not in."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}


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
    images, *rest = call.args
    given = call._replace(args=rest).named("weight", "bias", "stride", "padding", "dilation", "groups")
    return call.value(), imagewise(call._replace(args=(images,), kwargs={**given, "bias": None}))[1]


def opened(call: Call) -> tuple[Tensor, Tensor]:
    """ReLU: a tangent passes where the features are above 0."""
    features = call.args[0]
    tangents = call.moving[features]
    found = call.value()  # written over the features or not: the same are above 0
    return found, passed(tangents, features, torch.empty_like(tangents))


def passed(tangents: Tensor, features: Tensor, to: Tensor) -> Tensor:
    """The tangents (n, *shape) where the features are above 0, elsewhere 0; written to ``to``."""
    found: Tensor = torch.ops.aten.threshold_backward.grad_input(tangents, features, 0, grad_input=to)
    return found


def half(call: Call) -> tuple[Tensor, Tensor]:
    """``halved``."""
    return highest(call, *HALF)


def pooled(call: Call) -> tuple[Tensor, Tensor]:
    """``max_pool2d``."""
    given = call.named("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    kernel, stride, padding, dilation = (
        (one, one) if isinstance(one, int) else tuple(one)
        for one in (
            given["kernel_size"],
            given.get("stride") or given["kernel_size"],
            given.get("padding", 0),
            given.get("dilation", 1),
        )
    )
    return highest(call, kernel, stride, padding, dilation, given.get("ceil_mode", False))


def highest(call: Call, *window: Any) -> tuple[Tensor, Tensor]:
    """Max-pooling of images by kernel, stride, padding, dilation, ceiling mode: a tangent is that of the maximum."""
    features = call.args[0]
    found, where = torch.ops.aten.max_pool2d_with_indices(features, *window)
    tangents = call.moving[features]
    to = tangents.new_empty((len(tangents), *channelled(found).shape))
    return found, featured(gathered(tangents, where, to))


def gathered(tangents: Tensor, where: Tensor, to: Tensor) -> Tensor:
    """Tangents (n, B, C, H, W) at the pixels ``where`` (B, C, H', W'), written to ``to`` (n, B, H', W', C)."""
    pixels, places = channelled(tangents).flatten(2, 3), channelled(where).flatten(1, 2)
    torch.gather(pixels, 2, places.expand(len(tangents), -1, -1, -1), out=to.flatten(2, 3))
    return to


def padded(call: Call) -> tuple[Tensor, Tensor]:
    """``pad`` by a constant, which stands still, or by what the mode says."""
    given = call.named("input", "pad", "mode", "value")
    images = given.pop("input")
    return call.value(), imagewise(call._replace(args=(images,), kwargs={**given, "value": None}))[1]


def kept(call: Call) -> tuple[Tensor, Tensor]:
    """Dropout that drops nothing.

    Raises:
        BadInput: it drops, each time something else.
    """
    given = call.named("input", "p", "training", "inplace")
    if given.get("training", True) and given.get("p", 0.5) > 0:
        raise BadInput(
            f"{call.func.__name__} draws anew in each pass, so that there is no Hessian of one function: measure it "
            "in evaluation mode (hessian_batch_norm = running), or with p = 0"
        )
    return call.value(), call.moving[given["input"]]


def channelled(features: Tensor) -> Tensor:
    """Features (..., C, H, W) as (..., H, W, C), a view."""
    return features.movedim(-3, -1)


def featured(pixels: Tensor) -> Tensor:
    """``channelled``, undone."""
    return pixels.movedim(-1, -3)


STRAIGHT: dict[Any, Straight] = {
    halved: half,
    F.pad: padded,
    **dict.fromkeys((torch.conv2d, F.linear), unbiased),
    **dict.fromkeys((F.avg_pool2d, F.adaptive_avg_pool2d, F.interpolate), imagewise),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), pooled),
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), opened),
    **dict.fromkeys((F.dropout, F.dropout2d), kept),
    **dict.fromkeys((torch.add, Tensor.add, torch.sub, Tensor.sub, Tensor.__rsub__), added),
    **dict.fromkeys(
        (
            torch.cat,
            torch.chunk,
            torch.flatten,
            torch.mean,
            torch.split,
            torch.stack,
            torch.sum,
            Tensor.add_,
            Tensor.chunk,
            Tensor.contiguous,
            Tensor.expand,
            Tensor.flatten,
            Tensor.mean,
            Tensor.neg,
            Tensor.permute,
            Tensor.repeat_interleave,
            Tensor.reshape,
            Tensor.split,
            Tensor.squeeze,
            Tensor.sum,
            Tensor.transpose,
            Tensor.unbind,
            Tensor.unsqueeze,
            Tensor.view,
            Tensor.__getitem__,
        ),
        linear,
    ),
}
"""Functions without a second derivative, or none but at a kink; ``tangents.straight`` adds to them."""
