"""Runs as MLflow's: an experiment per study, a run per run, in a store of the folder or where MLflow is told to."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_stability.analysis.exporting.tracked import OVER, Tell, TrackedEpoch, TrackedRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STORE = "MLFLOW_TRACKING_URI"
"""Environment variable by which MLflow is told of a store; without it runs go to a file of the folder."""

RUN = "nas_stability.run"
"""Tag with the id of a run, by which it is found again."""

STATES = {"finished": "FINISHED", "imported": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
"""State -> MLflow's; the others are RUNNING."""

MOST_NUMBERS, MOST_TEXTS = 500, 100
"""In one request; MLflow takes a thousand numbers, and so many texts."""

LONGEST = 5000
"""Characters of a text; MLflow takes so many in a tag."""


@contextlib.contextmanager
def mlflow(place: Path) -> Iterator[Tell]:
    """MLflow's client."""
    from mlflow.tracking import MlflowClient

    for talker in ("alembic", "mlflow.store.db.utils"):  # tell each table of a new store
        logging.getLogger(talker).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=store(place))
    yield functools.partial(write_run, client, place / "artifacts")


def store(place: Path) -> str:
    """The address of the store."""
    return os.environ.get(STORE) or f"sqlite:///{(place / 'mlflow.db').resolve()}"


def write_run(client: MlflowClient, artifacts: Path, run: TrackedRun, since: int) -> None:
    """Tells MLflow of a run.

    Args:
        client: of the store.
        artifacts: folder of a new experiment's files.
        run: to tell of.
        since: rows that are there; none if MLflow lacks the run.
    """
    experiment = experiment_of(client, run.study, artifacts)
    there = find(client, experiment, run.run)
    if there is not None and since == 0:
        client.delete_run(there.info.run_id)
    if there is None or since == 0:
        there, since = begun(client, experiment, run), 0
    told = there.data.metrics.get("epoch", -1)
    new = [row for row in run.epochs[since:] if row.epoch > told]
    log_numbers(client, there.info.run_id, new)
    log_texts(client, there.info.run_id, run.provenance, as_tags=True)
    if run.state in (*OVER, "stopped"):
        ended = int(1000 * run.epochs[-1].at) if run.epochs else None
        client.set_terminated(there.info.run_id, STATES[run.state], ended)
    else:
        client.update_run(there.info.run_id, status="RUNNING")


def experiment_of(client: MlflowClient, study: str, artifacts: Path) -> str:
    """The id of a study's experiment, made where there is none."""
    found = client.get_experiment_by_name(study)
    local = not os.environ.get(STORE)
    if found is None:
        return str(client.create_experiment(study, (artifacts / study).resolve().as_uri() if local else None))
    return str(found.experiment_id)


def find(client: MlflowClient, experiment: str, run: str) -> Any | None:
    """MLflow's run of a run's id; None where it has none."""
    found = client.search_runs([experiment], f"tags.`{RUN}` = '{run}'", max_results=1)
    return found[0] if found else None


def begun(client: MlflowClient, experiment: str, run: TrackedRun) -> Any:
    """A new run with its fields as parameters."""
    start = int(1000 * run.epochs[0].at) if run.epochs else None
    made = client.create_run(experiment, start, {RUN: run.run}, run.run)
    log_texts(client, made.info.run_id, {name: str(value) for name, value in run.fields.items()}, as_tags=False)
    return made


def log_texts(client: MlflowClient, run: str, texts: Mapping[str, str], as_tags: bool) -> None:
    """Texts by name, as tags, which may change, or as parameters."""
    from mlflow.entities import Param, RunTag

    cut = [(name, text[:LONGEST]) for name, text in texts.items()]
    for first in range(0, len(cut), MOST_TEXTS):
        some = cut[first : first + MOST_TEXTS]
        if as_tags:
            client.log_batch(run, tags=[RunTag(*one) for one in some])
        else:
            client.log_batch(run, params=[Param(*one) for one in some])


def log_numbers(client: MlflowClient, run: str, epochs: Sequence[TrackedEpoch]) -> None:
    """The numbers of rows; the number of the epoch is the last of each, so that what MLflow has is known by it."""
    from mlflow.entities import Metric

    numbers = [
        Metric(name, value, int(1000 * row.at), row.epoch)
        for row in epochs
        for name, value in {**row.scalars, "epoch": float(row.epoch)}.items()
    ]
    for first in range(0, len(numbers), MOST_NUMBERS):
        client.log_batch(run, metrics=numbers[first : first + MOST_NUMBERS])
