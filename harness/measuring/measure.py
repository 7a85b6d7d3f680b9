"""What is measured between epochs. Nothing here moves the search by one bit.

The supernet is evaluated with its running statistics; the Hessian is taken on a copy; the table is asked for the
architecture that the logits discretise to.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.catalog import SPACES, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Dataset, fixed_batch, plain_batches
from nas_stability.benchmarks.spaces.space import Arch, Cell, Mixture, Space, entropy, one_hot, softmax
from nas_stability.benchmarks.tables.open_file import Floats, Table, Unanswered
from nas_stability.benchmarks.tables.survey import cells_of, reachable
from nas_stability.harness.measuring.curvature import eigenvalues, gradient_norm, validation_hessian
from nas_stability.harness.methods.architects import Batch
from nas_stability.harness.records.record import EpochRecord, SpectrumRecord
from nas_stability.harness.rng import stream
from nas_stability.harness.search import Epoch, Search
from nas_stability.harness.specs.spec import RunSpec

EVALUATION_BATCH = 512
"""Images per pass when the supernet is evaluated; the statistics are running ones, so that it changes no number."""

SPLITS = ("valid", "test")

Column = tuple[str, str]
"""Data set and split of a column of the record."""


class Evaluated(NamedTuple):
    """Cross-entropy in nats and accuracy in percent of the supernet at one mixture."""

    loss: float
    accuracy: float


class Sample(NamedTuple):
    """The architectures over which the supernet's order is compared with the table's; no seed plays a part.

    Attributes:
        archs: in ascending order of the table's accuracy that they were stratified by.
        mixtures: a decided mixture of each, in float64 on the CPU.
        accuracies: by the table in percent (n,) per column, NaN where it does not answer.
    """

    archs: tuple[Arch, ...]
    mixtures: tuple[Mixture, ...]
    accuracies: Mapping[Column, Floats]


class Neighbourhood(NamedTuple):
    """What a table says about some architectures, per column.

    Attributes:
        mean: mean accuracy in percent over those that it answers for, None where there is none.
        worst: the lowest of them, likewise.
        missing: how many it does not answer for; None where there is no table.
    """

    mean: dict[Column, float | None]
    worst: dict[Column, float | None]
    missing: dict[Column, int | None]


@dataclass
class Answers:
    """A table as a run asks it: at one budget, with the best reachable architecture, counting what it lacks.

    Attributes:
        table: None where there is none; every answer is then None.
        epochs: training budget asked for.
        columns: (data set, split) of each column of the record.
        best: accuracy in percent of the best reachable architecture per column, where the table has one.
        sample: architectures to compare orders over, None where there is no table or none are asked for.
        asked: architectures asked for so far.
        missing: how many of them the table lacked altogether.
    """

    table: Table | None
    epochs: int
    columns: tuple[Column, ...]
    best: Mapping[Column, float]
    sample: Sample | None = None
    asked: int = 0
    missing: int = 0

    def accuracies(self, arch: Arch) -> dict[Column, float | None]:
        """Percent per column, None where the table does not answer; the architecture is never replaced by another."""
        found = ask_all(self.table, arch, self.columns, self.epochs)
        if self.table is not None:
            self.asked += 1
            self.missing += all(value is None for value in found.values())
        return found

    def regrets(self, accuracies: Mapping[Column, float | None]) -> dict[Column, float | None]:
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


def ask_all(table: Table | None, arch: Arch, columns: Sequence[Column], epochs: int) -> dict[Column, float | None]:
    """``ask`` for each column."""
    return {column: ask(table, arch, *column, epochs) for column in columns}


def scores(table: Table, archs: Sequence[Arch], column: Column, epochs: int) -> Floats:
    """Percent (n,), NaN where the table does not answer, be it for the architecture or for the column altogether."""
    try:
        return table.scores(archs, *column, epochs)
    except Unanswered:
        return numpy.full(len(archs), numpy.nan)


def neighbourhood(table: Table | None, archs: Sequence[Arch], columns: Sequence[Column], epochs: int) -> Neighbourhood:
    """Mean and worst accuracy of some architectures, and how many of them the table lacks, per column."""
    if table is None:
        return Neighbourhood(dict.fromkeys(columns), dict.fromkeys(columns), dict.fromkeys(columns))
    values = {column: scores(table, archs, column, epochs) for column in columns}
    present = {column: found[~numpy.isnan(found)] for column, found in values.items()}
    return Neighbourhood(
        mean={column: float(found.mean()) if len(found) else None for column, found in present.items()},
        worst={column: float(found.min()) if len(found) else None for column, found in present.items()},
        missing={column: len(archs) - len(found) for column, found in present.items()},
    )


def queried_epoch(spec: RunSpec, epoch: int) -> int:
    """The epoch whose logits row ``epoch`` asks the table about: the same, or the one before (the field ``query``)."""
    return epoch - 1 if spec.query == "before" and epoch > 0 else epoch


def table_of(spec: RunSpec, sha256: str | None = None) -> Table | None:
    """The table that a run asks; None where there is none, or where the one shipped for the space lacks its budget.

    Args:
        spec: of the run.
        sha256: of the table that the run began with; only that one will do.

    Raises:
        BadInput: an unknown, absent or unusable table, one that is not the run's, or a named one that lacks the run's
            ``table_epochs`` or every architecture of its space.
    """
    table = open_table(spec.table, spec.space, sha256=sha256)
    if table is None:
        return None
    if spec.table_epochs not in table.budgets:
        if spec.table == "auto":
            return None
        raise BadInput(
            f"the table {spec.table} has no budget of {spec.table_epochs} epochs (it has: "
            f"{', '.join(map(str, table.budgets))}); set the field 'table_epochs'"
        )
    if spec.table != "auto" and (table.rows(reachable_archs(SPACES[spec.space])) < 0).all():
        raise BadInput(f"the table {spec.table} has none of the architectures of {spec.space}")
    return table


def why_no_table(spec: RunSpec) -> str:
    """Why ``table_of`` a run is None, and what to do."""
    return catalog.why_no_table(spec.table, spec.space, spec.table_epochs)


def columns_of(table: Table | None, space: Space) -> tuple[Column, ...]:
    """The columns of a record: the table's data sets, or where there is none those of the space's public table."""
    datasets = space.datasets if table is None else table.datasets
    return tuple((dataset, split) for dataset in datasets for split in SPLITS)


def answers(table: Table | None, space: Space, epochs: int, rank_sample: int) -> Answers:
    """A table prepared for a run: the best reachable architecture of the space per column, and the sample for ranks."""
    columns = columns_of(table, space)
    if table is None:
        return Answers(table, epochs, columns, {})
    archs = reachable_archs(space)
    best: dict[Column, float] = {}
    for column in columns:
        with contextlib.suppress(Unanswered):
            best[column] = table.best(archs, *column, epochs)[1]
    return Answers(table, epochs, columns, best, draw_sample(table, space, archs, columns, epochs, rank_sample))


def draw_sample(
    table: Table, space: Space, archs: Sequence[Arch], columns: Sequence[Column], epochs: int, count: int
) -> Sample | None:
    """A stratified sample of the reachable architectures, the same for every run of a space, table, budget and size.

    Those that the table answers for in the first column for which it answers at all are put in order of accuracy (ties
    as in ``archs``) and cut into ``count`` strata of equal size; the middle one of each is taken.

    Returns:
        None where the table answers for none, or ``count`` is 0.
    """
    for column in columns:
        values = scores(table, archs, column, epochs)
        answered = int((~numpy.isnan(values)).sum())
        if answered and count:
            order = numpy.argsort(values, kind="stable")  # NaN comes last
            strata = min(count, answered)
            taken = [archs[order[(2 * stratum + 1) * answered // (2 * strata)]] for stratum in range(strata)]
            cells = reachable_cells(space, taken)
            return Sample(
                tuple(taken),
                tuple(space.configuration(cells[arch]) for arch in taken),
                {column: scores(table, taken, column, epochs) for column in columns},
            )
    return None


def reachable_archs(space: Space) -> tuple[Arch, ...]:
    """Every reachable architecture: from this machine's store of tables, or enumerated where that cannot be written."""
    try:
        return tuple(reachable(space))
    except BadInput:
        return space.archs()


def reachable_cells(space: Space, archs: Sequence[Arch]) -> Mapping[Arch, Cell]:
    """The cells of some reachable architectures, from the same places."""
    try:
        return cells_of(space, archs)
    except BadInput:
        return {arch: space.cells()[arch][0] for arch in archs}


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


def due(search: Search) -> bool:
    """Whether what costs passes of its own is measured now: every ``measure_every`` epochs and at the end.

    That is curvature, gradient, ranks, and the supernet at its one-hot mixture.
    """
    return search.epoch % search.spec.measure_every == 0 or search.epoch == search.spec.epochs


def probe(search: Search, data: Dataset, dtype: torch.dtype) -> Batch:
    """The fixed batch that measurements are taken on: the same in every epoch and for every method of a seed."""
    spec = search.spec
    return Batch(*fixed_batch(data.valid, spec.hessian_batch_size, stream(spec.seed, "probe"), dtype))


def spectrum(search: Search, data: Dataset, last_valid: Batch | None) -> list[float]:
    """All eigenvalues of the Hessian in ascending order, in nats; empty where it is not measured in this epoch.

    It is measured every ``measure_every`` epochs and at the end. The published convention takes the last validation
    batch of the epoch; before the first epoch there is none, and nothing is measured.
    """
    spec = search.spec
    if not (spec.hessian and due(search)):
        return []
    dtype = getattr(torch, spec.hessian_dtype)
    if spec.hessian_batch == "probe":
        batch = probe(search, data, dtype)
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


def slope(search: Search, data: Dataset) -> float:
    """Norm of the gradient of the validation loss with respect to all logits on the probe batch, in nats.

    How far the logits are from a stationary point, by the loss whose Hessian is measured: its type and its BatchNorm
    statistics are the fields ``hessian_dtype`` and ``hessian_batch_norm``.

    Raises:
        FloatingPointError: it is not finite.
    """
    spec = search.spec
    dtype = getattr(torch, spec.hessian_dtype)
    batch = probe(search, data, dtype)
    found = gradient_norm(search.net, search.alpha, batch, statistics=spec.hessian_batch_norm, dtype=dtype)
    if not math.isfinite(found):
        raise FloatingPointError(f"the gradient of the validation loss after epoch {search.epoch} is not finite")
    return found


def sample_accuracies(search: Search, data: Dataset, mixtures: Sequence[Mixture]) -> Floats:
    """Percent of the probe batch that the supernet gets right at each mixture, with running statistics (n,)."""
    net = search.net
    images, labels = probe(search, data, search.alpha[0].dtype)
    net.eval()
    with torch.no_grad():
        features = net.stem(images)
        correct = [
            (net.logits(features, tuple(rows.to(images) for rows in mixture)).argmax(1) == labels).sum()
            for mixture in mixtures
        ]
    net.train()
    counts: Floats = torch.stack(correct).double().cpu().numpy()
    return 100 * counts / len(labels)


def ranks(
    search: Search, data: Dataset, answered: Answers
) -> tuple[dict[Column, float | None], dict[Column, int | None]]:
    """Kendall's tau-b of the supernet's order against the table's, and architectures compared, per column.

    None where nothing is measured; tau is also None where it is not defined: all are equal for one of the two.
    """
    sample = answered.sample
    if sample is None or not due(search):
        return dict.fromkeys(answered.columns), dict.fromkeys(answered.columns)
    by_supernet = sample_accuracies(search, data, sample.mixtures)
    present = {column: ~numpy.isnan(values) for column, values in sample.accuracies.items()}
    return (
        {
            column: kendall_tau(by_supernet[present[column]], values[present[column]])
            for column, values in sample.accuracies.items()
        },
        {column: int(there.sum()) for column, there in present.items()},
    )


def kendall_tau(left: Floats, right: Floats) -> float | None:
    """Kendall's tau-b, which allows for ties, in [-1, 1]; None for fewer than two pairs or where all of one are equal.

    Source: Kendall, The treatment of ties in ranking problems, Biometrika 33 (1945).
    """
    if len(left) < 2 or numpy.ptp(left) == 0 or numpy.ptp(right) == 0:
        return None
    from scipy.stats import kendalltau  # takes as long to import as a small run takes to search

    return float(kendalltau(left, right).statistic)


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
    neighbours = space.neighbours(queried)
    around = neighbourhood(answered.table, neighbours, answered.columns, answered.epochs)
    tau, compared = ranks(search, data, answered)
    soft = evaluate(search, data, mixture)
    hard = evaluate(search, data, one_hot(mixture)) if due(search) else None
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
        discrete_valid_loss=None if hard is None else hard.loss,
        discrete_valid_accuracy=None if hard is None else hard.accuracy,
        gradient_norm=slope(search, data) if due(search) else None,
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
        neighbours=len(neighbours),
        neighbours_mean=around.mean,
        neighbours_worst=around.worst,
        neighbours_missing=around.missing,
        rank_tau=tau,
        rank_count=compared,
        seconds=seconds,
    )
    return record, [SpectrumRecord(search.epoch, index, value) for index, value in enumerate(values)]
