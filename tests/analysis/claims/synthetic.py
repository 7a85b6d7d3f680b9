"""Studies in memory whose truth is known: noise of five shapes, and effects of a known size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import pandas

from nas_stability.analysis import comparable
from nas_stability.analysis.claims import windows
from nas_stability.analysis.claims.statements import claims
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study

METHODS = ("darts", "sdarts-rs", "sdarts-adv")
CLAIMS = {claim.name: claim for claim in claims(METHODS)}
"""What is judged of the paper's methods."""

EPOCHS = 13
Values = dict[str, Floats]
"""Column of epochs.csv -> (methods, seeds, epochs)."""


def study(values: dict[str, Values], methods: tuple[str, ...] = METHODS, **columns: list[str]) -> Study:
    """A study in memory: by space the columns; ``columns`` go to its runs."""
    frames = []
    for space, of_space in values.items():
        method, seed, epoch = numpy.indices(next(iter(of_space.values())).shape).reshape(3, -1)
        run = [f"{space}-{methods[m]}-s{s}" for m, s in zip(method, seed, strict=True)]
        frame = {"run": run, "space": space, "method": numpy.array(methods)[method], "seed": seed, "epoch": epoch}
        frames.append(pandas.DataFrame({**frame, **{name: array.ravel() for name, array in of_space.items()}}))
    epochs = pandas.concat(frames, ignore_index=True)
    runs = epochs.drop_duplicates("run", ignore_index=True)[["run", "space", "method", "seed"]].assign(**columns)
    return Study(Path(), epochs, epochs.iloc[:0], runs, {}, ())


def of_space(found: Study, space: str) -> dict[tuple[str, str], Floats]:
    """The quantities of a space of which nothing varies."""
    runs = windows.per_run(found, space)
    values = runs[list(windows.QUANTITIES)].to_numpy(numpy.float64)
    return comparable.quantities(runs["method"].to_numpy(object), runs["seed"].to_numpy(), values)


def all_columns(noise: Callable[[], Floats]) -> Values:
    """A space in which no method and no epoch is special: every column is noise of its own."""
    norm = numpy.exp(0.3 * noise())
    return {
        "accuracy_cifar10_valid": 90 + noise(),
        "spectral_norm": norm,
        "eigenvalue_max": norm,
        "seconds": numpy.exp(0.1 * noise()),
    }


def normal(rng: numpy.random.Generator, seeds: int) -> Floats:
    """Independent epochs, and a level of each run."""
    return rng.normal(size=(3, seeds, EPOCHS)) + rng.normal(size=(3, seeds, 1))


def walk(rng: numpy.random.Generator, seeds: int) -> Floats:
    """Random walks: neighbouring epochs are alike, and the spread grows."""
    return rng.normal(size=(3, seeds, EPOCHS)).cumsum(2)


def collapses(rng: numpy.random.Generator, seeds: int) -> Floats:
    """Runs that fall by up to 40 points and come back after a while; three in ten epochs are spent below."""
    below = rng.random((3, seeds)) < 0.3
    chain = []
    for chance in rng.random((EPOCHS, 3, seeds)):
        below = numpy.where(below, chance > 0.2, chance < 0.2 * 3 / 7)
        chain.append(below)
    depth = 40 * rng.random((3, seeds, 1))
    return -depth * numpy.stack(chain, axis=-1) + 0.3 * rng.normal(size=(3, seeds, EPOCHS))


def heavy(rng: numpy.random.Generator, seeds: int) -> Floats:
    """Walks of steps without a variance (Student's t of two degrees of freedom)."""
    return rng.standard_t(2, size=(3, seeds, EPOCHS)).cumsum(2)


def steps(rng: numpy.random.Generator, seeds: int) -> Floats:
    """Few architectures: whole runs of epochs at one of two accuracies."""
    return 8.0 * rng.integers(2, size=(3, seeds, 4))[..., numpy.arange(EPOCHS) * 4 // EPOCHS] + 0.2 * rng.normal(
        size=(3, seeds, EPOCHS)
    )


SHAPES = (normal, walk, collapses, heavy, steps)


def without_effects(count: int) -> list[Study]:
    """Studies in which every claim is false: all shapes of noise, three to ten seeds, one or two spaces."""
    found = []
    for index in range(count):
        rng = numpy.random.default_rng(index)
        shape, seeds, spaces = SHAPES[index % 5], 3 + index // 5 % 8, ("a", "b")[: 1 + (index // 40 % 4 == 0)]
        values = {space: all_columns(lambda rng=rng, shape=shape, seeds=seeds: shape(rng, seeds)) for space in spaces}
        found.append(study(values))
    return found


def with_effects(rng: numpy.random.Generator, seeds: int, size: float) -> Values:
    """DARTS deteriorates late and its Hessian grows, in proportion; SDARTS-RS half as much, SDARTS-ADV not at all."""
    late = numpy.clip((numpy.arange(EPOCHS) / (EPOCHS - 1) - 0.5) * 2, 0, 1)
    strength = numpy.array([1.0, 0.4, 0.0])[:, None, None] * size * (1 + 0.2 * rng.normal(size=(3, seeds, 1)))
    norm = numpy.exp(1.5 * strength * late + 0.2 * rng.normal(size=(3, seeds, EPOCHS)))
    return {
        "accuracy_cifar10_valid": 90 - 10 * strength * late + rng.normal(size=(3, seeds, EPOCHS)),
        "spectral_norm": norm,
        "eigenvalue_max": norm,
        "seconds": numpy.array([1.0, 1.0, 4.0])[:, None, None] * numpy.exp(0.05 * rng.normal(size=(3, seeds, EPOCHS))),
    }


TRUE = [
    *("darts-deteriorates", "sdarts-rs-deteriorates-less", "sdarts-adv-deteriorates-less"),
    *("sdarts-rs-ends-better", "sdarts-adv-ends-better", "darts-hessian-grows", "sdarts-rs-hessian-smaller"),
    *("sdarts-adv-hessian-smaller", "sdarts-adv-more-stable", "sdarts-adv-costs-more"),
]
