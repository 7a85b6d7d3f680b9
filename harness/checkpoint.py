"""A checkpoint on disk: written aside and renamed, checked by length and checksum when read."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from benchmarks import files
from benchmarks.errors import CorruptFile

MAGIC = b"nas-stability checkpoint 1"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint by ``state`` (tensors, containers, text and numbers); the old one stands until then."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    header = b"%s %d %s\n" % (MAGIC, len(payload), hashlib.sha256(payload).hexdigest().encode())
    files.write(path, header + payload)


def load(path: Path) -> dict[str, Any]:
    """The state that was saved; tensors come to the CPU.

    Raises:
        CorruptFile: truncated, altered, or not a checkpoint.
    """
    content = path.read_bytes()
    header, _, payload = content.partition(b"\n")
    *magic, length, digest = header.split(b" ") if header.startswith(MAGIC) else (b"", b"0", b"")
    advice = "restore it from a copy, or delete the run's folder to begin the run again"
    if b" ".join(magic) != MAGIC:
        raise CorruptFile(f"the checkpoint {path} is not a checkpoint of this version; {advice}")
    if len(payload) != int(length):
        raise CorruptFile(f"the checkpoint {path} is truncated: {len(payload)} of {int(length)} bytes; {advice}")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise CorruptFile(f"the checkpoint {path} was altered: its checksum does not match; {advice}")
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state
