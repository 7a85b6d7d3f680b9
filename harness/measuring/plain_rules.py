"""Tangent rules of PyTorch's functions that bend: products, functions of each entry, and anything by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from nas_stability.harness.measuring.straight_rules import Call, Slopes, tensors_of

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
    rows = tangents.permute(0, *(place + 1 for place in order))
    return rows.reshape(len(tangents), -1), features.permute(order).reshape(-1)


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
