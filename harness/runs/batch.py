"""Many runs: skip the finished, spread the others over workers, let one failure stop nothing.

Several processes may carry out one study in one folder: each run's folder is held by a file lock, which the operating
system releases when its holder dies; the others pass over it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nas_stability.benchmarks.stopping import signals
from nas_stability.benchmarks.workers import Crew, Finished, Lost, Stopped, asked_to_stop
from nas_stability.harness.records.claiming import claim_study, names_of, refuse_other, refuse_records
from nas_stability.harness.records.folder import is_study
from nas_stability.harness.records.record import DONE, EPOCHS
from nas_stability.harness.runs.attempt import NOT_CARRIED_OUT, Errand, Job, Outcome, attempt, failed, short_of_memory
from nas_stability.harness.runs.cluster import on_cluster
from nas_stability.harness.runs.inputs import open_inputs
from nas_stability.harness.runs.machine import Place, find_device
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy


class Engine(NamedTuple):
    """How the runs are spread.

    Attributes:
        workers: runs at a time, on this machine.
        devices: given to the runs in turn; empty: the place's device for all.
        scheduler: address of a dask scheduler whose workers do the runs; empty: this machine does.
    """

    workers: int = 1
    devices: tuple[str, ...] = ()
    scheduler: str = ""


def run_study(
    study: PlannedStudy, folder: Path, place: Place, engine: Engine, progress: Callable[[int], None]
) -> list[Outcome]:
    """Carries out every run of the study that is not finished. A signal to stop saves and stops all runs.

    Args:
        study: its runs.
        folder: of the study; each run has a folder of its own in it.
        place: device, threads per run and data folder.
        engine: how the runs are spread.
        progress: called about twice a second with the number of epochs done in all runs together.

    Raises:
        BadInput: a spec cannot run, or the folder holds another study; nothing is started.
    """
    places = [place._replace(device=device) for device in engine.devices] or [place]
    refuse_records(study, folder)
    known = names_of(study, folder) if is_study(folder) else {}
    jobs = [Job(spec, folder / known.get(spec, spec.run_id)) for spec in study.runs]
    for job in jobs:
        refuse_other(job.spec, job.folder, folder)
    todo = [job for job in jobs if not (job.folder / DONE).exists()]
    if not engine.scheduler:
        refuse_kinds([job.spec for job in todo], places)
    claim_study(study, folder)
    outcomes = {job.folder.name: Outcome(job.folder.name, "skipped") for job in jobs}
    with reporting([job.folder for job in jobs], progress):
        for outcome in spread(todo, places, engine) if todo else ():
            finished_elsewhere = outcome.state == "held" and (folder / outcome.run / DONE).exists()
            outcomes[outcome.run] = Outcome(outcome.run, "skipped") if finished_elsewhere else outcome
    return list(outcomes.values())


def refuse_kinds(specs: Sequence[RunSpec], places: Sequence[Place]) -> None:
    """Opens images and table of each kind of run once, before anything is written.

    Raises:
        BadInput: they are not there, or the specs do not fit them.
    """
    for spec in {dataclasses.replace(spec, seed=0): spec for spec in specs}.values():
        for place in places:
            open_inputs(spec, place._replace(device="cpu") if find_device(place.device).type == "cuda" else place)


def spread(todo: Sequence[Job], places: Sequence[Place], engine: Engine) -> Iterator[Outcome]:
    """The outcomes of the runs as they come, wherever they are carried out."""
    if engine.scheduler:
        errands = [Errand(job.folder, functools.partial(attempt, job.spec), DONE) for job in todo]
        return on_cluster(errands, places[0], engine.scheduler)
    return on_this_machine(todo, places, min(engine.workers, len(todo)))


def on_this_machine(todo: Sequence[Job], places: Sequence[Place], workers: int) -> Iterator[Outcome]:
    """The outcomes as they come; a run that was short of memory, or whose worker died, is tried once more, alone."""
    given = list(zip(todo, itertools.cycle(places), strict=False))
    if workers == 1:
        yield from in_this_process(given)
        return
    with Crew(in_a_worker, workers) as crew, signals(crew.stop):
        for answer in crew.carry_out(given, name=lambda task: task[0].folder.name, again=short_of_memory):
            outcome = outcome_of(answer, todo[answer.task].folder)
            if outcome.state == "interrupted":  # a batch system may signal the workers alone
                crew.stop()
            yield outcome


def in_this_process(given: Sequence[tuple[Job, Place]]) -> Iterator[Outcome]:
    """One run after the other, here: they can be debugged and cost no start-up."""
    stopped: list[bool] = []
    again = []
    with signals(lambda: stopped.append(True)):
        for job, place in given:
            outcome = attempt(*job, place, lambda: bool(stopped), here=True)
            if short_of_memory(outcome):
                again.append((job, place))
            else:
                yield outcome
        for job, place in again:
            yield attempt(*job, place, lambda: bool(stopped), here=True)


def in_a_worker(task: tuple[Job, Place]) -> Outcome:
    """One run of a study, in a worker's process."""
    job, place = task
    return attempt(*job, place, asked_to_stop)


def outcome_of(answer: Finished[Outcome], folder: Path) -> Outcome:
    """What became of a run that was a worker's task."""
    run = folder.name
    try:
        return answer.result()
    except Stopped:
        return Outcome(run, "interrupted")
    except Exception as error:
        if answer.died:
            reason = f"{error}, again when it was tried alone; go on with fewer --workers"
            return failed(run, reason, folder)
        if isinstance(error, Lost):
            return Outcome(run, NOT_CARRIED_OUT, f"{error}; go on with fewer --workers")
        return failed(run, f"{type(error).__name__}: {error}", folder)


@contextlib.contextmanager
def reporting(folders: Sequence[Path], progress: Callable[[int], None]) -> Iterator[None]:
    """Reports the epochs done twice a second, from a thread that only reads files, and once more at the end."""
    done = threading.Event()

    def report() -> None:
        progress(sum(map(epochs_done, folders)))

    def watch() -> None:
        while not done.wait(0.5):
            report()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        report()


def epochs_done(folder: Path) -> int:
    """Whole rows in the run's epochs.csv after row 0."""
    try:
        content = (folder / EPOCHS).read_bytes()
    except FileNotFoundError:
        return 0
    return max(0, content.count(b"\n") - 2)
