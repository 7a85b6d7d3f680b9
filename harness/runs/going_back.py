"""A search that goes back to an earlier epoch: the state is made again, and the rows ahead of it are cut off.

Between the two the checkpoint is replaced by one that is tied to the shorter rows, so that a process that dies at any
moment leaves a run that goes on: before that it goes back once more, after it the rows are cut when it is resumed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from nas_stability.benchmarks import files
from nas_stability.benchmarks.images.dataset import Dataset
from nas_stability.harness.measuring.asked_table import Answers
from nas_stability.harness.methods.restarts import Returned
from nas_stability.harness.records.record import ALPHAS, EPOCHS
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.saving import Log, npz_bytes, row_files, save
from nas_stability.harness.search import Transition, advance
from nas_stability.harness.state import Search, start


def going_back(search: Search, folder: Path) -> Returned | None:
    """Where the rule of the search's method takes it back to, by the rows that are there; None where it goes on."""
    rule = search.parts.goes_back
    if rule is None or search.steps or not 0 < search.epoch < search.spec.last_epoch:
        return None
    return rule(read_rows(folder / EPOCHS), search.weight_decay)


def go_back(
    search: Search,
    data: Dataset,
    returned: Returned,
    answered: Answers,
    folder: Path,
    log: Log,
    transition: Callable[[Search], Transition | None],
    interrupted: Callable[[], bool],
) -> bool:
    """Puts the search back, by searching once more from the start to that epoch, which gives the same bits.

    Args:
        search: moved in place.
        data: its images.
        returned: of ``going_back``.
        answered: the table.
        folder: of the run.
        log: of the run, cut in place.
        transition: of a search, as its steps are carried out.
        interrupted: asked after every step; once it is true nothing has changed.

    Returns:
        False where it was interrupted.
    """
    began = time.perf_counter()
    device = search.alpha[0].device
    past = dataclasses.replace(start(search.spec, data.classes, data.in_channels, device), decays=search.decays)
    step = transition(past)
    while past.epoch < returned.epoch:
        if advance(past, data, interrupted, step) is None:
            return False
    for name in ("weight_optimizer", "arch_optimizer"):
        getattr(search, name).load_state_dict(getattr(past, name).state_dict())
    search.put(past.net.state_dict(), past.alpha, past.epoch)
    earlier = tuple(decay for decay in search.decays if decay[0] < returned.epoch)
    search.decays = (*earlier, (returned.epoch, returned.weight_decay))
    log.history = log.history[: search.epoch + 1]
    log.seconds += time.perf_counter() - began
    lengths = {name: length_until(folder / name, search.epoch) for name in row_files(search.spec)}
    save(search, answered, folder, log, lengths)
    for name, length in lengths.items():
        with (folder / name).open("r+b") as file:
            file.truncate(length)
    files.write(folder / ALPHAS, npz_bytes(log.history))
    return True


def length_until(path: Path, epoch: int) -> int:
    """Bytes of a file of rows up to the last one of an epoch; its header says which column that is."""
    header, *lines = path.read_bytes().splitlines(keepends=True)
    place = header.rstrip(b"\n").split(b",").index(b"epoch")
    return len(header) + sum(len(line) for line in lines if int(line.split(b",")[place]) <= epoch)
