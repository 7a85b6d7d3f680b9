"""Runs as TensorBoard's event files, by its own writer of records, without TensorFlow and PyTorch.

A run is a folder STUDY/RUN. What is new goes into one more file, which is there whole or not at all; it begins with the
step that it goes on from, by which TensorBoard knows that later values of earlier files are void.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from nas_stability.analysis.exporting.tracked import OVER, Tell, TrackedRun
from nas_stability.benchmarks import files

PREFIX, SUFFIX = "events.out.tfevents.", ".nas-stability"
"""TensorBoard reads files whose names hold tfevents, in the order of their names."""

FILE_VERSION = "brain.Event:2"
"""First event of a file."""


@contextlib.contextmanager
def tensorboard(place: Path) -> Iterator[Tell]:
    """TensorBoard's folder of logs."""
    yield functools.partial(write_events, place)


def write_events(place: Path, run: TrackedRun, since: int) -> None:
    """Writes the next event file of a run.

    Args:
        place: folder of the logs.
        run: to tell of.
        since: rows that are there; with 0 the earlier files are void.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder = place / run.study / run.run
    earlier = sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))
    number = int(earlier[-1].name.removeprefix(PREFIX).removesuffix(SUFFIX)) + 1 if earlier else 0
    with files.aside(folder / f"{PREFIX}{number:06}{SUFFIX}") as part, part.open("wb") as file:
        writer = RecordWriter(file)
        for event in events(run, since):
            writer.write(event.SerializeToString())
        writer.flush()
    for path in earlier if since == 0 else ():  # not every reader heeds where a file goes on from
        path.unlink()


def events(run: TrackedRun, since: int) -> Iterator[Any]:
    """What a file holds: where it goes on from, then the new rows, then what else there is to say of the run."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    new = run.epochs[since:]
    last = run.epochs[-1] if run.epochs else None
    step, at = (new[0].epoch, new[0].at) if new else (last.epoch + 1, last.at) if last else (0, 0.0)
    yield Event(wall_time=at, file_version=FILE_VERSION)
    yield Event(wall_time=at, step=step, session_log=SessionLog(status=SessionLog.START))
    for row in new:
        for name, value in row.scalars.items():
            yield Event(wall_time=row.at, step=row.epoch, summary=scalar_pb(name, value))
    for summary in remarks(run, since):
        yield Event(wall_time=last.at if last else at, step=last.epoch if last else 0, summary=summary)


def remarks(run: TrackedRun, since: int) -> Iterator[Any]:
    """Hyper-parameters when the run is new; provenance, spectrum and the end when it is over."""
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    if since == 0:
        yield hparams_pb(dict(run.fields), trial_id=run.run)
    if since == 0 or run.state != "running":
        lines = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in run.provenance.items()]
        yield text_pb("provenance", "\n".join(["| | |", "|---|---|", *lines]))
        yield text_pb("state", run.state)
    if run.spectrum:
        yield histogram_pb("spectrum", numpy.array(run.spectrum))
    if run.state in OVER:
        yield end(run)


def end(run: TrackedRun) -> Any:
    """How and when a run ended; TensorBoard's own function for it needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = Status.STATUS_FAILURE if run.state == "failed" else Status.STATUS_SUCCESS
    info = SessionEndInfo(status=status, end_time_secs=run.epochs[-1].at if run.epochs else 0.0)
    told = metadata.create_summary_metadata(HParamsPluginData(session_end_info=info))
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=told, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
