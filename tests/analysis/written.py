"""A study written by hand: numbers that a test can check without a computer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy

from nas_stability.harness.records.record import EpochRecord, csv_text

# Accuracy by the table and largest eigenvalue per epoch; the second seed of darts collapses.
ACCURACY = {
    "darts": [[50.0, 90.0, 70.0], [50.0, 80.0, 30.0], [50.0, 85.0, 85.0]],
    "sdarts-rs": [[50.0, 88.0, 89.0], [50.0, 87.0, 88.0], [50.0, 86.0, 90.0]],
}
EIGENVALUE = {
    "darts": [[0.1, 1.0, 3.0], [0.1, 2.0, 4.0], [0.1, 3.0, 2.0]],
    "sdarts-rs": [[0.1, 1.0, 0.5], [0.1, 1.5, 0.5], [0.1, 2.0, 0.8]],
}


def write_run(
    folder: Path, method: str, seed: int, space: str = "nasbench201", missing: bool = False, **fields: object
) -> Path:
    """A finished run's folder with the numbers above, written by the harness's own record; fields go to its spec."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8] if fields else "0" * 8
    run = f"{space}-{method}-digits-s{seed}-{digest}"
    place = folder / run
    place.mkdir(parents=True)
    lines: list[dict[str, object]] = []
    spectrum = ["epoch,index,eigenvalue"]
    for epoch in range(3):
        accuracy = None if missing and epoch == 2 else ACCURACY[method][seed][epoch]
        eigenvalue = EIGENVALUE[method][seed][epoch]
        record = EpochRecord(
            run=run,
            space=space,
            method=method,
            data="digits",
            seed=seed,
            epoch=epoch,
            arch=f"arch-{epoch}",
            cell="",
            train_loss=None if epoch == 0 else 1.0 / epoch,
            train_accuracy=None if epoch == 0 else 50.0,
            valid_loss=1.0,
            valid_accuracy=60.0,
            discrete_valid_loss=2.0,
            discrete_valid_accuracy=20.0,
            eigenvalue_max=eigenvalue,
            spectral_norm=eigenvalue,
            hessian_trace=eigenvalue,
            entropy=1.0,
            share_skip=0.0,
            share_none=0.0,
            share_pool=0.5,
            radius=None,
            lr=None if epoch == 0 else 0.025,
            attack_fallback=None,
            attack_gain=None,
            accuracy={("cifar10", "valid"): accuracy, ("cifar10", "test"): None},
            regret={("cifar10", "valid"): None if accuracy is None else 91.6 - accuracy, ("cifar10", "test"): None},
            seconds=1.0,
        )
        lines.append(record.row())
        spectrum += [f"{epoch},{index},{value}" for index, value in enumerate((-0.5, 0.0, eigenvalue))]
    (place / "epochs.csv").write_text(csv_text([{name: name for name in lines[0]}, *lines]))
    (place / "spectrum.csv").write_text("\n".join(spectrum) + "\n")
    numpy.savez(place / "alphas.npz", group_0=numpy.zeros((3, 6, 5)))
    spec = {"space": space, "method": method, "seed": seed, "epochs": 2, **fields}
    (place / "spec.json").write_text(json.dumps(spec))
    (place / "run.json").write_text(json.dumps({"run": run, "schema": 1, "spec": spec, "seconds": 2.0}))
    return place
