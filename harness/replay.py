"""Replays reference traces of the published implementation through the functions that a run uses.

A trace is a numpy archive: weights, logits, batches and noise going in, and everything that came out (its keys are
described in docs/fidelity.md). Nothing here computes; it feeds ``search_step`` and ``validation_hessian`` and compares.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import numpy.typing
import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile, choose, unreadable
from nas_stability.benchmarks.spaces.layers.noise import Values
from nas_stability.benchmarks.spaces.space import Mixture, Relax, SupernetShape
from nas_stability.harness.given import Draws, Moment
from nas_stability.harness.measuring.curvature import eigenvalues, validation_hessian
from nas_stability.harness.measuring.measure import evaluation
from nas_stability.harness.methods.architects import ARCHITECTS, Batch, Batches
from nas_stability.harness.methods.compositions import find_method
from nas_stability.harness.methods.variants import searched
from nas_stability.harness.search import search_step
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.state import Search, Step, assemble

TOLERANCE = 1e-8

Arrays = Mapping[str, numpy.typing.NDArray[Any]]


class Deviation(NamedTuple):
    """Largest absolute deviations of a replay from its trace; NaN where either is not finite.

    The last three are None where the trace has no such record: the norm of the weights' gradient before clipping, the
    attack's gain (0 where it fell back), and whether the last logits decide for another genotype (0 or 1).
    """

    loss: float
    alpha: float
    weights: float
    buffers: float
    hessian: float
    eigenvalues: float
    eval_logits: float
    gradient_norm: float | None = None
    attack: float | None = None
    genotype: float | None = None

    @property
    def worst(self) -> float:
        """The largest of all; NaN if any is."""
        return largest([value for value in self if value is not None])


def replay(path: Path) -> Deviation:
    """Replays one trace in its floating-point type.

    Raises:
        BadInput: no such file, or a space, method or order that is not known.
        CorruptFile: not a readable trace, or one whose arrays do not fit each other.
    """
    arrays = read(path)
    try:
        return compare(arrays)
    except (KeyError, IndexError, ValueError, RuntimeError, TypeError) as error:
        if isinstance(error, BadInput):
            raise BadInput(f"the trace {path}: {error}") from error
        raise CorruptFile(f"the trace {path} is not a complete trace: {type(error).__name__}: {error}") from error


def read(path: Path) -> Arrays:
    """All arrays of a trace.

    Raises:
        BadInput: no such file.
        CorruptFile: not a readable archive.
    """
    if not path.is_file():
        raise BadInput(f"the trace {path} does not exist")
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise CorruptFile(f"the trace {path} is not a readable npz archive: {unreadable(error)}") from error


def compare(arrays: Arrays) -> Deviation:
    """Runs the trace's steps and takes the largest deviation of each kind."""
    search = starting_point(arrays)
    steps: list[Step] = []
    alpha = 0.0
    for step, (lr, radius) in enumerate(zip(arrays["lr"], arrays["epsilon"], strict=True)):
        moment = Moment(float(lr), float(radius), progress_of(search, arrays, step))
        batches = Batches(batch(arrays, "train", step), batch(arrays, "valid", step))
        with search.net.drawing(operation_draws(arrays, str(step), going_on=True)):
            steps.append(search_step(search, batches, moment, draws_of(search, arrays, step)))
        recorded = [arrays[f"alpha/{step}/{group}"] for group in range(len(search.alpha))]
        alpha = largest([alpha, *(gap(ours, theirs) for ours, theirs in zip(search.alpha, recorded, strict=True))])
    weights, buffers = tensor_gaps(search, arrays)
    last = batch(arrays, "valid", len(arrays["lr"]) - 1)
    with search.net.drawing(operation_draws(arrays, "hessian")):
        matrix = validation_hessian(
            search.net,
            search.alpha,
            last,
            statistics="batch",
            dtype=search.alpha[0].dtype,
            weight_decay=search.spec.arch_weight_decay,
            relax=relaxation_of(search, arrays, "noise_hessian"),
        )
    with torch.no_grad(), search.net.drawing(operation_draws(arrays, "eval")):
        mixture = relaxation_of(search, arrays, "noise_eval")(search.alpha)
        logits = search.net.eval()(last.images, mixture)
    return Deviation(
        loss=gap(torch.stack([step.loss for step in steps]), arrays["loss"]),
        alpha=alpha,
        weights=weights,
        buffers=buffers,
        hessian=gap(matrix, arrays["hessian"]),
        eigenvalues=gap(eigenvalues(matrix), numpy.sort(arrays["eigenvalues"])),
        eval_logits=gap(logits, arrays["eval_logits"]),
        gradient_norm=gap_of([step.gradient_norm for step in steps], arrays.get("grad_norm")),
        attack=gap_of([step.gain for step in steps], gains(arrays)),
        genotype=other_genotype(search, arrays),
    )


def gap_of(ours: Sequence[Tensor | None], theirs: numpy.typing.NDArray[Any] | None) -> float | None:
    """``gap`` of a number per step; None where the trace has none."""
    return None if theirs is None else gap(torch.stack([value for value in ours if value is not None]), theirs)


def gains(arrays: Arrays) -> numpy.typing.NDArray[Any] | None:
    """By how much the attack of each recorded step raised the loss; 0 where it lowered it, and fell back."""
    if "attack" not in arrays:
        return None
    before, after = arrays["attack"].T
    return numpy.where(before > after, 0.0, after - before)


def other_genotype(search: Search, arrays: Arrays) -> float | None:
    """Whether the logits decide for another genotype than the recorded one; None where there is none to read."""
    genotype = json.loads(str(arrays["meta"])).get("genotype")
    if genotype is None or not search.space.unlisted:
        return None
    return float(search.space.discretize(search.space.mixture(genotype)) != search.space.discretize(search.evaluated()))


def progress_of(search: Search, arrays: Arrays, step: int) -> float:
    """The share of the search at which a step's temperature is the recorded one; 0 where none is recorded."""
    if "tau" not in arrays:
        return 0.0
    spec = search.spec
    return (spec.tau_max - float(arrays["tau"][step])) / (spec.tau_max - spec.tau_min)


def draws_of(search: Search, arrays: Arrays, step: int) -> Draws:
    """The recorded draws of a step: those of its two passes, or the perturbation's noise."""
    if search.parts.draw is not None:
        still = tuple(torch.zeros_like(logits) for logits in search.alpha)
        return Draws(still, *(pass_draws(search, arrays, f"noise/{step}", number) for number in range(2)))
    names = [f"noise/{step}/{group}" for group in range(len(search.alpha))]
    return Draws(
        tuple(
            torch.from_numpy(arrays[name]) if name in arrays else torch.zeros_like(logits)
            for name, logits in zip(names, search.alpha, strict=True)
        )
    )


def pass_draws(search: Search, arrays: Arrays, prefix: str, number: int) -> Mixture:
    """The relaxation's recorded draws of a pass, cell after cell and in each group after group, as (cells, ...)."""
    groups, cells = len(search.alpha), search.net.cells
    return tuple(
        torch.stack(
            [torch.from_numpy(arrays[f"{prefix}/{(number * cells + cell) * groups + group}"]) for cell in range(cells)]
        )
        for group in range(groups)
    )


def operation_draws(arrays: Arrays, place: str, going_on: bool = False) -> Callable[[], Values] | None:
    """What a pass takes the recorded draws of the operations from; None where none are recorded.

    Args:
        arrays: the trace.
        place: a step, whose passes have their draws one after the other, or "hessian" or "eval", of one pass each.
        going_on: whether passes go on where the one before stopped; else each begins anew.
    """
    names = [f"op_noise/{place}"]
    if names[0] not in arrays:
        passes = (f"op_noise/{place}/{number}" for number in itertools.count())
        names = list(itertools.takewhile(arrays.__contains__, passes))
    if not names:
        return None
    scale = float(json.loads(str(arrays["meta"]))["op_noise_scale"])
    values = torch.from_numpy(numpy.concatenate([arrays[name] for name in names])).double() * scale

    def begin() -> Values:
        left = [values]

        def take(shape: tuple[int, ...]) -> Tensor:
            size = math.prod(shape)
            taken, left[0] = left[0][:size], left[0][size:]
            return taken.view(shape)

        return take

    source = begin()
    return (lambda: source) if going_on else begin


def relaxation_of(search: Search, arrays: Arrays, prefix: str) -> Relax:
    """How the published code made the mixture at which it measured: with the draws in the trace where it drew."""
    if search.parts.draw is None:
        return evaluation(search)
    draws, progress = pass_draws(search, arrays, prefix, 0), progress_of(search, arrays, -1)
    return lambda alpha: search.parts.relax(alpha, draws, progress)


def starting_point(arrays: Arrays) -> Search:
    """The search at the trace's step 0, with the trace's settings in place of the paper's."""
    meta = json.loads(str(arrays["meta"]))
    order = f"{meta['order']}-order"
    choose("order", order, ARCHITECTS)
    method = find_method(meta["method"])._replace(architect=order)
    spec = run_spec(
        {
            "space": meta["space"],
            "method": meta["method"],
            "data": "digits",  # a trace brings its own batches
            "width": meta["init_channels"],
            "depth": meta["layers"],
            "batch_size": meta["batch_size"],
            "dtype": meta["dtype"],
            "momentum": meta["momentum"],
            "weight_decay": meta["weight_decay"],
            "grad_clip": meta["grad_clip"],
            "arch_lr": meta["arch_lr"],
            "arch_beta1": meta["arch_betas"][0],
            "arch_beta2": meta["arch_betas"][1],
            "arch_weight_decay": meta["arch_weight_decay"],
            "attack_steps": meta["pgd_steps"],
            **({"arch_grad_clip": meta["arch_grad_clip"]} if "arch_grad_clip" in meta else {}),
        }
    )
    space = searched(find_space(meta["space"]), spec)
    channels = arrays["x_train"].shape[2]
    momentum = float(space.facts.defaults["batch_norm_momentum"])
    net = space.supernet(SupernetShape(spec.width, spec.depth, meta["classes"], channels, momentum))
    alpha = tuple(torch.from_numpy(arrays[f"alpha0/{group}"]) for group in range(len(space.shapes)))
    search = assemble(spec, space, method, net, alpha, torch.device("cpu"))
    views = space.published(search.net)
    recorded = {name.removeprefix("init/") for name in arrays if name.startswith("init/")}
    if recorded != set(views):
        raise KeyError(f"weights that only one side has: {sorted(recorded ^ set(views))[:3]}")
    for name, view in views.items():
        value = torch.from_numpy(arrays[f"init/{name}"])
        if value.shape != view.shape:
            raise ValueError(f"init/{name} has shape {tuple(value.shape)}, the supernet {tuple(view.shape)}")
        view.copy_(value)
    return search


def batch(arrays: Arrays, half: str, step: int) -> Batch:
    """The recorded batch of a step."""
    return Batch(torch.from_numpy(arrays[f"x_{half}"][step]), torch.from_numpy(arrays[f"y_{half}"][step]))


def tensor_gaps(search: Search, arrays: Arrays) -> tuple[float, float]:
    """Largest deviation of the weights and of the BatchNorm buffers at the end."""
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    gaps = {name: gap(view, arrays[f"final/{name}"]) for name, view in search.space.published(search.net).items()}
    return (
        largest([value for name, value in gaps.items() if not name.endswith(buffers)]),
        largest([value for name, value in gaps.items() if name.endswith(buffers)]),
    )


def gap(ours: Tensor, theirs: numpy.typing.NDArray[Any]) -> float:
    """Largest absolute difference.

    Raises:
        ValueError: the shapes differ.
    """
    values = ours.detach().cpu().double().numpy()
    if values.shape != theirs.shape:
        raise ValueError(f"the shapes differ: {values.shape} and {theirs.shape}")
    return largest([float(value) for value in numpy.abs(values - theirs).ravel()])


def largest(values: list[float]) -> float:
    """Maximum that lets NaN through."""
    return float(numpy.max(values))
