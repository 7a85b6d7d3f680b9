"""The verb ``table geometry``: what accuracy does from one architecture of a space to those around it."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas_stability.benchmarks.errors import BadInput
from nas_stability.flags import Parser, folder, whole

if TYPE_CHECKING:
    from nas_stability.benchmarks.spaces.space import Space
    from nas_stability.benchmarks.tables.geometry import Terrain
    from nas_stability.benchmarks.tables.table import Table

MOST_PATHS = 1000
"""Shortest paths between two architectures that are listed; their number is exact whatever it is."""


class TableQuestion(NamedTuple):
    """What a table is asked for.

    Attributes:
        dataset, split, epochs: of a question to it.
    """

    dataset: str
    split: str
    epochs: int


def add_geometry(parser: Parser) -> None:
    """The flags of ``table geometry``."""
    parser.add_argument("--space", required=True, help="whose decisions make the graph")
    parser.add_argument("--dataset", help="(the table's first)")
    parser.add_argument("--split", default="valid", help="train, valid or test (valid)")
    parser.add_argument("--epochs", type=whole(1, 10**6), help="training budget (the space's usual one)")
    parser.add_argument(
        "--between", nargs=2, metavar="ARCH", default=(), help="every shortest path between two architectures"
    )
    parser.add_argument("--pairs", type=whole(0, 10_000), default=100, metavar="N", help="pairs drawn at random (100)")
    parser.add_argument("--best", type=whole(0, 200), default=10, metavar="N", help="pairs among the best N (10)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--out", metavar="DIR", type=folder, help="also write CSV files and figures there")


def table_geometry_verb(options: argparse.Namespace, open_table: Callable[[argparse.Namespace], Table]) -> int:
    """Asks a table over a space's graph; prints, and writes files where it is told to."""
    from nas_stability.benchmarks import catalog
    from nas_stability.benchmarks.tables import geometry
    from nas_stability.benchmarks.tables.table import Unanswered
    from nas_stability.harness.records.outputs import refuse_output

    if options.out is not None:
        refuse_output(options.out)
    space = catalog.find_space(options.space)
    refuse_unlisted(options.name, space)
    table = open_table(options)
    catalog.refuse_other_space(table, space.name)
    asked = question(options, table, space)
    try:
        found = geometry.terrain(table, space, *asked)
        walked = paths_of(options.between, table, found) if options.between else None
    except Unanswered as error:
        raise BadInput(str(error)) from error
    pairs = [geometry.pair_row(found, *pair) for pair in geometry.pairs(found, options.pairs, options.best)]
    told = {"table": table.name, "space": space.name, **asked._asdict(), **summary(found, pairs), **(walked or {})}
    distances = geometry.to_best_rows(found)
    if options.out:
        write(options.out, found, asked, space, distances, pairs, told)
    if options.json:
        print(json.dumps({**without_paths(told), "distances": distances}))
    else:
        print_terrain(told, distances)
    return 0


def refuse_unlisted(name: str, space: Space) -> None:
    """Passes a space that lists its architectures.

    Raises:
        BadInput: it has too many; the message says what is possible.
    """
    if space.unlisted:
        raise BadInput(
            f"{space.name} has {space.count():,} architectures, too many to list, and {name} is no table of them all: "
            "the geometry of a part is not that of the space; what lies one decision around a run's architecture is in "
            "its columns neighbours*, by a surrogate where they end in _surrogate"
        )


def question(options: argparse.Namespace, table: Table, space: Space) -> TableQuestion:
    """What a table is asked for, where a flag is left out its first data set and the space's usual budget.

    Raises:
        BadInput: the table is empty.
    """
    from nas_stability.benchmarks.tables import survey

    if not table.datasets or not table.budgets:
        raise BadInput(f"the table {table.name} has no accuracies")
    dataset = survey.dataset_of(table, options.dataset) if options.dataset else table.datasets[0]
    usual = space.facts.defaults.get("table_epochs")
    budget = int(usual) if usual in table.budgets else table.budgets[-1]
    return TableQuestion(dataset, options.split, options.epochs or budget)


def summary(found: Terrain, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of a table in a line each; None where it is not known."""
    import numpy

    from nas_stability.benchmarks.tables import geometry, walks

    local, lacking = geometry.optima(found)
    fitness = geometry.fitness_distance(found)
    known = {kind: [pair["barrier"] for pair in pairs if pair["chosen"] == kind] for kind in ("best", "drawn")}
    barriers = {kind: [one for one in values if one is not None] for kind, values in known.items()}
    return {
        "architectures": len(found.values),
        "missing": int(numpy.isnan(found.values).sum()),
        "unreached": int((found.to_best.distance == walks.UNREACHED).sum()),
        "best": [found.graph.archs[place] for place in found.best],
        "accuracy": found.highest,
        "neighbours": len(found.graph.around) / len(found.graph.archs),
        "local_optima": local,
        "local_optima_lacking_neighbours": lacking,
        "fitness_distance_pearson": None if numpy.isnan(fitness.pearson) else fitness.pearson,
        "fitness_distance_spearman": None if numpy.isnan(fitness.spearman) else fitness.spearman,
        "barriers": {
            kind: {
                "pairs": len(known[kind]),
                "unknown": len(known[kind]) - len(values),
                "mean": float(numpy.mean(values)) if values else None,
                "highest": max(values) if values else None,
                "without": sum(value == 0 for value in values),
            }
            for kind, values in barriers.items()
        },
    }


def paths_of(between: Sequence[str], table: Table, found: Terrain) -> dict[str, Any]:
    """The shortest paths between two architectures as they were typed, as ``between`` and ``paths``.

    Raises:
        BadInput: one is no architecture.
        Unanswered: the space does not reach it.
    """
    import numpy

    from nas_stability.benchmarks.tables import geometry, typed_architecture, walks

    one, other = (geometry.place_of(found, typed_architecture.read(table, text).arch) for text in between)
    row = geometry.pair_row(found, "named", one, other)
    listed = list(itertools.islice(walks.shortest_paths(found.graph, one, other), MOST_PATHS))
    lowest = [found.values[list(path)].min() for path in listed]  # NaN where one is
    chosen = -1 if numpy.isnan(lowest).all() else int(numpy.nanargmax(lowest))
    rows = [
        {
            "path": number + 1,
            "step": step,
            "arch": found.graph.archs[place],
            "accuracy": None if numpy.isnan(found.values[place]) else float(found.values[place]),
            "best": int(number == chosen),
        }
        for number, path in enumerate(listed)
        for step, place in enumerate(path)
    ]
    return {"between": row, "paths": rows}


def without_paths(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is said, of the paths the best one alone."""
    return {**told, **({"paths": [row for row in told["paths"] if row["best"]]} if "paths" in told else {})}


def print_terrain(told: Mapping[str, Any], distances: Sequence[Mapping[str, Any]]) -> None:
    """What is said, for people."""
    print(f"{told['space']} by {told['table']}: {told['dataset']} {told['split']} at {told['epochs']} epochs")
    print(
        f"{told['architectures']:,} architectures, {told['missing']:,} without an answer, {told['unreached']:,} not "
        f"reached; {told['neighbours']:.1f} neighbours each"
    )
    for arch in told["best"]:
        print(f"best: {told['accuracy']:.2f} %  {arch}")
    lacking = told["local_optima_lacking_neighbours"]
    print(f"local optima: {told['local_optima']}" + f" ({lacking} of them lack a neighbour's answer)" * bool(lacking))
    correlations = (told[f"fitness_distance_{name}"] for name in ("pearson", "spearman"))
    pearson, spearman = (shown(one, "", 3) for one in correlations)
    print(f"fitness-distance correlation: {pearson} (Pearson), {spearman} (Spearman)")
    for kind, found in told["barriers"].items():
        print(
            f"barriers, {found['pairs']} pairs {'of the best' if kind == 'best' else 'drawn'}: none in "
            f"{found['without']}, mean {shown(found['mean'], ' points')}, highest {shown(found['highest'], ' points')}"
            f", not known in {found['unknown']}"
        )
    print(
        f"{'decisions from the best':>23} {'architectures':>13} {'missing':>7} {'median':>8} {'worst':>8} {'best':>8}"
    )
    for row in distances:
        accuracies = " ".join(f"{shown(row[name], ' %'):>8}" for name in ("median", "worst", "best"))
        print(f"{row['distance']:23} {row['architectures']:13,} {row['missing']:7,} {accuracies}")
    if "between" in told:
        print_paths(told["between"], without_paths(told)["paths"])


def print_paths(row: Mapping[str, Any], best: Sequence[Mapping[str, Any]]) -> None:
    """The shortest paths between two architectures, for people."""
    if row["distance"] is None:
        print("no path leads from the one to the other")
        return
    print(
        f"{row['paths']:,} shortest paths of {row['distance']} decisions, {row['missing']:,} of them through an "
        f"architecture without an answer; barrier {shown(row['barrier'], ' points')}"
    )
    for step in best:
        print(f"  {step['step']}  {shown(step['accuracy'], ' %')}  {step['arch']}")


def shown(value: float | None, unit: str, digits: int = 2) -> str:
    """A number with its unit; what is not known says so."""
    return "not known" if value is None else f"{value:.{digits}f}{unit}"


def write(
    out: Path,
    found: Terrain,
    asked: TableQuestion,
    space: Space,
    distances: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    told: Mapping[str, Any],
) -> None:
    """geometry.csv, distances.csv, pairs.csv and the figures; with two architectures also paths.csv."""
    import matplotlib
    import pandas

    from nas_stability.analysis import escape, names, report
    from nas_stability.analysis.figures import terrain
    from nas_stability.analysis.figures.panels import style
    from nas_stability.benchmarks import files
    from nas_stability.benchmarks.tables import geometry

    answer = names.answer_name(f"{asked.dataset}_{asked.split}")
    source = {name: told[name] for name in ("table", "space", "dataset", "split", "epochs")}
    classes = pandas.DataFrame([{**source, **row} for row in geometry.geometry_rows(found)])
    frame = pandas.DataFrame([{**source, **row} for row in distances])
    with matplotlib.rc_context(style(paper=False)):
        drawn = terrain.terrain(terrain.Mapped(space.facts.title, answer, classes, frame))
        report.write_figure(drawn, out, "geometry")
        if told.get("paths"):
            report.write_figure(terrain.paths(pandas.DataFrame(told["paths"]), answer), out, "paths")
    files.write(out / "distances.csv", escape.csv(frame))
    files.write(out / "pairs.csv", escape.csv(pandas.DataFrame([{**source, **row} for row in pairs])))
