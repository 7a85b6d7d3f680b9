"""Studies written by hand with all that a figure may show, and copies of them that lack some of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pandas

from nas_stability.analysis.study import Study
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.harness.records.record import SMOOTHING, SMOOTHING_COLUMNS
from tests.small import load

S1, S2, S3 = "nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"
ANSWER = "cifar10_valid"
ARCH = "|{}~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
CELL = "011001/001100/000010/000010/000001/000000 input,maxpool3x3,conv3x3-bn-relu,conv1x1-bn-relu,{},output"
PUBLISHED = Path(__file__).parents[3] / "results" / "published" / "quick"

Enrich = Callable[[pandas.DataFrame], pandas.DataFrame]


def enriched(place: Path, seed: int, space: str) -> None:
    """Adds to a run all that a figure may show: neighbours, ranks, drawable architectures, logits, a landscape."""
    rows = pandas.read_csv(place / "epochs.csv")
    accuracy = rows[f"accuracy_{ANSWER}"]
    operation = ["nor_conv_3x3", "skip_connect", "none"][seed]
    node = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"][seed]
    rows = rows.assign(
        arch=ARCH.format(operation) if space == "nasbench201" else f"{seed:032d}",
        cell="" if space == "nasbench201" else CELL.format(node),
        neighbours=24,
        **{
            f"neighbours_mean_{ANSWER}": accuracy - 5 - seed,
            f"neighbours_worst_{ANSWER}": accuracy - 30,
            f"neighbours_missing_{ANSWER}": seed,
            f"rank_tau_{ANSWER}": [0.1, numpy.nan, 0.5 + 0.1 * seed],
            f"rank_count_{ANSWER}": [100, 100, 99],
        },
    )
    rows.to_csv(place / "epochs.csv", index=False)
    shapes = SPACES[space].shapes
    generator = numpy.random.default_rng(seed)
    logits = {f"group_{index}": generator.standard_normal((3, *shape)) for index, shape in enumerate(shapes)}
    numpy.savez(place / "alphas.npz", **logits)
    size, directions = sum(rows * columns for rows, columns in shapes), sum(rows for rows, _ in shapes)
    lines = ["epoch,index,eigenvalue"]
    for epoch in range(3):
        values = generator.normal(0, 1, size - directions)
        every = sorted([*values, *generator.normal(0, 1e-9, directions)])
        lines += [f"{epoch},{index},{value}" for index, value in enumerate(every)]
    (place / "spectrum.csv").write_text("\n".join(lines) + "\n")
    (place / SMOOTHING).write_text("\n".join([",".join(SMOOTHING_COLUMNS), *smoothing_lines(seed)]) + "\n")
    if seed > 0:  # so that the lowest seed that has one is 1
        points = numpy.linspace(-1.5, 1.5, 5)
        grid = [
            (x, y, 2.0, 60 - 10 * x * x - 5 * y * y - seed, "a", 90.0 + x if y < 1 else numpy.nan)
            for y in points
            for x in points
        ]
        columns = ["x", "y", "valid_loss", "valid_accuracy", "arch", f"accuracy_{ANSWER}"]
        pandas.DataFrame(grid, columns=columns).to_csv(place / "landscape.csv", index=False)


def smoothing_lines(seed: int) -> Iterator[str]:
    """Rows of smoothing.csv."""
    for epoch in range(3):
        for radius in (0.03, 0.3):
            for name, share in (("uniform", 0.1), ("projected", -0.01), ("attack", 1.0)):
                rise = share * radius * (1 + epoch + seed)
                expected = rise if name == "uniform" else ""
                yield f"{epoch},{name},{radius},{rise * 0.9},{rise},{rise / 3},{2 * rise / 3},{expected}"


def changed_study(folder: Path, out: Path, change: Enrich, spaces: tuple[str, ...] = ("nasbench201",)) -> Study:
    """A copy of the runs of some spaces with their epochs.csv changed."""
    for place in folder.iterdir():
        if place.name.startswith(spaces):
            copy = out / place.name
            copy.mkdir(exist_ok=True)
            for file in place.iterdir():
                (copy / file.name).write_bytes(file.read_bytes())
            change(pandas.read_csv(place / "epochs.csv")).to_csv(copy / "epochs.csv", index=False)
    return load(out)


def without(rows: pandas.DataFrame, *prefixes: str) -> pandas.DataFrame:
    """Rows with some columns emptied."""
    return rows.assign(**{name: numpy.nan for name in rows.columns if name.startswith(prefixes)})
