"""Asking tables: how an architecture may be typed, which table is opened, and what is said where there is none."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from nas_stability.benchmarks.catalog import SPACES, TABLES, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import dumps_201, import_file
from nas_stability.benchmarks.tables.open_file import Question, Source, write_packed
from nas_stability.benchmarks.tables.typed_architecture import official_order, read
from nas_stability.harness.measuring import asked_table
from tests.benchmarks.tables.acts_tables import ARCH, HASHES, command, left, refused, tidy
from tests.small import SHARED, small_spec

ASKED = ["--dataset", "cifar10", "--split", "valid", "--epochs", "200"]
META = SHARED / "data" / "NATS-tss-v1_0-3ffb9-simple" / "meta.pickle.pbz2"

GENOTYPE = [
    [("nor_conv_3x3", 0)],
    [("nor_conv_3x3", 0), ("avg_pool_3x3", 1)],
    [("skip_connect", 0), ("nor_conv_3x3", 1), ("skip_connect", 2)],
]


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param(ARCH, id="G: the string"),
        pytest.param(f" {ARCH}\n", id="G: the string with spaces around it"),
        pytest.param(f"Structure(4 nodes with {ARCH})", id="G: a structure out of a log"),
        pytest.param("1", id="G: an index"),
        pytest.param(str(GENOTYPE), id="G: a genotype list"),
        pytest.param(str(tuple(map(tuple, GENOTYPE))), id="G: a genotype of tuples"),
    ],
)
def test_an_architecture_of_nasbench201_as_people_type_it(typed: str, tmp_path: Path) -> None:
    said = command("table", "query", "nasbench201", "--arch", typed, *ASKED, "--tables", tmp_path)
    assert json.loads(said.out)["arch"] == ARCH
    assert json.loads(said.out)["accuracy"] == pytest.approx(90.7693, abs=1e-4)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        pytest.param("nonsense", "'nonsense' is no architecture of NAS-Bench-201: give its string", id="G: nonsense"),
        pytest.param("", "'' is no architecture of NAS-Bench-201", id="G: nothing"),
        pytest.param("15625", "an index of NAS-Bench-201 is 0 to 15624, not 15625", id="G: an index beyond the last"),
        pytest.param("-1", "'-1' is no architecture of NAS-Bench-201", id="G: a negative index"),
        pytest.param("9" * 5000, "is no architecture of NAS-Bench-201", id="D8: an index of 5,000 digits"),
        pytest.param(ARCH.replace("avg", "max"), "did you mean 'avg_pool_3x3'", id="G: another operation"),
        pytest.param(ARCH[:-10], "is no architecture of NAS-Bench-201", id="G: a string that is cut"),
        pytest.param(ARCH.replace("~2", "~1"), "from the nodes 0, 0, 1, 0, 1, 2", id="G: other nodes"),
        pytest.param("[" * 5000, "is no architecture of NAS-Bench-201", id="D8: deep nesting"),
        pytest.param(str(GENOTYPE[:2]), "it has six operations", id="G: half a genotype"),
        pytest.param(
            "Genotype(normal=[('sep_conv_3x3', 0)], normal_concat=[2])", "it has six operations", id="G: DARTS's"
        ),
    ],
)
def test_what_is_no_architecture_of_nasbench201(typed: str, message: str, tmp_path: Path) -> None:
    refused(message, "table", "query", "nasbench201", "--arch", typed, *ASKED, "--tables", tmp_path)


def test_the_official_order_of_nasbench201() -> None:
    order = official_order()
    assert sorted(order) == list(SPACES["nasbench201"].archs())
    assert order[0] == "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert order[9] == "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    state = random.getstate()
    official_order.cache_clear()
    assert (official_order(), random.getstate()) == (order, state)


@pytest.mark.skipif(not META.exists(), reason="the real records are not beside this checkout")
def test_the_official_order_is_the_archives() -> None:
    assert list(official_order()) == dumps_201.unpickle(META, "meta", META.read_bytes())["meta_archs"]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder with the table ``cells`` of two cells of NAS-Bench-101."""
    path = tmp_path / "cells.csv"
    tidy().to_csv(path, index=False)
    import_file.import_file(path, SPACES["nasbench1shot1-s1"], override=tmp_path / "tables")
    return tmp_path / "tables"


CELL = ["--dataset", "cifar10", "--split", "valid", "--epochs", "108"]
SMALL = "[[0, 1, 0], [0, 0, 1], [0, 0, 0]]"


def full(vertices: int) -> str:
    """A matrix with every edge."""
    return json.dumps([[int(source < target) for target in range(vertices)] for source in range(vertices)])


def test_a_cell_of_nasbench101_as_people_type_it(cells: Path) -> None:
    said = command("table", "query", "cells", "--arch", HASHES[1].upper(), *CELL, "--tables", cells)
    assert json.loads(said.out)["arch"] == HASHES[1]
    table = open_table("nasbench1shot1-s1-digits", "")
    assert table is not None
    asked = {read(table, text, "3x3").arch for text in (SMALL, SMALL.replace(" ", ""), f" {SMALL}")}
    assert len(asked) == 1
    asked_for = ("table", "query", "cells", "--arch", "a\nb", *CELL, "--tables", cells)
    refused(r"'a\nb' is no module hash, which has 32 hexadecimal digits", *asked_for)
    with pytest.raises(BadInput, match="a matrix needs the operations of its vertices: --ops LIST"):
        read(table, SMALL)


@pytest.mark.parametrize(
    ("matrix", "operations", "message"),
    [
        pytest.param(SMALL.replace("1", "0.5"), "3x3", "row 0, column 1 (from 0) is 0.5", id="H11: a half"),
        pytest.param(SMALL.replace("1", "Infinity"), "3x3", "row 0, column 1 (from 0) is inf", id="H11: Infinity"),
        pytest.param(SMALL.replace("1", "NaN"), "3x3", "row 0, column 1 (from 0) is nan", id="H11: NaN"),
        pytest.param(SMALL.replace("1", "true"), "3x3", "row 0, column 1 (from 0) is True", id="H11: a boolean"),
        pytest.param(SMALL.replace("1", '"1"'), "3x3", "row 0, column 1 (from 0) is '1'", id="H11: text"),
        pytest.param(SMALL.replace("1", "1e400"), "3x3", "row 0, column 1 (from 0) is inf", id="H11: 1e400"),
        pytest.param(SMALL.replace("1", "9" * 5000), "3x3", "must be JSON", id="D8: an integer of 5,000 digits"),
        pytest.param(SMALL.replace("1", "[[1]]"), "3x3", "row 0, column 1 (from 0) is [[1]]", id="D8: a list in it"),
        pytest.param("[" * 50_000, "3x3", "must be JSON, a list of lists of 0 and 1", id="D8: nested JSON"),
        pytest.param('{"a": 1}', "3x3", "must be JSON, a list of lists of 0 and 1", id="D8: an object"),
        pytest.param(full(110), ",".join(["3x3"] * 108), "the matrix must be square", id="D8: 110 vertices"),
    ],
)
def test_a_matrix_that_is_none(matrix: str, operations: str, message: str, cells: Path) -> None:
    refused(
        message, "table", "query", "cells", "--matrix", matrix, "--ops", operations, *CELL, "--tables", cells
    )  # fmt: skip


@pytest.mark.parametrize(("vertices", "edges"), [(6, 15), (8, 28)])
def test_a_cell_that_is_too_large_for_nasbench101(vertices: int, edges: int, cells: Path) -> None:
    operations = ",".join(["3x3"] * (vertices - 2))
    refused(
        f"the cell has {vertices} vertices and {edges} edges; those of NAS-Bench-101 have 7 vertices and 9 edges at m",
        "table", "query", "cells", "--matrix", full(vertices), "--ops", operations, *CELL, "--tables", cells, code=1,
    )  # fmt: skip


@pytest.mark.parametrize("flag", ["--epochs", "--seed"])
@pytest.mark.parametrize("value", ["1_0", "١٠٨", "-1", "1e2", "9" * 5000, "108.0", " 108"])
def test_whole_numbers_of_flags(flag: str, value: str, cells: Path) -> None:
    refused(
        "takes a whole number from",
        "table", "query", "cells", "--arch", HASHES[0], *CELL, f"{flag}={value}" if value == "-1" else flag,
        *([] if value == "-1" else [value]), "--tables", cells,
    )  # fmt: skip


def test_a_run_goes_on_with_the_table_that_it_began_with_h2(tmp_path: Path) -> None:
    """An archive packed meanwhile goes before the shipped table of its name, but not for a run that began before."""
    tables = tmp_path / "tables"
    shipped = TABLES["nasbench201"]()
    write_packed(
        tables / "nasbench201.parquet",
        Source("nasbench201", "an archive", "", "1" * 64, ""),
        [ARCH],
        {Question("cifar10", "valid", 200, 777): [90.0]},
    )
    for sha256, source in ((None, "an archive"), ("1" * 64, "an archive"), (shipped.sha256, shipped.source)):
        found = open_table("nasbench201", "nasbench201", tables, sha256)
        assert found is not None
        assert found.source == source
    message = rf"is not the one that the run used, .* begins with {'2' * 12}: .*{'1' * 12} .*; .*{shipped.sha256[:12]}"
    with pytest.raises(BadInput, match=message):
        open_table("nasbench201", "nasbench201", tables, "2" * 64)
    with pytest.raises(BadInput, match="is not the one that the run used"):
        open_table("auto", "nasbench201", tables, "2" * 64)
    (tables / "nasbench201.parquet").write_bytes(b"hello")
    found = open_table("nasbench201", "nasbench201", tables, shipped.sha256)
    assert found is not None
    with pytest.raises(BadInput, match=r"nasbench201\.parquet is not a readable Parquet file"):
        open_table("nasbench201", "nasbench201", tables, "2" * 64)


def test_a_table_of_another_space_is_refused_before_anything_is_written_h5(cells: Path, tmp_path: Path) -> None:
    for space, name in (("nasbench1shot1-s1", "nasbench201"), ("nasbench201", "nasbench1shot1-s1-digits")):
        with pytest.raises(BadInput, match=rf"the table {name} is about another space than {space}"):
            open_table(name, space, cells)
    for space in ("nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"):
        assert open_table("cells", space, cells) is not None
    out = tmp_path / "run"
    asked = ["--method", "darts", "--data", "digits", "--out", out]
    refused(
        "about another space than nasbench1shot1-s1",
        "run", "--space", "nasbench1shot1-s1", "--table", "nasbench201", "--table-epochs", "200", *asked,
    )  # fmt: skip
    refused(
        "has none of the architectures of nasbench1shot1-s1",
        "run", "--space", "nasbench1shot1-s1", "--table", cells / "cells.parquet", "--table-epochs", "108", *asked,
    )  # fmt: skip
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("./x.csv", "table import ./x.csv --space SPACE packs it; then it is --table x", id="H12: a CSV"),
        pytest.param("my data.npz", "then it is --table my-data", id="H12: an npz file"),
        pytest.param("x.tfrecord", "table pack NAME x.tfrecord packs it, then --table NAME", id="H12: a dump"),
        pytest.param("./absent.parquet", "the file absent.parquet does not exist", id="H12: an absent file"),
        pytest.param("/", "/ is a folder, not a table file", id="D1: a folder"),
        pytest.param("nasbench101", "is not on this machine; nas-stability table fetch nasb", id="H12: a dump's"),
        pytest.param("nasbench20", "did you mean 'nasbench201'", id="H12: a name that is nearly one"),
    ],
)
def test_what_is_no_table(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]*$") as caught:
        open_table(name, "nasbench201", tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"table_epochs": 108},
            "nasbench1shot1-s1-digits has no budget of 108 epochs (it has: 6); --table NAME",
            id="E: another budget",
        ),
        pytest.param(
            {"space": "nasbench1shot1-s2", "table_epochs": 108},
            "none is shipped for nasbench1shot1-s2;",
            id="E: another space",
        ),
        pytest.param({"table": "none"}, "none was asked for;", id="E: none"),
    ],
)
def test_why_there_is_no_table(changes: dict[str, str | int], message: str) -> None:
    spec = small_spec(**({"space": "nasbench1shot1-s1"} | changes))
    assert asked_table.table_of(spec) is None
    assert f"no table: the accuracy and regret columns stay empty, for {message}" in asked_table.why_no_table(spec)


def test_a_named_table_that_lacks_the_budget_is_refused(cells: Path) -> None:
    spec = small_spec(space="nasbench1shot1-s1", table=str(cells / "cells.parquet"), table_epochs=7)
    with pytest.raises(BadInput, match=r"has no budget of 7 epochs \(it has: 108\); set the field 'table_epochs'"):
        asked_table.table_of(spec)
    assert left(cells) == ["cells.parquet"]


@pytest.mark.parametrize(
    ("arguments", "left_there", "message"),
    [
        pytest.param([], "study.json", "holds the records of a run or study", id="A1: a study's folder"),
        pytest.param([], "nasbench1shot1-s1-digits.parquet", "of another spec; give another --out", id="A2: a table"),
        pytest.param(
            ["--data", "npz:x.npz"], "", "'npz:x.npz' cannot be the name of a data set", id="C2: a file's path"
        ),
        pytest.param(["--epochs", "1_0"], "", "takes int, not '1_0'", id="F: an underscore"),
        pytest.param(["--lr", "nan"], "", "takes float, not 'nan'", id="D5: a rate that is none"),
        pytest.param(["--workers", "-3"], "", "takes a whole number from 1 to 1024, not '-3'", id="E: workers"),
    ],
)
def test_training_a_table_is_refused_before_it_begins(
    arguments: list[str], left_there: str, message: str, tmp_path: Path
) -> None:
    if left_there.endswith(".parquet"):
        source = Source("mine", "x", "", "0" * 64, "")
        write_packed(tmp_path / left_there, source, HASHES, {Question("digits", "valid", 6, 0): [1.0, 2.0]})
    elif left_there:
        (tmp_path / left_there).write_text("{}")
    before = left(tmp_path)
    refused(message, "table", "train", *arguments, "--out", tmp_path)
    assert left(tmp_path) == before
