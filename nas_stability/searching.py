"""Verbs that compute: run, study, landscape."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas_stability.array_script import array_script
from nas_stability.benchmarks import stopping
from nas_stability.benchmarks.errors import BadInput
from nas_stability.evaluating import carry_out
from nas_stability.field_flags import STUDY_FILE, add_fields, given_spec
from nas_stability.flags import (
    FAILED,
    REQUEUE,
    Verbs,
    add_cluster,
    add_place,
    add_workers,
    finish,
    folder,
    integer,
    number,
    refuse_half_a_cluster,
    whole,
)
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.planned import find_study
from nas_stability.progress import Bar, progress_bar
from nas_stability.reading import print_report

if TYPE_CHECKING:
    from nas_stability.harness.runs import attempt, run


def add_verbs(verbs: Verbs) -> None:
    """run, study and landscape."""
    one = verbs.add_parser("run", help="carry out one search", allow_abbrev=False)
    add_fields(one)
    one.add_argument("--out", metavar="DIR", type=folder, help="folder of the run (results/RUN_ID)")
    add_place(one, threads=0)
    add_launch(one)
    finish(one, run_verb)

    many = verbs.add_parser(
        "study",
        help="carry out many searches and report on them",
        allow_abbrev=False,
        epilog=STUDY_FILE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    many.add_argument("study", metavar="NAME|FILE.toml", help=f"shipped: {', '.join(study_file.shipped())}")
    many.add_argument("--out", metavar="DIR", type=folder, help="folder of the study (results/NAME)")
    many.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a field that is other than in the file: a value, several joined by commas, or a range; repeatable",
    )
    add_workers(many, "runs at a time, and figures drawn at a time")
    add_cluster(many)
    many.add_argument("--gpus", metavar="LIST", help="GPUs by number, such as 0,1; runs take them in turn")
    many.add_argument("--runs-per-gpu", type=whole(1), default=1, metavar="N", help="runs at a time on each GPU (1)")
    many.add_argument("--dry-run", action="store_true", help="print the runs and stop")
    many.add_argument(
        "--array", type=whole(1), metavar="N", help="print a script for SLURM, N jobs that share the folder, and stop"
    )
    many.add_argument("--no-evaluate", action="store_true", help="do not train what was found, where the study says so")
    many.add_argument("--no-report", action="store_true", help="do not draw the report at the end")
    add_place(many, threads=1)
    add_launch(many)
    finish(many, study_verb)

    landscape = verbs.add_parser(
        "landscape", help="the supernet's validation accuracy over a plane around a run's logits", allow_abbrev=False
    )
    landscape.add_argument(
        "folder",
        metavar="RUN_DIR",
        type=folder,
        help="a finished run; of a study, the lowest seed per space and method",
    )
    landscape.add_argument("--grid", type=integer, default=21, metavar="N", help="points per axis, odd (21)")
    landscape.add_argument(
        "--reach", type=number, default=1.5, metavar="R", help="both axes go from -R to R, in units of the logits (1.5)"
    )
    landscape.add_argument("--again", action="store_true", help="replace a landscape that is there")
    add_place(landscape, threads=0)
    finish(landscape, landscape_verb)


def add_launch(parser: argparse.ArgumentParser) -> None:
    """Flags of how a run's steps are launched; they are not part of its identity either."""
    parser.add_argument(
        "--compile", action="store_true", help="compile the supernet's passes; numbers may differ in the last bits"
    )
    parser.add_argument("--cuda-graph", action="store_true", help="capture the step as a CUDA graph and replay it")


def place_of(options: argparse.Namespace, device: str, here: Sequence[RunSpec]) -> run.Place:
    """Where and how runs are carried out; says what of that is not available to those that are carried out here."""
    from nas_stability.harness import capture
    from nas_stability.harness.runs import machine, run

    launch = capture.Launch(options.compile, options.cuda_graph)
    if any(launch) and here:
        found = machine.find_device(device)
        for line in dict.fromkeys(line for item in here for line in capture.available(launch, found, item)[1]):
            print(f"nas-stability: {line}", file=sys.stderr)
    return run.Place(device, options.threads, str(options.data_dir), launch)


def run_verb(options: argparse.Namespace) -> int:
    """One search to its folder."""
    found = given_spec(options)
    folder: Path = options.out or Path("results") / found.run_id

    from nas_stability.harness.measuring import asked_table
    from nas_stability.harness.records import record
    from nas_stability.harness.runs import run

    place = place_of(options, options.device, [found])
    if asked_table.table_of(found) is None:
        print(asked_table.why_no_table(found), file=sys.stderr)
    bar = progress_bar(found.last_epoch, found.run_id)
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
    from nas_stability.harness.runs import run

    try:
        with bar as progress, stopping.signals(lambda: stopped.append(True)):
            worked = work(run.Watch(lambda done, total: progress(done), lambda: bool(stopped)))
    except run.Interrupted as error:
        print(f"nas-stability: {error}; the same command goes on from there", file=sys.stderr)
        return REQUEUE
    except run.Held as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return FAILED
    print(f"{'finished' if worked else 'was finished already'}: {left}")
    return 0


def study_verb(options: argparse.Namespace) -> int:
    """Many searches to their folder, and the report."""
    found = find_study(options.study, options.set)
    folder: Path = options.out or Path("results") / found.name
    refuse_half_a_cluster(options)
    if options.array:
        if options.scheduler or options.gpus is not None:
            raise BadInput("--array is a job for each member; it goes without --scheduler and --gpus")
        print(array_script(options, found, folder), end="")
        return 0
    if options.scheduler and options.gpus is not None:
        raise BadInput("--gpus is about GPUs here; with --backend dask each worker has its own (--device cuda)")
    devices = gpu_devices(options.gpus, options.runs_per_gpu)

    import joblib

    from nas_stability.harness.runs import batch

    workers = min(options.workers or len(devices) or joblib.cpu_count(), len(found.runs))
    place = place_of(options, devices[0] if devices else options.device, () if options.scheduler else found.runs)
    if options.dry_run:
        print_plan(found, place, workers)
        return 0
    total = sum(item.last_epoch for item in found.runs)
    with progress_bar(total, found.name) as progress:
        engine = batch.Engine(workers, devices, options.scheduler)
        outcomes = batch.run_study(found, folder, place, engine, progress)
    states = [outcome.state for outcome in outcomes]
    print_outcomes(outcomes, folder, " ".join([options.study, *(f"--set {text}" for text in options.set)]))
    if "interrupted" in states:
        return REQUEUE  # at once: a batch system gives a job that is to end a few seconds
    trained = evaluated(options, found, folder, place) if set(states) <= {"finished", "skipped"} else 0
    if trained == REQUEUE:
        return REQUEUE
    drawn = 0
    if {"finished", "skipped"} & set(states) and not options.no_report:
        drawn = print_report(folder, None, None, False, options.workers)
    return trained or drawn if set(states) <= {"finished", "skipped"} else FAILED


def print_outcomes(outcomes: Sequence[attempt.Outcome], folder: Path, study: str) -> None:
    """What became of the runs of a study, and how to go on."""
    from nas_stability.harness.runs import attempt

    states = [outcome.state for outcome in outcomes]
    print(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) + f": {folder}")
    for outcome in outcomes:
        if outcome.error and outcome.state != attempt.NOT_CARRIED_OUT:
            print(f"{outcome.state}: {outcome.run}: {outcome.error}", file=sys.stderr)
        if outcome.state == "failed":
            print(attempt.error_tail(folder / outcome.run), file=sys.stderr)
    for reason in dict.fromkeys(outcome.error for outcome in outcomes if outcome.state == attempt.NOT_CARRIED_OUT):
        left = ", ".join(outcome.run for outcome in outcomes if outcome.error == reason)
        print(f"{attempt.NOT_CARRIED_OUT}: {reason}: {left}", file=sys.stderr)
    if set(states) - {"finished", "skipped"}:
        print(
            f"these only, the finished ones are skipped: nas-stability study {study} --out {folder}",
            file=sys.stderr,
        )


def evaluated(options: argparse.Namespace, found: study_file.PlannedStudy, folder: Path, place: run.Place) -> int:
    """Trains what a finished study's file asks for; the exit code."""
    for request in () if options.no_evaluate else found.evaluations:
        if code := carry_out(folder, request, place, options.workers, options.scheduler):
            return code
    return 0


def gpu_devices(gpus: str | None, runs_per_gpu: int) -> tuple[str, ...]:
    """Devices in the order in which runs take them: every GPU once, then again for the second run on each."""
    if gpus is None:
        return ()
    numbers = [number.strip() for number in gpus.split(",")]
    if not all(number.isascii() and number.isdecimal() and len(number) < 5 for number in numbers):
        raise BadInput(f"--gpus takes numbers of GPUs joined by commas, such as 0,1, not {gpus!r}")
    if len(set(map(int, numbers))) < len(numbers):
        raise BadInput(f"--gpus names a GPU twice: {gpus!r}; --runs-per-gpu N puts N runs at a time on each")
    return tuple(f"cuda:{int(number)}" for number in numbers) * runs_per_gpu


def print_plan(found: study_file.PlannedStudy, place: run.Place, workers: int) -> None:
    """The runs and how long they would take, from a few measured steps of each kind."""
    from nas_stability.harness.records import status
    from nas_stability.harness.runs import estimate

    kinds: dict[str, estimate.RunCost] = {}
    total = measuring = 0.0
    for item in found.runs:
        kind = dataclasses.replace(item, seed=0).digest
        if kind not in kinds:
            kinds[kind] = estimate.run_cost(item, place)
        cost = kinds[kind]
        total, measuring = total + cost.total, measuring + cost.measuring
        share = f"of which measuring {100 * cost.measuring / cost.total:.0f} %"
        print(f"{item.run_id}  {item.last_epoch} epochs  about {status.duration(cost.total)}, {share}")
    for request in found.evaluations:
        print(f"then what was found is trained from scratch: {request.label}, {request.seeds} networks each")
    print(
        f"{len(found.runs)} runs, about {status.duration(total / workers)} with {workers} at a time; measuring takes "
        f"{100 * measuring / total:.0f} % of it (measure_every, rank_sample and hessian say how often and what)"
    )


def landscape_verb(options: argparse.Namespace) -> int:
    """The plane around a run's logits, or around one run of each kind of a study."""
    from nas_stability.harness.records import record
    from nas_stability.harness.runs import landscape, plane, run

    grid = plane.Grid(options.grid, options.reach)
    place = run.Place(options.device, options.threads, str(options.data_dir))
    stopped: list[bool] = []
    for chosen in landscape.chosen_runs(options.folder):
        if stopped:
            return REQUEUE
        work = functools.partial(landscape.measure_landscape, chosen, grid, place, again=options.again)
        bar = progress_bar(grid.points**2, chosen.name, "point")
        if code := watched(work, bar, chosen / record.LANDSCAPE, stopped):
            return code
    return 0
