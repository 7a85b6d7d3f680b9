"""The registries of a method's parts: every entry is held to its kind's contract by being listed."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness.given import epoch_batches, moment_of
from nas_stability.harness.measuring.curvature import flat, hessian, unflat
from nas_stability.harness.methods.after_step import AFTER_STEP
from nas_stability.harness.methods.architects import ARCHITECTS, Objective, Optimizer
from nas_stability.harness.methods.assembled import assembled
from nas_stability.harness.methods.choices import CHOICES
from nas_stability.harness.methods.compositions import BASES, METHODS, PERTURBED, Method, find_method
from nas_stability.harness.methods.losses import LOSSES
from nas_stability.harness.methods.perturbations import PERTURBATIONS
from nas_stability.harness.methods.regularisers import REGULARISERS
from nas_stability.harness.methods.relaxations import RELAXATIONS
from nas_stability.harness.methods.restarts import RESTARTS
from nas_stability.harness.methods.stopping_rules import STOPPING_RULES
from nas_stability.harness.methods.weight_optimizers import WEIGHT_OPTIMIZERS
from nas_stability.harness.search import advance, search_step
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import FIELDS
from tests.small import begin, random_alpha, random_batches, random_net, small_spec

SPACE = "nasbench1shot1-s3"
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "relaxation": RELAXATIONS,
    "architect": ARCHITECTS,
    "perturbation": PERTURBATIONS,
    "regulariser": REGULARISERS,
    "after": AFTER_STEP,
    "stop": STOPPING_RULES,
    "choice": CHOICES,
    "restart": RESTARTS,
    "evaluation": RELAXATIONS,
}
EVERY = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry if kind != "evaluation"]


def settings(fields: Mapping[str, Any], **values: object) -> SimpleNamespace:
    """A part's settings: the defaults of its fields, but for the given ones."""
    given = {name: item.default for name, item in fields.items()} | values
    return SimpleNamespace(operation_groups=(0,), hardened=SPACES[SPACE].hardened, **given)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_the_fields_of_a_part_are_those_of_every_run(kind: str, name: str) -> None:
    fields = REGISTRIES[kind][name].fields
    assert all(FIELDS[field] is item for field, item in fields.items())


@pytest.mark.parametrize("name", METHODS)
def test_the_parts_of_a_method_are_in_their_registries_and_its_defaults_are_fields(name: str) -> None:
    method = METHODS[name]
    assert all(getattr(method, kind) in registry for kind, registry in REGISTRIES.items())
    assert RELAXATIONS[method.evaluation].draw is None
    spec = small_spec(method=name)
    assert all(getattr(spec, field) == value for field, value in method.defaults.items())
    assert assembled(method, spec, SPACES["nasbench201"]).evaluate is not None


def test_a_base_and_a_perturbation_make_a_method_by_being_listed_once() -> None:
    for name, base in BASES.items():
        assert base.perturbation == "none"
        for ending in PERTURBED if base.perturbable else ():
            made = METHODS[{"darts": f"sdarts-{ending}"}.get(name, f"{name}-{ending}")]
            assert made == base._replace(title=made.title, perturbation=PERTURBED[ending], perturbable=False)
    assert small_spec(method="darts_RS") == small_spec(method="sdarts-rs")
    with pytest.raises(BadInput, match="unknown method 'darts-sr'; did you mean "):
        find_method("darts-sr")
    with pytest.raises(BadInput, match="unknown method 'sdarts-rs-adv'"):
        find_method("sdarts-rs-adv")


@pytest.mark.parametrize("name", RELAXATIONS)
def test_a_relaxation_is_a_function_onto_the_simplex_and_smooth_unless_it_says_so(name: str) -> None:
    relaxation, alpha = RELAXATIONS[name], random_alpha(SPACE)
    net = random_net(SPACE, depth=3)
    generator = torch.Generator().manual_seed(1)
    lead = (net.cells,) if relaxation.per_cell else ()
    draws = tuple(relaxation.draw((*lead, *s), generator) for s in SPACES[SPACE].shapes) if relaxation.draw else ()
    found = relaxation.mix(alpha, draws, 0.5, settings(relaxation.fields))
    for group, shape in zip(found, SPACES[SPACE].shapes, strict=True):
        assert tuple(group.shape) in (shape, (net.cells, *shape))
        assert (group >= 0).all()
        torch.testing.assert_close(group.sum(-1), torch.ones_like(group.sum(-1)))
    if relaxation.smooth:
        slopes = torch.autograd.grad(net(random_batches().valid.images, found).square().sum(), alpha)
        assert all(slope.isfinite().all() and slope.abs().max() > 0 for slope in slopes)
    else:
        assert not any(group.requires_grad for group in found)
    if relaxation.shift_invariant and relaxation.draw is None:
        moved = relaxation.mix(tuple(logits + 1.5 for logits in alpha), draws, 0.5, settings(relaxation.fields))
        for left, right in zip(found, moved, strict=True):
            torch.testing.assert_close(left, right)


@pytest.mark.parametrize("name", [name for name, part in REGULARISERS.items() if part.penalty])
def test_the_gradient_of_a_regulariser_is_that_of_differences(name: str) -> None:
    part, alpha = REGULARISERS[name], random_alpha(SPACE)
    assert part.penalty is not None
    value = part.penalty(alpha, 0.3, settings(part.fields))
    assert value.shape == ()
    found = flat(torch.autograd.grad(value, alpha))
    point, step = flat(alpha).detach(), 1e-6
    for index in range(0, len(point), 5):
        one = torch.zeros_like(point)
        one[index] = step
        ends = [float(part.penalty(unflat(point + s * one, alpha), 0.3, settings(part.fields))) for s in (1, -1)]
        assert float(found[index]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_beta_by_hand() -> None:
    """lambda * mean over rows of logsumexp; its gradient is lambda * softmax / rows."""
    rows = [[0.5, -1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 3.0]]
    alpha = (torch.tensor(rows[:2], dtype=torch.float64), torch.tensor(rows[2:], dtype=torch.float64))
    alpha = tuple(group.requires_grad_() for group in alpha)
    part = REGULARISERS["beta"]
    assert part.penalty is not None
    found = part.penalty(alpha, 0.5, settings(part.fields))
    expected = 50 * 0.5 * sum(math.log(sum(map(math.exp, row))) for row in rows) / 3
    assert float(found.detach()) == pytest.approx(expected, abs=1e-12)
    slopes = torch.autograd.grad(found, alpha)
    for slope, group in zip(slopes, softmax(alpha), strict=True):
        torch.testing.assert_close(slope, 25 * group.detach() / 3)


@pytest.mark.parametrize("name", [name for name, part in AFTER_STEP.items() if part.correct])
def test_a_correction_keeps_shapes_leaves_its_argument_and_is_done_once(name: str) -> None:
    part, alpha = AFTER_STEP[name], tuple(group.detach() for group in random_alpha(SPACE, 2.0))
    assert part.correct is not None
    kept = [group.clone() for group in alpha]
    found = part.correct(alpha, settings(part.fields))
    again = part.correct(found, settings(part.fields))
    assert all(map(torch.equal, alpha, kept))
    assert all(map(torch.equal, found, again)), "what is corrected needs no correction"
    assert [group.shape for group in found] == [group.shape for group in alpha]


def test_clamped_by_hand() -> None:
    correct = AFTER_STEP["clamped"].correct
    assert correct is not None
    (found,) = correct((torch.tensor([[-0.5, 0.25, 1.5]]),), settings({}))
    assert found.tolist() == [[0.0, 0.25, 1.0]]


@pytest.mark.parametrize("name", [name for name, part in STOPPING_RULES.items() if part.stops])
def test_a_stopping_rule_says_no_of_one_row_and_needs_no_number(name: str) -> None:
    part = STOPPING_RULES[name]
    assert part.stops is not None
    for rows in ([{"epoch": "0"}], [{"epoch": str(epoch), "eigenvalue_max": ""} for epoch in range(5)]):
        assert part.stops(rows, settings(part.fields)) is False


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_mean_over_the_batch(name: str) -> None:
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.arange(6) % 4
    whole = LOSSES[name](logits, labels)
    parts = [LOSSES[name](logits[index : index + 1], labels[index : index + 1]) for index in range(6)]
    assert float(whole) == pytest.approx(float(torch.stack(parts).mean()))


@pytest.mark.parametrize("name", WEIGHT_OPTIMIZERS)
def test_a_weight_optimizer_takes_its_rate_from_the_schedule(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = WEIGHT_OPTIMIZERS[name]([weight], small_spec())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    weight.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(3))


@pytest.mark.parametrize("name", [name for name, part in ARCHITECTS.items() if part.slope])
def test_an_architect_descends_on_its_objective(name: str) -> None:
    """A penalty adds its own gradient, a relaxation is differentiated through, another loss is another gradient."""
    part, net, batches = ARCHITECTS[name], random_net("nasbench201"), random_batches()
    alpha = random_alpha("nasbench201")
    optimizer = Optimizer(0.05, 0.9, 3e-4, [None for _ in net.parameters()])

    def slope(objective: Objective) -> Tensor:
        return flat(part.slope(net, alpha, batches, optimizer, objective, settings(part.fields)))

    plain = slope(Objective())
    penalised = slope(Objective(penalty=lambda logits: 3 * logits[0].square().sum()))
    torch.testing.assert_close(penalised - plain, flat(tuple(6 * group.detach() for group in alpha)))
    halved = slope(Objective(relax=lambda logits: softmax(tuple(group / 2 for group in logits))))
    other = tuple(group.detach().div(2).requires_grad_() for group in alpha)
    through = flat(part.slope(net, other, batches, optimizer, Objective(), settings(part.fields)))
    torch.testing.assert_close(halved, through / 2, rtol=1e-6, atol=1e-9)
    twice = slope(Objective(loss=lambda logits, labels: 2 * LOSSES["cross-entropy"](logits, labels)))
    assert not torch.allclose(twice, plain)


def test_draws_of_a_relaxation_come_by_step_pass_and_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = RELAXATIONS["softmax"]._replace(
        mix=lambda alpha, draws, progress, settings: softmax(tuple(a + d for a, d in zip(alpha, draws, strict=True))),
        draw=lambda shape, generator: torch.randn(shape, generator=generator, dtype=torch.float64),
        per_cell=True,
    )
    monkeypatch.setitem(RELAXATIONS, "noisy", noisy)
    monkeypatch.setitem(METHODS, "noisy", Method(relaxation="noisy"))
    search, data = begin(small_spec(space="nasbench1shot1-s1", method="noisy"))
    steps = [draws for _, draws in epoch_batches(search, data, 0.1)]
    again = [draws for _, draws in epoch_batches(search, data, 0.7)]
    assert [tuple(group.shape) for group in steps[0].architect] == [(3, *shape) for shape in search.space.shapes]
    seen = [cell for draws in steps for groups in draws[1:] for cell in groups[0].unbind(0)]
    assert len({tuple(cell.flatten().tolist()) for cell in seen}) == len(seen) == len(steps) * 2 * 3
    for left, right in zip(steps, again, strict=True):
        assert all(map(torch.equal, (*left.architect, *left.weights), (*right.architect, *right.weights)))
    before = [group.detach().clone() for group in search.evaluated()]
    assert all(map(torch.equal, before, softmax(search.alpha))), "measuring draws nothing"
    assert advance(search, data) is not None
    darts, _ = begin(small_spec(space="nasbench1shot1-s1"))
    for (mine, _), (theirs, _) in zip(epoch_batches(search, data, 0.1), epoch_batches(darts, data, 0.1), strict=True):
        assert mine.train.labels.shape == theirs.train.labels.shape


def test_logits_stay_for_the_first_epochs_and_no_pass_is_made_for_them() -> None:
    search, data = begin(small_spec(arch_warmup=1))
    before = [group.detach().clone() for group in search.alpha]
    assert advance(search, data) is not None
    assert all(map(torch.equal, before, search.alpha))
    counted = {int(value) for name, value in search.net.named_buffers() if name.endswith("num_batches_tracked")}
    assert counted == {3}, "three steps, one pass each"
    assert advance(search, data) is not None
    assert not all(map(torch.equal, before, search.alpha))


@pytest.mark.parametrize("norm", [0.001, 1e6])
def test_the_gradient_of_the_logits_is_clipped_over_all_of_them(norm: float) -> None:
    spec = small_spec(space=SPACE, arch_grad_clip=norm)
    search, data = begin(spec)
    free, _ = begin(dataclasses.replace(spec, arch_grad_clip=0.0))
    batches, draws = next(epoch_batches(search, data, 0.1))
    for one in (search, free):
        search_step(one, batches, moment_of(spec, 0), draws)
    clipped, whole = (flat(tuple(group.grad for group in one.alpha)) for one in (search, free))
    expected = whole * min(1.0, norm / float(torch.linalg.vector_norm(whole)))
    torch.testing.assert_close(clipped, expected, rtol=1e-4, atol=0)


def test_a_loss_of_ones_own_is_what_the_search_descends_on_and_not_what_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LOSSES, "tenth", lambda logits, labels: LOSSES["cross-entropy"](logits, labels) / 10)
    ours, data = begin(small_spec(loss="tenth", method="sdarts-adv"))
    theirs, _ = begin(small_spec(method="sdarts-adv"))
    found, usual = advance(ours, data), advance(theirs, data)
    assert found is not None
    assert usual is not None
    assert found.train_loss < usual.train_loss / 5
    assert found.attack_gain is not None
    assert usual.attack_gain is not None
    assert found.attack_gain < usual.attack_gain / 5
    with pytest.raises(BadInput, match="unknown loss 'tenht'; did you mean 'tenth'"):
        begin(small_spec(loss="tenht"))


def test_a_weight_optimizer_of_ones_own_moves_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        WEIGHT_OPTIMIZERS, "adamw", lambda weights, spec: torch.optim.AdamW(weights, lr=spec.lr, foreach=True)
    )
    search, data = begin(small_spec(weight_optimizer="adamw"))
    assert isinstance(search.weight_optimizer, torch.optim.AdamW)
    assert advance(search, data) is not None
    with pytest.raises(BadInput, match="'weight_optimizer' must be sgd for darts-2nd"):
        small_spec(method="darts-2nd", weight_optimizer="adamw")


def test_the_hessian_at_another_relaxation_is_that_of_differences() -> None:
    """Of the mean of a Dirichlet, which adding a number to a row does change."""
    alpha = random_alpha(SPACE)
    weights = [group.detach() for group in alpha]

    def mean(logits: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        grown = tuple(torch.nn.functional.elu(group) + 1 for group in logits)
        return tuple(group / group.sum(-1, keepdim=True) for group in grown)

    def loss(mixture: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([(a * m.square()).sum() for a, m in zip(weights, mixture, strict=True)]).sum().exp()

    found = hessian(loss, alpha, mean)
    expected = torch.autograd.functional.hessian(lambda point: loss(mean(unflat(point, alpha))), flat(alpha).detach())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_every_part_is_documented() -> None:
    functions = [
        part
        for registry in REGISTRIES.values()
        for entry in registry.values()
        for part in entry[:1]
        if part is not None
    ]
    assert functions
    assert all(inspect.getdoc(function) for function in functions)
    assert numpy.isfinite([run_spec({"space": "nasbench201", "method": "darts", "data": "digits"}).beta_weight]).all()
