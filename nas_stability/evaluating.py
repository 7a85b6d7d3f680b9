"""The verb that trains what searches found: evaluate."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas_stability.field_flags import add_plugins, load_plugins, text_of
from nas_stability.flags import (
    FAILED,
    REQUEUE,
    Verbs,
    add_cluster,
    add_place,
    add_workers,
    finish,
    flag,
    folder,
    refuse_half_a_cluster,
    whole,
)
from nas_stability.harness.training import protocol
from nas_stability.progress import progress_bar

if TYPE_CHECKING:
    from nas_stability.harness.runs import machine


def add_verbs(verbs: Verbs) -> None:
    """evaluate."""
    one = verbs.add_parser(
        "evaluate",
        help="train from scratch what a study's searches found",
        allow_abbrev=False,
        description="Trains the architecture of every finished run, and random ones beside it, into evaluated.csv.",
    )
    one.add_argument("folder", metavar="DIR", type=folder, help="a study's folder")
    one.add_argument(
        "--at",
        default="final",
        metavar="RULE|EPOCH",
        help="whose architecture: final, best (by the supernet's validation accuracy), stop (where DARTS-ES stops), or "
        "after so many epochs (final)",
    )
    one.add_argument("--seeds", type=whole(1), default=1, metavar="K", help="networks per architecture (1)")
    one.add_argument(
        "--random", type=whole(0), metavar="N", help="random architectures of each space (as many as a method has runs)"
    )
    one.add_argument(
        "--protocol", default=protocol.SHORT, metavar="NAME", help=f"{' or '.join(protocol.PRESETS)} ({protocol.SHORT})"
    )
    one.add_argument("--weights", action="store_true", help="keep the weights of the networks")
    one.add_argument("--compile", action="store_true", help="compile the network; numbers may differ in the last bits")
    one.add_argument("--dry-run", action="store_true", help="print what would be trained and stop")
    add_workers(one, "networks at a time")
    add_cluster(one)
    add_place(one, threads=1)
    add_plugins(one)
    fields = one.add_argument_group("fields of the protocol", "in the place of the preset's")
    for name in protocol.FIELDS:
        fields.add_argument(flag(name), metavar=values_of(name), help=help_of(name), dest=f"field_{name}")
    finish(one, evaluate_verb)


def values_of(name: str) -> str:
    """What stands for a field's value in the help."""
    kind = protocol.TYPES[name]
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return {bool: "true|false", int: "N", float: "X"}.get(kind, "TEXT")


def help_of(name: str) -> str:
    """A field's line of help with its default and range."""
    field = protocol.FIELDS[name]
    notes = [] if field.default in (dataclasses.MISSING, "") else [text_of(field.default)]
    if field.metadata["range"] is not None:
        notes.append(f"in {field.metadata['range']}")
    return (str(field.metadata["help"]) + (f" ({'; '.join(notes)})" if notes else "")).replace("%", "%%")


def evaluate_verb(options: argparse.Namespace) -> int:
    """Trains what was found; the rows go to the study's evaluated.csv."""
    load_plugins(options)
    refuse_half_a_cluster(options)

    from nas_stability.harness.capture import Launch
    from nas_stability.harness.runs import machine
    from nas_stability.harness.training import evaluation

    given = {name: text for name in protocol.FIELDS if (text := getattr(options, f"field_{name}")) is not None}
    request = protocol.Request(options.at, options.seeds, options.random, options.protocol, given, options.weights)
    place = machine.Place(options.device, options.threads, str(options.data_dir), Launch(options.compile))
    if not options.scheduler:
        machine.find_device(place.device)
    if not options.dry_run:
        return carry_out(options.folder, request, place, options.workers, options.scheduler)
    plan = evaluation.planned(options.folder, request, place)
    for one in plan.wanted:
        after = "drawn at random" if one.at is None else f"after {one.at} epochs ({one.rule})"
        print(f"{one.run}  {after}  {one.arch}  {one.network}")
    print(f"{len(plan.wanted)} rows, {len(plan.assignments)} networks")
    return 0


def carry_out(
    folder: Path, request: protocol.Request, place: machine.Place, workers: int | None, scheduler: str = ""
) -> int:
    """Trains what a request asks for of a study; the exit code.

    Args:
        folder: of the study.
        request: what.
        place: where.
        workers: networks at a time; None: one per core.
        scheduler: of a dask cluster that trains them; empty: this machine does.
    """
    import joblib

    from nas_stability.harness.records import evaluated
    from nas_stability.harness.training import evaluation

    plan = evaluation.planned(folder, request, place)
    with progress_bar(len(plan.assignments), f"{folder.name}, trained {request.label}", "network") as progress:
        outcomes = evaluation.evaluate(folder, plan, place, workers or joblib.cpu_count(), progress, scheduler)
    for outcome in outcomes:
        if outcome.error:
            print(f"{outcome.state}: {outcome.run}: {outcome.error}", file=sys.stderr)
    states = [outcome.state for outcome in outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "all trained already"
    print(f"{counts}: {folder / evaluated.EVALUATED}")
    if "interrupted" in states:
        print("nas-stability: the same command goes on from there", file=sys.stderr)
        return REQUEUE
    return 0 if set(states) <= {"finished"} else FAILED
