"""The parts of a training on disk: whose they are, and what is in them."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables.train_spec import TrainedNetwork, TrainSpec


def claim(parts: Path, spec: TrainSpec) -> None:
    """Makes a folder of parts this spec's, with the versions of the libraries that decide the numbers.

    Raises:
        BadInput: it is of another spec or of other versions.
    """
    note = parts / "spec.json"
    wanted = {"spec": json.loads(spec.json()), "versions": versions()}
    if not note.exists():
        files.write(note, json.dumps(wanted, indent=1))
    found = read_json(note)
    differing = [
        f"{key} {found.get(group, {}).get(key)} there, {value} here"
        for group, values in wanted.items()
        for key, value in values.items()
        if found.get(group, {}).get(key) != value
    ]
    if differing:
        raise BadInput(
            f"the folder {parts} holds parts of another training ({'; '.join(differing)}); use another folder"
        )


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers."""
    return {name: version(name) for name in ("torch", "nasbench-pytorch", "scikit-learn")}


def read_parts(parts: Path, seeds: int) -> dict[Arch, list[TrainedNetwork]]:
    """What is finished: architecture -> one result for each of the seeds.

    Raises:
        CorruptFile: naming the part.
    """
    rows: dict[Arch, list[TrainedNetwork]] = {}
    for path in sorted(parts.glob("*.json")):
        if path.name == "spec.json":
            continue
        for arch, results in read_json(path).items():
            try:
                rows[arch] = [TrainedNetwork(*values) for values in results]
            except TypeError as error:
                raise CorruptFile(f"the part {path} is not what was written: {arch}: {error}") from error
            if len(rows[arch]) != seeds:
                raise CorruptFile(f"the part {path} has {len(rows[arch])} results for {arch}, not {seeds}")
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CorruptFile: there is none.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise CorruptFile(f"the file {path} is not readable JSON: {error}") from error
    if not isinstance(found, dict):
        raise CorruptFile(f"the file {path} holds no JSON object")
    return found
