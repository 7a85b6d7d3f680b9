"""What people type for an architecture, and the key that it means."""

from __future__ import annotations

import json

import pytest

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import soundness
from nas_stability.benchmarks.tables.typed_architecture import cell

FIRST = [
    [0, 1, 0, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0],
    [0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0],
]  # fmt: skip


def test_a_cell_by_matrix_and_operations() -> None:
    names = "input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output"
    assert cell(json.dumps(FIRST), names) == (soundness.FIRST_101, "")
    assert cell(json.dumps(FIRST), "3x3, maxpool, 3x3, 3x3, 1x1").arch == soundness.FIRST_101
    with_loose_end = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    pruned = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert cell(json.dumps(with_loose_end), "3x3,1x1") == cell(json.dumps(pruned), "3x3")


@pytest.mark.parametrize(
    ("matrix", "operations", "message"),
    [
        ("nonsense", "3x3", "must be JSON"),
        ("3", "3x3", "must be JSON"),
        ("[[0, 1], [0]]", "", "must be square"),
        ("[[0, 1, 0], [0, 0, 1], [0, 0, 0]]", "3x3,3x3", "3 rows for 2"),
        ("[[0, 0, 0], [1, 0, 1], [0, 0, 0]]", "3x3", "above the diagonal"),
        ("[[0, 2, 0], [0, 0, 1], [0, 0, 0]]", "3x3", "above the diagonal"),
        ("[[0, 1, 0], [0, 0, 1], [0, 0, 0]]", "5x5", "operations must be input"),
        ("[[0, 1, 0], [0, 0, 0], [0, 0, 0]]", "3x3", "cannot be reached"),
    ],
)
def test_what_is_no_cell(matrix: str, operations: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        cell(matrix, operations)
