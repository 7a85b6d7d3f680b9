"""Whether a folder's records are what they say: everything that can be recomputed is recomputed. Reads only."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from nas_stability.benchmarks import files, plugins
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile, unreadable
from nas_stability.benchmarks.tables.table import Scorer
from nas_stability.harness.measuring.asked_table import ask, columns_of, neighbourhood, random_searches, table_of
from nas_stability.harness.measuring.measure import queried_epoch
from nas_stability.harness.methods.assembled import decided, restart_rule, stopping_rule
from nas_stability.harness.records.folder import damages, read_record, survey
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    IMPORTED,
    LANDSCAPE,
    PLANE,
    SPECTRUM,
    STUDY,
    dataset_and_split,
)
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs import checkpoint, landscape
from nas_stability.harness.runs.plane import Grid, read_plane
from nas_stability.harness.specs.recorded import last_epoch, recorded_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.training.check_evaluated import check_evaluated


class Checked(NamedTuple):
    """What came of a check.

    Attributes:
        problems: one line each; none where all is well.
        notes: what could not be checked because it is not there, one line each.
    """

    problems: list[str]
    notes: list[str]


def check_study(folder: Path) -> Checked:
    """Whether the records of a study's folder, or of a run's, are what they say.

    Raises:
        BadInput: the folder holds neither.
        CorruptFile: study.json is damaged.
    """
    found = survey(folder)
    problems = [f"{name}: is missing" for name in found.missing]
    problems += [f"{name}: is a copy of another run" for name in found.copied]
    problems += [f"{name}: is not a run of the study" for name in found.foreign]
    notes: list[str] = [f"{name}: is not finished" for name in found.unfinished]
    if found.kind == "runs":
        notes.append(f"there is no {STUDY}: whether runs are missing is not known")
    for run, place in {**found.finished, **found.unfinished}.items():
        if found.kind == "run" and place.name != run and place.name.rpartition("-")[0] == run.rpartition("-")[0]:
            problems.append(f"{place.name}: its spec hashes to {run}")
        try:
            problems += [f"{place.name}: {problem}" for problem in check_run(place, run)]
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            problems.append(f"{place.name}: its records cannot be read: {type(error).__name__}: {error}")
        if run in found.finished and not (place / CHECKPOINT).exists():
            notes.append(f"{place.name}: has no {CHECKPOINT}: it was {why_no_checkpoint(place)}")
    if not problems and found.kind != "run":
        problems += check_evaluated(folder, found.finished)
    return Checked(problems, notes)


def check_run(folder: Path, run: str) -> Iterator[str]:
    """What is wrong in a run's folder."""
    damaged = list(damages(folder, run))
    yield from damaged
    if damaged or not (folder / DONE).exists():
        return
    record = read_record(folder)
    spec = recorded_spec(record["spec"])
    try:
        plugins.load_recorded(spec.plugins)
    except BadInput as error:
        yield f"nothing of it can be recomputed: {error}"
        return
    yield from check_rows(folder, spec, run, last_epoch(record), ALPHAS in record["files"])
    if IMPORTED not in record:
        yield from check_end(folder, spec, last_epoch(record))
    yield from check_restarts(folder, spec, record.get("decays", []))
    yield from check_table(folder, spec, record)
    if (folder / LANDSCAPE).exists():
        yield from check_landscape(folder, spec, record)
    if (folder / CHECKPOINT).exists():
        yield from check_checkpoint(folder, spec, record)


def why_no_checkpoint(folder: Path) -> str:
    """Why a finished run has none."""
    with contextlib.suppress(BadInput):
        if IMPORTED in (record := read_record(folder)):
            return f"imported from {record[IMPORTED]['name']}"
    return "archived without its weights"


def check_checkpoint(folder: Path, spec: RunSpec, record: dict[str, Any]) -> Iterator[str]:
    """The checkpoint against run.json, and the logits of its last epoch against alphas.npz."""
    if files.sha256(folder / CHECKPOINT) != record["files"].get(CHECKPOINT):
        yield f"{CHECKPOINT} was altered: its checksum does not match {DONE}"
        return
    try:
        state = checkpoint.load(folder / CHECKPOINT)
    except CorruptFile as error:
        yield str(error)
        return
    if state.get("epoch") != last_epoch(record):
        yield f"{CHECKPOINT} is not of the last epoch"
        return
    last = [group[-1] for group in read_alphas(folder, spec)]
    if not all(torch.equal(saved, group) for saved, group in zip(state["alpha"], last, strict=True)):
        yield f"{ALPHAS}: its last logits are not those of {CHECKPOINT}"


def check_end(folder: Path, spec: RunSpec, last: int) -> Iterator[str]:
    """A search that ended before its last epoch, or went on to it, against its stopping rule."""
    stops = stopping_rule(spec)
    rows = read_rows(folder / EPOCHS)
    if stops is None:
        if last != spec.last_epoch:
            yield f"{DONE}: the search ended after epoch {last}, and {spec.method} has no stopping rule"
        return
    asked = range(1, min(last, spec.last_epoch - 1) + 1)
    if any(stops(rows[: epoch + 1]) != (epoch == last) for epoch in asked):
        yield f"{EPOCHS}: the stopping rule of {spec.method} does not end the search after epoch {last}"


def check_restarts(folder: Path, spec: RunSpec, decays: list[list[float]]) -> Iterator[str]:
    """Rows after which the search should have gone back, with the weight decay that it had in the end."""
    rule = restart_rule(spec)
    if rule is None:
        return
    rows = read_rows(folder / EPOCHS)
    decay = decays[-1][1] if decays else spec.weight_decay
    if any(rule(rows[: epoch + 1], decay) for epoch in range(1, spec.last_epoch)):
        yield f"{EPOCHS}: by its rule {spec.method} should have gone back, with a larger weight decay than {decay:g}"


def check_rows(folder: Path, spec: RunSpec, run: str, last: int, with_logits: bool = True) -> Iterator[str]:
    """Row counts; alphas against architectures; the spectrum against its extremes; ranks against their ranges."""
    rows = read_rows(folder / EPOCHS)
    if [row["epoch"] for row in rows] != [str(epoch) for epoch in range(last + 1)]:
        yield f"{EPOCHS} does not have the rows 0 to {last}, once and in order"
        return
    if {row["run"] for row in rows} != {run}:
        yield f"{EPOCHS} holds rows of another run"
    space = find_space(spec.space)
    groups = None
    try:
        groups = read_alphas(folder, spec) if with_logits else None
    except BadInput as error:
        yield str(error)
        return
    spectrum: dict[str, list[float]] = {}
    for line in read_rows(folder / SPECTRUM):
        spectrum.setdefault(line["epoch"], []).append(float(line["eigenvalue"]))
    entries = sum(count * choices for count, choices in space.shapes)
    for epoch, row in enumerate(rows):
        if groups is not None:
            queried = queried_epoch(spec, epoch)
            arch = space.discretize(decided(spec, tuple(group[queried] for group in groups), queried))
            if arch != row["arch"]:
                yield f"{EPOCHS}, epoch {epoch}: the logits discretise to {arch}, recorded is {row['arch']}"
        elif row["arch"] and space.read is not None and space.read(row["arch"]) != row["arch"]:
            yield f"{EPOCHS}, epoch {epoch}: {row['arch']} is not how {spec.space} writes an architecture"
        values = spectrum.get(row["epoch"], [])
        if len(values) not in (0, entries):
            yield f"{SPECTRUM}, epoch {epoch}: {len(values)} eigenvalues instead of {entries}"
        if (row["eigenvalue_max"] != "") != bool(values) or (values and float(row["eigenvalue_max"]) != values[-1]):
            yield f"{EPOCHS}, epoch {epoch}: eigenvalue_max is not the last one of {SPECTRUM}"
        yield from (f"{EPOCHS}, epoch {epoch}: {problem}" for problem in check_ranks(row, spec, epoch))


def read_alphas(folder: Path, spec: RunSpec) -> list[torch.Tensor]:
    """The logits of every epoch by group, each (epochs + 1, rows, choices).

    Raises:
        CorruptFile: the file is missing or damaged.
    """
    try:
        with numpy.load(folder / ALPHAS, allow_pickle=False) as archive:
            return [torch.from_numpy(archive[f"group_{index}"]) for index in range(len(find_space(spec.space).shapes))]
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise CorruptFile(f"{ALPHAS} cannot be read: {unreadable(error)}") from error


def check_ranks(row: dict[str, str], spec: RunSpec, epoch: int) -> Iterator[str]:
    """Ranks that nothing gives: tau outside [-1, 1], more architectures than were asked for, an epoch not due."""
    due = epoch % spec.measure_every == 0 or epoch == spec.last_epoch
    for name, cell in row.items():
        if name.startswith("rank_tau_") and cell:
            count = row[name.replace("rank_tau_", "rank_count_")]
            if not (-1 <= float(cell) <= 1 and count and int(count) >= 2):
                yield f"{name} is {cell} over {count or 'no'} architectures"
        elif name.startswith("rank_count_") and cell and not (due and 0 <= int(cell) <= spec.rank_sample):
            yield f"{name} is {cell}, of a sample of {spec.rank_sample if due else 0}"


def check_table(folder: Path, spec: RunSpec, record: dict[str, Any]) -> Iterator[str]:
    """Every recorded accuracy against the table's answer for the recorded architecture, and for its neighbours."""
    recorded = record.get("table")
    try:
        table = table_of(spec, sha256=recorded["sha256"] if recorded else None)
    except BadInput as error:
        yield f"its table cannot be asked: {error}"
        return
    if (table is None) != (recorded is None) or (table and recorded and table.sha256 != recorded["sha256"]):
        yield f"the table {spec.table!r} is not the one that the run used"
        return
    space = find_space(spec.space)
    searches = random_searches(table, space, columns_of(table, space), spec.table_epochs)
    if "random" in record and not alike(record["random"], searches):
        yield f"{DONE}: what random search would find is not what the table gives"
    if ALPHAS in record["files"]:
        yield from check_neighbours(folder, spec, table)
    for row in read_rows(folder / EPOCHS) if table else []:
        yield from (f"{EPOCHS}, epoch {row['epoch']}: {problem}" for problem in check_answers(row, spec, table))


def check_answers(row: dict[str, str], spec: RunSpec, table: Scorer | None) -> Iterator[str]:
    """The accuracies of a row against the table's answers for its architecture."""
    for name, cell in row.items():
        if name.startswith("accuracy_"):
            dataset, split = dataset_and_split(name.removeprefix("accuracy_"))
            answer = ask(table, row["arch"], dataset, split, spec.table_epochs)
            if number(cell) != answer:
                yield f"{name} is {cell or 'empty'}, the table says {answer}"


def alike(recorded: object, found: object) -> bool:
    """Whether two nested records hold the same numbers, but for how a processor adds them up."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return recorded.keys() == found.keys() and all(alike(recorded[name], found[name]) for name in found)
    return isinstance(recorded, float) and isinstance(found, float) and math.isclose(recorded, found, rel_tol=1e-9)


def number(cell: str) -> float | None:
    """A cell's number, None where it is empty."""
    return float(cell) if cell else None


def check_neighbours(folder: Path, spec: RunSpec, table: Scorer | None) -> Iterator[str]:
    """The recorded neighbours against those of the recorded logits; an earlier version recorded none."""
    space, columns = find_space(spec.space), columns_of(table, find_space(spec.space))
    try:
        groups = read_alphas(folder, spec)
    except BadInput:
        return  # said before
    rows = read_rows(folder / EPOCHS)
    for epoch, row in enumerate(rows if rows and "neighbours" in rows[0] else []):
        queried = queried_epoch(spec, epoch)
        archs = space.neighbours(decided(spec, tuple(group[queried] for group in groups), queried))
        expected: dict[str, float | None] = {"neighbours": len(archs)}
        found = neighbourhood(table, archs, columns, spec.table_epochs)
        for kind, values in found._asdict().items():
            expected |= {f"neighbours_{kind}_{dataset}_{split}": value for (dataset, split), value in values.items()}
        for name, value in expected.items():
            cell = row.get(name, "")
            if number(cell) != value:
                yield f"{EPOCHS}, epoch {epoch}: {name} is {cell or 'empty'}, the logits and the table give {value}"


def check_landscape(folder: Path, spec: RunSpec, record: dict[str, Any]) -> Iterator[str]:
    """The plane against the run; each point's architecture against its logits and the table."""
    try:
        plane = read_plane(folder)
        alpha = tuple(group[-1] for group in read_alphas(folder, spec))
        recorded = record.get("table")
        table = table_of(spec, sha256=recorded["sha256"]) if recorded else None
    except BadInput as error:
        yield str(error)
        return
    if (plane.run, plane.checkpoint) != (record.get("run"), record.get("files", {}).get(CHECKPOINT)):
        yield f"{PLANE} is of another run or checkpoint"
        return
    inner = math.fsum(left * right for left, right in zip(plane.gradient, plane.random, strict=True))
    norms = math.hypot(*plane.gradient), math.hypot(*plane.random)
    if abs(inner) > 1e-12 or any(abs(norm - 1) > 1e-12 for norm in norms):
        yield f"{PLANE}: its directions are not orthogonal and of norm 1"
    rows = read_rows(folder / LANDSCAPE)
    pairs = list(Grid(plane.grid, plane.reach).pairs)
    if [(float(row["x"]), float(row["y"])) for row in rows] != pairs:
        yield f"{LANDSCAPE} does not have the {len(pairs)} points of {PLANE}, once and in order"
        return
    for row, (x, y) in zip(rows, pairs, strict=True):
        arch = landscape.arch_at(spec, landscape.logits_at(alpha, plane, x, y))
        if arch != row["arch"]:
            yield f"{LANDSCAPE}, x {x}, y {y}: the logits discretise to {arch}, recorded is {row['arch']}"
        yield from (f"{LANDSCAPE}, x {x}, y {y}: {problem}" for problem in check_answers(row, spec, table))
    centre, last = rows[len(rows) // 2], read_rows(folder / EPOCHS)[-1]
    if plane.device == record.get("device"):
        for name in ("valid_loss", "valid_accuracy"):
            if not math.isclose(float(centre[name]), float(last[name]), rel_tol=1e-3):
                yield f"{LANDSCAPE}: {name} in the middle is {centre[name]}, {EPOCHS} has {last[name]}"
