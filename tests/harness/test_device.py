"""Ready for a GPU, shown without one: no step waits for the device, and what launches it in other ways moves it alike.

On PyTorch's meta device tensors have shapes and no values: reading one, branching on one or mixing in one from the CPU
raises. Tests marked ``gpu`` need a CUDA GPU: ``pytest -m gpu``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nas_stability.benchmarks.catalog import SPACES, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Augmentation, Half, draw_batches, halves
from nas_stability.benchmarks.spaces.space import Mixture, Supernet
from nas_stability.command_line import main
from nas_stability.harness import capture
from nas_stability.harness.capture import Captured, Launch, available, compiled
from nas_stability.harness.given import Draws, Moment, epoch_batches
from nas_stability.harness.measuring.curvature import validation_hessian
from nas_stability.harness.methods import perturbations
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.records.record import CHECKPOINT, DONE, EPOCHS
from nas_stability.harness.records.sealed import read_head
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.machine import tf32
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.search import advance, search_step
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search, start
from tests.harness.test_search import differing, state
from tests.small import CPU, PLACE, begin, small_spec

META = torch.device("meta")
CASES = [
    *((space, method, {}) for space in SPACES for method in METHODS),
    ("nasbench201", "darts-2nd", {"unrolled_product": "exact"}),
    ("nasbench1shot1-s1", "sdarts-adv", {"attack_batch_norm": "training"}),
]
cases = pytest.mark.parametrize(("space", "method", "values"), CASES)


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Adam count its steps on the meta device, which PyTorch leaves out of its list of devices where it can."""
    adam = importlib.import_module("torch.optim.adam")
    there = adam._get_capturable_supported_devices
    monkeypatch.setattr(adam, "_get_capturable_supported_devices", lambda **options: [*there(**options), "meta"])


def meta_half(count: int = 24) -> Half:
    """Digits without values."""
    channel = torch.empty(1, 1, 1, 1, dtype=torch.float64, device=META)
    images = torch.empty(count, 1, 8, 8, dtype=torch.uint8, device=META)
    return Half(images, torch.empty(count, dtype=torch.long, device=META), channel, channel)


def meta_steps(space: str, method: str, **values: Value) -> Search:
    """A search on the meta device after two steps."""
    spec = small_spec(space=space, method=method, **values)
    search = start(spec, 10, 1, META)
    noise = tuple(torch.empty(shape, device=META) for shape in search.space.shapes)
    for _ in range(2):  # the second one has momentum
        halves_of = [
            draw_batches(
                meta_half(), 10, Augmentation(2, True, 3), stream(0, "batches"), False, False, 1, torch.float32
            )
            for _ in range(2)
        ]
        train, valid = (Batch(*next(batches)) for batches in halves_of)
        search_step(search, Batches(train, valid), Moment(0.02, 0.1), Draws(noise))
    return search


@cases
def test_no_step_of_any_method_reads_from_the_device(
    meta: None, space: str, method: str, values: dict[str, Value]
) -> None:
    search = meta_steps(space, method, **values)
    assert {weight.device.type for weight in search.net.parameters()} == {"meta"}
    assert {entry.device.type for entry in state(search).values()} == {"meta"}


@pytest.mark.parametrize(
    ("space", "statistics"), [*((space, "batch") for space in SPACES), ("nasbench1shot1-s1", "running")]
)
def test_the_hessian_reads_nothing_from_the_device(space: str, statistics: str) -> None:
    search = start(small_spec(space=space), 10, 1, META)
    batch = Batch(torch.empty(8, 1, 8, 8, device=META), torch.empty(8, dtype=torch.long, device=META))
    matrix = validation_hessian(
        search.net, search.alpha, batch, statistics=statistics, dtype=torch.float64, weight_decay=0.1
    )
    entries = sum(rows * choices for rows, choices in search.space.shapes)
    assert (matrix.shape, matrix.device.type) == ((entries, entries), "meta")


def reads(found: perturbations.Perturbed) -> None:
    assert found.fell_back is not None
    found.fell_back.item()


def branches(found: perturbations.Perturbed) -> None:
    if found.gain:
        pass


def mixes(found: perturbations.Perturbed) -> None:
    assert found.gain is not None
    found.gain + torch.zeros(1)


@pytest.mark.parametrize("fault", [reads, branches, mixes])
def test_a_step_that_waits_for_the_device_raises_there(
    meta: None, fault: Callable[[perturbations.Perturbed], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = perturbations.PERTURBATIONS["adversarial"]

    def faulty(*arguments: Any, **settings: Any) -> perturbations.Perturbed:
        assert part.perturb is not None
        found = part.perturb(*arguments, **settings)
        fault(found)
        return found

    monkeypatch.setitem(perturbations.PERTURBATIONS, "adversarial", part._replace(perturb=faulty))
    with pytest.raises((RuntimeError, NotImplementedError), match=r"meta"):
        meta_steps("nasbench201", "sdarts-adv")


class Reads(TorchDispatchMode):
    """Counts values that are read into Python."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@cases
def test_a_step_on_the_cpu_reads_nothing_but_adams_own_counter(
    space: str, method: str, values: dict[str, Value]
) -> None:
    search, data = begin(small_spec(space=space, method=method, **values))
    reads, of_adam = Reads(), 0
    step = search.arch_optimizer.step

    def counted() -> None:
        nonlocal of_adam
        before = reads.count
        step()
        of_adam += reads.count - before

    search.arch_optimizer.step = counted  # type: ignore[method-assign,assignment]
    for batches, draws in epoch_batches(search, data, 0.1):
        with reads:
            search_step(search, batches, Moment(0.02, 0.1), draws)
    assert of_adam > 0  # the count works
    assert reads.count == of_adam


def pairs(space: str, method: str, **values: Value) -> tuple[Search, Search, list[tuple[Batches, Mixture]]]:
    """Two searches at the same start, and the batches of an epoch whose last one is ragged."""
    search, data = begin(small_spec(space=space, method=method, images=46, **values))
    twin, _ = begin(search.spec)
    return search, twin, list(epoch_batches(search, data, 0.1))


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


def test_compiled_steps_of_1shot1_equal_but_for_the_order_of_sums() -> None:
    search, twin, batches = pairs("nasbench1shot1-s1", "sdarts-adv", dtype="float64")
    step = compiled(twin, "eager")
    for each, draws in batches:
        search_step(search, each, Moment(0.02, 0.1), draws)
        step(twin, each, Moment(0.02, 0.1), draws)
    for name, value in state(search).items():
        torch.testing.assert_close(state(twin)[name], value, rtol=1e-9, atol=1e-9)


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


def test_a_run_goes_on_where_adam_counts_elsewhere(tmp_path: Path) -> None:
    """A checkpoint from a GPU says that Adam is capturable, which on a CPU it must not be."""
    spec = small_spec(epochs=2)
    run(spec, tmp_path / "whole", PLACE, Watch())
    stopping = iter([False] * 3 + [True] * 9)
    with pytest.raises(Interrupted):
        run(spec, tmp_path / "moved", PLACE, Watch(interrupted=lambda: next(stopping)))
    path = tmp_path / "moved" / CHECKPOINT
    saved = checkpoint.load(path)
    for group in saved["arch_optimizer"]["param_groups"]:
        group["capturable"] = True
    head = {name: value for name, value in read_head(path).items() if name not in ("schema", "payload")}
    checkpoint.save(path, head, saved)
    run(spec, tmp_path / "moved", PLACE, Watch())
    alphas = [(tmp_path / name / "alphas.npz").read_bytes() for name in ("whole", "moved")]
    assert alphas[0] == alphas[1]


@pytest.mark.parametrize("method", ["darts", "sdarts-rs", "sdarts-adv"])
@pytest.mark.parametrize("space", ["nasbench201", "nasbench1shot1-s1"])
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
@pytest.mark.parametrize("method", METHODS)
def test_nothing_in_an_epoch_waits_for_the_gpu(method: str) -> None:
    search, data = on_gpu("nasbench201", method)
    batches = list(epoch_batches(search, data, 0.1))
    search_step(search, batches[0][0], 0.02, 0.1, batches[0][1])
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
