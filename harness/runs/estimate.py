"""How long a run would take, from a few measured steps and one of each measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from nas_stability.benchmarks.images.dataset import steps_per_epoch
from nas_stability.benchmarks.spaces.space import one_hot
from nas_stability.harness.given import epoch_batches, moment_of
from nas_stability.harness.measuring.asked_table import answers
from nas_stability.harness.measuring.measure import evaluate, ranks, slope, spectrum
from nas_stability.harness.runs.inputs import open_inputs
from nas_stability.harness.runs.machine import Place
from nas_stability.harness.search import search_step
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import start

STEPS = 3
"""Steps that are measured, after one that warms up."""


class RunCost(NamedTuple):
    """Estimated seconds of a run.

    Attributes:
        search: all steps of all epochs.
        measuring: evaluating the supernet after every epoch; curvature, gradient, ranks and the one-hot pass when due.
    """

    search: float
    measuring: float

    @property
    def total(self) -> float:
        """Of both."""
        return self.search + self.measuring


def run_cost(spec: RunSpec, place: Place) -> RunCost:
    """What a run would cost, by the processor's clock now; loading and writing are not counted.

    Raises:
        BadInput: as a run of this spec would.
    """
    if place.threads:
        torch.set_num_threads(place.threads)
    inputs = open_inputs(spec, place)
    data = inputs.data
    search = start(spec, data.classes, data.in_channels, data.train.images.device)
    steps = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    measured: list[float] = []
    moment = moment_of(spec, spec.arch_warmup)
    for index, (batches, draws) in enumerate(epoch_batches(search, data, moment.radius)):
        began = time.perf_counter()
        search_step(search, batches, moment, draws)
        float(search.alpha[0].detach().sum())  # a GPU has finished when this is known
        measured.append(time.perf_counter() - began)
        if index == STEPS:
            break
    answered = answers(inputs.table, search.space, spec.table_epochs, spec.rank_sample)
    mixture = search.evaluated()
    every = seconds(lambda: evaluate(search, data, mixture))
    when_due = seconds(lambda: evaluate(search, data, one_hot(mixture))) + sum(
        seconds(work)
        for work in (
            lambda: spectrum(search, data, batches.valid),
            lambda: slope(search, data),
            lambda: ranks(search, data, answered),
        )
    )
    due = len({*range(0, spec.last_epoch + 1, spec.measure_every), spec.last_epoch})
    return RunCost(
        min(measured[1:] or measured) * steps * spec.last_epoch, every * (spec.last_epoch + 1) + when_due * due
    )


def seconds(work: Callable[[], object]) -> float:
    """What a piece of work takes; its result is a number on the host, so that a GPU has finished."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
