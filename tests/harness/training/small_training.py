"""Networks of a second that the tests train."""

from __future__ import annotations

from pathlib import Path

import torch

from nas_stability.benchmarks.catalog import find_space
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.training.assignment import Assignment
from nas_stability.harness.training.protocol import network_id, protocol_for

FEW: dict[str, Value] = {"images": 60, "epochs": 3, "batch_size": 10, "width": 2}


def assignment(folder: Path, space: str = "nasbench201", seed: int = 0, **given: Value) -> Assignment:
    """A network of the third random architecture of a space on 30 digits."""
    protocol = protocol_for("short", find_space(space).facts, "digits", {**FEW, **given}, Path())
    arch = find_space(space).sample(torch.Generator().manual_seed(3))
    name = network_id(space, arch, seed, protocol)
    return Assignment(name, space, arch, seed, protocol, "short", folder / name)
