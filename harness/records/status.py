"""How far a study is, from its files alone: works from another machine. The standard library only."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import NamedTuple

from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records.folder import damages, survey
from nas_stability.harness.records.record import DONE, EPOCHS, ERROR, SPEC
from nas_stability.harness.records.sealed import opened
from nas_stability.harness.records.study_record import read_study
from nas_stability.harness.specs.recorded import recorded_spec

QUIET = 120.0
"""Seconds without a new row after which an unfinished run no longer counts as running, if its epochs are short."""


class RunStatus(NamedTuple):
    """One run as its files show it.

    Attributes:
        run: its id.
        state: done, running, failed, stopped (has rows, but nobody adds any), waiting (has none), or damaged.
        epoch: epochs done.
        epochs: epochs in all.
        seconds: of search per epoch so far; 0 where there is none.
        accuracy: table accuracy in percent of the last row, as text; empty where there is none.
        error: first line of its error file, or what is damaged.
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

    What is shown of a finished run is what its checksums certify: a damaged one has the state "damaged".

    Raises:
        BadInput: the folder is neither.
        CorruptFile: study.json is damaged.
    """
    found = survey(folder)
    there = {**found.finished, **found.unfinished}
    if found.kind == "study":
        planned = {run: recorded_spec(values).last_epoch for run, values in read_study(folder).items()}
        return [run_status(run, there.get(run, folder / run), epochs) for run, epochs in planned.items()]
    return [run_status(run, place, epochs_of(place)) for run, place in there.items()]


def epochs_of(folder: Path) -> int:
    """Epochs of a run by its spec, 0 where that cannot be read."""
    try:
        return recorded_spec(opened(folder / SPEC, "a run's spec")).last_epoch
    except BadInput:
        return 0


def run_status(run: str, folder: Path, epochs: int) -> RunStatus:
    """One run.

    Args:
        run: its id.
        folder: of the run; it need not be there.
        epochs: in all.
    """
    damage = next(damages(folder, run), "") if folder.is_dir() else ""
    try:
        columns, rows = read_table(folder / EPOCHS)
        last = dict(zip(columns, rows[-1], strict=True)) if rows else {}
        epoch = int(last.get("epoch", 0))
        cells = [row[columns.index("seconds")] for row in rows[1:]]
        spent = [float(cell) for cell in cells if cell]  # empty of a run that was imported
    except (ValueError, LookupError) as error:
        return RunStatus(run, "damaged", 0, epochs, 0.0, "", damage or f"{EPOCHS} is damaged: {printable(str(error))}")
    seconds = sum(spent) / len(spent) if spent else 0.0
    accuracies = [value for name, value in last.items() if name.startswith("accuracy_") and value]
    if damage:
        return RunStatus(run, "damaged", epoch, epochs, seconds, "", printable(damage))
    reason = "" if (folder / DONE).exists() else first_line(folder / ERROR)
    state = state_of(folder, bool(rows), bool(reason), seconds)
    return RunStatus(run, state, epoch, epochs, seconds, printable(accuracies[0]) if accuracies else "", reason)


def state_of(folder: Path, begun: bool, failed: bool, seconds: float) -> str:
    """The state of a run that is not damaged."""
    if (folder / DONE).exists():
        return "done"
    if failed:
        return "failed"
    if not begun:
        return "waiting"
    # A clock that is wrong may date a file into the future: such a file says nothing about now.
    age = time.time() - (folder / EPOCHS).stat().st_mtime
    return "running" if -QUIET < age < max(QUIET, 5 * seconds) else "stopped"


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
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text[: text.rfind("\n") + 1].split("\n")[:-1]


LONGEST = 200
"""Characters of a message that are shown in a line."""


def first_line(path: Path) -> str:
    """The first line of a file, made printable; empty where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return printable(file.readline(4 * LONGEST).strip())
    except OSError:
        return ""


def printable(text: str) -> str:
    """A text for a line on a terminal: no control characters, and not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."


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
