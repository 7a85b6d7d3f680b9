"""The cells of a NAS-Bench-1Shot1 space: which there are, which one a mixture decides for, which lie around it.

Source: Zela, Siems and Hutter, NAS-Bench-1Shot1 (ICLR 2020), section 3. A cell has choice blocks (each one of three
operations), inputs that each block keeps, and inputs that the output keeps.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from nas_stability.benchmarks.spaces import module_hash
from nas_stability.benchmarks.spaces.facts import OPERATIONS_1SHOT1
from nas_stability.benchmarks.spaces.space import Arch, Cell, Mixture, leading

OPERATIONS = tuple(OPERATIONS_1SHOT1)
"""Max pool, 3x3 and 1x1 convolution, as NAS-Bench-101 calls them."""

VERTICES = 7


@dataclass(frozen=True)
class Wiring:
    """How many inputs each choice block and the output keep.

    Attributes:
        block_inputs: for block b (0-based), how many of its b + 1 candidates it keeps: the cell input and the earlier
            blocks. Where it keeps all, there is nothing to choose and no weight.
        output_inputs: how many of the cell input and all the blocks the output keeps.
    """

    block_inputs: tuple[int, ...]
    output_inputs: int

    @property
    def blocks(self) -> int:
        """Number of choice blocks."""
        return len(self.block_inputs)

    @property
    def group(self) -> dict[int, int]:
        """Block -> index of the group of the mixture that weighs its inputs, for the blocks that have a choice."""
        choosing = [block for block, kept in enumerate(self.block_inputs) if kept < block + 1]
        return {block: index for index, block in enumerate(choosing, start=2)}

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Group 0 the operations, 1 the output's inputs, then the inputs of the blocks that have a choice."""
        return (
            (self.blocks, len(OPERATIONS)),
            (1, self.blocks + 1),
            *((1, block + 1) for block in self.group),
        )

    @property
    def kept(self) -> tuple[int, ...]:
        """How many choices a row of each group keeps: one operation, and as many inputs as there are to keep."""
        return (1, self.output_inputs, *(self.block_inputs[block] for block in self.group))


Parents = tuple[tuple[int, ...], ...]
"""Of each block and then of the output: 0 the cell input, b the b-th block (1-based)."""


def graph(wiring: Wiring, operations: tuple[int, ...], parents: Parents) -> Cell:
    """The 7-vertex cell before pruning.

    Args:
        wiring: of the space.
        operations: index into OPERATIONS of each block.
        parents: of each block and then of the output.
    """
    matrix = [[0] * VERTICES for _ in range(VERTICES)]
    for vertex, sources in enumerate(parents, start=1):
        for source in sources:
            matrix[source][vertex if vertex <= wiring.blocks else VERTICES - 1] = 1
    unused = [module_hash.CONV1X1] * (VERTICES - 2 - wiring.blocks)
    names = (module_hash.INPUT, *(OPERATIONS[index] for index in operations), *unused, module_hash.OUTPUT)
    return Cell(tuple(map(tuple, matrix)), names)


def decide(wiring: Wiring, mixture: Mixture) -> Cell:
    """The cell before pruning: the largest operation per block, the largest inputs per node; ties go to the first."""
    return graph(wiring, *decisions(wiring, mixture))


def decisions(wiring: Wiring, mixture: Mixture) -> tuple[tuple[int, ...], Parents]:
    """The raw configuration that a mixture decides for: index of each block's operation, and the parents."""
    rows = [group.tolist() for group in mixture]
    operations = tuple(leading(row, 1)[0] for row in rows[0])
    parents = [
        leading(rows[wiring.group[block]][0], kept) if block in wiring.group else list(range(block + 1))
        for block, kept in enumerate(wiring.block_inputs)
    ]
    parents.append(leading(rows[1][0], wiring.output_inputs))
    return operations, tuple(map(tuple, parents))


def discretize(wiring: Wiring, mixture: Mixture) -> Arch:
    """The NAS-Bench-101 module hash of the decided and pruned cell."""
    return module_hash.module_hash(module_hash.prune(decide(wiring, mixture)))


def describe(wiring: Wiring, mixture: Mixture) -> str:
    """The decided and pruned cell: rows of its adjacency matrix, then its operations."""
    cell = module_hash.prune(decide(wiring, mixture))
    return "/".join("".join(map(str, row)) for row in cell.matrix) + " " + ",".join(cell.operations)


@functools.cache
def cells(wiring: Wiring) -> Mapping[Arch, tuple[Cell, int]]:
    """Every distinct cell that the space reaches and how many raw configurations (parents x operations) prune to it.

    The operation of a block that does not reach the output does not matter, so that operations are enumerated only over
    the blocks that remain: S3 has 1,312,200 raw configurations and 55,854 distinct cells.
    """
    choices = [itertools.combinations(range(block + 1), kept) for block, kept in enumerate(wiring.block_inputs)]
    choices.append(itertools.combinations(range(wiring.blocks + 1), wiring.output_inputs))
    remaining: Counter[tuple[tuple[tuple[int, ...], ...], int]] = Counter()
    for parents in itertools.product(*choices):
        pruned = module_hash.prune(graph(wiring, (0,) * wiring.blocks, parents))
        remaining[pruned.matrix, len(pruned.operations) - 2] += 1
    found: dict[Arch, tuple[Cell, int]] = {}
    for (matrix, kept), times in remaining.items():
        weight = times * len(OPERATIONS) ** (wiring.blocks - kept)
        for operations in itertools.product(OPERATIONS, repeat=kept):
            cell = Cell(matrix, (module_hash.INPUT, *operations, module_hash.OUTPUT))
            arch = module_hash.module_hash(cell)
            first, count = found.get(arch, (cell, 0))
            found[arch] = (first, count + weight)
    return dict(sorted(found.items()))


def neighbours(wiring: Wiring, mixture: Mixture) -> tuple[Arch, ...]:
    """The distinct architectures of the raw configurations one decision away from the decided one, sorted.

    A decision is the operation of a block, or one of the inputs that a block or the output keeps. Where the change does
    not reach the pruned cell, the architecture is the same and not its own neighbour.
    """
    return around(wiring, *decisions(wiring, mixture))


@functools.lru_cache(maxsize=1 << 12)
def around(wiring: Wiring, operations: tuple[int, ...], parents: Parents) -> tuple[Arch, ...]:
    """The architectures one decision away from a raw configuration, sorted, without its own."""
    own = module_hash.module_hash(module_hash.prune(graph(wiring, operations, parents)))
    changed = [
        graph(wiring, (*operations[:block], other, *operations[block + 1 :]), parents)
        for block, chosen in enumerate(operations)
        for other in range(len(OPERATIONS))
        if other != chosen
    ]
    exchanged = [
        graph(wiring, operations, (*parents[:node], tuple(sorted({*kept, other} - {left})), *parents[node + 1 :]))
        for node, kept in enumerate(parents)
        for left in kept
        for other in range(node + 1)
        if other not in kept
    ]
    found = {module_hash.module_hash(module_hash.prune(cell)) for cell in (*changed, *exchanged)}
    return tuple(sorted(found - {own}))


def configuration(wiring: Wiring, cell: Cell) -> Mixture:
    """The mixture of the first raw configuration (in the order of ``cells``) that prunes to a cell of ``cells``.

    Blocks that do not reach the output take the first operation. A row over inputs of which several are kept has the
    same weight on each, so that it stays on the simplex: the supernet has no other way to add them.
    """
    parents, blocks = wired(wiring)[cell.matrix]
    operations = torch.zeros(wiring.blocks, dtype=torch.long)
    for block, operation in zip(blocks, cell.operations[1:-1], strict=True):
        operations[block] = OPERATIONS.index(operation)
    rows = [parents[-1], *(parents[block] for block in wiring.group)]
    sizes = [choices for _, choices in wiring.shapes[1:]]
    inputs = [
        torch.tensor([[float(source in kept) / len(kept) for source in range(size)]], dtype=torch.float64)
        for kept, size in zip(rows, sizes, strict=True)
    ]
    return (F.one_hot(operations, len(OPERATIONS)).double(), *inputs)


@functools.cache
def wired(wiring: Wiring) -> Mapping[tuple[tuple[int, ...], ...], tuple[Parents, tuple[int, ...]]]:
    """Matrix of a pruned cell -> the first parents that prune to it, and the blocks (0-based) that remain."""
    choices = [itertools.combinations(range(block + 1), kept) for block, kept in enumerate(wiring.block_inputs)]
    choices.append(itertools.combinations(range(wiring.blocks + 1), wiring.output_inputs))
    names = tuple(map(str, range(VERTICES)))
    found: dict[tuple[tuple[int, ...], ...], tuple[Parents, tuple[int, ...]]] = {}
    for parents in itertools.product(*choices):
        pruned = module_hash.prune(graph(wiring, (0,) * wiring.blocks, parents)._replace(operations=names))
        found.setdefault(pruned.matrix, (parents, tuple(int(name) - 1 for name in pruned.operations[1:-1])))
    return found
