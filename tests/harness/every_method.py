"""Every method in every space, and two searches of one side by side."""

from __future__ import annotations

import pytest

from nas_stability.harness.given import Draws, epoch_batches
from nas_stability.harness.methods.architects import Batches
from nas_stability.harness.specs.spec import Value
from nas_stability.harness.state import Search
from tests.small import STEPS, begin, small_spec

CASES = [
    *((space, method, {}) for space in ("nasbench201", "nasbench1shot1-s1") for method in STEPS),
    *((space, "sdarts-adv", {}) for space in ("nasbench1shot1-s2", "nasbench1shot1-s3")),
    ("nasbench201", "darts-2nd", {"unrolled_product": "exact"}),
    ("nasbench1shot1-s1", "sdarts-adv", {"attack_batch_norm": "training"}),
]
cases = pytest.mark.parametrize(("space", "method", "values"), CASES)


def pairs(space: str, method: str, **values: Value) -> tuple[Search, Search, list[tuple[Batches, Draws]]]:
    """Two searches at the same start, and the batches of an epoch whose last one is ragged."""
    search, data = begin(small_spec(space=space, method=method, images=46, **values))
    twin, _ = begin(search.spec)
    return search, twin, list(epoch_batches(search, data, 0.1))
