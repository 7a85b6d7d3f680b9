"""The spaces of DARTS cells: sizes, decisions, genotypes and their texts."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.genotypes import Choices
from nas_stability.benchmarks.spaces.space import Mixture, SupernetShape, softmax
from tests import oracles
from tests.slow import slow_but

NAMES = ("darts-s1", "darts-s2", "darts-s3", "darts-s4", "darts")
DECODED = Path(__file__).parents[4] / "shared" / "reference" / "decode_darts.json"

PARAMETERS = {
    "darts-s1": (405_146, 428_276),
    "darts-s2": (665_466, 688_596),
    "darts-s3": (665_466, 688_596),
    "darts-s4": (624_506, 647_636),
    "darts": (1_930_618, 1_953_748),
}
"""Of the published supernets of 16 channels and 8 cells, for 10 and 100 classes; those of S1 to S4 stand in the logs of
RobustDARTS as well."""

COUNTS = dict.fromkeys(NAMES[:4], 2123366400) | {"darts": 1_037_664_180**2}


def choices_of(name: str) -> Choices:
    return Choices(FACTS[name].groups[0], FACTS[name].groups[1])


def random_mixture(name: str, seed: int) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    return softmax(tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SPACES[name].shapes))


@pytest.mark.parametrize("name", slow_but(NAMES, "darts-s1"))
def test_a_published_supernet_has_as_many_parameters(name: str) -> None:
    with torch.device("meta"):
        found = [
            sum(weight.numel() for weight in SPACES[name].supernet(SupernetShape(16, 8, classes, 3, 0.1)).parameters())
            for classes in (10, 100)
        ]
    assert tuple(found) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "depth", "training", "partial"),
    slow_but(
        [(name, 3, training, 1) for name in NAMES for training in (True, False)]
        + [("darts-s1", 2, True, 1), ("darts-s1", 4, False, 1), ("darts-s2", 5, True, 1)]
        + [("darts-s1", 3, True, 2), ("darts", 3, False, 4)],
        *[("darts-s1", 3, True, 1), ("darts-s4", 3, False, 1), ("darts-s1", 3, True, 2)],
    ),
)
def test_a_supernet_equals_its_literal_oracle(name: str, depth: int, training: bool, partial: int) -> None:
    """Logits, the mixture's gradient also where a weight is 0, and what a pass leaves in the running statistics."""
    torch.manual_seed(3)
    space = SPACES[name]
    net = space.supernet(SupernetShape(2 * partial, depth, 4, 3, 0.1, partial=partial)).double().train(training)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5 if key.endswith("running_var") else torch.randn_like(value))
    images = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    mixture = random_mixture(name, 1)
    mixture[0][3] = torch.eye(mixture[0].shape[1], dtype=torch.float64)[0]
    tensors = {key: view.detach().clone() for key, view in space.published(net).items()}
    ours, theirs = (tuple(rows.clone().requires_grad_() for rows in mixture) for _ in range(2))
    found = net(images, ours)
    expected = oracles.logits(name, tensors, images, theirs, depth, training, 0.1, oracles.Seen(partial, False))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
    size = expected.detach().abs().max()  # depth 2 has no normal cell
    slopes = [
        torch.autograd.grad((out / size).square().sum(), rows, allow_unused=True, materialize_grads=True)
        for out, rows in ((found, ours), (expected, theirs))
    ]
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=1e-10)
    for key, view in space.published(net).items():
        torch.testing.assert_close(view, tensors[key], rtol=0, atol=1e-11, msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_the_published_ones_and_nothing_is_listed(name: str) -> None:
    space = SPACES[name]
    assert space.count() == COUNTS[name]
    with pytest.raises(BadInput, match="too many to list"):
        space.archs()


def literal(name: str, mixture: Mixture) -> list[list[list[tuple[str, int]]]]:
    """The decision in Python's own numbers: of each cell and node the two heaviest edges, heaviest first."""
    cells = []
    for group, rows in enumerate(mixture):
        names, row, nodes = FACTS[name].groups[group], 0, []
        for node in range(4):
            edges = []
            for source in range(2 + node):
                weights = [(float(w), n) for w, n in zip(rows[row], names[row], strict=True) if n != "none"]
                best = max(weight for weight, _ in weights)
                edges.append((best, source, next(n for weight, n in weights if weight == best)))
                row += 1
            kept = sorted(edges, key=lambda edge: -edge[0])[:2]
            nodes.append([(operation, source) for _, source, operation in kept])
        cells.append(nodes)
    return cells


@pytest.mark.parametrize("name", slow_but(NAMES, "darts-s1", "darts-s3"))
def test_decisions_equal_a_literal_loop(name: str) -> None:
    space = SPACES[name]
    coarse = [tuple((4 * group).round() for group in random_mixture(name, seed)) for seed in range(40)]  # full of ties
    for mixture in [random_mixture(name, seed) for seed in range(40)] + coarse:
        genotype = genotypes.genotype_of(choices_of(name), mixture)
        expected = [
            [gene for node in cell for gene in sorted(node, key=lambda g: g[1])] for cell in literal(name, mixture)
        ]
        assert [list(cell) for cell in genotype] == expected
        assert space.discretize(space.hardened(mixture)) == space.discretize(mixture)


@pytest.mark.skipif(not DECODED.exists(), reason="the decode cases are on the development machine only")
@pytest.mark.parametrize("name", slow_but(NAMES, "darts-s3"))
def test_decisions_are_the_published_ones(name: str) -> None:
    of_space: Any = json.loads(DECODED.read_text())[name]
    assert [list(map(list, rows)) for rows in choices_of(name)] == [
        of_space["operations"][k] for k in ("normal", "reduce")
    ]
    cases = [*of_space["cases"], *of_space["ties"]]
    assert len(cases) >= 110
    for case in cases:
        logits = tuple(torch.tensor(case[kind], dtype=torch.float64) for kind in ("normal", "reduce"))
        arch = SPACES[name].discretize(softmax(logits))
        assert arch == genotypes.text_of(genotypes.read(case["genotype"], choices_of(name)))


@pytest.mark.parametrize("name", slow_but(NAMES, "darts-s1"))
def test_texts_are_read_back_in_either_form_and_any_order(name: str) -> None:
    choices, space = choices_of(name), SPACES[name]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        arch = space.sample(generator)
        genotype = genotypes.read(arch, choices)
        assert re.fullmatch(space.facts.form.pattern, arch)
        printed = genotypes.printed_text(genotype)
        assert genotypes.text_of(genotypes.read(printed, choices)) == arch
        turned = [
            tuple(gene for place in range(0, 8, 2) for gene in (cell[place + 1], cell[place])) for cell in genotype
        ]
        assert genotypes.text_of(genotypes.read(genotypes.printed_text(tuple(turned)), choices)) == arch
        assert space.discretize(space.mixture(arch)) == arch


NORMAL = "normal:" + "+".join(["|skip_connect~0|sep_conv_3x3~1|"] * 4)
GOOD = NORMAL + ";" + NORMAL.replace("normal", "reduction")
CALL = "Genotype(normal=[{}], normal_concat=range({}, 6), reduce=[], reduce_concat=range(2, 6))"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no genotype"),
        (NORMAL, "is no genotype"),
        (NORMAL + ";reduction:|skip_connect~0|sep_conv_3x3~1|", "is no genotype"),
        (GOOD.replace("skip_connect~0", "max_pool_3x3~0", 1), "cannot be max_pool_3x3: here it is skip_connect or sep"),
        (GOOD.replace("sep_conv_3x3~1", "sep_conv_3x3~2", 1), "node 0 of the normal cell"),
        (GOOD.replace("sep_conv_3x3~1", "sep_conv_3x3~0", 1), "two different"),
        (CALL.format("('skip_connect', 0)", 2), "has 1 genes"),
        (CALL.format("", 1), "concatenates nodes"),
        ("Genotype(normal=__import__('os'))", "as DARTS prints it"),
    ],
)
def test_what_is_no_genotype_is_one_line(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        genotypes.read(text, choices_of("darts-s2"))
    assert "\n" not in str(caught.value)


def test_neighbours_are_as_many_as_decisions() -> None:
    """Per node two edges may each be exchanged for n - 2 others; each of eight edges may have another operation."""
    exchanges = sum(2 * (2 + node - 2) for node in range(4))
    for name, operations in (("darts-s2", 2), ("darts-s3", 2), ("darts-s4", 2), ("darts", 7)):
        around = SPACES[name].neighbours(random_mixture(name, 3))
        assert len(set(around)) == len(around) == 2 * (exchanges + 8 * (operations - 1))


@pytest.mark.parametrize("name", ["darts-s1", "darts-s3"])
def test_distances_are_those_of_walks_over_neighbours(name: str) -> None:
    space = SPACES[name]
    assert space.distance is not None
    generator = torch.Generator().manual_seed(2)
    start = space.sample(generator)
    ring, seen = {start}, {start}
    for steps in (1, 2):
        ring = {one for arch in ring for one in space.neighbours(space.mixture(arch))} - seen
        seen |= ring
        for arch in itertools.islice(sorted(ring), 0, None, max(1, len(ring) // 30)):
            assert space.distance(start, arch) == space.distance(arch, start) == steps
    far = [space.distance(start, space.sample(generator)) for _ in range(50)]
    assert min(far) > 2
    assert max(far) <= 2 * 16


def test_samples_are_uniform_over_pairs_of_sources() -> None:
    generator = torch.Generator().manual_seed(0)
    choices = choices_of("darts-s2")
    drawn = [genotypes.read(SPACES["darts-s2"].sample(generator), choices)[0][6:] for _ in range(2000)]
    counts = [sum((a[1], b[1]) == pair for a, b in drawn) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == 2000
    assert max(abs(count - 200) for count in counts) < 60  # 4.5 standard deviations


def test_draws_go_on_in_a_search_and_are_the_same_in_every_pass_outside_it() -> None:
    space = SPACES["darts-s4"]
    torch.manual_seed(0)
    net = space.supernet(SupernetShape(4, 3, 4, 3, 0.1)).double().eval()
    images, mixture = torch.randn(2, 3, 8, 8, dtype=torch.float64), random_mixture("darts-s4", 0)
    with torch.no_grad():
        first, again = net(images, mixture), net(images, mixture)
        assert torch.equal(first, again)
        generator = torch.Generator().manual_seed(5)

        def source(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        with net.drawing(lambda: source):
            one, other = net(images, mixture), net(images, mixture)
        assert not torch.allclose(one, other)
        assert torch.equal(net(images, mixture), first)
    assert SPACES["darts-s2"].supernet(SupernetShape(4, 3, 4, 3, 0.1)).drawn is None


def test_images_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(BadInput, match="multiples of 4, not of 30"):
        SPACES["darts"].deepest_side(30, 8)
    assert SPACES["darts"].deepest_side(32, 8) == 8
