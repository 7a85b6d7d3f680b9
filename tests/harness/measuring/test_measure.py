"""What is measured between epochs: neighbours in the table, and the supernet's order against the table's."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy
import pyarrow
import pytest
import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import cells_1shot1, module_hash
from nas_stability.benchmarks.spaces.space import Mixture, softmax
from nas_stability.benchmarks.tables import survey
from nas_stability.benchmarks.tables.table import Question, Table
from nas_stability.harness.measuring.asked_table import answers, columns_of, neighbourhood, table_of
from nas_stability.harness.measuring.measure import kendall_tau, measure, sample_accuracies
from nas_stability.harness.records.record import ALPHAS, DONE, EPOCHS, SPEC
from nas_stability.harness.records.sealed import SEAL
from nas_stability.harness.rng import stream
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.search import advance
from nas_stability.harness.specs.spec import Value
from tests import oracles, oracles_measure
from tests.harness.test_search import differing, state
from tests.slow import marked
from tests.small import PLACE, begin, reseal, small_spec

S1: dict[str, Value] = {"space": "nasbench1shot1-s1", "table_epochs": 6}
"""With the shipped table of the space trained on digits."""


def random_mixtures(space: str, count: int) -> list[Mixture]:
    generator = torch.Generator().manual_seed(11)
    return [
        softmax(tuple(torch.randn(shape, generator=generator) for shape in SPACES[space].shapes)) for _ in range(count)
    ]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / EPOCHS).open() as file:
        return list(csv.DictReader(file))


def toy_table(archs: Sequence[str], values: Sequence[float]) -> Table:
    """A table of one data set, split, budget and seed."""
    order = sorted(range(len(archs)), key=lambda index: archs[index])
    column = numpy.array([values[index] for index in order])
    keys = pyarrow.array([archs[index] for index in order], pyarrow.string())
    return Table("toy", "toy", "0" * 64, keys, {Question("d", "valid", 1, 0): lambda: column})


def test_neighbours_of_nasbench201_are_the_24_strings_with_one_other_operation() -> None:
    space = SPACES["nasbench201"]
    for mixture in random_mixtures("nasbench201", 20):
        assert list(space.neighbours(mixture)) == oracles_measure.neighbours_201(space.discretize(mixture))
        assert len(space.neighbours(mixture)) == 24


@pytest.mark.parametrize("space", ["nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"])
def test_neighbours_of_1shot1_are_the_raw_configurations_at_distance_one(space: str) -> None:
    counts = set()
    for mixture in random_mixtures(space, 4):
        found = SPACES[space].neighbours(mixture)
        assert list(found) == oracles_measure.neighbours_1shot1(space, mixture)
        assert SPACES[space].discretize(mixture) not in found
        counts.add(len(found))
    assert len(counts) > 1


@pytest.mark.parametrize("space", ["nasbench201", marked("nasbench1shot1-s1"), marked("nasbench1shot1-s2")])
def test_the_configuration_of_every_cell_discretises_to_it(space: str) -> None:
    of = SPACES[space]
    for arch, (cell, _) in list(of.listed.items())[:: 1 if space.endswith("s1") else 17]:
        mixture = of.configuration(cell)
        assert of.discretize(mixture) == arch
        assert [group.shape for group in mixture] == [torch.Size(shape) for shape in of.shapes]
        for group in mixture:
            torch.testing.assert_close(group.sum(1), torch.ones(len(group), dtype=torch.float64))
            assert all(len(set(row[row > 0].tolist())) == 1 for row in group)


@pytest.mark.slow
def test_configurations_of_the_third_space_without_enumerating_it() -> None:
    space = cells_1shot1.Wiring((1, 1, 1, 2, 2), 2)
    for mixture in random_mixtures("nasbench1shot1-s3", 30):
        parents = cells_1shot1.decisions(space, mixture)[1]
        pruned = module_hash.prune(cells_1shot1.decide(space, mixture))
        assert pruned.matrix in cells_1shot1.wired(space), parents
        found = SPACES["nasbench1shot1-s3"].configuration(pruned)
        assert cells_1shot1.describe(space, found) == cells_1shot1.describe(space, mixture)


def test_cells_come_from_the_store_as_they_were_enumerated(tmp_path: Path) -> None:
    space = SPACES["nasbench1shot1-s1"]
    archs = space.archs()[::100]
    assert survey.cells_of(space, archs, tmp_path) == {arch: space.listed[arch][0] for arch in archs}


def test_neighbourhood_by_hand() -> None:
    table = toy_table(["a", "b", "c", "d"], [10.0, 40.0, numpy.nan, 100.0])
    columns = [("d", "valid"), ("d", "test")]
    found = neighbourhood(table, ["a", "b", "c", "e"], columns, 1)
    assert found.mean == {("d", "valid"): 25.0, ("d", "test"): None}
    assert found.worst == {("d", "valid"): 10.0, ("d", "test"): None}
    assert found.missing == {("d", "valid"): 2, ("d", "test"): 4}
    nothing = neighbourhood(None, ["a"], columns, 1)
    assert {value for part in nothing for value in part.values()} == {None}


def test_tau_equals_the_count_over_all_pairs() -> None:
    rng = numpy.random.default_rng(0)
    for count in (2, 5, 30):
        for levels in (2, 4, 1000):
            left, right = rng.integers(0, levels, count) * 1.0, rng.integers(0, 5, count) * 1.0
            left[0], right[0] = left[1] + 1, right[1] - 1
            expected = oracles_measure.tau_b(left.tolist(), right.tolist())
            assert kendall_tau(left, right) == pytest.approx(expected, abs=1e-12)
    assert kendall_tau(numpy.arange(4.0), numpy.arange(4.0)) == 1
    assert kendall_tau(numpy.arange(4.0), -numpy.arange(4.0)) == -1


def test_tau_is_not_known_where_it_is_not_defined() -> None:
    assert kendall_tau(numpy.ones(3), numpy.arange(3.0)) is None
    assert kendall_tau(numpy.arange(3.0), numpy.ones(3)) is None
    assert kendall_tau(numpy.ones(1), numpy.ones(1)) is None
    assert kendall_tau(numpy.empty(0), numpy.empty(0)) is None


def test_the_sample_is_the_middle_of_each_stratum() -> None:
    space = SPACES["nasbench201"]
    table = table_of(small_spec())
    assert table is not None
    scored = list(zip(table.scores(space.archs(), "cifar10", "valid", 200).tolist(), space.archs(), strict=True))
    for count in (2, 7, 100):
        sample = answers(table, space, 200, count).sample
        assert sample is not None
        assert list(sample.archs) == oracles_measure.strata(scored, count)
        assert [space.discretize(mixture) for mixture in sample.mixtures] == list(sample.archs)
        for dataset in table.datasets:
            expected = [table.score(arch, dataset, "valid", 200) for arch in sample.archs]
            assert sample.accuracies[dataset, "valid"].tolist() == expected
            assert numpy.isnan(sample.accuracies[dataset, "test"]).all()


def test_a_table_of_few_architectures_is_taken_whole_and_an_empty_one_not_at_all() -> None:
    space = SPACES["nasbench201"]
    few = space.archs()[:5]
    sample = answers(toy_table(few, [3.0, 1.0, 2.0, numpy.nan, 5.0]), space, 1, 100).sample
    assert sample is not None
    assert sample.archs == (few[1], few[2], few[0], few[4])
    assert answers(toy_table(["stranger"], [1.0]), space, 1, 100).sample is None
    assert answers(toy_table(few, [1.0] * 5), space, 1, 0).sample is None
    assert answers(None, space, 1, 100).sample is None


@pytest.mark.parametrize("values", [{}, S1])
def test_accuracies_of_the_sample_equal_the_literal_supernet(values: dict[str, Value]) -> None:
    spec = small_spec(dtype="float64", images=200, hessian_batch_size=64, lr=0.1, **values)
    search, data = begin(spec)
    advance(search, data)
    sample = answers(table_of(spec), search.space, spec.table_epochs, 12).sample
    assert sample is not None
    taken = torch.randperm(len(data.valid.labels), generator=stream(spec.seed, "probe"))[:64]
    images = (data.valid.images[taken].double() - data.valid.mean) / data.valid.deviation
    tensors = search.space.published(search.net)
    expected = [
        100 * float((out.argmax(1) == data.valid.labels[taken]).double().mean())
        for mixture in sample.mixtures
        for out in [oracles.logits(spec.space, tensors, images, mixture, spec.depth, False, 0.1)]
    ]
    found = sample_accuracies(search, data, sample.mixtures)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    assert len(set(expected)) > 2


@pytest.mark.slow
def test_measuring_ranks_and_neighbours_changes_nothing() -> None:
    spec = small_spec(rank_sample=10, **S1)
    plain, data = begin(spec)
    watched, _ = begin(spec)
    answered = answers(table_of(spec), watched.space, spec.table_epochs, spec.rank_sample)
    before = torch.random.get_rng_state()
    for _ in range(2):
        advance(plain, data)
        record, _ = measure(watched, data, answered, advance(watched, data), softmax(watched.alpha), 0.0)
        assert record.rank_count["digits", "valid"] == 10
    assert differing(state(plain), state(watched)) == []
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.slow
def test_records_of_a_run(tmp_path: Path) -> None:
    spec = small_spec(epochs=3, measure_every=2, rank_sample=20, images=200, hessian_batch_size=64, lr=0.1, **S1)
    run(spec, tmp_path / "ranked", PLACE, Watch())
    plain = dataclasses.replace(spec, rank_sample=0)
    run(plain, tmp_path / "plain", PLACE, Watch())
    assert (tmp_path / "ranked" / ALPHAS).read_bytes() == (tmp_path / "plain" / ALPHAS).read_bytes()
    table = table_of(spec)
    assert table is not None
    found = rows(tmp_path / "ranked")
    assert [row["rank_count_digits_valid"] for row in found] == ["20", "", "20", "20"]
    assert [row["rank_tau_digits_test"] != "" for row in found][1:] == [False, True, True]
    assert all(abs(float(row["rank_tau_digits_valid"] or 0)) <= 1 for row in found)
    with numpy.load(tmp_path / "ranked" / ALPHAS) as archive:
        groups = [torch.from_numpy(archive[f"group_{index}"]) for index in range(len(archive.files))]
    for epoch, (row, other) in enumerate(zip(found, rows(tmp_path / "plain"), strict=True)):
        mixture = softmax(tuple(group[epoch] for group in groups))
        archs = oracles_measure.neighbours_1shot1(spec.space, mixture)
        values = [table.score(arch, "digits", "test", 6) for arch in archs]
        assert int(row["neighbours"]) == len(archs)
        assert float(row["neighbours_mean_digits_test"]) == pytest.approx(sum(values) / len(values), abs=1e-10)
        assert float(row["neighbours_worst_digits_test"]) == min(values)
        assert row["neighbours_missing_digits_test"] == "0"
        assert other["rank_tau_digits_valid"] == other["rank_count_digits_valid"] == ""
        for name in row.keys() - {"run", "seconds"}:
            assert row[name] == other[name] or name.startswith("rank_"), name


def test_a_run_without_a_table_counts_its_neighbours_and_knows_no_more(tmp_path: Path) -> None:
    run(small_spec(epochs=1, table="none"), tmp_path, PLACE, Watch())
    for row in rows(tmp_path):
        assert row["neighbours"] == "24"
        known = [name for name in row if name.startswith(("neighbours_", "rank_")) and row[name]]
        assert known == []
    assert check_study(tmp_path).problems == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("neighbours", "23", "neighbours is 23, the logits and the table give 24"),
        marked(("neighbours_mean_cifar100_valid", "1.5", "neighbours_mean_cifar100_valid is 1.5, the logits")),
        marked(("neighbours_worst_cifar10_valid", "", "neighbours_worst_cifar10_valid is empty, the logits")),
        marked(("neighbours_missing_cifar10_test", "0", "the logits and the table give 24")),
        marked(("rank_tau_cifar10_valid", "1.5", "rank_tau_cifar10_valid is 1.5 over 4 architectures")),
        marked(("rank_count_cifar10_valid", "5", "rank_count_cifar10_valid is 5, of a sample of 4")),
    ],
)
def test_check_notices_changed_measurements(name: str, value: str, message: str, tmp_path: Path) -> None:
    spec = small_spec(epochs=1)
    run(spec, tmp_path, PLACE, Watch())
    assert check_study(tmp_path).problems == []
    found = rows(tmp_path)
    assert found[1][name] != value
    found[1][name] = value
    with (tmp_path / EPOCHS).open("w") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    reseal(tmp_path)
    problems = check_study(tmp_path).problems
    assert any(message in problem for problem in problems), problems


@pytest.mark.slow
def test_a_run_of_schema_1_is_still_checked(tmp_path: Path) -> None:
    """As the first version left it: no field rank_sample, another hash, no columns of neighbours and ranks."""
    spec = small_spec(epochs=1, rank_sample=100)
    folder = tmp_path / "new"
    run(spec, folder, PLACE, Watch())
    values = {
        name: value for name, value in json.loads(spec.json()).items() if name not in ("rank_sample", "data_sha256")
    }
    (folder / SPEC).write_text(json.dumps(values, sort_keys=True, indent=1) + "\n")
    found = [
        {name: cell for name, cell in row.items() if not name.startswith(("neighbours", "rank_"))}
        for row in rows(folder)
    ]
    problems = check_study(folder).problems
    old = name_of(values, spec.run_id)
    record = json.loads((folder / DONE).read_text())
    del record[SEAL]
    with (folder / EPOCHS).open("w") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "run": old} for row in found)
    assert problems
    sums = {name: files.sha256(folder / name) for name in record["files"]}
    (folder / DONE).write_text(json.dumps({**record, "spec": values, "run": old, "schema": 1, "files": sums}))
    assert check_study(folder.rename(tmp_path / old)).problems == []


def name_of(values: dict[str, object], run_id: str) -> str:
    """The name that the first version gave a run."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, indent=1).encode()).hexdigest()
    return f"{run_id[:-8]}{digest[:8]}"


def test_a_sample_of_one_is_refused() -> None:
    with pytest.raises(BadInput, match="'rank_sample' must be 0 or at least 2"):
        small_spec(rank_sample=1)


def test_columns_of_a_run() -> None:
    space = SPACES["nasbench1shot1-s1"]
    assert columns_of(None, space) == (("cifar10", "valid"), ("cifar10", "test"))
    assert columns_of(table_of(small_spec(**S1)), space) == (("digits", "valid"), ("digits", "test"))
