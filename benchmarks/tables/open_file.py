"""Table files are opened here: packed ones column by column, tidy Parquet files whole."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from nas_stability.benchmarks import files, paths
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.tables.packed_file import (
    CHECK,
    FORMAT,
    METADATA,
    Contents,
    Source,
    check_asked,
    check_sum,
    write_packed,
)
from nas_stability.benchmarks.tables.table import Floats, Question, ReadColumn, Table, TimedTraining, Unanswered, plain
from nas_stability.benchmarks.tables.tidy_file import COLUMNS, check_columns, first_line, from_tidy

__all__ = [
    "Contents",
    "Floats",
    "Question",
    "Source",
    "Table",
    "TimedTraining",
    "Unanswered",
    "open_table",
    "write_packed",
]

Column = TypeVar("Column", Question, TimedTraining, str)


def open_table(path: Path, read: Callable[[str], str] | None = None) -> Table:
    """A table file: packed, or tidy with the columns arch, dataset, split, epochs, seed, accuracy (percent).

    Raises:
        BadInput: no such file, or its columns are not those of a table.
        CorruptFile: not a Parquet file, or an altered one.
    """
    paths.check_file(path, "table file")
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        if METADATA in metadata:
            return from_packed(path, file, metadata)
        check_columns(file.schema_arrow.names, str(path))
        found = file.read(columns=list(COLUMNS))
    except BadInput:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise CorruptFile(f"the table file {path} is not a readable Parquet file: {first_line(error)}") from error
    return from_tidy(found, name=check_name("table", path.stem), source=str(path), sha256=files.sha256(path), read=read)


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
    if not len(keys):
        raise BadInput(f"the table file {path} is empty: it has no architectures; make it again with --again")
    order = pyarrow.compute.less(keys.slice(0, max(0, rows - 1)), keys.slice(1))
    if len(keys) != rows or keys.null_count or pyarrow.compute.all(order, min_count=0).as_py() is not True:
        raise CorruptFile(f"the table file {path} is damaged: its architectures are not sorted and distinct")
    return Table(
        name=check_name("table", note["name"]),
        source=f"{note['source']} {note['source_version']}".strip(),
        sha256=note["sha256"],
        keys=keys,
        columns=columns_of(path, file, {"accuracy": False, "halfway": True}, question_of),
        times=columns_of(path, file, {"seconds": False, "halfway-seconds": True}, run_of),
        sizes=columns_of(path, file, {"parameters": False}, size_of),
    )


def question_of(parts: Sequence[str], halfway: bool) -> Question:
    """The parts of a column's name after its kind -> what it answers."""
    dataset, split, epochs, seed = split_into(parts, 4)
    return Question(dataset, split, number(epochs), number(seed), halfway)


def run_of(parts: Sequence[str], halfway: bool) -> TimedTraining:
    """The parts of a column's name after its kind -> what it is about."""
    dataset, epochs, seed = split_into(parts, 3)
    return TimedTraining(dataset, number(epochs), number(seed), halfway)


def size_of(parts: Sequence[str], halfway: bool) -> str:
    """The parts of a column's name after its kind -> the data set, "" where sizes do not depend on it."""
    return check_name("data set", split_into(parts, 1)[0]) if parts else ""


def split_into(parts: Sequence[str], count: int) -> Sequence[str]:
    """The parts of a column's name, if there are as many as there should be.

    Raises:
        ValueError: there are others.
    """
    if len(parts) != count:
        raise ValueError(f"its name has {len(parts)} parts after the first '|', not {count}: a name in it has a '|'")
    return parts


def number(text: str) -> int:
    """A whole number in a column's name.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch("[0-9]{1,10}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def columns_of(
    path: Path,
    file: pyarrow.parquet.ParquetFile,
    kinds: Mapping[str, bool],
    key_of: Callable[[Sequence[str], bool], Column],
) -> dict[Column, ReadColumn]:
    """The columns of some kinds (kind -> whether it is from halfway), by what they are about.

    Raises:
        BadInput: a name that cannot be; an earlier version imported tables without looking at names.
    """
    found: dict[Column, ReadColumn] = {}
    for name in file.schema_arrow.names:
        kind, *parts = name.split("|")
        if kind not in kinds:
            continue
        try:
            key = key_of(parts, kinds[kind])
            if not isinstance(key, str):
                check_asked(key, path.stem)
        except (ValueError, TypeError) as error:
            raise BadInput(f"the table file {path}, column {name!r}: {error}; import or pack it again") from error
        found[key] = functools.cache(functools.partial(read_column, path, name, file.schema_arrow.metadata))
    return found


def read_column(path: Path, name: str, metadata: Mapping[bytes, bytes]) -> Floats:
    """One column of a packed table as floats, NaN where it is empty.

    Args:
        path: of the file.
        name: of the column.
        metadata: that the file had when it was opened.

    Raises:
        CorruptFile: the file is damaged there, or another one by now.
    """
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        if file.schema_arrow.metadata != metadata:
            raise ValueError("it was replaced by another table after it had been opened")
        column = file.read(columns=[name], use_threads=False)[name].cast(pyarrow.float64())
        whole = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], pyarrow.float64())
        if len(whole) != file.metadata.num_rows:
            raise ValueError(f"it has {len(whole)} values for {file.metadata.num_rows} architectures")
        return plain(whole, numpy.nan)
    except (pyarrow.ArrowException, OSError, LookupError, ValueError) as error:
        raise CorruptFile(f"the table file {path} cannot be read at {name}: {first_line(error)}") from error
