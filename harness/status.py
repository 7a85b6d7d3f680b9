"""How far a study is, from its files alone: works from another machine. The standard library only."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.errors import BadInput
from harness.record import DONE, EPOCHS, ERROR, SPEC, STUDY

QUIET = 120.0
"""Seconds without a new row after which an unfinished run no longer counts as running, if its epochs are short."""


class RunStatus(NamedTuple):
    """One run as its files show it.

    Attributes:
        run: its id.
        state: done, running, failed, stopped (has rows, but nobody adds any) or waiting (has none).
        epoch: epochs done.
        epochs: epochs in all.
        seconds: of search per epoch so far; 0 where there is none.
        accuracy: table accuracy in percent of the last row, as text; empty where there is none.
        error: first line of its error file.
    """

    run: str
    state: str
    epoch: int
    epochs: int
    seconds: float
    accuracy: str
    error: str

    @property
    def remaining(self) -> float:
        """Estimated seconds of search that are left."""
        return 0.0 if self.state == "done" else (self.epochs - self.epoch) * self.seconds


def read_status(folder: Path) -> list[RunStatus]:
    """Every run of a study's folder, in the study's order; of a run's folder, that run.

    Raises:
        BadInput: the folder is neither.
    """
    if (folder / SPEC).exists():
        spec = json.loads((folder / SPEC).read_text())
        return [run_status(folder, int(spec["epochs"]))]
    try:
        runs = json.loads((folder / STUDY).read_text())["runs"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"the folder {folder} holds no study and no run: it has no readable {STUDY} or {SPEC}"
        ) from error
    return [run_status(folder / run, int(spec["epochs"])) for run, spec in runs.items()]


def run_status(folder: Path, epochs: int) -> RunStatus:
    """One run."""
    columns, rows = read_table(folder / EPOCHS)
    last = dict(zip(columns, rows[-1], strict=False)) if rows else {}
    epoch = int(last.get("epoch", 0))
    place = columns.index("seconds") if rows else 0
    spent = [float(row[place]) for row in rows[1:]]
    seconds = sum(spent) / len(spent) if spent else 0.0
    accuracies = [value for name, value in last.items() if name.startswith("accuracy_") and value]
    error = first_line(folder / ERROR)
    if (folder / DONE).exists():
        state = "done"
    elif error:
        state = "failed"
    elif rows and time.time() - (folder / EPOCHS).stat().st_mtime < max(QUIET, 5 * seconds):
        state = "running"
    else:
        state = "stopped" if rows else "waiting"
    return RunStatus(folder.name, state, epoch, epochs, seconds, accuracies[0] if accuracies else "", error)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a CSV file by the names of its columns; a torn last line is left out."""
    return list(csv.DictReader(whole_lines(path)))


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """``read_rows`` without the names in every row, in half the time: the names of the columns, and the rows."""
    columns, *rows = [row for row in csv.reader(whole_lines(path)) if row] or [[]]
    return columns, rows


def whole_lines(path: Path) -> list[str]:
    """The lines of a file but a torn last one; none where it cannot be read."""
    try:
        text = path.read_text()
    except OSError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()


def first_line(path: Path) -> str:
    """The first line of a file, empty where there is none."""
    try:
        with path.open() as file:
            return file.readline().strip()
    except OSError:
        return ""


def summary_line(runs: list[RunStatus], workers: int) -> str:
    """Counts by state, epochs, and the time left if ``workers`` go on like this."""
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    done, total = sum(run.epoch for run in runs), sum(run.epochs for run in runs)
    known = [run.seconds for run in runs if run.seconds]
    usual = sum(known) / len(known) if known else 0.0
    left = sum(run.remaining or (0.0 if run.state == "done" else usual * run.epochs) for run in runs) / max(workers, 1)
    estimate = f", about {duration(left)} of search left with {workers} at a time" if left else ""
    return f"{counts}; {done} of {total} epochs{estimate}"


def duration(seconds: float) -> str:
    """Hours and minutes, or seconds below two minutes."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
