"""Fitting a surrogate to a table of genotypes, and what five-fold cross-validation says of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
import scipy.stats

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables.drawn_cells import EDGES_KEPT, UNION, skips_of
from nas_stability.benchmarks.tables.open_file import open_table
from nas_stability.benchmarks.tables.surrogate import (
    FLOOR,
    SUFFIX,
    Expected,
    Hyperparameters,
    Process,
    Target,
    features_of,
    reaches,
    write_surrogate,
)
from nas_stability.benchmarks.tables.table import Floats, Table

FOLDS = 5

LOWEST_TAU = 0.6
"""Kendall's tau in cross-validation below which a surrogate is not offered in a space."""

FEWEST = 20
"""Cells below which nothing is said of a group, and to which nothing is fitted in a fold."""


class FoldAgreement(NamedTuple):
    """How what was expected of cells that a process had not seen agrees with what was measured.

    Attributes:
        group: all, a space, or a number of skips in the normal cell.
        target: data set, split and budget, as text.
        cells: how many.
        tau: Kendall's tau-b.
        spearman: Spearman's rank correlation.
        error: mean absolute difference, in points.
        coverage: share of measured values within the interval of 95 %, in percent.
    """

    group: str
    target: str
    cells: int
    tau: float
    spearman: float
    error: float
    coverage: float


def fit_table(path: Path) -> tuple[Path, list[FoldAgreement]]:
    """Fits a surrogate to a packed table, writes NAME.fit.json beside it, and says how good it is.

    It is offered in a space where tau is LOWEST_TAU or more for every target.

    Args:
        path: of the table.

    Returns:
        The file, and the agreement by target and group.

    Raises:
        BadInput: its architectures are no genotypes, or there are too few.
        CorruptFile: the table is damaged.
    """
    table = open_table(path)
    archs = [key.as_py() for key in table.keys]
    try:
        features = features_of(archs)
    except BadInput as error:
        raise BadInput(f"the table {path} has no surrogate: it is not of genotypes of DARTS cells ({error})") from error
    found: dict[Target, Hyperparameters] = {}
    agreements: list[FoldAgreement] = []
    for target in targets_of(table):
        accuracy = table.scores(archs, *target)
        there = ~numpy.isnan(accuracy)
        if there.sum() < FOLDS * FEWEST:
            raise BadInput(f"the table {path} has {there.sum()} cells with a value, too few to fit anything to")
        known = [arch for arch, yes in zip(archs, there, strict=True) if yes]
        measured, seen = accuracy[there], features[there]
        found[target] = fitted(seen, measured)
        agreements += agreement(target, known, measured, cross_validated(seen, measured))
    offered = [space for space in UNION if all(one.tau >= LOWEST_TAU for one in of_group(agreements, space))]
    out = path.with_name(f"{table.name}{SUFFIX}")
    write_surrogate(out, path, found, offered=offered, statistics=[one._asdict() for one in agreements])
    return out, agreements


def of_group(agreements: Sequence[FoldAgreement], group: str) -> list[FoldAgreement]:
    """The agreements of a group; one of no tau where there is none, so that it is never good enough."""
    found = [one for one in agreements if one.group == group]
    return found or [FoldAgreement(group, "", 0, -1.0, -1.0, numpy.inf, 0.0)]


def targets_of(table: Table) -> list[Target]:
    """What there is to fit to."""
    return sorted({Target(*question[:3]) for question in table.columns if not question.halfway})


def fitted(features: Floats, accuracy: Floats) -> Hyperparameters:
    """The hyperparameters of the largest marginal likelihood, by scikit-learn."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    logarithms = numpy.log(100 - accuracy + FLOOR)
    mean, scale = float(logarithms.mean()), float(logarithms.std())
    smooth = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(3.0, (0.3, 100))
    linear = ConstantKernel(0.01, (1e-6, 10)) * DotProduct(0.0, "fixed")
    process = GaussianProcessRegressor(
        smooth + linear + WhiteKernel(0.3, (1e-3, 2)), alpha=0, n_restarts_optimizer=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bound is an answer: a part of the kernel is not needed
        process.fit(features, (logarithms - mean) / scale)
    learned = process.kernel_
    return Hyperparameters(
        mean=mean,
        scale=scale,
        amplitude=float(learned.k1.k1.k1.constant_value),
        length=float(learned.k1.k1.k2.length_scale),
        linear=float(learned.k1.k2.k1.constant_value),
        noise=float(learned.k2.noise_level),
    )


def cross_validated(features: Floats, accuracy: Floats) -> Expected:
    """What is expected of each cell by a process that has seen the other four fifths, hyperparameters and all."""
    order = numpy.random.default_rng(0).permutation(len(accuracy))
    found = numpy.empty((3, len(accuracy)))
    for fold in range(FOLDS):
        left = order[fold::FOLDS]
        kept = numpy.setdiff1d(order, left)
        process = Process(features[kept], accuracy[kept], fitted(features[kept], accuracy[kept]))
        found[:, left] = process.expect(features[left])
    return Expected(*found)


def groups_of(archs: Sequence[Arch]) -> Iterator[tuple[str, numpy.typing.NDArray[numpy.bool_]]]:
    """All cells, those that each space has, and those of each number of skips in the normal cell."""
    yield "all", numpy.ones(len(archs), dtype=bool)
    for space in UNION:
        yield space, numpy.array([reaches(space, arch) for arch in archs])
    skips = numpy.array([skips_of(genotypes.read(arch, genotypes.ANY)[0]) for arch in archs])
    for count in range(EDGES_KEPT + 1):
        yield f"{count} skips", skips == count


def agreement(target: Target, archs: Sequence[Arch], measured: Floats, expected: Expected) -> list[FoldAgreement]:
    """How expectations agree with measurements, by group; groups of fewer than FEWEST cells are left out."""
    found = []
    for group, here in groups_of(archs):
        if here.sum() < FEWEST:
            continue
        true, told = measured[here], expected.accuracy[here]
        inside = (expected.low[here] <= true) & (true <= expected.high[here])
        found.append(
            FoldAgreement(
                group=group,
                target=f"{target.dataset} {target.split} {target.epochs}",
                cells=int(here.sum()),
                tau=round(float(scipy.stats.kendalltau(true, told).statistic), 4),
                spearman=round(float(scipy.stats.spearmanr(true, told).statistic), 4),
                error=round(float(numpy.abs(true - told).mean()), 3),
                coverage=round(100 * float(inside.mean()), 2),
            )
        )
    return found


def markdown(agreements: Sequence[FoldAgreement]) -> str:
    """The agreements as a table in Markdown."""
    lines = [
        "| target | group | cells | Kendall's tau | Spearman | error (points) | coverage (%) |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.target} | {one.group} | {one.cells} | {one.tau:.3f} | {one.spearman:.3f} | {one.error:.2f} "
        f"| {one.coverage:.1f} |"
        for one in agreements
    ]
    return "\n".join(lines) + "\n"
