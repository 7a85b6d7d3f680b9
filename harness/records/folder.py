"""What the folder of a run and that of a study hold: whose it is, which runs are there, whether they are whole.

The one owner of the format (its names are in record.py): everything that reads or writes records asks here. The
standard library only. In words:

    finished    has a run.json, which certifies the other files
    unfinished  has a spec.json or a checkpoint, but no run.json
    missing     study.json names it, and there is no such folder
    copied      holds a run that has a folder already, or under another name than its id
    foreign     holds a run that study.json does not name
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    IMPORTED,
    LANDSCAPE,
    PLANE,
    SMOOTHING,
    SPEC,
    SPECTRUM,
    SPECTRUM_COLUMNS,
    STUDY,
)
from nas_stability.harness.records.saying import SAID, counted, no_folder, no_records, some
from nas_stability.harness.records.sealed import opened, read_head
from nas_stability.harness.records.study_record import has_id, ids_of, read_study
from nas_stability.harness.specs.recorded import last_epoch, recorded_spec
from nas_stability.harness.specs.spec import RunSpec

CERTIFIED = (EPOCHS, SPECTRUM, ALPHAS)
"""Files of a finished run that analysis reads, besides run.json itself; run.json has the checksum of each."""


class Survey(NamedTuple):
    """What is in a folder.

    Attributes:
        folder: that was looked at.
        kind: a run's, a study's, or just a folder of runs.
        finished: run id -> its folder, in the order of the study.
        unfinished: likewise.
        missing: ids of runs that are not there.
        copied: names of folders.
        foreign: names of folders.
    """

    folder: Path
    kind: Literal["run", "study", "runs"]
    finished: dict[str, Path]
    unfinished: dict[str, Path]
    missing: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """What a reader of the study must know besides its finished and unfinished runs, one line each."""
        lines = {
            f"missing ({STUDY} names them)": self.missing,
            "copied, not counted": self.copied,
            "foreign, not counted": self.foreign,
        }
        return [f"{counted(list(names))} {state}: {some(list(names))}" for state, names in lines.items() if names]


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run's records: one file of such a name alone may be anybody's."""
    return sum((folder / name).is_file() for name in (SPEC, DONE, CHECKPOINT, EPOCHS, ALPHAS)) > 1


def is_study(folder: Path) -> bool:
    """Whether the folder holds a study's."""
    return (folder / STUDY).is_file()


def survey(folder: Path) -> Survey:
    """What is in a folder; nothing is verified but that it says one thing.

    Raises:
        BadInput: it is neither a run's nor a study's, or both at once.
        CorruptFile: study.json is damaged.
    """
    if not folder.is_dir():
        raise BadInput(no_folder(folder))
    if is_run(folder) and is_study(folder):
        raise BadInput(f"the folder {folder} holds a run's records among a study's; move {SPEC} and its like elsewhere")
    if is_run(folder):
        own = own_id(folder) or folder.name
        done = (folder / DONE).exists()
        return Survey(folder, "run", {own: folder} if done else {}, {} if done else {own: folder})
    places = sorted(place for place in folder.iterdir() if place.is_dir() and is_run(place))
    if is_study(folder):
        return of_study(folder, places)
    if not places:
        raise BadInput(no_records(folder))
    return of_runs(folder, places)


def of_study(folder: Path, places: list[Path]) -> Survey:
    """A study's folder: the runs that study.json names beside those that are there."""
    named = read_study(folder)
    there = {place.name: place for place in places}
    listed = {run: there[run] for run in named if run in there}
    strangers = [place for place in places if place.name not in named]
    copied = tuple(place.name for place in strangers if own_id(place) in named)
    return Survey(
        folder,
        "study",
        {run: place for run, place in listed.items() if (place / DONE).exists()},
        {run: place for run, place in listed.items() if not (place / DONE).exists()},
        tuple(run for run in named if run not in there),
        copied,
        tuple(place.name for place in strangers if place.name not in copied),
    )


def of_runs(folder: Path, places: list[Path]) -> Survey:
    """A folder of runs without a study: each id once, under its own name if that is among them."""
    first: dict[str, Path] = {}
    for place in sorted(places, key=lambda place: own_id(place) != place.name):
        first.setdefault(own_id(place) or place.name, place)
    kept = dict(sorted(first.items()))
    return Survey(
        folder,
        "runs",
        {run: place for run, place in kept.items() if (place / DONE).exists()},
        {run: place for run, place in kept.items() if not (place / DONE).exists()},
        copied=tuple(place.name for place in places if place not in kept.values()),
    )


def own_id(folder: Path) -> str | None:
    """The id that a run's records give themselves, None where they cannot be read."""
    try:
        if (folder / DONE).exists():
            return str(opened(folder / DONE, "a run's record")["run"])
        return ids_of(opened(folder / SPEC, "a run's spec"))[0]
    except (CorruptFile, OSError, LookupError):
        return None


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a finished run.

    Raises:
        CorruptFile: damaged or missing.
    """
    path = folder / DONE
    record = opened(path, "a run's record")
    if not (isinstance(record.get("spec"), dict) and isinstance(record.get("files"), dict)):
        raise CorruptFile(f"the file {path} is damaged: it has no spec or certifies no files")
    if not has_id(record["spec"], record.get("run")):
        raise CorruptFile(f"the file {path} was altered: its spec has another id than {record.get('run')}")
    return record


def imported_remarks(records: Sequence[dict[str, Any]]) -> list[str]:
    """Where runs are from that were not carried out here, one line for each source."""
    sources = Counter(
        (record[IMPORTED]["name"], record[IMPORTED]["licence"]) for record in records if IMPORTED in record
    )
    return [
        f"{counted([''] * number)} imported from {name} (licence: {licence}): carried out elsewhere, and "
        "fields that the logs do not tell are at their defaults"
        for (name, licence), number in sources.items()
    ]


def damages(folder: Path, run: str) -> Iterator[str]:
    """What is wrong with a run's files, one line each that names the file; nothing where all is well.

    Of a finished run everything but the checkpoint is held to run.json; of another one the rows to the checkpoint.

    Args:
        folder: of the run.
        run: the id that it must have.
    """
    try:
        if not (folder / DONE).exists():
            yield from unfinished_damages(folder)
            return
        record = read_record(folder)
        if record["run"] != run:
            yield f"{DONE} is of another run: {record['run']}"
            return
        altered = list(altered_files(folder, record))
        yield from altered
        if not altered:
            yield from misplaced_rows(folder, record)
        if (folder / LANDSCAPE).exists():
            yield from landscape_damages(folder, record)
    except CorruptFile as error:
        yield str(error)


def altered_files(folder: Path, record: dict[str, Any]) -> Iterator[str]:
    """Files that are not those which run.json certifies; the checkpoint is left to ``check``."""
    if not (folder / SPEC).is_file():
        yield f"{SPEC} is missing"
    elif opened(folder / SPEC, "a run's spec") != record["spec"]:
        yield f"{SPEC} was altered: it is not that of {DONE}"
    measured = (SMOOTHING,) if record["spec"].get("smoothing") else ()
    for name in (*CERTIFIED, *measured):
        if name == ALPHAS and IMPORTED in record and name not in record["files"]:
            if (folder / name).exists():
                yield f"{name} is there, and {DONE} does not certify it"
        elif name not in record["files"]:
            yield f"{DONE} does not certify {name}"
        elif not (folder / name).is_file():
            yield f"{name} is missing"
        elif files.sha256(folder / name) != record["files"][name]:
            yield f"{name} was altered: its checksum does not match {DONE}"


def misplaced_rows(folder: Path, record: dict[str, Any]) -> Iterator[str]:
    """Rows that are not those of the run: of another one, missing, twice, or out of order."""
    spec = recorded_spec(record["spec"])
    header, *lines = (folder / EPOCHS).read_text("utf-8").splitlines()
    columns = header.split(",")
    first = ["run", "space", "method", "data", "seed", "epoch"]
    if columns[: len(first)] != first or len(set(columns)) < len(columns):
        yield f"{EPOCHS} has other columns than a run's"
        return
    last = last_epoch(record)
    if len(lines) != last + 1:
        yield f"{EPOCHS} has {len(lines)} rows, not those of the epochs 0 to {last}"
        return
    start = [str(record["run"]), spec.space, spec.method, label(spec, record["spec"]), str(spec.seed)]
    for epoch, line in enumerate(lines):
        if line.split(",", len(first))[: len(first)] != [*start, str(epoch)]:
            yield f"{EPOCHS}, row {epoch}, is not that of epoch {epoch} of this run"
            return
    with (folder / SPECTRUM).open(encoding="utf-8") as file:
        if file.readline().rstrip("\n") != ",".join(SPECTRUM_COLUMNS):
            yield f"{SPECTRUM} has other columns than {', '.join(SPECTRUM_COLUMNS)}"


def landscape_damages(folder: Path, record: dict[str, Any]) -> Iterator[str]:
    """A landscape that is not of this run's checkpoint, or whose rows are not those that landscape.json certifies."""
    plane = opened(folder / PLANE, "a landscape's")
    if (plane.get("run"), plane.get("checkpoint")) != (record["run"], record["files"].get(CHECKPOINT)):
        yield f"{PLANE} is of another run or checkpoint"
    tied = plane.get("rows")
    if tied is not None and files.sha256(folder / LANDSCAPE) != tied["sha256"]:
        yield f"{LANDSCAPE} was altered: its checksum does not match {PLANE}"


def data_label(values: dict[str, Any]) -> str:
    """The column ``data`` of a run by its spec as written."""
    return label(recorded_spec(values), values)


def label(spec: RunSpec, values: dict[str, Any]) -> str:
    """``data_label`` of a spec that was read already; version 0.1 called every file npz."""
    return spec.data_name if "data_sha256" in values or not spec.data.startswith("npz:") else "npz"


def unfinished_damages(folder: Path) -> Iterator[str]:
    """Rows of an unfinished run that are not those which its checkpoint ties itself to; files may be ahead of it."""
    if not (folder / CHECKPOINT).is_file():
        return
    try:
        head = read_head(folder / CHECKPOINT)
    except CorruptFile:  # of an earlier version, say: resuming says more
        return
    for name, tied in head["rows"].items():
        if not (folder / name).is_file():
            yield f"{name} is missing"
        elif prefix_sum(folder / name, tied["bytes"]) != tied["sha256"]:
            yield f"{name} was altered: its rows are not those that {CHECKPOINT} goes on from"


def prefix_sum(path: Path, length: int) -> str | None:
    """SHA-256 of the first ``length`` bytes of a file, None where it is shorter."""
    with path.open("rb") as file:
        content = file.read(length)
    return hashlib.sha256(content).hexdigest() if len(content) == length else None


def verified(folder: Path) -> Survey:
    """``survey``, with every finished run verified.

    Raises:
        BadInput: it is neither a run's nor a study's folder.
        CorruptFile: a file is damaged; the message names the first few.
    """
    found = survey(folder)
    wrong = [f"{place}: {problem}" for run, place in found.finished.items() for problem in damages(place, run)]
    if wrong:
        raise CorruptFile(
            f"{'; '.join(wrong[:SAID])}{f'; and {len(wrong) - SAID} more' if len(wrong) > SAID else ''} "
            f"(nas-stability check {folder} tells all; --unverified takes the files as they are)"
        )
    return found


def finished_runs(folder: Path) -> dict[str, Path]:
    """The verified finished runs of a study by id, each with its folder.

    Raises:
        BadInput: it is no study's folder, or no run is finished.
        CorruptFile: a record of a run cannot be trusted.
    """
    found = verified(folder)
    if found.kind == "run":
        raise BadInput(f"{folder} is a run's folder; name that of its study")
    if not found.finished:
        raise BadInput(f"no run in {folder} is finished; nas-stability status {folder} says how far it is")
    return dict(found.finished)
