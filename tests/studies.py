"""A finished study that tests harm, and the words of a run on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from nas_stability.field_flags import OTHERWISE
from nas_stability.harness.records.record import (
    LANDSCAPE,
)
from nas_stability.harness.specs.spec import RunSpec


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def first(study: Path) -> Path:
    """The folder of a run of the study, the one with a landscape."""
    return next(path.parent for path in study.glob(f"*/{LANDSCAPE}"))


def run_words(spec: RunSpec, out: Path) -> list[str]:
    """``run`` with every field of a spec that is a flag with another value than its default."""
    words = ["run", "--threads", "1", "--out", str(out)]
    for name, value in json.loads(spec.json()).items():
        if name not in ("data_sha256", *OTHERWISE):
            words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return words
