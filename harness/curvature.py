"""The exact Hessian of the validation loss with respect to all logits, and its spectrum.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), section 4 and figure 4; the chain rule is ours. Alpha has at most 35
entries, so that the full matrix and a symmetric solver are affordable.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.lean import Plain
from benchmarks.space import Alpha, Mixture, Supernet, softmax
from harness.architect import Batch, frozen
from harness.twice import Twice

CACHE, MEMORY = 2**26, 2**31
"""Bytes that the products of one pass may take on a CPU and on another device. More at once save calls; on a CPU only
until they no longer fit into its caches. A product takes about what one evaluation of the loss keeps."""


def hessian(loss: Callable[[Mixture], Tensor], alpha: Alpha) -> Tensor:
    """Hessian (n, n) of loss(softmax(alpha)), groups flattened and concatenated in order; symmetric.

    The loss is differentiated with respect to the mixture p and carried to the logits by the exact chain rule
    H = J' (d2L/dp2) J + sum_k dL/dp_k d2p_k/dalpha2, J = dp/dalpha. J maps into the directions along the simplex, so
    products with d2L/dp2 are needed only for those: as many as logits less one per row. Each is one backward
    pass over the gradient's own graph; small ones are taken together.

    Args:
        loss: mixture -> scalar, twice differentiable.
        alpha: logits; detached here.
    """
    mixture = tuple(rows.detach().requires_grad_() for rows in softmax(alpha))
    directions = along_simplex(mixture)
    with Twice(), Plain():
        value, kept = weighed(loss, mixture)
        slope = torch.autograd.grad(value, mixture, create_graph=True)

    def product(direction: Tensor) -> Tensor:
        return flat(torch.autograd.grad(slope, mixture, unflat(direction, mixture), True, materialize_grads=True))

    count = max(1, (CACHE if mixture[0].device.type == "cpu" else MEMORY) // kept)
    together = torch.vmap(product) if count > 1 else lambda chunk: product(chunk[0]).unsqueeze(0)
    products = torch.cat([together(chunk) for chunk in directions.split(count)])
    jacobian, curved = softmax_derivatives(mixture, flat(slope).detach())
    # Column sums of J are zero in every row of the mixture, so J is the directions times its entries past each first.
    coordinates = jacobian[(directions == 1).int().argmax(1)]
    full = coordinates.T @ (directions @ products.T) @ coordinates + curved
    return (full + full.T) / 2


def weighed(loss: Callable[[Mixture], Tensor], mixture: Mixture) -> tuple[Tensor, int]:
    """The loss, and the bytes that it keeps for its gradient: about what one product takes."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.nbytes
        return tensor.detach()  # an output that its own graph kept as it is would never be freed

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(mixture)
    return value, max(1, sum(sizes.values()))


def flat(groups: tuple[Tensor, ...]) -> Tensor:
    """Groups of any shape as one vector."""
    return torch.cat([group.reshape(-1) for group in groups])


def unflat(vector: Tensor, groups: Mixture) -> tuple[Tensor, ...]:
    """``flat``, undone: a vector in the shapes of the groups."""
    parts = vector.split([group.numel() for group in groups])
    return tuple(part.view(group.shape) for part, group in zip(parts, groups, strict=True))


def along_simplex(mixture: Mixture) -> Tensor:
    """Directions (n - rows, n) that keep every row's sum: +1 on each entry past the first of its row, -1 on the first.

    In NAS-Bench-201 the first entry is `none`, on which nothing depends: the -1 costs nothing and changes nothing.
    """
    blocks = [
        torch.cat([-torch.ones(choices - 1, 1), torch.eye(choices - 1)], dim=1)
        for group in mixture
        for choices in [group.shape[1]] * group.shape[0]
    ]
    directions: Tensor = torch.block_diag(*blocks)
    return directions.to(mixture[0])


def softmax_derivatives(mixture: Mixture, slope: Tensor) -> tuple[Tensor, Tensor]:
    """For p = softmax(alpha) by rows: dp/dalpha (n, n), and sum_k slope_k d2p_k/dalpha2 (n, n).

    Row by row, with m = slope . p: the first is diag(p) - p p', the second
    diag(p * (slope - m)) - p_i p_j (slope_i + slope_j - 2 m).
    """
    first: list[Tensor] = []
    second: list[Tensor] = []
    slopes = slope.split([row.numel() for group in mixture for row in group])
    rows = [row.detach() for group in mixture for row in group]
    for p, g in zip(rows, slopes, strict=True):
        centred = g - g @ p
        outer = torch.outer(p, p)
        first.append(torch.diag(p) - outer)
        second.append(torch.diag(p * centred) - outer * (centred.unsqueeze(0) + centred.unsqueeze(1)))
    return torch.block_diag(*first), torch.block_diag(*second)


def validation_hessian(
    net: Supernet, alpha: Alpha, batch: Batch, *, statistics: str, dtype: torch.dtype, weight_decay: float
) -> Tensor:
    """Hessian (n, n) of the cross-entropy of ``batch`` with respect to the logits, on a copy: the net is not touched.

    Args:
        net: supernet at the state to measure.
        alpha: its logits.
        batch: standardised images and labels.
        statistics: BatchNorm's: "batch" those of the batch (the published convention), "running" the running ones.
        dtype: floating-point type of the computation and the result.
        weight_decay: added to the diagonal (the published convention adds that of the logits' optimiser).
    """
    probe = copy.deepcopy(net).to(dtype).train(statistics == "batch")
    images = batch.images.to(dtype)
    with frozen(probe):
        # The stem does not depend on the mixture.
        features = probe.stem(images)
        found = hessian(
            lambda mixture: F.cross_entropy(probe.logits(features, mixture), batch.labels),
            tuple(logits.detach().to(dtype) for logits in alpha),
        )
    return found + weight_decay * torch.eye(len(found), dtype=dtype, device=found.device)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues (n,) of a symmetric matrix in ascending order, by a dense solver in float64 on the CPU."""
    values: Tensor = torch.linalg.eigvalsh(matrix.detach().cpu().double())
    return values
