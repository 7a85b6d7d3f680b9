"""The logs of RobustDARTS: second-order DARTS in S1 and S3, over drop path and weight decay.

Source: Understanding and robustifying differentiable architecture search (Zela et al., ICLR 2020), the search logs
beside its code (Apache-2.0). Two forms are read: the folders as they are published, SPACE/DATA/DROP_DECAY-JOB/ with
errors_N.json, derivatives_N.json and log_N.txt for each run N; and two CSV files made of them, epochs.csv and
spectrum.csv, plain or compressed by gzip.

What is called an accuracy in errors_N.json is an error, in percent: log_N.txt has its complement, and each file is held
to the other. Epoch e there is the state after e + 1 epochs here. The eigenvalues hold the weight decay of the logits,
as the field ``hessian_weight_decay`` has it. Drop path is of that search alone and stands among the settings of the
method; the cutout of 16 pixels that its code switches on with it is in no log, and not told apart.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.harness.importing.imported import LoggedEpoch, LoggedRun, LogSource, json_of, seeds
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec

SOURCE = LogSource("robustdarts", "Zela et al. 2020, automl/RobustDARTS, experiments/search_logs", "Apache-2.0")

EPOCHS_CSV, SPECTRUM_CSV = "epochs.csv", "spectrum.csv"
"""Files of the compact form, perhaps with .gz behind."""

NAMED = re.compile(r"(?P<drop_path>[0-9.]+)_(?P<weight_decay>[0-9.]+)-(?P<job>[0-9]+)")
"""A folder of the published form."""

CLOSE = 1e-6
"""Points by which the two files of a run may differ in an accuracy: they are written with six decimals."""


class LoggedSetting(NamedTuple):
    """What was varied."""

    space: str
    dataset: str
    drop_path: float
    weight_decay: float


class LoggedSearch(NamedTuple):
    """A run's log.

    Attributes:
        setting: of the run.
        job, number: by which it is known there.
        epochs: the state after 1, 2, ... epochs.
        origin: where it was found.
    """

    setting: LoggedSetting
    job: int
    number: int
    epochs: tuple[LoggedEpoch, ...]
    origin: str


def read(folder: Path) -> list[LoggedRun]:
    """The searches of a folder of either form, by setting, seeds ascending.

    Raises:
        BadInput: it holds neither form.
        CorruptFile: a file is damaged, or two files of a run do not agree.
    """
    if not folder.is_dir():
        raise BadInput(f"the folder {folder} does not exist")
    compact = csv_file(folder, EPOCHS_CSV)
    logs = list(of_csv(folder, compact) if compact else of_folders(folder))
    if not logs:
        raise BadInput(
            f"the folder {folder} holds no logs of RobustDARTS: neither {EPOCHS_CSV}[.gz] nor "
            "SPACE/DATA/DROP_DECAY-JOB/errors_N.json"
        )
    by_setting: dict[LoggedSetting, list[LoggedSearch]] = {}
    for log in sorted(logs, key=lambda log: (log.setting, log.job, log.number)):
        by_setting.setdefault(log.setting, []).append(log)
    return [
        logged_run(log, seed)
        for of_setting in by_setting.values()
        for log, seed in zip(of_setting, seeds((), [log.number for log in of_setting]), strict=True)
    ]


def logged_run(log: LoggedSearch, seed: int) -> LoggedRun:
    """A log as a run; before its first epoch nothing is known."""
    told: dict[str, Value] = {
        "space": f"darts-{log.setting.space}",
        "method": "darts-2nd",
        "data": log.setting.dataset,
        "seed": seed,
        "epochs": len(log.epochs),
        "weight_decay": log.setting.weight_decay,
        "measure_every": 2,
        "hessian_batch": "last",
        "hessian_weight_decay": True,
    }
    spec = run_spec({**told, "table": "none", "query": "after", "rank_sample": 0})
    values = {**vars(spec), "settings": json.dumps({"drop_path": log.setting.drop_path})}
    return LoggedRun(RunSpec(**values), (*told, "drop_path"), (LoggedEpoch(), *log.epochs), log.origin)


def csv_file(folder: Path, name: str) -> Path | None:
    """A file of the compact form, compressed or not; None where there is none."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file.

    Raises:
        CorruptFile: it cannot be read.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise CorruptFile(f"the file {path} is damaged: {error}") from error


def of_csv(folder: Path, path: Path) -> Iterator[LoggedSearch]:
    """The logs of the compact form."""
    spectra: dict[tuple[LoggedSetting, int, int], dict[int, tuple[float, ...]]] = {}
    spectrum = csv_file(folder, SPECTRUM_CSV)
    for line, row in enumerate(rows_of(spectrum) if spectrum else (), start=2):
        with_line = f"{spectrum}:{line}"
        cells = [cell for name, cell in row.items() if name.startswith("eigenvalue_") and cell]
        values = tuple(number(cell, with_line) for cell in cells)
        spectra.setdefault(identity(row, with_line), {})[int(number(row["epoch"], with_line))] = values
    found: dict[tuple[LoggedSetting, int, int], list[LoggedEpoch]] = {}
    for line, row in enumerate(rows_of(path), start=2):
        place = f"{path}:{line}"
        known = identity(row, place)
        epochs = found.setdefault(known, [])
        if number(row["epoch"], place) != len(epochs) + 1:
            raise CorruptFile(f"{place}: epoch {row['epoch']} of its run where {len(epochs) + 1} should stand")
        eigenvalues = spectra.get(known, {}).get(len(epochs) + 1, ())
        told = {name: number(row[name], place) for name in ("train_error", "valid_error", "train_loss", "valid_loss")}
        epochs.append(logged_epoch(known[0].space, row["genotype"], eigenvalues, told, place))
    for (setting, job, run), epochs in found.items():
        yield LoggedSearch(setting, job, run, tuple(epochs), f"{path.name}, job {job}, run {run}")


def identity(row: Mapping[str, str], place: str) -> tuple[LoggedSetting, int, int]:
    """LoggedSetting, job and run of a row.

    Raises:
        CorruptFile: it lacks one.
    """
    try:
        setting = LoggedSetting(
            row["space"], row["dataset"], number(row["drop_path"], place), number(row["weight_decay"], place)
        )
        return setting, int(row["job"]), int(row["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"{place}: space, dataset, drop_path, weight_decay, job and run are not all there") from error


def of_folders(folder: Path) -> Iterator[LoggedSearch]:
    """The logs of the published form, wherever in the folder they are."""
    for path in sorted(folder.rglob("errors_*.json")):
        named = NAMED.fullmatch(path.parent.name)
        run = path.stem.removeprefix("errors_")
        if named is None or not run.isdecimal():
            continue
        dataset, space = path.parent.parent.name, path.parent.parent.parent.name
        setting = LoggedSetting(space, dataset, float(named["drop_path"]), float(named["weight_decay"]))
        yield LoggedSearch(
            setting, int(named["job"]), int(run), of_files(path, space, int(run)), str(path.relative_to(folder))
        )


def of_files(path: Path, space: str, run: int) -> tuple[LoggedEpoch, ...]:
    """The epochs of one run of the published form."""
    errors = json_of(path, path.read_bytes())
    log = path.with_name(f"log_{run}.txt")
    genotypes, accuracies = told_by(log)
    names = {"train_acc": "train_error", "valid_acc": "valid_error", "train_loss": "train_loss"}
    names |= {"valid_loss": "valid_loss"}
    columns = {name: errors.get(theirs) for theirs, name in names.items()}
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()} | {len(genotypes)}
    if len(lengths) > 1:
        raise CorruptFile(f"{path} and {log.name} do not have as many epochs as each other")
    spectra = spectra_of(path.with_name(f"derivatives_{run}.json"))
    found = []
    for epoch, genotype in enumerate(genotypes):
        told = {name: number(values[epoch], str(path)) for name, values in columns.items() if values}
        for name in ("train", "valid"):
            if abs(100 - told[f"{name}_error"] - accuracies[name][epoch]) > CLOSE:
                raise CorruptFile(f"{path}, epoch {epoch}: the {name} error is not what {log.name} tells")
        found.append(logged_epoch(space, genotype, spectra.get(epoch, ()), told, f"{log}, epoch {epoch}"))
    return tuple(found)


def told_by(path: Path) -> tuple[list[str], dict[str, list[float]]]:
    """Genotype and accuracies after each epoch, by a run's log_N.txt.

    Raises:
        CorruptFile: it is missing, or ends within an epoch.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFile(f"the file {path} cannot be read: {error}") from error
    genotypes = re.findall(r" genotype = (Genotype\(.*\))$", text, re.MULTILINE)
    found = {
        name: [float(one) for one in re.findall(rf" {name}_acc ([0-9.]+)$", text, re.MULTILINE)] for name in SPLITS
    }
    if any(len(values) != len(genotypes) for values in found.values()):
        raise CorruptFile(f"the file {path} does not tell an accuracy of both halves and a genotype for each epoch")
    return genotypes, found


SPLITS = ("train", "valid")


def spectra_of(path: Path) -> dict[int, tuple[float, ...]]:
    """Epoch, as it is counted there -> eigenvalues, by a run's derivatives_N.json; nothing where it is not there.

    Raises:
        CorruptFile: damaged, or a matrix that is no Hessian.
    """
    found = {}
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        told = json_of(path, line)
        try:
            matrix = numpy.asarray(told["H"], dtype=numpy.float64)
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not numpy.isfinite(matrix).all():
                raise ValueError("not a square matrix of numbers")
            if not numpy.array_equal(matrix, matrix.T):
                raise ValueError("not symmetric")
            found[int(told["epoch"])] = tuple(map(float, numpy.linalg.eigvalsh(matrix)))
        except (LookupError, TypeError, ValueError) as error:
            raise CorruptFile(f"the file {path} is damaged: a Hessian in it is none: {error}") from error
    return found


def logged_epoch(
    space: str, genotype: str, eigenvalues: Sequence[float], told: Mapping[str, float], place: str
) -> LoggedEpoch:
    """An epoch of a log.

    Raises:
        CorruptFile: an unknown space, a genotype that is not the space's, or a number of eigenvalues that is not.
    """
    try:
        known = find_space(f"darts-{space}")
        assert known.read is not None
        arch = known.read(genotype)
    except BadInput as error:
        raise CorruptFile(f"{place}: {error}") from error
    entries = sum(rows * choices for rows, choices in known.shapes)
    if len(eigenvalues) not in (0, entries):
        raise CorruptFile(f"{place}: {len(eigenvalues)} eigenvalues, and a Hessian of {space} has {entries}")
    return LoggedEpoch(
        arch=arch,
        eigenvalues=tuple(sorted(eigenvalues)),
        train_loss=told["train_loss"],
        train_accuracy=100 - told["train_error"],
        valid_loss=told["valid_loss"],
        valid_accuracy=100 - told["valid_error"],
    )


def number(cell: object, place: str) -> float:
    """A finite number of a log.

    Raises:
        CorruptFile: it is none.
    """
    try:
        found = float(str(cell))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise CorruptFile(f"{place}: {str(cell)[:40]!r} is no number")
    return found
