"""What becomes of the logits after a step of the search, when alpha and the weights have moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from nas_stability.benchmarks.spaces.space import Alpha
from nas_stability.harness.methods.compositions import NOTHING


class Correction(Protocol):
    """(alpha, settings) -> alpha, of the same shapes; called without gradients."""

    def __call__(self, alpha: Alpha, settings: Any) -> Alpha: ...


class AfterStep(NamedTuple):
    """A correction and the fields that it reads; without one the logits stay as the optimiser left them."""

    correct: Correction | None
    fields: Mapping[str, Any] = NOTHING


def clamped(alpha: Alpha, settings: Any) -> Alpha:
    """Every logit back into [0, 1].

    Source: NASP (Yao, Xu, Tu and Zhu, AAAI 2020), algorithm 2: the proximal step onto the box.
    """
    return tuple(logits.clamp(0.0, 1.0) for logits in alpha)


AFTER_STEP: dict[str, AfterStep] = {
    "nothing": AfterStep(None),
    "clamped": AfterStep(clamped),
}
