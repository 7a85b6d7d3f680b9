"""Whether a folder's records are what they say: everything that can be recomputed is recomputed. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch

from benchmarks.catalog import SPACES
from benchmarks.errors import BadInput
from benchmarks.space import softmax
from benchmarks.table import file_sha256
from harness import checkpoint
from harness.measure import ask, queried_epoch, table_of
from harness.record import ALPHAS, CHECKPOINT, DONE, EPOCHS, SPEC, SPECTRUM, STUDY
from harness.spec import RunSpec, run_spec
from harness.status import read_rows


def check_study(folder: Path) -> list[str]:
    """What is wrong in a study's folder, or in a run's; one line each, empty where all is well.

    Raises:
        BadInput: the folder holds neither.
    """
    if (folder / SPEC).exists():
        return [f"{folder.name}: {problem}" for problem in check_run(folder)]
    if not (folder / STUDY).exists():
        raise BadInput(f"the folder {folder} holds no study and no run: it has no {STUDY} and no {SPEC}")
    runs = json.loads((folder / STUDY).read_text())["runs"]
    problems = []
    for run, values in runs.items():
        place = folder / run
        if not (place / SPEC).exists():
            continue
        if json.loads((place / SPEC).read_text()) != values:
            problems.append(f"{run}: its spec is not the study's")
        problems += [f"{run}: {problem}" for problem in check_run(place)]
    strangers = sorted(path.parent.name for path in folder.glob(f"*/{SPEC}") if path.parent.name not in runs)
    return problems + [f"{run}: is not a run of the study" for run in strangers]


def check_run(folder: Path) -> Iterator[str]:
    """What is wrong in a run's folder."""
    try:
        spec = run_spec(json.loads((folder / SPEC).read_text()))
    except ValueError as error:
        yield f"{SPEC} is no spec: {error}"
        return
    if folder.name != spec.run_id and folder.name.startswith(f"{spec.space}-{spec.method}-"):
        yield f"its spec hashes to {spec.run_id}"
    if not (folder / DONE).exists():
        return
    try:
        record = json.loads((folder / DONE).read_text())
    except ValueError as error:
        yield f"{DONE} is not JSON: {error}"
        return
    if record.get("spec") != json.loads(spec.json()) or record.get("run") != spec.run_id:
        yield f"{DONE} is of another spec"
    for name, digest in record.get("files", {}).items():
        if not (folder / name).exists():
            yield f"{name} is missing"
        elif file_sha256(folder / name) != digest:
            yield f"{name} was altered: its checksum does not match {DONE}"
    yield from check_rows(folder, spec)
    yield from check_table(folder, spec, record)
    try:
        if checkpoint.load(folder / CHECKPOINT)["epoch"] != spec.epochs:
            yield f"{CHECKPOINT} is not of the last epoch"
    except (BadInput, OSError) as error:
        yield str(error)


def check_rows(folder: Path, spec: RunSpec) -> Iterator[str]:
    """Row counts; alphas against architectures; the spectrum against its extremes."""
    rows = read_rows(folder / EPOCHS)
    if [row["epoch"] for row in rows] != [str(epoch) for epoch in range(spec.epochs + 1)]:
        yield f"{EPOCHS} does not have the rows 0 to {spec.epochs}, once and in order"
        return
    if {row["run"] for row in rows} != {spec.run_id}:
        yield f"{EPOCHS} holds rows of another run"
    space = SPACES[spec.space]
    try:
        with numpy.load(folder / ALPHAS, allow_pickle=False) as archive:
            groups = [torch.from_numpy(archive[f"group_{index}"]) for index in range(len(space.shapes))]
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        yield f"{ALPHAS} cannot be read: {error}"
        return
    spectrum: dict[str, list[float]] = {}
    for line in read_rows(folder / SPECTRUM):
        spectrum.setdefault(line["epoch"], []).append(float(line["eigenvalue"]))
    entries = sum(count * choices for count, choices in space.shapes)
    for epoch, row in enumerate(rows):
        queried = queried_epoch(spec, epoch)
        arch = space.discretize(softmax(tuple(group[queried] for group in groups)))
        if arch != row["arch"]:
            yield f"{EPOCHS}, epoch {epoch}: the logits discretise to {arch}, recorded is {row['arch']}"
        values = spectrum.get(row["epoch"], [])
        if len(values) not in (0, entries):
            yield f"{SPECTRUM}, epoch {epoch}: {len(values)} eigenvalues instead of {entries}"
        if (row["eigenvalue_max"] != "") != bool(values) or (values and float(row["eigenvalue_max"]) != values[-1]):
            yield f"{EPOCHS}, epoch {epoch}: eigenvalue_max is not the last one of {SPECTRUM}"


def check_table(folder: Path, spec: RunSpec, record: dict[str, Any]) -> Iterator[str]:
    """Every recorded accuracy against the table's answer for the recorded architecture."""
    try:
        table = table_of(spec)
    except BadInput as error:
        yield f"its table cannot be asked: {error}"
        return
    recorded = record.get("table")
    if (table is None) != (recorded is None) or (table and recorded and table.sha256 != recorded["sha256"]):
        yield f"the table {spec.table!r} is not the one that the run used"
        return
    if table is None:
        return
    for row in read_rows(folder / EPOCHS):
        for name, cell in row.items():
            if name.startswith("accuracy_"):
                _, dataset, split = name.split("_")
                answer = ask(table, row["arch"], dataset, split, spec.table_epochs)
                if (float(cell) if cell else None) != answer:
                    yield f"{EPOCHS}, epoch {row['epoch']}: {name} is {cell or 'empty'}, the table says {answer}"
