"""What the study.json of a study's folder says. The standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.harness.records.record import STUDY
from nas_stability.harness.records.sealed import opened
from nas_stability.harness.specs.claimed import COUNTING, NOTHING_COUNTS, Counting
from nas_stability.harness.specs.recorded import known_ids, recorded_spec


def read_study(folder: Path) -> dict[str, dict[str, Any]]:
    """Run id -> spec as written, of a study's folder, in its order.

    Raises:
        CorruptFile: study.json is damaged.
    """
    path = folder / STUDY
    runs = opened(path, "a study's").get("runs")
    if not isinstance(runs, dict) or not all(isinstance(values, dict) for values in runs.values()):
        raise CorruptFile(f"the file {path} is damaged: it names no runs")
    for run, values in runs.items():
        if not has_id(values, run):
            raise CorruptFile(f"the file {path} was altered: the spec of {run} has another id")
    return runs


def read_claims(folder: Path) -> tuple[tuple[str, str, str], ...]:
    """Template, method and base of the claims that a study's folder has of its own.

    Raises:
        CorruptFile: study.json is damaged.
    """
    path = folder / STUDY
    try:
        found = opened(path, "a study's").get("claims", [])
        return tuple((str(one["template"]), str(one["method"]), str(one["base"])) for one in found)
    except (LookupError, TypeError) as error:
        raise CorruptFile(f"the file {path} is damaged: its claims are none: {error!r}") from error


def read_counting(folder: Path) -> Counting:
    """What a study's folder is to decide; nothing where its file did not say.

    Raises:
        CorruptFile: study.json is damaged.
    """
    path = folder / STUDY
    try:
        found = opened(path, "a study's").get(COUNTING)
        return NOTHING_COUNTS if found is None else Counting(str(found["question"]), tuple(map(str, found["claims"])))
    except (LookupError, TypeError) as error:
        raise CorruptFile(f"the file {path} is damaged: the claims that count are none: {error!r}") from error


def ids_of(values: dict[str, Any]) -> tuple[str, ...]:
    """The ids under which a spec as written is known; none where it is no spec."""
    try:
        return known_ids(values)
    except (BadInput, TypeError):
        return ()


def has_id(values: dict[str, Any], run: object) -> bool:
    """Whether a run of a spec as written may be called so: by its id of today, or by that of version 0.1."""
    try:
        return recorded_spec(values).run_id == run or run in known_ids(values)
    except (BadInput, TypeError):
        return False
