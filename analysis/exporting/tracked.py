"""A run as a tracker is told of it: its fields, its numbers by epoch, where it comes from, how far it is."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.analysis.study import read_record
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records.record import DONE, EPOCHS, ERROR, IMPORTED, SPACE_FACTS, SPEC, SPECTRUM
from nas_stability.harness.records.sealed import opened
from nas_stability.harness.records.status import first_line, read_rows, state_of
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import own_values

KEYS = ("run", "space", "method", "data", "seed", "epoch", "arch", "cell")
"""Columns of epochs.csv that are no measured numbers; every other one is a scalar."""

TOLD_OTHERWISE = ("run", "spec", "files", "random", "best_reachable", SPACE_FACTS)
"""Entries of run.json that are no provenance."""

OVER = ("finished", "imported", "failed")
"""States of runs that nobody goes on with by himself."""


class TrackedEpoch(NamedTuple):
    """A row of epochs.csv.

    Attributes:
        epoch: after so many.
        at: seconds since 1970: when the run's spec was written, and the seconds of search since.
        scalars: column -> number; what is not known is not there.
    """

    epoch: int
    at: float
    scalars: Mapping[str, float]


class TrackedRun(NamedTuple):
    """A run as its records show it.

    Attributes:
        study: name of its study's folder.
        run: its id.
        state: finished, imported, failed, running, stopped (nobody adds rows) or waiting (has none).
        fields: of its spec and of its method's own; those that are empty are not there.
        provenance: name -> text: state, versions, commit, device, checksums, the architecture of the last row.
        epochs: its rows.
        spectrum: eigenvalues after the last epoch in nats, ascending; empty where the run is not over or has none.
    """

    study: str
    run: str
    state: str
    fields: Mapping[str, bool | int | float | str]
    provenance: Mapping[str, str]
    epochs: tuple[TrackedEpoch, ...]
    spectrum: tuple[float, ...]


Tell = Callable[[TrackedRun, int], None]
"""Tells a tracker of a run of which it has so many rows; with 0 whatever it has of the run is void."""

Exporter = Callable[[Path], AbstractContextManager[Tell]]
"""Opens a tracker that writes to a folder."""


def tracked(study: str, run: str, folder: Path, verify: bool) -> TrackedRun:
    """A run's folder, read.

    Args:
        study: name of its study.
        run: its id.
        folder: of the run.
        verify: whether run.json is held to its seal.

    Raises:
        BadInput: run.json or spec.json is damaged.
    """
    record = read_record(folder, verify) if (folder / DONE).exists() else {}
    rows = read_rows(folder / EPOCHS)
    state = run_state(folder, record, rows)
    spec = record["spec"] if record else dict(vars(recorded_spec(opened(folder / SPEC, "a run's spec"))))
    return TrackedRun(
        study,
        run,
        state,
        fields_of(spec),
        provenance(state, record, rows, first_line(folder / ERROR)),
        epochs_of(rows, (folder / SPEC).stat().st_mtime),
        last_spectrum(folder) if record else (),
    )


def run_state(folder: Path, record: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> str:
    """The state of a run by its record, if it is finished, and its rows."""
    if record:
        return "imported" if IMPORTED in record else "finished"
    spent = [number for row in rows[1:] if (number := scalar(row.get("seconds"))) is not None]
    usual = sum(spent) / len(spent) if spent else 0.0
    return state_of(folder, bool(rows), bool(first_line(folder / ERROR)), usual)


def fields_of(spec: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """The fields of a spec and those of its method's own; what is empty says nothing and is left out."""
    fields = {name: value for name, value in spec.items() if name != "settings"}
    return {name: value for name, value in {**fields, **own_values(spec.get("settings", ""))}.items() if value != ""}


def provenance(state: str, record: Mapping[str, Any], rows: Sequence[Mapping[str, str]], error: str) -> dict[str, str]:
    """What a run is from, as texts: the entries of run.json but those that are told otherwise, with dots."""
    found = {"state": state}
    for name, value in record.items():
        if name not in TOLD_OTHERWISE:
            inner = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
            found |= {key: one if isinstance(one, str) else json.dumps(one) for key, one in inner.items()}
    last = rows[-1] if rows else {}
    found |= {name: text for name in ("arch", "cell") if (text := last.get(name))}
    return found | ({"error": error} if error and not record else {})


def epochs_of(rows: Sequence[Mapping[str, str]], began: float) -> tuple[TrackedEpoch, ...]:
    """The rows of epochs.csv as numbers, with times.

    Args:
        rows: of the file.
        began: seconds since 1970 at which the search began.

    Raises:
        BadInput: a row has no epoch.
    """
    times = itertools.accumulate(scalar(row.get("seconds")) or 0.0 for row in rows)
    try:
        return tuple(
            TrackedEpoch(int(row["epoch"]), began + spent, scalars(row)) for row, spent in zip(rows, times, strict=True)
        )
    except (LookupError, ValueError, TypeError) as error:
        raise BadInput(f"a row of {EPOCHS} has no epoch: {error}") from error


def scalars(row: Mapping[str, str]) -> dict[str, float]:
    """The numbers of a row by column; empty cells and what is no finite number are not among them."""
    found = {name: scalar(cell) for name, cell in row.items() if name not in KEYS}
    return {name: number for name, number in found.items() if number is not None}


def scalar(cell: str | None) -> float | None:
    """A cell's number; None where there is none, or it is not finite."""
    try:
        number = float(cell or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def last_spectrum(folder: Path) -> tuple[float, ...]:
    """The eigenvalues of the last epoch that has any, ascending, in nats."""
    rows = read_rows(folder / SPECTRUM)
    return tuple(float(row["eigenvalue"]) for row in rows if row["epoch"] == rows[-1]["epoch"])


def digest(epochs: Sequence[TrackedEpoch]) -> str:
    """SHA-256 over rows but their times: a search that is resumed repeats its rows, and takes another time."""
    kept = [(row.epoch, {name: value for name, value in row.scalars.items() if name != "seconds"}) for row in epochs]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
