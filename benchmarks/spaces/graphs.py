"""Cells as graphs, from the texts that stand for them in epochs.csv. The standard library alone."""

from __future__ import annotations

from typing import NamedTuple

from nas_stability.benchmarks.spaces.facts import Form


class Graph(NamedTuple):
    """A cell as a graph.

    Attributes:
        nodes: what stands in each, in topological order; an operation or any other text.
        edges: (source, target, operation), the operation empty where the nodes hold them.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]


def edges_graph(text: str, inputs: int = 1) -> Graph:
    """The graph of ``|op~0|+|op~0|op~1|+...``: operations on the edges, a part per node that is no input.

    Raises:
        ValueError: the text is not of that form.
    """
    edges = []
    parts = text.split("+")
    for target, part in enumerate(parts, start=inputs):
        entries = [entry.split("~") for entry in part.strip("|").split("|")]
        if not all(len(entry) == 2 and entry[0] and entry[1] in map(str, range(target)) for entry in entries):
            raise ValueError(f"{text!r} is no cell with operations on its edges: |op~0|+|op~0|op~1|+...")
        edges += [(int(source), target, operation) for operation, source in entries]
    return Graph(tuple(map(str, range(inputs + len(parts)))), tuple(edges))


def matrix_graph(text: str) -> Graph:
    """The graph of ``011/001/000 input,op,output``: operations in the nodes.

    Raises:
        ValueError: the text is not of that form.
    """
    matrix, _, operations = text.partition(" ")
    rows, nodes = matrix.split("/"), tuple(operations.split(","))
    if any(len(row) != len(nodes) or set(row) - {"0", "1"} for row in rows) or len(rows) != len(nodes):
        raise ValueError(f"{text!r} is not a cell of NAS-Bench-101: rows of its matrix, a space, its operations")
    edges = [(i, j, "") for i, row in enumerate(rows) for j, entry in enumerate(row) if entry == "1"]
    return Graph(nodes, tuple(edges))


def graphs(form: Form, arch: str, cell: str) -> dict[str, Graph]:
    """The graphs of an architecture by kind of cell ("" where there is one kind); none where its text is not readable.

    Several kinds are written ``normal:TEXT;reduction:TEXT``, each in the notation of the form.

    Args:
        form: of the space's architectures.
        arch, cell: as a row of epochs.csv has them.
    """
    found = {}
    for part in (cell if form.column == "cell" else arch).split(";"):
        kind, _, text = part.rpartition(":")
        try:
            if form.notation == "matrix":
                found[kind] = matrix_graph(text)
            elif form.notation == "edges":
                found[kind] = edges_graph(text, form.inputs)
        except ValueError:
            return {}
    return found
