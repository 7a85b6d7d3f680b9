"""What a tracker has, by its own library: TensorBoard's reader of events, MLflow's client, W&B's messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK, HEADER, MAGIC = 32768, 7, 7
"""Of W&B's file, a LevelDB log: bytes of a block, of a record's header (checksum, length, kind), and of its magic."""

WHOLE, LAST = 1, 4
"""Kinds of a record's part: all of it, and the last of several."""


class Had(NamedTuple):
    """What a tracker has of one run.

    Attributes:
        numbers: (column, epoch) -> values, in the order in which they came.
        fields: hyper-parameters, as texts.
        provenance: name -> text.
        outcome: how the tracker says that it ended: "good", "bad", or "" where it goes on.
        histogram: how many eigenvalues its histogram counts; None where it has none.
    """

    numbers: dict[tuple[str, int], list[float]]
    fields: dict[str, str]
    provenance: dict[str, str]
    outcome: str
    histogram: int | None


def of_tensorboard(place: Path, study: str) -> dict[str, Had]:
    """The runs of a folder of logs, as TensorBoard loads them."""
    return {folder.name: had_by_tensorboard(folder) for folder in sorted((place / study).iterdir())}


def had_by_tensorboard(folder: Path) -> Had:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.util.tensor_util import make_ndarray

    loaded = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    loaded.Reload()
    numbers: dict[tuple[str, int], list[float]] = {}
    texts: dict[str, str] = {}
    counted = None
    for tag in loaded.Tags()["tensors"]:
        kind = loaded.SummaryMetadata(tag).plugin_data.plugin_name
        for event in loaded.Tensors(tag):
            value = make_ndarray(event.tensor_proto)
            if kind == "scalars":
                numbers.setdefault((tag, event.step), []).append(float(value))
            elif kind == "text":
                texts[tag] = value.item().decode()
            elif kind == "histograms":
                counted = round(float(value[:, 2].sum()))
    told = {
        tag: loaded.SummaryMetadata(tag).plugin_data.content for tag in loaded.Tags()["tensors"] if "hparams" in tag
    }
    started = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
    fields = {name: str(getattr(value, value.WhichOneof("kind"))) for name, value in started.hparams.items()}
    outcome = ""
    if metadata.SESSION_END_INFO_TAG in told:
        ended = metadata.parse_session_end_info_plugin_data(told[metadata.SESSION_END_INFO_TAG])
        outcome = {1: "good", 2: "bad"}[ended.status]
    rows = [line.strip("| ").split(" | ") for line in texts["provenance"].splitlines()[2:]]
    return Had(numbers, fields, {name: text.replace("\\|", "|") for name, text in rows}, outcome, counted)


def of_mlflow(place: Path, study: str) -> dict[str, Had]:
    """The runs of an experiment."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study)
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        numbers: dict[tuple[str, int], list[float]] = {}
        for name in run.data.metrics:
            for metric in client.get_metric_history(run.info.run_id, name):
                numbers.setdefault((name, metric.step), []).append(metric.value)
        tags = {
            name: text for name, text in run.data.tags.items() if not name.startswith(("mlflow.", "nas_stability."))
        }
        outcome = {"FINISHED": "good", "FAILED": "bad", "RUNNING": "", "KILLED": ""}[run.info.status]
        found[run.info.run_name] = Had(numbers, dict(run.data.params), tags, outcome, None)
    return found


def of_wandb(place: Path, study: str) -> dict[str, Had]:
    """The runs of a project by the files that ``wandb sync`` would send, in that order."""
    found: dict[str, Had] = {}
    for path in sorted(place.glob("wandb/offline-run-*/run-*.wandb")):
        name, outcome, counted = "", "", None
        numbers: dict[tuple[str, int], list[float]] = {}
        config: dict[str, Any] = {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                assert record.run.project == study
                name = record.run.display_name
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif kind == "config":
                config |= {item.key: json.loads(item.value_json) for item in record.config.update}
            elif kind == "exit":
                outcome = "bad" if record.exit.exit_code else "good"
            elif kind == "history":
                items = {tuple(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                if ("spectrum", "values") in items:
                    counted = sum(items["spectrum", "values"])
                    continue
                for (column,), value in items.items():
                    if not column.startswith("_"):
                        numbers.setdefault((column, items[("_step",)]), []).append(value)
        earlier = found.get(name, Had({}, {}, {}, "", None))
        fields = {key: str(value) for key, value in config.items() if key not in ("_wandb", "provenance")}
        found[name] = Had({**earlier.numbers, **numbers}, fields, config["provenance"], outcome, counted)
    return found


def records(path: Path) -> Iterator[Any]:
    """The messages of a W&B file: parts of records in blocks, as LevelDB has its log."""
    from wandb.proto import wandb_internal_pb2

    content, at, whole = path.read_bytes(), MAGIC, b""
    while at + HEADER <= len(content):
        left = BLOCK - at % BLOCK
        _, length, kind = struct.unpack("<IHB", content[at : at + HEADER])
        if left < HEADER or kind == 0:
            at += left
            continue
        whole += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (WHOLE, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


READERS: dict[str, Callable[[Path, str], dict[str, Had]]] = {
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
}
