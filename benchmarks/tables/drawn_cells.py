"""Which genotypes of the DARTS cell spaces a table is trained of: from each space as many, from each number of skips.

A search that deteriorates ends in cells of skip connections, which hardly any uniform draw holds: of eight edges with
seven operations six or more are skips once in 5,000 draws. So the numbers of skips in the normal cell, 0 to 8, are
drawn equally often, as far as a space has them; everything else is uniform.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.genotypes import EDGES, KEPT, ROWS, Choices, Gene, Names
from nas_stability.benchmarks.spaces.space import Arch

UNION = ("darts-s1", "darts-s2", "darts-s3", "darts-s4", "darts")
"""The spaces of DARTS cells; every genotype is one of ``darts`` but for the noise of S4."""

SKIP = "skip_connect"

EDGES_KEPT = KEPT * len(ROWS)
"""Edges of a cell."""

TRIES = 2000
"""Draws of the sources after which a number of skips counts as one that the space does not have."""


def choices_of(space: str) -> Choices:
    """The choices of a space by name."""
    groups = FACTS[space].groups
    return Choices(groups[0], groups[1])


def skips_of(cell: Sequence[Gene]) -> int:
    """Skip connections of a cell."""
    return sum(name == SKIP for name, _ in cell)


def draw_cells(count: int, generator: torch.Generator) -> tuple[Arch, ...]:
    """Genotypes of the union of the spaces, each once, sorted.

    Space after space and number of skips after number of skips one is drawn, until there are enough; what comes a
    second time is drawn again.

    Args:
        count: how many.
        generator: of all draws.

    Raises:
        BadInput: fewer than one.
    """
    if count < 1:
        raise BadInput(f"the field 'cells' must be at least 1, not {count}")
    strata = {space: reachable_skips(choices_of(space), generator) for space in UNION}
    turns = {space: itertools.cycle(skips) for space, skips in strata.items()}
    found: set[Arch] = set()
    for space in itertools.cycle(UNION):
        choices = choices_of(space)
        cell = cell_with(genotypes.offered(choices)[0], next(turns[space]), generator)
        assert cell is not None, "a number of skips that the space has"
        found.add(genotypes.text_of((cell, genotypes.sample(choices, generator)[1])))
        if len(found) == count:
            return tuple(sorted(found))
    raise AssertionError("a cycle does not end")


def reachable_skips(choices: Choices, generator: torch.Generator) -> list[int]:
    """The numbers of skips that a normal cell of a space can have."""
    names = genotypes.offered(choices)[0]
    return [count for count in range(EDGES_KEPT + 1) if cell_with(names, count, generator) is not None]


def cell_with(names: Names, skips: int, generator: torch.Generator) -> tuple[Gene, ...] | None:
    """A cell of so many skips: sources uniform, which edges are skips uniform, then the other operations.

    None where none of ``TRIES`` draws of the sources has edges that can be.
    """
    for _ in range(TRIES):
        rows = [row for of in ROWS for row in sorted(drawn(of, KEPT, generator))]
        may = [row for row in rows if SKIP in names[row]]
        must = [row for row in rows if set(names[row]) == {SKIP}]
        if not len(must) <= skips <= len(may):
            continue
        chosen = {*must, *drawn([row for row in may if row not in must], skips - len(must), generator)}
        return tuple((SKIP if row in chosen else other(names[row], generator), EDGES[row][1]) for row in rows)
    return None


def drawn(of: Sequence[int], count: int, generator: torch.Generator) -> list[int]:
    """So many of them without replacement."""
    return [of[place] for place in torch.randperm(len(of), generator=generator)[:count].tolist()]


def other(names: Sequence[str], generator: torch.Generator) -> str:
    """An operation that is no skip."""
    others = [name for name in names if name != SKIP]
    return others[int(torch.randint(len(others), (), generator=generator))]
