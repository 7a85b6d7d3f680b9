"""The verbs of ``table``: list, fetch, pack, import, query, verify, best, train."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import BadInput
from nas_stability.flags import FAILED, Parser, Verbs, flag, folder, integer, number, whole

if TYPE_CHECKING:
    from benchmarks import answer


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
    pack = verb("pack", "pack an official dump", table_pack_verb, "name", "file")
    pack.add_argument("--again", action="store_true", help="replace a table that is from another file")
    importing = verb("import", "pack a CSV, Parquet or npz file of accuracies", table_import_verb, "file")
    importing.add_argument("--space", required=True, help="whose architectures it is about")
    importing.add_argument("--name", help="of the table (the file's name)")
    importing.add_argument("--again", action="store_true", help="replace a table that is from another file")
    query = verb("query", "one accuracy, as JSON", table_query_verb, "name")
    query.add_argument("--arch", metavar="KEY", help="architecture string or module hash")
    query.add_argument("--matrix", metavar="JSON", help="adjacency matrix of a NAS-Bench-101 cell, with --ops")
    query.add_argument("--ops", metavar="LIST", help="operations of the cell, joined by commas")
    query.add_argument("--dataset", required=True)
    query.add_argument("--split", required=True, help="train, valid or test")
    query.add_argument("--epochs", required=True, type=integer, help="training budget")
    query.add_argument("--seed", type=integer, help="one training run (the mean over all)")
    verify = verb("verify", "check a table against itself and what is published", table_verify_verb, "name")
    best = verb("best", "best reachable architectures of a space, and coverage", table_best_verb, "name")
    best.add_argument("--space", required=True)
    train = verb("train", "train every distinct cell of a space", table_train_verb)
    train.add_argument(
        "--out", metavar="DIR", type=folder, help="folder of the parts and the table (results/tables/NAME)"
    )
    train.add_argument("--workers", type=whole(1), default=1, metavar="N", help="processes of one thread each (1)")
    train.add_argument(
        "--data-dir", type=folder, default=Path("data"), metavar="DIR", help="folder for downloaded images (data)"
    )
    for name, default in TRAIN_DEFAULTS.items():
        kind = {int: integer, float: number}.get(type(default), str)
        train.add_argument(flag(name), type=kind, default=default, metavar="VALUE", help=f"({default})")
    for added in (*verbs_of, fetch, pack, importing, query, verify, best, train):
        added.set_defaults(flags=[text for action in added._actions for text in action.option_strings])


TRAIN_DEFAULTS: dict[str, str | int | float] = {
    "space": "nasbench1shot1-s1",
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


def table_list_verb(options: argparse.Namespace) -> int:
    """What is here, what is shipped, what can be fetched."""
    from benchmarks import ask

    for table in ask.tables(options.tables):
        size = "" if table.size is None else f"{table.size / 1e6:,.1f} MB"
        print(f"{table.name:28} {table.state:10} {size:>12}  {table.source}  {table.place}".rstrip())
    return 0


def table_fetch_verb(options: argparse.Namespace) -> int:
    """Downloads and packs."""
    from benchmarks import ask

    print(ask.fetch(options.name, options.url, options.checksum, options.tables))
    return 0


def table_pack_verb(options: argparse.Namespace) -> int:
    """Packs an official dump."""
    from benchmarks import pack

    print(pack.pack(options.name, options.file, options.tables, options.again))
    return 0


def table_import_verb(options: argparse.Namespace) -> int:
    """Packs a tidy file."""
    from benchmarks import catalog, errors, pack

    space = errors.choose("space", options.space, catalog.SPACES)
    print(pack.import_file(options.file, space, options.name, options.tables, options.again))
    return 0


def asked_table(options: argparse.Namespace) -> answer.Table:
    """The table of a name or path."""
    from benchmarks import catalog

    if options.name in ("auto", "none"):
        raise BadInput(f"{options.name!r} is no table; nas-stability table list names those there are")
    found = catalog.open_table(options.name, "", options.tables)
    assert found is not None
    return found


def table_query_verb(options: argparse.Namespace) -> int:
    """One answer, as one line of JSON; exit code 1 where the table does not answer."""
    from benchmarks import answer, ask

    if (options.arch is None) == (options.matrix is None) or (options.matrix is None) != (options.ops is None):
        raise BadInput("give either --arch KEY, or --matrix JSON and --ops LIST")
    table = asked_table(options)
    arch = options.arch if options.arch is not None else ask.arch_of_cell(options.matrix, options.ops)
    try:
        found = ask.query(table, arch, options.dataset, options.split, options.epochs, options.seed)
    except answer.Unanswered as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(found._asdict()))
    return 0


def table_verify_verb(options: argparse.Namespace) -> int:
    """What holds of a table; 0 only if nothing fails."""
    from benchmarks import ask

    checks = ask.verify(asked_table(options))
    for check in checks:
        verdict = {True: "holds", False: "FAILS", None: "not known"}[check.holds]
        print(f"{verdict:9}  {check.what}: {check.found}")
    return 0 if ask.holds(checks) else FAILED


def table_best_verb(options: argparse.Namespace) -> int:
    """The best reachable architectures by validation and by test, and coverage."""
    from benchmarks import answer, ask, catalog, errors

    space = errors.choose("space", options.space, catalog.SPACES)
    try:
        found = ask.best(asked_table(options), space, options.tables)
    except answer.Unanswered as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    for best in found:
        others = "".join(f", {split} {value:.3f} %" for split, value in best.others.items())
        print(f"{best.dataset} {best.epochs} epochs, best by {best.split}: {best.accuracy:.3f} %{others}  {best.arch}")
        print(f"  covers {best.archs:.1f} % of the architectures, {best.configurations:.1f} % of the configurations")
    return 0


def table_train_verb(options: argparse.Namespace) -> int:
    """Trains a table of our own."""
    from benchmarks import catalog, errors, train, workers

    found = train.TrainSpec(**{name: getattr(options, name) for name in TRAIN_DEFAULTS})
    space = errors.choose("space", found.space, catalog.SPACES)
    out = options.out or Path("results") / "tables" / found.name
    raw = catalog.load_data(found.data, options.data_dir)
    try:
        print(train.train_table(found, space, raw, out, options.workers))
    except workers.Lost as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    return 0
