"""What a run carries from epoch to epoch, to its checkpoint and back; rows and inputs are tied to it by checksum."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.harness.measuring.asked_table import Answers
from nas_stability.harness.methods.compositions import NOTHING
from nas_stability.harness.records.claiming import name_of
from nas_stability.harness.records.folder import data_label, prefix_sum
from nas_stability.harness.records.record import ALPHAS, CHECKPOINT, EPOCHS, SMOOTHING, SPEC, SPECTRUM
from nas_stability.harness.records.sealed import opened, read_head
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.inputs import Certificate, Inputs
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, Step


@dataclass
class Log:
    """What a run carries beside the search.

    Attributes:
        run: its id.
        data: what the column ``data`` calls its images.
        inputs: certificate of its images and table.
        history: logits after every epoch.
        seconds: spent in the epoch under way.
        since: epoch from which on the inputs are certified; above 0 only for a run that version 0.1 began.
        columns: of epochs.csv as the file has them; none before the first row.
    """

    run: str
    data: str
    inputs: Certificate
    history: list[tuple[Tensor, ...]]
    seconds: float = 0.0
    since: int = 0
    columns: tuple[str, ...] = ()


def row_files(spec: RunSpec) -> tuple[str, ...]:
    """The files to which a run adds rows."""
    return (EPOCHS, SPECTRUM, SMOOTHING) if spec.smoothing else (EPOCHS, SPECTRUM)


def snapshot(search: Search) -> tuple[Tensor, ...]:
    """A copy of the logits, on the CPU."""
    return tuple(group.detach().cpu().clone() for group in search.alpha)


def head_of(folder: Path) -> dict[str, Any]:
    """What the checkpoint of an unfinished run says of its inputs and rows; empty where there is none to go on from.

    Raises:
        CorruptFile: it is damaged, or missing though there are rows that it would go on from.
    """
    path = folder / CHECKPOINT
    if path.exists():
        return {} if checkpoint.is_first_version(path) else read_head(path)
    rows = len(read_rows(folder / EPOCHS))
    if rows > 1:  # a process that dies in the very first save leaves row 0 without a checkpoint
        raise CorruptFile(
            f"the checkpoint {path} is missing, though {EPOCHS} has {rows} rows; restore it from a copy, or delete the "
            "folder to begin the run again"
        )
    return {}


def save(search: Search, answered: Answers, folder: Path, log: Log, lengths: Mapping[str, int] = NOTHING) -> None:
    """Replaces the checkpoint by the state as it stands, between epochs or between steps.

    ``lengths``: bytes of the rows that it goes on from, where these are not all.
    """
    sizes = {name: lengths.get(name, (folder / name).stat().st_size) for name in row_files(search.spec)}
    checkpoint.save(
        folder / CHECKPOINT,
        {
            "digest": search.spec.digest,
            "epoch": search.epoch,
            "inputs": log.inputs,
            "since": log.since,
            "rows": {name: {"bytes": size, "sha256": prefix_sum(folder / name, size)} for name, size in sizes.items()},
        },
        {
            "steps": [tuple(step) for step in search.steps],
            "decays": [list(decay) for decay in search.decays],
            "epoch": search.epoch,
            "net": search.net.state_dict(),
            "alpha": [group.detach() for group in search.alpha],
            "weight_optimizer": search.weight_optimizer.state_dict(),
            "arch_optimizer": search.arch_optimizer.state_dict(),
            "history": [list(groups) for groups in log.history],
            "seconds": log.seconds,
            "asked": answered.asked,
            "missing": answered.missing,
        },
    )


def resume(search: Search, answered: Answers, inputs: Inputs, folder: Path) -> Log:
    """Puts the search where the folder's checkpoint stands and cuts off rows ahead of it.

    Raises:
        CorruptFile: the checkpoint, or rows that are not those which it goes on from.
    """
    path = folder / CHECKPOINT
    state = checkpoint.load(path)
    first = checkpoint.is_first_version(path)
    head = {"digest": None, "since": state.get("epoch", 0), "rows": first_rows(state)} if first else read_head(path)
    if not first and head["digest"] != search.spec.digest:
        raise CorruptFile(f"the checkpoint {path} belongs to another spec")
    for name, tied in head["rows"].items():
        cut_back(folder / name, tied["bytes"], tied["sha256"], f"{CHECKPOINT} goes on from; {checkpoint.ADVICE}")
    try:
        log = restored_log(search, answered, state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CorruptFile(f"the checkpoint {path} does not hold a state of this run; {checkpoint.ADVICE}") from error
    log.run, log.data = name_of(search.spec, folder), label_of(folder)
    log.inputs, log.since = inputs.certificate, head["since"]
    log.columns = columns_of(folder / EPOCHS, answered)
    files.write(folder / ALPHAS, npz_bytes(log.history))
    return log


def first_rows(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a checkpoint of version 0.1 knows of the rows: their lengths alone."""
    return {name: {"bytes": size, "sha256": None} for name, size in state["sizes"].items()}


def label_of(folder: Path) -> str:
    """What the column ``data`` of a run's rows says."""
    return data_label(opened(folder / SPEC, "a run's spec"))


def cut_back(path: Path, length: int, digest: str | None, advice: str) -> None:
    """Cuts a file of rows to the length that goes on.

    Args:
        path: of the file.
        length: in bytes.
        digest: SHA-256 of so many; None where it is not known.
        advice: end of the message: what goes on from the rows, and what to do.

    Raises:
        CorruptFile: it is shorter, or its rows are others.
    """
    there = path.stat().st_size if path.exists() else 0
    if there < length:
        raise CorruptFile(f"the file {path} has {there} bytes, fewer than the {length} that were recorded")
    if digest is not None and prefix_sum(path, length) != digest:
        raise CorruptFile(f"the file {path} was altered: its rows are not those that {advice}")
    with path.open("r+b") as file:
        file.truncate(length)


def columns_of(path: Path, answered: Answers) -> tuple[str, ...]:
    """The columns of a file of rows that goes on; an earlier version had fewer, but no others.

    Raises:
        CorruptFile: they are not those of this run's table.
    """
    with path.open(encoding="utf-8") as file:
        there = tuple(file.readline().rstrip("\n").split(","))
    wanted = {f"accuracy_{dataset}_{split}" for dataset, split in answered.columns}
    measured = {name for name in there if name.startswith("accuracy_") and not name.endswith("_surrogate_sd")}
    if measured != wanted:
        raise CorruptFile(f"the file {path} has columns of another table than the run's")
    return there


def restored_log(search: Search, answered: Answers, state: dict[str, Any]) -> Log:
    """Puts the search where a state has it."""
    device = search.alpha[0].device
    restore(search, state)
    search.weight_optimizer.load_state_dict(state["weight_optimizer"])
    for ours, theirs in zip(search.arch_optimizer.param_groups, state["arch_optimizer"]["param_groups"], strict=True):
        theirs["capturable"] = ours["capturable"]  # a matter of the device, which may be another one now
    search.arch_optimizer.load_state_dict(state["arch_optimizer"])
    search.steps = [
        Step(
            loss.to(device),
            correct.to(device),
            images,
            *(value if value is None else value.to(device) for value in attack),
        )
        for loss, correct, images, *attack in state["steps"]
    ]
    search.decays = tuple((epoch, decay) for epoch, decay in state.get("decays", ()))
    answered.asked, answered.missing = state["asked"], state["missing"]
    return Log("", "", {}, [tuple(groups) for groups in state["history"]], state["seconds"])


def restore(search: Search, state: dict[str, Any]) -> None:
    """Puts weights, statistics, logits and epoch where a checkpoint has them: what measuring depends on.

    Raises:
        RuntimeError: the weights are not those of this supernet.
    """
    search.put(state["net"], state["alpha"], state["epoch"])


def npz_bytes(history: list[tuple[Tensor, ...]]) -> bytes:
    """The logits of every epoch as a numpy archive: group_0, group_1, ... of shape (epochs + 1, rows, choices)."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"group_{index}": torch.stack(groups).numpy() for index, groups in enumerate(zip(*history, strict=True))
    }
    numpy.savez(buffer, **arrays)
    return buffer.getvalue()
