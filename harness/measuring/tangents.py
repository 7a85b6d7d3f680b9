"""How every tensor of a computation moves along several directions at once, and how its result bends.

Source: the formulas are ours, from the chain rule of second derivatives; BatchNorm's from its definition (Ioffe and
Szegedy, ICML 2015, algorithm 1). Where a loss is a chain of functions v = f(u), its second derivative along the
directions i and j is the sum over all of them of <dloss/dv, f''(u)[u_i, u_j]>, with u_i the tangent of u. Convolutions,
sums, ReLUs and pooling have f'' = 0, so that one pass forward with all tangents side by side gives a Hessian: one
convolution per direction and layer, where products with the Hessian take two, and no graph is kept for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from nas_stability.harness.measuring.curved_rules import CURVED, anything
from nas_stability.harness.measuring.straight_rules import STRAIGHT, Call, Slopes, tensors_of


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
