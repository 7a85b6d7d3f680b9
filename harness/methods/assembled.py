"""A method's parts as functions that are ready to be called: found by name, with the values of the fields they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Half
from nas_stability.benchmarks.plugins import find
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Space, Supernet
from nas_stability.harness.methods import losses
from nas_stability.harness.methods.after_step import AFTER_STEP
from nas_stability.harness.methods.architects import ARCHITECTS, Batches, Objective, Optimizer
from nas_stability.harness.methods.choices import CHOICES
from nas_stability.harness.methods.compositions import Method, find_method
from nas_stability.harness.methods.perturbations import PERTURBATIONS, LossAt, Perturbed
from nas_stability.harness.methods.regularisers import REGULARISERS
from nas_stability.harness.methods.relaxations import RELAXATIONS, Draw, Relaxation
from nas_stability.harness.methods.restarts import RESTARTS, Returned
from nas_stability.harness.methods.stopping_rules import STOPPING_RULES
from nas_stability.harness.specs.spec import RunSpec


class Parts(NamedTuple):
    """The parts of a run's method.

    Attributes:
        relax: (alpha, draws, progress) -> mixture of a pass of the search.
        draw: distribution of the draws of ``relax``, None where it draws nothing.
        sample: (distribution, draws, progress) -> mixture, of a relaxation that samples; None of the others.
        per_cell: whether each cell has draws of its own.
        architect: (net, alpha, batches, optimizer, objective) -> gradient with respect to alpha; None where it stays.
        perturb: (mixture, loss, radius, noise) -> perturbed mixture of the weight step; None leaves it as it is.
        noise: distribution of the perturbation's noise at radius 1.
        penalty: (alpha, progress) -> what is added to the validation loss; None for nothing.
        correct: alpha -> alpha after the step; None leaves it.
        stops: rows so far -> whether the search ends; None where it goes on to its last epoch.
        goes_back: (rows so far, weight decay) -> where the search goes back to, or None; None where it never does.
        choose: (net, validation half, alpha, generator) -> what alpha is to hold after an epoch; None leaves it.
        evaluate: (alpha, progress) -> the mixture that measuring and deciding use.
        shift_invariant: whether adding a number to all logits of a row changes nothing of ``evaluate``.
        smooth: whether ``evaluate`` follows the logits smoothly; else there is no curvature with respect to them.
        loss: (logits, labels) -> mean over the batch.
    """

    relax: Callable[[Alpha, Mixture, float], Mixture]
    draw: Draw | None
    sample: Callable[[Mixture, Mixture, float], Mixture] | None
    per_cell: bool
    architect: Callable[[Supernet, Alpha, Batches, Optimizer, Objective], tuple[Tensor, ...]] | None
    perturb: Callable[[Mixture, LossAt, float, Mixture], Perturbed] | None
    noise: Draw
    penalty: Callable[[Alpha, float], Tensor] | None
    correct: Callable[[Alpha], Alpha] | None
    stops: Callable[[Sequence[Mapping[str, str]]], bool] | None
    goes_back: Callable[[Sequence[Mapping[str, str]], float], Returned | None] | None
    choose: Callable[[Supernet, Half, Alpha, torch.Generator], Mixture] | None
    evaluate: Callable[[Alpha, float], Mixture]
    shift_invariant: bool
    smooth: bool
    loss: losses.Loss


def assembled(method: Method, spec: RunSpec, space: Space) -> Parts:
    """The parts of a method with the values that the spec has for their fields.

    Raises:
        BadInput: a part, or the loss, of no known name.
    """
    relaxation = find("relaxations", "relaxation", method.relaxation, RELAXATIONS)
    architect = find("architects", "architect", method.architect, ARCHITECTS)
    perturbation = find("perturbations", "perturbation", method.perturbation, PERTURBATIONS)
    regulariser = find("regularisers", "regulariser", method.regulariser, REGULARISERS)
    after = find("corrections", "correction of the logits", method.after, AFTER_STEP)
    choice = find("choices", "choice of an architecture", method.choice, CHOICES)
    evaluation = evaluating(method)

    def ready(function: Callable[..., Any] | None, fields: Mapping[str, Any]) -> Any:
        return function and partial(function, settings=settings_of(spec, space, fields))

    evaluate = ready(evaluation.mix, evaluation.fields)
    return Parts(
        relax=ready(relaxation.mix, relaxation.fields),
        draw=relaxation.draw,
        sample=ready(relaxation.sample, relaxation.fields),
        per_cell=relaxation.per_cell,
        architect=ready(architect.slope, architect.fields),
        perturb=ready(perturbation.perturb, perturbation.fields),
        noise=perturbation.draw,
        penalty=ready(regulariser.penalty, regulariser.fields),
        correct=ready(after.correct, after.fields),
        stops=stopping_rule(spec),
        goes_back=restart_rule(spec),
        choose=ready(choice.choose, choice.fields),
        evaluate=lambda alpha, progress: evaluate(alpha, (), progress),
        shift_invariant=evaluation.shift_invariant,
        smooth=evaluation.smooth,
        loss=find("losses", "loss", spec.loss, losses.LOSSES),
    )


def evaluating(method: Method) -> Relaxation:
    """The relaxation that measuring and deciding use: one that draws nothing.

    Raises:
        BadInput: a relaxation of no known name, or one that draws.
    """
    relaxation = find("relaxations", "relaxation", method.evaluation, RELAXATIONS)
    if relaxation.draw is not None:
        raise BadInput(f"the relaxation {method.evaluation!r} draws, and a method's evaluation must not")
    return relaxation


def smooth(spec: RunSpec) -> bool:
    """Whether what a run decides by follows its logits smoothly: else there is no curvature with respect to them."""
    return evaluating(find_method(spec.method)).smooth


def decided(spec: RunSpec, logits: Alpha, epoch: int) -> Mixture:
    """The mixture of a run's recorded logits, after so many epochs, by which its architecture is decided."""
    relaxation = evaluating(find_method(spec.method))
    return relaxation.mix(logits, (), epoch / spec.epochs, settings_of(spec, find_space(spec.space), relaxation.fields))


def stopping_rule(spec: RunSpec) -> Callable[[Sequence[Mapping[str, str]]], bool] | None:
    """The rule that may end a run before its last epoch; None where there is none."""
    rule = find("stopping_rules", "stopping rule", find_method(spec.method).stop, STOPPING_RULES)
    if rule.stops is None:
        return None
    return partial(rule.stops, settings=settings_of(spec, find_space(spec.space), rule.fields))


def restart_rule(spec: RunSpec) -> Callable[[Sequence[Mapping[str, str]], float], Returned | None] | None:
    """The rule that may take a run back to an earlier epoch; None where there is none."""
    restart = find("restarts", "restart", find_method(spec.method).restart, RESTARTS)
    if restart.rule is None:
        return None
    return partial(restart.rule, settings=settings_of(spec, find_space(spec.space), restart.fields))


def settings_of(spec: RunSpec, space: Space, fields: Mapping[str, Any]) -> SimpleNamespace:
    """What a part is told: the values of its fields, which groups decide for operations, and how rows are decided."""
    values = {name: spec.value(name) for name in fields}
    return SimpleNamespace(operation_groups=tuple(space.facts.groups), hardened=space.hardened, **values)
