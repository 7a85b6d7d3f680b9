"""What lies around the architecture that each run of a study ended with, by the table that the run asked.

Computed when a report asks for it, from the records and the table alone: runs are not touched, and hold no column more.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.benchmarks import files, plugins
from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.decision_graph import DecisionGraph, decision_graph
from nas_stability.benchmarks.tables import geometry
from nas_stability.benchmarks.tables.geometry import Terrain
from nas_stability.benchmarks.tables.table import Table, Unanswered
from nas_stability.benchmarks.tables.walks import UNREACHED
from nas_stability.harness.measuring.asked_table import columns_of, table_of
from nas_stability.harness.records.folder import finished_runs, read_record
from nas_stability.harness.records.outputs import TERRAIN
from nas_stability.harness.records.record import EPOCHS, csv_text
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec

RADIUS = 2
"""Decisions within which the surroundings are of a run's architecture."""


class FinalTerrain(NamedTuple):
    """What was written.

    Attributes:
        path: of the file.
        runs: how many runs it has rows of.
        without: run -> why it has none.
    """

    path: Path
    runs: int
    without: Mapping[str, str]


def write_final_terrain(folder: Path) -> FinalTerrain:
    """Writes geometry.csv of a study: a row per finished run and data set and split that its table answers for.

    Raises:
        BadInput: it is no study's folder, no run is finished, none has a table that lists its space, or a run's table
            is not there.
        CorruptFile: a record of a run cannot be trusted.
    """
    graph_of = functools.cache(lambda space: decision_graph(find_space(space)))
    known: dict[tuple[str, str, str, str, int], Terrain] = {}
    rows: list[dict[str, object]] = []
    without: dict[str, str] = {}
    for run, place in finished_runs(folder).items():
        record = read_record(place)
        spec = recorded_spec(record["spec"])
        plugins.load_recorded(spec.plugins)
        table = listed(spec, record)
        if isinstance(table, str):
            without[run] = table
            continue
        last = read_rows(place / EPOCHS)[-1]
        for dataset, split in columns_of(table, find_space(spec.space)):
            key = (spec.space, table.sha256, dataset, split, spec.table_epochs)
            if key not in known and table.has(dataset, split, spec.table_epochs):
                known[key] = over(graph_of(spec.space), table, *key[2:])
            if key in known:
                rows.append(
                    {**own(run, spec, last), "answer": f"{dataset}_{split}", **row_of(known[key], last["arch"])}
                )
    if not rows:
        raise BadInput(f"no run of {folder} has a geometry: {next(iter(without.values()), 'no table answers')}")
    path = folder / TERRAIN
    files.write(path, csv_text([{name: name for name in rows[0]}, *rows]))
    return FinalTerrain(path, len({row["run"] for row in rows}), without)


def listed(spec: RunSpec, record: Mapping[str, Any]) -> Table | str:
    """The table that a run asked, where it lists the architectures of the run's space; else why there is no geometry.

    Raises:
        BadInput: the table is not there, or is another one by now.
    """
    if find_space(spec.space).unlisted:
        return f"{spec.space} has too many architectures to list"
    asked = record.get("table")
    table = table_of(spec, sha256=asked["sha256"]) if asked else None
    if table is None:
        return "it asked no table"
    return table.listed or f"{table.name} lists no architectures"


def over(graph: DecisionGraph, table: Table, dataset: str, split: str, epochs: int) -> Terrain:
    """A table over the graph of a space that was made before."""
    return geometry.over(graph, table.scores(graph.archs, dataset, split, epochs), f"the table {table.name}")


def own(run: str, spec: RunSpec, last: Mapping[str, str]) -> dict[str, object]:
    """Which run a row is of, and the epoch it ended with."""
    return {"run": run, "space": spec.space, "method": spec.method, "seed": spec.seed, "epoch": int(last["epoch"])}


def row_of(found: Terrain, arch: str) -> dict[str, object]:
    """An architecture's place in a table: its way to the best, and what lies around it; None where it is not known."""
    try:
        place = geometry.place_of(found, arch)
    except Unanswered:
        return {"arch": arch, **dict.fromkeys(COLUMNS)}
    (around,) = geometry.surroundings(found, place, (RADIUS,), found.ends)
    distance = int(found.to_best.distance[place])
    fall = found.falls[place]
    numbers = (found.values[place], fall, around.mean, around.worst, around.alike)
    accuracy, barrier, mean, worst, alike = (None if math.isnan(one) else float(one) for one in numbers)
    told = (accuracy, None if distance == UNREACHED else distance, barrier, around.size, around.missing)
    return {"arch": arch, **dict(zip(COLUMNS, (*told, mean, worst, alike), strict=True))}


COLUMNS = ("accuracy", "distance", "barrier", "around", "missing", "mean", "worst", "alike")
"""Columns behind those that say whose architecture it is."""


def by_reason(without: Mapping[str, str], what: str) -> Iterator[str]:
    """Which runs have none of something, a line for each reason."""
    for reason in dict.fromkeys(without.values()):
        runs = [run for run, why in without.items() if why == reason]
        yield f"no {what} of {len(runs)} run{'s' * (len(runs) > 1)} ({runs[0]}{', ...' * (len(runs) > 1)}): {reason}"
