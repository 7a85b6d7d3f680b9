"""The packed format of tables, and its writer.

It is Parquet with one row per architecture, sorted by key, and these columns:

    arch                                    the key
    accuracy|DATASET|SPLIT|EPOCHS|SEED      percent, at the end of training with a budget of EPOCHS
    halfway|DATASET|SPLIT|EPOCHS|SEED       percent, in the same run after half of its epochs
    seconds|DATASET|EPOCHS|SEED             training time, and halfway-seconds|... likewise
    parameters or parameters|DATASET        weights of the network

An empty cell is a value that the source lacks. The metadata has JSON about the source under ``nas-stability``. Columns
are read when first asked for; every page has a checksum, and so have the metadata and the names of the columns.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy
import pyarrow
import pyarrow.parquet

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.tables.table import Asked, Floats, Question, TimedTraining
from nas_stability.benchmarks.tables.tidy_file import BOUNDS

if TYPE_CHECKING:
    from nas_stability.benchmarks.spaces.space import Arch

METADATA = b"nas-stability"
"""Key of the packed format's JSON in the metadata of the Parquet file."""

CHECK = b"nas-stability-check"
"""Key of the SHA-256 over that JSON, the number of rows and the names of the columns."""

FORMAT = 1

MEANING = {
    "arch": "architecture, the key; sorted",
    "accuracy|DATASET|SPLIT|EPOCHS|SEED": "percent at the end of training with a budget of EPOCHS; empty: unknown",
    "halfway|DATASET|SPLIT|EPOCHS|SEED": "percent in the same run after half of its epochs",
    "seconds|DATASET|EPOCHS|SEED": "training time in seconds",
    "halfway-seconds|DATASET|EPOCHS|SEED": "training time in seconds up to halfway",
    "parameters|DATASET": "weights of the network; without a data set where they do not depend on it",
}


class Source(NamedTuple):
    """Where a packed table comes from; kept in its metadata.

    Attributes:
        name: of the table.
        source: the dump, package or command that it was made from.
        source_version: of the source.
        sha256: of the source, in hexadecimal.
        license: of the data.
    """

    name: str
    source: str
    source_version: str
    sha256: str
    license: str


class Contents(NamedTuple):
    """What is in a table, as ``write_packed`` takes it.

    Attributes:
        archs: keys, sorted and distinct.
        accuracies: percent per question, in the order of ``archs``; NaN where there is none.
        seconds: training time per run.
        parameters: weights of the network by data set, under "" where they do not depend on it.
    """

    archs: Sequence[Arch]
    accuracies: Mapping[Question, Sequence[float] | Floats]
    seconds: Mapping[TimedTraining, Floats] | Mapping[tuple[str, int, int], Sequence[float]]
    parameters: Mapping[str, Sequence[int] | Floats]


def write_packed(
    path: Path,
    source: Source,
    archs: Sequence[Arch],
    accuracies: Mapping[Question, Sequence[float] | Floats],
    seconds: Mapping[TimedTraining, Floats] | Mapping[tuple[str, int, int], Sequence[float]] | None = None,
    parameters: Sequence[int] | Floats | Mapping[str, Sequence[int] | Floats] | None = None,
) -> None:
    """Writes a packed table, aside and renamed: one row per architecture, one column per question.

    Args:
        path: of the Parquet file.
        source: for its metadata.
        archs: keys, sorted and distinct.
        accuracies: percent per question, in the order of ``archs``; NaN where there is none.
        seconds: training time by (data set, epochs, seed) or TimedTraining; NaN where there is none.
        parameters: weights of each network, by data set where they depend on it; NaN where unknown.

    Raises:
        BadInput: there is nothing to write; a name, a budget or a seed that cannot be; keys out of order or given
            twice; an accuracy outside [0, 100], or a time or size that cannot be.
    """
    with files.aside(path) as part:
        save(part, packed(source, Contents(archs, accuracies, seconds or {}, by_dataset(parameters))))


def by_dataset(
    parameters: Sequence[int] | Floats | Mapping[str, Sequence[int] | Floats] | None,
) -> Mapping[str, Sequence[int] | Floats]:
    """Sizes by data set, under "" where they do not depend on it."""
    if parameters is None:
        return {}
    return parameters if isinstance(parameters, Mapping) else {"": parameters}


def packed(source: Source, found: Contents) -> pyarrow.Table:
    """The columns of a packed table, with its metadata.

    Raises:
        BadInput: as ``write_packed``.
    """
    name, archs = check_name("table", source.name), found.archs
    if not len(archs) or not found.accuracies:
        raise BadInput(f"the table {name} is empty: there are {len(archs)} architectures and no accuracies of them")
    for before, after in itertools.pairwise(archs):
        if before >= after:
            raise BadInput(f"the table {name} has the architecture {after} twice or out of order")
    columns: dict[str, pyarrow.Array] = {"arch": pyarrow.array(archs, pyarrow.string())}
    for question, values in found.accuracies.items():
        checked = numpy.asarray(values, dtype=numpy.float64)
        refuse_outside(checked, 100, "accuracy", "[0, 100] percent", name, archs)
        columns[accuracy_column(check_asked(question, name))] = pyarrow.array(checked, from_pandas=True)
    for key, times in found.seconds.items():
        checked = numpy.asarray(times, dtype=numpy.float64)
        refuse_outside(checked, sys.float_info.max, "training time", "[0, inf) seconds", name, archs)
        columns[seconds_column(check_asked(TimedTraining(*key), name))] = pyarrow.array(checked, from_pandas=True)
    for dataset, counts in found.parameters.items():
        checked = numpy.asarray(counts, dtype=numpy.float64)
        refuse_outside(checked, 2**31 - 1, "parameter count", "[0, 2^31)", name, archs)
        label = "|".join(("parameters", check_name("data set", dataset))) if dataset else "parameters"
        columns[label] = pyarrow.array(checked, from_pandas=True).cast(pyarrow.int32())
    note = json.dumps({"format": FORMAT, **source._asdict(), "columns": MEANING}).encode()
    table = pyarrow.table(columns)
    return table.replace_schema_metadata({METADATA: note, CHECK: check_sum(note, len(archs), list(columns))})


def check_asked(asked: Asked, name: str) -> Asked:
    """What a column of a packed table is about, if it can be.

    Raises:
        BadInput: naming the table.
    """
    try:
        check_name("data set", asked.dataset)
        if isinstance(asked, Question):
            check_name("split", asked.split)
    except BadInput as error:
        raise BadInput(f"the table {name}: {error}") from error
    for field, (low, high) in BOUNDS.items():
        value = getattr(asked, field)
        if isinstance(value, bool) or not low <= value <= high:
            raise BadInput(f"the table {name}: {field} {value} is not a whole number in [{low}, {high}]")
    return asked


def save(path: Path, table: pyarrow.Table) -> None:
    """Writes a packed table's Parquet file.

    Accuracies have few distinct values, which a dictionary keeps small; times have many, whose bytes are split.
    """
    times = [name for name in table.column_names if name.partition("|")[0].endswith("seconds")]
    pyarrow.parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=9,
        row_group_size=len(table),
        use_dictionary=[name for name in table.column_names if name not in (*times, "arch")],
        column_encoding=dict.fromkeys(times, "BYTE_STREAM_SPLIT"),
        write_statistics=False,
        write_page_checksum=True,
    )


def accuracy_column(question: Question) -> str:
    """Name of an accuracy's column."""
    kind = "halfway" if question.halfway else "accuracy"
    return "|".join(map(str, (kind, *question[:4])))


def seconds_column(run: TimedTraining) -> str:
    """Name of a training time's column."""
    kind = "halfway-seconds" if run.halfway else "seconds"
    return "|".join(map(str, (kind, *run[:3])))


def check_sum(note: bytes, rows: int, names: Sequence[str]) -> bytes:
    """SHA-256, in hexadecimal, over what the pages' own checksums do not cover."""
    return (
        hashlib.sha256(b"\0".join((note, str(rows).encode(), *(name.encode() for name in names)))).hexdigest().encode()
    )


def refuse_outside(values: Floats, top: float, what: str, interval: str, name: str, archs: Sequence[Arch]) -> None:
    """Passes what is NaN or in [0, top].

    Raises:
        BadInput: naming the table and the architecture.
    """
    wrong = numpy.flatnonzero((values < 0) | (values > top))
    if len(wrong):
        raise BadInput(f"the table {name}, {archs[wrong[0]]}: {what} {values[wrong[0]]} is not in {interval}")
