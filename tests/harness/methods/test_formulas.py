"""Perturbation, architect, curvature and schedules against their oracles."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.space import Mixture, softmax
from nas_stability.harness.measuring.curvature import eigenvalues, hessian, validation_hessian
from nas_stability.harness.methods import architects, perturbations
from nas_stability.harness.methods.architects import Objective, Optimizer
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.schedules import learning_rate, perturbation_radius
from tests import oracles
from tests.small import LISTED, random_alpha, random_batches, random_net, small_spec

NO_STATE = Optimizer(0.05, 0.9, 3e-4, [])


def project_row(row: Sequence[float]) -> list[float]:
    """The published projection of one row, in plain Python."""
    clamped = [min(max(entry, 0.0), 1.0) for entry in row]
    total = math.fsum(clamped)
    if total == 0:
        largest = max(range(len(row)), key=lambda index: (row[index], -index))
        return [1.0 if index == largest else 0.0 for index in range(len(row))]
    return [entry / total for entry in clamped]


def attack(**values: Any) -> SimpleNamespace:
    """Settings of an attack: the defaults of its fields, but for the given ones."""
    fields = perturbations.PERTURBATIONS["adversarial"].fields
    return SimpleNamespace(**{name: item.default for name, item in fields.items()} | values)


def unflat(space: str, point: Tensor) -> tuple[Tensor, ...]:
    """A vector as groups of logits."""
    shapes = SPACES[space].shapes
    return tuple(
        part.view(shape) for part, shape in zip(point.split([rows * n for rows, n in shapes]), shapes, strict=True)
    )


def oracle_loss(space: str, tensors: dict[str, Tensor], batch: architects.Batch) -> Callable[[Tensor], Tensor]:
    """The literal supernet's training-mode cross-entropy as a function of all logits; statistics go to clones."""

    def loss(point: Tensor) -> Tensor:
        clones = {name: value.clone() if "running" in name else value for name, value in tensors.items()}
        clones = {name: value.clone() if "tracked" in name else value for name, value in clones.items()}
        mixture = oracles.softmax(unflat(space, point))
        found = oracles.logits(space, clones, batch.images, mixture, 1, True, 0.1)
        return F.cross_entropy(found, batch.labels)

    return loss


@pytest.mark.slow
@pytest.mark.parametrize("space", LISTED)
def test_a_hessian_leaves_nothing_behind(space: str) -> None:
    net, batch, alpha = random_net(space), random_batches().valid, random_alpha(space)

    def living() -> int:
        validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=0.0)
        while gc.collect():  # what earlier tests left is freed layer by layer
            pass
        return sum(issubclass(type(one), Tensor) for one in gc.get_objects())

    living()
    first = living()
    assert living() <= first


@pytest.mark.parametrize("space", LISTED)
class TestEverySpace:
    def test_hessian_equals_row_by_row_differentiation(self, space: str) -> None:
        net, batch = random_net(space), random_batches().valid
        alpha = random_alpha(space)
        point = torch.cat([group.detach().reshape(-1) for group in alpha])
        expected = oracles.hessian(oracle_loss(space, SPACES[space].published(net), batch), point)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        found = validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=0.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * float(expected.abs().max()) + 1e-12)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    def test_one_eigenvalue_per_row_is_exactly_the_weight_decay(self, space: str) -> None:
        net, batch, alpha = random_net(space), random_batches().valid, random_alpha(space)
        matrix = validation_hessian(net, alpha, batch, statistics="batch", dtype=torch.float64, weight_decay=1e-3)
        values = eigenvalues(matrix)
        rows = sum(count for count, _ in SPACES[space].shapes)
        assert len(values) == sum(count * choices for count, choices in SPACES[space].shapes)
        assert int(((values - 1e-3).abs() < 1e-12).sum()) == rows

    def test_first_order_gradient_equals_the_oracle_and_touches_no_weight_gradient(self, space: str) -> None:
        net, batches, alpha = random_net(space), random_batches(), random_alpha(space)
        point = torch.cat([group.detach().reshape(-1) for group in alpha]).requires_grad_()
        expected = torch.autograd.grad(oracle_loss(space, SPACES[space].published(net), batches.valid)(point), point)[0]
        found = architects.first_order(net, alpha, batches, NO_STATE, Objective(), None)
        torch.testing.assert_close(torch.cat([group.reshape(-1) for group in found]), expected, rtol=0, atol=1e-11)
        assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())

    @pytest.mark.parametrize("product", ["exact", "difference"])
    def test_second_order_gradient_equals_the_unrolled_oracle(self, space: str, product: str) -> None:
        net, batches, alpha = random_net(space), random_batches(), random_alpha(space)
        views = SPACES[space].published(net)
        names = [name for name in views if "running" not in name and "tracked" not in name]
        generator = torch.Generator().manual_seed(1)
        buffers = {name: torch.randn(views[name].shape, generator=generator, dtype=torch.float64) for name in names}
        expected = unrolled_oracle(space, views, names, buffers, batches, product)
        # A twin whose weights are the momentum buffers carries the oracle's buffers over to our names.
        twin = random_net(space)
        for name, view in SPACES[space].published(twin).items():
            if name in buffers:
                view.copy_(buffers[name])
        optimizer = Optimizer(0.05, 0.9, 3e-4, [weight.detach() for weight in twin.parameters()])
        before = [weight.detach().clone() for weight in net.parameters()]
        found = architects.second_order(
            net, alpha, batches, optimizer, Objective(), SimpleNamespace(unrolled_product=product)
        )
        torch.testing.assert_close(torch.cat([group.reshape(-1) for group in found]), expected, rtol=1e-8, atol=1e-10)
        assert all(torch.equal(left, right) for left, right in zip(before, net.parameters(), strict=True))
        assert all(weight.grad is None for weight in net.parameters())

    def test_attack_never_lowers_the_loss_and_stays_on_the_simplex(self, space: str) -> None:
        net, batch = random_net(space).eval(), random_batches().train
        mixture = tuple(group.detach() for group in softmax(random_alpha(space)))
        for radius in (0.03, 0.3):
            noise = tuple(radius * uniform(tuple(rows.shape), stream(0, space)) for rows in mixture)

            def loss(point: Mixture) -> Tensor:
                return F.cross_entropy(net(batch.images, point), batch.labels)

            found = perturbations.adversarial(mixture, loss, radius, noise, attack())
            assert found.gain is not None
            with torch.no_grad():
                before, after = float(loss(mixture)), float(loss(found.mixture))
            assert after >= before
            assert float(found.gain) == pytest.approx(after - before)
            on_simplex(found.mixture)


def unrolled_oracle(
    space: str,
    views: dict[str, Tensor],
    names: list[str],
    buffers: dict[str, Tensor],
    batches: architects.Batches,
    product: str,
) -> Tensor:
    """Gradient of L_valid(w - lr * (momentum * buffer + dL_train/dw + decay * w), alpha).

    "exact" differentiates through everything; "difference" replaces the mixed second derivative by the central
    difference of DARTS, equation 8, with R = 0.01 / norm.
    """
    weights = {name: views[name].detach().clone().requires_grad_() for name in names}
    statistics = {name: value for name, value in views.items() if name not in weights}
    point = torch.cat([group.detach().reshape(-1) for group in random_alpha(space)]).requires_grad_()
    train = oracle_loss(space, {**statistics, **weights}, batches.train)(point)
    slopes = torch.autograd.grad(train, list(weights.values()), create_graph=True)
    moved = {
        name: weight - 0.05 * (0.9 * buffers[name] + slope + 3e-4 * weight)
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }
    if product == "exact":
        return torch.autograd.grad(oracle_loss(space, {**statistics, **moved}, batches.valid)(point), point)[0]
    moved = {name: weight.detach().requires_grad_() for name, weight in moved.items()}
    valid = oracle_loss(space, {**statistics, **moved}, batches.valid)(point)
    direct, *direction = torch.autograd.grad(valid, [point, *moved.values()])
    reach = 0.01 / torch.cat([part.reshape(-1) for part in direction]).norm()

    def slope_at(sign: int) -> Tensor:
        shifted = {n: weights[n].detach() + sign * reach * part for n, part in zip(names, direction, strict=True)}
        return torch.autograd.grad(oracle_loss(space, {**statistics, **shifted}, batches.train)(point), point)[0]

    return direct - 0.05 * (slope_at(1) - slope_at(-1)) / (2 * reach)


def on_simplex(mixture: Mixture) -> None:
    for rows in mixture:
        assert float(rows.min()) >= 0
        torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=rows.dtype), rtol=0, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=2, max_size=6))
def test_projection_equals_plain_python(row: list[float]) -> None:
    found = perturbations.project((torch.tensor([row], dtype=torch.float64),))[0][0].tolist()
    assert found == pytest.approx(project_row(row), abs=1e-14)


def test_projection_of_a_row_without_a_positive_entry_is_one_hot_at_the_largest() -> None:
    found = perturbations.project((torch.tensor([[-0.3, -0.1, -0.2], [0.0, 0.0, 0.0]]),))[0]
    assert found.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", [name for name, part in perturbations.PERTURBATIONS.items() if part.perturb])
def test_every_perturbation_stays_on_the_simplex_and_leaves_its_input(name: str) -> None:
    perturb = perturbations.PERTURBATIONS[name].perturb
    assert perturb is not None
    mixture = tuple(group.detach() for group in softmax(random_alpha("nasbench1shot1-s3", 3.0)))
    kept = [rows.clone() for rows in mixture]
    noise = tuple(0.3 * uniform(tuple(rows.shape), stream(1, name)) for rows in mixture)
    target = [torch.randn_like(rows) for rows in mixture]

    def loss(point: Mixture) -> Tensor:
        return torch.stack([(rows * goal).sum() for rows, goal in zip(point, target, strict=True)]).sum()

    found = perturb(mixture, loss, 0.3, noise, attack())
    on_simplex(found.mixture)
    assert all(torch.equal(left, right) for left, right in zip(mixture, kept, strict=True))


def test_an_attack_that_lowers_the_loss_falls_back_unless_told_otherwise() -> None:
    mixture = (torch.tensor([[0.2, 0.8]], dtype=torch.float64),)
    noise = (torch.zeros(1, 2, dtype=torch.float64),)

    def peaked(point: Mixture) -> Tensor:
        """Its maximum is at the mixture: every step away lowers it."""
        return -(point[0] - mixture[0]).square().sum() + 1e-6 * point[0][0, 0]

    kept = perturbations.adversarial(mixture, peaked, 0.3, noise, attack(attack_steps=1))
    loose = perturbations.adversarial(mixture, peaked, 0.3, noise, attack(attack_steps=1, attack_fallback=False))
    assert torch.equal(kept.mixture[0], mixture[0])
    assert kept.fell_back is not None
    assert kept.gain is not None
    assert float(kept.fell_back) == 1
    assert float(kept.gain) == 0
    assert not torch.equal(loose.mixture[0], mixture[0])


def test_one_attack_step_by_hand() -> None:
    mixture = (torch.tensor([[0.5, 0.5]], dtype=torch.float64),)
    noise = (torch.zeros(1, 2, dtype=torch.float64),)
    found = perturbations.adversarial(
        mixture,
        lambda point: 2 * point[0][0, 0] - point[0][0, 1],
        0.1,
        noise,
        attack(attack_steps=1, attack_scale=1.0),
    )
    # One step of 0.1 along the signs (+, -): [0.6, 0.4], whose sum is 1.
    torch.testing.assert_close(found.mixture[0], torch.tensor([[0.6, 0.4]], dtype=torch.float64))
    assert found.gain is not None
    assert float(found.gain) == pytest.approx(0.3)


def test_hessian_of_a_known_function() -> None:
    weights = torch.arange(1.0, 8.0, dtype=torch.float64)
    alpha = (torch.randn(1, 3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64))

    def of_mixture(mixture: Mixture) -> Tensor:
        entries = torch.cat([rows.reshape(-1) for rows in mixture])
        return (weights * entries.pow(3)).sum() + entries.prod() * 10 + (entries @ weights).square()

    def of_logits(point: Tensor) -> Tensor:
        return of_mixture(oracles.softmax((point[:3].view(1, 3), point[3:].view(2, 2))))

    point = torch.cat([group.reshape(-1) for group in alpha])
    torch.testing.assert_close(hessian(of_mixture, alpha), oracles.hessian(of_logits, point), rtol=1e-11, atol=1e-11)


def test_a_loss_that_changes_between_its_two_calls_is_refused() -> None:
    calls: list[int] = []

    def changing(mixture: Mixture) -> Tensor:
        calls.append(len(calls))
        return mixture[0].pow(3).sum() if len(calls) == 1 else mixture[0].sum()

    with pytest.raises(ValueError, match="same calls"):
        hessian(changing, (torch.zeros(2, 3),))


def test_published_learning_rates() -> None:
    spec = small_spec(epochs=100)
    assert [round(learning_rate(spec, epoch), 6) for epoch in (0, 50, 99)] == [0.024994, 0.012623, 0.001]
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.025)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.001)
    for epoch in range(100):
        optimizer.step()
        schedule.step()  # before the epoch, as published
        assert learning_rate(spec, epoch) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
    assert learning_rate(small_spec(epochs=100, lr_epoch_shift=0), 0) == 0.025


def test_radius_grows_linearly_or_is_constant() -> None:
    spec = small_spec(epochs=100)
    assert perturbation_radius(spec, 0) == 0.03
    assert perturbation_radius(spec, 50) == pytest.approx(0.165)
    assert perturbation_radius(spec, 99) == pytest.approx(0.03 + 0.27 * 0.99)
    assert perturbation_radius(small_spec(radius_schedule="constant", radius=0.2), 0) == 0.2


def test_streams_differ_by_seed_purpose_and_epoch_and_repeat() -> None:
    draws = {
        key: torch.rand(4, generator=stream(*key)).tolist()
        for key in ((0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1))
    }
    assert len({tuple(values) for values in draws.values()}) == 4
    assert torch.rand(4, generator=stream(0, "a", 0)).tolist() == draws[0, "a", 0]


def test_uniform_covers_minus_one_to_one() -> None:
    draws = uniform((20_000,), stream(0, "uniform"))
    assert -1 <= float(draws.min()) < -0.999
    assert 0.999 < float(draws.max()) <= 1
    assert abs(float(draws.mean())) < 0.02
    assert float(draws.std()) == pytest.approx(1 / math.sqrt(3), rel=0.02)
