"""Ways to decide for an architecture other than the largest entries of the mixture, each a decided mixture.

``argmax`` is what a run records. ``edge`` asks first whether an edge is there, then what it is. ``projection`` asks the
supernet what it misses most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.space import Mixture, Space

Judge = Callable[[Mixture], float]
"""A mixture -> validation accuracy of the supernet there, in percent."""

ARGMAX, EDGE, PROJECTION = "argmax", "edge", "projection"
POLICIES = (ARGMAX, EDGE, PROJECTION)
"""In the order of rows; the last one needs the supernet, the others the mixture alone."""


def by_edge(space: Space, mixture: Mixture) -> Mixture:
    """The mixture by whose largest entries an architecture is decided edge first, in float64 on the CPU.

    Where a node keeps some of its edges (DARTS cells) these are the strongest by the first criterion of Li et al.,
    SGAS: Sequential Greedy Architecture Search (CVPR 2020), section 3.2: the weight of all operations but ``none``
    (edge importance) times one less their normalised entropy (selection certainty); without its scaling to the range
    over all edges, and all at once, not one after the other. With two operations an edge that order is the one by the
    heaviest operation. Where every edge stays, as in NAS-Bench-201, one is there if all its operations together weigh
    as much as ``none``: SGAS's importance again, with a threshold of a half, which is ours. The operation is then the
    heaviest but ``none``. In NAS-Bench-1Shot1 the inputs have weights of their own and no operation is ``none``, so
    that this decides as argmax does.
    """
    groups = [rows.detach().double().cpu() for rows in mixture]
    for group, names in space.facts.groups.items():
        kinds = [[space.facts.operations[name].kind == "none" for name in row] for row in names]
        nothing = torch.tensor(kinds)
        groups[group] = by_strength(groups[group], nothing) if space.harden else there_or_not(groups[group], nothing)
    return tuple(groups)


def by_strength(rows: Tensor, nothing: Tensor) -> Tensor:
    """Each row's strength on its heaviest operation, 0 elsewhere; ``nothing`` (rows, choices) marks ``none``."""
    weights = rows.masked_fill(nothing, 0.0)
    importance = weights.sum(-1, keepdim=True)
    choices = (~nothing).sum(-1, keepdim=True)
    entropy = torch.special.entr(weights / importance.clamp_min(torch.finfo(rows.dtype).tiny)).sum(-1, keepdim=True)
    certainty = (1 - entropy / choices.clamp_min(2).double().log()).clamp_min(0.0)
    strength: Tensor = importance * certainty
    return heaviest(rows, nothing) * strength


def there_or_not(rows: Tensor, nothing: Tensor) -> Tensor:
    """One-hot rows: ``none`` where it weighs more than all other operations together, else the heaviest of these."""
    absent = rows.masked_fill(~nothing, 0.0).sum(-1, keepdim=True) > rows.masked_fill(nothing, 0.0).sum(
        -1, keepdim=True
    )
    return torch.where(absent, nothing.double(), heaviest(rows, nothing))


def heaviest(rows: Tensor, nothing: Tensor) -> Tensor:
    """One-hot rows of the heaviest operation but ``none``; ties go to the first."""
    chosen = rows.masked_fill(nothing, -math.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(rows).scatter(-1, chosen, 1.0)


def projected(space: Space, mixture: Mixture, judge: Judge) -> Mixture:
    """The decided mixture by progressive projection, edge by edge in the order of the rows.

    Source: Wang et al., Rethinking Architecture Selection in Differentiable NAS (ICLR 2021), algorithm 1 and section 4,
    and its published code for the topology. Each operation of an edge is taken out of the mixture in turn; the one
    without which validation accuracy is lowest is kept, and the edge stays decided while the next ones are. Then of the
    inputs of each node (the edges of a DARTS cell, the input weights of NAS-Bench-1Shot1) those are dropped, one after
    the other, without which accuracy is highest, until as many are left as the node keeps. Ties: the first operation is
    kept, the last input is dropped.

    Three departures: the supernet is not tuned between decisions; edges come in the order of their rows, not at random;
    and what is left of a row is scaled to the simplex, where the published code leaves it short.

    Args:
        space: of the mixture.
        mixture: of the supernet at the end of its search.
        judge: asks the supernet.

    Raises:
        BadInput: the rows of the space are not decided each by itself, and not as those of DARTS cells.
    """
    nodes = list(competing_edges(space))
    found = tuple(rows.detach().clone() for rows in mixture)
    for group, row, allowed in operation_rows(space):
        found = projected_operation(found, group, row, allowed, judge)
    for group, rows in nodes:
        found = projected_edges(found, group, rows, judge)
    for group, row in input_rows(space):
        found = projected_inputs(found, group, row, space.kept[group], judge)
    return found


def projected_operation(mixture: Mixture, group: int, row: int, allowed: Iterable[int], judge: Judge) -> Mixture:
    """The mixture with a row decided for the operation without which accuracy is lowest."""
    rows = mixture[group]
    tried = [(judge(with_row(mixture, group, row, without(rows[row], one))), one) for one in allowed]
    return with_row(mixture, group, row, torch.eye(rows.shape[1]).to(rows)[min(tried)[1]])


def projected_edges(mixture: Mixture, group: int, rows: Iterable[int], judge: Judge) -> Mixture:
    """The mixture with the edges into a node decided: those that it does not keep are 0."""

    def accuracy(gone: list[int]) -> float:
        return judge(without_edges(mixture, group, gone))

    return without_edges(mixture, group, least_missed(rows, genotypes.KEPT, accuracy))


def projected_inputs(mixture: Mixture, group: int, row: int, kept: int, judge: Judge) -> Mixture:
    """The mixture with the inputs of a node decided: those that it keeps share the weight equally."""
    weights = mixture[group][row]

    def accuracy(gone: list[int]) -> float:
        return judge(with_row(mixture, group, row, without(weights, *gone)))

    stay = torch.full_like(weights, 1 / kept)
    stay[least_missed(range(len(weights)), kept, accuracy)] = 0.0
    return with_row(mixture, group, row, stay)


def least_missed(of: Iterable[int], kept: int, judge: Callable[[list[int]], float]) -> list[int]:
    """What is dropped, one after the other, until so many are left: each time what accuracy is highest without.

    Args:
        of: what there is to keep.
        kept: how many stay.
        judge: what is gone, the last one on trial -> accuracy in percent.
    """
    left, gone = list(of), list[int]()
    while len(left) > kept:
        _, worst = max((judge([*gone, one]), one) for one in left)
        left.remove(worst)
        gone.append(worst)
    return gone


def operation_rows(space: Space) -> Iterator[tuple[int, int, list[int]]]:
    """Group, row and the operations that it can be decided for, of every edge or choice block in order."""
    for group, rows in space.facts.groups.items():
        for row, names in enumerate(rows):
            kinds = [space.facts.operations[name].kind for name in names]
            yield group, row, [one for one, kind in enumerate(kinds) if kind != "none" or not space.harden]


def competing_edges(space: Space) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Group and rows of the edges into each node of which it keeps ``genotypes.KEPT``: in DARTS cells alone.

    Raises:
        BadInput: rows compete in another way.
    """
    if not space.harden:
        return
    groups = space.facts.groups
    if any(len(rows) != len(genotypes.EDGES) for rows in groups.values()) or len(groups) != len(space.shapes):
        raise BadInput(f"the rows of {space.name} are not decided each by itself, nor are they those of DARTS cells")
    for group in groups:
        yield from ((group, rows) for rows in genotypes.ROWS)


def input_rows(space: Space) -> Iterator[tuple[int, int]]:
    """Group and row of the weights of inputs: the groups whose choices are no operations."""
    for group, (rows, _) in enumerate(space.shapes):
        if group not in space.facts.groups:
            yield from ((group, row) for row in range(rows))


def without(row: Tensor, *gone: int) -> Tensor:
    """A row (choices,) without some choices, scaled to the simplex; 0 where they had all its weight."""
    left = row.clone()
    left[list(gone)] = 0.0
    return left / left.sum().clamp_min(torch.finfo(row.dtype).tiny)


def with_row(mixture: Mixture, group: int, row: int, value: Tensor) -> Mixture:
    """The mixture with another row."""
    changed = mixture[group].clone()
    changed[row] = value
    return (*mixture[:group], changed, *mixture[group + 1 :])


def without_edges(mixture: Mixture, group: int, gone: Iterable[int]) -> Mixture:
    """The mixture without some edges of a group: their rows are 0."""
    changed = mixture[group].clone()
    changed[list(gone)] = 0.0
    return (*mixture[:group], changed, *mixture[group + 1 :])
