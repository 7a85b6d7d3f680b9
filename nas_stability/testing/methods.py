"""The contract of a method: a search of two epochs on a few digits."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space, load_data
from nas_stability.benchmarks.images.dataset import Dataset, halves
from nas_stability.benchmarks.spaces.space import Mixture, Space
from nas_stability.harness.given import epoch_batches, moment_of
from nas_stability.harness.measuring.asked_table import answers
from nas_stability.harness.measuring.measure import measure
from nas_stability.harness.methods.compositions import find_method, own_fields
from nas_stability.harness.records.record import ALPHAS, DONE, EPOCHS, SPECTRUM
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.search import perturbed_mixture, search_step
from nas_stability.harness.specs.fields import Value, admitted
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.state import Search, start

CPU = torch.device("cpu")
CLASSES, CHANNELS, SIDE = 4, 3, 12
"""Of the images that a space is checked with."""

SAMPLE = 40
"""Architectures of a space, and of a table, that are looked at."""


def check_method(method: str, space: str = "nasbench201", **fields: Value) -> None:
    """Checks a method by name in a space, in a search of two epochs on a few digits.

    Args:
        method: built in, generated, or of a plug-in that is loaded; ``FILE.py:NAME`` loads it.
        space: by name, likewise.
        fields: of the spec, to reach another branch of the method.

    Raises:
        AssertionError: a contract is broken; the message says which.
        BadInput: there is no such method or space, or a field does not fit.
    """
    spec = small(method, space, **fields)
    for name, item in own_fields(find_method(spec.method)).items():
        assert item.metadata["help"], f"the field {name} says nothing of itself in the help"
        assert admitted(name, item.metadata["range"], item.default) == item.default, f"the default of {name}"
    for dtype in ("float32", "float64"):
        check_steps(dataclasses.replace(spec, dtype=dtype))
    check_fairness(spec)
    check_measuring(spec)
    check_resuming(spec)


def small(method: str, space: str, **fields: Value) -> RunSpec:
    """A spec on 48 digits that runs in about a second."""
    base: dict[str, Value] = {
        "space": space,
        "method": method,
        "data": "digits",
        "images": 48,
        "epochs": 2,
        "batch_size": 10,
        "width": 4,
        "arch_lr": 0.1,
        "hessian_batch_size": 8,
        "rank_sample": 4,
    }
    spec = run_spec({**base, **fields})
    return spec if "depth" in fields else dataclasses.replace(spec, depth=shallowest(find_space(spec.space)))


def begun(spec: RunSpec) -> tuple[Search, Dataset]:
    """A search at its start, with its data."""
    data = halves(load_data(spec.data, Path("data")), spec.images, CPU)
    return start(spec, data.classes, data.in_channels, CPU), data


def check_steps(spec: RunSpec) -> None:
    """The mixtures of an epoch's steps are what a supernet takes, and the steps move what they should."""
    search, data = begun(spec)
    parts, moment = search.parts, moment_of(spec, 0)
    before = [weight.detach().clone() for weight in search.net.parameters()]
    logits = [group.detach().clone() for group in search.alpha]
    for batches, draws in epoch_batches(search, data, moment.radius):
        for drawn in (draws.architect, draws.weights)[not parts.architect :]:
            mixture = parts.relax(search.alpha, drawn, moment.progress)
            refuse_mixture(mixture, search, f"the relaxation of {spec.method}")
            again = parts.relax(search.alpha, drawn, moment.progress)
            assert equal(mixture, again), f"the relaxation of {spec.method} is no function of logits and draws"
        perturbed = perturbed_mixture(search, batches.train, moment, draws)
        refuse_mixture(perturbed.mixture, search, f"the perturbation of {spec.method}")
        loss = search_step(search, batches, moment, draws).loss
        assert loss.isfinite(), f"the loss of a step of {spec.method} is {float(loss)}"
        refuse_mixture(search.evaluated(), search, f"the evaluation of {spec.method}")
    assert not equal(before, [weight.detach() for weight in search.net.parameters()]), "no weight has moved"
    moved = not equal(logits, [group.detach() for group in search.alpha])
    assert moved != (moment.frozen or spec.arch_lr == 0 or parts.architect is None), (
        "the logits move where they should not, or the other way"
    )


def shallowest(space: Space) -> int:
    """A depth at which a supernet has cells of every kind: one, or three where they are counted in all."""
    return 3 if int(space.facts.defaults.get("depth", 1)) >= 9 or len(space.facts.groups) > 1 else 1


def refuse_mixture(mixture: Mixture, search: Search, whose: str) -> None:
    """Passes rows on the simplex in the shapes of the space, for all cells or for each.

    A decided mixture may leave rows out: where the space's own, of equal weights, has rows of zeros.
    """
    leaves_out = any((rows.sum(-1) == 0).any() for rows in search.space.hardened(mixture))
    shapes = [(tuple(group.shape), shape) for group, shape in zip(mixture, search.space.shapes, strict=True)]
    assert all(there in (shape, (search.net.cells, *shape)) for there, shape in shapes), f"{whose} has shapes {shapes}"
    for group in mixture:
        assert group.isfinite().all(), f"{whose} is not finite"
        assert (group.detach() >= 0).all(), f"{whose} has a weight below 0"
        total = group.detach().double().sum(-1)
        if leaves_out:
            total = total[total != 0]
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5), f"{whose} has a row whose sum is not 1"


def equal(left: Iterable[Tensor], right: Iterable[Tensor]) -> bool:
    """Whether two lists of tensors are the same, bit for bit."""
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def check_fairness(spec: RunSpec) -> None:
    """A method shares batches and augmentation of its seed with DARTS, and weights where they have the same shapes."""
    ours, data = begun(spec)
    theirs, _ = begun(dataclasses.replace(spec, method="darts", settings=""))
    first, usual = (one.space.published(one.net) for one in (ours, theirs))
    if all(first[name].shape == usual[name].shape for name in usual):
        assert equal((first[name] for name in usual), usual.values()), "its first weights are not DARTS's"
    pairs = zip(epoch_batches(ours, data, 0.1), epoch_batches(theirs, data, 0.2), strict=True)
    for (mine, _), (other, _) in itertools.islice(pairs, 2):
        assert equal((*mine.train, *mine.valid), (*other.train, *other.valid)), "its batches are not DARTS's"


def check_measuring(spec: RunSpec) -> None:
    """Measuring moves nothing of the search, and gives the same numbers again."""
    search, data = begun(spec)
    moment = moment_of(spec, 0)
    for batches, draws in itertools.islice(epoch_batches(search, data, moment.radius), 2):
        search_step(search, batches, moment, draws)
    answered = answers(None, search.space, spec.table_epochs, 0)
    before = [*copy.deepcopy(search.net.state_dict()).values(), *(group.detach().clone() for group in search.alpha)]
    rows = [measure(search, data, answered, None, search.evaluated(), 0.0) for _ in range(2)]
    after = [*search.net.state_dict().values(), *(group.detach() for group in search.alpha)]
    assert equal(before, after), "measuring moves weights, statistics or logits"
    assert repr(rows[0]) == repr(rows[1]), "measuring the same state twice gives different numbers"


def check_resuming(spec: RunSpec) -> None:
    """A run that is stopped after every step leaves what one leaves that is not."""
    with tempfile.TemporaryDirectory() as there:
        whole, stopped = Path(there) / "whole", Path(there) / "stopped"
        run(spec, whole, Place(threads=torch.get_num_threads()), Watch())
        while not (stopped / DONE).exists():
            try:
                run(spec, stopped, Place(threads=torch.get_num_threads()), Watch(interrupted=lambda: True))
            except Interrupted:
                continue
        for name in (SPECTRUM, ALPHAS):
            assert (whole / name).read_bytes() == (stopped / name).read_bytes(), f"resuming changes {name}"
        assert rows_of(whole) == rows_of(stopped), f"resuming changes {EPOCHS}"


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of a run but for its times."""
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in read_rows(folder / EPOCHS)]
