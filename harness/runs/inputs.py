"""What a run reads: the images and the table, opened before anything is written, and what certifies them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.catalog import find_space, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Dataset, halves, sha256_of
from nas_stability.benchmarks.tables.table import Scorer
from nas_stability.harness.measuring.asked_table import table_of
from nas_stability.harness.methods.assembled import assembled
from nas_stability.harness.methods.compositions import find_method
from nas_stability.harness.methods.variants import searched
from nas_stability.harness.methods.weight_optimizers import weight_optimizer
from nas_stability.harness.runs.machine import Place, find_device
from nas_stability.harness.specs.fit import refuse_unfit
from nas_stability.harness.specs.located import refuse_other_images
from nas_stability.harness.specs.spec import RunSpec

Certificate = dict[str, Any]
"""What a run's checkpoint and run.json say of its inputs.

data: name, SHA-256 over the tensors of the data set, number of training images; table: name, source, SHA-256, or None.
"""

DIGITS = 12
"""Of a checksum that are shown to people."""


class Inputs(NamedTuple):
    """The opened inputs of a run.

    Attributes:
        data: its images, on the device.
        table: None where there is none.
        certificate: of both.
    """

    data: Dataset
    table: Scorer | None
    certificate: Certificate


def open_inputs(spec: RunSpec, place: Place, recorded: Certificate | None = None) -> Inputs:
    """Opens images and table, and refuses what cannot run; nothing is written.

    Args:
        spec: of the run.
        place: its device and data folder.
        recorded: certificate that they must have: of the run that goes on, or that a landscape is measured of.

    Raises:
        BadInput: unknown, absent or unusable; or other ones than ``recorded``.
    """
    plugins.load_recorded(spec.plugins)
    space = searched(find_space(spec.space), spec)
    assembled(find_method(spec.method), spec, space)
    weight_optimizer(spec)
    device = find_device(place.device)
    refuse_other_images(spec.data, spec.data_sha256)
    raw = load_data(spec.data, Path(place.data_dir))
    certificate: Certificate = {
        "data": {"name": spec.data_name, "sha256": sha256_of(raw), "images": len(raw.labels)},
        "table": None,
    }
    if recorded and recorded.get("data"):
        refuse_others(f"the data set {spec.data}", recorded["data"], certificate["data"])
    else:  # what goes on fitted when it began
        refuse_unfit(spec, raw, space)
    asked = recorded["table"] if recorded else None
    table = table_of(spec, sha256=asked["sha256"] if asked else None)
    if table is not None:
        certificate["table"] = {"name": table.name, "source": table.source, "sha256": table.sha256}
    if recorded:
        refuse_others(f"the table {spec.table!r}", asked, certificate["table"])
    return Inputs(halves(raw, spec.images, device), table, certificate)


def refuse_others(what: str, there: Certificate | None, here: Certificate | None) -> None:
    """Passes the same input as was recorded.

    Raises:
        BadInput: it is another one.
    """
    before, now = (None if entry is None else str(entry["sha256"]) for entry in (there, here))
    if before != now:
        sums = [f"SHA-256 {one[:DIGITS]}..." if one else "none" for one in (before, now)]
        raise BadInput(f"{what} is not the one that the run began with: {sums[0]} then, {sums[1]} now")
