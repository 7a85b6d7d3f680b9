"""A NAS-Bench-101 cell: from matrix and operations to the key of its table.

Source: Ying et al., NAS-Bench-101 (ICML 2019); the isomorphism-invariant hash is nasbench_pytorch's.
"""

from __future__ import annotations

import functools

import numpy
from nasbench_pytorch.model import ModelSpec, graph_util

from nas_stability.benchmarks.spaces.space import Arch, Cell

INPUT, OUTPUT = "input", "output"
CONV3X3, CONV1X1, MAXPOOL3X3 = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
LABELS = (CONV3X3, CONV1X1, MAXPOOL3X3)
"""Operations in the order in which NAS-Bench-101 numbers them."""


def prune(cell: Cell) -> Cell:
    """The cell without the vertices that are not on a path from input to output.

    Raises:
        ValueError: the output cannot be reached from the input, or the matrix is not upper triangular.
    """
    try:
        spec = ModelSpec(numpy.array(cell.matrix), list(cell.operations))
    except RuntimeError as error:  # it prunes everything away and then makes a tensor of nothing
        raise ValueError(f"the output of the cell cannot be reached from its input: {cell.matrix}") from error
    return Cell(tuple(tuple(int(entry) for entry in row) for row in spec.matrix.tolist()), tuple(spec.ops))


@functools.lru_cache(maxsize=1 << 17)
def module_hash(pruned: Cell) -> Arch:
    """The NAS-Bench-101 module hash (32 hexadecimal digits) of a pruned cell.

    Raises:
        ValueError: an operation that NAS-Bench-101 does not have.
    """
    labels = [-1, *(LABELS.index(operation) for operation in pruned.operations[1:-1]), -2]
    # A numpy matrix: the hash sums its columns, and a torch one changes the text that is hashed.
    found: str = graph_util.hash_module(numpy.array(pruned.matrix), labels)
    return found
