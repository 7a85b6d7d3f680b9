"""The architectures that a study found, trained from scratch: which, by whom, and their rows.

Several processes may train for one study: each network's folder is held by a file lock. What is asked for is written
before anything is trained, and the rows whenever a network is done, so that a stop loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import filelock

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.catalog import find_space, load_data
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.stopping import signals
from nas_stability.benchmarks.workers import Crew, Finished, Lost, Stopped, asked_to_stop
from nas_stability.harness.measuring.asked_table import ask_all, columns_of, table_of
from nas_stability.harness.methods.early_stopping import stop_of
from nas_stability.harness.records.claiming import Held
from nas_stability.harness.records.evaluated import NETWORK, NETWORKS, RANDOM, Wanted, write_requests, write_rows
from nas_stability.harness.records.folder import finished_runs, read_record
from nas_stability.harness.records.record import EPOCHS
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.rng import stream
from nas_stability.harness.runs.attempt import Errand, Outcome
from nas_stability.harness.runs.cluster import on_cluster
from nas_stability.harness.runs.machine import Place
from nas_stability.harness.runs.run import Interrupted, Watch
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.training.assignment import Assignment, refuse_unfit
from nas_stability.harness.training.descent import train_network
from nas_stability.harness.training.protocol import RULES, Protocol, Request, network_id, protocol_for

LOCK = ".evaluate.lock"


class Plan(NamedTuple):
    """What is to be trained: the rows, and each network once."""

    wanted: list[Wanted]
    assignments: list[Assignment]


def evaluate(
    folder: Path, plan: Plan, place: Place, workers: int, progress: Callable[[int], None], scheduler: str = ""
) -> list[Outcome]:
    """Trains what is planned, and writes evaluated.csv; what is trained already is left as it is.

    Args:
        folder: of the study, or of runs.
        plan: what.
        place: device, threads per network and data folder.
        workers: networks at a time.
        progress: called with the number of networks done.
        scheduler: address of a dask scheduler whose workers train them; empty: this machine does.

    Raises:
        BadInput: the scheduler does not answer.
        CorruptFile: a record of what was trained before cannot be trusted.
    """
    todo = [one for one in plan.assignments if not (one.folder / NETWORK).exists()]
    done = len(plan.assignments) - len(todo)
    with filelock.FileLock(folder / LOCK):
        write_requests(folder, plan.wanted)
        write_rows(folder)
    progress(done)
    outcomes: list[Outcome] = []
    for outcome in spread(todo, place, workers, scheduler) if todo else ():
        outcomes.append(outcome)
        done += outcome.state == "finished"
        with filelock.FileLock(folder / LOCK):
            write_rows(folder)
        progress(done)
    return outcomes


def planned(folder: Path, request: Request, place: Place) -> Plan:
    """What a request means for a study's finished runs; reads only.

    Raises:
        BadInput: no run is finished, one has no such epoch, a space has no network, or a protocol does not fit the
            images.
        CorruptFile: a record of a run cannot be trusted.
    """
    finished = finished_runs(folder)
    specs = {run: recorded_spec(read_record(path)["spec"]) for run, path in finished.items()}
    for spec in specs.values():
        plugins.load_recorded(spec.plugins)
    chosen = [
        *(found_by(run, spec, finished[run], request.at) for run, spec in specs.items()),
        *(one for spec, count in random_plan(list(specs.values()), request.random) for one in drawn(spec, count)),
    ]
    protocols: dict[RunSpec, Protocol] = {}
    wanted: list[Wanted] = []
    assignments: dict[str, Assignment] = {}
    fitting: set[tuple[str, str]] = set()
    for spec, one in chosen:
        protocol = protocols.setdefault(spec, protocol_of(spec, request))
        if (kind := (spec.space, protocol.json())) not in fitting:
            refuse_unfit(spec.space, one.arch, protocol, load_data(protocol.data, Path(place.data_dir)))
            fitting.add(kind)
        for seed in range(request.seeds):
            name = network_id(spec.space, one.arch, seed, protocol)
            wanted.append(one._replace(network=name))
            assignments[name] = Assignment(
                name=name,
                space=spec.space,
                arch=one.arch,
                seed=seed,
                protocol=protocol,
                label=request.label,
                folder=folder / NETWORKS / name,
                weights=request.weights,
                plugins=spec.plugins,
            )
    return Plan(wanted, list(assignments.values()))


def found_by(run: str, spec: RunSpec, folder: Path, at: str) -> tuple[RunSpec, Wanted]:
    """The architecture of a run that ``--at`` means; its network has no name yet."""
    rows = read_rows(folder / EPOCHS)
    rule, epoch = epoch_of(run, rows, at)
    row = rows[epoch]
    answers = {name: number(cell) for name, cell in row.items() if name.startswith("accuracy_")}
    return spec, Wanted(run, spec.space, spec.method, spec.seed, epoch, rule, row["arch"], "", answers)


def drawn(spec: RunSpec, count: int) -> Iterator[tuple[RunSpec, Wanted]]:
    """Random architectures of a spec's space, the same for every study; their networks have no names yet."""
    table, space = table_of(spec), find_space(spec.space)
    columns = columns_of(table, space)
    for index in range(count):
        arch = space.sample(stream(index, "random architecture"))
        said = ask_all(table, arch, columns, spec.table_epochs)
        answers = {f"accuracy_{dataset}_{split}": value for (dataset, split), value in said.items()}
        yield spec, Wanted(f"{RANDOM}-{index}", spec.space, RANDOM, index, None, "drawn", arch, "", answers)


def protocol_of(spec: RunSpec, request: Request) -> Protocol:
    """The protocol for the runs of a spec; images of the search's own keep their checksum."""
    given = dict(request.given)
    if "data" not in given and spec.data_sha256:
        given["data_sha256"] = spec.data_sha256
    return protocol_for(request.protocol, find_space(spec.space).facts, spec.data, given, Path())


def random_plan(specs: Sequence[RunSpec], random: int | None) -> Iterator[tuple[RunSpec, int]]:
    """Of each pair of a space and its images one spec, and how many random architectures are trained beside it."""
    kinds: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in specs:
        kinds.setdefault((spec.space, spec.data), []).append(spec)
    for found in kinds.values():
        methods = [spec.method for spec in found]
        yield found[0], max(map(methods.count, methods)) if random is None else random


def number(cell: str) -> float | None:
    """A number out of a cell; None of an empty one."""
    return float(cell) if cell else None


def epoch_of(run: str, rows: Sequence[Mapping[str, str]], at: str) -> tuple[str, int]:
    """The rule and the row whose architecture is trained.

    ``best``: of the highest accuracy of the supernet on the validation half, the first of equals, after at least one
    epoch: what somebody without a table can choose by. ``stop``: where DARTS-ES stops the search.

    Raises:
        BadInput: no such rule or epoch, or no eigenvalues to stop by.
    """
    last = len(rows) - 1
    if at == "final":
        return at, last
    if at == "best":
        return at, max(range(1, last + 1), key=lambda epoch: (float(rows[epoch]["valid_accuracy"]), -epoch))
    if at == "stop":
        stop = stop_of({epoch: float(row["eigenvalue_max"]) for epoch, row in enumerate(rows) if row["eigenvalue_max"]})
        if stop is None:
            raise BadInput(f"--at stop needs the eigenvalues of a search, and {run} measured none")
        return at, stop.returned + 1
    if not (at.isascii() and at.isdecimal() and int(at[:9]) <= last):
        raise BadInput(f"--at takes {', '.join(RULES)} or an epoch from 0 to {last} of {run}, not {at!r}")
    return "epoch", int(at)


def spread(todo: Sequence[Assignment], place: Place, workers: int, scheduler: str) -> Iterator[Outcome]:
    """The outcomes as they come, wherever the networks are trained; a signal saves and stops all."""
    if scheduler:
        yield from on_cluster([Errand(one.folder, partial(away, one), NETWORK) for one in todo], place, scheduler)
        return
    given = [(one, place) for one in todo]
    if min(workers, len(todo)) <= 1:
        stopped: list[bool] = []
        with signals(lambda: stopped.append(True)):
            for one in given:
                yield attempted(*one, lambda: bool(stopped))
        return
    with Crew(in_a_worker, min(workers, len(todo))) as crew, signals(crew.stop):
        for answer in crew.carry_out(given, name=lambda task: task[0].name):
            outcome = outcome_of(answer, todo[answer.task].name)
            if outcome.state == "interrupted":
                crew.stop()
            yield outcome


def away(assignment: Assignment, folder: Path, place: Place, stopped: Callable[[], bool]) -> Outcome:
    """One network, in a folder on another machine."""
    return attempted(assignment._replace(folder=folder), place, stopped)


def in_a_worker(task: tuple[Assignment, Place]) -> Outcome:
    """One network, in a worker's process."""
    return attempted(*task, asked_to_stop)


def attempted(assignment: Assignment, place: Place, stopped: Callable[[], bool]) -> Outcome:
    """One network, whose failure is a value."""
    if stopped():
        return Outcome(assignment.name, "interrupted")
    try:
        train_network(assignment, place, Watch(interrupted=stopped))
    except Held as error:
        return Outcome(assignment.name, "held", str(error))
    except Interrupted as error:
        return Outcome(assignment.name, "interrupted", str(error))
    except Exception as error:
        line = str(error).partition("\n")[0]
        return Outcome(assignment.name, "failed", f"{type(error).__name__}: {line}")
    return Outcome(assignment.name, "finished")


def outcome_of(answer: Finished[Outcome], name: str) -> Outcome:
    """What became of a network that was a worker's task."""
    try:
        return answer.result()
    except Stopped:
        return Outcome(name, "interrupted")
    except Lost as error:
        return Outcome(name, "failed", f"{error}; go on with fewer --workers")
    except Exception as error:
        return Outcome(name, "failed", f"{type(error).__name__}: {error}")
