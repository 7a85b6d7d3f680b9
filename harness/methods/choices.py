"""How a search decides when its logits do not: at the end of each epoch, an architecture is chosen by the supernet.

What is chosen is written into the logits as a decided mixture, so that records, tables and a search that is resumed
read it there as they read any logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nas_stability.benchmarks.images.dataset import Half, fixed_batch, plain_batches
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Supernet
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.specs.spec import FIELDS

BATCH = 512
"""Images per pass; the statistics are running ones, so that it changes no number."""


class Choose(Protocol):
    """(net, valid, alpha, generator, settings) -> the decided mixture that alpha is to hold.

    ``valid`` is the validation half, ``generator`` on the CPU and of this epoch alone. ``settings`` has the part's
    fields as attributes, and ``kept``, how many choices a row of each group keeps.
    """

    def __call__(
        self, net: Supernet, valid: Half, alpha: Alpha, generator: torch.Generator, settings: Any
    ) -> Mixture: ...


class Choice(NamedTuple):
    """How an architecture is chosen, and the fields that it reads; without a function the logits decide."""

    choose: Choose | None
    fields: Mapping[str, Any] = NOTHING


def best_of_random(net: Supernet, valid: Half, alpha: Alpha, generator: torch.Generator, settings: Any) -> Mixture:
    """Of ``candidates`` random architectures the one that the supernet gets most validation images right with.

    All are tried on ``candidate_images`` images; the best ``finalists`` by these, in the order in which they were
    drawn, on the whole half. Ties go to the first drawn. Architectures are uniform over the raw configurations.

    Source: Li and Talwalkar, Random search and reproducibility for NAS (UAI 2019), section 3; the stages and numbers
    are those of the NAS-Bench-1Shot1 experiments, of which there are three rounds of 1,000.
    """
    drawn = [uniform_mixture(alpha, settings.hardened, generator) for _ in range(settings.candidates)]
    images, labels = fixed_batch(valid, settings.candidate_images, generator, alpha[0].dtype)
    correct = correct_images(net, [(images, labels)], drawn)
    if len(labels) < len(valid.labels) and len(drawn) > settings.finalists:
        best = correct.sort(descending=True, stable=True).indices[: settings.finalists]
        drawn = [drawn[place] for place in best.sort().values.tolist()]
    if len(labels) < len(valid.labels):
        correct = correct_images(net, plain_batches(valid, BATCH, alpha[0].dtype), drawn)
    return drawn[int(correct.argmax())]


def uniform_mixture(alpha: Alpha, hardened: Callable[[Mixture], Mixture], generator: torch.Generator) -> Mixture:
    """A decided mixture in the shapes of alpha, each raw configuration of the space as likely as any other."""
    drawn = tuple(torch.rand(group.shape, generator=generator, dtype=torch.float64).to(group) for group in alpha)
    return hardened(drawn)


def correct_images(net: Supernet, batches: Iterable[tuple[Tensor, Tensor]], mixtures: Sequence[Mixture]) -> Tensor:
    """How many images of the batches the supernet gets right at each mixture (n,), with running statistics."""
    net.eval()
    with torch.no_grad():
        counts = [
            torch.stack([(net.logits(features, mixture).argmax(1) == labels).sum() for mixture in mixtures])
            for images, labels in batches
            for features in [net.stem(images)]  # it does not depend on the mixture
        ]
    net.train()
    return torch.stack(counts).sum(0)


CHOICES: dict[str, Choice] = {
    "by-logits": Choice(None),
    "best-of-random": Choice(
        best_of_random, {name: FIELDS[name] for name in ("candidates", "candidate_images", "finalists")}
    ),
}
