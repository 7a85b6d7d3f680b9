"""Surrogates fitted to a table of genotypes: scikit-learn as the oracle, what is offered, what a run records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot
import numpy
import pandas
import pytest
import scipy.stats
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from nas_stability.analysis.averages import with_answers
from nas_stability.analysis.claims.judging import judge
from nas_stability.analysis.figures import curves
from nas_stability.analysis.names import answer_name
from nas_stability.asking import DARTS_DEFAULTS, TRAIN_DEFAULTS
from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.catalog import find_space, load_data, open_table
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.tables import training
from nas_stability.benchmarks.tables.drawn_cells import UNION, choices_of, draw_cells, reachable_skips, skips_of
from nas_stability.benchmarks.tables.fitting import (
    LOWEST_TAU,
    FoldAgreement,
    cross_validated,
    fit_table,
    fitted,
    markdown,
)
from nas_stability.benchmarks.tables.open_file import Source, write_packed
from nas_stability.benchmarks.tables.surrogate import (
    FLOOR,
    OPERATIONS,
    Hyperparameters,
    Process,
    Surrogate,
    features_of,
    kernel,
    open_surrogate,
    reaches,
    transformed,
)
from nas_stability.benchmarks.tables.table import Question, Unanswered
from nas_stability.benchmarks.tables.train_spec import TrainSpec, splits
from nas_stability.command_line import main
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.run import Watch, run
from tests.small import PLACE, load, small_spec

CELLS = 240
TARGET = ("digits", "valid_surrogate", 8)


def drawn(count: int) -> tuple[str, ...]:
    return draw_cells(count, torch.Generator().manual_seed(1))


def truth(arch: str) -> float:
    """Accuracy in percent: skips and noise cost, larger kernels gain; nothing else."""
    normal, reduction = genotypes.read(arch, genotypes.ANY)
    cost = {"skip_connect": 1.5, "noise": 3.0, "sep_conv_5x5": 0.2, "dil_conv_5x5": 0.3, "max_pool_3x3": 1.0}
    return 97 - sum(cost.get(name, 0.5) for name, _ in normal) - 0.3 * sum(cost.get(name, 0.5) for name, _ in reduction)


def table_at(folder: Path, count: int = CELLS, noise: float = 0.3, useless: bool = False) -> Path:
    """A packed table of two seeds of made-up accuracies; ``useless``: nothing but noise."""
    archs = drawn(count)
    generator = numpy.random.default_rng(0)
    values = numpy.array([truth(arch) for arch in archs]) if not useless else numpy.full(len(archs), 80.0)
    columns = {
        Question("digits", split, 8, seed): values - 1.0 * (split == "test") + generator.normal(0, noise, len(archs))
        for split in ("valid", "test")
        for seed in (0, 1)
    }
    path = folder / "made-up.parquet"
    write_packed(path, Source("made-up", "tests", "1", "ab" * 32, ""), archs, columns, {}, [7] * len(archs))
    return path


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_table(table_at(tmp_path_factory.mktemp("fit")))[0]


@pytest.fixture(scope="module")
def surrogate(fit: Path) -> Surrogate:
    return open_surrogate(fit)


def test_cells_are_drawn_evenly_over_spaces_and_numbers_of_skips() -> None:
    archs = drawn(CELLS)
    assert len(set(archs)) == CELLS
    assert list(archs) == sorted(archs)
    assert archs == drawn(CELLS)
    skips = numpy.bincount([skips_of(genotypes.read(arch, genotypes.ANY)[0]) for arch in archs], minlength=9)
    assert skips.min() >= CELLS // 5 * 4 // 9 - 1, "every number of skips, collapsed cells among them"
    assert all(any(reaches(space, arch) for space in UNION) for arch in archs)
    noisy = [arch for arch in archs if "noise" in arch.partition(";")[0]]
    assert len(noisy) > CELLS // 5 * 0.9
    generator = torch.Generator().manual_seed(0)
    assert {space: reachable_skips(choices_of(space), generator) for space in UNION} == {
        space: [0] if space == "darts-s4" else list(range(9)) for space in UNION
    }
    with pytest.raises(BadInput, match="'cells' must be at least 1"):
        drawn(0)


def test_features_are_the_operations_of_edges_and_their_counts() -> None:
    arch = find_space("darts").sample(torch.Generator().manual_seed(2))
    (found,) = features_of([arch])
    cells = found.reshape(2, 15, len(OPERATIONS))
    for kind, cell in enumerate(genotypes.read(arch, genotypes.ANY)):
        names = [name for name, _ in cell]
        assert cells[kind, :-1].sum() == 8
        assert [2 * cells[kind, -1, OPERATIONS.index(name)] for name in names] == [names.count(name) for name in names]
    other = find_space("darts").sample(torch.Generator().manual_seed(3))
    assert (features_of([other, arch])[1] == found).all()


def test_it_expects_what_scikit_learns_process_does() -> None:
    generator = numpy.random.default_rng(4)
    archs = drawn(60)
    features, accuracy = features_of(archs), generator.uniform(60, 99, 60)
    given = Hyperparameters(1.7, 0.8, 1.3, 2.5, 0.02, 0.4)
    kernel = (
        ConstantKernel(1.3, "fixed") * RBF(2.5, "fixed")
        + ConstantKernel(0.02, "fixed") * DotProduct(0.0, "fixed")
        + WhiteKernel(0.4, "fixed")
    )
    oracle = GaussianProcessRegressor(kernel, alpha=0, optimizer=None)
    oracle.fit(features[:50], (numpy.log(100 - accuracy[:50] + FLOOR) - 1.7) / 0.8)
    mean, deviation = oracle.predict(features[50:], return_std=True)
    found = Process(features[:50], accuracy[:50], given).expect(features[50:])
    for ours, shift in ((found.accuracy, 0), (found.high, -1), (found.low, 1)):
        logarithm = mean + shift * scipy.stats.norm.ppf(0.975) * deviation
        numpy.testing.assert_allclose(
            ours, numpy.clip(100 + FLOOR - numpy.exp(0.8 * logarithm + 1.7), 0, 100), rtol=0, atol=1e-6
        )
    numpy.testing.assert_allclose(found.deviation, (found.high - found.low) / 2 / scipy.stats.norm.ppf(0.975))


def test_hyperparameters_are_those_of_the_largest_likelihood() -> None:
    archs = drawn(100)
    features = features_of(archs)
    accuracy = numpy.array([truth(arch) for arch in archs]) + numpy.random.default_rng(5).normal(0, 2, 100)
    given = fitted(features, accuracy)
    assert given == fitted(features, accuracy), "it is a function of the table"

    def likelihood(one: Hyperparameters) -> float:
        covariance = kernel(features, features, one) + one.noise * numpy.eye(100)
        return float(scipy.stats.multivariate_normal(cov=covariance).logpdf(transformed(accuracy, one)))

    best = likelihood(given)
    for name in ("amplitude", "length", "linear", "noise"):
        for factor in (0.8, 1.25):
            assert likelihood(given._replace(**{name: factor * getattr(given, name)})) < best + 1e-2, name


@pytest.mark.slow
def test_of_what_it_has_not_seen_it_knows_the_order_and_how_sure_it_is(fit: Path) -> None:
    statistics = pandas.DataFrame(json.loads(fit.read_text())["statistics"]).set_index(["target", "group"])
    whole = statistics.loc["digits valid 8", "all"]
    assert whole["cells"] == CELLS
    assert whole["tau"] > 0.75
    assert whole["spearman"] > 0.9
    assert whole["error"] < 1
    assert 88 <= whole["coverage"] <= 99
    assert statistics.loc[("digits valid 8", "darts-s4"), "cells"] >= CELLS // 5


def test_no_cell_is_expected_by_what_has_seen_it() -> None:
    archs = drawn(120)
    features, accuracy = features_of(archs), numpy.random.default_rng(6).uniform(50, 99, 120)
    found = cross_validated(features, accuracy)
    assert abs(scipy.stats.kendalltau(accuracy, found.accuracy).statistic) < 0.25, "there is nothing to know"


@pytest.mark.slow
def test_a_surrogate_that_is_not_good_enough_is_offered_nowhere(tmp_path: Path) -> None:
    path, agreements = fit_table(table_at(tmp_path, 120, noise=5, useless=True))
    assert max(one.tau for one in agreements if one.group in UNION) < LOWEST_TAU
    assert json.loads(path.read_text())["offered"] == []
    with pytest.raises(Unanswered, match="is offered in"):
        open_surrogate(path).score(drawn(3)[0], *TARGET)


@pytest.mark.slow
def test_it_answers_as_a_surrogate_alone(surrogate: Surrogate) -> None:
    assert surrogate.listed is None
    assert surrogate.splits == ("valid_surrogate", "test_surrogate")
    assert (surrogate.datasets, surrogate.budgets) == (("digits",), (8,))
    arch = next(arch for arch in drawn(400) if surrogate.answers_for(arch) and arch not in set(drawn(CELLS)))
    value = surrogate.score(arch, *TARGET)
    assert abs(value - truth(arch)) < 3
    assert 0 < surrogate.deviation(arch, *TARGET) < 3
    assert surrogate.scores([arch, arch], *TARGET).tolist() == [value, value]
    for wrong in (("digits", "valid", 8), ("cifar10", "valid_surrogate", 8), ("digits", "valid_surrogate", 9)):
        with pytest.raises(Unanswered, match="does not answer for"):
            surrogate.score(arch, *wrong)


@pytest.mark.slow
def test_a_space_in_which_it_is_not_offered_has_no_answers(surrogate: Surrogate) -> None:
    only = Surrogate(surrogate.name, "tests", "ab" * 32, surrogate.table, surrogate.hyperparameters, ("darts-s2",))
    inside, outside = (find_space(name).sample(torch.Generator().manual_seed(1)) for name in ("darts-s2", "darts-s4"))
    assert numpy.isnan(only.scores([inside, outside], *TARGET)).tolist() == [False, True]
    with pytest.raises(Unanswered, match="is offered in darts-s2, not for normal"):
        only.score(outside, *TARGET)


def harm(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def harmed(path: Path) -> None:
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return harmed


def other_table(path: Path) -> None:
    shutil.copy(table_at(path.parent / "other", noise=0.4), path.parent / "made-up.parquet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            harm(lambda values: values.update(offered=["darts"])),
            CorruptFile,
            "was altered: its checksum does not match",
        ),
        (harm(lambda values: values.pop("sha256")), CorruptFile, "cannot be read"),
        (lambda path: path.write_text("{"), CorruptFile, "cannot be read"),
        (lambda path: path.unlink(), BadInput, "does not exist; nas-stability table fit"),
        (lambda path: (path.parent / "made-up.parquet").unlink(), BadInput, "does not exist"),
        (other_table, CorruptFile, "is not the one that made-up.fit.json was fitted to"),
    ],
)
def test_what_was_not_written_is_not_opened(
    change: Callable[[Path], None], error: type[Exception], message: str, fit: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    for name in ("made-up.fit.json", "made-up.parquet"):
        shutil.copy(fit.parent / name, tmp_path / name)
    change(tmp_path / "made-up.fit.json")
    with pytest.raises(error, match=message):
        open_surrogate(tmp_path / "made-up.fit.json")


def test_a_table_of_other_architectures_has_no_surrogate(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it is not of genotypes of DARTS cells"):
        fit_table(catalog.DIGITS_TABLE)
    with pytest.raises(BadInput, match="has 30 cells with a value, too few"):
        fit_table(table_at(tmp_path, 30))


@pytest.mark.slow
def test_a_run_records_what_is_expected_and_how_surely(fit: Path, surrogate: Surrogate, tmp_path: Path) -> None:
    for method in ("darts", "sdarts-rs"):
        for seed in range(2):
            spec = small_spec(space="darts-s2", method=method, seed=seed, table=str(fit), table_epochs=8, width=4)
            run(spec, tmp_path / "study" / spec.run_id, PLACE, Watch())
    folder = tmp_path / "study"
    rows = read_rows(next(folder.iterdir()) / "epochs.csv")
    for row in rows:
        assert float(row["accuracy_digits_valid_surrogate"]) == surrogate.score(row["arch"], *TARGET)
        assert float(row["accuracy_digits_valid_surrogate_sd"]) == surrogate.deviation(row["arch"], *TARGET)
        assert row["regret_digits_valid_surrogate"] == ""
    names = set(rows[0])
    assert {name for name in names if name.startswith("accuracy_")} == {
        f"accuracy_digits_{split}_surrogate{ending}" for split in ("valid", "test") for ending in ("", "_sd")
    }
    assert {name for name in names if name.endswith("_sd")} == {
        f"accuracy_digits_{s}_surrogate_sd" for s in ("valid", "test")
    }
    assert main(["check", str(folder)]) == 0
    study = load(folder)
    assert study.answers("darts-s2") == ["accuracy_digits_valid_surrogate", "accuracy_digits_test_surrogate"]
    assert answer_name("digits_valid_surrogate") == "digits validation (surrogate)"
    axes = curves.draw_trajectory(matplotlib.pyplot.figure().subplots(), study, "darts-s2", "digits_valid_surrogate")
    hatched = [band for band in axes.collections if band.get_hatch()]
    assert len(hatched) == 2, "one for each method"
    assert "surrogate" in axes.get_ylabel()
    drawn_answers = [answer for _, answer in with_answers(study)]
    assert drawn_answers == ["digits_valid_surrogate", "digits_test_surrogate"], "a deviation is no answer"
    verdicts = judge(study).set_index("claim")
    assert verdicts.loc["sdarts-rs-ends-better", "statement"].startswith("By a surrogate: SDARTS-RS")
    assert "surrogate" not in verdicts.loc["sdarts-rs-hessian-smaller", "statement"]


@pytest.mark.slow
def test_the_command_line(fit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_at(tmp_path, 120)
    assert main(["table", "fit", str(table)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["target", "group", "cells", "tau", "Spearman", "error", "coverage"]
    assert printed[-1].startswith(f"{tmp_path / 'made-up.fit.json'}: offered in ")
    arch = find_space("darts-s2").sample(torch.Generator().manual_seed(1))
    asked = ["table", "query", str(fit), "--dataset", "digits", "--split", "valid", "--epochs", "8"]
    assert main([*asked, "--arch", genotypes.printed_text(genotypes.read(arch, genotypes.ANY))]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["split"], answer["arch"]) == ("surrogate", "valid_surrogate", arch)
    assert answer["low"] < answer["accuracy"] < answer["high"]
    assert main([*asked, "--arch", arch, "--seed", "1"]) == 2
    assert "is a surrogate" in capsys.readouterr().err
    assert main([*asked[:-1], "9", "--arch", arch]) == 2
    assert "does not answer for digits valid_surrogate 9" in capsys.readouterr().err
    found = open_table(str(fit), "darts-s1")
    assert found is not None
    assert found.name == "made-up"


SHIPPED = catalog.DARTS_FIT


def test_the_shipped_surrogate_is_whole_small_and_described() -> None:
    found, values = open_surrogate(SHIPPED), json.loads(SHIPPED.read_text())
    table = SHIPPED.with_name("darts-digits.parquet")
    assert SHIPPED.stat().st_size + table.stat().st_size < 600_000
    assert len(found.table.keys) == 800
    spec = TrainSpec(**{**TRAIN_DEFAULTS, **DARTS_DEFAULTS, "space": "darts"})
    assert found.table.sha256 == spec.sha256(), "what the command trains is what is shipped"
    agreements = [FoldAgreement(**one) for one in values["statistics"]]
    good = {one.group for one in agreements} - {one.group for one in agreements if one.tau < LOWEST_TAU}
    assert set(found.offered) == good & set(UNION)
    page = (Path(__file__).parents[3] / "results" / "tables" / "README.md").read_text()
    assert markdown(agreements) in page
    assert spec.json() in page
    for space in UNION:
        assert open_table("auto", space) is not None
        assert catalog.shipped_for(space) == "darts-digits"


@pytest.mark.slow
def test_the_shipped_cells_are_what_training_gives() -> None:
    """Other processors round otherwise; one network of one cell, within what a seed moves."""
    spec = TrainSpec(**{**TRAIN_DEFAULTS, **DARTS_DEFAULTS, "space": "darts"})
    table = open_surrogate(SHIPPED).table
    arch = table.keys[400].as_py()
    data = splits(spec, load_data("digits", Path()))
    again = [training.train_net(spec, data, arch, arch, seed) for seed in range(4)]
    recorded = [table.score(arch, "digits", "valid", 2, seed) for seed in range(4)]
    assert numpy.mean([one.valid / 7.19 for one in again]) == pytest.approx(numpy.mean(recorded), abs=3)
    assert table.parameters(arch) == again[0].parameters
