"""How every tensor of a computation moves along several directions at once, and how its result bends.

Source: the formulas are ours, from the chain rule of second derivatives; BatchNorm's from its definition (Ioffe and
Szegedy, ICML 2015, algorithm 1). Where a loss is a chain of functions v = f(u), its second derivative along the
directions i and j is the sum over all of them of <dloss/dv, f''(u)[u_i, u_j]>, with u_i the tangent of u. Convolutions,
sums, ReLUs and pooling have f'' = 0, so that one pass forward with all tangents side by side gives a Hessian: one
convolution per direction and layer, where products with the Hessian take two, and no graph is kept for it.

Any operation of PyTorch's has its second derivative here, by autograd where it has no rule. A layer of somebody else's
needs one only for speed, or where it is an ``autograd.Function``, whose inside nothing sees. It then is a function, or
the forward of a module, that is ``replaceable`` (layers/channels_last.py), and has its rule registered where it is
defined::

    class Gate(nn.Module):
        @replaceable
        def forward(self, features): ...

    @curved(Gate.forward)
    def gated(call, slopes):
        module, features = call.args
        ...
        return value, tangents, form
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from nas_stability.harness.measuring.curved_rules import CURVED
from nas_stability.harness.measuring.plain_rules import Curved, anything
from nas_stability.harness.measuring.straight_rules import STRAIGHT, Call, Slopes, Straight, tensors_of


def straight(*functions: Callable[..., Any]) -> Callable[[Straight], Straight]:
    """Registers a rule of functions that are linear in what moves, or piecewise so, in the place of any they had.

    The rule takes a ``Call`` and returns what it returns and, of each tensor of that, the tangents (n, *shape).
    """

    def register(rule: Straight) -> Straight:
        for function in functions:
            CURVED.pop(function, None)
            STRAIGHT[function] = rule
        return rule

    return register


def curved(*functions: Callable[..., Any]) -> Callable[[Curved], Curved]:
    """Registers a rule of functions that bend, in the place of any they had.

    The rule takes a ``Call`` and the slopes, dloss/dv of each tensor v that it returns. It returns what the call
    returns, of each tensor of that the tangents (n, *shape), and the form (n, n): <slope, v''> along each two tangents
    of what moves, summed over the tensors. ``anything`` in plain_rules.py is the one that serves every function.
    """

    def register(rule: Curved) -> Curved:
        for function in functions:
            STRAIGHT.pop(function, None)
            CURVED[function] = rule
        return rule

    return register


class Behind(NamedTuple):
    """What the first pass knows of a call, and the second asks for.

    Attributes:
        arguments: how many of its tensors moved.
        moved: how many of those that it returned did.
        slopes: of these; none of a call that is straight.
    """

    arguments: int
    moved: int
    slopes: Slopes


class Kept(NamedTuple):
    """A call of the first pass, as ``Behind``; of what it returned, the edges and the tensors that were there.

    An edge is of the values that the call returned, even if a later one writes over them.
    """

    arguments: int
    moved: int
    edges: tuple[GradientEdge, ...]
    tensors: tuple[Tensor, ...]


class Bends(TorchFunctionMode):
    """While it is entered, keeps what every call with something that moves returned, in order.

    Attributes:
        calls: each with what it returned where that may have a second derivative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Kept] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments = sum(tensor.requires_grad for tensor in tensors_of((args, kwargs)))
        found = func(*args, **(kwargs or {}))
        if arguments:
            moved = tuple(tensor for tensor in tensors_of(found) if tensor.requires_grad)
            kept = () if func in STRAIGHT else moved
            self.calls.append(Kept(arguments, len(moved), tuple(map(get_gradient_edge, kept)), kept))
        return found

    def slopes(self, result: Tensor) -> list[Behind]:
        """The gradients of a scalar with respect to all that was kept."""
        edges = [edge for call in self.calls for edge in call.edges]
        tensors = [tensor for call in self.calls for tensor in call.tensors]
        slopes = torch.autograd.grad(result, edges, allow_unused=True)
        found = (
            torch.zeros_like(tensor) if slope is None else slope for slope, tensor in zip(slopes, tensors, strict=True)
        )
        return [
            Behind(call.arguments, call.moved, tuple(itertools.islice(found, len(call.edges)))) for call in self.calls
        ]


class Tangents(TorchFunctionMode):
    """While it is entered, every tensor that is made of moving ones moves too, and what bends adds to the form.

    Args:
        point: what moves.
        directions: for each tensor of the point, (n, *shape).
        behind: of ``Bends``, from the same calls; taken out one by one, so that what is used is freed.

    Attributes:
        form: (n, n), second derivatives of the result along each pair of directions, once all calls have been made.
    """

    def __init__(self, point: Sequence[Tensor], directions: Sequence[Tensor], behind: list[Behind]) -> None:
        super().__init__()
        self.moving = WeakIdKeyDictionary(dict(zip(point, directions, strict=True)))
        self.behind = behind
        self.behind.reverse()
        self.count = len(directions[0])
        self.form: Tensor = directions[0].new_zeros(self.count, self.count)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = Call(func, args, kwargs or {}, self.moving, self.count)
        arguments = sum(tensor in self.moving for tensor in tensors_of((args, kwargs)))
        if not arguments:
            return call.value()
        expected, moved, slopes = self.behind.pop() if self.behind else Behind(0, 0, ())
        if arguments != expected:
            raise ValueError(
                f"of {func} {arguments} tensors move, but {expected} have a gradient: the loss does not make the same "
                "calls when it is called again, or an autograd.Function or an assignment to a part of a tensor hides "
                "what it does; make that a function that is `replaceable` and has a rule"
            )
        if not moved:
            return call.value()
        if func in STRAIGHT:
            found, tangents = STRAIGHT[func](call)
        else:
            found, tangents, form = CURVED.get(func, anything)(call, slopes)
            self.form += form
        for tensor, tangent in zip(tensors_of(found), tensors_of(tangents), strict=True):
            self.moving[tensor] = tangent
        return found
