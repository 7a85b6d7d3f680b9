"""Cells as graphs, from the texts that stand for them in epochs.csv."""

from __future__ import annotations

from typing import NamedTuple


class Graph(NamedTuple):
    """A cell as a graph.

    Attributes:
        nodes: what stands in each, in topological order; an operation or any other text.
        edges: (source, target, operation), the operation empty where the nodes hold them.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]


def nasbench201_graph(arch: str) -> Graph:
    """The graph of ``|op~0|+|op~0|op~1|+...``: operations on the edges.

    Raises:
        ValueError: the text is not of that form.
    """
    edges = []
    nodes = arch.split("+")
    for target, node in enumerate(nodes, start=1):
        entries = [entry.split("~") for entry in node.strip("|").split("|")]
        if not all(len(entry) == 2 and entry[0] and entry[1] in map(str, range(target)) for entry in entries):
            raise ValueError(f"{arch!r} is not an architecture of NAS-Bench-201: |op~0|+|op~0|op~1|+...")
        edges += [(int(source), target, operation) for operation, source in entries]
    return Graph(tuple(map(str, range(len(nodes) + 1))), tuple(edges))


def nasbench101_graph(cell: str) -> Graph:
    """The graph of ``011/001/000 input,op,output``: operations in the nodes.

    Raises:
        ValueError: the text is not of that form.
    """
    matrix, _, operations = cell.partition(" ")
    rows, nodes = matrix.split("/"), tuple(operations.split(","))
    if any(len(row) != len(nodes) or set(row) - {"0", "1"} for row in rows) or len(rows) != len(nodes):
        raise ValueError(f"{cell!r} is not a cell of NAS-Bench-101: rows of its matrix, a space, its operations")
    edges = [(i, j, "") for i, row in enumerate(rows) for j, entry in enumerate(row) if entry == "1"]
    return Graph(nodes, tuple(edges))


def graph_of(arch: str, cell: object) -> Graph | None:
    """The graph of a row of epochs.csv, None where its text is none that is known."""
    try:
        return nasbench101_graph(cell) if isinstance(cell, str) and cell else nasbench201_graph(arch)
    except ValueError:
        return None
