"""Random search with weight sharing: what it draws, what it chooses, what it records."""

from __future__ import annotations

import collections
import functools
import itertools
import math
from pathlib import Path

import pytest
import torch

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Dataset, plain_batches
from nas_stability.benchmarks.spaces import cells_1shot1
from nas_stability.benchmarks.spaces.space import Mixture, hardened
from nas_stability.harness.given import epoch_batches
from nas_stability.harness.methods.choices import uniform_mixture
from nas_stability.harness.records.record import EPOCHS, SPECTRUM
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import landscape
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.plane import Grid
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.search import advance
from nas_stability.harness.state import Search
from tests import oracles
from tests.oracles_measure import largest
from tests.slow import slow_but
from tests.small import LISTED, PLACE, begin, random_alpha, small_spec

FEW = {"candidates": 12, "candidate_images": 16, "finalists": 3}


def literal_choice(search: Search, data: Dataset) -> list[list[list[float]]]:
    """Candidate by candidate and image by image, through the literal supernet; what is drawn comes in this order."""
    spec, kept = search.spec, search.space.kept
    generator = stream(spec.seed, "candidates", search.epoch)
    shapes = search.space.shapes
    tensors = search.space.published(search.net)
    ((images, labels),) = plain_batches(data.valid, 10**6, torch.float64)
    candidates = []
    for _ in range(spec.candidates):
        groups = []
        for shape, count in zip(shapes, kept, strict=True):
            rows = torch.rand(shape, generator=generator, dtype=torch.float64).tolist()
            groups.append([[1 / count * (i in largest(row, count)) for i in range(len(row))] for row in rows])
        candidates.append(groups)
    some = torch.randperm(len(labels), generator=generator)[: spec.candidate_images].tolist()

    def correct(groups: list[list[list[float]]], places: list[int]) -> int:
        mixture = tuple(torch.tensor(group, dtype=torch.float64) for group in groups)
        out = oracles.logits(spec.space, tensors, images[places], mixture, spec.depth, False, 0.1)
        return sum(int(row.argmax()) == int(labels[place]) for row, place in zip(out, places, strict=True))

    by_some = [correct(groups, some) for groups in candidates]
    order = sorted(range(len(candidates)), key=lambda place: (-by_some[place], place))
    finalists = sorted(order[: spec.finalists])
    whole = [correct(candidates[place], list(range(len(labels)))) for place in finalists]
    return candidates[finalists[whole.index(max(whole))]]


@pytest.mark.parametrize("seed", slow_but(range(3), 0))
@pytest.mark.parametrize("space", ["nasbench201", "nasbench1shot1-s1"])
def test_the_choice_is_that_of_a_literal_loop(space: str, seed: int) -> None:
    spec = small_spec(space=space, method="random-ws", seed=seed, images=80, dtype="float64", **FEW)
    search, data = begin(spec)
    advance(search, data)
    found = [group.tolist() for group in search.alpha]
    assert found == literal_choice(search, data)


def test_a_half_that_is_tried_whole_at_once_has_no_finalists() -> None:
    """The best of all is then known: a finalist more or less changes nothing."""
    chosen = []
    for finalists in (1, 12):
        spec = small_spec(method="random-ws", **(FEW | {"candidate_images": 640, "finalists": finalists}))
        search, data = begin(spec)
        advance(search, data)
        chosen.append(search.alpha[0].tolist())
    assert chosen[0] == chosen[1]


def test_a_step_is_at_a_decided_mixture_and_leaves_the_logits() -> None:
    search, data = begin(small_spec(space="nasbench1shot1-s1", method="random-ws", **FEW))
    before = [group.detach().clone() for group in search.alpha]
    kept, seen = search.space.kept, []
    for _, draws in epoch_batches(search, data, 0.1):
        assert draws.architect == ()
        mixture = search.parts.relax(search.alpha, draws.weights, 0.0)
        assert all(
            sorted(row)[-count:] == [1 / count] * count and math.isclose(sum(row), 1)
            for group, count in zip(mixture, kept, strict=True)
            for row in group.tolist()
        )
        seen.append(str(mixture))
    assert len(set(seen)) == len(seen)
    advance(search, data)
    assert not all(map(torch.equal, before, search.alpha)), "what was chosen is written into the logits"
    assert search.arch_optimizer.state == {}


@pytest.mark.parametrize("name", LISTED)
def test_a_hardened_mixture_decides_for_the_same(name: str) -> None:
    space = SPACES[name]
    for seed in range(5):
        torch.manual_seed(seed)
        mixture = tuple(group.detach() for group in random_alpha(name, 2.0))
        found = hardened(mixture, space.kept)
        assert space.discretize(found) == space.discretize(mixture)
        assert all(map(torch.equal, hardened(found, space.kept), found))
        for group, count in zip(found, space.kept, strict=True):
            torch.testing.assert_close(group.sum(-1), torch.ones_like(group.sum(-1)))
            assert (group > 0).sum(-1).unique().tolist() == [count]
    ties = hardened(tuple(torch.zeros(shape) for shape in space.shapes), space.kept)
    assert all((group[:, :count] > 0).all() for group, count in zip(ties, space.kept, strict=True)), "ties: the first"


def test_raw_configurations_are_drawn_alike() -> None:
    """Every operation, and every pair of inputs, as often as any other: within five standard deviations."""
    wiring, generator, count = cells_1shot1.Wiring((1, 2, 2, 2), 2), torch.Generator().manual_seed(0), 3000
    like = tuple(torch.zeros(shape) for shape in wiring.shapes)
    decide = functools.partial(hardened, kept=wiring.kept)
    drawn: list[Mixture] = [uniform_mixture(like, decide, generator) for _ in range(count)]
    decisions = [cells_1shot1.decisions(wiring, mixture) for mixture in drawn]
    places = [
        *(([operations[block] for operations, _ in decisions], 3) for block in range(4)),
        ([parents[2] for _, parents in decisions], math.comb(3, 2)),
        ([parents[3] for _, parents in decisions], math.comb(4, 2)),
        ([parents[4] for _, parents in decisions], math.comb(5, 2)),
        ([(operations[0], parents[4]) for operations, parents in decisions], 3 * math.comb(5, 2)),
    ]
    for values, options in places:
        found, share = collections.Counter(values), 1 / options
        assert len(found) == options
        spread = math.sqrt(count * share * (1 - share))
        assert all(abs(number - count * share) < 5 * spread for number in found.values())


def test_a_run_records_what_it_chose_and_no_curvature(tmp_path: Path) -> None:
    spec = small_spec(method="random-ws", **FEW)
    run(spec, tmp_path / "run", PLACE, Watch())
    rows = read_rows(tmp_path / "run" / EPOCHS)
    assert {row["gradient_norm"] + row["eigenvalue_max"] + row["spectral_norm"] for row in rows} == {""}
    assert read_rows(tmp_path / "run" / SPECTRUM) == []
    assert len({row["arch"] for row in rows}) > 1
    assert all(row["accuracy_cifar10_valid"] for row in rows)
    assert check_study(tmp_path / "run").problems == []
    with pytest.raises(BadInput, match="random-ws decides without following its logits"):
        landscape.measure_landscape(tmp_path / "run", Grid(3, 1.0), PLACE, Watch())


def test_a_perturbation_of_it_has_no_meaning() -> None:
    for ending in ("rs", "adv"):
        with pytest.raises(BadInput, match=f"'random-ws-{ending}': random-ws is not perturbed"):
            small_spec(method=f"random-ws-{ending}")


def test_more_candidates_are_no_worse_on_the_half_by_which_they_are_chosen() -> None:
    """Those of a few are among those of many, which are drawn after them."""
    correct = []
    for candidates in (1, 4, 16):
        spec = small_spec(method="random-ws", candidates=candidates, candidate_images=640)
        search, data = begin(spec)
        advance(search, data)
        with torch.no_grad():
            search.net.eval()
            ((images, labels),) = plain_batches(data.valid, 10**6, torch.float32)
            correct.append(int((search.net(images, search.evaluated()).argmax(1) == labels).sum()))
    assert all(few <= many for few, many in itertools.pairwise(correct))
