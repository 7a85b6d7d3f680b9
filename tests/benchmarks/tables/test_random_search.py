"""Random search by a table, exactly, against every sequence of draws there is."""

from __future__ import annotations

import itertools

import numpy
import pytest

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.tables.random_search import random_search
from nas_stability.harness.measuring.asked_table import columns_of, random_searches, scores, table_of
from tests.small import small_spec

VALID = [10.0, 30.0, 30.0, 20.0]
TEST = [11.0, 28.0, 36.0, 25.0]
CONFIGURATIONS = [1, 2, 1, 3]


def every_sequence(draws: int) -> float:
    """The mean over all sequences of raw configurations of the accuracy of the first that is best by validation."""
    raw = [arch for arch, count in enumerate(CONFIGURATIONS) for _ in range(count)]
    best = [max(drawn, key=lambda arch: VALID[arch]) for drawn in itertools.product(raw, repeat=draws)]
    return sum(TEST[arch] for arch in best) / len(best)


@pytest.mark.parametrize("draws", [1, 2, 3, 4])
def test_it_is_the_mean_over_all_sequences_of_draws(draws: int) -> None:
    """Of equals ``max`` keeps the first, as a search does."""
    found = random_search(*map(numpy.array, (TEST, VALID, CONFIGURATIONS)), (draws,))
    assert found is not None
    assert found.best_of[draws] == pytest.approx(every_sequence(draws), rel=1e-12)
    assert found.answered == 100


def test_what_the_table_lacks_is_not_drawn() -> None:
    lacking = numpy.array([*VALID, numpy.nan]), numpy.array([*TEST, 90.0]), numpy.array([*CONFIGURATIONS, 7])
    found = random_search(lacking[1], lacking[0], lacking[2], (1, 3))
    assert found is not None
    assert found.best_of == {1: pytest.approx(every_sequence(1)), 3: pytest.approx(every_sequence(3))}
    assert found.answered == 50
    assert random_search(numpy.full(4, numpy.nan), *map(numpy.array, (VALID, CONFIGURATIONS))) is None


def test_of_many_draws_it_is_the_best_by_validation() -> None:
    found = random_search(*map(numpy.array, (TEST, VALID, CONFIGURATIONS)), (10**6,))
    assert found is not None
    assert found.best_of[10**6] == pytest.approx((2 * 28 + 36) / 3)


@pytest.mark.parametrize(("space", "epochs"), [("nasbench201", 200), ("nasbench1shot1-s1", 6)])
def test_a_shipped_table_by_a_literal_sum(space: str, epochs: int) -> None:
    """S1's architectures stand for different numbers of raw configurations."""
    spec = small_spec(space=space, table_epochs=epochs)
    of, table = SPACES[space], table_of(spec)
    columns = columns_of(table, of)
    found = random_searches(table, of, columns, epochs)
    dataset, split = columns[0]
    archs = list(of.listed)
    assert table is not None
    values = dict(zip(archs, scores(table, archs, (dataset, split), epochs).tolist(), strict=True))
    weighed = [(values[arch], count) for arch, (_, count) in of.listed.items() if values[arch] == values[arch]]
    mean = sum(value * count for value, count in weighed) / sum(count for _, count in weighed)
    assert found[f"{dataset}_{split}"]["best_of_1"] == pytest.approx(mean, rel=1e-12)
    ascending = sorted(search["best_of_1"] for search in found.values())
    assert 0 < ascending[0] < ascending[-1] < 100
    for search in found.values():
        assert search["best_of_1"] < search["best_of_10"] < search["best_of_100"]
        assert search["answered"] == 100
    assert random_searches(None, of, columns, epochs) == {}
