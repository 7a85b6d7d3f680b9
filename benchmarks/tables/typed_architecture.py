"""What people type for an architecture -> the key of a table.

NAS-Bench-201: the string, ``Structure(4 nodes with |...|)`` out of a log, an index, a genotype list. NAS-Bench-101: the
module hash, or a matrix with operations.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from typing import Any, NamedTuple

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.spaces import genotypes, module_hash, nasbench201
from nas_stability.benchmarks.spaces.space import Arch, Cell
from nas_stability.benchmarks.tables.table import Table

SHORT = {"3x3": module_hash.CONV3X3, "1x1": module_hash.CONV1X1, "maxpool": module_hash.MAXPOOL3X3}
"""Short names of NAS-Bench-101's operations, which ``--ops`` takes as well."""

MOST_VERTICES, MOST_EDGES = 7, 9
"""Of a cell of NAS-Bench-101; a table of one's own may hold larger ones."""

LONGEST = 100
"""Vertices of a matrix that is looked at."""


class Recognised(NamedTuple):
    """An architecture that a table is asked for.

    Attributes:
        arch: the key.
        note: why an official table cannot have it; empty where it may.
    """

    arch: Arch
    note: str = ""


def read(table: Table, text: str, operations: str | None = None) -> Recognised:
    """The key of what was typed, in the form of the table's keys.

    Args:
        table: that is asked.
        text: the key, or as the module says; a matrix is JSON.
        operations: of a matrix, joined by commas; see ``cell``.

    Raises:
        BadInput: it is none of these.
    """
    if table.rows([text])[0] >= 0:
        return Recognised(text)
    text = text.strip()
    if operations is not None:
        return cell(text, operations)
    if table.keys[0].as_py().startswith(f"{genotypes.KINDS[0]}:"):
        return Recognised(genotypes.text_of(genotypes.read(text, genotypes.ANY)))
    if not table.keys[0].as_py().startswith("|"):
        if text.startswith("["):
            raise BadInput("a matrix needs the operations of its vertices: --ops LIST, joined by commas")
        if not re.fullmatch("[0-9A-Fa-f]{32}", text):
            raise BadInput(f"{shown(text)} is no module hash, which has 32 hexadecimal digits; --matrix takes a cell")
        return Recognised(text.lower())
    if re.fullmatch("[0-9]{1,9}", text):
        order = official_order()
        if int(text) >= len(order):
            raise BadInput(f"an index of NAS-Bench-201 is 0 to {len(order) - 1}, not {text}")
        return Recognised(order[int(text)])
    return Recognised(nasbench201_text(text))


def nasbench201_text(text: str) -> Arch:
    """The architecture's string in a string, a ``Structure(...)`` or a genotype list.

    Raises:
        BadInput: there is none; naming what is wrong.
    """
    pairs = re.findall(r"\(\s*['\"]([^'\"]*)['\"]\s*,\s*([0-9]{1,9})\s*\)", text)
    rest = re.sub(r"\(\s*['\"][^'\"]*['\"]\s*,\s*[0-9]{1,9}\s*\)|[\[\](),\s]", "", text)
    if not pairs:
        inner = re.fullmatch(r"(?:Structure\(\s*4 nodes with )?\s*(\|[^()]*\|)\s*\)?", text)
        if inner is None:
            raise BadInput(
                f"{shown(text)} is no architecture of NAS-Bench-201: give its string {nasbench201.arch_of((3,) * 6)}, "
                "Structure(4 nodes with ...), its index, or the list [[('nor_conv_3x3', 0)], ...]"
            )
        tokens = [token for token in re.split(r"[|+\s]+", inner[1]) if token]
        pairs = [(operation, source) for operation, _, source in (token.partition("~") for token in tokens)]
        rest = ""
    expected = [str(source) for _, source in nasbench201.EDGES]
    if rest or [source for _, source in pairs] != expected:
        raise BadInput(
            f"{shown(text)} is no architecture of NAS-Bench-201: it has six operations, from the nodes "
            f"{', '.join(expected)} in this order"
        )
    for operation, _ in pairs:
        if operation not in nasbench201.OPERATIONS:
            raise unknown("operation", operation, nasbench201.OPERATIONS)
    return nasbench201.arch_of(tuple(nasbench201.OPERATIONS.index(operation) for operation, _ in pairs))


@functools.cache
def official_order() -> tuple[Arch, ...]:
    """The architectures of NAS-Bench-201 by their official index, which the ``.pth`` file and NATS-Bench count by.

    Its authors enumerated them with the last edge's operation changing first, and shuffled the list with Python's
    generator seeded by 88.

    Source: D-X-Y/AutoDL-Projects, exps/NAS-Bench-201/main.py, generate_meta_info.
    """
    choices = itertools.product(range(len(nasbench201.OPERATIONS)), repeat=len(nasbench201.EDGES))
    archs = [nasbench201.arch_of(choice) for choice in choices]
    random.Random(88).shuffle(archs)
    return tuple(archs)


def cell(matrix: str, operations: str) -> Recognised:
    """The NAS-Bench-101 module hash of a cell.

    Args:
        matrix: JSON of the upper triangular adjacency matrix, a list of lists of 0 and 1.
        operations: names of the vertices, joined by commas: input, then conv3x3-bn-relu (or 3x3), conv1x1-bn-relu (1x1)
            or maxpool3x3 (maxpool), then output; input and output may be left out.

    Raises:
        BadInput: not a cell.
    """
    rows = matrix_of(matrix)
    size = len(rows)
    names = [SHORT.get(name.strip(), name.strip()) for name in operations.split(",") if name.strip()]
    if len(names) == size - 2:
        names = [module_hash.INPUT, *names, module_hash.OUTPUT]
    if not 2 <= size <= LONGEST or any(len(row) != size for row in rows) or len(names) != size:
        raise BadInput(f"the matrix must be square with one row per operation; it has {size} rows for {len(names)}")
    for source, row in enumerate(rows):
        for target, entry in enumerate(row):
            if type(entry) is not int or entry not in (0, 1) or (entry and source >= target):
                raise BadInput(
                    f"the matrix must have 0 and 1 above the diagonal and 0 elsewhere; row {source}, column {target} "
                    f"(from 0) is {shown(entry)}"
                )
    if names[0] != module_hash.INPUT or names[-1] != module_hash.OUTPUT or not set(names[1:-1]) <= {*SHORT.values()}:
        raise BadInput(f"the operations must be input, then some of {', '.join(SHORT.values())}, then output: {names}")
    try:
        pruned = module_hash.prune(Cell(tuple(map(tuple, rows)), tuple(names)))
    except ValueError as error:
        raise BadInput(f"the output of the cell cannot be reached from its input: {shown(matrix)}") from error
    return Recognised(module_hash.module_hash(pruned), beyond(pruned))


def matrix_of(text: str) -> list[list[Any]]:
    """A list of lists in JSON.

    Raises:
        BadInput: it is none.
    """
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the matrix must be JSON, a list of lists of 0 and 1, not {shown(text)}") from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise BadInput(f"the matrix must be JSON, a list of lists of 0 and 1, not {shown(text)}")
    return rows


def beyond(pruned: Cell) -> str:
    """Why a cell is not in NAS-Bench-101; empty where it may be."""
    vertices, edges = len(pruned.operations), sum(map(sum, pruned.matrix))
    if vertices <= MOST_VERTICES and edges <= MOST_EDGES:
        return ""
    return (
        f"the cell has {vertices} vertices and {edges} edges; those of NAS-Bench-101 have {MOST_VERTICES} vertices and "
        f"{MOST_EDGES} edges at most"
    )
