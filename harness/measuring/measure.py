"""What is measured between epochs. Nothing here moves the search by one bit.

The supernet is evaluated with its running statistics; the Hessian is taken on a copy; the table is asked for the
architecture that the logits discretise to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.images.dataset import Dataset, fixed_batch, plain_batches
from nas_stability.benchmarks.spaces.facts import Kind
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Relax, Space, one_hot, shift_invariant
from nas_stability.benchmarks.tables.open_file import Floats
from nas_stability.harness.measuring.asked_table import Answers, DatasetSplit, neighbourhood
from nas_stability.harness.measuring.curvature import eigenvalues, gradient_norm, validation_hessian
from nas_stability.harness.methods.architects import Batch
from nas_stability.harness.methods.choices import correct_images
from nas_stability.harness.records.record import EpochRecord, SpectrumRecord
from nas_stability.harness.rng import stream
from nas_stability.harness.search import Epoch
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search

EVALUATION_BATCH = 512
"""Images per pass when the supernet is evaluated; the statistics are running ones, so that it changes no number."""


class Evaluated(NamedTuple):
    """Cross-entropy in nats and accuracy in percent of the supernet at one mixture."""

    loss: float
    accuracy: float


def queried_epoch(spec: RunSpec, epoch: int) -> int:
    """The epoch whose logits row ``epoch`` asks the table about: the same, or the one before (the field ``query``)."""
    return epoch - 1 if spec.query == "before" and epoch > 0 else epoch


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
    return search.epoch % search.spec.measure_every == 0 or search.epoch == search.spec.last_epoch


def probe(search: Search, data: Dataset, dtype: torch.dtype) -> Batch:
    """The fixed batch that measurements are taken on: the same in every epoch and for every method of a seed."""
    spec = search.spec
    return Batch(*fixed_batch(data.valid, spec.hessian_batch_size, stream(spec.seed, "probe"), dtype))


def evaluation(search: Search) -> Relax:
    """How the method makes the mixture of its logits that is measured."""

    def relax(alpha: Alpha) -> Mixture:
        return search.parts.evaluate(alpha, search.progress)

    return shift_invariant(relax) if search.parts.shift_invariant else relax


def spectrum(search: Search, data: Dataset, last_valid: Batch | None) -> list[float]:
    """All eigenvalues of the Hessian in ascending order, in nats; empty where it is not measured in this epoch.

    Nor is it of a method that decides without following its logits smoothly.

    It is measured every ``measure_every`` epochs and at the end. The published convention takes the last validation
    batch of the epoch; before the first epoch there is none, and nothing is measured.
    """
    spec = search.spec
    if not (spec.hessian and search.parts.smooth and due(search)):
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
        relax=evaluation(search),
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
    found = gradient_norm(
        search.net, search.alpha, batch, statistics=spec.hessian_batch_norm, dtype=dtype, relax=evaluation(search)
    )
    if not math.isfinite(found):
        raise FloatingPointError(f"the gradient of the validation loss after epoch {search.epoch} is not finite")
    return found


def sample_accuracies(search: Search, data: Dataset, mixtures: Sequence[Mixture]) -> Floats:
    """Percent of the probe batch that the supernet gets right at each mixture, with running statistics (n,)."""
    images, labels = probe(search, data, search.alpha[0].dtype)
    placed = [tuple(rows.to(images) for rows in mixture) for mixture in mixtures]
    counts: Floats = correct_images(search.net, [(images, labels)], placed).double().cpu().numpy()
    return 100 * counts / len(labels)


def ranks(
    search: Search, data: Dataset, answered: Answers
) -> tuple[dict[DatasetSplit, float | None], dict[DatasetSplit, int | None]]:
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


def entropy(mixture: Mixture) -> float:
    """Mean over all rows of the entropy as a share of its maximum: 1 is uniform, 0 is decided. No unit."""
    rows = [
        float(torch.special.entr(row.double()).sum() / math.log(len(row)))
        for group in mixture
        for row in group.detach().cpu()
    ]
    return sum(rows) / len(rows)


def shares(space: Space, mixture: Mixture) -> dict[str, float | None]:
    """Share of the edges or choice blocks that decide for a skip, none or pool operation; None where there is none.

    Those of all kinds of cells together: every row whose choices are operations counts alike.
    """
    facts = space.facts
    chosen = [
        facts.operations[names[index]].kind
        for group, rows in facts.groups.items()
        for names, index in zip(rows, mixture[group].argmax(-1).tolist(), strict=True)
    ]
    kinds: tuple[Kind, ...] = ("skip", "none", "pool")
    return {f"share_{kind}": chosen.count(kind) / len(chosen) if kind in facts.kinds() else None for kind in kinds}


def curvature_columns(values: Sequence[float]) -> dict[str, float | None]:
    """The columns of epochs.csv that follow from a spectrum, ascending; None of each where there is none."""
    return {
        "eigenvalue_max": values[-1] if values else None,
        "spectral_norm": max(abs(values[0]), abs(values[-1])) if values else None,
        "hessian_trace": sum(values) if values else None,
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
    mixture = search.evaluated()
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
        gradient_norm=slope(search, data) if search.parts.smooth and due(search) else None,
        **curvature_columns(values),
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
