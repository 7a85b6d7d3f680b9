"""Genotypes of the DARTS cell spaces: two cells, normal and reduction, in each of whose nodes two edges are kept.

Source: DARTS (Liu et al., ICLR 2019), section 2.4; as decided by the published code of SmoothDARTS.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import OPERATIONS_DARTS
from nas_stability.benchmarks.spaces.space import Arch, Mixture

NODES = 4
INPUTS = 2
"""Nodes of a cell that are computed, and those before them, the outputs of the two cells before."""

KEPT = 2
"""Edges that a node keeps."""

EDGES = tuple((node, source) for node in range(NODES) for source in range(INPUTS + node))
"""(node, source) of each row of the mixture; source ``INPUTS + i`` is node i."""

ROWS = tuple(tuple(row for row, (node, _) in enumerate(EDGES) if node == of) for of in range(NODES))
"""The rows of each node, sources ascending."""

KINDS = ("normal", "reduction")
"""The kinds of cells, in the order of the groups of the mixture."""

UNDECIDABLE = "none"
"""The operation that no edge is decided for: it takes weight from its edge, and is never the edge's operation."""


class Choices(NamedTuple):
    """What the edges of a space can be.

    Attributes:
        normal, reduction: of each row of the mixture the names of its choices, in order.
    """

    normal: tuple[tuple[str, ...], ...]
    reduction: tuple[tuple[str, ...], ...]


Gene = tuple[str, int]
"""An operation and the source that it is applied to."""

Pair = tuple[Gene, Gene]
"""What a node keeps, the lower source first."""

Names = tuple[tuple[str, ...], ...]
"""Of each row of a group the operations that its edge can be decided for."""

Genotype = tuple[tuple[Gene, ...], ...]
"""Of each kind of cell the genes, two per node, node after node; of a node's two the lower source first."""


def decided(choices: Choices, mixture: Mixture) -> Mixture:
    """The decided mixture: one on the operation of each edge that is kept, 0 elsewhere. No value is read back.

    A node keeps the two edges whose heaviest operation is heaviest; ties go to the lower source, and of operations to
    the first. ``none`` does not count.
    """
    return tuple(
        torch.cat([of_node(rows[..., list(of), :], names[of[0] : of[-1] + 1]) for of in ROWS], -2)
        for rows, names in zip(mixture, choices, strict=True)
    )


def of_node(rows: Tensor, names: Sequence[Sequence[str]]) -> Tensor:
    """``decided`` of the rows of a node, (..., sources, choices)."""
    shut = torch.tensor([[name == UNDECIDABLE for name in row] for row in names], device=rows.device)
    weights, operations = rows.masked_fill(shut, -torch.inf).max(-1, keepdim=True)
    kept = weights.squeeze(-1).sort(dim=-1, descending=True, stable=True).indices[..., :KEPT]
    edges = torch.zeros_like(weights).scatter(-2, kept.unsqueeze(-1), 1.0)
    return torch.zeros_like(rows).scatter(-1, operations, edges)


def genotype_of(choices: Choices, mixture: Mixture) -> Genotype:
    """The genes of a mixture's architecture, in each node the lower source first."""
    hard = decided(choices, mixture)
    return tuple(
        tuple((names[row][rows[row].index(1.0)], EDGES[row][1]) for row in range(len(EDGES)) if any(rows[row]))
        for names, rows in zip(choices, (group.tolist() for group in hard), strict=True)
    )


def text_of(genotype: Genotype) -> Arch:
    """The canonical text: ``normal:|op~0|op~1|+|...;reduction:...``, a part per node, sources ascending."""
    return ";".join(f"{kind}:{cell_text(cell)}" for kind, cell in zip(KINDS, genotype, strict=True))


def cell_text(cell: Sequence[Gene]) -> str:
    """A cell's part of the canonical text."""
    nodes = [cell[place : place + KEPT] for place in range(0, len(cell), KEPT)]
    return "+".join("|" + "|".join(f"{name}~{source}" for name, source in node) + "|" for node in nodes)


def by_source(gene: Gene) -> int:
    """A gene's source."""
    return gene[1]


def read(text: str, choices: Choices) -> Genotype:
    """The genotype of its canonical text, or of a published form, in any order of a node's two genes.

    Those are what DARTS prints, ``Genotype(normal=[('op', 0), ...], ...)``, and ``op~0,op~1,...|op~0,...`` of NASLib's
    records, the genes of the normal and of the reduction cell.

    Raises:
        BadInput: it is neither, or no architecture of the space; the message says where.
    """
    forms = ((r"\s*Genotype", printed), (COMMAS, commas), ("", canonical))
    genes = next(reader for form, reader in forms if re.match(form, text))(text)
    for kind, names, cell in zip(KINDS, offered(choices), genes, strict=True):
        if len(cell) != KEPT * NODES:
            raise BadInput(
                f"the {kind} cell of the genotype has {len(cell)} genes: two for each of four nodes are eight"
            )
        for place, (name, source) in enumerate(cell):
            node = place // KEPT
            if not 0 <= source < INPUTS + node or source == cell[place ^ 1][1]:
                raise BadInput(
                    f"node {node} of the {kind} cell takes sources {cell[2 * node][1]} and {cell[2 * node + 1][1]}: "
                    f"two different ones of 0 to {INPUTS + node - 1} are expected"
                )
            possible = names[EDGES.index((node, source))]
            if name not in possible:
                raise BadInput(
                    f"the edge from source {source} to node {node} of the {kind} cell cannot be {name}: "
                    f"here it is {' or '.join(possible)}"
                )
    return tuple(
        tuple(gene for node in range(NODES) for gene in sorted(cell[2 * node : 2 * node + 2], key=by_source))
        for cell in genes
    )


COMMAS = r"([^|~,;+]+~\d,){7}[^|~,;+]+~\d\|"


def commas(text: str) -> list[list[Gene]]:
    """The genes of two lists."""
    return [[(name, int(source)) for name, source in GENE.findall(cell)] for cell in text.split("|")[:2]]


GENE = re.compile(r"([^|~,+]+)~(\d)")
CELL_TEXT = r"(\|[^|~+]+~\d\|[^|~+]+~\d\|\+?){4}"


def canonical(text: str) -> list[list[Gene]]:
    """The genes of a canonical text, whatever its operations."""
    parts = dict(part.partition(":")[::2] for part in text.split(";"))
    if sorted(parts) != sorted(KINDS) or not all(re.fullmatch(CELL_TEXT, part) for part in parts.values()):
        raise BadInput(
            f"{text[:60]!r} is no genotype: write normal:|op~0|op~1|+|...;reduction:|op~0|op~1|+|..., two edges in "
            "each of four parts, or what DARTS prints, Genotype(normal=[('op', 0), ...], normal_concat=..., reduce=...)"
        )
    return [[(name, int(source)) for name, source in GENE.findall(parts[kind])] for kind in KINDS]


def printed(text: str) -> list[list[Gene]]:
    """The genes of a genotype as published code prints it; its concatenation is that of all four nodes."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        values = {keyword.arg: keyword.value for keyword in call.keywords} if isinstance(call, ast.Call) else {}
        lists = [ast.literal_eval(values[kind]) for kind in ("normal", "reduce")]
        cells = [[(str(name), int(source)) for name, source in genes] for genes in lists]
        ends = {ast.unparse(values[f"{kind}_concat"]) for kind in ("normal", "reduce")}
    except (SyntaxError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{text[:60]!r} is no genotype as DARTS prints it: {error!r}") from error
    if not ends <= {"range(2, 6)", "[2, 3, 4, 5]", "(2, 3, 4, 5)"}:
        raise BadInput(f"a genotype of these spaces concatenates nodes 2 to 5, not {' and '.join(sorted(ends))}")
    return cells


def printed_text(genotype: Genotype) -> str:
    """The genotype as published code prints it, sources ascending."""
    normal, reduction = ([tuple(gene) for gene in cell] for cell in genotype)
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduction}, reduce_concat=range(2, 6))"


ANY = Choices(*((tuple(name for name in OPERATIONS_DARTS if name != UNDECIDABLE),) * len(EDGES),) * 2)
"""Every operation on every edge: of a text of whatever space."""


def mixture_of(genotype: Genotype, choices: Choices) -> Mixture:
    """The decided mixture of a genotype, in float64 on the CPU: 0 in the rows of the edges that it does not keep."""
    groups = []
    for names, cell in zip(choices, genotype, strict=True):
        rows = torch.zeros(len(EDGES), len(names[0]), dtype=torch.float64)
        for place, (name, source) in enumerate(cell):
            row = EDGES.index((place // KEPT, source))
            rows[row, names[row].index(name)] = 1.0
        groups.append(rows)
    return tuple(groups)


def offered(choices: Choices) -> tuple[Names, ...]:
    """Of each kind of cell and row the operations that it can be decided for."""
    return tuple(tuple(tuple(name for name in row if name != UNDECIDABLE) for row in names) for names in choices)


def count(choices: Choices) -> int:
    """How many genotypes there are: of each node every pair of sources, each with its operations."""
    total = 1
    for names in offered(choices):
        for rows in ROWS:
            total *= sum(len(names[first]) * len(names[second]) for first, second in itertools.combinations(rows, 2))
    return total


def sample(choices: Choices, generator: torch.Generator) -> Genotype:
    """A genotype, each as likely as any other."""
    found = []
    for names in offered(choices):
        every = [pairs_of(names, rows) for rows in ROWS]
        drawn = [int(torch.randint(len(pairs), (), generator=generator)) for pairs in every]
        found.append(tuple(gene for pairs, place in zip(every, drawn, strict=True) for gene in pairs[place]))
    return tuple(found)


def pairs_of(names: Names, rows: Sequence[int]) -> list[Pair]:
    """What a node of these rows can keep."""
    return [
        ((one, EDGES[first][1]), (other, EDGES[second][1]))
        for first, second in itertools.combinations(rows, KEPT)
        for one in names[first]
        for other in names[second]
    ]


def moves(names: Names, rows: Sequence[int], pair: Pair) -> Iterator[Pair]:
    """What a node can keep one decision away from a pair.

    That is another operation on an edge, or an edge that is not kept in the place of one that is: with its operation,
    or, where one of the two does not have the other's, with any that the first does not have. So it is mutual.
    """
    row_of = {EDGES[row][1]: row for row in rows}
    for (name, source), other in (pair, pair[::-1]):
        here = names[row_of[source]]
        for target, row in row_of.items():
            if target == source:
                yield from (ordered((choice, source), other) for choice in here if choice != name)
            elif target != other[1]:
                there = names[row]
                new = [name] if name in there else [choice for choice in there if choice not in here]
                yield from (ordered((choice, target), other) for choice in new)


def ordered(one: Gene, other: Gene) -> Pair:
    """Two genes, the lower source first."""
    return (one, other) if one[1] < other[1] else (other, one)


def neighbours(choices: Choices, genotype: Genotype) -> Iterator[Genotype]:
    """The genotypes one decision away (``moves``), each once."""
    for kind, names in enumerate(offered(choices)):
        cell = genotype[kind]
        for node, rows in enumerate(ROWS):
            place = KEPT * node
            for pair in moves(names, rows, (cell[place], cell[place + 1])):
                new = (*cell[:place], *pair, *cell[place + KEPT :])
                yield (*genotype[:kind], new, *genotype[kind + 1 :])


def distance(choices: Choices, left: Genotype, right: Genotype) -> int:
    """Fewest decisions (``moves``) that lead from one genotype to the other; nodes are independent."""
    return sum(
        distances(names, rows, (one[place], one[place + 1]))[other[place], other[place + 1]]
        for names, one, other in zip(offered(choices), left, right, strict=True)
        for place, rows in zip(range(0, KEPT * NODES, KEPT), ROWS, strict=True)
    )


@functools.lru_cache(maxsize=10_000)
def distances(names: Names, rows: tuple[int, ...], start: Pair) -> Mapping[Pair, int]:
    """Decisions from what a node keeps to everything that it can keep."""
    found, edge = {start: 0}, [start]
    while edge:
        further = {pair: found[one] + 1 for one in edge for pair in moves(names, rows, one) if pair not in found}
        found |= further
        edge = list(further)
    return found
