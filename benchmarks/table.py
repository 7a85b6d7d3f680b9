"""Table files: a packed table is opened and written here, a tidy one opened.

The packed format is Parquet with one row per architecture, sorted by key, and these columns:

    arch                                    the key
    accuracy|DATASET|SPLIT|EPOCHS|SEED      percent, at the end of training with a budget of EPOCHS
    halfway|DATASET|SPLIT|EPOCHS|SEED       percent, in the same run after half of its epochs
    seconds|DATASET|EPOCHS|SEED             training time, and halfway-seconds|... likewise
    parameters or parameters|DATASET        weights of the network

An empty cell is a value that the source lacks. The metadata has JSON about the source under ``nas-stability``. Columns
are read when first asked for; every page has a checksum, and so have the metadata and the names of the columns.

A tidy file has one row per accuracy: arch, dataset, split, epochs, seed, accuracy (percent).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy
import numpy.typing
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from benchmarks import files
from benchmarks.answer import Column, Floats, Question, Run, Table, Unanswered, plain
from benchmarks.errors import BadInput, CorruptFile

if TYPE_CHECKING:
    from benchmarks.space import Arch

__all__ = [
    "Contents",
    "Floats",
    "Question",
    "Run",
    "Source",
    "Table",
    "Unanswered",
    "from_tidy",
    "open_table",
    "write_packed",
]

TIDY = ("arch", "dataset", "split", "epochs", "seed", "accuracy")
SPLITS = ("train", "valid", "test", "valid+test")
"""The last is NAS-Bench-201's: CIFAR-100 and ImageNet16-120 halve their test images into validation and test."""

METADATA = b"nas-stability"
"""Key of the packed format's JSON in the metadata of the Parquet file."""

CHECK = b"nas-stability-check"
"""Key of the SHA-256 over that JSON, the number of rows and the names of the columns."""

FORMAT = 1

Key = TypeVar("Key")

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
    accuracies: Mapping[Question, Floats]
    seconds: Mapping[Run, Floats]
    parameters: Mapping[str, Floats]


def write_packed(
    path: Path,
    source: Source,
    archs: Sequence[Arch],
    accuracies: Mapping[Question, Sequence[float] | Floats],
    seconds: Mapping[Run, Floats] | Mapping[tuple[str, int, int], Sequence[float]] | None = None,
    parameters: Sequence[int] | Floats | Mapping[str, Sequence[int] | Floats] | None = None,
) -> None:
    """Writes a packed table, aside and renamed: one row per architecture, one column per question.

    Args:
        path: of the Parquet file.
        source: for its metadata.
        archs: keys, sorted and distinct.
        accuracies: percent per question, in the order of ``archs``; NaN where there is none.
        seconds: training time by (data set, epochs, seed) or Run; NaN where there is none.
        parameters: weights of each network, by data set where they depend on it; NaN where unknown.

    Raises:
        BadInput: keys out of order or given twice, or an accuracy outside [0, 100].
    """
    for before, after in itertools.pairwise(archs):
        if before >= after:
            raise BadInput(f"the table {source.name} has the architecture {after} twice or out of order")
    columns: dict[str, pyarrow.Array] = {"arch": pyarrow.array(archs, pyarrow.string())}
    for question, values in accuracies.items():
        checked = numpy.asarray(values, dtype=numpy.float64)
        refuse_outside(checked, 100, "accuracy", "[0, 100] percent", source.name, archs)
        columns[accuracy_column(question)] = pyarrow.array(checked, from_pandas=True)
    for key, times in (seconds or {}).items():
        checked = numpy.asarray(times, dtype=numpy.float64)
        refuse_outside(checked, numpy.inf, "training time", "[0, inf) seconds", source.name, archs)
        columns[seconds_column(Run(*key))] = pyarrow.array(checked, from_pandas=True)
    if parameters is not None:
        for dataset, counts in (parameters if isinstance(parameters, Mapping) else {"": parameters}).items():
            whole = pyarrow.array(numpy.asarray(counts, dtype=numpy.float64), from_pandas=True).cast(pyarrow.int32())
            columns["|".join(("parameters", dataset)) if dataset else "parameters"] = whole
    note = json.dumps({"format": FORMAT, **source._asdict(), "columns": MEANING}).encode()
    table = pyarrow.table(columns)
    save(path, table.replace_schema_metadata({METADATA: note, CHECK: check_sum(note, len(archs), list(columns))}))


def save(path: Path, table: pyarrow.Table) -> None:
    """Writes a Parquet file, aside and renamed.

    Accuracies have few distinct values, which a dictionary keeps small; times have many, whose bytes are split.
    """
    times = [name for name in table.column_names if name.partition("|")[0].endswith("seconds")]
    aside = path.with_name(path.name + ".unfinished")
    try:
        pyarrow.parquet.write_table(
            table,
            aside,
            compression="zstd",
            compression_level=9,
            row_group_size=len(table) or None,
            use_dictionary=[name for name in table.column_names if name not in (*times, "arch")],
            column_encoding=dict.fromkeys(times, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
            write_page_checksum=True,
        )
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def accuracy_column(question: Question) -> str:
    """Name of an accuracy's column."""
    kind = "halfway" if question.halfway else "accuracy"
    return "|".join(map(str, (kind, *question[:4])))


def seconds_column(run: Run) -> str:
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


def open_table(path: Path) -> Table:
    """A table file: packed, or tidy with the columns arch, dataset, split, epochs, seed, accuracy (percent).

    Raises:
        BadInput: no such file, or its columns are not those of a table.
        CorruptFile: not a Parquet file, or an altered one.
    """
    if not path.is_file():
        raise BadInput(f"the table file {path} does not exist")
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        if METADATA in metadata:
            return from_packed(path, file, metadata)
        missing = [name for name in TIDY if name not in file.schema_arrow.names]
        if missing:
            raise BadInput(
                f"the table file {path} lacks the column {missing[0]!r}: a table has the columns {', '.join(TIDY)}"
            )
        found = file.read(columns=list(TIDY))
    except BadInput:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise CorruptFile(f"the table file {path} is not a readable Parquet file: {first_line(error)}") from error
    return from_tidy(found, name=path.stem, source=str(path), sha256=files.sha256(path))


def from_packed(path: Path, file: pyarrow.parquet.ParquetFile, metadata: Mapping[bytes, bytes]) -> Table:
    """A packed table: keys now, each column when it is first asked for.

    Raises:
        BadInput: packed by a newer version.
        CorruptFile: its metadata or keys are not what was written.
    """
    names = file.schema_arrow.names
    rows = file.metadata.num_rows
    if CHECK in metadata and metadata[CHECK] != check_sum(metadata[METADATA], rows, names):
        raise CorruptFile(f"the table file {path} is damaged: its metadata is not what was written")
    note = json.loads(metadata[METADATA])
    if note["format"] > FORMAT:
        raise BadInput(f"the table file {path} has format {note['format']}, newer than {FORMAT}; update nas-stability")
    keys = file.read(columns=["arch"], use_threads=False)["arch"].cast(pyarrow.string()).combine_chunks()
    if isinstance(keys, pyarrow.ChunkedArray):  # an empty column has no chunk to combine
        keys = pyarrow.array([], pyarrow.string())
    order = pyarrow.compute.less(keys.slice(0, max(0, rows - 1)), keys.slice(1))
    if len(keys) != rows or keys.null_count or pyarrow.compute.all(order, min_count=0).as_py() is not True:
        raise CorruptFile(f"the table file {path} is damaged: its architectures are not sorted and distinct")
    return Table(
        name=note["name"],
        source=f"{note['source']} {note['source_version']}".strip(),
        sha256=note["sha256"],
        keys=keys,
        columns=columns_of(path, names, {"accuracy": False, "halfway": True}, question_of),
        times=columns_of(path, names, {"seconds": False, "halfway-seconds": True}, run_of),
        sizes=columns_of(path, names, {"parameters": False}, lambda parts, halfway: parts[0] if parts else ""),
    )


def question_of(parts: Sequence[str], halfway: bool) -> Question:
    """The parts of a column's name after its kind -> what it answers."""
    dataset, split, epochs, seed = parts
    return Question(dataset, split, int(epochs), int(seed), halfway)


def run_of(parts: Sequence[str], halfway: bool) -> Run:
    """The parts of a column's name after its kind -> what it is about."""
    dataset, epochs, seed = parts
    return Run(dataset, int(epochs), int(seed), halfway)


def columns_of(
    path: Path, names: Sequence[str], kinds: Mapping[str, bool], key_of: Callable[[Sequence[str], bool], Key]
) -> dict[Key, Column]:
    """The columns of some kinds (kind -> whether it is from halfway), by what they are about."""
    found: dict[Key, Column] = {}
    for name in names:
        kind, *parts = name.split("|")
        if kind in kinds:
            found[key_of(parts, kinds[kind])] = functools.cache(functools.partial(read_column, path, name))
    return found


def read_column(path: Path, name: str) -> Floats:
    """One column of a packed table as floats, NaN where it is empty.

    Raises:
        CorruptFile: the file is damaged there.
    """
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        column = file.read(columns=[name], use_threads=False)[name].cast(pyarrow.float64())
        whole = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], pyarrow.float64())
        if len(whole) != file.metadata.num_rows:
            raise ValueError(f"it has {len(whole)} values for {file.metadata.num_rows} architectures")
        return plain(whole, numpy.nan)
    except (pyarrow.ArrowException, OSError, LookupError, ValueError) as error:
        raise CorruptFile(f"the table file {path} cannot be read at {name}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def from_tidy(found: Any, name: str, source: str, sha256: str) -> Table:
    """A table of one row per accuracy, checked.

    Args:
        found: a pyarrow table with the columns of TIDY.
        name: of the table.
        source: its file, for messages.
        sha256: of the source.

    Raises:
        BadInput: naming the row (from 0): a value is missing, outside [0, 100], of an unknown split, or given twice.
    """
    try:
        archs = found["arch"].cast(pyarrow.string()).combine_chunks()
        dataset, split = (numpy.asarray(found[column].to_pylist(), dtype=numpy.str_) for column in ("dataset", "split"))
        epochs, seed = (found[column].to_numpy().astype(numpy.int64) for column in ("epochs", "seed"))
        accuracy = found["accuracy"].to_numpy().astype(numpy.float64)
        if not pyarrow.types.is_string(found["arch"].type) and not pyarrow.types.is_large_string(found["arch"].type):
            raise TypeError(f"arch is {found['arch'].type}, not text")
    except (AttributeError, TypeError, ValueError, pyarrow.ArrowException) as error:
        raise BadInput(f"the table {source} has a column of the wrong type: {first_line(error)}") from error
    if archs.null_count:
        row = int(numpy.flatnonzero(numpy.asarray(archs.is_null()))[0])
        raise BadInput(f"the table {source}, row {row}: the arch is missing")
    wrong = numpy.flatnonzero(~((accuracy >= 0) & (accuracy <= 100)))
    if len(wrong):
        raise BadInput(
            f"the table {source}, row {wrong[0]}: the accuracy {accuracy[wrong[0]]} is not in [0, 100] percent"
        )
    strange = numpy.flatnonzero(~numpy.isin(split, SPLITS))
    if len(strange):
        raise BadInput(
            f"the table {source}, row {strange[0]}: the split {str(split[strange[0]])!r} is none of {', '.join(SPLITS)}"
        )
    keys = archs.unique()
    keys = keys.take(pyarrow.compute.sort_indices(keys))
    row_of = numpy.asarray(pyarrow.compute.index_in(archs, value_set=keys))
    columns: dict[Question, Column] = {}
    kinds, kind = numpy.unique(numpy.rec.fromarrays([dataset, split, epochs, seed]), return_inverse=True)
    for index, parts in enumerate(kinds):
        question = Question(str(parts[0]), str(parts[1]), int(parts[2]), int(parts[3]))
        members = numpy.flatnonzero(kind == index)
        refuse_twice(members, row_of[members], question, source, keys)
        values = numpy.full(len(keys), numpy.nan)
        values[row_of[members]] = accuracy[members]
        columns[question] = functools.partial(numpy.asarray, values)
    return Table(name, source, sha256, keys, columns)


def refuse_twice(
    members: numpy.typing.NDArray[Any],
    rows: numpy.typing.NDArray[Any],
    question: Question,
    source: str,
    keys: pyarrow.StringArray,
) -> None:
    """Refuses a question that two rows of a tidy file answer for one architecture.

    Args:
        members: rows of the file that answer it.
        rows: their architectures, as indices into ``keys``.
        question: the question.
        source: the file.
        keys: architectures.

    Raises:
        BadInput: naming the second row.
    """
    _, first = numpy.unique(rows, return_index=True)
    again = numpy.setdiff1d(numpy.arange(len(rows)), first)
    if len(again):
        raise BadInput(
            f"the table {source} has two rows for {keys[int(rows[again[0]])].as_py()}: {question.dataset} "
            f"{question.split}, {question.epochs} epochs, seed {question.seed} (the second is row {members[again[0]]})"
        )
