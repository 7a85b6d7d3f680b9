"""Searches that others carried out, as a study's folder: marked as imported, without checkpoints, nothing made up.

What a log does not tell is an empty cell. Fields of the spec that it does not tell have the harness's defaults, and
run.json says which ones the log told.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.spaces.facts import BUILT_IN
from nas_stability.benchmarks.spaces.space import Mixture, Space
from nas_stability.harness.measuring.asked_table import Answers, answers, neighbourhood, random_searches, table_of
from nas_stability.harness.measuring.measure import curvature_columns, entropy, shares
from nas_stability.harness.methods.assembled import decided
from nas_stability.harness.records.claiming import claim_study
from nas_stability.harness.records.record import (
    ALPHAS,
    DONE,
    EPOCHS,
    IMPORTED,
    SCHEMA,
    SPACE_FACTS,
    SPEC,
    SPECTRUM,
    SPECTRUM_COLUMNS,
    EpochRecord,
    SpectrumRecord,
    csv_text,
)
from nas_stability.harness.records.sealed import sealed
from nas_stability.harness.runs.saving import npz_bytes
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy

SHARES = ("share_skip", "share_none", "share_pool")
"""Columns that follow from the logits alone."""

NEVER_TOLD = (
    *("discrete_valid_loss", "discrete_valid_accuracy", "radius", "lr", "attack_fallback", "attack_gain", "seconds"),
)
"""Columns of which no log says anything."""


class LogSource(NamedTuple):
    """Where searches are from.

    Attributes:
        layout: of the logs: "robustdarts" or "1shot1".
        name: who carried them out, and where they are published.
        licence: of the logs; "not stated" where nobody said.
    """

    layout: str
    name: str
    licence: str


class LoggedEpoch(NamedTuple):
    """What a log tells of the state after some epochs; None where it does not.

    Attributes:
        arch: the architecture, in the space's canonical text; empty where the logits say it, or nothing does.
        logits: of each group, (rows, choices).
        eigenvalues: of the Hessian, ascending, in nats.
        train_loss, valid_loss: nats.
        train_accuracy, valid_accuracy: percent.
    """

    arch: str = ""
    logits: tuple[Tensor, ...] | None = None
    eigenvalues: tuple[float, ...] = ()
    train_loss: float | None = None
    train_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None


class LoggedRun(NamedTuple):
    """A search as its log tells it.

    Attributes:
        spec: the settings that are told, and the harness's defaults.
        told: names of the fields that the log tells.
        epochs: the state after 0, 1, 2, ... epochs.
        origin: where in the logs it was found.
    """

    spec: RunSpec
    told: tuple[str, ...]
    epochs: tuple[LoggedEpoch, ...]
    origin: str


def write_study(runs: Sequence[LoggedRun], folder: Path, source: LogSource) -> None:
    """Writes the searches as a study of finished runs; the folder appears when all of it is there.

    Args:
        runs: to write.
        folder: of the study, which is not there yet.
        source: of all of them.

    Raises:
        BadInput: the folder is there, cannot be a study's or cannot be written; no runs, or two of one spec.
    """
    check_name("study", folder.name)
    if folder.exists():
        raise BadInput(f"the folder {folder} is there already; choose another with --out")
    if not runs:
        raise BadInput("there is no search in these logs")
    ids = [run.spec.run_id for run in runs]
    twice = next((run for run in runs if ids.count(run.spec.run_id) > 1), None)
    if twice is not None:
        raise BadInput(f"{twice.origin} and another search have the same settings and the same seed")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            claim_study(PlannedStudy(folder.name, tuple(run.spec for run in runs)), made)
            for run in runs:
                write_run(run, made / run.spec.run_id, source)
            made.chmod(0o755)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be written: {error.strerror or error}") from error


def write_run(run: LoggedRun, folder: Path, source: LogSource) -> None:
    """One search as the folder of a finished run."""
    spec, space = run.spec, find_space(run.spec.space)
    table = table_of(spec)
    answered = answers(table, space, spec.table_epochs, 0)
    rows = [record_of(run, epoch, space, answered).row() for epoch in range(len(run.epochs))]
    folder.mkdir()
    files.write(folder / SPEC, spec.json() + "\n")
    files.write(folder / EPOCHS, csv_text([{name: name for name in rows[0]}, *rows]))
    spectrum = [
        SpectrumRecord(epoch, index, value).row()
        for epoch, logged in enumerate(run.epochs)
        for index, value in enumerate(logged.eigenvalues)
    ]
    files.write(folder / SPECTRUM, csv_text([{name: name for name in SPECTRUM_COLUMNS}, *spectrum]))
    logits = [logged.logits for logged in run.epochs if logged.logits is not None]
    if len(logits) == len(run.epochs):
        files.write(folder / ALPHAS, npz_bytes(logits))
    last = len(run.epochs) - 1
    certified = [name for name in (SPEC, EPOCHS, SPECTRUM, ALPHAS) if (folder / name).exists()]
    record: dict[str, Any] = {
        "run": spec.run_id,
        "schema": SCHEMA,
        IMPORTED: {**source._asdict(), "origin": run.origin, "told": list(run.told)},
        "spec": vars(spec),
        "data": None,
        "table": None if table is None else {"name": table.name, "source": table.source, "sha256": table.sha256},
        "table_queries": answered.asked,
        "table_missing": answered.missing,
        "files": {name: files.sha256(folder / name) for name in certified},
        **({"stopped": last} if last < spec.epochs else {}),
        **({} if spec.space in BUILT_IN else {SPACE_FACTS: space.facts.json()}),
        "random": random_searches(table, space, answered.columns, answered.epochs),
        "best_reachable": {f"{dataset}_{split}": value for (dataset, split), value in answered.best.items()},
    }
    files.write(folder / DONE, sealed(record))


def record_of(run: LoggedRun, epoch: int, space: Space, answered: Answers) -> EpochRecord:
    """A row of epochs.csv: what the log tells, and what follows from the logits where it has them."""
    spec, logged = run.spec, run.epochs[epoch]
    queried: Mixture | None = None
    arch = logged.arch
    if logged.logits is not None:
        queried = decided(spec, logged.logits, epoch)
        arch = space.discretize(queried)
    accuracy = answered.accuracies(arch) if arch else dict.fromkeys(answered.columns)
    neighbours = () if queried is None else space.neighbours(queried)
    table = None if queried is None else answered.table
    around = neighbourhood(table, neighbours, answered.columns, answered.epochs)
    return EpochRecord(
        run=spec.run_id,
        space=spec.space,
        method=spec.method,
        data=spec.data_name,
        seed=spec.seed,
        epoch=epoch,
        arch=arch,
        cell="" if queried is None else space.describe(queried),
        train_loss=logged.train_loss,
        train_accuracy=logged.train_accuracy,
        valid_loss=logged.valid_loss,
        valid_accuracy=logged.valid_accuracy,
        **curvature_columns(logged.eigenvalues),
        entropy=None if logged.logits is None else entropy(decided(spec, logged.logits, epoch)),
        **(dict.fromkeys(SHARES) if queried is None else shares(space, queried)),
        **dict.fromkeys(NEVER_TOLD),
        accuracy=accuracy,
        regret=answered.regrets(accuracy),
        neighbours=None if queried is None else len(neighbours),
        neighbours_mean=around.mean,
        neighbours_worst=around.worst,
        neighbours_missing=around.missing,
        rank_tau=dict.fromkeys(answered.columns),
        rank_count=dict.fromkeys(answered.columns),
    )


def seeds(taken: Iterable[int], wanted: Sequence[int]) -> list[int]:
    """A seed for each of several searches of one setting: the number that its log has, or where that is taken the next.

    Args:
        taken: seeds that others of the setting have.
        wanted: numbers of the logs; two may be the same, where one setting was carried out by two jobs.
    """
    used, found = set(taken), []
    for number in wanted:
        while number in used:
            number += 1
        used.add(number)
        found.append(number)
    return found


def json_of(path: Path, content: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CorruptFile: it is none.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"the file {path} is damaged: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise CorruptFile(f"the file {path} is damaged: no JSON object")
    return found
