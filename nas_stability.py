"""The command line: verbs parse, call and print, nothing else. PyTorch is not imported until a verb needs it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from benchmarks.errors import BadInput, unknown
from harness import spec, study

if TYPE_CHECKING:
    from benchmarks import answer
    from harness import run

Bar = contextlib.AbstractContextManager[Callable[[int], None]]
"""A progress bar: entered, it is told how much is done."""

FAILED, MISUSED, REQUEUE = 1, 2, 75
"""REQUEUE: stopped by a signal with everything saved; sysexits.h calls it a temporary failure."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 something failed, 2 unusable input, 75 stopped by a signal."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    try:
        if rest:
            raise unknown("argument", rest[0], options.flags)
        verb: Callable[[argparse.Namespace], int] = options.verb
        return verb(options)
    except BadInput as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return MISUSED
    except BrokenPipeError:
        return FAILED
    finally:
        dismiss_workers()


def dismiss_workers() -> None:
    """Ends the processes that joblib keeps for later: by themselves they take seconds to unload what they imported."""
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one line of ours."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (--help lists what there is)", file=sys.stderr)
        raise SystemExit(MISUSED)


def build_parser() -> argparse.ArgumentParser:
    """All verbs and their flags."""
    parser = Parser(prog="nas-stability", description="Searches architectures and records how stable the search is.")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=Parser)

    one = verbs.add_parser("run", help="carry out one search", allow_abbrev=False)
    for name in spec.FIELDS:
        one.add_argument(flag(name), metavar="VALUE", help=field_help(name), dest=f"field_{name}")
    one.add_argument("--out", metavar="DIR", help="folder of the run (results/RUN_ID)")
    add_place(one, threads=0)
    add_launch(one)
    finish(one, run_verb)

    many = verbs.add_parser("study", help="carry out many searches and report on them", allow_abbrev=False)
    many.add_argument("study", metavar="NAME|FILE.toml", help=f"shipped: {', '.join(study.shipped())}")
    many.add_argument("--out", metavar="DIR", help="folder of the study (results/NAME)")
    many.add_argument("--workers", type=int, metavar="N", help="runs at a time (one per core)")
    many.add_argument("--backend", choices=("loky", "dask"), default="loky", help="processes here, or a cluster (loky)")
    many.add_argument("--scheduler", metavar="ADDRESS", default="", help="of dask, for --backend dask")
    many.add_argument("--gpus", metavar="LIST", help="GPUs by number, such as 0,1; runs take them in turn")
    many.add_argument("--runs-per-gpu", type=int, default=1, metavar="N", help="runs at a time on each GPU (1)")
    many.add_argument("--dry-run", action="store_true", help="print the runs and stop")
    many.add_argument("--no-report", action="store_true", help="do not draw the report at the end")
    add_place(many, threads=1)
    add_launch(many)
    finish(many, study_verb)

    report = verbs.add_parser("report", help="draw figures and tables of a study", allow_abbrev=False)
    report.add_argument("folder", metavar="DIR", type=Path)
    report.add_argument("--only", metavar="NAME", help="one figure or table")
    report.add_argument("--paper", action="store_true", help="column width and serif text")
    report.add_argument("--out", metavar="DIR", type=Path, help="where to write (DIR/report)")
    finish(report, report_verb)

    claims = verbs.add_parser("claims", help="which claims of the paper a study supports", allow_abbrev=False)
    claims.add_argument("folder", metavar="DIR", type=Path)
    claims.add_argument("--json", action="store_true", help="one JSON object per claim and space")
    claims.add_argument("--out", metavar="FILE.csv", type=Path, help="also write the verdicts there")
    finish(claims, claims_verb)

    status = verbs.add_parser("status", help="how far a study is, from its files alone", allow_abbrev=False)
    status.add_argument("folder", metavar="DIR", type=Path)
    status.add_argument("--json", action="store_true", help="one JSON object per run")
    status.add_argument("--follow", action="store_true", help="a live table until every run is done or failed")
    finish(status, status_verb)

    check = verbs.add_parser("check", help="recompute what a folder's records claim", allow_abbrev=False)
    check.add_argument("folder", metavar="DIR", type=Path)
    finish(check, check_verb)

    collect = verbs.add_parser("collect", help="one tidy CSV and Parquet file for a study", allow_abbrev=False)
    collect.add_argument("folder", metavar="DIR", type=Path)
    collect.add_argument("--out", metavar="DIR", type=Path, help="where to write (DIR/collected)")
    finish(collect, collect_verb)

    landscape = verbs.add_parser(
        "landscape", help="the supernet's validation accuracy over a plane around a run's logits", allow_abbrev=False
    )
    landscape.add_argument(
        "folder", metavar="RUN_DIR", type=Path, help="a finished run; of a study, the lowest seed per space and method"
    )
    landscape.add_argument("--grid", type=int, default=21, metavar="N", help="points per axis, odd (21)")
    landscape.add_argument(
        "--reach", type=float, default=1.5, metavar="R", help="both axes go from -R to R, in units of the logits (1.5)"
    )
    landscape.add_argument("--again", action="store_true", help="replace a landscape that is there")
    add_place(landscape, threads=0)
    finish(landscape, landscape_verb)

    add_table_verbs(verbs.add_parser("table", help="tables of accuracies: list, fetch, pack, ask, check, train"))

    verify = verbs.add_parser("verify", help="replay reference traces of the published code", allow_abbrev=False)
    verify.add_argument("traces", metavar="TRACE", nargs="+", type=Path)
    finish(verify, verify_verb)

    bench = verbs.add_parser("bench", help="what a step and a Hessian cost, beside a literal one", allow_abbrev=False)
    spaces = ("nasbench201", "nasbench1shot1-s1")
    bench.add_argument("--space", metavar="SPACE", nargs="+", default=spaces, help=f"({' '.join(spaces)})")
    bench.add_argument(
        "--size", choices=("published", "quick", "both"), default="both", help="published takes many minutes (both)"
    )
    bench.add_argument("--rounds", type=int, default=0, metavar="N", help="of each case, 0 by what it costs (0)")
    bench.add_argument("--out", metavar="DIR", type=Path, default=Path("results/bench"), help="(results/bench)")
    add_machine(bench, threads=0)
    finish(bench, bench_verb)
    return parser


def add_table_verbs(table: argparse.ArgumentParser) -> None:
    """The verbs of ``table``; --tables names another folder of packed tables than the user's cache."""
    verbs = table.add_subparsers(required=True, metavar="VERB", parser_class=Parser)

    def verb(name: str, help: str, function: Callable[[argparse.Namespace], int], *positional: str) -> Parser:
        added: Parser = verbs.add_parser(name, help=help, allow_abbrev=False)
        for argument in positional:
            added.add_argument(argument, metavar=argument.upper())
        added.add_argument("--tables", metavar="DIR", type=Path, help="folder of packed tables (the user's cache)")
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
    query.add_argument("--epochs", required=True, type=int, help="training budget")
    query.add_argument("--seed", type=int, help="one training run (the mean over all)")
    verify = verb("verify", "check a table against itself and what is published", table_verify_verb, "name")
    best = verb("best", "best reachable architectures of a space, and coverage", table_best_verb, "name")
    best.add_argument("--space", required=True)
    train = verb("train", "train every distinct cell of a space", table_train_verb)
    train.add_argument(
        "--out", metavar="DIR", type=Path, help="folder of the parts and the table (results/tables/NAME)"
    )
    train.add_argument("--workers", type=int, default=1, metavar="N", help="processes of one thread each (1)")
    train.add_argument("--data-dir", default="data", metavar="DIR", help="folder for downloaded images (data)")
    for name, default in TRAIN_DEFAULTS.items():
        train.add_argument(flag(name), type=type(default), default=default, metavar="VALUE", help=f"({default})")
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


def finish(parser: argparse.ArgumentParser, verb: Callable[[argparse.Namespace], int]) -> None:
    """Attaches the verb, and its flags for the message about an unknown one."""
    flags = [text for action in parser._actions for text in action.option_strings]
    parser.set_defaults(verb=verb, flags=flags)


def add_place(parser: argparse.ArgumentParser, threads: int) -> None:
    """Flags of where a run is carried out; they are not part of its identity."""
    add_machine(parser, threads)
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="folder for downloaded images (data)")


def add_machine(parser: argparse.ArgumentParser, threads: int) -> None:
    """Flags of the device and the threads."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument(
        "--threads", type=int, default=threads, metavar="N", help=f"CPU threads per run, 0 all ({threads})"
    )


def add_launch(parser: argparse.ArgumentParser) -> None:
    """Flags of how a run's steps are launched; they are not part of its identity either."""
    parser.add_argument(
        "--compile", action="store_true", help="compile the supernet's passes; numbers may differ in the last bits"
    )
    parser.add_argument("--cuda-graph", action="store_true", help="capture the step as a CUDA graph and replay it")


def place_of(options: argparse.Namespace, device: str, here: Sequence[spec.RunSpec]) -> run.Place:
    """Where and how runs are carried out; says what of that is not available to those that are carried out here."""
    from harness import capture, run

    launch = capture.Launch(options.compile, options.cuda_graph)
    if any(launch) and here:
        found = run.find_device(device)
        for line in dict.fromkeys(line for item in here for line in capture.available(launch, found, item)[1]):
            print(f"nas-stability: {line}", file=sys.stderr)
    return run.Place(device, options.threads, options.data_dir, launch)


def flag(name: str) -> str:
    """A field's flag: its name with dashes."""
    return "--" + name.replace("_", "-")


def field_help(name: str) -> str:
    """A field's line of help with its default."""
    field = spec.FIELDS[name]
    published = sorted({str(settings[name]) for settings in spec.PUBLISHED.values() if name in settings})
    if published:
        default = f" ({' or '.join(published)}, by space)"
    else:
        default = "" if field.default is dataclasses.MISSING else f" ({field.default})"
    return (str(field.metadata["help"]) + default).replace("%", "%%")


def run_verb(options: argparse.Namespace) -> int:
    """One search to its folder."""
    given = {name: getattr(options, f"field_{name}") for name in spec.FIELDS}
    found = spec.run_spec({name: spec.parse(name, text) for name, text in given.items() if text is not None})
    folder = Path(options.out or Path("results") / found.run_id)

    from harness import measure, record, run

    place = place_of(options, options.device, [found])
    run.check(found, place)
    if measure.table_of(found) is None:
        print("no table: the accuracy and regret columns stay empty (--table PATH names one)", file=sys.stderr)
    bar = progress_bar(found.epochs, found.run_id)
    try:
        code = watched(lambda watch: run.run(found, folder, place, watch), bar, folder, [])
    except FloatingPointError as error:
        print(f"nas-stability: {error}; whole rows and {record.ERROR} are in {folder}", file=sys.stderr)
        return FAILED
    if code:
        return code
    left = json.loads((folder / record.DONE).read_text())
    if left["table"]:
        lacked = f"lacked {left['table_missing']} of {left['table_queries']} architectures asked for"
        print(f"table {left['table']['name']}: {lacked}")
    return 0


def watched(work: Callable[[run.Watch], bool], bar: Bar, left: Path, stopped: list[bool]) -> int:
    """Carries out one piece of work that a signal stops between steps; returns the exit code.

    Args:
        work: given how it is watched; returns whether there was anything to do.
        bar: that shows how much is done.
        left: what the work leaves.
        stopped: gets an entry with a signal.
    """
    from harness import batch, run

    try:
        with bar as progress, batch.signals(lambda: stopped.append(True)):
            worked = work(run.Watch(lambda done, total: progress(done), lambda: bool(stopped)))
    except run.Interrupted as error:
        print(f"nas-stability: {error}; the same command goes on from there", file=sys.stderr)
        return REQUEUE
    except (run.Held, OSError) as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    print(f"{'finished' if worked else 'was finished already'}: {left}")
    return 0


def study_verb(options: argparse.Namespace) -> int:
    """Many searches to their folder, and the report."""
    found = study.read(study.find(options.study))
    folder = Path(options.out or Path("results") / found.name)
    if (options.backend == "dask") != bool(options.scheduler):
        raise BadInput("--backend dask and --scheduler ADDRESS go together")

    import joblib

    from harness import batch

    devices = gpu_devices(options.gpus, options.runs_per_gpu)
    workers = len(devices) or min(options.workers or joblib.cpu_count(), len(found.runs))
    place = place_of(options, devices[0] if devices else options.device, () if options.scheduler else found.runs)
    if options.dry_run:
        print_plan(found, place, workers)
        return 0
    total = sum(item.epochs for item in found.runs)
    with progress_bar(total, found.name) as progress:
        engine = batch.Engine(workers, devices, options.scheduler)
        outcomes = batch.carry_out(found, folder, place, engine, progress)
    states = [outcome.state for outcome in outcomes]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) + f": {folder}")
    for outcome in outcomes:
        if outcome.error:
            print(f"{outcome.state}: {outcome.run}: {outcome.error}", file=sys.stderr)
        if outcome.state == "failed":
            print(batch.error_tail(folder / outcome.run), file=sys.stderr)
    if set(states) - {"finished", "skipped"}:
        print(
            f"these only, the finished ones are skipped: nas-stability study {options.study} --out {folder}",
            file=sys.stderr,
        )
    if {"finished", "skipped"} & set(states) and not options.no_report:
        print_report(folder, None, None, False)
    if "interrupted" in states:
        return REQUEUE
    return 0 if set(states) <= {"finished", "skipped"} else FAILED


def gpu_devices(gpus: str | None, runs_per_gpu: int) -> tuple[str, ...]:
    """Devices in the order in which runs take them: every GPU once, then again for the second run on each."""
    if gpus is None:
        return ()
    numbers = gpus.split(",")
    if not all(number.isdecimal() for number in numbers) or runs_per_gpu < 1:
        raise BadInput(
            f"--gpus takes numbers such as 0,1 and --runs-per-gpu at least 1, not {gpus!r} and {runs_per_gpu}"
        )
    return tuple(f"cuda:{number}" for number in numbers) * runs_per_gpu


def print_plan(found: study.Study, place: run.Place, workers: int) -> None:
    """The runs and how long they would take, from a few measured steps of each kind."""
    from harness import estimate, status

    kinds: dict[str, float] = {}
    total = 0.0
    for item in found.runs:
        kind = dataclasses.replace(item, seed=0).digest
        if kind not in kinds:
            kinds[kind] = estimate.run_seconds(item, place)
        total += kinds[kind]
        print(f"{item.run_id}  {item.epochs} epochs  about {status.duration(kinds[kind])}")
    print(f"{len(found.runs)} runs, about {status.duration(total / workers)} with {workers} at a time")


def report_verb(options: argparse.Namespace) -> int:
    """Figures and tables of a study."""
    print_report(options.folder, options.out, options.only, options.paper)
    return 0


def print_report(folder: Path, out: Path | None, only: str | None, paper: bool) -> None:
    """Draws the report; prints the summary per method and where the figures are."""
    import joblib

    from analysis import claims, page, report, study

    try:
        written = report.write_report(folder, out=out, only=only, paper=paper, workers=joblib.cpu_count())
        one_page = page.write_page(written, claims.judge(written.study)) if only is None else None
    except study.Unusable as error:
        raise BadInput(str(error)) from error
    summary = report.summary(written.study)
    print(
        summary.to_string(
            index=False, float_format=lambda number: f"{number:.3g}" if abs(number) < 1 else f"{number:.2f}"
        )
    )
    print(f"report: {one_page or written.folder}")


def claims_verb(options: argparse.Namespace) -> int:
    """A verdict on each claim."""
    from analysis import claims, study

    try:
        found = study.load(options.folder)
        judged = claims.judge(found)
    except study.Unusable as error:
        raise BadInput(str(error)) from error
    if options.out:
        try:
            judged.to_csv(options.out, index=False)
        except OSError as error:
            raise BadInput(f"cannot write {options.out}: {error.strerror or error}") from error
    if options.json:
        for record in claims.records(judged):
            print(json.dumps(record))
    else:
        print(claims.text(judged))
    if found.unfinished:
        print(f"without {len(found.unfinished)} runs that are not finished", file=sys.stderr)
    return 0


def status_verb(options: argparse.Namespace) -> int:
    """How far a study is."""
    from harness import status

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
    return 0


def follow(folder: Path) -> None:
    """A live table of a study until nothing runs or waits any more, or until it is interrupted."""
    from rich.live import Live
    from rich.table import Table

    from harness import status

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
            if all(run.state in ("done", "failed") for run in runs):
                return
            time.sleep(1)


def check_verb(options: argparse.Namespace) -> int:
    """Recomputes what can be recomputed; 0 only if nothing is wrong."""
    from harness import check

    problems = check.check_study(options.folder)
    print("\n".join(problems) if problems else f"all records of {options.folder} are what they say")
    return FAILED if problems else 0


def collect_verb(options: argparse.Namespace) -> int:
    """One tidy file per kind."""
    from analysis import collect, study

    try:
        written = collect.collect(options.folder, options.out)
    except study.Unusable as error:
        raise BadInput(str(error)) from error
    print("\n".join(map(str, written)))
    return 0


def landscape_verb(options: argparse.Namespace) -> int:
    """The plane around a run's logits, or around one run of each kind of a study."""
    from harness import landscape, record, run

    grid = landscape.Grid(options.grid, options.reach)
    place = run.Place(options.device, options.threads, options.data_dir)
    stopped: list[bool] = []
    for folder in landscape.chosen_runs(options.folder):
        if stopped:
            return REQUEUE
        work = functools.partial(landscape.carry_out, folder, grid, place, again=options.again)
        bar = progress_bar(grid.points**2, folder.name, "point")
        if code := watched(work, bar, folder / record.LANDSCAPE, stopped):
            return code
    return 0


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

    print(pack.pack(options.name, Path(options.file), options.tables, options.again))
    return 0


def table_import_verb(options: argparse.Namespace) -> int:
    """Packs a tidy file."""
    from benchmarks import catalog, errors, pack

    space = errors.choose("space", options.space, catalog.SPACES)
    print(pack.import_file(Path(options.file), space, options.name, options.tables, options.again))
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
    from benchmarks import catalog, errors, train

    found = train.TrainSpec(**{name: getattr(options, name) for name in TRAIN_DEFAULTS})
    space = errors.choose("space", found.space, catalog.SPACES)
    out = options.out or Path("results") / "tables" / found.name
    raw = catalog.load_data(found.data, Path(options.data_dir))
    print(train.train_table(found, space, raw, out, options.workers))
    return 0


def verify_verb(options: argparse.Namespace) -> int:
    """Replays traces; 0 only if every deviation of every trace is under the tolerance."""
    from harness import replay

    for path in options.traces:
        if not path.is_file():
            raise BadInput(f"the trace {path} does not exist")
    width = max(len(path.stem) for path in options.traces)
    print(f"{'trace':{width}}  " + "  ".join(f"{name:>11}" for name in replay.Deviation._fields))
    good = True
    for path in options.traces:
        deviation = replay.replay(path)
        good = good and deviation.worst < replay.TOLERANCE
        verdict = "" if deviation.worst < replay.TOLERANCE else f"  over {replay.TOLERANCE:g}"
        print(f"{path.stem:{width}}  " + "  ".join(f"{value:11.1e}" for value in deviation) + verdict)
    return 0 if good else FAILED


def bench_verb(options: argparse.Namespace) -> int:
    """Measures, writes, draws and prints; a bar that is not met is printed as such and fails nothing."""
    import matplotlib

    from analysis import cost, report
    from analysis.panels import style
    from harness import bench, run

    if options.rounds < 0:
        raise BadInput(f"--rounds takes a number of at least 0, not {options.rounds}")
    cases = bench.plan(options.space, tuple(bench.SIZES) if options.size == "both" else (options.size,))
    growths = bench.growth_plan(options.space)
    place = run.Place(options.device, options.threads)
    with progress_bar(len(cases) + len(growths), "bench", "case") as progress:
        found, compared = bench.carry_out(cases, growths, place, options.rounds, options.out, progress)
    with matplotlib.rc_context(style(paper=False)):
        report.write_figure(cost.cost(cost.read(options.out / bench.SCALING)), options.out, "cost")
    print(bench.tables(found, compared))
    if not compared:
        print("ours alone: the literal reference, tests/oracles.py, comes with a checkout only", file=sys.stderr)
    print(f"bench: {options.out}")
    return 0


@contextlib.contextmanager
def progress_bar(total: int, label: str, unit: str = "epoch") -> Iterator[Callable[[int], None]]:
    """Progress on standard error: a bar on a terminal, a plain line at most every ten seconds elsewhere."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=unit) as shown:

            def show(done: int) -> None:
                shown.update(done - shown.n)

            yield show
    else:
        yield PlainLines(total, label, unit).update


class PlainLines:
    """Progress for a log: a line at most every ten seconds, and one at the end.

    Args:
        total: units in all.
        label: what is running.
        unit: what is counted, in the singular.
    """

    def __init__(self, total: int, label: str, unit: str) -> None:
        self.unit = unit
        self.total = total
        self.label = label
        self.began = self.printed = time.monotonic()
        self.done = -1

    def update(self, done: int) -> None:
        """``done`` units so far."""
        now = time.monotonic()
        if done > self.done and (now - self.printed >= 10 or done == self.total):
            spent = f"{now - self.began:.0f} s"
            print(f"{self.label}: {done} of {self.total} {self.unit}s, {spent}", file=sys.stderr, flush=True)
            self.printed, self.done = now, done


if __name__ == "__main__":
    raise SystemExit(main())
