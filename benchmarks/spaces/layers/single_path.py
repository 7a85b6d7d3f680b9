"""One of several operations alone: what is not chosen is not computed, and its BatchNorm does not see the pass.

On a CPU the choice is looked at, elsewhere it stays on the device: the chosen convolution's kernel is put together from
all of them, so that one convolution is launched and the host waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_stability.benchmarks.spaces.layers.batch_norm import ConvNorm


def optional(pairs: Sequence[ConvNorm]) -> None:
    """Marks convolutions that a pass may leave out: each counts its own passes."""
    for pair in pairs:
        pair.optional = True
        pair.norm.counted_together = False


def optional_pairs(net: nn.Module) -> Iterator[ConvNorm]:
    """The convolutions that a pass may leave out."""
    return (module for module in net.modules() if isinstance(module, ConvNorm) and module.optional)


def looked_at(choices: Tensor) -> list[int] | Tensor:
    """Chosen operations (n,) as numbers of the host where that costs nothing; else as they are, on the device."""
    return choices.tolist() if choices.device.type == "cpu" else choices


def counted(pair: ConvNorm, features: Tensor, scale: Tensor | None = None) -> Tensor:
    """A convolution and its BatchNorm; a pass in training mode counts."""
    if pair.training:
        pair.norm.get_buffer("num_batches_tracked").add_(1)
    found: Tensor = pair(features, scale)
    return found


def selected(pairs: Sequence[ConvNorm], features: Tensor, mask: Tensor) -> Tensor:
    """The convolution of which the mask is 1, and its BatchNorm; zeros where it is 0 for all.

    Args:
        pairs: of odd kernels, stride 1, one width, and all or none with an affine part.
        features: (B, C, H, W).
        mask: (pairs,), 1 for at most one of them.
    """
    side = max(pair.conv.kernel_size[0] for pair in pairs)
    kernels = [
        F.pad(pair.conv.weight, [(side - pair.conv.kernel_size[0]) // 2] * 4) * one
        for pair, one in zip(pairs, mask, strict=True)
    ]
    convolved = F.conv2d(features, torch.stack(kernels).sum(0), padding=side // 2)
    norms = [pair.norm for pair in pairs]
    affine = norms[0].affine
    gain, shift = (
        torch.stack([getattr(norm, name) * one for norm, one in zip(norms, mask, strict=True)]).sum(0)
        if affine
        else None
        for name in ("weight", "bias")
    )
    if not norms[0].training:
        means, variances = ([norm.get_buffer(f"running_{name}") for norm in norms] for name in ("mean", "var"))
        mean = torch.stack([one * value for one, value in zip(mask, means, strict=True)]).sum(0)
        variance = torch.stack([one * value for one, value in zip(mask, variances, strict=True)]).sum(0)
        variance = variance + (1 - mask.sum())
        return F.batch_norm(convolved, mean, variance, gain, shift, False, 0.0, norms[0].eps)
    with torch.no_grad():
        variance, mean = torch.var_mean(convolved.detach(), (0, 2, 3), correction=1)
        for norm, one in zip(norms, mask, strict=True):
            share = (norm.momentum or 0.0) * one
            norm.get_buffer("running_mean").add_(share * (mean - norm.get_buffer("running_mean")))
            norm.get_buffer("running_var").add_(share * (variance - norm.get_buffer("running_var")))
            norm.get_buffer("num_batches_tracked").add_(one.long())
    return F.batch_norm(convolved, None, None, gain, shift, True, 0.0, norms[0].eps)
