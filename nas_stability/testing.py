"""Contracts of methods, spaces and tables, for the tests of whoever adds one: each raises AssertionError with a line.

    from nas_stability.testing import check_method, check_space, check_table

    def test_mine(): check_method("darts-mine", space="nasbench201")

Everything that the harness ships passes the same checks, by being listed. They take seconds.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import itertools
import math
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space, load_data
from nas_stability.benchmarks.images.dataset import Dataset, halves
from nas_stability.benchmarks.spaces.facts import from_json
from nas_stability.benchmarks.spaces.space import Mixture, Space, Supernet, SupernetShape, one_hot, softmax
from nas_stability.benchmarks.tables.table import Table, Unanswered
from nas_stability.harness.given import epoch_batches, moment_of
from nas_stability.harness.measuring.asked_table import answers
from nas_stability.harness.measuring.curvature import flat, hessian, unflat
from nas_stability.harness.measuring.measure import measure
from nas_stability.harness.methods.compositions import find_method, own_fields
from nas_stability.harness.records.record import ALPHAS, DONE, EPOCHS, SPECTRUM
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
    return spec if "depth" in fields else dataclasses.replace(spec, depth=1 if spec.depth < 9 else 3)


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
        for drawn in (draws.architect, draws.weights):
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
    assert moved != (moment.frozen or spec.arch_lr == 0), "the logits move where they should not, or the other way"


def refuse_mixture(mixture: Mixture, search: Search, whose: str) -> None:
    """Passes rows on the simplex in the shapes of the space, for all cells or for each."""
    shapes = [(tuple(group.shape), shape) for group, shape in zip(mixture, search.space.shapes, strict=True)]
    assert all(there in (shape, (search.net.cells, *shape)) for there, shape in shapes), f"{whose} has shapes {shapes}"
    for group in mixture:
        assert group.isfinite().all(), f"{whose} is not finite"
        assert (group.detach() >= 0).all(), f"{whose} has a weight below 0"
        total = group.detach().double().sum(-1)
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
    with (folder / EPOCHS).open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def check_space(space: Space | str) -> None:
    """Checks a space: its facts, its architectures, its supernet, and the exact Hessian on it.

    Args:
        space: or its name.

    Raises:
        AssertionError: a contract is broken; the message says which.
    """
    space = find_space(space) if isinstance(space, str) else space
    check_facts(space)
    check_architectures(space)
    torch.manual_seed(0)
    depth = int(space.facts.defaults.get("depth", 1))
    shape = SupernetShape(4, 1 if depth < 9 else 3, CLASSES, CHANNELS, 0.1)
    net = space.supernet(shape).double()
    check_supernet(space, net)
    check_hessian(space, net)


def check_facts(space: Space) -> None:
    """The facts are whole, and survive a record."""
    facts = space.facts
    assert from_json(facts.json())._asdict() == facts._asdict(), "its facts do not survive a record"
    for group, rows in facts.groups.items():
        assert [len(row) for row in rows] == [space.shapes[group][1]] * space.shapes[group][0], f"rows of group {group}"
        assert all(name in facts.operations for row in rows for name in row), f"group {group} names no operation"
    spec = run_spec({"data": "digits", "method": "darts", "space": "nasbench201", **facts.defaults})
    assert spec.epochs == facts.defaults.get("epochs", spec.epochs)


def check_architectures(space: Space) -> None:
    """Deciding, listing and neighbours agree with each other."""
    uniform = tuple(torch.full(shape, 1 / shape[1], dtype=torch.float64) for shape in space.shapes)
    first = one_hot(uniform)
    if len(space.shapes) == len(space.facts.groups):  # no row of kept inputs, of which several may be equal
        assert space.discretize(uniform) == space.discretize(first), "a tie does not go to the first choice"
    cells = space.cells()
    assert list(cells) == sorted(cells), "its architectures are not sorted"
    chosen = list(cells)[:: max(1, len(cells) // SAMPLE)]
    for arch in chosen:
        cell, count = cells[arch]
        assert count > 0, f"{arch} stands for no configuration"
        assert re.fullmatch(space.facts.form.pattern, arch), f"{arch} is not of the form that the facts state"
        mixture = space.configuration(cell)
        assert [tuple(group.shape) for group in mixture] == list(space.shapes), f"the configuration of {arch}"
        decided = space.discretize(mixture)
        assert decided == arch, f"the configuration of {arch} discretises to {decided}"
        around = space.neighbours(mixture)
        assert arch not in around, f"{arch} is its own neighbour"
        assert list(around) == sorted(set(around)), f"the neighbours of {arch} are not sorted, or not distinct"
        assert set(around) <= cells.keys(), f"a neighbour of {arch} is not among the architectures"


def images_and_labels() -> tuple[Tensor, Tensor]:
    """A batch in float64."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, CHANNELS, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (5,), generator=generator)


def random_mixture(space: Space) -> Mixture:
    """Rows on the simplex in float64."""
    generator = torch.Generator().manual_seed(2)
    return softmax(tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in space.shapes))


def check_supernet(space: Space, net: Supernet) -> None:
    """Passes count once, evaluating moves nothing, and the mixture's gradient is that of differences."""
    images, labels = images_and_labels()
    mixture = tuple(group.requires_grad_() for group in random_mixture(space))
    net.train()
    logits = net(images, mixture)
    assert logits.shape == (len(images), CLASSES), f"logits of shape {tuple(logits.shape)}"
    counts = {name: int(value) for name, value in net.named_buffers() if name.endswith("num_batches_tracked")}
    assert set(counts.values()) <= {1}, f"a pass in training mode is not counted once: {counts}"
    gradient = torch.autograd.grad(F.cross_entropy(logits, labels), mixture, allow_unused=True)
    assert all(slope is not None for slope in gradient), "the logits do not depend on a group of the mixture"
    kept = copy.deepcopy(net.state_dict())
    net.eval()
    with torch.no_grad():
        shared = net(images, mixture)
        apart = net(images, tuple(group.expand(net.cells, -1, -1) for group in mixture))
    assert equal(kept.values(), net.state_dict().values()), "a pass in evaluation mode moves a buffer"
    assert torch.allclose(shared, apart, atol=1e-10), "a mixture for each cell, all alike, is not the mixture of all"
    loss = F.cross_entropy(net(images, mixture), labels)
    slopes = torch.autograd.grad(loss, mixture)
    way = tuple(torch.randn_like(group) for group in mixture)
    step = 1e-6
    with torch.no_grad():
        ends = [
            F.cross_entropy(net(images, tuple(g + sign * step * d for g, d in zip(mixture, way, strict=True))), labels)
            for sign in (1, -1)
        ]
    along = sum(float((slope * one).sum()) for slope, one in zip(slopes, way, strict=True))
    found = float(ends[0] - ends[1]) / (2 * step)
    assert math.isclose(along, found, rel_tol=1e-4, abs_tol=1e-6), f"the slope is {along}, by differences {found}"


def check_hessian(space: Space, net: Supernet) -> None:
    """The exact Hessian of the validation loss is that of two derivatives by PyTorch, column by column."""
    images, labels = images_and_labels()
    probe = copy.deepcopy(net).eval()  # PyTorch's second derivative; statistics of the batch have their own tests
    for weight in probe.parameters():
        weight.requires_grad_(False)
    alpha = tuple(group.detach().log() for group in random_mixture(space))

    def loss(mixture: Mixture) -> Tensor:
        return F.cross_entropy(probe(images, mixture), labels)

    found, point = hessian(loss, alpha), flat(alpha).requires_grad_()

    def slope(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(loss(softmax(unflat(at, alpha))), at)[0]

    step = 1e-5
    every = torch.eye(len(point), dtype=point.dtype)
    columns = torch.stack([(slope(point + step * one) - slope(point - step * one)) / (2 * step) for one in every])
    worst = float((found - columns).abs().max() / columns.abs().max().clamp(min=1e-12))
    assert worst < 1e-4, f"the exact Hessian is not that of differences of gradients: {worst:.1e} of the largest entry"


def check_table(table: Table, space: Space | str | None = None) -> None:
    """Checks a table: it answers in percent or raises, and its mean is that of its seeds.

    Args:
        table: or what a plug-in's function in TABLES returns.
        space: whose architectures it is about; None: any.

    Raises:
        AssertionError: a contract is broken; the message says which.
    """
    assert re.fullmatch("[0-9a-f]{64}", table.sha256), "its checksum is no SHA-256"
    assert table.name, "it has no name"
    assert table.source, "it does not say where it is from"
    keys = [str(key) for key in table.keys[: 4 * SAMPLE].to_pylist()][::4] or []
    assert len(keys), "it has no architecture"
    if space is not None:
        form = (find_space(space) if isinstance(space, str) else space).facts.form
        assert all(re.fullmatch(form.pattern, key) for key in keys), f"its architectures are not {form.words}"
    for question in {one._replace(seed=0) for one in table.columns if not one.halfway}:
        where = (question.dataset, question.split, question.epochs)
        for key in keys:
            check_answer(table, key, *where)
        refuse_answer(table, "no architecture of any space", *where)
        refuse_answer(table, keys[0], "no data set", question.split, question.epochs)
        refuse_answer(table, keys[0], question.dataset, question.split, 10**6 - 1)


def check_answer(table: Table, key: str, dataset: str, split: str, epochs: int) -> None:
    """One architecture: an accuracy in percent, the mean of those of its seeds; or none at all."""
    try:
        mean = table.score(key, dataset, split, epochs)
    except Unanswered:
        return
    assert 0 <= mean <= 100, f"the accuracy of {key} is {mean}, not in percent"
    values = [table.score(key, dataset, split, epochs, seed) for seed in table.seeds(key, dataset, split, epochs)]
    assert math.isclose(mean, math.fsum(values) / len(values), rel_tol=1e-6), f"the mean of {key} is not of its seeds"
    assert float(table.scores([key], dataset, split, epochs)[0]) == mean, f"one and several answers differ for {key}"


def refuse_answer(table: Table, key: str, dataset: str, split: str, epochs: int) -> None:
    """A question that the table cannot answer raises KeyError."""
    try:
        found = table.score(key, dataset, split, epochs)
    except KeyError:
        return
    raise AssertionError(f"it answers {found} for {key!r}, {dataset} {split} at {epochs} epochs, which it lacks")
