"""A space as somebody else would write it, of PyTorch's own modules: what the harness may not take for granted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import Operation
from nas_stability.benchmarks.spaces.space import Mixture, Space, Supernet, SupernetShape, leading
from nas_stability.harness.measuring.measure import shares
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.runs.run import Watch, run
from nas_stability.harness.search import advance
from tests.small import PLACE, STEPS, begin, small_spec

OPERATIONS = ("conv", "skip")
EDGES = 2


class Block(nn.Module):
    """One edge: a convolution with a plain BatchNorm without affine part, or a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width, affine=False)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        found: Tensor = weights[0] * self.norm(self.conv(features)) + weights[1] * features
        return found


def supernet(shape: SupernetShape) -> Supernet:
    """Two blocks between a stem and a head."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape.width, shape.classes))
    return Supernet(
        nn.Conv2d(shape.in_channels, shape.width, 3, padding=1),
        [Block(shape.width) for _ in range(EDGES)],
        head,
        lambda mixture, images: [group[0] for group in mixture],
    )


def discretize(mixture: Mixture) -> str:
    """The operations, joined."""
    return "-".join(OPERATIONS[leading(group[0].tolist(), 1)[0]] for group in mixture)


PLAIN = dataclasses.replace(
    catalog.SPACES["nasbench201"],
    facts=catalog.SPACES["nasbench201"].facts._replace(
        operations={"conv": Operation("conv", "c"), "skip": Operation("skip", "s", "skip")},
        groups={0: (OPERATIONS,), 1: (OPERATIONS,)},
    ),
    shapes=((1, 2), (1, 2)),
    kept=(),
    supernet=supernet,
    deepest_side=lambda side, depth: side,
    discretize=discretize,
    variants=(),
    neighbours=lambda mixture: (),
)
"""Two groups of one row each, as a space of normal and reduction cells has."""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setitem(catalog.SPACES, "nasbench201", PLAIN)
    return PLAIN


@pytest.mark.parametrize("method", [name for name in STEPS if METHODS[name].variant == "whole"])
def test_every_method_searches_it_and_counts_each_pass_once(method: str, plain: Space) -> None:
    spec = small_spec(method=method, images=16, batch_size=4, epochs=1)
    search, data = begin(spec)
    assert advance(search, data) is not None
    counts = {int(block.norm.num_batches_tracked) for block in search.net.blocks}
    passes = 2 * {"darts-2nd": 4, "darts-ada": 4, "random-ws": 1}.get(
        method, 2
    )  # two steps; the architecture's pass or passes and the weights'
    assert counts == {passes}


@pytest.mark.parametrize(
    ("method", "what"), [("pc-darts", "mix a part of its channels"), ("gdas", "one operation alone")]
)
def test_a_method_that_needs_a_variant_which_it_lacks_is_refused(method: str, what: str, plain: Space) -> None:
    with pytest.raises(BadInput, match=f"cannot .*{what}.*{method} does"):
        begin(small_spec(method=method))


def test_a_run_of_it_is_recorded(plain: Space, tmp_path: Path) -> None:
    run(small_spec(table="none", hessian=True), tmp_path / "run", PLACE, Watch())
    assert "share_skip" in (tmp_path / "run" / "epochs.csv").read_text()


def test_shares_are_those_of_all_groups_of_operations() -> None:
    skip, conv = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.9, 0.1]])
    assert shares(PLAIN, (conv, skip)) == {"share_skip": 0.5, "share_none": None, "share_pool": None}
    assert shares(PLAIN, (skip, skip))["share_skip"] == 1


def test_a_table_of_no_space_is_taken_for_none() -> None:
    assert catalog.taken_for(["nasbench201", "mine"], ["nasbench201"]) == {"nasbench201": "nasbench201"}
    assert set(catalog.SHIPPED) == set(catalog.TABLES)
