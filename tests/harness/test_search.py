"""Laws of the search: pairing, passes, purity of measuring, reproducibility, replay of the published traces."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness import replay
from nas_stability.harness.given import Moment, epoch_batches
from nas_stability.harness.measuring.asked_table import answers, table_of
from nas_stability.harness.measuring.measure import measure
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.search import advance, search_step
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search
from tests.slow import slow_but
from tests.small import DIVERGES, LISTED, SHARED, STEPS, begin, small_spec

TRACES = sorted((Path(__file__).parents[1] / "traces").glob("*.npz"))
REFERENCE = sorted(
    path
    for path in (SHARED / "reference" / "traces").glob("*.npz")
    if path.stem in {f"{space}_{method}" for space in SPACES for method in METHODS}
)
CASES = [("nasbench201", method) for method in STEPS] + [("nasbench1shot1-s2", method) for method in STEPS]


def state(search: Search) -> dict[str, torch.Tensor]:
    """Everything that the search carries, by name."""
    found = {f"net/{name}": value.clone() for name, value in search.net.state_dict().items()}
    found |= {f"alpha/{index}": group.detach().clone() for index, group in enumerate(search.alpha)}
    for kind, optimizer in (("sgd", search.weight_optimizer), ("adam", search.arch_optimizer)):
        for index, entries in optimizer.state_dict()["state"].items():
            found |= {f"{kind}/{index}/{name}": torch.as_tensor(value).clone() for name, value in entries.items()}
    return found


def differing(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    """Names of what is not bit-equal."""
    there = left.keys() & right.keys()
    return sorted({name for name in there if not torch.equal(left[name], right[name])} | (left.keys() ^ right.keys()))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_replay_of_a_trace(path: Path) -> None:
    assert replay.replay(path).worst < replay.TOLERANCE


@pytest.mark.skipif(not REFERENCE, reason="the reference traces are not beside this checkout")
@pytest.mark.slow
def test_replay_of_every_reference_trace() -> None:
    assert len(REFERENCE) == 49
    for path in REFERENCE:
        assert replay.replay(path).worst < replay.TOLERANCE, path


def test_the_shipped_traces_clip_the_gradient_and_fall_back_to_nothing_silently() -> None:
    """Evidence that the traces exercise clipping: without it, the replay of the NAS-Bench-201 ones must fail."""
    arrays = dict(replay.read(next(path for path in TRACES if path.stem == "nasbench201_darts")))
    meta = str(arrays["meta"]).replace('"grad_clip": 5.0', '"grad_clip": 500.0')
    assert meta != str(arrays["meta"])
    assert replay.compare({**arrays, "meta": numpy.array(meta)}).worst > 1e-4


QUICK = [("nasbench201", "sdarts-adv"), ("nasbench201", "sdarts-rs")]


@pytest.mark.parametrize(("space", "method"), slow_but(CASES, *QUICK))
def test_measuring_changes_nothing(space: str, method: str) -> None:
    spec = small_spec(space=space, method=method)
    plain, data = begin(spec)
    watched, _ = begin(spec)
    answered = answers(table_of(spec), watched.space, spec.table_epochs, spec.rank_sample)
    measure(watched, data, answered, None, softmax(watched.alpha), 0.0)
    for _ in range(2):
        advance(plain, data)
        outcome = advance(watched, data)
        record, values = measure(watched, data, answered, outcome, softmax(watched.alpha), 0.0)
        assert (record.eigenvalue_max is not None) == watched.parts.smooth
        assert len(values) == watched.parts.smooth * sum(group.numel() for group in watched.alpha)
    assert differing(state(plain), state(watched)) == []


@pytest.mark.parametrize("method", slow_but(STEPS, "sdarts-adv"))
def test_the_same_spec_gives_the_same_state_and_another_seed_another(method: str) -> None:
    def after_one(seed: int) -> dict[str, torch.Tensor]:
        search, data = begin(small_spec(method=method, seed=seed))
        advance(search, data)
        return state(search)

    first = after_one(0)
    assert differing(first, after_one(0)) == []
    assert differing(first, after_one(1))


@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench1shot1-s1"))
def test_methods_of_one_seed_share_weights_logits_and_batches(space: str) -> None:
    of_darts = [name for name, method in METHODS.items() if method.variant == "whole" and not method.defaults]
    searches = [begin(small_spec(space=space, method=method)) for method in of_darts]
    assert len(searches) >= 9
    first, data = searches[0]
    reference = [batches for batches, _ in epoch_batches(first, data, 0.1)]
    for search, _ in searches[1:]:
        assert differing(state(first), state(search)) == []
        for left, (right, _) in zip(reference, epoch_batches(search, data, 0.2), strict=True):
            assert torch.equal(left.train.images, right.train.images)
            assert torch.equal(left.valid.labels, right.valid.labels)


@pytest.mark.parametrize(
    ("method", "values", "passes"),
    [
        ("darts", {}, 2),
        ("sdarts-rs", {}, 2),
        ("sdarts-adv", {}, 2),
        ("sdarts-adv", {"attack_batch_norm": "training"}, 2 + 7 + 2),
        ("darts-2nd", {}, 4),
        ("darts-2nd", {"unrolled_product": "exact"}, 2),
    ],
)
def test_training_mode_passes_per_step(method: str, values: dict[str, Value], passes: int) -> None:
    search, data = begin(small_spec(method=method, **values))
    steps = 0
    for batches, draws in epoch_batches(search, data, 0.1):
        search_step(search, batches, Moment(0.02, 0.1), draws)
        steps += 1
    counts = {int(v) for name, v in search.net.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {steps * passes}


def test_the_published_hessian_forward_moves_the_statistics_once_per_epoch() -> None:
    search, data = begin(small_spec(hessian_moves_statistics=True))
    advance(search, data)
    counts = {int(v) for name, v in search.net.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {3 * 2 + 1}


def test_a_step_moves_alpha_on_the_validation_batch_alone() -> None:
    search, data = begin(small_spec(method="sdarts-adv"))
    twin, _ = begin(small_spec(method="darts"))
    batches, draws = next(epoch_batches(search, data, 0.3))
    search_step(search, batches, Moment(0.02, 0.3), draws)
    search_step(twin, batches, Moment(0.02, 0.3), draws)
    assert torch.equal(search.alpha[0], twin.alpha[0])
    assert differing(state(search), state(twin))


@pytest.mark.parametrize("method", ["sdarts-rs", "sdarts-adv"])
def test_radius_zero_is_darts(method: str) -> None:
    values: dict[str, Value] = {"radius": 0.0, "radius_min": 0.0, "dtype": "float64"}
    search, data = begin(small_spec(method=method, **values))
    twin, _ = begin(small_spec(method="darts", dtype="float64"))
    outcome = advance(search, data)
    advance(twin, data)
    for name, value in state(twin).items():
        torch.testing.assert_close(state(search)[name], value, rtol=1e-9, atol=1e-9)
    assert outcome.radius == 0.0


def test_ragged_batches_are_kept_or_dropped() -> None:
    search, data = begin(small_spec(images=46))
    assert [len(b.train.labels) for b, _ in epoch_batches(search, data, 0.1)] == [10, 10, 3]
    search, data = begin(small_spec(images=46, drop_last=True))
    assert [len(b.train.labels) for b, _ in epoch_batches(search, data, 0.1)] == [10, 10]


def test_validation_batches_pass_or_fresh() -> None:
    def seen(kind: str) -> list[bytes]:
        search, data = begin(small_spec(valid_batches=kind))
        return [image.numpy().tobytes() for b, _ in epoch_batches(search, data, 0.1) for image in b.valid.images]

    once, fresh = seen("pass"), seen("fresh")
    assert len(set(once)) == len(once) == 24
    assert len(fresh) == 30
    assert len(set(fresh)) < 24


def test_a_loss_that_is_not_finite_stops_the_search() -> None:
    search, data = begin(small_spec(**DIVERGES))

    def two_epochs() -> None:
        advance(search, data)
        advance(search, data)

    with pytest.raises(FloatingPointError, match="not a finite number"):
        two_epochs()
