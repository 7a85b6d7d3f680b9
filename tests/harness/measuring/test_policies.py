"""Policies of discretisation: by hand-made mixtures, and projection by a literal copy of its published procedure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.space import Mixture, softmax
from nas_stability.harness.measuring import policies
from tests.small import random_alpha, random_batches, random_net

NASBENCH201, S1, S3 = SPACES["nasbench201"], SPACES["nasbench1shot1-s1"], SPACES["darts-s3"]


def soft(space: str) -> Mixture:
    """A mixture away from uniform."""
    return tuple(rows.detach() for rows in softmax(random_alpha(space, 1.5)))


def test_an_edge_of_nasbench201_is_there_first() -> None:
    """none is the largest of five in each row; where it has less than half, the heaviest other operation is kept."""
    rows = torch.tensor([[0.4, 0.1, 0.15, 0.3, 0.05], [0.6, 0.1, 0.1, 0.1, 0.1]] * 3, dtype=torch.float64)
    assert NASBENCH201.discretize((rows,)).count("none") == 6
    found = NASBENCH201.discretize(policies.by_edge(NASBENCH201, (rows,)))
    assert found == "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|none~2|"


def test_half_is_enough_and_ties_go_to_the_first() -> None:
    rows = torch.tensor([[0.5, 0.25, 0.0, 0.25, 0.0]] * 6, dtype=torch.float64)
    assert policies.by_edge(NASBENCH201, (rows,))[0].tolist() == [[0, 1, 0, 0, 0]] * 6


def test_in_nasbench1shot1_it_decides_as_argmax_does() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        mixture = softmax(tuple(torch.randn(shape, dtype=torch.float64) for shape in S1.shapes))
        assert S1.discretize(policies.by_edge(S1, mixture)) == S1.discretize(mixture)


def strength(row: list[float]) -> float:
    """SGAS's first criterion for an edge of (none, others): weight of the others times their certainty."""
    importance = sum(row[1:])
    entropy = -sum(one / importance * math.log(one / importance) for one in row[1:] if one > 0)
    return importance * (1 - entropy / math.log(len(row) - 1))


def test_a_node_of_darts_cells_keeps_its_strongest_edges() -> None:
    """Three edges of S3 (none, skip, sep): the heaviest operation is on the least certain one."""
    undecided, decided, weak = [0.0, 0.48, 0.52], [0.5, 0.05, 0.45], [0.55, 0.02, 0.43]
    assert strength(undecided) < strength(decided) < strength(weak)
    assert max(undecided) > max(decided[1:]) > max(weak[1:])
    rows = torch.full((14, 3), 1 / 3, dtype=torch.float64)
    rows[2], rows[3], rows[4] = (torch.tensor(row) for row in (undecided, decided, weak))
    mixture = (rows, rows)
    by_operation, by_edge = (S3.discretize(one) for one in (mixture, policies.by_edge(S3, mixture)))
    assert by_operation.split("+")[1] == "|sep_conv_3x3~0|sep_conv_3x3~1|"
    assert by_edge.split("+")[1] == "|sep_conv_3x3~1|sep_conv_3x3~2|"


def test_strength_is_the_criterions() -> None:
    """Of random rows, the formula by plain Python; of two operations the order is that of the heaviest."""
    torch.manual_seed(1)
    rows = torch.softmax(2 * torch.randn(14, 3, dtype=torch.float64), -1)
    found = policies.by_strength(rows, torch.tensor([[True, False, False]] * 14))
    assert found.amax(-1).tolist() == pytest.approx([strength(row) for row in rows.tolist()])
    assert found.argmax(-1).tolist() == (1 + rows[:, 1:].argmax(-1)).tolist()
    assert (found > 0).sum(-1).tolist() == [1] * 14
    two = torch.softmax(torch.randn(14, 2, dtype=torch.float64), -1)
    certain = policies.by_strength(two, torch.zeros(14, 2, dtype=torch.bool)).amax(-1)
    assert certain.argsort().tolist() == two.amax(-1).argsort().tolist()
    assert policies.by_strength(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, False, False]])).sum() == 0


def judge_of(space: str, depth: int) -> Callable[[Mixture], float]:
    """A supernet of random weights on random images: higher where the loss is lower, so that no two are equal."""
    batch = random_batches(batch=12).valid
    net = random_net(space, depth=depth).eval()

    def judge(mixture: Mixture) -> float:
        with torch.no_grad():
            return -float(F.cross_entropy(net(batch.images, mixture), batch.labels))

    return judge


def literal(space: Any, mixture: Mixture, judge: Callable[[Mixture], float], nodes: Any) -> Mixture:
    """The published procedure on copies of whole mixtures: operations first, then topology, one loop each.

    Args:
        space: which.
        mixture: of the supernet.
        judge: asks it.
        nodes: (group, rows) of the edges that compete for two places.
    """
    weights = [rows.clone() for rows in mixture]

    def copy() -> list[Tensor]:
        return [rows.clone() for rows in weights]

    for group, rows in space.facts.groups.items():
        for edge, names in enumerate(rows):
            best, lowest = None, None
            for operation, name in enumerate(names):
                if nodes and name == "none":
                    continue
                tried = copy()
                tried[group][edge][operation] = 0
                tried[group][edge] /= tried[group][edge].sum()
                accuracy = judge(tuple(tried))
                if lowest is None or accuracy < lowest:
                    best, lowest = operation, accuracy
            weights[group][edge] = 0
            weights[group][edge][best] = 1
    for group, edges in nodes:
        left = list(edges)
        while len(left) > 2:
            worst, highest = None, None
            for edge in left:
                tried = copy()
                tried[group][edge] = 0
                accuracy = judge(tuple(tried))
                if highest is None or not accuracy < highest:
                    worst, highest = edge, accuracy
            weights[group][worst] = 0
            left.remove(worst)
    for group, kept in enumerate(space.kept):
        if group in space.facts.groups:
            continue
        left = list(range(weights[group].shape[1]))
        while len(left) > kept:
            worst, highest = None, None
            for source in left:
                tried = copy()
                tried[group][0] = torch.tensor(
                    [float(one in left and one != source) for one in range(len(tried[group][0]))]
                )
                tried[group][0] *= mixture[group][0]
                tried[group][0] /= tried[group][0].sum()
                accuracy = judge(tuple(tried))
                if highest is None or not accuracy < highest:
                    worst, highest = source, accuracy
            left.remove(worst)
        weights[group][0] = torch.tensor([float(one in left) / kept for one in range(len(weights[group][0]))])
    return tuple(weights)


@pytest.mark.parametrize(("name", "depth"), [("nasbench201", 1), ("nasbench1shot1-s1", 3), ("nasbench1shot1-s3", 3)])
def test_projection_is_the_published_procedure(name: str, depth: int) -> None:
    space, judge, mixture = SPACES[name], judge_of(name, depth), soft(name)
    before = [rows.clone() for rows in mixture]
    found = policies.projected(space, mixture, judge)
    expected = literal(space, mixture, judge, [])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert space.discretize(found) != space.discretize(mixture), "else the supernet was not asked"
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(mixture, before, strict=True))
    assert all(torch.allclose(rows.sum(-1), torch.ones(1, dtype=rows.dtype)) for rows in found)


@pytest.mark.parametrize("name", ["darts-s1", "darts-s3"])
def test_projection_of_darts_cells_drops_edges_one_by_one(name: str) -> None:
    space, mixture = SPACES[name], soft(name)
    torch.manual_seed(4)
    taste = [torch.randn(shape, dtype=torch.float64) for shape in space.shapes]

    def judge(tried: Mixture) -> float:
        return float(
            sum(
                torch.tanh((likes * rows).sum(-1)).prod() + (likes * rows).sum()
                for likes, rows in zip(taste, tried, strict=True)
            )
        )

    asked: list[Mixture] = []

    def counted(tried: Mixture) -> float:
        asked.append(tried)
        return judge(tried)

    found = policies.projected(space, mixture, counted)
    nodes = [(group, rows) for group in (0, 1) for rows in genotypes.ROWS]
    expected = literal(space, mixture, judge, nodes)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert [int((rows.sum(-1) > 0).sum()) for rows in found] == [8, 8]
    operations = sum(name != "none" for rows in space.facts.groups.values() for names in rows for name in names)
    assert len(asked) == operations + 2 * (3 + (4 + 3) + (5 + 4 + 3))
    assert "none" not in space.discretize(found)


def test_ties_keep_the_first_operation_and_drop_the_last_input() -> None:
    """A judge that does not care: every removal is as good as another."""
    found = policies.projected(S1, soft("nasbench1shot1-s1"), lambda mixture: 50.0)
    assert found[0].tolist() == [[1, 0, 0]] * 4
    assert found[1].tolist() == [[0.5, 0.5, 0, 0, 0]]
    darts = policies.projected(S3, soft("darts-s3"), lambda mixture: 50.0)
    assert darts[0][2:5].tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_row_that_loses_all_its_weight_gives_nothing() -> None:
    assert policies.without(torch.tensor([0.0, 1.0, 0.0]), 1).tolist() == [0, 0, 0]
    assert policies.without(torch.tensor([0.5, 0.25, 0.25]), 0).tolist() == [0, 0.5, 0.5]
    assert policies.least_missed([3, 5, 8], 3, lambda gone: 0.0) == []


def test_rows_that_compete_in_another_way_are_refused() -> None:
    import dataclasses

    odd = dataclasses.replace(NASBENCH201, harden=lambda mixture: mixture)
    with pytest.raises(BadInput, match="not decided each by itself, nor are they those of DARTS cells"):
        policies.projected(odd, soft("nasbench201"), lambda mixture: 0.0)
