"""The supernet around the logits of a finished run: validation loss and accuracy over a plane, to landscape.csv.

Source: SmoothDARTS (Chen and Hsieh, ICML 2020), figure 1: accuracy over alpha + x * d1 + y * d2, d1 the normalised
gradient of the validation loss with respect to alpha, d2 random and orthogonal to it. The architecture that each point
discretises to, and what the table says of it, are ours.

landscape.json is written first: it holds the directions, so that a landscape that was stopped goes on along the same
ones. Rows are appended to a file aside and synced, one by one; it is renamed when it is whole.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import Dataset, plain_batches
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.harness.measuring.asked_table import DatasetSplit, ask_all, columns_of
from nas_stability.harness.measuring.curvature import flat, unflat
from nas_stability.harness.measuring.measure import EVALUATION_BATCH, evaluate
from nas_stability.harness.methods.architects import frozen
from nas_stability.harness.methods.assembled import decided, smooth
from nas_stability.harness.records import folder as folders
from nas_stability.harness.records.claiming import alone
from nas_stability.harness.records.folder import survey
from nas_stability.harness.records.record import CHECKPOINT, DONE, LANDSCAPE, PLANE, SCHEMA, LandscapeRecord, csv_text
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.inputs import Inputs, open_inputs
from nas_stability.harness.runs.machine import Place, device_name, settled
from nas_stability.harness.runs.plane import (
    FARTHEST,
    MOST_POINTS,
    UNFINISHED,
    Grid,
    Plane,
    certified_lines,
    read_plane,
    refuse_other,
    write_plane,
)
from nas_stability.harness.runs.run import Interrupted, Watch
from nas_stability.harness.runs.saving import restore
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start

LOCK = ".landscape.lock"


def chosen_runs(folder: Path) -> list[Path]:
    """A run's folder itself; of a study's, per space and method the finished run of the lowest seed, in its order.

    Methods that decide without following their logits have no landscape, and are left out of a study's.

    Raises:
        BadInput: the folder is neither, or none of its runs is finished.
    """
    found = survey(folder)
    if found.kind == "run":
        return [folder]
    if not found.finished:
        raise BadInput(
            f"the study in {folder} has no finished run yet; nas-stability status {folder} tells how far it is"
        )
    lowest: dict[tuple[str, str], tuple[int, Path]] = {}
    for place in found.finished.values():
        spec = recorded_spec(folders.read_record(place)["spec"])
        kind = (spec.space, spec.method)
        if smooth(spec) and (kind not in lowest or spec.seed < lowest[kind][0]):
            lowest[kind] = (spec.seed, place)
    return [place for _, place in lowest.values()]


def measure_landscape(folder: Path, grid: Grid, place: Place, watch: Watch, again: bool = False) -> bool:
    """Measures the landscape of a finished run into its folder, from where it stopped; a whole one is left as it is.

    Args:
        folder: of the run.
        grid: of the plane.
        place: device, threads and data folder.
        watch: its progress is called with (points done, points in all); it is asked after every point whether to stop.
        again: replace a landscape of other settings.

    Returns:
        Whether there was anything to do.

    Raises:
        BadInput: the run is not finished, its table or device is not there, or there is a landscape of other settings.
        CorruptFile: the checkpoint or a file of the landscape cannot be trusted.
        Held: another process is at it.
        Interrupted: it was told to stop; whole rows are kept.
    """
    if not 3 <= grid.points <= MOST_POINTS or grid.points % 2 == 0:
        raise BadInput(
            f"--grid takes an odd number from 3 to {MOST_POINTS}, so that the run itself is a point, not {grid.points}"
        )
    if not 0 < grid.reach <= FARTHEST:
        raise BadInput(f"--reach takes a number greater than 0, up to {FARTHEST:g}, not {grid.reach}")
    record = read_record(folder)
    spec = recorded_spec(record["spec"])
    if not smooth(spec):
        raise BadInput(f"{folder} has no landscape of logits: {spec.method} decides without following its logits")
    inputs = open_inputs(spec, place, {"data": record.get("data"), "table": record.get("table")})
    wanted: dict[str, Any] = {
        "run": record["run"],
        "grid": grid.points,
        "reach": grid.reach,
        "checkpoint": files.sha256(folder / CHECKPOINT),
        "device": device_name(place.device),
        "data": inputs.certificate["data"]["sha256"],
        "table": inputs.table.sha256 if inputs.table else None,
    }
    if wanted["checkpoint"] != record["files"][CHECKPOINT]:
        raise CorruptFile(f"the checkpoint {folder / CHECKPOINT} was altered: it is not the one that {DONE} names")
    with alone(folder, LOCK, "measuring the landscape"):
        if again or not (folder / PLANE).exists():
            for name in (LANDSCAPE, UNFINISHED, PLANE):
                (folder / name).unlink(missing_ok=True)
        else:
            refuse_other(read_plane(folder), wanted, folder)
        if (folder / LANDSCAPE).exists():
            watch.progress(grid.points**2, grid.points**2)
            return False
        with settled(spec, place) as device:
            search = restored(spec, folder, inputs.data, device)
            if not (folder / PLANE).exists():
                write_plane(folder, make_plane(search, inputs.data, wanted))
            proceed(folder, search, inputs, read_plane(folder), watch)
    return True


def read_record(folder: Path) -> dict[str, Any]:
    """A finished run's run.json.

    Raises:
        BadInput: the run is not finished, or the file is damaged.
    """
    if not (folder / DONE).exists():
        raise BadInput(f"the run in {folder} is not finished: it has no {DONE}; carry it out first")
    record = folders.read_record(folder)
    if wrong := list(folders.altered_files(folder, record)):
        raise CorruptFile(f"the run in {folder} is damaged: {'; '.join(wrong)}")
    if not (folder / CHECKPOINT).exists():
        raise BadInput(f"the run in {folder} has no {CHECKPOINT}: a landscape needs the weights")
    return record


def restored(spec: RunSpec, folder: Path, data: Dataset, device: torch.device) -> Search:
    """The state of the run's checkpoint, which is only read.

    Raises:
        CorruptFile: it cannot be trusted, or is of another version of the supernet.
    """
    state = checkpoint.load(folder / CHECKPOINT)
    search = start(spec, data.classes, data.in_channels, device)
    try:
        restore(search, state)
    except RuntimeError as error:
        raise CorruptFile(f"the checkpoint {folder / CHECKPOINT} does not fit this version's supernet") from error
    return search


def make_plane(search: Search, data: Dataset, wanted: dict[str, Any]) -> Plane:
    """The plane through the logits as they stand.

    Raises:
        BadInput: the gradient has no direction, being 0 or not finite.
    """
    slope = validation_gradient(search, data)
    norm = float(torch.linalg.vector_norm(slope))
    if not 0 < norm < float("inf"):
        raise BadInput(f"the gradient of the validation loss of {wanted['run']} has the norm {norm}: no direction")
    gradient, random = directions(slope, stream(search.spec.seed, "landscape"))
    return Plane(
        **wanted,
        schema=SCHEMA,
        epoch=search.epoch,
        gradient_norm=norm,
        gradient=gradient.tolist(),
        random=random.tolist(),
    )


def validation_gradient(search: Search, data: Dataset) -> Tensor:
    """Gradient (n,) of the mean validation loss in nats with respect to all logits, in float64 on the CPU.

    On the whole validation half, not augmented, with running BatchNorm statistics: of the surface that is drawn.
    """
    net = search.net
    total = torch.zeros(sum(group.numel() for group in search.alpha), dtype=torch.float64)
    net.eval()
    with frozen(net):
        for images, labels in plain_batches(data.valid, EVALUATION_BATCH, search.alpha[0].dtype):
            mixture = search.parts.evaluate(search.alpha, search.progress)
            loss = F.cross_entropy(net(images, mixture), labels, reduction="sum")
            total += flat(torch.autograd.grad(loss, search.alpha)).double().cpu()
    net.train()
    return total / len(data.valid.labels)


def directions(slope: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The normalised slope (n,), and a random direction orthogonal to it, both of L2 norm 1.

    The second is a normal draw without its part along the first, so that it is uniform among all that are orthogonal.
    """
    first = slope / torch.linalg.vector_norm(slope)
    second = torch.randn(len(slope), generator=generator, dtype=torch.float64)
    for _ in range(2):  # once more, for what rounding leaves
        second = second - (second @ first) * first
        second = second / torch.linalg.vector_norm(second)
    return first, second


def logits_at(alpha: tuple[Tensor, ...], plane: Plane, x: float, y: float) -> tuple[Tensor, ...]:
    """alpha + x * gradient + y * random, added in float64 and given in alpha's type; alpha is on the CPU."""
    step = x * torch.tensor(plane.gradient, dtype=torch.float64) + y * torch.tensor(plane.random, dtype=torch.float64)
    return tuple((group.double() + part).to(group) for group, part in zip(alpha, unflat(step, alpha), strict=True))


def proceed(folder: Path, search: Search, inputs: Inputs, plane: Plane, watch: Watch) -> None:
    """Point after point to the end of the plane; then the file gets its name.

    Raises:
        CorruptFile: the rows so far are not those that landscape.json ties itself to.
        FloatingPointError: the supernet's loss at a point is not finite.
    """
    table, data = inputs.table, inputs.data
    columns = columns_of(table, search.space)
    pairs = list(Grid(plane.grid, plane.reach).pairs)
    path = folder / UNFINISHED
    lines = certified_lines(path, plane)
    done = max(0, lines - 1)
    alpha = tuple(group.detach().cpu() for group in search.alpha)

    @functools.cache
    def accuracies(arch: Arch) -> dict[DatasetSplit, float | None]:
        return ask_all(table, arch, columns, search.spec.table_epochs)

    watch.progress(done, len(pairs))
    for index, (x, y) in enumerate(pairs[done:], start=done + 1):
        logits = logits_at(alpha, plane, x, y)
        placed = tuple(group.to(search.alpha[0].device) for group in logits)
        found = evaluate(search, data, search.parts.evaluate(placed, search.progress))
        if not math.isfinite(found.loss):
            raise FloatingPointError(
                f"the validation loss at x = {x:g}, y = {y:g} is {found.loss}; a smaller --reach may do"
            )
        arch = arch_at(search.spec, logits)
        record = LandscapeRecord(
            x=x, y=y, valid_loss=found.loss, valid_accuracy=found.accuracy, arch=arch, accuracy=accuracies(arch)
        )
        header = [] if lines or index > 1 else [{name: name for name in record.row()}]
        files.append(path, csv_text([*header, record.row()]))
        size = path.stat().st_size
        write_plane(folder, plane._replace(rows={"bytes": size, "sha256": folders.prefix_sum(path, size)}))
        watch.progress(index, len(pairs))
        if index < len(pairs) and watch.interrupted():
            raise Interrupted(f"stopped after point {index} of {len(pairs)}; saved in {folder}")
    path.replace(folder / LANDSCAPE)
    files.sync_folder(folder)


def arch_at(spec: RunSpec, logits: tuple[Tensor, ...]) -> Arch:
    """The architecture that the last logits, on the CPU, discretise to."""
    return find_space(spec.space).discretize(decided(spec, logits, spec.last_epoch))
