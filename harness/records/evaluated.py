"""What training found architectures adds to a study: evaluated.csv, and the records that it is made of.

    evaluated.json          which architectures were asked for: of which run after how many epochs, or drawn at random
    evaluated/NETWORK/      a trained network: network.json, written last, certifies itself; weights.pt on request
    evaluated.csv           both as rows; made of nothing else, so that it can be made again and compared

A network is a function of its space, architecture, seed and protocol: runs that found alike share it. The standard
library only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.harness.records.record import EPOCHS, SCHEMA, csv_text
from nas_stability.harness.records.sealed import opened, sealed

EVALUATED, REQUESTS, NETWORKS = "evaluated.csv", "evaluated.json", "evaluated"
NETWORK, TRAINING, WEIGHTS = "network.json", "training.pt", "weights.pt"
"""Files of a study's folder, and of a network's."""

RANDOM = "random"
"""The method of architectures that nobody searched for."""


class Wanted(NamedTuple):
    """An architecture that is trained.

    Attributes:
        run: id of the run that found it, or RANDOM and a number.
        space, method, seed: of the run; of a random one its number is the seed.
        at: epochs of the search after which it was found; None of a random one.
        rule: how ``at`` was chosen: final, best, stop or epoch; drawn, of a random one.
        arch: its text.
        network: name of the network.
        answers: column of epochs.csv, accuracy_DATASET_SPLIT -> what the run's table says of it, in percent.
    """

    run: str
    space: str
    method: str
    seed: int
    at: int | None
    rule: str
    arch: str
    network: str
    answers: Mapping[str, float | None]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What is asked for once."""
        return (self.run, self.rule, -1 if self.at is None else self.at, self.network)


COLUMNS = (
    "run",
    "space",
    "method",
    "seed",
    "arch",
    "at",
    "rule",
    "protocol",
    "data",
    "budget",
    "network",
    "network_seed",
    "train_loss",
    "valid_loss",
    "valid_accuracy",
    "test_loss",
    "test_accuracy",
    "parameters",
    "macs",
    "seconds",
)
"""Columns of evaluated.csv before those of the table's answers."""

TEXTS = ("run", "space", "method", "arch", "rule", "protocol", "data", "network")
"""Those that hold no number."""


def read_requests(folder: Path) -> list[Wanted]:
    """What was asked for in a study's folder, in order; nothing where nobody asked.

    Raises:
        CorruptFile: evaluated.json is damaged.
    """
    path = folder / REQUESTS
    if not path.exists():
        return []
    found = opened(path, "a list of trained architectures")
    try:
        return [Wanted(**entry) for entry in found["wanted"]]
    except (KeyError, TypeError) as error:
        raise CorruptFile(f"the file {path} is damaged: {error}") from error


def write_requests(folder: Path, wanted: Sequence[Wanted]) -> None:
    """Writes evaluated.json: what was asked for before and what is, each once."""
    every = {one.key: one for one in (*read_requests(folder), *wanted)}
    entries = [one._asdict() for _, one in sorted(every.items())]
    files.write(folder / REQUESTS, sealed({"schema": SCHEMA, "wanted": entries}))


def read_network(folder: Path, name: str) -> dict[str, Any] | None:
    """A trained network's record; None where it is not trained yet.

    Args:
        folder: of the study.
        name: of the network.

    Raises:
        CorruptFile: its record is damaged, or of another network.
    """
    path = folder / NETWORKS / name / NETWORK
    if not path.exists():
        return None
    found = opened(path, "a trained network's record")
    if found.get("network") != name:
        raise CorruptFile(f"the file {path} is of the network {found.get('network')}")
    return found


def rows_of(folder: Path) -> list[dict[str, object]]:
    """The rows of evaluated.csv, made of the records: of every architecture asked for whose network is trained.

    Raises:
        CorruptFile: a record is damaged, or is of another architecture.
    """
    wanted = read_requests(folder)
    answers = sorted({column for one in wanted for column in one.answers})
    rows = []
    for one in wanted:
        network = read_network(folder, one.network)
        if network is None:
            continue
        if (network["space"], network["arch"]) != (one.space, one.arch):
            raise CorruptFile(f"{NETWORKS}/{one.network} is of another architecture than {REQUESTS} says")
        said = {
            **one._asdict(),
            **network,
            "seed": one.seed,
            "network_seed": network["seed"],
            "protocol": network["label"],
            "data": network["data"]["name"],
            "budget": network["protocol"]["epochs"],
        }
        rows.append({**{name: said[name] for name in COLUMNS}, **{name: one.answers.get(name) for name in answers}})
    return rows


def text_of(rows: Sequence[Mapping[str, object]]) -> str:
    """evaluated.csv of its rows."""
    return csv_text([{name: name for name in rows[0]}, *rows]) if rows else ""


def write_rows(folder: Path) -> int:
    """Writes evaluated.csv, where there are rows; how many."""
    rows = rows_of(folder)
    if rows:
        files.write(folder / EVALUATED, text_of(rows))
    return len(rows)


def evaluated_damages(folder: Path) -> Iterator[str]:
    """What is wrong with the records of trained networks in a study's folder, one line each; reads no tensor."""
    try:
        if not (folder / REQUESTS).exists():
            if (folder / EVALUATED).exists():
                yield f"{EVALUATED} is there without {REQUESTS}, which says what it is of"
            return
        text = text_of(rows_of(folder))
        if text and not (folder / EVALUATED).is_file():
            yield f"{EVALUATED} is missing; nas-stability evaluate writes it again"
        elif text and (folder / EVALUATED).read_text("utf-8") != text:
            yield f"{EVALUATED} was altered: its rows are not those of {NETWORKS}/*/{NETWORK}"
        for one in read_requests(folder):
            if one.at is not None and (problem := misquoted(folder, one)):
                yield problem
        for name in dict.fromkeys(one.network for one in read_requests(folder)):
            yield from altered_weights(folder, name)
    except CorruptFile as error:
        yield str(error)


def misquoted(folder: Path, wanted: Wanted) -> str | None:
    """What a request says of its run that the run's rows do not."""
    path = folder / wanted.run / EPOCHS
    if not path.is_file():
        return f"{REQUESTS} names the run {wanted.run}, of which there is no {EPOCHS}"
    with path.open(encoding="utf-8", newline="") as file:
        row = next((row for row in csv.DictReader(file) if row["epoch"] == str(wanted.at)), None)
    if row is None:
        return f"{REQUESTS}: {wanted.run} has no epoch {wanted.at}"
    if row["arch"] != wanted.arch:
        return f"{REQUESTS}: {wanted.run} has another architecture after {wanted.at} epochs than was trained"
    quoted = {name: "" if value is None else repr(value) for name, value in wanted.answers.items()}
    if any(row.get(name) != value for name, value in quoted.items()):
        return f"{REQUESTS}: the table's answers for {wanted.run} are not those of its row {wanted.at}"
    return None


def altered_weights(folder: Path, name: str) -> Iterator[str]:
    """Weights that are not those which the network's record certifies."""
    network = read_network(folder, name)
    path = folder / NETWORKS / name / WEIGHTS
    if network and network["weights"] and path.is_file() and files.sha256(path) != network["weights"]:
        yield f"{NETWORKS}/{name}/{WEIGHTS} was altered: its checksum does not match {NETWORK}"
