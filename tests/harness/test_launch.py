"""Steps that are compiled, captured or cast: they move the search as plain ones do, or say that they cannot."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.space import Mixture, Supernet
from nas_stability.command_line import main
from nas_stability.harness import capture
from nas_stability.harness.capture import Captured, Launch, available, compiled
from nas_stability.harness.given import Draws, Moment
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.records.record import DONE, EPOCHS
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.machine import tf32
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.search import advance, search_step
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search
from tests.harness.every_method import pairs
from tests.harness.test_search import differing, state
from tests.slow import marked
from tests.small import CPU, PLACE, begin, small_spec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backend"), [("sdarts-adv", "eager"), ("darts-2nd", "eager"), ("sdarts-rs", "aot_eager")]
)
def test_compiled_steps_equal_the_steps_as_they_are(method: str, backend: str) -> None:
    search, twin, batches = pairs("nasbench201", method)
    step = compiled(twin, backend)
    for lr in (0.03, 0.02):
        for each, draws in batches[-2:]:
            plain, fast = search_step(search, each, Moment(lr, 0.1), draws), step(twin, each, Moment(lr, 0.1), draws)
            assert torch.equal(plain.loss, fast.loss)
    assert len(batches[-1][0].train.labels) == 3
    assert differing(state(search), state(twin)) == []


@pytest.mark.slow
def test_compiled_steps_of_1shot1_equal_but_for_the_order_of_sums() -> None:
    search, twin, batches = pairs("nasbench1shot1-s1", "sdarts-adv", dtype="float64")
    step = compiled(twin, "eager")
    for each, draws in batches:
        search_step(search, each, Moment(0.02, 0.1), draws)
        step(twin, each, Moment(0.02, 0.1), draws)
    for name, value in state(search).items():
        torch.testing.assert_close(state(twin)[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_only_whole_batches_are_compiled_and_measuring_is_not() -> None:
    seen: Counter[int] = Counter()

    def backend(module: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
        def passing(*inputs: Tensor) -> Any:
            seen[next(len(tensor) for tensor in inputs if tensor.ndim == 4 and tensor.shape[-1] == 8)] += 1
            return module(*inputs)

        return passing

    search, _, batches = pairs("nasbench201", "darts")
    step = compiled(search, backend)  # type: ignore[arg-type]
    for each, draws in batches:
        step(search, each, Moment(0.02, 0.1), draws)
    counted = seen.copy()
    assert sum(counted.values()) == 2 * (len(batches) - 1)
    assert set(counted) == {10}
    search.net(batches[0][0].train.images, tuple(torch.softmax(group, 1).detach() for group in search.alpha))
    assert seen == counted


class FakeGraph:
    """A CUDA graph without CUDA: capturing is undone, replaying carries the step out and writes to the same places."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.replays = 0

    def __call__(self) -> FakeGraph:
        return self

    @contextlib.contextmanager
    def capturing(self, graph: FakeGraph, stream: object) -> Iterator[None]:
        before = [value.clone() for value in live(self.captured.search)]
        yield
        with torch.no_grad():
            for place, value in zip(live(self.captured.search), before, strict=True):
                place.copy_(value)

    def replay(self) -> None:
        captured = self.captured
        assert captured.constants is not None
        assert captured.outcome is not None
        train, labels, valid, valid_labels, *drawn = (value.clone() for value in captured.inputs)
        batches = Batches(Batch(train, labels), Batch(valid, valid_labels))
        found = captured.step(captured.search, batches, captured.constants, Draws(tuple(drawn)))
        for place, value in zip(captured.outcome, found, strict=True):
            if isinstance(place, Tensor):
                place.copy_(value)
        self.replays += 1


def live(search: Search) -> list[Tensor]:
    """Everything that a step changes, itself."""
    found = [*search.net.state_dict().values(), *search.alpha]
    for optimizer in (search.weight_optimizer, search.arch_optimizer):
        found += [value for entries in optimizer.state.values() for value in entries.values()]
    return found


@pytest.mark.slow
def test_capturing_loses_no_step_and_mixes_up_no_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of warming up, capturing and replaying; the kernels themselves need a GPU."""
    stream = mock.MagicMock()
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    spec = small_spec(method="sdarts-adv", images=46, batch_size=4, epochs=3)
    search, data = begin(spec)
    twin, _ = begin(spec)
    captured = Captured(twin, search_step)
    graph = FakeGraph(captured)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", graph.capturing)
    for replays in (2, 7, 12):  # of five whole batches an epoch; the first three of all warm up
        found, expected = advance(twin, data, step=captured), advance(search, data)
        assert found is not None
        assert expected is not None
        assert found[:-1] == expected[:-1]
        assert graph.replays == replays
        assert differing(state(search), state(twin)) == []


def test_what_is_not_available_falls_back_with_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, spec = Launch(compile=True, cuda_graph=True), small_spec()
    monkeypatch.setattr(capture, "BACKEND", "eager")
    found, lines = available(everything, CPU, spec)
    assert found == Launch(compile=True)
    assert lines == ["--cuda-graph is not available, steps run as they are: the device is cpu, not a CUDA GPU"]
    found, lines = available(Launch(compile=True), CPU, small_spec(method="darts-2nd", unrolled_product="exact"))
    assert found == Launch()
    assert "does not differentiate twice" in lines[0]
    monkeypatch.setattr(capture, "BACKEND", "no such backend")
    found, lines = available(everything, CPU, spec)
    assert found == Launch()
    assert len(lines) == 2
    assert lines[0].startswith("--compile is not available, steps run as they are: ")
    assert available(Launch(), CPU, spec) == (Launch(), [])


@pytest.mark.slow
def test_a_run_says_how_it_was_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "BACKEND", "eager")
    spec = small_spec(epochs=1)
    run(spec, tmp_path / "plain", PLACE, Watch())
    run(spec, tmp_path / "fast", PLACE._replace(launch=Launch(compile=True, cuda_graph=True)), Watch())
    plain, fast = (json.loads((tmp_path / name / DONE).read_text()) for name in ("plain", "fast"))
    assert plain["launch"] == {"compile": False, "cuda_graph": False}
    assert fast["launch"] == {"compile": True, "cuda_graph": False}
    assert plain["files"]["alphas.npz"] == fast["files"]["alphas.npz"]


def test_the_command_line_says_what_is_not_available(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "run --space nasbench201 --method darts --data digits --images 24 --epochs 1 --batch-size 12 --width 2"
    assert main([*flags.split(), "--depth", "1", "--hessian", "false", "--cuda-graph", "--out", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "--cuda-graph" in line]
    assert lines == [
        "nas-stability: --cuda-graph is not available, steps run as they are: the device is cpu, not a CUDA GPU"
    ]
    assert json.loads((tmp_path / DONE).read_text())["launch"] == {"compile": False, "cuda_graph": False}


@pytest.mark.parametrize("method", ["darts", "sdarts-rs", marked("sdarts-adv")])
@pytest.mark.parametrize("space", ["nasbench201", marked("nasbench1shot1-s1")])
def test_bfloat16_losses_are_near_those_of_float32(space: str, method: str) -> None:
    search, _, batches = pairs(space, method, width=8)
    cast, _ = begin(small_spec(space=space, method=method, images=46, width=8, autocast="bfloat16"))
    for each, draws in batches[:2]:
        plain, rounded = (search_step(one, each, Moment(0.02, 0.1), draws).loss for one in (search, cast))
        assert rounded.dtype == torch.float32
        assert rounded != plain
        assert float(rounded) == pytest.approx(float(plain), rel=0.05)
    assert {value.dtype for name, value in state(cast).items() if "tracked" not in name} == {torch.float32}


def test_a_run_in_bfloat16_casts_the_search_and_not_the_hessian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[bool, bool]] = set()
    logits = Supernet.logits

    def watched(net: Supernet, features: Tensor, mixture: Mixture) -> Tensor:
        found = logits(net, features, mixture)
        seen.add((torch.is_autocast_enabled("cpu"), found.dtype == torch.bfloat16))
        return found

    monkeypatch.setattr(Supernet, "logits", watched)
    assert run(small_spec(epochs=1, autocast="bfloat16"), tmp_path, PLACE, Watch())
    assert seen == {(True, True), (False, False)}
    assert all(row["spectral_norm"] for row in read_rows(tmp_path / EPOCHS))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float64"}, "must be off for dtype float64"),
        ({"method": "darts-2nd"}, "must be off for darts-2nd with unrolled_product difference"),
    ],
)
def test_casts_that_mean_nothing_are_refused(values: dict[str, Value], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        small_spec(autocast="bfloat16", **values)


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [False, True])
def test_tf32_is_set_for_a_run_and_restored_after_it(
    allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    seen = set()
    watch = Watch(lambda epoch, epochs: seen.add(flags()))
    run(small_spec(epochs=1, tf32=allowed), tmp_path, PLACE, watch)
    assert seen == {(allowed, allowed)}
    assert flags() == before

    def failing() -> None:
        with tf32(not allowed):
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert flags() == before
