"""The geometry of a table: by hand on a graph of six, and by networkx and double loops on the tables themselves."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import networkx
import numpy
import pytest
from scipy import stats

from nas_stability.benchmarks.catalog import SPACES, open_listed
from nas_stability.benchmarks.spaces.decision_graph import DecisionGraph
from nas_stability.benchmarks.tables import geometry, walks
from nas_stability.benchmarks.tables.geometry import Terrain
from nas_stability.benchmarks.tables.table import Unanswered

NAN = float("nan")


def graph_of(edges: Sequence[tuple[int, int]], count: int) -> DecisionGraph:
    """A graph of architectures a, b, c, ... by its edges."""
    both = sorted([*edges, *((other, one) for one, other in edges)])
    starts = numpy.searchsorted([one for one, _ in both], numpy.arange(count + 1))
    around = numpy.array([other for _, other in both], dtype=numpy.int64)
    return DecisionGraph(tuple("abcdefghij"[:count]), starts.astype(numpy.int64), around)


HAND = graph_of([(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)], 6)
"""A square a-b-d-c with a tail d-e, and f by itself."""


def as_networkx(graph: DecisionGraph) -> networkx.Graph:
    """The same graph for networkx."""
    found = networkx.Graph()
    found.add_nodes_from(range(len(graph.archs)))
    found.add_edges_from((one, int(other)) for one in range(len(graph.archs)) for other in graph.neighbours(one))
    return found


@pytest.fixture(scope="module")
def digits() -> Terrain:
    """The shipped table of NAS-Bench-1Shot1's first space, with every seventh answer taken away."""
    table, space = open_listed("nasbench1shot1-s1-digits"), SPACES["nasbench1shot1-s1"]
    whole = geometry.terrain(table, space, "digits", "valid", 6)
    return geometry.over(whole.graph, numpy.where(numpy.arange(len(whole.values)) % 7 == 3, NAN, whole.values))


@pytest.fixture(scope="module")
def cifar10() -> Terrain:
    """NAS-Bench-201 on CIFAR-10."""
    return geometry.terrain(open_listed("nasbench201"), SPACES["nasbench201"], "cifar10", "valid", 200)


def test_paths_by_hand() -> None:
    """From a to e there are two ways, over b and over c; c is worse, and of f nothing is known."""
    values = numpy.array([80.0, 70.0, 60.0, 90.0, 75.0, 99.0])
    found = walks.ways(HAND, values, [0])
    assert found.distance.tolist() == [0, 1, 1, 2, 3, walks.UNREACHED]
    assert found.paths.tolist() == [1, 1, 1, 2, 2, 0]
    assert found.lowest[:5].tolist() == [80, 70, 60, 70, 70]
    assert numpy.isnan(found.lowest[5])
    assert walks.barriers(values, found, 80.0)[:5].tolist() == [0, 0, 0, 10, 5]
    assert list(walks.shortest_paths(HAND, 0, 4)) == [(0, 1, 3, 4), (0, 2, 3, 4)]
    assert list(walks.shortest_paths(HAND, 0, 0)) == [(0,)]
    assert list(walks.shortest_paths(HAND, 0, 5)) == []


def test_a_missing_answer_is_not_guessed() -> None:
    """Without b the only whole way is over c; without d there is none, and the barrier is not known."""
    over_c = walks.ways(HAND, numpy.array([80.0, NAN, 60.0, 90.0, 75.0, 99.0]), [0])
    assert (over_c.paths[4], over_c.whole[4], over_c.lowest[4]) == (2, 1, 60)
    none = walks.ways(HAND, numpy.array([80.0, 70.0, 60.0, NAN, 75.0, 99.0]), [0])
    assert (none.paths[4], none.whole[4]) == (2, 0)
    assert numpy.isnan(none.lowest[4])
    assert numpy.isnan(walks.ways(HAND, numpy.array([NAN, 70.0, 60.0, 90.0, 75.0, 9.0]), [0]).lowest[:5]).all()


def test_two_that_are_equally_good_are_both_the_best() -> None:
    found = geometry.over(HAND, numpy.array([90.0, 70.0, 60.0, 65.0, 90.0, NAN]))
    assert found.best.tolist() == [0, 4]
    assert found.to_best.distance.tolist() == [0, 1, 1, 1, 0, walks.UNREACHED]
    assert geometry.optima(found) == (2, 0)
    assert geometry.fitness_distance(found).size == 5  # f is not reached, and has no answer
    with pytest.raises(Unanswered, match="the table has none of the 6 architectures"):
        geometry.over(HAND, numpy.full(6, NAN))


def test_surroundings_by_hand() -> None:
    """Of d within one decision b, c, e; within two also a. Classes by the bounds 60, 62, ... 80."""
    found = geometry.over(HAND, numpy.array([80.0, 70.0, NAN, 69.5, 60.0, 99.0]))
    one, two = geometry.surroundings(found, 3, (1, 2), numpy.linspace(60, 80, 11))
    assert (one.size, one.missing, one.mean, one.worst, one.alike) == (3, 1, 65, 60, 50)
    assert (two.size, two.missing, two.mean, two.worst) == (4, 1, 70, 60)
    assert two.alike == pytest.approx(100 / 3)
    assert one.classes.tolist() == [50, 0, 0, 0, 0, 50, 0, 0, 0, 0]
    lonely = geometry.surroundings(found, 5, (1,), numpy.linspace(60, 80, 11))[0]
    assert (lonely.size, lonely.missing) == (0, 0)
    assert numpy.isnan(lonely.mean)


def test_optima_are_those_of_a_double_loop(digits: Terrain, cifar10: Terrain) -> None:
    for found in (digits, cifar10):
        local = lacking = 0
        for place, value in enumerate(found.values):
            around = [float(found.values[other]) for other in found.graph.neighbours(place)]
            known = [one for one in around if not numpy.isnan(one)]
            if not numpy.isnan(value) and known and all(value >= one for one in known):
                local += 1
                lacking += len(known) < len(around)
        assert geometry.optima(found) == (local, lacking)
        assert local > 1


def test_ways_are_networkx_s(digits: Terrain, cifar10: Terrain) -> None:
    """Distance, number of paths, whole ones and the best of them, from every shortest path that networkx lists."""
    draws = random.Random(3)
    for found, tries in ((digits, 60), (cifar10, 12)):
        theirs = as_networkx(found.graph)
        for _ in range(tries):
            one, other = draws.sample(range(len(found.values)), 2)
            ours = walks.ways(found.graph, found.values, [one])
            listed = sorted(map(tuple, networkx.all_shortest_paths(theirs, one, other)))
            assert list(walks.shortest_paths(found.graph, one, other)) == listed
            lowest = [min(found.values[place] for place in path) for path in listed]
            whole = [
                low for low, path in zip(lowest, listed, strict=True) if not numpy.isnan(found.values[[*path]]).any()
            ]
            assert (ours.distance[other], ours.paths[other], ours.whole[other]) == (
                len(listed[0]) - 1,
                len(listed),
                len(whole),
            )
            assert numpy.isnan(ours.lowest[other]) if not whole else ours.lowest[other] == max(whole)
            row = geometry.pair_row(found, "drawn", one, other)
            ends = min(found.values[one], found.values[other])
            assert row["barrier"] == (ends - max(whole) if whole else None)
            assert row["missing"] == len(listed) - len(whole)


def test_distances_to_the_best_and_their_correlation(digits: Terrain, cifar10: Terrain) -> None:
    """Distances by networkx from every best one; Pearson by its formula, Spearman by Pearson of mean ranks."""
    for found in (digits, cifar10):
        theirs = networkx.multi_source_dijkstra_path_length(as_networkx(found.graph), set(found.best.tolist()))
        assert found.to_best.distance.tolist() == [theirs[place] for place in range(len(found.values))]
        there = ~numpy.isnan(found.values)
        fitness, distance = found.values[there], found.to_best.distance[there].astype(float)
        covariance = ((fitness - fitness.mean()) * (distance - distance.mean())).mean()
        ours = geometry.fitness_distance(found)
        assert ours.pearson == pytest.approx(covariance / fitness.std() / distance.std(), abs=1e-12)
        ranks = numpy.corrcoef(stats.rankdata(fitness), stats.rankdata(distance))[0, 1]
        assert ours.spearman == pytest.approx(ranks, abs=1e-12)
        assert ours.size == there.sum()


def test_fitness_that_is_distance_correlates_fully() -> None:
    found = geometry.over(HAND, numpy.array([90.0, 80.0, 80.0, 70.0, 60.0, NAN]))
    assert geometry.fitness_distance(found)[:2] == pytest.approx((-1, -1))
    flat = geometry.over(HAND, numpy.full(6, 50.0))
    assert numpy.isnan(geometry.fitness_distance(flat).pearson)


def test_rows_are_those_of_double_loops(digits: Terrain) -> None:
    """geometry.csv of every fortieth architecture, over all distances by networkx."""
    most = 60
    rows = geometry.geometry_rows(digits, most=most)
    middles = geometry.centres(digits, most)
    answered = [place for place, value in enumerate(digits.values) if not numpy.isnan(value)]
    ranked = sorted(answered, key=lambda place: (digits.values[place], place))
    strata = [ranked[len(ranked) * part // most : len(ranked) * (part + 1) // most] for part in range(most)]
    assert all(place in stratum for place, stratum in zip(middles.tolist(), strata, strict=True))
    ends = numpy.quantile(digits.values[answered], numpy.linspace(0, 1, 11))
    theirs = as_networkx(digits.graph)
    distance = {place: networkx.single_source_shortest_path_length(theirs, place) for place in middles.tolist()}
    assert {(row["class"], row["radius"]) for row in rows} == set(itertools.product(range(1, 11), (1, 2, 3)))
    for row in rows:
        inside = [place for place in middles.tolist() if row["class"] == kind(digits.values[place], ends)]
        assert row["centres"] == len(inside)
        balls = [[other for other, far in distance[place].items() if 0 < far <= row["radius"]] for place in inside]
        told = [[digits.values[other] for other in ball if not numpy.isnan(digits.values[other])] for ball in balls]
        assert row["around"] == pytest.approx(numpy.mean([len(ball) for ball in balls]))
        assert row["missing"] == pytest.approx(numpy.mean([len(a) - len(b) for a, b in zip(balls, told, strict=True)]))
        assert row["mean"] == pytest.approx(numpy.mean([numpy.mean(one) for one in told]))
        assert row["worst"] == pytest.approx(numpy.mean([min(one) for one in told]))
        near = [
            sum(abs(value - digits.values[place]) <= 1 for value in one) / len(one)
            for place, one in zip(inside, told, strict=True)
        ]
        assert row["alike"] == pytest.approx(100 * numpy.mean(near))
        for number in (1, 4, 10):
            share = numpy.mean([sum(kind(value, ends) == number for value in one) / len(one) for one in told])
            assert row[f"share_{number}"] == pytest.approx(100 * share)


def kind(value: float, ends: Sequence[float]) -> int:
    """The class of an accuracy, 1 the lowest."""
    return max([1, *(place + 1 for place in range(1, 10) if value >= ends[place])])


def test_rows_of_distance_and_pairs(digits: Terrain) -> None:
    rows = geometry.to_best_rows(digits)
    assert sum(row["architectures"] for row in rows) == len(digits.values)  # type: ignore[misc]
    assert sum(row["missing"] for row in rows) == numpy.isnan(digits.values).sum()  # type: ignore[misc]
    assert rows[0]["best"] == digits.highest == rows[0]["worst"]
    here = digits.to_best.distance == 2
    assert rows[2]["median"] == pytest.approx(numpy.nanmedian(digits.values[here]))
    known = [geometry.pair_row(digits, "", int(digits.best[0]), place)["barrier"] for place in numpy.flatnonzero(here)]
    if len(digits.best) == 1:
        assert rows[2]["barrier_highest"] == max(one for one in known if one is not None)  # type: ignore[type-var]
    chosen = list(geometry.pairs(digits, drawn=7, best=4))
    assert [one[0] for one in chosen] == ["best"] * 6 + ["drawn"] * 7
    top = sorted(digits.values[~numpy.isnan(digits.values)])[-4:]
    assert {digits.values[place] for one in chosen[:6] for place in one[1:]} == set(top)
    assert list(geometry.pairs(digits, drawn=7, best=4)) == chosen, "the draws are the same each time"
    assert not any(numpy.isnan(digits.values[place]) for one in chosen for place in one[1:])


def test_the_place_of_an_architecture(digits: Terrain) -> None:
    assert geometry.place_of(digits, digits.graph.archs[17]) == 17
    with pytest.raises(Unanswered, match="does not reach the architecture 'zzz'"):
        geometry.place_of(digits, "zzz")
