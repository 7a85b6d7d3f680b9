"""Whether what a study's folder says of trained networks is so: what can be recomputed is. Reads only.

A network is not trained again; that its numbers are those which were written its seal says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.harness.records.evaluated import (
    RANDOM,
    REQUESTS,
    Wanted,
    evaluated_damages,
    read_network,
    read_requests,
)
from nas_stability.harness.records.folder import read_record
from nas_stability.harness.records.record import EPOCHS
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.specs.recorded import recorded_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.training.evaluation import drawn, epoch_of
from nas_stability.harness.training.protocol import RULES, Protocol, network_id


def check_evaluated(folder: Path, finished: Mapping[str, Path]) -> Iterator[str]:
    """What is wrong with a study's trained networks, one line each.

    Args:
        folder: of the study.
        finished: run -> its folder.
    """
    damaged = list(evaluated_damages(folder))
    yield from damaged
    if damaged:
        return
    specs = {run: recorded_spec(read_record(place)["spec"]) for run, place in finished.items()}
    for one in read_requests(folder):
        try:
            yield from (f"{REQUESTS}: {problem}" for problem in problems_of(one, specs, finished))
        except BadInput as error:
            yield f"{REQUESTS}: {one.run}: {error}"
    for name in dict.fromkeys(one.network for one in read_requests(folder)):
        network = read_network(folder, name)
        if network is not None and name_by(network) != name:
            yield f"the network {name} has a record of another protocol, architecture or seed"


def name_by(network: Mapping[str, Any]) -> str:
    """The name that a network's record amounts to."""
    try:
        protocol = Protocol(**network["protocol"])
    except TypeError as error:
        raise CorruptFile(f"the network {network['network']} was trained by another version: {error}") from error
    return network_id(network["space"], network["arch"], network["seed"], protocol)


def problems_of(one: Wanted, specs: Mapping[str, RunSpec], finished: Mapping[str, Path]) -> Iterator[str]:
    """What a request says otherwise than its run, its rule, or the draw it is of."""
    if one.method == RANDOM:
        spec = next((spec for spec in specs.values() if spec.space == one.space), None)
        if spec is None:
            yield f"{one.run} is of {one.space}, which no finished run searched"
            return
        *_, (_, again) = drawn(spec, one.seed + 1)
        if again.arch != one.arch:
            yield f"{one.run} is not the random architecture of {one.space} of its number"
        elif again.answers != one.answers:
            yield f"the table's answers for {one.run} in {one.space} are others"
        return
    if one.run not in specs:
        yield f"{one.run} is not a finished run of the study"
        return
    rows = read_rows(finished[one.run] / EPOCHS)
    rule, at = epoch_of(one.run, rows, one.rule if one.rule in RULES else str(one.at))
    if (rule, at) != (one.rule, one.at):
        yield f"{one.run}: {one.rule} is after {at} epochs, not {one.at}"
