"""The verbs of ``table``: list, fetch, pack, import, query, verify, best, geometry, train, fit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nas_stability.benchmarks.errors import BadInput
from nas_stability.flags import FAILED, Parser, Verbs, flag, folder, integer, number, whole
from nas_stability.geometry import add_geometry, table_geometry_verb
from nas_stability.harness.records import outputs

if TYPE_CHECKING:
    from nas_stability.benchmarks.tables.surrogate import Surrogate
    from nas_stability.benchmarks.tables.table import Table


def add_verbs(verbs: Verbs) -> None:
    """table and its verbs."""
    add_table_verbs(verbs.add_parser("table", help="tables of accuracies: list, fetch, pack, ask, check, train"))


def add_table_verbs(table: Parser) -> None:
    """The verbs of ``table``; --tables names another folder of packed tables than the user's cache."""
    verbs = table.add_subparsers(required=True, metavar="VERB", parser_class=Parser)

    def verb(name: str, help: str, function: Callable[[argparse.Namespace], int], *positional: str) -> Parser:
        added: Parser = verbs.add_parser(name, help=help, allow_abbrev=False)
        for argument in positional:
            added.add_argument(argument, metavar=argument.upper(), type=folder if argument == "file" else str)
        added.add_argument("--tables", metavar="DIR", type=folder, help="folder of packed tables (the user's cache)")
        added.set_defaults(verb=function)
        return added

    verbs_of = [verb("list", "what is here, shipped, or can be fetched", table_list_verb)]
    fetch = verb("fetch", "download an official dump and pack it", table_fetch_verb, "name")
    fetch.add_argument("--url", action="append", default=[], help="address instead of the dump's own; may be repeated")
    fetch.add_argument("--checksum", metavar="ALGORITHM:HEX", help="of the download")
    fetch.add_argument("--max-gb", metavar="N", type=gigabytes, help="of the download (twice its known size, or 20)")
    fetch.add_argument("--again", action="store_true", help="replace the table and the download that are here")
    pack = verb("pack", "pack an official dump: a file, or a folder that has it", table_pack_verb, "name", "file")
    pack.add_argument("--again", action="store_true", help="replace a table that is from another file")
    pack.add_argument("--partial", action="store_true", help="take a dump that is not whole, as the table NAME-partial")
    importing = verb("import", "pack a CSV, Parquet or npz file of accuracies", table_import_verb, "file")
    importing.add_argument("--space", required=True, help="whose architectures it is about")
    importing.add_argument("--name", help="of the table (the file's name): letters, digits, '.', '_' and '-'")
    importing.add_argument("--again", action="store_true", help="replace a table that is from another file")
    query = verb("query", "one accuracy, as JSON", table_query_verb, "name")
    query.add_argument("--arch", metavar="KEY", help="string, Structure(...), index, genotype list; hash or matrix")
    query.add_argument("--matrix", metavar="JSON", help="adjacency matrix of a NAS-Bench-101 cell, with --ops")
    query.add_argument("--ops", metavar="LIST", help="operations of the cell, joined by commas")
    query.add_argument("--dataset", required=True)
    query.add_argument("--split", required=True, help="train, valid or test")
    query.add_argument("--epochs", required=True, type=whole(1, 10**6), help="training budget")
    query.add_argument("--seed", type=whole(0, 10**9), help="one training run (the mean over all)")
    verify = verb("verify", "check a table against itself and what is published", table_verify_verb, "name")
    best = verb("best", "best reachable architectures of a space, and coverage", table_best_verb, "name")
    best.add_argument("--space", required=True)
    ask_terrain = partial(table_geometry_verb, open_table=asked_table)
    terrain = verb("geometry", "accuracy over a space's graph of decisions: paths, barriers", ask_terrain, "name")
    add_geometry(terrain)
    train = verb("train", "train every distinct cell of a space, or cells of the DARTS spaces", table_train_verb)
    train.add_argument(
        "--out", metavar="DIR", type=folder, help="folder of the parts and the table (results/tables/NAME)"
    )
    train.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes of one thread each (1)")
    train.add_argument(
        "--data-dir", type=folder, default=Path("data"), metavar="DIR", help="folder for downloaded images (data)"
    )
    for name, default in TRAIN_DEFAULTS.items():
        kind = {int: integer, float: number}.get(type(default), str)
        other = f"; {DARTS_DEFAULTS[name]} for darts" if name in DARTS_DEFAULTS else ""
        train.add_argument(flag(name), type=kind, metavar="VALUE", help=f"({default}{other})")
    fit = verb("fit", "fit a surrogate to a packed table of genotypes, beside it", table_fit_verb, "file")
    for added in (*verbs_of, fetch, pack, importing, query, verify, best, terrain, train, fit):
        added.set_defaults(flags=[text for action in added._actions for text in action.option_strings])


def gigabytes(text: str) -> int:
    """Gigabytes, as bytes."""
    if not 0 < number(text) <= 1e6:
        raise argparse.ArgumentTypeError(f"takes gigabytes above 0, at most 1e6, not {text}")
    return int(number(text) * 1e9)


TRAIN_DEFAULTS: dict[str, str | int | float] = {
    "space": "nasbench1shot1-s1",
    "cells": 0,
    "data": "digits",
    "images": 0,
    "train_images": 360,
    "width": 8,
    "stacks": 3,
    "modules": 1,
    "epochs": 6,
    "batch_size": 90,
    "lr": 0.04,
    "seeds": 3,
}
"""Flags of ``table train``: the fields of TrainSpec, which a test holds them to; kept here so that --help is quick."""

DARTS_DEFAULTS: dict[str, int | float] = {
    "cells": 800,
    "train_images": 0,
    "width": 4,
    "epochs": 2,
    "batch_size": 64,
    "lr": 0.01,
    "seeds": 4,
}
"""What else they are for ``darts``, the spaces of DARTS cells: what the shipped darts-digits was trained with."""


def table_list_verb(options: argparse.Namespace) -> int:
    """What is here, what is shipped, what can be fetched."""
    from nas_stability.benchmarks.tables import survey

    for table in survey.tables(options.tables):
        size = "" if table.size is None else f"{table.size / 1e6:,.1f} MB"
        print(f"{table.name:28} {table.state:10} {size:>12}  {table.source}  {table.place}".rstrip())
    return 0


def table_fetch_verb(options: argparse.Namespace) -> int:
    """Downloads and packs."""
    from nas_stability.benchmarks.tables import fetching

    refuse_records(options.tables, "--tables")
    print(
        fetching.fetch(options.name, options.url, options.checksum, options.tables, options.again, most=options.max_gb)
    )
    return 0


def table_pack_verb(options: argparse.Namespace) -> int:
    """Packs an official dump."""
    from nas_stability.benchmarks.tables import packing

    refuse_records(options.tables, "--tables")
    file = packing.find(options.name, options.file)
    if file != options.file:
        print(f"nas-stability: packing {file}", file=sys.stderr)
    try:
        print(packing.pack(options.name, file, options.tables, options.again, partial=options.partial))
    except packing.NotWhole as error:
        raise BadInput(f"{error}; --partial packs it under the name {options.name}{packing.PARTIAL}") from error
    return 0


def table_import_verb(options: argparse.Namespace) -> int:
    """Packs a tidy file."""
    from nas_stability.benchmarks import catalog
    from nas_stability.benchmarks.tables import import_file

    refuse_records(options.tables, "--tables")
    space = catalog.find_space(options.space)
    print(import_file.import_file(options.file, space, options.name, options.tables, options.again))
    return 0


def refuse_records(place: Path | None, flag: str) -> None:
    """Passes a folder of tables that is not one of records; None is the user's cache.

    Raises:
        BadInput: it is, lies in or contains a run's or a study's records.
    """
    if place is not None:
        outputs.refuse_output(place, flag)


def asked_table(options: argparse.Namespace) -> Table:
    """The table of a name or path."""
    from nas_stability.benchmarks import catalog

    return catalog.open_listed(options.name, options.tables)


def asked_surrogate(options: argparse.Namespace) -> Surrogate | None:
    """The surrogate of a name or path; None where it is a table."""
    from nas_stability.benchmarks import catalog
    from nas_stability.benchmarks.tables import surrogate

    found = None if options.name in ("auto", "none") else catalog.open_table(options.name, "", options.tables)
    return found if isinstance(found, surrogate.Surrogate) else None


def print_surrogate(options: argparse.Namespace, found: Surrogate) -> None:
    """What a surrogate expects of an architecture, as one line of JSON.

    Raises:
        BadInput: it does not answer, or is asked for what no surrogate knows.
    """
    from nas_stability.benchmarks.tables import survey
    from nas_stability.benchmarks.tables.table import Unanswered

    if options.arch is None or options.seed is not None:
        raise BadInput(f"{options.name} is a surrogate: it takes --arch GENOTYPE, and has no seeds")
    try:
        answer = survey.query_surrogate(found, options.arch, options.dataset, options.split, options.epochs)
    except Unanswered as error:
        raise BadInput(str(error)) from error
    print(json.dumps(answer._asdict()))


def table_fit_verb(options: argparse.Namespace) -> int:
    """Fits a surrogate beside a packed table, and prints how good it is."""
    from nas_stability.benchmarks.tables import fitting

    refuse_records(options.file.parent, "FILE")
    path, agreements = fitting.fit_table(options.file)
    print(f"{'target':28} {'group':12} {'cells':>6} {'tau':>7} {'Spearman':>9} {'error':>7} {'coverage':>9}")
    for one in agreements:
        print(
            f"{one.target:28} {one.group:12} {one.cells:6} {one.tau:7.3f} {one.spearman:9.3f} {one.error:7.2f} "
            f"{one.coverage:8.1f}%"
        )
    offered = json.loads(path.read_text())["offered"]
    print(f"{path}: offered in {', '.join(offered) or 'no space'} (Kendall's tau of {fitting.LOWEST_TAU:g} or more)")
    return 0


def table_query_verb(options: argparse.Namespace) -> int:
    """One answer, as one line of JSON; exit code 1 where the table does not answer."""
    from nas_stability.benchmarks.tables import survey, typed_architecture
    from nas_stability.benchmarks.tables.table import Unanswered

    if (options.arch is None) == (options.matrix is None) or (options.matrix is not None and options.ops is None):
        raise BadInput("give either --arch KEY, or --matrix JSON and --ops LIST")
    if surrogate := asked_surrogate(options):
        print_surrogate(options, surrogate)
        return 0
    table = asked_table(options)
    asked = typed_architecture.read(table, options.matrix if options.arch is None else options.arch, options.ops)
    try:
        found = survey.query(table, asked.arch, options.dataset, options.split, options.epochs, options.seed)
    except Unanswered as error:
        print(f"nas-stability: {error}{f' ({asked.note})' * bool(asked.note)}", file=sys.stderr)
        return FAILED
    print(json.dumps(found._asdict()))
    return 0


def table_verify_verb(options: argparse.Namespace) -> int:
    """What holds of a table; 0 only if nothing fails."""
    from nas_stability.benchmarks.tables import soundness

    checks = soundness.verify(asked_table(options))
    for check in checks:
        verdict = {True: "holds", False: "FAILS", None: "not known"}[check.holds]
        print(f"{verdict:9}  {check.what}: {check.found}")
    return 0 if soundness.holds(checks) else FAILED


def table_best_verb(options: argparse.Namespace) -> int:
    """The best reachable architectures by validation and by test, and coverage."""
    from nas_stability.benchmarks import catalog
    from nas_stability.benchmarks.tables import survey
    from nas_stability.benchmarks.tables.table import Unanswered

    space = catalog.find_space(options.space)
    try:
        found = survey.best(asked_table(options), space, options.tables)
    except Unanswered as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    for best in found:
        others = "".join(f", {split} {value:.3f} %" for split, value in best.others.items())
        print(f"{best.dataset} {best.epochs} epochs, best by {best.split}: {best.accuracy:.3f} %{others}  {best.arch}")
        print(f"  covers {best.archs:.1f} % of the architectures, {best.configurations:.1f} % of the configurations")
    return 0


def table_train_verb(options: argparse.Namespace) -> int:
    """Trains a table of our own."""
    from nas_stability.benchmarks import catalog, names, workers
    from nas_stability.benchmarks.tables import open_file, train_spec, training

    given = {name: value for name in TRAIN_DEFAULTS if (value := getattr(options, name)) is not None}
    others = DARTS_DEFAULTS if given.get("space") == train_spec.UNION_NAME else {}
    found = train_spec.TrainSpec(**{**TRAIN_DEFAULTS, **others, **given})
    space = catalog.find_space(found.space)
    names.check_name("data set", found.data)
    out = options.out or Path("results") / "tables" / found.name
    refuse_records(out, "--out")
    path = out / f"{found.name}.parquet"
    if path.exists() and open_file.open_table(path).sha256 != found.sha256():
        raise BadInput(f"{path} is there already and of another spec; give another --out")
    raw = catalog.load_data(found.data, options.data_dir)
    try:
        print(training.train_table(found, space, raw, out, options.workers))
    except workers.Lost as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    return 0
