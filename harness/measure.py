"""What is measured between epochs. Nothing here moves the search by one bit.

The supernet is evaluated with its running statistics; the Hessian is taken on a copy; the table is asked for the
architecture that the logits discretise to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ask import reachable
from benchmarks.catalog import open_table
from benchmarks.data import Dataset, fixed_batch, plain_batches
from benchmarks.errors import BadInput
from benchmarks.space import Arch, Mixture, Space, entropy, one_hot, softmax
from benchmarks.table import Table, Unanswered
from harness.architect import Batch
from harness.curvature import eigenvalues, validation_hessian
from harness.record import EpochRecord, SpectrumRecord
from harness.rng import stream
from harness.search import Epoch, Search
from harness.spec import RunSpec

EVALUATION_BATCH = 512
"""Images per pass when the supernet is evaluated; the statistics are running ones, so that it changes no number."""

SPLITS = ("valid", "test")


class Evaluated(NamedTuple):
    """Cross-entropy in nats and accuracy in percent of the supernet at one mixture."""

    loss: float
    accuracy: float


@dataclass
class Answers:
    """A table as a run asks it: at one budget, with the best reachable architecture, counting what it lacks.

    Attributes:
        table: None where there is none; every answer is then None.
        epochs: training budget asked for.
        columns: (data set, split) of each column of the record.
        best: accuracy in percent of the best reachable architecture per column, where the table has one.
        asked: architectures asked for so far.
        missing: how many of them the table lacked altogether.
    """

    table: Table | None
    epochs: int
    columns: tuple[tuple[str, str], ...]
    best: Mapping[tuple[str, str], float]
    asked: int = 0
    missing: int = 0

    def accuracies(self, arch: Arch) -> dict[tuple[str, str], float | None]:
        """Percent per column, None where the table does not answer; the architecture is never replaced by another."""
        found = {column: ask(self.table, arch, *column, self.epochs) for column in self.columns}
        if self.table is not None:
            self.asked += 1
            self.missing += all(value is None for value in found.values())
        return found

    def regrets(self, accuracies: Mapping[tuple[str, str], float | None]) -> dict[tuple[str, str], float | None]:
        """Points to the best reachable architecture per column, None where either is not known."""
        return {
            column: None if value is None or column not in self.best else self.best[column] - value
            for column, value in accuracies.items()
        }


def ask(table: Table | None, arch: Arch, dataset: str, split: str, epochs: int) -> float | None:
    """Percent, None where there is no table or it does not answer."""
    if table is None:
        return None
    try:
        return table.score(arch, dataset, split, epochs)
    except Unanswered:
        return None


def queried_epoch(spec: RunSpec, epoch: int) -> int:
    """The epoch whose logits row ``epoch`` asks the table about: the same, or the one before (the field ``query``)."""
    return epoch - 1 if spec.query == "before" and epoch > 0 else epoch


def table_of(spec: RunSpec) -> Table | None:
    """The table that a run asks; None where there is none, or where the one shipped for the space lacks its budget.

    Raises:
        BadInput: an unknown, absent or unusable table, or a named one that lacks the run's ``table_epochs``.
    """
    table = open_table(spec.table, spec.space)
    budgets = sorted({question.epochs for question in table.columns}) if table else []
    if table is None or spec.table_epochs in budgets:
        return table
    if spec.table == "auto":
        return None
    raise BadInput(
        f"the table {spec.table} has no budget of {spec.table_epochs} epochs (it has: {', '.join(map(str, budgets))}); "
        "set the field 'table_epochs'"
    )


def answers(table: Table | None, space: Space, epochs: int) -> Answers:
    """A table prepared for a run: finds the best reachable architecture of the space per data set and split."""
    datasets = space.datasets if table is None else table.datasets
    columns = tuple((dataset, split) for dataset in datasets for split in SPLITS)
    best: dict[tuple[str, str], float] = {}
    if table is not None:
        archs = reachable_archs(space)
        for dataset, split in columns:
            with contextlib.suppress(Unanswered):
                best[dataset, split] = table.best(archs, dataset, split, epochs)[1]
    return Answers(table, epochs, columns, best)


def reachable_archs(space: Space) -> tuple[Arch, ...]:
    """Every reachable architecture: from this machine's store of tables, or enumerated where that cannot be written."""
    try:
        return tuple(reachable(space))
    except BadInput:
        return space.archs()


def evaluate(search: Search, data: Dataset, mixture: Mixture) -> Evaluated:
    """The supernet on the whole validation half at a mixture, not augmented, with running BatchNorm statistics."""
    net = search.net
    losses: list[Tensor] = []
    correct: list[Tensor] = []
    net.eval()
    with torch.no_grad():
        for images, labels in plain_batches(data.valid, EVALUATION_BATCH, search.alpha[0].dtype):
            logits = net(images, mixture)
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            correct.append((logits.argmax(1) == labels).sum())
    net.train()
    count = len(data.valid.labels)
    return Evaluated(float(torch.stack(losses).sum()) / count, 100 * float(torch.stack(correct).sum()) / count)


def spectrum(search: Search, data: Dataset, last_valid: Batch | None) -> list[float]:
    """All eigenvalues of the Hessian in ascending order, in nats; empty where it is not measured in this epoch.

    It is measured every ``measure_every`` epochs and at the end. The published convention takes the last validation
    batch of the epoch; before the first epoch there is none, and nothing is measured.
    """
    spec = search.spec
    due = search.epoch % spec.measure_every == 0 or search.epoch == spec.epochs
    if not (spec.hessian and due):
        return []
    dtype = getattr(torch, spec.hessian_dtype)
    if spec.hessian_batch == "probe":
        batch = Batch(*fixed_batch(data.valid, spec.hessian_batch_size, stream(spec.seed, "probe"), dtype))
    elif last_valid is None:
        return []
    else:
        batch = last_valid
    matrix = validation_hessian(
        search.net,
        search.alpha,
        batch,
        statistics=spec.hessian_batch_norm,
        dtype=dtype,
        weight_decay=spec.arch_weight_decay if spec.hessian_weight_decay else 0.0,
    )
    if not bool(matrix.isfinite().all()):
        raise FloatingPointError(f"the Hessian after epoch {search.epoch} is not finite")
    found: list[float] = eigenvalues(matrix).tolist()
    return found


def shares(space: Space, mixture: Mixture) -> dict[str, float | None]:
    """Share of the edges or choice blocks that decide for a skip, none or pool operation; None where there is none."""
    chosen = [space.operations[index] for index in mixture[0].argmax(-1).tolist()]
    return {
        f"share_{kind}": chosen.count(space.parameter_free[kind]) / len(chosen)
        if kind in space.parameter_free
        else None
        for kind in ("skip", "none", "pool")
    }


def measure(
    search: Search, data: Dataset, answered: Answers, outcome: Epoch | None, queried: Mixture, seconds: float
) -> tuple[EpochRecord, list[SpectrumRecord]]:
    """The records of the state as it stands.

    Args:
        search: the state.
        data: its images.
        answered: the table.
        outcome: of the last epoch; None before the first.
        queried: the mixture whose architecture the table is asked for (see the field ``query``).
        seconds: the search took in the last epoch.

    Raises:
        FloatingPointError: the Hessian is not finite.
    """
    spec, space = search.spec, search.space
    with torch.no_grad():
        mixture = softmax(search.alpha)
    arch = space.discretize(queried)
    accuracy = answered.accuracies(arch)
    soft, hard = evaluate(search, data, mixture), evaluate(search, data, one_hot(mixture))
    values = spectrum(search, data, None if outcome is None else outcome.last_valid)
    record = EpochRecord(
        run=spec.run_id,
        space=spec.space,
        method=spec.method,
        data=spec.data_name,
        seed=spec.seed,
        epoch=search.epoch,
        arch=arch,
        cell=space.describe(queried),
        train_loss=None if outcome is None else outcome.train_loss,
        train_accuracy=None if outcome is None else outcome.train_accuracy,
        valid_loss=soft.loss,
        valid_accuracy=soft.accuracy,
        discrete_valid_loss=hard.loss,
        discrete_valid_accuracy=hard.accuracy,
        eigenvalue_max=values[-1] if values else None,
        spectral_norm=max(abs(values[0]), abs(values[-1])) if values else None,
        hessian_trace=sum(values) if values else None,
        entropy=entropy(mixture),
        **shares(space, queried),
        radius=None if outcome is None else outcome.radius,
        lr=None if outcome is None else outcome.lr,
        attack_fallback=None if outcome is None else outcome.attack_fallback,
        attack_gain=None if outcome is None else outcome.attack_gain,
        accuracy=accuracy,
        regret=answered.regrets(accuracy),
        seconds=seconds,
    )
    return record, [SpectrumRecord(search.epoch, index, value) for index, value in enumerate(values)]
