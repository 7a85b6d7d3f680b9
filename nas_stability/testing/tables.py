"""The contract of a table: it answers in percent or raises."""

from __future__ import annotations

import math
import re

import torch

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.benchmarks.tables.table import Table, Unanswered

CPU = torch.device("cpu")
CLASSES, CHANNELS, SIDE = 4, 3, 12
"""Of the images that a space is checked with."""

SAMPLE = 40
"""Architectures of a space, and of a table, that are looked at."""


def check_table(table: Table, space: Space | str | None = None) -> None:
    """Checks a table: it answers in percent or raises, and its mean is that of its seeds.

    Args:
        table: or what a plug-in's function in TABLES returns.
        space: whose architectures it is about; None: any.

    Raises:
        AssertionError: a contract is broken; the message says which.
    """
    assert re.fullmatch("[0-9a-f]{64}", table.sha256), "its checksum is no SHA-256"
    assert table.name, "it has no name"
    assert table.source, "it does not say where it is from"
    keys = [str(key) for key in table.keys[: 4 * SAMPLE].to_pylist()][::4] or []
    assert len(keys), "it has no architecture"
    if space is not None:
        form = (find_space(space) if isinstance(space, str) else space).facts.form
        assert all(re.fullmatch(form.pattern, key) for key in keys), f"its architectures are not {form.words}"
    for question in {one._replace(seed=0) for one in table.columns if not one.halfway}:
        where = (question.dataset, question.split, question.epochs)
        for key in keys:
            check_answer(table, key, *where)
        refuse_answer(table, "no architecture of any space", *where)
        refuse_answer(table, keys[0], "no data set", question.split, question.epochs)
        refuse_answer(table, keys[0], question.dataset, question.split, 10**6 - 1)


def check_answer(table: Table, key: str, dataset: str, split: str, epochs: int) -> None:
    """One architecture: an accuracy in percent, the mean of those of its seeds; or none at all."""
    try:
        mean = table.score(key, dataset, split, epochs)
    except Unanswered:
        return
    assert 0 <= mean <= 100, f"the accuracy of {key} is {mean}, not in percent"
    values = [table.score(key, dataset, split, epochs, seed) for seed in table.seeds(key, dataset, split, epochs)]
    assert math.isclose(mean, math.fsum(values) / len(values), rel_tol=1e-6), f"the mean of {key} is not of its seeds"
    assert float(table.scores([key], dataset, split, epochs)[0]) == mean, f"one and several answers differ for {key}"


def refuse_answer(table: Table, key: str, dataset: str, split: str, epochs: int) -> None:
    """A question that the table cannot answer raises KeyError."""
    try:
        found = table.score(key, dataset, split, epochs)
    except KeyError:
        return
    raise AssertionError(f"it answers {found} for {key!r}, {dataset} {split} at {epochs} epochs, which it lacks")
