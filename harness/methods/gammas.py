"""Gamma samples as a function of their shape parameter and of draws made before, with the gradient of the sample.

Sources: Marsaglia and Tsang, A simple method for generating gamma variables, ACM TOMS 26 (2000), for the sample;
Figurnov, Mohamed and Mnih, Implicit reparameterization gradients (NeurIPS 2018), for its gradient, which PyTorch has.
The rejections are unrolled: of CANDIDATES the first that is accepted is taken, so that nothing depends on the host.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

CANDIDATES = 16
"""Pairs of a normal and a uniform draw; each is rejected with a probability below 0.05, all with one below 2e-21."""


def gamma_draws(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws for samples of a shape, (*shape, 2 * CANDIDATES + 1): normal ones, uniform ones, and one more uniform."""
    normal = torch.randn((*shape, CANDIDATES), generator=generator, dtype=torch.float64)
    uniform = torch.rand((*shape, CANDIDATES + 1), generator=generator, dtype=torch.float64)
    return torch.cat([normal, uniform], -1)


class Gamma(Function):
    """Samples of Gamma(shape, 1), of draws of ``gamma_draws``."""

    @staticmethod
    def forward(ctx: Any, shape: Tensor, draws: Tensor) -> Tensor:
        """Shape parameters, above 0, and their draws -> samples, above 0."""
        normal, uniform, last = draws.to(shape).split([CANDIDATES, CANDIDATES, 1], -1)
        # A sample of shape + 1, times a power of a uniform draw, is one of the shape itself.
        d = (shape + 1 - 1 / 3).unsqueeze(-1)
        cubed = (1 + normal / (9 * d).sqrt()).clamp(min=0) ** 3
        accepted = (cubed > 0) & (uniform.log() < normal**2 / 2 + d * (1 - cubed + cubed.log()))
        first = accepted.to(torch.uint8).argmax(-1, keepdim=True)
        larger = (d * cubed).gather(-1, first)
        smallest = torch.finfo(shape.dtype).tiny
        found = (larger * last ** (1 / shape.unsqueeze(-1))).squeeze(-1).clamp(min=smallest)
        ctx.save_for_backward(shape, found)
        sample: Tensor = found
        return sample

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        """Slope of the samples -> that of the shape parameters."""
        shape, found = ctx.saved_tensors
        return slope * torch.ops.aten._standard_gamma_grad(shape, found), None


def gamma(shape: Tensor, draws: Tensor) -> Tensor:
    """Samples of Gamma(shape, 1); the gradient with respect to the shape is that of the sample."""
    found: Tensor = Gamma.apply(shape, draws)
    return found
