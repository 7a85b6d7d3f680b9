"""One run to its folder: search, measure, record, checkpoint, resume; provenance at the end.

Order within an epoch: rows are appended and synced, then the checkpoint replaces the previous one. The head of the
checkpoint has length and checksum of the rows so far and of the inputs: rows ahead of it are cut off on resuming and
come out again, identical; rows that are others, or other inputs, are refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.images.dataset import Dataset
from nas_stability.benchmarks.spaces.facts import BUILT_IN
from nas_stability.harness import capture
from nas_stability.harness.measuring.asked_table import Answers, answers, random_searches
from nas_stability.harness.measuring.measure import measure, queried_epoch
from nas_stability.harness.measuring.smoothing import smoothing
from nas_stability.harness.records.claiming import Held, alone, refuse_other
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    ERROR,
    LOCK,
    NEW_IN,
    SCHEMA,
    SMOOTHING,
    SMOOTHING_COLUMNS,
    SPACE_FACTS,
    SPEC,
    SPECTRUM,
    SPECTRUM_COLUMNS,
    csv_text,
)
from nas_stability.harness.records.sealed import opened, sealed
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.going_back import go_back, going_back
from nas_stability.harness.runs.inputs import Inputs, open_inputs
from nas_stability.harness.runs.machine import PACKAGES, Place, device_name, git_commit, settled, version
from nas_stability.harness.runs.saving import Log, head_of, npz_bytes, restore, resume, row_files, save, snapshot
from nas_stability.harness.search import Epoch, advance, never
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start

__all__ = ["Held", "Interrupted", "Place", "Watch", "alone", "refuse_other", "restore", "run"]


class Interrupted(RuntimeError):
    """The run was told to stop; its state is saved after a whole step and it can be continued."""


class Watch(NamedTuple):
    """How a run is watched.

    Attributes:
        progress: called with (epochs done, epochs in all).
        interrupted: asked after every step; once it is true, the run saves its state and stops.
    """

    progress: Callable[[int, int], None] = lambda epoch, epochs: None
    interrupted: Callable[[], bool] = never


def run(spec: RunSpec, folder: Path, place: Place, watch: Watch) -> bool:
    """Carries a run out in its folder, from where its checkpoint stands; a finished run is left as it is.

    Returns:
        Whether there was anything to do.

    Raises:
        BadInput: the spec cannot run, the folder cannot be written or holds a run of another spec, or the run began
            with other images or another table; nothing was written.
        CorruptFile: a checkpoint or record in the folder cannot be trusted.
        FloatingPointError: the loss or the Hessian is not finite; whole rows are kept, error.txt says why.
        Held: another process is carrying this run out.
        Interrupted: it was told to stop, and saved its state.
        OSError: a file cannot be written (the disk is full, say); what was written before is intact.
    """
    refuse_other(spec, folder)
    if (folder / DONE).exists():
        return False
    head = head_of(folder)
    inputs = open_inputs(spec, place, head.get("inputs"))
    with alone(folder, LOCK, "carrying out the run"):
        if (folder / DONE).exists():
            return False
        refuse_other(spec, folder)
        files.clear_parts(folder, alone=True)
        search_noting_failure(spec, folder, inputs, place, watch)
    return True


def search_noting_failure(spec: RunSpec, folder: Path, inputs: Inputs, place: Place, watch: Watch) -> None:
    """The run, with its failure written to error.txt."""
    try:
        (folder / ERROR).unlink(missing_ok=True)
        with settled(spec, place) as device:
            proceed(spec, folder, inputs, place, device, watch)
    except Interrupted:
        raise
    except Exception as error:
        # Where the disk is full there is no room for the reason either; the caller prints it.
        with contextlib.suppress(OSError):
            files.write(folder / ERROR, f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        raise


def proceed(spec: RunSpec, folder: Path, inputs: Inputs, place: Place, device: torch.device, watch: Watch) -> None:
    """Epoch after epoch to the end of the run."""
    data = inputs.data
    search = start(spec, data.classes, data.in_channels, device)
    answered = answers(inputs.table, search.space, spec.table_epochs, spec.rank_sample)
    if (folder / CHECKPOINT).exists():
        log = resume(search, answered, inputs, folder)
    else:
        for name in row_files(spec):
            (folder / name).unlink(missing_ok=True)
        log = Log(spec.run_id, spec.data_name, inputs.certificate, [snapshot(search)])
        record(search, data, answered, folder, log, None)
    launch, _ = capture.available(place.launch, device, spec)
    step = capture.transition(search, launch)
    watch.progress(search.epoch, spec.last_epoch)
    while not ended(search, folder):
        if returned := going_back(search, folder):
            again = partial(capture.transition, launch=launch)
            if not go_back(search, data, returned, answered, folder, log, again, watch.interrupted):
                raise Interrupted(f"stopped on the way back to epoch {returned.epoch}; {folder} is as it was")
            watch.progress(search.epoch, spec.last_epoch)
        began = time.perf_counter()
        outcome = advance(search, data, watch.interrupted, step)
        log.seconds += time.perf_counter() - began
        if outcome is None:
            save(search, answered, folder, log)
            raise Interrupted(f"stopped after step {len(search.steps)} of epoch {search.epoch + 1}; saved in {folder}")
        log.history.append(snapshot(search))
        record(search, data, answered, folder, log, outcome)
        watch.progress(search.epoch, spec.last_epoch)
        if not ended(search, folder) and watch.interrupted():
            raise Interrupted(f"stopped after epoch {search.epoch}; saved in {folder}")
    files.write(folder / DONE, provenance(search, answered, folder, log, place._replace(launch=launch)))


def ended(search: Search, folder: Path) -> bool:
    """Whether the search has come to its end, or its stopping rule ends it after the rows that are there."""
    if search.epoch == search.spec.last_epoch:
        return True
    stops = search.parts.stops
    return stops is not None and search.epoch > 0 and not search.steps and stops(read_rows(folder / EPOCHS))


def record(search: Search, data: Dataset, answered: Answers, folder: Path, log: Log, outcome: Epoch | None) -> None:
    """Measures the state, appends its rows, then replaces alphas.npz and the checkpoint."""
    logits = log.history[queried_epoch(search.spec, search.epoch)]
    placed = tuple(group.to(search.alpha[0].device) for group in logits)
    queried = search.parts.evaluate(placed, queried_epoch(search.spec, search.epoch) / search.spec.epochs)
    measured, values = measure(search, data, answered, outcome, queried, log.seconds)
    row = dataclasses.replace(measured, run=log.run, data=log.data).row()
    if search.epoch == 0:
        if not (folder / SPEC).exists():
            files.write(folder / SPEC, search.spec.json() + "\n")
        log.columns = tuple(row)
        files.append(folder / EPOCHS, csv_text([{name: name for name in row}]))
        files.append(folder / SPECTRUM, csv_text([{name: name for name in SPECTRUM_COLUMNS}]))
        if search.spec.smoothing:
            files.append(folder / SMOOTHING, csv_text([{name: name for name in SMOOTHING_COLUMNS}]))
    files.append(folder / EPOCHS, csv_text([{name: row[name] for name in log.columns}]))
    files.append(folder / SPECTRUM, csv_text([value.row() for value in values]))
    if search.spec.smoothing:
        files.append(folder / SMOOTHING, csv_text([found.row() for found in smoothing(search, data)]))
    files.write(folder / ALPHAS, npz_bytes(log.history))
    log.seconds = 0.0
    save(search, answered, folder, log)


def provenance(search: Search, answered: Answers, folder: Path, log: Log, place: Place) -> str:
    """run.json: everything that a reader needs to trust and to repeat the run."""
    seconds = sum(float(row["seconds"]) for row in read_rows(folder / EPOCHS))
    certified = (SPEC, *row_files(search.spec), ALPHAS, CHECKPOINT)
    older = [schema for schema, column in NEW_IN.items() if column not in log.columns]
    return sealed(
        {
            "run": log.run,
            "schema": min(older, default=SCHEMA + 1) - 1,
            "spec": opened(folder / SPEC, "a run's spec"),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "git_commit": git_commit(),
            "device": device_name(place.device),
            "threads": torch.get_num_threads(),
            "launch": place.launch._asdict(),
            "data": log.inputs["data"],
            "table": log.inputs["table"],
            "inputs_since": log.since,
            "table_queries": answered.asked,
            "table_missing": answered.missing,
            "files": {name: files.sha256(folder / name) for name in certified},
            **({"decays": [list(decay) for decay in search.decays]} if search.decays else {}),
            **({"stopped": search.epoch} if search.epoch < search.spec.last_epoch else {}),
            **({} if search.spec.space in BUILT_IN else {SPACE_FACTS: search.space.facts.json()}),
            "random": random_searches(answered.table, search.space, answered.columns, answered.epochs),
            "best_reachable": {f"{dataset}_{split}": value for (dataset, split), value in answered.best.items()},
            "seconds": seconds,
        }
    )
