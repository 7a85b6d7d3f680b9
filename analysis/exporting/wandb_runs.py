"""Runs as those of Weights & Biases: a project per study; on this machine alone unless WANDB_MODE says otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from nas_stability.analysis.exporting.tracked import OVER, Tell, TrackedRun

DIGITS = 16
"""Of a run's id: the beginning of a SHA-256 over the names of study and run."""

NOTHING_OF_HERE: dict[str, Any] = {"x_disable_stats": True, "x_disable_meta": True, "x_save_requirements": False}
"""Settings without which W&B tells of this machine, of which the run says nothing."""


@contextlib.contextmanager
def wandb(place: Path) -> Iterator[Tell]:
    """Weights & Biases; a run stays open until it is over, or nobody follows it any more."""
    import wandb

    open_runs: dict[str, Any] = {}

    def tell(run: TrackedRun, since: int) -> None:
        if since == 0 and run.run in open_runs:
            open_runs.pop(run.run).finish()
        session = open_runs.get(run.run) or begun(place, run, since)
        open_runs[run.run] = session
        log(session, run, since)
        if run.state in OVER:
            open_runs.pop(run.run).finish(exit_code=int(run.state == "failed"))

    place.mkdir(parents=True, exist_ok=True)
    try:
        yield tell
    finally:
        for session in open_runs.values():
            session.finish()
        wandb.teardown()


def begun(place: Path, run: TrackedRun, since: int) -> Any:
    """A session of a run: a new one, or one that goes on from the rows that are there."""
    import wandb

    mode: Any = os.environ.get("WANDB_MODE", "offline")
    return wandb.init(
        project=run.study,
        id=hashlib.sha256(f"{run.study}/{run.run}".encode()).hexdigest()[:DIGITS],
        name=run.run,
        group=f"{run.fields['space']} {run.fields['method']}",
        config=dict(run.fields),
        dir=place,
        mode=mode,
        resume="allow" if since else None,
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off", disable_git=True, **NOTHING_OF_HERE),
    )


def log(session: Any, run: TrackedRun, since: int) -> None:
    """The new rows by epoch; the spectrum, one step further, when the run is over; and what the run is from."""
    import wandb

    for row in run.epochs[since:]:
        session.log({**row.scalars, "epoch": row.epoch, "_timestamp": row.at}, step=row.epoch)
    if run.spectrum:
        counts = numpy.histogram(run.spectrum, bins="auto")
        session.log({"spectrum": wandb.Histogram(np_histogram=counts)}, step=run.epochs[-1].epoch + 1)
    session.config.update({"provenance": dict(run.provenance)}, allow_val_change=True)
    session.tags = (run.state,)
