"""Search methods, each composed of an architect and a perturbation."""

from __future__ import annotations

from typing import NamedTuple

from nas_stability.harness.methods import architects, perturbations


class Method(NamedTuple):
    """A search method: how alpha's gradient is taken, and how the mixture is perturbed in the weight step."""

    architect: architects.Architect
    perturbation: perturbations.Perturbation


METHODS: dict[str, Method] = {
    "darts": Method(architects.first_order, perturbations.unperturbed),
    "darts-2nd": Method(architects.second_order, perturbations.unperturbed),
    "sdarts-rs": Method(architects.first_order, perturbations.random),
    "sdarts-adv": Method(architects.first_order, perturbations.adversarial),
}
