"""Small inputs that the tests share: a spec of a few seconds, a batch, a place."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from nas_stability.analysis import study
from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES, load_data
from nas_stability.benchmarks.images.dataset import Dataset, halves
from nas_stability.benchmarks.spaces.space import Supernet, SupernetShape
from nas_stability.harness.methods.architects import Batch, Batches
from nas_stability.harness.methods.compositions import BASES
from nas_stability.harness.records.record import DONE, LANDSCAPE, PLANE
from nas_stability.harness.records.sealed import SEAL, sealed
from nas_stability.harness.runs.run import Place
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec, Value
from nas_stability.harness.state import Search, start

SHARED = Path(__file__).parents[2] / "shared"
"""Reference material and real data beside the checkout; tests that need it are skipped where it is absent."""

PLACE = Place(threads=1)

LISTED = tuple(name for name, space in SPACES.items() if space.cells)
"""Spaces that list their architectures; they have fast layers, and a literal reference in oracles.py."""

DIVERGES: dict[str, Value] = {"lr": 1e6, "weight_decay": 1e6, "hessian": False}
"""Fields of a search whose weights grow a million million-fold in a step: its loss is not finite in two epochs."""

STEPS = (*BASES, "sdarts-rs", "sdarts-adv", "gdas-adv")
"""Methods whose steps differ in kind: every base, and each perturbation once; test_contracts.py has them all."""

CPU = torch.device("cpu")


def small_spec(**values: Value) -> RunSpec:
    """A spec on 48 digits that runs in about a second."""
    depth = 1 if values.get("space", "nasbench201") == "nasbench201" else 3
    base: dict[str, Value] = {
        "space": "nasbench201",
        "method": "darts",
        "data": "digits",
        "images": 48,
        "epochs": 2,
        "batch_size": 10,
        "width": 4 if str(values.get("method", "")).startswith("pc-darts") else 2,
        "depth": depth,
        "arch_lr": 0.1,
        "hessian_batch_size": 8,
        "rank_sample": 4,
    }
    return run_spec({**base, **values})


def digits(spec: RunSpec) -> Dataset:
    """The spec's halves of the digits."""
    return halves(load_data("digits", Path()), spec.images, CPU)


def begin(spec: RunSpec) -> tuple[Search, Dataset]:
    """A search at its start, with its data."""
    data = digits(spec)
    return start(spec, data.classes, data.in_channels, CPU), data


def random_net(space: str, *, depth: int = 1, width: int = 2, classes: int = 4, channels: int = 3) -> Supernet:
    """A supernet in float64 with every weight and buffer away from its initial value."""
    torch.manual_seed(3)
    momentum = 0.1 if space == "nasbench201" else 0.997
    net = SPACES[space].supernet(SupernetShape(width, depth, classes, channels, momentum)).double()
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.dtype == torch.float64:
            value.copy_(0.5 * torch.randn_like(value) + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return net


def random_batches(batch: int = 5, size: int = 8, classes: int = 4, channels: int = 3) -> Batches:
    """A training and a validation batch in float64."""
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(2, batch, channels, size, size, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (2, batch), generator=generator)
    return Batches(Batch(images[0], labels[0]), Batch(images[1], labels[1]))


def random_alpha(space: str, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    """Logits in float64."""
    generator = torch.Generator().manual_seed(7)
    return tuple(
        (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
        for shape in SPACES[space].shapes
    )


def reseal(folder: Path) -> None:
    """Certifies a finished run's files as they are now, as a program would that wrote wrong numbers."""
    record = json.loads((folder / DONE).read_bytes())
    record.pop(SEAL, None)
    there = {name: files.sha256(folder / name) for name in record["files"] if (folder / name).exists()}
    files.write(folder / DONE, sealed({**record, "files": {**record["files"], **there}}))
    if (folder / LANDSCAPE).exists():
        plane = json.loads((folder / PLANE).read_bytes())
        plane.pop(SEAL, None)
        size = (folder / LANDSCAPE).stat().st_size
        rows = {"bytes": size, "sha256": files.sha256(folder / LANDSCAPE)}
        files.write(folder / PLANE, sealed({**plane, "rows": rows}))


def load(folder: Path) -> study.Study:
    """A study that a test wrote by hand, without checksums: its files are taken as they are."""
    return study.load(folder, verify=False)
