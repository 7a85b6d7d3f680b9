"""The state of a search, and how it starts: what a checkpoint holds, and the spec that moves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.spaces.layers.batch_norm import ConvNorm
from nas_stability.benchmarks.spaces.layers.single_path import optional_pairs
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Space, Supernet, SupernetShape
from nas_stability.harness.methods.assembled import Parts, assembled
from nas_stability.harness.methods.compositions import Method, find_method
from nas_stability.harness.methods.variants import searched
from nas_stability.harness.methods.weight_optimizers import weight_optimizer
from nas_stability.harness.rng import stream
from nas_stability.harness.specs.spec import RunSpec


class Step(NamedTuple):
    """What one step leaves, on the device.

    Attributes:
        loss: training loss at the perturbed mixture, in nats; scalar.
        correct: number of training images classified correctly in the same pass; scalar.
        images: of the training batch.
        gain: the attack's gain in nats, None where there is no attack.
        fell_back: whether the attack was discarded (0 or 1), None where there is none.
        gradient_norm: of the weights, and of the mixture where it counts, before clipping.
    """

    loss: Tensor
    correct: Tensor
    images: int
    gain: Tensor | None
    fell_back: Tensor | None
    gradient_norm: Tensor | None = None


@dataclass
class Search:
    """The state of a search: what a checkpoint holds, and the spec that moves it.

    Attributes:
        spec: the run.
        space: its space.
        parts: of its method.
        net: the supernet, in training mode between steps.
        optional: its convolutions that a pass may leave out; none but in a supernet of single paths.
        alpha: the logits.
        weight_optimizer: of the supernet's weights.
        arch_optimizer: Adam on alpha.
        epoch: epochs done.
        decays: of a search that went back: (epoch, weight decay from then on), ascending.
        steps: what the steps of the epoch under way left so far; empty between epochs.
    """

    spec: RunSpec
    space: Space
    parts: Parts
    net: Supernet
    optional: tuple[ConvNorm, ...]
    alpha: Alpha
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Adam
    epoch: int = 0
    decays: tuple[tuple[int, float], ...] = ()
    steps: list[Step] = field(default_factory=list)

    @property
    def progress(self) -> float:
        """Share of the epochs that are done."""
        return self.epoch / self.spec.epochs

    @property
    def weight_decay(self) -> float:
        """L2 weight decay of the weights in the coming epoch."""
        return next((decay for epoch, decay in reversed(self.decays) if epoch <= self.epoch), self.spec.weight_decay)

    def put(self, net: Mapping[str, Tensor], alpha: Iterable[Tensor], epoch: int) -> None:
        """Puts weights, statistics, logits and epoch in the place of those that are there."""
        self.net.load_state_dict(net)
        put(self.alpha, alpha)
        self.epoch = epoch

    def evaluated(self) -> Mixture:
        """The mixture that measuring and deciding use, of the logits as they stand; without gradients."""
        with torch.no_grad():
            return self.parts.evaluate(self.alpha, self.progress)


def put(alpha: Alpha, values: Iterable[Tensor]) -> None:
    """Writes values into the logits."""
    with torch.no_grad():
        for leaf, value in zip(alpha, values, strict=True):
            leaf.copy_(value)


def start(spec: RunSpec, classes: int, in_channels: int, device: torch.device) -> Search:
    """The state before the first epoch: weights and logits from the seed, the same on every device.

    Args:
        spec: the run.
        classes: of the data.
        in_channels: of an image.
        device: where the search lives.

    Raises:
        BadInput: an unknown space or method.
    """
    space = searched(find_space(spec.space), spec)
    method = find_method(spec.method)
    shape = SupernetShape(spec.width, spec.depth, classes, in_channels, spec.batch_norm_momentum)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, "weights").initial_seed())
        net = space.supernet(shape)
    generator = stream(spec.seed, "alpha")
    alpha = tuple(
        (spec.arch_init_mean + spec.arch_init * torch.randn(rows, choices, generator=generator, dtype=torch.float64))
        for rows, choices in space.shapes
    )
    return assemble(spec, space, method, net, alpha, device)


def assemble(
    spec: RunSpec, space: Space, method: Method, net: Supernet, alpha: tuple[Tensor, ...], device: torch.device
) -> Search:
    """A search around given weights and logits, in the spec's floating-point type on the device."""
    dtype = getattr(torch, spec.dtype)
    net = net.to(device=device, dtype=dtype).train()
    leaves = tuple(logits.to(device=device, dtype=dtype).requires_grad_() for logits in alpha)
    return Search(
        spec=spec,
        space=space,
        parts=assembled(method, spec, space),
        net=net,
        optional=tuple(optional_pairs(net)),
        alpha=leaves,
        weight_optimizer=weight_optimizer(spec)(net.parameters(), spec),
        arch_optimizer=torch.optim.Adam(
            leaves,
            lr=spec.arch_lr,
            betas=(spec.arch_beta1, spec.arch_beta2),
            weight_decay=spec.arch_weight_decay,
            foreach=True,
            # Adam counts its steps where the logits are, so that a step waits for nothing and can be captured.
            capturable=device.type not in ("cpu", "mps"),
        ),
    )
