"""Tables: what is imported, opened and asked; what is refused, how it is said, and that nothing is left behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from nas_stability.benchmarks.catalog import SPACES, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spellings import canonical_data
from nas_stability.benchmarks.tables import import_file, open_file, table
from nas_stability.benchmarks.tables.open_file import Question, Source, write_packed
from tests.benchmarks.tables.acts_tables import COLUMNS, HASHES, command, left, refused, tidy

HEADER = ",".join(COLUMNS)
ROW = f"{HASHES[0]},cifar10,valid,108,0,90.5"


def cell(column: str, value: str) -> str:
    """A CSV whose second row has another value in a column."""
    changed = dict(zip(COLUMNS, ROW.replace("valid", "test").split(","), strict=True)) | {column: value}
    return f"{HEADER}\n{ROW}\n{','.join(changed.values())}\n"


PERCENT = "shares of 1; a table has percent: multiply them by 100"
CELLS = {
    "B5: an accuracy as nan": (cell("accuracy", "nan"), "row 1 (from 0), column accuracy: 'nan' is not a number"),
    "B5: an accuracy as inf": (cell("accuracy", "inf"), "row 1 (from 0), column accuracy: 'inf' is not a number"),
    "B5: an accuracy out of float's range": (cell("accuracy", "1e999"), "row 1 (from 0), column accuracy: inf is not"),
    "B5: a negative accuracy": (cell("accuracy", "-1"), "row 1 (from 0), column accuracy: -1.0 is not in [0, 100]"),
    "B5: an accuracy above 100": (cell("accuracy", "100.01"), "column accuracy: 100.01 is not in [0, 100] percent"),
    "B5: an accuracy as a boolean": (cell("accuracy", "True"), "row 1 (from 0), column accuracy: 'True' is not a num"),
    "B5: an accuracy with a space": (cell("accuracy", " 90.5"), "row 1 (from 0), column accuracy: ' 90.5' is not a n"),
    "B5: an accuracy with a sign of percent": (cell("accuracy", "90.5%"), "column accuracy: '90.5%' is not a number"),
    "B5: an accuracy in other digits": (cell("accuracy", "٩٠"), "column accuracy: '٩٠' is not a number"),
    "B5: an empty accuracy": (cell("accuracy", ""), "row 1 (from 0), column accuracy: is empty"),
    "B5: accuracies as fractions": (f"{HEADER}\n{ROW[:-4]}0.905\n{ROW[:-6]}1,1.0\n", PERCENT),
    "B5: accuracies of one split as fractions": (cell("accuracy", "0.905"), "for cifar10 test the largest is 0.905"),
    "B5: epochs with a fraction": (cell("epochs", "200.9"), "row 1 (from 0), column epochs: '200.9' is not a whole n"),
    "B5: epochs with an underscore": (cell("epochs", "1_0"), "row 1 (from 0), column epochs: '1_0' is not a whole num"),
    "B5: epochs in other digits": (cell("epochs", "١٠٨"), "row 1 (from 0), column epochs: '١٠٨' is not a whole number"),
    "B5: negative epochs": (cell("epochs", "-1"), "row 1 (from 0), column epochs: '-1' is not a whole number"),
    "B5: no epochs": (cell("epochs", "0"), "row 1 (from 0), column epochs: 0.0 is not in [1, 1000000]"),
    "B5: epochs beyond all bounds": (cell("epochs", "9" * 17), "row 1 (from 0), column epochs: 1e+17 is not in"),
    "B5: an integer of 5,000 digits": (cell("epochs", "9" * 5000), "row 1 (from 0), column epochs: '9999"),
    "B5: empty epochs": (cell("epochs", ""), "row 1 (from 0), column epochs: is empty"),
    "B5: epochs as a date": (cell("epochs", "2020-01-01"), "row 1 (from 0), column epochs: '2020-01-01' is not a"),
    "B5: an empty seed": (cell("seed", ""), "row 1 (from 0), column seed: is empty"),
    "B5: a seed with a fraction": (cell("seed", "0.5"), "row 1 (from 0), column seed: '0.5' is not a whole number"),
    "B5: a negative seed": (cell("seed", "-7"), "row 1 (from 0), column seed: '-7' is not a whole number"),
    "B5: an empty data set": (cell("dataset", ""), "row 1 (from 0), column dataset: is empty"),
    "B5: an empty split": (cell("split", ""), "row 1 (from 0), column split: is empty"),
    "B5: a split that is none": (cell("split", "Valid"), "column split: 'Valid' is none of train, valid"),
    "B5: an empty architecture": (cell("arch", ""), "row 1 (from 0), column arch: is empty"),
    "B5: an architecture with a space": (cell("arch", HASHES[0] + " "), "row 1 (from 0), column arch: '0000"),
    "B5: a row twice": (f"{HEADER}\n{ROW}\n{ROW}\n", "two rows for 0000"),
    "B5: a header alone": (f"{HEADER}\n", "is empty: it has columns and no rows"),
    "B5: two columns of accuracy": (f"{HEADER},accuracy\n{ROW},1\n", "has 2 columns 'accuracy': which one is meant?"),
    "B5: a column with spaces around its name": (f"arch, {HEADER[5:]}\n{ROW}\n", "lacks the column 'dataset' (it has"),
    "B5: a column in capitals": (f"{HEADER.upper()}\n{ROW}\n", "lacks the column 'arch' (it has: 'ARCH'"),
    "B5: columns apart by semicolons": (f"{HEADER};\n{ROW};\n".replace(",", ";"), "lacks the column 'arch'"),
    "B5: an empty file": ("", "cannot be read as CSV: Empty CSV file"),
    "B5: a row that is cut": (f"{HEADER}\n{ROW}\n{ROW[:40]}", "cannot be read as CSV: CSV parse error: Row #3"),
    "B5: a web page": ("<!DOCTYPE html>\n<html>\n</html>\n", "lacks the column 'arch'"),
    "C2: a data set with a bar": (cell("dataset", "ci|far"), "'ci|far' cannot be the name of a data set: names"),
    "C2: a data set with a comma": (cell("dataset", '"a,b"'), "'a,b' cannot be the name of a data set"),
    "C2: a data set with a line's end": (cell("dataset", '"a\nb"'), r"column dataset: 'a\nb' has a space"),
    "C2: a data set with an underscore": (cell("dataset", "my_data"), "'my_data' cannot be the name of a data set"),
    "C2: a data set that is a formula": (cell("dataset", "=cmd"), "'=cmd' cannot be the name of a data set"),
    "C2: a data set that begins with a sign": (cell("dataset", "+1"), "'+1' cannot be the name of a data set"),
    "C2: a data set of LaTeX": (cell("dataset", "a~b^{}"), "'a~b^{}' cannot be the name of a data set"),
    "C2: a data set of HTML": (cell("dataset", "<b>"), "'<b>' cannot be the name of a data set"),
    "C2: a data set of other letters": (cell("dataset", "dåta"), "column dataset: 'dåta' has a space or a character"),
    "C2: a data set of 5,000 letters": (cell("dataset", "a" * 5000), "(5000 characters) cannot be the name of a"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), CELLS.values(), ids=CELLS)
def test_a_csv_that_is_not_exactly_a_table(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(content)
    asked = ("table", "import", file, "--space", "nasbench1shot1-s1", "--tables", tmp_path / "tables")
    refused(message, *asked)
    assert "mine.csv" in command(*asked).err
    assert not (tmp_path / "tables").exists()


TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "B5: accuracies of booleans": ({"accuracy": True}, "column accuracy: it holds bool, not numbers"),
    "B5: accuracies of text": ({"accuracy": "90"}, "column accuracy: it holds "),
    "B5: accuracies of dates": ({"accuracy": numpy.datetime64("2020-01-01", "us")}, "column accuracy: it holds "),
    "B5: accuracies as fractions": ({"accuracy": 0.905}, PERCENT),
    "B5: an accuracy that is missing": ({"accuracy": [1.5, math.nan, 2, 3]}, "row 1 (from 0), column accuracy: is em"),
    "B5: an infinite accuracy": ({"accuracy": [1.5, math.inf, 2, 3]}, "row 1 (from 0), column accuracy: inf is not in"),
    "B5: epochs of dates": ({"epochs": numpy.datetime64("2020-01-01", "us")}, "column epochs: it holds "),
    "B5: epochs of booleans": ({"epochs": True}, "column epochs: it holds bool, not whole numbers"),
    "B5: epochs with fractions": ({"epochs": 200.9}, "row 0 (from 0), column epochs: 200.9 is not a whole number"),
    "B5: a seed that is missing": ({"seed": [0.0, math.nan, 0, 0]}, "row 1 (from 0), column seed: is empty"),
    "B5: a negative seed": ({"seed": -1}, "row 0 (from 0), column seed: -1.0 is not in [0, 1000000000]"),
    "B5: epochs beyond int64": ({"epochs": numpy.uint64(2**64 - 1)}, "row 0 (from 0), column epochs: 1.8"),
    "B5: architectures of numbers": ({"arch": [1, 2, 3, 4]}, "column arch: it holds int64, not text"),
    "B5: an empty split": ({"split": ["valid", "", "test", "test"]}, "row 1 (from 0), column split: is empty"),
    "C2: a data set with a bar": ({"dataset": "ci|far"}, "'ci|far' cannot be the name of a data set"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize(("changes", "message"), TYPES.values(), ids=TYPES)
def test_columns_of_another_type(changes: dict[str, Any], message: str, suffix: str, tmp_path: Path) -> None:
    file = saved(tidy(**changes), tmp_path / f"mine{suffix}")
    refused(message, "table", "import", file, "--space", "nasbench1shot1-s1", "--tables", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def saved(frame: pandas.DataFrame, path: Path) -> Path:
    """A frame as CSV, Parquet or npz."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        arrays = {name: frame[name].to_numpy() for name in frame}
        text = {name: values.astype("U") for name, values in arrays.items() if values.dtype == object}
        numpy.savez(path, **(arrays | text))
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"accuracy": numpy.array([90.0, "a"], object)}, "holds Python objects", id="B5: objects"),
        pytest.param({"accuracy": numpy.ones((4, 2))}, "must have arrays of one dimension", id="B5: two dimensions"),
        pytest.param({"accuracy": numpy.ones(3)}, "must have arrays of one dimension", id="B5: another length"),
        pytest.param({"accuracy": numpy.ones(4, complex)}, "holds complex128, not numbers", id="B5: complex numbers"),
        pytest.param({"dataset": numpy.array([b"a"] * 4)}, "column dataset: it holds |S1, not text", id="B5: bytes"),
    ],
)  # fmt: skip
def test_an_npz_of_other_arrays(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    usual = {name: tidy()[name].to_numpy() for name in COLUMNS}
    usual = {name: values.astype("U") if values.dtype == object else values for name, values in usual.items()}
    numpy.savez(tmp_path / "mine.npz", **(usual | arrays))
    refused(message, "table", "import", tmp_path / "mine.npz", "--space", "nasbench1shot1-s1", "--tables", tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04.", b"PK\x03\x04"])
def test_an_npz_that_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    asked = ("table", "import", tmp_path / "mine.npz", "--space", "nasbench1shot1-s1", "--tables", tmp_path)
    refused("cannot be read as npz: ", *asked)
    assert "pickle" not in command(*asked).err


def test_other_columns_and_other_ways_to_write_a_table_are_taken(tmp_path: Path) -> None:
    """Whole numbers as floats, categories, integers as accuracies, further columns, a byte order mark."""
    frame = tidy(epochs=108.0, accuracy=90, note="x", split=pandas.Categorical(["valid", "test"] * 2))
    for suffix in (".parquet", ".csv"):
        file = saved(frame, tmp_path / f"mine{suffix[1:]}{suffix}")
        if suffix == ".csv":
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        path = import_file.import_file(file, SPACES["nasbench1shot1-s1"], override=tmp_path / "tables")
        assert open_file.open_table(path).score(HASHES[1], "cifar10", "test", 108) == 90


@pytest.mark.parametrize("theirs", ["ImageNet16-120", "imagenet16_120", "IMAGENET16-120"])
def test_official_spellings_of_data_sets(theirs: str, tmp_path: Path) -> None:
    file = saved(tidy(dataset=theirs), tmp_path / "mine.csv")
    command("table", "import", file, "--space", "nasbench1shot1-s1", "--tables", tmp_path)
    asked = ["--split", "test", "--epochs", 108, "--tables", tmp_path]
    for typed in ("ImageNet16-120", "imagenet16-120", "ImageNet16_120"):
        said = command("table", "query", "mine", "--arch", HASHES[0], "--dataset", typed, *asked)
        assert '"dataset": "imagenet16-120"' in said.out, said


def test_spellings_are_one_data_set_and_no_other() -> None:
    assert canonical_data("CIFAR-10") == "cifar10"
    assert canonical_data("CIFAR10-valid") == "cifar10-valid"
    assert canonical_data("cifar 100") == "cifar100"
    assert canonical_data("Fashion_MNIST") == "fashion-mnist"
    for other in ("cifar10.0", "cifar10.1", "cifar1000", "Mine", "imagenet16"):
        assert canonical_data(other) == other


NAMES = {
    "C4: auto": ("auto", "which --table takes for another thing"),
    "C4: None": ("None", "which --table takes for another thing"),
    "C4: a name of a Parquet file": ("x.parquet", "which --table takes for a file"),
    "C4: a name of a CSV file": ("x.CSV", "which --table takes for a file"),
    "C4: a dump's name": ("NASBench101", "is the name of an official dump"),
    "C4: a part's name": ("nasbench201-partial", "is the name of a part of an official dump"),
    "C4: a shipped table's name": ("nasbench1shot1-s1-digits", "is the name of a shipped table"),
    "C4: a name that differs in case": ("Mine", "differs from 'Mine' in case alone"),
    "C2: a path": ("../mine", "'../mine' cannot be the name of a table"),
    "C2: a space": ("a b", "'a b' cannot be the name of a table"),
    "C2: a line's end": ("a\n", r"'a\n' cannot be the name of a table"),
    "C2: nothing": ("", "'' cannot be the name of a table"),
    "C2: a name of 300 letters": ("n" * 300, "(300 characters) cannot be the name of a table"),
}


@pytest.mark.parametrize(("name", "message"), NAMES.values(), ids=NAMES)
def test_names_that_cannot_be_asked_for(name: str, message: str, tmp_path: Path) -> None:
    file = saved(tidy(), tmp_path / "mine.csv")
    tables = tmp_path / "tables"
    assert command("table", "import", file, "--space", "nasbench1shot1-s1", "--tables", tables).code == 0
    refused(message, "table", "import", file, "--space", "nasbench1shot1-s1", "--name", name, "--tables", tables)
    assert left(tables) == ["mine.parquet"]


def test_every_name_that_is_taken_can_be_asked_for(tmp_path: Path) -> None:
    file = saved(tidy(), tmp_path / "mine.csv")
    for name in ("a", "my_table", "A-1.2_b", "9", "x.parquet.lock", "auto2", "n" * 100):
        import_file.import_file(file, SPACES["nasbench1shot1-s1"], name, tmp_path / "tables")
        found = open_table(name, "nasbench1shot1-s1", tmp_path / "tables")
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize(
    ("column", "message"),
    [
        pytest.param("accuracy|ci|far|valid|108|0", "its name has 5 parts after the first", id="C2: a bar"),
        pytest.param(
            "accuracy|my_data|valid|108|0", "'my_data' cannot be the name of a data set", id="C2: an underscore"
        ),
        pytest.param("accuracy||valid|108|0", "'' cannot be the name of a data set", id="B5: an empty data set"),
        pytest.param("accuracy|d|a b|108|0", "'a b' cannot be the name of a split", id="C2: a split"),
        pytest.param("accuracy|d|valid|108|-9223372036854775808", "is not a whole number", id="B5: an empty seed"),
        pytest.param("accuracy|d|valid|-1|0", "'-1' is not a whole number", id="B5: negative epochs"),
        pytest.param("seconds|d,e|108|0", "'d,e' cannot be the name of a data set", id="C2: a time's data set"),
        pytest.param("parameters|=d", "'=d' cannot be the name of a data set", id="C2: a size's data set"),
    ],
)
def test_tables_that_an_earlier_version_packed(column: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    write_packed(path, Source("mine", "x", "", "0" * 64, ""), HASHES, {Question("d", "valid", 108, 0): [1.0, 2.0]})
    packed = pyarrow.parquet.read_table(path)
    metadata = {b"nas-stability": packed.schema.metadata[b"nas-stability"]}
    renamed = packed.rename_columns(["arch", column]).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(renamed, path)
    refused(message, "table", "verify", "mine", "--tables", tmp_path)
    assert "import or pack it again" in command("table", "verify", "mine", "--tables", tmp_path).err


def test_empty_tables_say_that_they_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    write_packed(path, Source("mine", "x", "", "0" * 64, ""), HASHES, {Question("d", "valid", 108, 0): [1.0, 2.0]})
    packed = pyarrow.parquet.read_table(path)
    metadata = {b"nas-stability": packed.schema.metadata[b"nas-stability"]}
    pyarrow.parquet.write_table(packed.slice(0, 0).replace_schema_metadata(metadata), path)
    refused("is empty: it has no architectures", "table", "verify", "mine", "--tables", tmp_path)
    empty = table.Table("mine", "", "", pyarrow.array([], pyarrow.string()), {})
    with pytest.raises(table.Unanswered, match="the table mine is empty: it has 0 architectures and no accuracies"):
        empty.score(HASHES[0], "d", "valid", 108)
    with pytest.raises(BadInput, match="is empty"):
        write_packed(path, Source("mine", "x", "", "0" * 64, ""), [], {})


def test_a_table_replaced_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    question = Question("d", "valid", 108, 0)
    write_packed(path, Source("mine", "x", "", "0" * 64, ""), HASHES, {question: [1.0, 2.0]})
    found = open_file.open_table(path)
    write_packed(path, Source("mine", "y", "", "1" * 64, ""), HASHES, {question: [3.0, 4.0]})
    with pytest.raises(BadInput, match="replaced by another table after it had been opened"):
        found.score(HASHES[0], "d", "valid", 108)


def test_a_writer_that_fails_leaves_the_earlier_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tidy(), tmp_path / "mine.csv")
    tables = tmp_path / "tables"
    path = import_file.import_file(file, SPACES["nasbench1shot1-s1"], override=tables)
    before = path.read_bytes()
    write = pyarrow.parquet.write_table

    def full(content: pyarrow.Table, where: Path, **options: Any) -> None:
        write(content, where, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    other = saved(tidy(accuracy=50.5), tmp_path / "other.csv")
    with pytest.raises(OSError, match="No space left"):
        import_file.import_file(other, SPACES["nasbench1shot1-s1"], "mine", tables, again=True)
    assert path.read_bytes() == before
    assert left(tables) == ["mine.parquet"]
