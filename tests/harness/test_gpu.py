"""On a CUDA GPU (``pytest -m gpu``): the same numbers, captured steps, nothing that waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.images.dataset import halves
from nas_stability.harness.capture import Captured, Launch
from nas_stability.harness.given import Moment, epoch_batches
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.search import advance, search_step
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search, start
from tests.harness.every_method import cases
from tests.harness.test_search import differing, state
from tests.small import STEPS, begin, small_spec

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


def on_gpu(space: str, method: str, **values: Value) -> tuple[Search, Any]:
    """A search on the GPU at its start, with its data; 46 images, so that the last batch is ragged."""
    spec = small_spec(space=space, method=method, images=46, **values)
    device = torch.device("cuda")
    data = halves(load_data("digits", Path()), spec.images, device)
    return start(spec, data.classes, data.in_channels, device), data


def on_cpu(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in found.items()}


@pytest.mark.gpu
@GPU
@cases
def test_an_epoch_on_a_gpu_equals_one_on_the_cpu(space: str, method: str, values: dict[str, Value]) -> None:
    search, data = on_gpu(space, method, dtype="float64", **values)
    twin, at_home = begin(search.spec)
    for _ in range(2):
        found, expected = advance(search, data), advance(twin, at_home)
        assert found is not None
        assert expected is not None
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-6)
    ours, theirs = on_cpu(state(search)), state(twin)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-7, check_dtype=False)


@pytest.mark.gpu
@GPU
@cases
def test_captured_steps_equal_the_steps_as_they_are(space: str, method: str, values: dict[str, Value]) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        search, data = on_gpu(space, method, batch_size=4, **values)  # five whole batches an epoch and a ragged one
        twin, _ = on_gpu(space, method, batch_size=4, **values)
        step = Captured(twin, search_step)
        for _ in range(3):
            found, expected = advance(twin, data, step=step), advance(search, data)
            assert found is not None
            assert expected is not None
            assert found[:-1] == expected[:-1]
        assert step.graph is not None
    finally:
        torch.use_deterministic_algorithms(False)
    assert differing(on_cpu(state(search)), on_cpu(state(twin))) == []


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("method", STEPS)
def test_nothing_in_an_epoch_waits_for_the_gpu(method: str) -> None:
    search, data = on_gpu("nasbench201", method)
    batches = list(epoch_batches(search, data, 0.1))
    search_step(search, batches[0][0], Moment(0.02, 0.1), batches[0][1])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for each, draws in batches:
            search_step(search, each, Moment(0.02, 0.1), draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@GPU
def test_a_captured_run_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    spec = small_spec(method="sdarts-adv", batch_size=4, epochs=3)
    place = Place(device="cuda", launch=Launch(cuda_graph=True))
    run(spec, tmp_path / "whole", place, Watch())
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        run(spec, tmp_path / "stopped", place, Watch(interrupted=lambda: next(asked) == 7))
    run(spec, tmp_path / "stopped", place, Watch())
    first, second = ((tmp_path / name / "alphas.npz").read_bytes() for name in ("whole", "stopped"))
    assert first == second
