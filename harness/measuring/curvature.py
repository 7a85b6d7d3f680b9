"""The exact Hessian of the validation loss with respect to all logits, and its spectrum.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), section 4 and figure 4; the chain rule is ours. Alpha has at most 35
entries, so that the full matrix and a symmetric solver are affordable.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Supernet, softmax
from nas_stability.harness.measuring.straight_rules import Slopes
from nas_stability.harness.measuring.tangents import Bends, Tangents
from nas_stability.harness.methods.architects import Batch, frozen


class Relaxed(NamedTuple):
    """How logits become the mixture that is measured.

    Attributes:
        mix: alpha -> mixture, twice differentiable, the same at each call.
        shift_invariant: whether adding a number to all logits of a row changes nothing.
    """

    mix: Callable[[Alpha], Mixture] = softmax
    shift_invariant: bool = True


SOFTMAX = Relaxed()
"""DARTS's."""


def hessian(loss: Callable[[Mixture], Tensor], alpha: Alpha, relaxed: Relaxed = SOFTMAX) -> Tensor:
    """Hessian (n, n) of loss(mix(alpha)), groups flattened and concatenated in order; symmetric.

    A first pass and its gradient give the slopes behind everything that bends; a second one carries a tangent for each
    logit past the first of its row, and adds up how the loss bends along each pair. What belongs to the first logits
    follows: the same number on all logits of a row changes nothing. So there are as many tangents as logits less one
    per row; in NAS-Bench-201 the first entry of a row is `none`. Of a mixture that is no function of differences of
    logits alone there are as many tangents as logits.

    Args:
        loss: mixture -> scalar, twice differentiable; called twice, with the same result.
        alpha: logits; detached here.
        relaxed: how they become a mixture.

    Raises:
        ValueError: the second call of the loss made fewer calls than the first.
    """
    point = tuple(logits.detach() for logits in alpha)
    spanning = differences(point) if relaxed.shift_invariant else every_logit(point)
    directions = unflat((spanning > 0).to(spanning), point)
    slopes = slopes_at(loss, point, relaxed)
    with torch.no_grad(), Tangents(point, directions, slopes) as tangents:
        loss(relaxed.mix(point))
    if slopes:
        raise ValueError("the loss did not make the same calls when it was called again")
    full: Tensor = spanning.T @ tangents.form @ spanning
    return (full + full.T) / 2


def slopes_at(loss: Callable[[Mixture], Tensor], alpha: Alpha, relaxed: Relaxed = SOFTMAX) -> list[Slopes]:
    """The slopes of loss(mix(alpha)) behind everything that bends; the graph is freed on return."""
    point = tuple(logits.detach().requires_grad_() for logits in alpha)
    with Bends() as bends:
        result = loss(relaxed.mix(point))
    found: list[Slopes] = bends.slopes(result)
    return found


def flat(groups: tuple[Tensor, ...]) -> Tensor:
    """Groups of any shape as one vector."""
    return torch.cat([group.reshape(-1) for group in groups])


def unflat(vector: Tensor, groups: Mixture) -> tuple[Tensor, ...]:
    """``flat``, undone: a vector (n,) in the shapes of the groups, or several (m, n) as (m, *shape) each."""
    parts = vector.split([group.numel() for group in groups], -1)
    return tuple(part.unflatten(-1, group.shape) for part, group in zip(parts, groups, strict=True))


def differences(alpha: Alpha) -> Tensor:
    """Rows (n - rows, n): +1 on each entry past the first of its row, -1 on the first."""
    like = alpha[0]
    blocks = [
        torch.cat([-like.new_ones(choices - 1, 1), torch.eye(choices - 1, dtype=like.dtype, device=like.device)], dim=1)
        for group in alpha
        for choices in [group.shape[1]] * group.shape[0]
    ]
    found: Tensor = torch.block_diag(*blocks)
    return found


def every_logit(alpha: Alpha) -> Tensor:
    """Rows (n, n): one for each logit alone."""
    return torch.eye(sum(group.numel() for group in alpha), dtype=alpha[0].dtype, device=alpha[0].device)


def validation_hessian(
    net: Supernet,
    alpha: Alpha,
    batch: Batch,
    *,
    statistics: str,
    dtype: torch.dtype,
    weight_decay: float,
    relaxed: Relaxed = SOFTMAX,
) -> Tensor:
    """Hessian (n, n) of the cross-entropy of ``batch`` with respect to the logits, on a copy: the net is not touched.

    Args:
        net: supernet at the state to measure.
        alpha: its logits.
        batch: standardised images and labels.
        statistics: BatchNorm's: "batch" those of the batch (the published convention), "running" the running ones.
        dtype: floating-point type of the computation and the result.
        weight_decay: added to the diagonal (the published convention adds that of the logits' optimiser).
        relaxed: how the logits become the mixture that is measured.
    """
    with probe_loss(net, batch, statistics, dtype) as loss:
        found = hessian(loss, tuple(logits.detach().to(dtype) for logits in alpha), relaxed)
    return found + weight_decay * torch.eye(len(found), dtype=dtype, device=found.device)


def gradient_norm(
    net: Supernet,
    alpha: Alpha,
    batch: Batch,
    *,
    statistics: str,
    dtype: torch.dtype,
    relaxed: Relaxed = SOFTMAX,
) -> float:
    """L2 norm of the gradient of the same cross-entropy with respect to all logits, in nats; the net is not touched.

    Args:
        net, alpha, batch, statistics, dtype, relaxed: as of ``validation_hessian``.
    """
    point = tuple(logits.detach().to(dtype).requires_grad_() for logits in alpha)
    with probe_loss(net, batch, statistics, dtype) as loss:
        return float(torch.linalg.vector_norm(flat(torch.autograd.grad(loss(relaxed.mix(point)), point))))


@contextlib.contextmanager
def probe_loss(
    net: Supernet, batch: Batch, statistics: str, dtype: torch.dtype
) -> Iterator[Callable[[Mixture], Tensor]]:
    """Mixture -> cross-entropy of a batch, by a copy of the net whose weights are held fixed."""
    probe = copy.deepcopy(net).to(dtype).train(statistics == "batch")
    with frozen(probe):
        features = probe.stem(batch.images.to(dtype))  # it does not depend on the mixture
        yield lambda mixture: F.cross_entropy(probe.logits(features, mixture), batch.labels)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues (n,) of a symmetric matrix in ascending order, by a dense solver in float64 on the CPU."""
    values: Tensor = torch.linalg.eigvalsh(matrix.detach().cpu().double())
    return values
