"""The graph of decisions, held to each space's own neighbours and to literal double loops."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import networkx
import pytest

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import decision_graph, nasbench201
from nas_stability.benchmarks.spaces.decision_graph import DecisionGraph
from nas_stability.benchmarks.tables.walks import levels

S1 = SPACES["nasbench1shot1-s1"]


@pytest.fixture(scope="module")
def nasbench201_graph() -> DecisionGraph:
    """That of NAS-Bench-201."""
    return decision_graph.decision_graph(SPACES["nasbench201"])


@pytest.fixture(scope="module")
def first_graph() -> DecisionGraph:
    """That of NAS-Bench-1Shot1's first space."""
    return decision_graph.decision_graph(S1)


def tiny(shapes: tuple[tuple[int, int], ...], kept: tuple[int, ...], text: Any) -> Any:
    """A space of which the graph asks no more than this."""
    return SimpleNamespace(name="tiny", unlisted=None, harden=None, shapes=shapes, kept=kept, discretize=text)


def test_a_graph_by_hand() -> None:
    """Two rows of two choices; the second row means nothing where the first keeps its first: three vertices."""

    def text(mixture: Any) -> str:
        first, second = (row.index(1.0) for row in mixture[0].tolist())
        return "a" if first == 0 else "bc"[second]

    found = decision_graph.decision_graph(tiny(((2, 2),), (1,), text))
    assert found.archs == ("a", "b", "c")
    assert [found.neighbours(place).tolist() for place in range(3)] == [[1, 2], [0, 2], [0, 1]]


def test_a_kept_input_is_exchanged_for_one_other() -> None:
    """Two of four inputs: each pair has four neighbours, and the pair that shares none is two decisions away."""

    def text(mixture: Any) -> str:
        return "".join(str(place) for place, weight in enumerate(mixture[0][0].tolist()) if weight == 0.5)

    found = decision_graph.decision_graph(tiny(((1, 4),), (2,), text))
    assert found.archs == ("01", "02", "03", "12", "13", "23")
    assert [found.archs[place] for place in found.neighbours(0)] == ["02", "03", "12", "13"]
    assert [len(found.neighbours(place)) for place in range(6)] == [4] * 6


def test_nasbench201_is_a_hamming_graph(nasbench201_graph: DecisionGraph) -> None:
    """Neighbours differ in one of six operations; distances are Hamming's, by the tuples of operations themselves."""
    space = SPACES["nasbench201"]
    assert nasbench201_graph.archs == space.archs()
    choices = {nasbench201.arch_of(one): one for one in itertools.product(range(5), repeat=6)}
    for place in random.Random(1).sample(range(15_625), 20):
        arch = nasbench201_graph.archs[place]
        around = tuple(nasbench201_graph.archs[other] for other in nasbench201_graph.neighbours(place))
        assert around == space.neighbours(space.mixture(arch))
    shells = list(levels(nasbench201_graph, [7]))
    assert [len(shell) for shell in shells] == [1, 24, 240, 1280, 3840, 6144, 4096]
    own = choices[nasbench201_graph.archs[7]]
    for distance, shell in enumerate(shells):
        for place in shell[:: max(1, len(shell) // 50)]:
            other = choices[nasbench201_graph.archs[place]]
            assert sum(one != two for one, two in zip(own, other, strict=True)) == distance


def test_isomorphic_configurations_are_one_vertex(first_graph: DecisionGraph) -> None:
    """By a literal loop over the raw configurations and the space's own neighbours of each."""
    assert first_graph.archs == S1.archs()
    index = {arch: place for place, arch in enumerate(first_graph.archs)}
    literal = networkx.Graph()
    literal.add_nodes_from(range(len(index)))
    every = list(decision_graph.raw_mixtures(S1))
    assert len(every) == 14_580
    for mixture in every[::29]:
        here = index[S1.discretize(mixture)]
        around = {index[arch] for arch in S1.neighbours(mixture)}
        assert around <= set(first_graph.neighbours(here).tolist())
        literal.add_edges_from((here, other) for other in around)
    assert literal.number_of_edges() > 3000
    # Of one architecture all configurations: together they have exactly its neighbours.
    for wanted in (3, 1500):
        of_one = [mixture for mixture in every if index[S1.discretize(mixture)] == wanted]
        around = {index[arch] for mixture in of_one for arch in S1.neighbours(mixture)}
        assert around == set(first_graph.neighbours(wanted).tolist())


def test_neighbours_are_mutual_and_never_oneself(first_graph: DecisionGraph) -> None:
    pairs = {(place, int(other)) for place in range(len(first_graph.archs)) for other in first_graph.neighbours(place)}
    assert len(pairs) == len(first_graph.around)
    assert all(one != other and (other, one) in pairs for one, other in pairs)


def test_a_space_that_is_too_large_says_what_is_possible() -> None:
    with pytest.raises(BadInput, match=r"darts-s2 has 2,123,366,400 architectures, too many to list.*neighbours\*"):
        decision_graph.decision_graph(SPACES["darts-s2"])
    rowless = SimpleNamespace(name="odd", unlisted=None, harden=lambda mixture: mixture)
    with pytest.raises(BadInput, match="the rows of odd are not decided each by itself"):
        decision_graph.decision_graph(rowless)  # type: ignore[arg-type]
