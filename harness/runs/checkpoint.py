"""A checkpoint on disk: written aside and renamed, checked by length and checksum when read.

Its head (harness/records/sealed.py) can be read without PyTorch; it ties the checkpoint to the rows and the inputs of
its run.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.harness.records.record import SCHEMA
from nas_stability.harness.records.sealed import MAGIC, read_head, sealed

FIRST_VERSION = b"nas-stability checkpoint 1 "
"""How a checkpoint of version 0.1 begins; length and checksum of what follows stand in the same line."""

ADVICE = "restore it from a copy, or delete the run's folder to begin the run again"


def save(path: Path, head: dict[str, Any], state: dict[str, Any]) -> None:
    """Replaces the checkpoint by ``state`` (tensors, containers, text and numbers); the old one stands until then.

    Args:
        path: of the file.
        head: what can be read without PyTorch.
        state: the rest.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    sums = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    line = sealed({"schema": SCHEMA, "payload": sums, **head}, indent=None)
    files.write(path, MAGIC + line.encode() + payload)


def load(path: Path) -> dict[str, Any]:
    """The state that was saved; tensors come to the CPU.

    Raises:
        CorruptFile: truncated, altered, or not a checkpoint.
    """
    with path.open("rb") as file:
        first = file.readline()
        if first.startswith(FIRST_VERSION):
            *_, length, digest = first.decode("ascii", "replace").split()
        elif first == MAGIC:
            sums = read_head(path)["payload"]
            length, digest = str(sums["bytes"]), sums["sha256"]
            file.readline()
        else:
            raise CorruptFile(f"the checkpoint {path} is not a checkpoint of this version; {ADVICE}")
        payload = file.read()
    if str(len(payload)) != length:
        raise CorruptFile(f"the checkpoint {path} is truncated: {len(payload)} of {length} bytes; {ADVICE}")
    if hashlib.sha256(payload).hexdigest() != digest:
        raise CorruptFile(f"the checkpoint {path} was altered: its checksum does not match; {ADVICE}")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign pickle raises nearly anything
        raise CorruptFile(f"the checkpoint {path} holds what this version cannot read; {ADVICE}") from error
    if not isinstance(state, dict):
        raise CorruptFile(f"the checkpoint {path} holds no state of a search; {ADVICE}")
    return state


def is_first_version(path: Path) -> bool:
    """Whether it was written by version 0.1, which tied no checksum of the rows to it."""
    with path.open("rb") as file:
        return file.read(len(FIRST_VERSION)) == FIRST_VERSION
