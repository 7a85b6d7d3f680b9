"""What a run leaves, as rows of CSV. The standard library only.

The data dictionary is results/README.md; a test holds it to these fields. A number that is not known is an empty cell,
never 0. Floats are written with the fewest digits that read back as the same number: equal runs are equal bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SCHEMA = 3
"""Version of the columns; it rises when one is added, renamed or redefined."""

NEW_IN = {2: "neighbours", 3: "gradient_norm"}
"""Schema -> a column of epochs.csv that came with it; a run that an earlier version began keeps its columns."""


EPOCHS, SPECTRUM, ALPHAS, CHECKPOINT = "epochs.csv", "spectrum.csv", "alphas.npz", "checkpoint.pt"
SPEC, DONE, ERROR, LOCK = "spec.json", "run.json", "error.txt", ".lock"
"""Files of a run's folder; DONE is written last and marks a finished run."""

SMOOTHING = "smoothing.csv"
"""File of a run that measured how the loss answers to perturbations (the field ``smoothing``)."""

LANDSCAPE, PLANE = "landscape.csv", "landscape.json"
"""Files that ``landscape`` adds to a finished run; LANDSCAPE is there only when it is whole."""

SPACE_FACTS = "space_facts"
"""Key of run.json: what the run's space is called and made of, where that is not built in."""

IMPORTED = "imported"
"""Key of run.json: where a run is from that was not carried out here, its licence, and which fields its log told."""

STUDY = "study.json"
"""File of a study's folder."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Row e of epochs.csv: the state after e epochs; row 0 is the untrained state, in every space.

    Attributes:
        accuracy: table accuracy in percent by (data set, split), None where the table does not answer.
        regret: points to the best reachable architecture, likewise.
        neighbours: distinct architectures one decision away from the queried mixture's.
        neighbours_mean: their mean table accuracy in percent by (data set, split), None where the table has none.
        neighbours_worst: their lowest, likewise.
        neighbours_missing: how many of them the table does not answer for; None where there is no table.
        rank_tau: Kendall's tau-b of supernet against table by (data set, split); None where not measured or undefined.
        rank_count: architectures that were compared; None where not measured.
        seconds: wall-clock time of the search in this epoch, without measuring.

    Of a run that was imported, whatever its log does not tell is None; the others know their own supernet and logits.
    """

    run: str
    space: str
    method: str
    data: str
    seed: int
    epoch: int
    arch: str
    cell: str
    train_loss: float | None
    train_accuracy: float | None
    valid_loss: float | None
    valid_accuracy: float | None
    discrete_valid_loss: float | None
    discrete_valid_accuracy: float | None
    gradient_norm: float | None = None
    eigenvalue_max: float | None
    spectral_norm: float | None
    hessian_trace: float | None
    entropy: float | None
    share_skip: float | None
    share_none: float | None
    share_pool: float | None
    radius: float | None
    lr: float | None
    attack_fallback: float | None
    attack_gain: float | None
    accuracy: Mapping[tuple[str, str], float | None]
    regret: Mapping[tuple[str, str], float | None]
    neighbours: int | None = None
    neighbours_mean: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    neighbours_worst: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    neighbours_missing: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    rank_tau: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    rank_count: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    seconds: float | None

    def row(self) -> dict[str, object]:
        """One value per column; what is by data set and split is spread to NAME_DATASET_SPLIT."""
        return spread(self)


@dataclass(frozen=True)
class SpectrumRecord:
    """One row of spectrum.csv: an eigenvalue of the Hessian after ``epoch`` epochs; index 0 is the smallest."""

    epoch: int
    index: int
    eigenvalue: float

    def row(self) -> dict[str, object]:
        """One value per column."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class SmoothingRecord:
    """One row of smoothing.csv: what perturbations of the mixture do to the loss, and what its expansion predicts.

    Attributes:
        epoch: after so many.
        perturbation: "uniform" draws, these "projected" back to the simplex, or the "attack".
        radius: in probability.
        measured: mean rise of the loss over the draws, nats.
        predicted: ``first_order`` and ``second_order`` together.
        first_order: mean of the gradient's part, nats.
        second_order: mean of half the Hessian's, nats.
        expected: radius squared / 6 times the trace: the expectation over all uniform draws; None of the others.
    """

    epoch: int
    perturbation: str
    radius: float
    measured: float
    predicted: float
    first_order: float
    second_order: float
    expected: float | None

    def row(self) -> dict[str, object]:
        """One value per column."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class LandscapeRecord:
    """One row of landscape.csv: the supernet at a point of the plane around the logits of the last epoch.

    Attributes:
        x, y: coordinates, in units of the logits.
        accuracy: table accuracy of ``arch`` in percent by (data set, split), None where the table does not answer.
    """

    x: float
    y: float
    valid_loss: float
    valid_accuracy: float
    arch: str
    accuracy: Mapping[tuple[str, str], float | None]

    def row(self) -> dict[str, object]:
        """One value per column; accuracy is spread to accuracy_DATASET_SPLIT."""
        return spread(self)


def spread(record: EpochRecord | LandscapeRecord) -> dict[str, object]:
    """One value per column; what is by data set and split is spread to NAME_DATASET_SPLIT."""
    cells: dict[str, object] = {}
    for column in dataclasses.fields(record):
        value = getattr(record, column.name)
        if isinstance(value, Mapping):
            cells |= {f"{column.name}_{dataset}_{split}": number for (dataset, split), number in value.items()}
        else:
            cells[column.name] = value
    return cells


ENDINGS = ("_surrogate_sd", "_surrogate")
"""How the split of a column DATASET_SPLIT ends where nobody measured its values."""


def dataset_and_split(answer: str) -> tuple[str, str]:
    """The two parts of a DATASET_SPLIT: a data set's name may hold underscores, a split's only those of its ending."""
    ending = next((ending for ending in ENDINGS if answer.endswith(ending)), "")
    dataset, _, split = answer.removesuffix(ending).rpartition("_")
    return dataset, split + ending


SMOOTHING_COLUMNS = tuple(column.name for column in dataclasses.fields(SmoothingRecord))
SPECTRUM_COLUMNS = tuple(column.name for column in dataclasses.fields(SpectrumRecord))


def csv_text(rows: Iterable[Mapping[str, object]]) -> str:
    """The values of the rows as lines of CSV, without a header."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for row in rows:
        writer.writerow([as_text(value) for value in row.values()])
    return lines.getvalue()


def as_text(value: object) -> object:
    """A cell: nothing for None, the shortest exact digits for a float."""
    return "" if value is None else repr(value) if isinstance(value, float) else value
