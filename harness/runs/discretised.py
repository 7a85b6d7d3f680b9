"""Each finished run of a study decided by several policies, to discretised.csv: a row per run and policy.

Reads records and checkpoints, and changes neither. The file is written anew, whole, after every run, so that what was
projected stays when it is stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.benchmarks import files, plugins
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import CorruptFile, unknown
from nas_stability.benchmarks.spaces.space import Arch, Mixture
from nas_stability.benchmarks.tables.table import Scorer
from nas_stability.harness.measuring.asked_table import ask_all, columns_of, table_of
from nas_stability.harness.measuring.measure import evaluate, queried_epoch
from nas_stability.harness.measuring.policies import ARGMAX, EDGE, POLICIES, PROJECTION, Judge, by_edge, projected
from nas_stability.harness.methods.assembled import decided, smooth
from nas_stability.harness.records import folder as folders
from nas_stability.harness.records.claiming import alone
from nas_stability.harness.records.outputs import DISCRETISED
from nas_stability.harness.records.record import ALPHAS, CHECKPOINT, EPOCHS, csv_text
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.check import read_alphas
from nas_stability.harness.runs.inputs import open_inputs
from nas_stability.harness.runs.landscape import restored
from nas_stability.harness.runs.machine import Place, settled
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec

LOCK = ".discretise.lock"

COLUMNS = ("run", "space", "method", "seed", "epoch", "policy", "arch", "evaluations", "checkpoint")
"""Columns of discretised.csv before those of the table's answers."""

PolicyRow = Mapping[str, object]


class Discretised(NamedTuple):
    """What was written.

    Attributes:
        path: of the file.
        rows: how many it has.
        without: run -> why it has no row of a policy that was asked for.
    """

    path: Path
    rows: int
    without: Mapping[str, str]


def wanted_policies(text: str) -> tuple[str, ...]:
    """Policies as they are asked for: names joined by commas, or ``all``; in the order of POLICIES.

    Raises:
        BadInput: an unknown one.
    """
    names = POLICIES if text == "all" else tuple(text.split(","))
    for name in names:
        if name not in POLICIES:
            raise unknown("policy", name, [*POLICIES, "all"])
    return tuple(name for name in POLICIES if name in (ARGMAX, *names))


def discretise(folder: Path, policies: Sequence[str], place: Place, progress: Callable[[int], None]) -> Discretised:
    """Decides every finished run of a study by some policies; what was projected before stays, if it is of the same
    checkpoint.

    Args:
        folder: of the study, or of runs.
        policies: of POLICIES; argmax is always among the rows, so that the others can be compared with it.
        place: device, threads and data folder, for the supernets.
        progress: called with the number of runs done.

    Raises:
        BadInput: it is no study's folder, no run is finished, or a run's table or images are not there.
        CorruptFile: a record or checkpoint of a run cannot be trusted.
        Held: another process is at it.
    """
    finished = folders.finished_runs(folder)
    path = folder / DISCRETISED
    without: dict[str, str] = {}
    with alone(folder, LOCK, "discretising the runs"):
        before = rows_of(path)
        made: dict[str, list[PolicyRow]] = {}
        progress(0)
        for run, at in finished.items():
            kept = before.get(run, [])
            made[run], lacking = decided_by(run, at, policies, place, kept)
            if lacking:
                without[run] = lacking
            rows = write(path, {**before, **made}, finished)
            progress(len(made))
    return Discretised(path, rows, without)


def decided_by(
    run: str, folder: Path, policies: Sequence[str], place: Place, before: Sequence[Mapping[str, str]]
) -> tuple[list[PolicyRow], str]:
    """The rows of a run, and why one is lacking; empty where none is."""
    record = folders.read_record(folder)
    spec = recorded_spec(record["spec"])
    plugins.load_recorded(spec.plugins)
    if ALPHAS not in record["files"]:
        return [], "its logits are not recorded"
    last = read_rows(folder / EPOCHS)[-1]
    asked = record.get("table")
    table = table_of(spec, sha256=asked["sha256"]) if asked else None

    def row(policy: str, arch: Arch, evaluations: int | None = None) -> PolicyRow:
        said = (run, spec.space, spec.method, spec.seed, int(last["epoch"]), policy, arch, evaluations)
        checkpoint = None if evaluations is None else record["files"][CHECKPOINT]
        return {**dict(zip(COLUMNS, (*said, checkpoint), strict=True)), **answers_of(table, spec, arch)}

    rows: list[PolicyRow] = [
        row(policy, arch) for policy, arch in by_logits(spec, folder, int(last["epoch"])) if policy in policies
    ]
    own = record["files"].get(CHECKPOINT)
    known = next((one for one in before if (one["policy"], one["checkpoint"]) == (PROJECTION, own)), None)
    if known is not None:
        return [*rows, row(PROJECTION, known["arch"], int(known["evaluations"]))], ""
    if PROJECTION not in policies:
        return rows, ""
    if why := not_projected(spec, folder):
        return rows, why
    return [*rows, row(PROJECTION, *by_supernet(spec, folder, record, place))], ""


def by_logits(spec: RunSpec, folder: Path, epoch: int) -> Iterator[tuple[str, Arch]]:
    """The policies that need the recorded logits alone, each with its architecture."""
    asked = queried_epoch(spec, epoch)
    logits = tuple(group[asked] for group in read_alphas(folder, spec))
    mixture, space = decided(spec, logits, asked), find_space(spec.space)
    yield ARGMAX, space.discretize(mixture)
    yield EDGE, space.discretize(by_edge(space, mixture))


def not_projected(spec: RunSpec, folder: Path) -> str:
    """Why a run cannot be projected; empty where it can."""
    if not smooth(spec):
        return f"{spec.method} decides without following its logits: there is no mixture to project"
    if not (folder / CHECKPOINT).exists():
        return f"it has no {CHECKPOINT}: projection needs the weights"
    return ""


def by_supernet(spec: RunSpec, folder: Path, record: Mapping[str, Any], place: Place) -> tuple[Arch, int]:
    """The architecture by progressive projection, and how often the supernet was asked.

    Raises:
        CorruptFile: the checkpoint is not the one that the run's record names.
    """
    if files.sha256(folder / CHECKPOINT) != record["files"][CHECKPOINT]:
        raise CorruptFile(f"the checkpoint {folder / CHECKPOINT} was altered: it is not the run's")
    inputs = open_inputs(spec, place, {"data": record.get("data"), "table": record.get("table")})
    with settled(spec, place) as device:
        search = restored(spec, folder, inputs.data, device)
        judge = Counted(lambda mixture: evaluate(search, inputs.data, mixture).accuracy)
        found = projected(search.space, search.evaluated(), judge)
    return search.space.discretize(tuple(rows.cpu() for rows in found)), judge.times


class Counted:
    """A judge that knows how often it was asked."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.times = 0

    def __call__(self, mixture: Mixture) -> float:
        """As the judge says."""
        self.times += 1
        return self.judge(mixture)


def answers_of(table: Scorer | None, spec: RunSpec, arch: Arch) -> dict[str, float | None]:
    """accuracy_DATASET_SPLIT -> what the run's table says of an architecture, in percent."""
    if table is None:
        return {}
    found = ask_all(table, arch, columns_of(table, find_space(spec.space)), spec.table_epochs)
    return {f"accuracy_{dataset}_{split}": value for (dataset, split), value in found.items()}


def rows_of(path: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of an earlier discretised.csv by run; none where there is none.

    Raises:
        CorruptFile: it is another file.
    """
    found: dict[str, list[dict[str, str]]] = {}
    if path.exists():
        for row in csv.DictReader(path.read_text("utf-8").splitlines()):
            if not set(COLUMNS) <= row.keys() or None in row.values():
                raise CorruptFile(f"the file {path} is damaged; remove it, and the same command makes it again")
            found.setdefault(row["run"], []).append(row)
    return found


def write(
    path: Path, rows: Mapping[str, Sequence[Mapping[str, object]]], runs: Sequence[str] | Mapping[str, Path]
) -> int:
    """Writes the rows in the order of the study's runs, and counts them; those of runs that are gone are left out."""
    every = [row for run in runs for row in rows.get(run, ())]
    answers = sorted({name for row in every for name in row if name not in COLUMNS})
    names = (*COLUMNS, *answers)
    files.write(
        path, csv_text([{name: name for name in names}, *({name: row.get(name) for name in names} for row in every)])
    )
    return len(every)
