"""How long a run would take, from a few measured steps."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from benchmarks.catalog import load_data
from benchmarks.data import halves, steps_per_epoch
from harness.machine import Place, find_device
from harness.measure import spectrum
from harness.search import epoch_batches, perturbation_radius, search_step, start
from harness.spec import RunSpec

STEPS = 3
"""Steps that are measured, after one that warms up."""


def run_seconds(spec: RunSpec, place: Place) -> float:
    """Estimated seconds of search and of measuring curvature, by the processor's clock now; other work is not counted.

    Raises:
        BadInput: as a run of this spec would.
    """
    if place.threads:
        torch.set_num_threads(place.threads)
    device = find_device(place.device)
    data = halves(load_data(spec.data, Path(place.data_dir)), spec.images, device)
    search = start(spec, data.classes, data.in_channels, device)
    steps = steps_per_epoch(len(data.train.labels), spec.batch_size, spec.drop_last)
    measured: list[float] = []
    for index, (batches, noise) in enumerate(epoch_batches(search, data, perturbation_radius(spec, 0))):
        began = time.perf_counter()
        search_step(search, batches, spec.lr, perturbation_radius(spec, 0), noise)
        float(search.alpha[0].detach().sum())  # a GPU has finished when this is known
        measured.append(time.perf_counter() - began)
        if index == STEPS:
            break
    began = time.perf_counter()
    spectrum(search, data, batches.valid)
    curvature = (time.perf_counter() - began) * (spec.epochs / spec.measure_every + 1)
    step = min(measured[1:] or measured)
    return step * steps * spec.epochs + curvature
