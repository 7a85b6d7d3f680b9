"""The search step compiled, or captured as a CUDA graph: the same transition, launched in other ways.

``search_step`` stays what it is. ``compiled`` hands it a supernet whose passes went through torch.compile, ``Captured``
records what it launches and replays that. Both carry out a ragged last batch by the step as it was: shapes are static.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.harness.given import Draws, Moment
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import find_method
from nas_stability.harness.search import Transition, search_step
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, Step

BACKEND = "inductor"
"""Of torch.compile."""

WARM_UP = 3
"""Steps of a process before its first capture; PyTorch's notes on CUDA graphs ask for some, and take three."""


class Launch(NamedTuple):
    """How the step is to be launched.

    Attributes:
        compile: by torch.compile, whose fused kernels round otherwise: numbers may differ in the last bits.
        cuda_graph: as a CUDA graph, which launches the same kernels: numbers are the same, bit for bit.
    """

    compile: bool = False
    cuda_graph: bool = False


def whole(spec: RunSpec, batches: Batches) -> bool:
    """Whether both batches have the run's size; the last ones of a pass may be smaller."""
    return len(batches.train.labels) == len(batches.valid.labels) == spec.batch_size


def available(launch: Launch, device: torch.device, spec: RunSpec) -> tuple[Launch, list[str]]:
    """What of it can be had for this run here, and a line for each that cannot."""
    obstacles: list[str] = []
    if launch.compile and (reason := obstacle_to_compiling(device.type, BACKEND)):
        obstacles.append(f"--compile is not available, steps run as they are: {reason}")
        launch = launch._replace(compile=False)
    second = find_method(spec.method).architect == "second-order"
    if launch.compile and second and spec.unrolled_product == "exact":
        obstacles.append(
            f"--compile is not available for {spec.method} with unrolled_product exact, steps run as they are: "
            "torch.compile does not differentiate twice"
        )
        launch = launch._replace(compile=False)
    if find_space(spec.space).draws and launch != Launch():
        obstacles.append(
            f"--compile and --cuda-graph are not available in {spec.space}, steps run as they are: an operation draws "
            "on the host"
        )
        launch = Launch()
    if launch.cuda_graph and device.type != "cuda":
        obstacles.append(
            f"--cuda-graph is not available, steps run as they are: the device is {device}, not a CUDA GPU"
        )
        launch = launch._replace(cuda_graph=False)
    if launch.cuda_graph and spec.weight_optimizer != "sgd":
        obstacles.append(
            f"--cuda-graph is not available for weight_optimizer {spec.weight_optimizer}, steps run as they are: "
            "only sgd is known to need nothing from the host"
        )
        launch = launch._replace(cuda_graph=False)
    return launch, obstacles


@functools.cache
def obstacle_to_compiling(device: str, backend: str) -> str:
    """Why torch.compile cannot be used here (no C++ compiler, no Triton), found by compiling one addition; or ""."""
    try:
        torch.compile(lambda tensor: tensor + 1, backend=backend)(torch.zeros(8, device=device))
    except Exception as error:  # each backend raises its own
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return ""


def transition(search: Search, launch: Launch) -> Transition:
    """The search step, launched in a way that is available."""
    step = compiled(search, BACKEND) if launch.compile else search_step
    return Captured(search, step) if launch.cuda_graph else step


def compiled(search: Search, backend: str) -> Transition:
    """The search step of one search with the passes of its supernet behind the stem compiled, in one graph each.

    Those passes are nearly all of a step. What is around them (optimisers, clipping, noise) is a few operations on
    lists of tensors, and would be compiled anew for each learning rate. Measuring sees the search's own net.
    """
    torch.compiler.reset()  # one run at a time in a process: the graphs of those before it count against a limit
    net = copy.copy(search.net)  # the same modules, weights and buffers
    net.logits = torch.compile(net.logits, backend=backend, dynamic=False)  # type: ignore[method-assign]
    fast = dataclasses.replace(search, net=net)

    def step(given: Search, batches: Batches, moment: Moment, draws: Draws) -> Step:
        return search_step(fast if whole(given.spec, batches) else given, batches, moment, draws)

    return step


class Captured:
    """The search step of one search as a CUDA graph, captured once per epoch and replayed for each whole batch.

    Source: PyTorch, "CUDA semantics", section on CUDA graphs (whole-network capture). Learning rate and radius are
    constants of a graph, as they are of an epoch: so the kernels and their arguments are those of the step as it is.
    Warming up takes real steps on the stream of the capture; they also make the optimisers' state, which a graph can
    only update. Capturing launches nothing: the step that was captured is then replayed.

    Args:
        search: on a CUDA device; everything that a step changes lies there and stays where it is.
        step: what is captured.
    """

    def __init__(self, search: Search, step: Transition) -> None:
        self.search = search
        self.step = step
        self.stream = torch.cuda.Stream(search.alpha[0].device)
        self.warm = 0
        self.constants: Moment | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.outcome: Step | None = None

    def __call__(self, search: Search, batches: Batches, moment: Moment, draws: Draws) -> Step:
        """As ``search_step``."""
        if not whole(search.spec, batches):
            return self.step(search, batches, moment, draws)
        if self.warm < WARM_UP:
            self.warm += 1
            return self.aside(batches, moment, draws)
        if self.graph is None or self.constants != moment:
            self.capture(batches, moment, draws)
        assert self.graph is not None
        assert self.outcome is not None
        for place, value in zip(self.inputs, tensors(batches, draws), strict=True):
            place.copy_(value)
        self.graph.replay()
        # The next replay writes to the same places.
        loss, correct, images, *attack = self.outcome
        return Step(
            loss.clone(), correct.clone(), images, *(value if value is None else value.clone() for value in attack)
        )

    def aside(self, batches: Batches, moment: Moment, draws: Draws) -> Step:
        """One real step on the stream of the capture."""
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            found = self.step(self.search, batches, moment, draws)
        here.wait_stream(self.stream)
        return found

    def capture(self, batches: Batches, moment: Moment, draws: Draws) -> None:
        """Records a step on copies of its inputs; nothing is computed."""
        # The old graph's memory is free for the new one; gradients are made anew, inside the graph's own memory.
        self.graph, self.outcome, self.inputs = None, None, []
        self.search.weight_optimizer.zero_grad()
        self.search.arch_optimizer.zero_grad()
        self.inputs = [value.clone() for value in tensors(batches, draws)]
        train_images, train_labels, valid_images, valid_labels, *drawn = self.inputs
        places = Batches(Batch(train_images, train_labels), Batch(valid_images, valid_labels))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.outcome = self.step(self.search, places, moment, regrouped(drawn, draws))
        self.graph, self.constants = graph, moment


def tensors(batches: Batches, draws: Draws) -> list[Tensor]:
    """The inputs of a step: training images and labels, validation images and labels, draws."""
    return [*batches.train, *batches.valid, *itertools.chain.from_iterable(draws)]


def regrouped(drawn: Sequence[Tensor], like: Draws) -> Draws:
    """The tensors of draws, put together as others are."""
    left = iter(drawn)
    return Draws(*(tuple(itertools.islice(left, len(groups))) for groups in like))
