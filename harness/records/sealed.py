"""Records in JSON that carry their own checksum, and the head of a checkpoint, which is one. The standard library only.

``seal`` is the SHA-256 over all the other entries: whoever changes one byte of a value has changed the seal too, or is
found. Records of schema 3 and later are sealed; older ones may be.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.harness.records.record import SCHEMA

SEAL = "seal"

SEALED_SINCE = 3
"""Schema from which on a record must be sealed."""

MAGIC = b"nas-stability checkpoint 2\n"
"""First line of a checkpoint; its second is a sealed record in one line, and what follows is what torch saved."""

LONGEST_HEAD = 1 << 20
"""Bytes that a checkpoint's head may have; it has about a thousand."""


def sealed(values: dict[str, Any], indent: int | None = 1) -> str:
    """The record as JSON, its seal first, with a line feed at the end."""
    return json.dumps({SEAL: seal_of(values), **values}, indent=indent) + "\n"


def seal_of(values: dict[str, Any]) -> str:
    """SHA-256 over the entries, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def opened(path: Path, what: str) -> dict[str, Any]:
    """The entries of a record without its seal.

    Args:
        path: of the file.
        what: it should be, for the message: "a run's record".

    Raises:
        CorruptFile: missing, not JSON, altered, without the seal that its schema asks for, or newer than this version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorruptFile(f"the file {path} is missing") from None
    except IsADirectoryError:
        raise CorruptFile(f"{path} is a folder, not {what}") from None
    return unsealed(content, f"the file {path}", what)


def unsealed(content: bytes, name: str, what: str) -> dict[str, Any]:
    """``opened`` of the content of a file, which is called ``name`` in messages."""
    try:
        values = json.loads(content, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{name} is damaged: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise CorruptFile(f"{name} is damaged: it is not {what}")
    seal = values.pop(SEAL, None)
    schema = values.get("schema", 0)
    if seal is None and isinstance(schema, int) and schema < SEALED_SINCE:
        return values
    if seal != seal_of(values):
        raise CorruptFile(f"{name} was altered: its seal does not match")
    if schema > SCHEMA:
        raise CorruptFile(f"{name} has schema {schema}, newer than {SCHEMA}: update nas-stability to read it")
    return values


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these entries.

    Raises:
        ValueError: a name is given twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is given twice")
    return values


def read_head(path: Path) -> dict[str, Any]:
    """What the head of a checkpoint says: its epoch, its inputs, and checksums of the rows and of what follows.

    Raises:
        CorruptFile: it is not a checkpoint of this version, or its head was altered.
    """
    with path.open("rb") as file:
        magic, head = file.readline(len(MAGIC)), file.readline(LONGEST_HEAD)
    if magic != MAGIC:
        raise CorruptFile(f"the checkpoint {path} is not a checkpoint of this version")
    return unsealed(head, f"the checkpoint {path}", "a checkpoint")
