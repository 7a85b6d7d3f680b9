"""Verbs that read a folder: report, claims, status, check, collect."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nas_stability.benchmarks.errors import BadInput
from nas_stability.field_flags import add_plugins, load_plugins
from nas_stability.flags import FAILED, Verbs, add_place, add_workers, finish, folder
from nas_stability.harness.records.outputs import refuse_output
from nas_stability.progress import progress_bar

if TYPE_CHECKING:
    from nas_stability.analysis.study import Study


def add_verbs(verbs: Verbs) -> None:
    """report, claims, status, check and collect."""
    add_report(verbs)

    claims = verbs.add_parser("claims", help="which claims of the paper a study supports", allow_abbrev=False)
    claims.add_argument("folder", metavar="DIR", type=folder)
    claims.add_argument("--json", action="store_true", help="one JSON object per claim and space")
    claims.add_argument("--out", metavar="FILE.csv", type=folder, help="also write the verdicts there")
    add_unverified(claims)
    add_stop(claims)
    add_best_of(claims)
    add_plugins(claims)
    finish(claims, claims_verb)

    status = verbs.add_parser("status", help="how far a study is, from its files alone", allow_abbrev=False)
    status.add_argument("folder", metavar="DIR", type=folder)
    status.add_argument("--json", action="store_true", help="one JSON object per run")
    status.add_argument("--follow", action="store_true", help="a live table until every run is done or failed")
    finish(status, status_verb)

    check = verbs.add_parser("check", help="recompute what a folder's records claim", allow_abbrev=False)
    check.add_argument("folder", metavar="DIR", type=folder)
    finish(check, check_verb)

    add_collect(verbs)


def add_collect(verbs: Verbs) -> None:
    """collect."""
    collect = verbs.add_parser("collect", help="one tidy CSV and Parquet file for a study", allow_abbrev=False)
    collect.add_argument("folder", metavar="DIR", type=folder)
    collect.add_argument("--out", metavar="DIR", type=folder, help="where to write (DIR/collected)")
    collect.add_argument(
        "--croissant", action="store_true", help="also croissant.json: what the files are, for readers"
    )
    collect.add_argument(
        "--about",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what only you can say in croissant.json: licence, creator, url, published, version, cite; repeatable",
    )
    add_unverified(collect)
    finish(collect, collect_verb)


def add_report(verbs: Verbs) -> None:
    """report."""
    report = verbs.add_parser("report", help="draw figures and tables of a study", allow_abbrev=False)
    report.add_argument("folder", metavar="DIR", type=folder)
    report.add_argument("--only", metavar="NAME", help="one figure or table")
    report.add_argument("--paper", action="store_true", help="column width and serif text")
    report.add_argument(
        "--checklist", action="store_true", help="just checklist.md: what of good practice records show"
    )
    report.add_argument("--out", metavar="DIR", type=folder, help="where to write (DIR/report)")
    add_workers(report, "figures drawn at a time")
    report.add_argument(
        "--geometry", action="store_true", help="first look for each run's last architecture in its table's geometry"
    )
    report.add_argument(
        "--discretise",
        metavar="POLICY",
        nargs="?",
        const="all",
        help="first decide each run by policies besides argmax: edge, projection, both joined by a comma, or all (all)",
    )
    add_place(report, threads=0)
    add_unverified(report)
    add_stop(report)
    add_best_of(report)
    add_plugins(report)
    finish(report, report_verb)


def add_unverified(parser: argparse.ArgumentParser) -> None:
    """The flag that takes files as they are."""
    parser.add_argument(
        "--unverified", action="store_true", help="take the files as they are, without holding them to their checksums"
    )


def add_stop(parser: argparse.ArgumentParser) -> None:
    """The flag that reads a stopping rule off the records."""
    parser.add_argument(
        "--stop",
        metavar="RULE",
        default="",
        help="each run once more, as METHOD-es, with the rows up to where a rule would have stopped it: darts-es",
    )


def add_best_of(parser: argparse.ArgumentParser) -> None:
    """The flag that takes the best of several settings."""
    parser.add_argument(
        "--best-of",
        metavar="FIELD",
        default="",
        help="of each seed that was searched with several values of a field, the best by validation once more, as "
        "METHOD-best: weight_decay",
    )


def loaded(folder: Path, unverified: bool, stop: str = "", best_of: str = "") -> Study:
    """The study in a folder; what a reader must know besides its finished runs goes to standard error."""
    from nas_stability.analysis import study

    found = study.load(folder, verify=not unverified)
    if found.unfinished:
        print(f"without {len(found.unfinished)} runs that are not finished", file=sys.stderr)
    for line in (*found.remarks, *(["not verified: the files were taken as they are"] if unverified else [])):
        print(f"nas-stability: {line}", file=sys.stderr)
    if stop:
        from nas_stability.analysis import stopped

        found = stopped.with_stops(found, stop)
    if best_of:
        from nas_stability.analysis import selected

        found = selected.with_best(found, best_of)
    return found


def report_verb(options: argparse.Namespace) -> int:
    """Figures and tables of a study."""
    load_plugins(options)
    if options.checklist:
        return print_checklist(options)
    if options.geometry:
        write_terrain(options.folder)
    if options.discretise is not None:
        write_discretised(options)
    return print_report(
        options.folder,
        options.out,
        options.only,
        options.paper,
        options.workers,
        options.unverified,
        options.stop,
        options.best_of,
    )


def print_checklist(options: argparse.Namespace) -> int:
    """What the records answer of the checklist of best practices, to a file."""
    from nas_stability.analysis.checklist import checklist

    if options.only:
        raise BadInput("--checklist draws no figure or table: leave out --only")
    if options.out is not None:
        refuse_output(options.out)
    study = loaded(options.folder, options.unverified, options.stop, options.best_of)
    print(f"checklist: {checklist.write_checklist(study, options.out)}")
    return 0


def write_terrain(folder: Path) -> None:
    """A study's geometry.csv, which the report then tells of; runs that have none are said."""
    from nas_stability.harness.measuring import final_terrain

    found = final_terrain.write_final_terrain(folder)
    for line in final_terrain.by_reason(found.without, "geometry"):
        print(f"nas-stability: {line}", file=sys.stderr)
    print(f"geometry of {found.runs} runs: {found.path}")


def write_discretised(options: argparse.Namespace) -> None:
    """A study's discretised.csv, which the report then tells of; runs that lack a row are said."""
    from nas_stability.harness.measuring.final_terrain import by_reason
    from nas_stability.harness.records import folder as folders
    from nas_stability.harness.runs import discretised
    from nas_stability.harness.runs.machine import Place

    policies = discretised.wanted_policies(options.discretise)
    place = Place(options.device, options.threads, str(options.data_dir))
    runs = len(folders.survey(options.folder).finished)
    with progress_bar(runs, f"{options.folder.name}, discretised", "run") as progress:
        found = discretised.discretise(options.folder, policies, place, progress)
    for line in by_reason(found.without, "projection"):
        print(f"nas-stability: {line}", file=sys.stderr)
    print(f"{found.rows} rows: {found.path}")


def print_report(
    folder: Path,
    out: Path | None,
    only: str | None,
    paper: bool,
    workers: int | None,
    unverified: bool = False,
    stop: str = "",
    best_of: str = "",
) -> int:
    """Draws the report with so many workers (one per core); prints the summary per method and where the figures are.

    Plug-ins that are loaded draw and judge too. Returns an exit code: FAILED where a figure of theirs broke.
    """
    import joblib

    from nas_stability.analysis import report
    from nas_stability.analysis.page import whole_page

    report.check_name(only)
    if out is not None:
        refuse_output(out)
    study = loaded(folder, unverified, stop, best_of)
    written = whole_page.write_report_and_page(study, out, only, paper, workers or joblib.cpu_count())
    summary = report.summary(written.study)
    print(
        summary.to_string(
            index=False, float_format=lambda number: f"{number:.3g}" if abs(number) < 1 else f"{number:.2f}"
        )
    )
    print(f"report: {written.page or written.folder}")
    for name, reason in written.failed.items():
        print(f"nas-stability: the figure {name!r} of a plug-in was not drawn: {reason}", file=sys.stderr)
    return FAILED if written.failed else 0


def claims_verb(options: argparse.Namespace) -> int:
    """A verdict on each claim."""
    from nas_stability.analysis import escape
    from nas_stability.analysis.claims import judging
    from nas_stability.benchmarks import files

    load_plugins(options)
    if options.out:
        refuse_output(options.out)
    judged = judging.judge(loaded(options.folder, options.unverified, options.stop, options.best_of))
    if options.out:
        files.write(options.out, escape.csv(judged))
    if options.json:
        for record in judging.records(judged):
            print(json.dumps(record))
    else:
        print(judging.printed(judged))
    return 0


def status_verb(options: argparse.Namespace) -> int:
    """How far a study is."""
    from nas_stability.harness.records import status
    from nas_stability.harness.records.folder import survey

    runs = status.read_status(options.folder)
    if options.json:
        for run in runs:
            print(json.dumps(run._asdict()))
    elif options.follow and sys.stdout.isatty():
        follow(options.folder)
    else:
        for run in runs:
            accuracy = f"  {float(run.accuracy):.2f} %" if run.accuracy else ""
            print(f"{run.state:8}  {run.epoch:>4} of {run.epochs}  {run.run}{accuracy}  {run.error}".rstrip())
        print(status.summary_line(runs, max(1, [run.state for run in runs].count("running"))))
    # What is missing is listed above, as waiting.
    for line in survey(options.folder)._replace(missing=()).remarks:
        print(f"nas-stability: {line}", file=sys.stderr)
    damaged = [run for run in runs if run.state == "damaged"]
    for run in damaged:
        print(f"nas-stability: {run.run}: {run.error}", file=sys.stderr)
    return FAILED if damaged else 0


def follow(folder: Path) -> None:
    """A live table of a study until nothing runs or waits any more, or until it is interrupted."""
    from rich.live import Live
    from rich.table import Table

    from nas_stability.harness.records import status

    with contextlib.suppress(KeyboardInterrupt), Live(refresh_per_second=1) as live:
        while True:
            runs = status.read_status(folder)
            table = Table("run", "state", "epochs", "s / epoch", "accuracy (%)", "error")
            for run in runs:
                accuracy = f"{float(run.accuracy):.2f}" if run.accuracy else ""
                speed = f"{run.seconds:.1f}" if run.seconds else ""
                table.add_row(run.run, run.state, f"{run.epoch} of {run.epochs}", speed, accuracy, run.error)
            table.caption = status.summary_line(runs, max(1, [run.state for run in runs].count("running")))
            live.update(table)
            if all(run.state in ("done", "failed", "damaged") for run in runs):
                return
            time.sleep(1)


def check_verb(options: argparse.Namespace) -> int:
    """Recomputes what can be recomputed; 0 only if nothing is wrong."""
    from nas_stability.harness.runs import check

    found = check.check_study(options.folder)
    print("\n".join(found.problems) if found.problems else f"all records of {options.folder} are what they say")
    for note in found.notes:
        print(f"not checked: {note}")
    return FAILED if found.problems else 0


def collect_verb(options: argparse.Namespace) -> int:
    """One tidy file per kind, and what they are."""
    from nas_stability.analysis import collect, croissant

    if options.about and not options.croissant:
        raise BadInput("--about is of --croissant")
    about = croissant.about(options.about)
    study = loaded(options.folder, options.unverified)
    written = collect.collect(study, options.out)
    print("\n".join(map(str, written)))
    if options.croissant:
        made = croissant.write_croissant(study, written, about)
        print(made.path)
        if made.unsaid:
            print(f"nas-stability: it does not say: {'; '.join(made.unsaid)} (--about NAME=VALUE)", file=sys.stderr)
    return 0
