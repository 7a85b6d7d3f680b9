"""Tables answer or raise: the embedded one, tidy files, packed files, damaged ones."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from nas_stability.benchmarks.catalog import SHIPPED, SPACES, TABLES, open_table
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.tables.open_file import Question, Source, Table, TimedTraining, Unanswered, write_packed
from nas_stability.benchmarks.tables.table import FEW, plain
from nas_stability.harness.runs.run import Watch, run
from tests.small import PLACE, SHARED, small_spec

SOURCE = Source("small", "a test", "1", "0" * 64, "CC0")
HASHES = ["00" * 16, "ab" * 16, "ff" * 16]


def tidy(**changes: object) -> pandas.DataFrame:
    rows = [
        (arch, "cifar10", split, 108, seed, 90.0 + index + seed / 10 + (0.01 if split == "test" else 0))
        for index, arch in enumerate(HASHES)
        for split in ("valid", "test")
        for seed in range(3)
    ]
    frame = pandas.DataFrame(rows, columns=["arch", "dataset", "split", "epochs", "seed", "accuracy"])
    return frame.assign(**changes)  # type: ignore[arg-type]


def write(tmp_path: Path, frame: pandas.DataFrame) -> Path:
    path = tmp_path / "small.parquet"
    frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("name", [name for name, opened in TABLES.items() if opened().listed])
def test_every_table_answers_for_every_reachable_architecture_of_its_space(name: str) -> None:
    table = TABLES[name]()
    space = SPACES[SHIPPED[name]]
    automatic = open_table("auto", space.name)
    assert automatic is not None
    assert automatic.sha256 == table.sha256
    dataset, split, epochs = min(table.columns)[:3]
    values = table.scores(space.archs(), dataset, split, epochs)
    assert not numpy.isnan(values).any()
    assert ((values >= 0) & (values <= 100)).all()
    assert len(table.sha256) == 64


def test_embedded_nasbench201() -> None:
    table = TABLES["nasbench201"]()
    space = SPACES["nasbench201"]
    best = {dataset: round(table.best(space.archs(), dataset, "valid", 200)[1], 3) for dataset in table.datasets}
    assert best == {"cifar10": 91.607, "cifar100": 73.493, "imagenet16-120": 46.733}
    counts = [len(table.seeds(arch, "cifar10", "valid", 200)) for arch in space.archs()[::25]]
    assert set(counts) == {2, 3}
    present = [~numpy.isnan(table.columns[Question("cifar10", "valid", 200, seed)]()) for seed in range(3)]
    seeds = sum(column.astype(int) for column in present)
    assert ((seeds == 3).sum(), (seeds == 2).sum()) == (8169, 7456)


def test_what_it_cannot_answer_raises_and_says_what_it_has() -> None:
    table = TABLES["nasbench201"]()
    arch = SPACES["nasbench201"].archs()[0]
    with pytest.raises(Unanswered, match=r"for cifar10 has no split 'test' \(it has: valid\)"):
        table.score(arch, "cifar10", "test", 200)
    with pytest.raises(Unanswered, match=r"has no budget 12 \(it has: 200\)"):
        table.score(arch, "cifar10", "valid", 12)
    with pytest.raises(Unanswered, match=r"has no data set 'svhn'"):
        table.score(arch, "svhn", "valid", 200)
    with pytest.raises(Unanswered, match="has no architecture nonsense"):
        table.score("nonsense", "cifar10", "valid", 200)
    with pytest.raises(Unanswered, match="has no seed 3"):
        table.score(arch, "cifar10", "valid", 200, seed=3)
    with pytest.raises(KeyError):
        table.scores([arch], "cifar10", "test", 200)


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="the real tables are not beside this checkout")
def test_embedded_nasbench201_equals_the_published_listing() -> None:
    listing = pandas.read_csv(SHARED / "data" / "nasbench201_200ep.csv")
    table = TABLES["nasbench201"]()
    names = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16_120"}
    for dataset, column in names.items():
        ours = table.scores(list(listing["arch_str"]), dataset, "valid", 200)
        numpy.testing.assert_allclose(ours, listing[f"{column}_val200_mean"], atol=6e-5)
        for seed in range(3):
            one = table.scores(list(listing["arch_str"]), dataset, "valid", 200, seed)
            numpy.testing.assert_allclose(one, listing[f"{column}_val200_s{seed}"], atol=6e-5)


def test_a_tidy_file(tmp_path: Path) -> None:
    table = open_table(str(write(tmp_path, tidy())), "nasbench1shot1-s1")
    assert table is not None
    assert table.score(HASHES[1], "cifar10", "valid", 108) == pytest.approx(91.1)
    assert table.score(HASHES[1], "cifar10", "test", 108, seed=2) == pytest.approx(91.21)
    found = table.scores([HASHES[2], "11" * 16, HASHES[0]], "cifar10", "valid", 108)
    assert found.tolist() == pytest.approx([92.1, math.nan, 90.1], nan_ok=True)
    assert table.best(HASHES[:2], "cifar10", "valid", 108) == (HASHES[1], pytest.approx(91.1))


def test_the_mean_is_over_the_seeds_that_an_architecture_has(tmp_path: Path) -> None:
    frame = tidy().drop(index=[1])
    table = open_table(str(write(tmp_path, frame)), "nasbench1shot1-s1")
    assert table is not None
    assert table.score(HASHES[0], "cifar10", "valid", 108) == pytest.approx((90.0 + 90.2) / 2)
    assert table.seeds(HASHES[0], "cifar10", "valid", 108) == (0, 2)
    with pytest.raises(Unanswered, match="has no value for 0000"):
        table.score(HASHES[0], "cifar10", "valid", 108, seed=1)


def test_a_packed_file_reads_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "packed.parquet"
    questions = {
        Question("cifar10", "valid", 108, 0): [90.123456789, math.nan, 92.0],
        Question("cifar10", "valid", 108, 1): [91.0, 91.5, math.nan],
    }
    write_packed(path, SOURCE, HASHES, questions, {("cifar10", 108, 0): [1.0, 2.0, 3.0]}, [10, 20, 30])
    table = open_table(str(path), "nasbench1shot1-s1")
    assert table is not None
    assert (table.name, table.sha256) == ("small", "0" * 64)
    for question, values in questions.items():
        numpy.testing.assert_array_equal(table.columns[question](), values)
    assert table.score(HASHES[1], "cifar10", "valid", 108) == 91.5
    assert table.seconds(HASHES[1], "cifar10", 108) == 2.0
    assert table.parameters(HASHES[2]) == table.parameters(HASHES[2], "cifar10") == 30
    frame = pandas.read_parquet(path)
    assert list(frame["arch"]) == HASHES
    assert list(frame["parameters"]) == [10, 20, 30]
    assert list(frame["accuracy|cifar10|valid|108|1"])[:2] == [91.0, 91.5]
    metadata = json.loads(pyarrow.parquet.read_schema(path).metadata[b"nas-stability"])
    assert {key: metadata[key] for key in ("format", *SOURCE._fields)} == {"format": 1, **SOURCE._asdict()}
    assert "percent" in metadata["columns"]["accuracy|DATASET|SPLIT|EPOCHS|SEED"]
    assert [one.name for one in tmp_path.iterdir()] == ["packed.parquet"]


def packed(path: Path) -> Table:
    """Two seeds at the end, one halfway; times; sizes by data set."""
    question = Question("cifar10", "valid", 108, 0)
    accuracies = {
        question: [90.0, 80.0, 70.0],
        question._replace(seed=5): [92.0, math.nan, 70.5],
        question._replace(halfway=True): [60.0, 50.0, math.nan],
    }
    times = {
        TimedTraining("cifar10", 108, 0): [10.0, 20.0, 30.0],
        TimedTraining("cifar10", 108, 5): [14.0, math.nan, 30.0],
        TimedTraining("cifar10", 108, 0, True): [5.0, 6.0, math.nan],
    }
    floats = {run: numpy.array(values) for run, values in times.items()}
    sizes = {"cifar10": [1, 2, 3], "cifar100": numpy.array([4.0, math.nan, 6.0])}
    write_packed(path, SOURCE, HASHES, accuracies, floats, sizes)
    found = open_table(str(path), "nasbench1shot1-s1")
    assert found is not None
    return found


def test_halfway_times_and_sizes(tmp_path: Path) -> None:
    table = packed(tmp_path / "packed.parquet")
    assert table.score(HASHES[0], "cifar10", "valid", 108) == 91.0
    assert table.score(HASHES[0], "cifar10", "valid", 108, halfway=True) == 60.0
    assert table.scores(HASHES, "cifar10", "valid", 108, halfway=True).tolist()[:2] == [60.0, 50.0]
    assert table.seeds(HASHES[0], "cifar10", "valid", 108) == (0, 5)
    assert table.seconds(HASHES[0], "cifar10", 108) == 12.0
    assert table.seconds(HASHES[1], "cifar10", 108) == 20.0
    assert table.seconds(HASHES[0], "cifar10", 108, 5) == 14.0
    assert table.seconds(HASHES[0], "cifar10", 108, halfway=True) == 5.0
    assert table.parameters(HASHES[2], "cifar100") == 6
    with pytest.raises(Unanswered, match="no parameter count for abab"):
        table.parameters(HASHES[1], "cifar100")
    with pytest.raises(Unanswered, match=r"no parameter counts for data set None \(it has: cifar10, cifar100\)"):
        table.parameters(HASHES[1])
    with pytest.raises(Unanswered, match=r"no value for ffff.*at 108 epochs"):
        table.score(HASHES[2], "cifar10", "valid", 108, halfway=True)
    with pytest.raises(Unanswered, match=r"for cifar10 valid has no budget 54 \(it has: 108\)"):
        table.score(HASHES[2], "cifar10", "valid", 54, halfway=True)
    with pytest.raises(Unanswered, match=r"no value for abab.*training time on cifar10 at 108 epochs, seed 5"):
        table.seconds(HASHES[1], "cifar10", 108, 5)
    with pytest.raises(Unanswered, match=r"for cifar10 108 has no seed 1 \(it has: 0, 5\)"):
        table.seconds(HASHES[1], "cifar10", 108, 1)
    embedded = TABLES["nasbench201"]()
    arch = embedded.keys[0].as_py()
    with pytest.raises(Unanswered, match="has no training times"):
        embedded.seconds(arch, "cifar10", 200)
    with pytest.raises(Unanswered, match="has no parameter counts"):
        embedded.parameters(arch, "cifar10")
    with pytest.raises(Unanswered, match="no values from halfway"):
        embedded.score(arch, "cifar10", "valid", 200, halfway=True)


def test_many_queries_answer_as_one_by_one(tmp_path: Path) -> None:
    table = TABLES["nasbench201"]()
    archs = [*SPACES["nasbench201"].archs()[::9], "unknown", ""]
    assert len(archs) >= FEW
    rows = table.rows(archs)
    assert rows.tolist() == [int(table.rows([arch])[0]) for arch in archs]
    assert rows.tolist()[-2:] == [-1, -1]
    values = table.scores(archs, "cifar10", "valid", 200)
    assert values[5] == table.score(archs[5], "cifar10", "valid", 200)
    assert numpy.isnan(values[-2:]).all()
    assert not numpy.isnan(values[:-2]).any()


def test_arrow_numbers_without_pandas() -> None:
    array = pyarrow.array([1.0, 2.0, None, 4.0], pyarrow.float64())
    numpy.testing.assert_array_equal(plain(array, -1), [1, 2, -1, 4])
    numpy.testing.assert_array_equal(plain(array.slice(1), math.nan), [2, math.nan, 4])
    assert plain(array.slice(4), 0).tolist() == []


def test_columns_are_read_when_first_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(
        "nas_stability.benchmarks.tables.open_file.read_column",
        lambda path, name, metadata: read.append(name) or numpy.ones(3),
    )
    table = packed(tmp_path / "packed.parquet")
    assert read == []
    for _ in range(2):
        assert table.score(HASHES[0], "cifar10", "valid", 108, 5) == 1.0
    assert read == ["accuracy|cifar10|valid|108|5"]


def test_opening_a_table_imports_neither_pytorch_nor_pandas(tmp_path: Path) -> None:
    packed(tmp_path / "packed.parquet")
    code = (
        "import sys; from pathlib import Path; from nas_stability.benchmarks.tables.open_file import open_table; "
        f"table = open_table(Path({str(tmp_path / 'packed.parquet')!r})); "
        f"print(table.score({HASHES[0]!r}, 'cifar10', 'valid', 108)); print({{'torch', 'pandas'}} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "91.0\nset()\n"


@pytest.mark.parametrize("columns", [{"arch": HASHES[::-1]}, {"arch": [HASHES[0]] * 3}, {"arch": [*HASHES[:2], None]}])
def test_keys_out_of_order_are_noticed(columns: dict[str, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "packed.parquet"
    packed(path)
    table = pyarrow.parquet.read_table(path)
    metadata = {b"nas-stability": table.schema.metadata[b"nas-stability"]}
    pyarrow.parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), path)
    with pytest.raises(CorruptFile, match=r"packed\.parquet is damaged: its architectures are not sorted and distinct"):
        open_table(str(path), "nasbench1shot1-s1")


def test_metadata_of_another_table_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "packed.parquet"
    packed(path)
    table = pyarrow.parquet.read_table(path)
    renamed = table.rename_columns([name.replace("|0", "|1") for name in table.column_names])
    pyarrow.parquet.write_table(renamed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(CorruptFile, match="its metadata is not what was written"):
        open_table(str(path), "nasbench1shot1-s1")


def test_packing_refuses_wrong_numbers_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "packed.parquet"
    question = Question("cifar10", "valid", 108, 0)
    with pytest.raises(BadInput, match=r"abab.*accuracy 101\.0 is not in"):
        write_packed(path, SOURCE, HASHES, {question: [1.0, 101.0, 2.0]})
    with pytest.raises(BadInput, match="twice or out of order"):
        write_packed(path, SOURCE, [HASHES[0]] * 2, {question: [1.0, 2.0]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (tidy(accuracy=101.0), r"row 0 \(from 0\), column accuracy: 101\.0 is not in \[0, 100\]"),
        (tidy(accuracy=math.nan), r"row 0 \(from 0\), column accuracy: is empty or not a number"),
        (tidy(split="validation"), r"row 0 \(from 0\), column split: 'validation' is none of train, valid, test"),
        (tidy(seed=0), "has two rows for 0000"),
        (tidy().drop(columns="seed"), "lacks the column 'seed'"),
        (tidy(arch=1), "column arch: it holds int64, not text"),
    ],
)
def test_tidy_files_that_cannot_be_used(frame: pandas.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        open_table(str(write(tmp_path, frame)), "nasbench1shot1-s1")
    assert "small" in str(caught.value)


@pytest.mark.parametrize("harm", ["cut", "text", "empty"])
def test_damaged_files(harm: str, tmp_path: Path) -> None:
    path = write(tmp_path, tidy())
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-50], "text": b"arch,accuracy\n" * 10, "empty": b""}[harm])
    with pytest.raises(CorruptFile, match=r"small\.parquet is not a readable Parquet file"):
        open_table(str(path), "nasbench1shot1-s1")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "packed.parquet"
    write_packed(path, SOURCE, HASHES, {Question("cifar10", "valid", 108, 0): [1.0, 2.0, 3.0]})
    table = pyarrow.parquet.read_table(path)
    newer = {b"nas-stability": table.schema.metadata[b"nas-stability"].replace(b'"format": 1', b'"format": 2')}
    assert newer[b"nas-stability"] != table.schema.metadata[b"nas-stability"]
    pyarrow.parquet.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(BadInput, match="format 2, newer than 1"):
        open_table(str(path), "nasbench1shot1-s1")


def real_1shot1_table(path: Path) -> int:
    """Converts the real NAS-Bench-101 results to a tidy file; returns the number of cells."""
    with numpy.load(SHARED / "data" / "nb101_1shot1_table.npz") as archive:
        hashes = archive["hash"].astype(str)
        frames = []
        for split in ("valid", "test"):
            errors = archive[f"{split}_err_count"]
            cells = len(errors)
            grid = numpy.indices(errors.shape).reshape(3, -1)
            frames.append(
                pandas.DataFrame(
                    {
                        "arch": hashes[grid[0]],
                        "dataset": "cifar10",
                        "split": split,
                        "epochs": archive["epochs"][grid[1]],
                        "seed": grid[2],
                        "accuracy": 100 * (1 - errors.ravel() / 9984),
                    }
                )
            )
    pandas.concat(frames).to_parquet(path, index=False)
    return cells


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="the real tables are not beside this checkout")
@pytest.mark.slow
def test_a_1shot1_search_against_the_real_table(tmp_path: Path) -> None:
    path = tmp_path / "nb101.parquet"
    assert real_1shot1_table(path) == 23_142
    table = open_table(str(path), "nasbench1shot1-s1")
    assert table is not None
    first = "00005c142e6f48ac74fdcf73e3439874"
    covered = table.scores([first], "cifar10", "valid", 108)
    if not math.isnan(covered[0]):
        assert covered[0] == pytest.approx(92.64155824979147)
    for space in ("nasbench1shot1-s1", "nasbench1shot1-s2"):
        values = table.scores(SPACES[space].archs(), "cifar10", "test", 108)
        assert 0 < numpy.isnan(values).mean() < 0.7
    spec = small_spec(space="nasbench1shot1-s1", table=str(path), epochs=3, arch_lr=2.0)
    run(spec, tmp_path / "run", PLACE, Watch())
    rows = pandas.read_csv(tmp_path / "run" / "epochs.csv")
    for row in rows.itertuples():
        answer = table.scores([row.arch], "cifar10", "test", 108)[0]
        assert (math.isnan(answer) and math.isnan(row.accuracy_cifar10_test)) or row.accuracy_cifar10_test == answer
    assert rows["regret_cifar10_valid"].min() >= 0
