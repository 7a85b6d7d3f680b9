"""A finished run of two spaces with its landscape, and copies of it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from nas_stability.harness.specs.spec import RunSpec, Value
from tests.small import small_spec

CASES: dict[str, dict[str, Value]] = {
    "nasbench201": {"dtype": "float64", "arch_lr": 0.3},
    "nasbench1shot1-s1": {"dtype": "float64", "table_epochs": 6},
}


def spec_of(space: str) -> RunSpec:
    return small_spec(space=space, images=100, lr=0.1, **CASES[space])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def copied(folder: Path, tmp_path: Path, *without: str) -> Path:
    """The run's folder again, as it was before some of its files were there."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in without:
        (copy / name).unlink()
    return copy


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))
