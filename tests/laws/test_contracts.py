"""Everything that is listed keeps the contracts that a plug-in is held to; a broken one is told from a sound one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from nas_stability.benchmarks.catalog import SPACES, TABLES, taken_for
from nas_stability.benchmarks.spaces.space import Mixture, Supernet, SupernetShape
from nas_stability.benchmarks.tables.surrogate import Surrogate
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.methods.perturbations import PERTURBATIONS, Perturbed
from nas_stability.harness.methods.relaxations import RELAXATIONS
from nas_stability.testing import check_method, check_space, check_table
from tests.slow import slow_but


@pytest.mark.parametrize(
    ("space", "method"),
    slow_but(
        [("nasbench1shot1-s2" if place % 3 == 1 else "nasbench201", name) for place, name in enumerate(METHODS)]
        + [("darts-s4", name) for name in ("darts-2nd", "sdarts-adv", "random-ws", "drnas-rs")]
        + [("darts-s1", "pc-darts-adv"), ("darts-s3", "nasp-rs")],
    ),
)
def test_methods(space: str, method: str) -> None:
    check_method(method, space, table="none")


@pytest.mark.parametrize("space", slow_but(SPACES, "nasbench201"))
def test_spaces(space: str) -> None:
    check_space(space)


@pytest.mark.parametrize("table", TABLES)
def test_tables(table: str) -> None:
    found = TABLES[table]()
    if isinstance(found, Surrogate):  # its cells are of several spaces; what it expects is tested where it is fitted
        check_table(found.table)
        return
    assert found.listed is not None
    check_table(found.listed, taken_for([table], SPACES).get(table))


def test_a_perturbation_off_the_simplex_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    part = PERTURBATIONS["random"]

    def beyond(mixture: Mixture, *others: object, settings: object) -> Perturbed:
        return Perturbed(tuple(2 * rows for rows in mixture))

    monkeypatch.setitem(PERTURBATIONS, "random", part._replace(perturb=beyond))
    with pytest.raises(AssertionError, match="the perturbation of sdarts-rs has a row whose sum is not 1"):
        check_method("sdarts-rs", table="none")


def test_a_relaxation_that_draws_for_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    part = RELAXATIONS["softmax"]

    def noisy(alpha: Mixture, draws: Mixture, progress: float, settings: object) -> Mixture:
        return tuple(torch.softmax(rows + torch.rand_like(rows), -1) for rows in alpha)

    monkeypatch.setitem(RELAXATIONS, "softmax", part._replace(mix=noisy))
    with pytest.raises(AssertionError, match="is no function of logits and draws"):
        check_method("darts", table="none")


def test_a_space_that_decides_otherwise_than_it_lists_is_told() -> None:
    space = SPACES["nasbench201"]
    wrong = dataclasses.replace(space, discretize=lambda mixture: space.discretize(tuple(-rows for rows in mixture)))
    with pytest.raises(AssertionError, match=r"a tie does not go|discretises to"):
        check_space(wrong)


def test_a_supernet_whose_passes_count_twice_is_told() -> None:
    space = SPACES["nasbench201"]

    def count(module: torch.nn.Module, given: object, found: object) -> None:
        module.get_buffer("num_batches_tracked").add_(1)

    def twice(shape: SupernetShape) -> Supernet:
        net = space.supernet(shape)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_hook(count)
        return net

    with pytest.raises(AssertionError, match="is not counted once"):
        check_space(dataclasses.replace(space, supernet=twice))


def test_a_table_that_substitutes_is_told(tmp_path: Path) -> None:
    table = TABLES["nasbench1shot1-s1-digits"]()
    keys = table.keys

    class Kind(type(table)):  # type: ignore[misc]
        def score(self, arch: str, *question: object, **others: object) -> float:
            known = arch if arch in keys.to_pylist() else str(keys[0])
            found: float = super().score(known, *question, **others)
            return found

    kind = Kind(**{item.name: getattr(table, item.name) for item in dataclasses.fields(table)})
    with pytest.raises(AssertionError, match="which it lacks"):
        check_table(kind)
