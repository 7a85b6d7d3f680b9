"""A checkpoint on disk: written aside and renamed, checked by length and checksum when read."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import CorruptFile

MAGIC = b"nas-stability checkpoint 1"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint by ``state`` (tensors, containers, text and numbers); the old one stands until then."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    header = b"%s %d %s\n" % (MAGIC, len(payload), hashlib.sha256(payload).hexdigest().encode())
    write_aside(path, header + payload)


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


def write_aside(path: Path, content: bytes) -> None:
    """Writes a file beside ``path``, syncs it and renames it over: a reader sees the old or the new one, whole."""
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def append_synced(path: Path, text: str) -> None:
    """Appends whole lines and syncs them."""
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
