"""Ready for a GPU, shown without one: no step waits for the device.

On PyTorch's meta device tensors have shapes and no values: reading one, branching on one or mixing in one from the CPU
raises.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nas_stability.benchmarks.images.dataset import Augmentation, Half, draw_batches
from nas_stability.harness.given import PASSES, Draws, Moment, epoch_batches, relaxation_draws
from nas_stability.harness.measuring.curvature import validation_hessian
from nas_stability.harness.methods import perturbations
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.records.record import CHECKPOINT
from nas_stability.harness.records.sealed import read_head
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.run import Interrupted, Watch, run
from nas_stability.harness.search import search_step
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search, start
from tests.harness.every_method import CASES
from tests.harness.test_search import state
from tests.slow import slow_but
from tests.small import LISTED, PLACE, begin, small_spec

META = torch.device("meta")
QUICK = [("nasbench201", "sdarts-rs", {}), ("nasbench1shot1-s1", "darts", {})]
most_slow = pytest.mark.parametrize(("space", "method", "values"), slow_but(CASES, *QUICK))


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
        drawn = (relaxation_draws(search, 0, name) for name in PASSES)
        search_step(search, Batches(train, valid), Moment(0.02, 0.1), Draws(noise, *drawn))
    return search


@most_slow
def test_no_step_of_any_method_reads_from_the_device(
    meta: None, space: str, method: str, values: dict[str, Value]
) -> None:
    if METHODS[method].relaxation == "dirichlet":
        pytest.skip("PyTorch has no gradient of a gamma sample without values")
    search = meta_steps(space, method, **values)
    assert {weight.device.type for weight in search.net.parameters()} == {"meta"}
    assert {entry.device.type for entry in state(search).values()} == {"meta"}


HESSIANS = [*((space, "batch") for space in LISTED), ("nasbench1shot1-s1", "running")]


@pytest.mark.slow
@pytest.mark.parametrize(("space", "statistics"), HESSIANS)
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


@pytest.mark.slow
@pytest.mark.parametrize("fault", slow_but([reads, branches, mixes], reads))
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


@most_slow
def test_a_step_on_the_cpu_reads_nothing_but_adams_own_counter(
    space: str, method: str, values: dict[str, Value]
) -> None:
    if METHODS[method].variant == "single-path":
        pytest.skip("it looks at its choices on a CPU, where that costs nothing, and nowhere else")
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
    assert (of_adam > 0) == (search.parts.architect is not None)  # the count works
    assert reads.count == of_adam


@pytest.mark.slow
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
