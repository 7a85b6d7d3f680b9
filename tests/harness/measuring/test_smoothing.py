"""The loss under perturbations of the mixture: held to draws by hand, and its expansion to finite differences."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy
import pandas
import pytest
import torch
import torch.nn.functional as F

import nas_stability as ns
from nas_stability.benchmarks.spaces.space import Mixture, softmax
from nas_stability.command_line import main
from nas_stability.harness.measuring.curvature import flat, probe_loss, unflat
from nas_stability.harness.measuring.measure import probe
from nas_stability.harness.measuring.smoothing import DRAWS, RADII, answers, expansion, smoothing
from nas_stability.harness.methods.perturbations import project
from nas_stability.harness.rng import stream, uniform
from nas_stability.harness.runs import run
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start
from tests.small import CPU, PLACE, digits, small_spec

UNWATCHED = run.Watch(lambda done, total: None, lambda: False)
SPACES = ("nasbench201", "nasbench1shot1-s1", "darts-s1")


def spec_of(space: str = "nasbench201", **values: object) -> RunSpec:
    width = 2 if not space.startswith("darts") else 4
    return small_spec(space=space, width=width, dtype="float64", hessian_dtype="float64", smoothing=True, **values)


def begun(space: str) -> tuple[Search, RunSpec]:
    spec = spec_of(space)
    search = start(spec, 10, 1, CPU)
    generator = torch.Generator().manual_seed(1)
    alpha = tuple(torch.randn(rows.shape, generator=generator, dtype=torch.float64) for rows in search.alpha)
    search.put(search.net.state_dict(), alpha, 0)
    return search, spec


@pytest.mark.parametrize("space", SPACES)
def test_the_expansion_is_that_of_other_derivatives(space: str) -> None:
    search, spec = begun(space)
    mixture = softmax(search.alpha)
    with probe_loss(search.net, probe(search, digits(spec), torch.float64), "batch", torch.float64) as loss:
        slope, bend = expansion(loss, mixture)

        point, step = flat(mixture).detach(), 1e-7

        def slope_at(vector: torch.Tensor) -> torch.Tensor:
            rows = tuple(part.detach().requires_grad_() for part in unflat(vector, mixture))
            return flat(torch.autograd.grad(loss(rows), rows))

        moves = step * torch.eye(len(point), dtype=torch.float64)
        rises = [float(loss(unflat(point + one, mixture)) - loss(unflat(point - one, mixture))) for one in moves]
        bends = torch.stack([slope_at(point + one) - slope_at(point - one) for one in moves])
    assert slope.tolist() == pytest.approx([one / (2 * step) for one in rises], rel=1e-5, abs=1e-6)
    assert torch.allclose(bend, bends / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", SPACES[:2])
def test_the_expansion_holds_where_the_radius_is_small(space: str) -> None:
    """As small as no ReLU of these few images turns within it: there the loss is smooth."""
    search, spec = begun(space)
    mixture = softmax(search.alpha)
    generator = torch.Generator().manual_seed(2)
    draws = [tuple(2 * torch.rand(rows.shape, generator=generator) - 1 for rows in mixture) for _ in range(3)]
    with probe_loss(search.net, probe(search, digits(spec), torch.float64), "batch", torch.float64) as loss:
        slope, bend = expansion(loss, mixture)
        for radius in (1e-4, 1e-5):
            for draw in draws:
                moved = tuple(p + radius * d for p, d in zip(mixture, draw, strict=True))
                measured, first, second = answers(loss, mixture, [moved], slope, bend)
                assert measured == pytest.approx(first + second, rel=0.05, abs=1e-9)
    assert measured == pytest.approx(first, rel=0.05), "and the gradient is nearly all of it"


def by_hand(search: Search, spec: RunSpec, radius: float, projected: bool) -> float:
    """The mean rise over the draws, one loss after the other, of a net in training mode."""
    generator = stream(spec.seed, "smoothing")
    mixture = softmax(search.alpha)
    draws = [tuple(uniform(rows.shape, generator) for rows in mixture) for _ in range(DRAWS)]
    images, labels = probe(search, digits(spec), torch.float64)
    state = {name: value.clone() for name, value in search.net.state_dict().items()}

    def loss(at: Mixture) -> float:
        with torch.no_grad():
            found = float(F.cross_entropy(search.net.train()(images, at), labels))
        search.net.load_state_dict(state)
        return found

    moved = [tuple(p + radius * d for p, d in zip(mixture, draw, strict=True)) for draw in draws]
    return float(numpy.mean([loss(project(one) if projected else one) for one in moved])) - loss(mixture)


@pytest.mark.parametrize("space", SPACES)
def test_what_is_measured_is_the_mean_over_draws(space: str) -> None:
    search, spec = begun(space)
    before = {name: value.clone() for name, value in search.net.state_dict().items()}
    found = {(row.perturbation, row.radius): row for row in smoothing(search, digits(spec))}
    assert {name for name, _ in found} == {"uniform", "projected", "attack"}
    for radius in RADII:
        for name, projected in (("uniform", False), ("projected", True)):
            assert found[name, radius].measured == pytest.approx(by_hand(search, spec, radius, projected), rel=1e-9)
        assert found["attack", radius].measured >= 0, "it falls back where the loss has not risen"
        assert found["projected", radius].expected is None
    small, large = (found["uniform", radius] for radius in RADII)
    assert large.expected == pytest.approx(100 * small.expected)
    assert large.second_order == pytest.approx(100 * small.second_order)
    assert large.first_order == pytest.approx(10 * small.first_order)
    assert all(torch.equal(value, before[name]) for name, value in search.net.state_dict().items())


def test_the_expectation_is_that_of_many_draws() -> None:
    """Of a quadratic with a known trace the mean over draws comes near radius squared / 6 times it."""
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    bend, mixture = square @ square.T, (torch.full((2, 3), 1 / 3, dtype=torch.float64),)

    def loss(at: Mixture) -> torch.Tensor:
        return flat(at) @ bend @ flat(at) / 2

    moved = [(mixture[0] + 0.3 * (2 * torch.rand(2, 3, generator=generator) - 1),) for _ in range(20_000)]
    measured, first, second = answers(loss, mixture, moved, bend @ flat(mixture), bend)
    assert measured == pytest.approx(first + second, rel=1e-9)
    assert second == pytest.approx(0.3**2 / 6 * float(bend.trace()), rel=0.03)


def test_it_is_asked_for_by_a_field_and_moves_nothing(tmp_path: Path) -> None:
    spec = spec_of(epochs=3, measure_every=2)
    run.run(spec, tmp_path / "with", PLACE, UNWATCHED)
    run.run(dataclasses.replace(spec, smoothing=False), tmp_path / "without", PLACE, UNWATCHED)
    rows = pandas.read_csv(tmp_path / "with" / "smoothing.csv")
    assert list(rows["epoch"].unique()) == [0, 2, 3]
    assert len(rows) == 3 * 3 * len(RADII)
    assert not (tmp_path / "without" / "smoothing.csv").exists()
    for name in ("spectrum.csv", "alphas.npz"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    one, other = (
        pandas.read_csv(tmp_path / name / "epochs.csv").drop(columns=["run", "seconds"]) for name in ("with", "without")
    )
    pandas.testing.assert_frame_equal(one, other)


def test_stopped_after_any_step_its_rows_are_the_same(tmp_path: Path) -> None:
    spec = spec_of(epochs=2)
    run.run(spec, tmp_path / "whole", PLACE, UNWATCHED)
    asked = 0

    def now() -> bool:
        nonlocal asked
        asked += 1
        return asked % 2 == 0

    for _ in range(20):
        try:
            run.run(spec, tmp_path / "parts", PLACE, run.Watch(lambda done, total: None, now))
            break
        except run.Interrupted:
            continue
    assert (tmp_path / "parts" / "smoothing.csv").read_bytes() == (tmp_path / "whole" / "smoothing.csv").read_bytes()


def test_it_is_certified_and_drawn(tmp_path: Path) -> None:
    for seed in (0, 1):
        spec = spec_of(epochs=1, seed=seed)
        run.run(spec, tmp_path / "runs" / spec.run_id, PLACE, UNWATCHED)
    assert main(["check", str(tmp_path / "runs")]) == 0
    drawn = ns.figure(tmp_path / "runs", "smoothing")
    assert len(drawn.axes) == len(RADII)
    assert main(["report", str(tmp_path / "runs"), "--only", "smoothing", "--out", str(tmp_path / "out")]) == 0
    numbers = pandas.read_csv(tmp_path / "out" / "smoothing.csv")
    assert len(numbers) == 2 * 2 * 3 * len(RADII)
    marks = [line for axes in drawn.axes for line in axes.get_lines() if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in marks) == len(numbers)
    place = next((tmp_path / "runs").glob("*/smoothing.csv"))
    text = place.read_text()
    place.write_text(text.replace("uniform", "uniforn", 1))
    assert main(["check", str(tmp_path / "runs")]) != 0
    place.unlink()
    assert main(["check", str(tmp_path / "runs")]) != 0
    shutil.rmtree(tmp_path / "runs")
