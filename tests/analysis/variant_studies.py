"""Studies that vary more than space, method and seed: the shipped ablations among them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy
import pandas

from nas_stability.analysis.statistics.intervals import estimate
from tests.analysis.figures.enriched import enriched
from tests.analysis.written import ACCURACY, write_run

S1 = "nasbench1shot1-s1"
BASE = {"attack_steps": 7, "attack_batch_norm": "evaluation", "attack_fallback": True, "batch_norm_momentum": 0.997}
CHANGES: list[dict[str, object]] = [
    {},
    *({"attack_steps": steps} for steps in (1, 3, 20)),
    {"attack_batch_norm": "training"},
    {"attack_fallback": False},
    {"batch_norm_momentum": 0.003},
]
ATTACKS = [
    *("base", "attack_steps 1", "attack_steps 3", "attack_steps 20", "attack_batch_norm training"),
    *("attack_fallback false", "batch_norm_momentum 0.003"),
]
"""Labels of CHANGES around BASE."""

Fields = Mapping[str, object]

STUDIES: dict[str, list[tuple[str, str, int, Fields]]] = {
    "radius": [
        ("nasbench201", method, seed, {"radius": radius})
        for method in ACCURACY
        for radius in (0.03, 0.1, 0.2, 0.3, 0.5)
        for seed in range(3)
    ],
    "attack": [(S1, "sdarts-rs", seed, {**BASE, **change}) for change in CHANGES for seed in range(3)],
    "data": [
        ("nasbench201", method, seed, {"data": data, "crop_padding": crop})
        for method in ACCURACY
        for data, crop in (("digits", 0), ("npz:/a/my_data.npz", 4), ("npz:/b/other_images.npz", 4))
        for seed in range(2)
    ],
    "baseline": [
        *(("nasbench201", "darts", seed, {"radius": 0.3}) for seed in range(3)),
        *(("nasbench201", "sdarts-rs", seed, {"radius": radius}) for radius in (0.1, 0.3) for seed in range(3)),
        *((S1, "darts", seed, {"radius": 0.3}) for seed in range(3)),
    ],
}
"""Name -> its runs: space, method, seed, fields. ``radius`` and ``attack`` are the shipped ablations."""


def written(folder: Path, runs: Sequence[tuple[str, str, int, Fields]]) -> Path:
    """A study of finished runs; the accuracies of each variant are a little lower than those of the one before."""
    order = list(dict.fromkeys(json.dumps(fields, sort_keys=True) for *_, fields in runs))
    for space, method, seed, fields in runs:
        place = write_run(folder, method, seed, space, **fields)
        enriched(place, seed, space)
        rows = pandas.read_csv(place / "epochs.csv")
        lower = order.index(json.dumps(fields, sort_keys=True)) * (rows["epoch"] > 1)
        rows["accuracy_cifar10_valid"] -= lower
        if order.index(json.dumps(fields, sort_keys=True)) > 1:  # surfaces take longest to draw
            (place / "landscape.csv").unlink(missing_ok=True)
        rows.to_csv(place / "epochs.csv", index=False)
    return folder


def interval(values: list[float]) -> tuple[float, float]:
    """The interval of a mean over seeds."""
    found = estimate(numpy.array(values))
    return found.low, found.high


SEEDS = {"radius": {3}, "attack": {3}, "data": {2}, "baseline": {3}}
