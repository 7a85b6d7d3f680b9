"""Tidy files: one row per accuracy, with the columns arch, dataset, split, epochs, seed, accuracy (percent).

CSV, Parquet or npz. Nothing is converted that is not exactly what it should be: a cell that is empty, cut, of another
type or out of range is refused by its row (from 0, below the header) and column. Other columns are ignored.
"""

from __future__ import annotations

import functools
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import numpy.typing
import pyarrow
import pyarrow.compute

from nas_stability.benchmarks.errors import BadInput, CorruptFile, shown
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.spellings import canonical_data
from nas_stability.benchmarks.tables.table import Floats, Question, ReadColumn, Table

COLUMNS = ("arch", "dataset", "split", "epochs", "seed", "accuracy")
SPLITS = ("train", "valid", "test", "valid+test")
"""The last is NAS-Bench-201's: CIFAR-100 and ImageNet16-120 halve their test images into validation and test."""

BOUNDS = {"epochs": (1, 1_000_000), "seed": (0, 1_000_000_000)}
"""Whole numbers that a training budget and the number of a training run can be."""

WHOLE = "^[0-9]{1,18}(\\.0*)?$"
NUMBER = "^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
"""How numbers are written in a CSV: ASCII digits, no spaces, no signs between them."""

Integers = numpy.typing.NDArray[numpy.int64]


def read_csv(path: Path) -> pyarrow.Table:
    """The columns of a CSV file; numbers are read from text that is nothing but a number.

    Raises:
        BadInput: a column is not there or there twice, or a cell is no number; naming row and column.
        CorruptFile: it is not CSV.
    """
    import pyarrow.csv

    try:
        with pyarrow.csv.open_csv(path) as reader:
            names = reader.schema.names
        check_columns(names, str(path))
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pyarrow.string()), include_columns=list(COLUMNS)
        )
        found = pyarrow.csv.read_csv(path, convert_options=options)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise CorruptFile(f"the table file {path} cannot be read as CSV: {first_line(error)}") from error
    numbers = {"epochs": (WHOLE, "whole number"), "seed": (WHOLE, "whole number"), "accuracy": (NUMBER, "number")}
    for name, (pattern, what) in numbers.items():
        text = found[name]
        wrong = numpy.flatnonzero(~numpy.asarray(pyarrow.compute.match_substring_regex(text, pattern)))
        if len(wrong):
            cell = text[int(wrong[0])].as_py()
            said = f"{shown(cell)} is not a {what}" if cell else "is empty"
            raise BadInput(f"{place(str(path), int(wrong[0]), name)}: {said}")
        found = found.set_column(found.schema.get_field_index(name), name, text.cast(pyarrow.float64()))
    return found


def read_npz(path: Path) -> pyarrow.Table:
    """The columns of an npz file of one array each; nothing is unpickled.

    Raises:
        BadInput: an array is not there, not of one dimension, of another length, or of Python objects.
        CorruptFile: it is not npz.
    """
    if not zipfile.is_zipfile(path):
        raise CorruptFile(f"the table file {path} cannot be read as npz: it is no zip file of arrays")
    try:
        with numpy.load(path, allow_pickle=False) as arrays:
            check_columns(arrays.files, str(path))
            found = {name: loaded(path, name, arrays) for name in COLUMNS}
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise CorruptFile(f"the table file {path} cannot be read as npz: {first_line(error)}") from error
    lengths = {name: array.shape for name, array in found.items()}
    if len(set(lengths.values())) != 1 or any(len(shape) != 1 for shape in lengths.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in lengths.items())
        raise BadInput(f"the table {path} must have arrays of one dimension and one length; it has {told}")
    columns = {}
    for name, array in found.items():
        if array.dtype.kind not in "Uiuf":
            raise BadInput(f"the table {path}, column {name}: it holds {array.dtype}, not {expected(name)}")
        columns[name] = pyarrow.array(array.astype(array.dtype.newbyteorder("=")))
    return pyarrow.table(columns)


def loaded(path: Path, name: str, arrays: Mapping[str, Any]) -> numpy.typing.NDArray[Any]:
    """One array of an npz file.

    Raises:
        BadInput: it has Python objects.
    """
    try:
        found: numpy.typing.NDArray[Any] = arrays[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise BadInput(f"the table {path}, column {name}: it holds Python objects, not {expected(name)}") from error
    return found


def check_columns(names: Sequence[str], source: str) -> None:
    """Passes names of columns among which each of COLUMNS is there once.

    Raises:
        BadInput: naming the column.
    """
    for name in COLUMNS:
        if names.count(name) > 1:
            raise BadInput(f"the table {source} has {names.count(name)} columns {name!r}: which one is meant?")
        if name not in names:
            there = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
            raise BadInput(
                f"the table {source} lacks the column {name!r} (it has: {there}); a table has the columns "
                f"{', '.join(COLUMNS)}"
            )


def place(source: str, row: int, column: str) -> str:
    """Where a cell is, for a message."""
    return f"the table {source}, row {row} (from 0), column {column}"


def expected(column: str) -> str:
    """What a column holds, for a message."""
    return {"accuracy": "numbers", "epochs": "whole numbers", "seed": "whole numbers"}.get(column, "text")


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def from_tidy(
    found: pyarrow.Table, name: str, source: str, sha256: str, read: Callable[[str], str] | None = None
) -> Table:
    """A table of one row per accuracy, checked.

    Args:
        found: a pyarrow table with the columns of COLUMNS.
        name: of the table.
        source: its file, for messages.
        sha256: of the source.
        read: what the architectures are written as -> their texts; None: they are these.

    Raises:
        BadInput: there are no rows; a column is not there, there twice or of another type; or, naming row and column:
            a cell is empty, out of its range or no name, two rows answer one question, or accuracies are shares of 1.
    """
    check_columns(found.schema.names, source)
    if not found.num_rows:
        raise BadInput(f"the table {source} is empty: it has columns and no rows")
    archs = text_column(found if read is None else in_one_form(found, read, source), "arch", source)
    dataset, split = (named(text_column(found, column, source), column, source) for column in ("dataset", "split"))
    epochs, seed = (whole(found, column, source) for column in ("epochs", "seed"))
    accuracy = numbers(found, "accuracy", source)
    refuse(~((accuracy >= 0) & (accuracy <= 100)), accuracy, "is not in [0, 100] percent", "accuracy", source)
    keys = archs.unique()
    keys = keys.take(pyarrow.compute.sort_indices(keys))
    row_of = numpy.asarray(pyarrow.compute.index_in(archs, value_set=keys))
    columns: dict[Question, ReadColumn] = {}
    kinds, kind = numpy.unique(numpy.rec.fromarrays([dataset, split, epochs, seed]), return_inverse=True)
    for index, parts in enumerate(kinds):
        question = Question(str(parts[0]), str(parts[1]), int(parts[2]), int(parts[3]))
        members = numpy.flatnonzero(kind == index)
        refuse_twice(members, row_of[members], question, source, keys)
        values = numpy.full(len(keys), numpy.nan)
        values[row_of[members]] = accuracy[members]
        columns[question] = functools.partial(numpy.asarray, values)
    refuse_shares(columns, source)
    return Table(name, source, sha256, keys, columns)


def in_one_form(found: pyarrow.Table, read: Callable[[str], str], source: str) -> pyarrow.Table:
    """The same rows with every architecture's own text.

    Raises:
        BadInput: naming row and column: a text that is no architecture.
    """
    texts: dict[str, str] = {}
    for row, text in enumerate(map(str, flat(found, "arch").to_pylist())):
        if text not in texts:
            try:
                texts[text] = read(text)
            except BadInput as error:
                raise BadInput(f"{place(source, row, 'arch')}: {error}") from error
    archs = pyarrow.array([texts[str(text)] for text in flat(found, "arch").to_pylist()], pyarrow.string())
    return found.set_column(found.schema.get_field_index("arch"), "arch", archs)


def flat(found: pyarrow.Table, name: str) -> pyarrow.Array:
    """A column as one array; categories as their values."""
    column = found[name].combine_chunks()
    if isinstance(column, pyarrow.ChunkedArray):
        column = pyarrow.concat_arrays(column.chunks)
    return column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column


def text_column(found: pyarrow.Table, name: str, source: str) -> pyarrow.StringArray:
    """A column of text: no cell empty, all of printable ASCII without spaces.

    Raises:
        BadInput: naming row and column.
    """
    column = flat(found, name)
    if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
        raise BadInput(f"the table {source}, column {name}: it holds {column.type}, not text")
    column = column.cast(pyarrow.string()).fill_null("")
    wrong = numpy.flatnonzero(~numpy.asarray(pyarrow.compute.match_substring_regex(column, "^[!-~]+$")))
    if len(wrong):
        cell = column[int(wrong[0])].as_py()
        said = f"{shown(cell)} has a space or a character that is not printable ASCII" if cell else "is empty"
        raise BadInput(f"{place(source, int(wrong[0]), name)}: {said}")
    return column


def named(column: pyarrow.StringArray, name: str, source: str) -> numpy.typing.NDArray[numpy.str_]:
    """Data sets by our names of them, or splits, as an array of text.

    Raises:
        BadInput: naming row and column: no name of a data set, an unknown split.
    """
    distinct = column.unique()
    ours = []
    for theirs in distinct.to_pylist():
        row = int(pyarrow.compute.index(column, theirs).as_py())
        if name == "split" and theirs not in SPLITS:
            raise BadInput(f"{place(source, row, name)}: {shown(theirs)} is none of {', '.join(SPLITS)}")
        try:
            ours.append(check_name("data set" if name == "dataset" else name, canonical_data(theirs)))
        except BadInput as error:
            raise BadInput(f"{place(source, row, name)}: {error}") from error
    which = numpy.asarray(pyarrow.compute.index_in(column, value_set=distinct))
    found: numpy.typing.NDArray[numpy.str_] = numpy.array(ours, dtype=numpy.str_)[which]
    return found


def numbers(found: pyarrow.Table, name: str, source: str) -> Floats:
    """A column of numbers as floats; no cell empty.

    Raises:
        BadInput: naming the column: of another type; naming the row too: a cell is empty.
    """
    column = flat(found, name)
    kind = pyarrow.types
    if not (kind.is_integer(column.type) or kind.is_floating(column.type) or kind.is_null(column.type)):
        raise BadInput(f"the table {source}, column {name}: it holds {column.type}, not {expected(name)}")
    missing = numpy.flatnonzero(numpy.asarray(column.is_null(nan_is_null=True)))
    if len(missing):
        raise BadInput(f"{place(source, int(missing[0]), name)}: is empty or not a number")
    return numpy.asarray(column.cast(pyarrow.float64(), safe=False))


def whole(found: pyarrow.Table, name: str, source: str) -> Integers:
    """A column of whole numbers within BOUNDS.

    Raises:
        BadInput: as ``numbers``, or naming row and column: not a whole number, or out of bounds.
    """
    values = numbers(found, name, source)
    low, high = BOUNDS[name]
    refuse(values != numpy.floor(values), values, "is not a whole number", name, source)
    refuse(~((values >= low) & (values <= high)), values, f"is not in [{low}, {high}]", name, source)
    return values.astype(numpy.int64)


def refuse(wrong: numpy.typing.NDArray[numpy.bool_], values: Floats, what: str, column: str, source: str) -> None:
    """Refuses the first value that is wrong.

    Raises:
        BadInput: naming row and column.
    """
    rows = numpy.flatnonzero(wrong)
    if len(rows):
        raise BadInput(f"{place(source, int(rows[0]), column)}: {values[rows[0]]} {what}")


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


def refuse_shares(columns: Mapping[Question, ReadColumn], source: str) -> None:
    """Refuses accuracies of a data set and split that are shares of 1: none above 1, and some above 0.

    Raises:
        BadInput: naming the data set and split.
    """
    tops: dict[tuple[str, str], float] = defaultdict(float)
    for question, column in columns.items():
        tops[question[:2]] = float(numpy.fmax.reduce(column(), initial=tops[question[:2]]))
    for (dataset, split), top in tops.items():
        if 0 < top <= 1:
            raise BadInput(
                f"the table {source}, column accuracy: for {dataset} {split} the largest is {top}, so they are shares "
                "of 1; a table has percent: multiply them by 100"
            )
