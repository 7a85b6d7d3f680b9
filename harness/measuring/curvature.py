"""The exact Hessian of the validation loss with respect to all logits, and its spectrum.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), section 4 and figure 4; the chain rule is ours. Alpha has at most 35
entries in the spaces here, so that the full matrix and a symmetric solver are affordable.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Relax, Supernet, softmax
from nas_stability.harness.measuring.tangents import Behind, Bends, Tangents
from nas_stability.harness.methods.architects import Batch, frozen


def hessian(loss: Callable[[Mixture], Tensor], alpha: Alpha, relax: Relax = softmax) -> Tensor:
    """Hessian (n, n) of loss(relax(alpha)), groups flattened and concatenated in order; symmetric.

    A first pass and its gradient give the slopes behind everything that bends; a second one carries a tangent for each
    logit and adds up how the loss bends along each pair. Where the same number on all logits of a row changes nothing,
    as it does by softmax, what belongs to the first logits follows from the others, which alone have a tangent; in
    NAS-Bench-201 the first entry of a row is `none`.

    Args:
        loss: mixture -> scalar, twice differentiable; called twice, with the same result.
        alpha: logits; detached here.
        relax: logits -> mixture, twice differentiable; called twice, with the same result. Noise is drawn before.

    Raises:
        ValueError: the second pass did not make the calls of the first, or they lead through what hides them, such as
            an autograd.Function; ``replaceable`` and a rule make it one call (tangents.py).
    """
    point = tuple(logits.detach() for logits in alpha)
    carried = differences(point) if getattr(relax, "shift_invariant", False) else identity(point)
    directions = unflat((carried > 0).to(carried), point)
    behind = slopes_at(loss, point, relax)
    with torch.no_grad(), Tangents(point, directions, behind) as tangents:
        loss(relax(point))
    if behind:
        raise ValueError("the loss did not make the same calls when it was called again")
    full: Tensor = carried.T @ tangents.form @ carried
    return (full + full.T) / 2


def slopes_at(loss: Callable[[Mixture], Tensor], alpha: Alpha, relax: Relax = softmax) -> list[Behind]:
    """The slopes of loss(relax(alpha)) behind every call that bends; the graph is freed on return."""
    point = tuple(logits.detach().requires_grad_() for logits in alpha)
    with Bends() as bends:
        result = loss(relax(point))
    found: list[Behind] = bends.slopes(result)
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


def identity(alpha: Alpha) -> Tensor:
    """Rows (n, n): each entry by itself."""
    return torch.eye(sum(group.numel() for group in alpha), dtype=alpha[0].dtype, device=alpha[0].device)


def validation_hessian(
    net: Supernet,
    alpha: Alpha,
    batch: Batch,
    *,
    statistics: str,
    dtype: torch.dtype,
    weight_decay: float,
    relax: Relax = softmax,
) -> Tensor:
    """Hessian (n, n) of the cross-entropy of ``batch`` with respect to the logits, on a copy: the net is not touched.

    Args:
        net: supernet at the state to measure.
        alpha: its logits.
        batch: standardised images and labels.
        statistics: BatchNorm's: "batch" those of the batch (the published convention), "running" the running ones.
        dtype: floating-point type of the computation and the result.
        weight_decay: added to the diagonal (the published convention adds that of the logits' optimiser).
        relax: logits -> mixture.
    """
    with probe_loss(net, batch, statistics, dtype) as loss:
        found = hessian(loss, tuple(logits.detach().to(dtype) for logits in alpha), relax)
    return found + weight_decay * torch.eye(len(found), dtype=dtype, device=found.device)


def gradient_norm(
    net: Supernet, alpha: Alpha, batch: Batch, *, statistics: str, dtype: torch.dtype, relax: Relax = softmax
) -> float:
    """L2 norm of the gradient of the same cross-entropy with respect to all logits, in nats; the net is not touched.

    The arguments are as of ``validation_hessian``.
    """
    point = tuple(logits.detach().to(dtype).requires_grad_() for logits in alpha)
    with probe_loss(net, batch, statistics, dtype) as loss:
        return float(torch.linalg.vector_norm(flat(torch.autograd.grad(loss(relax(point)), point))))


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
