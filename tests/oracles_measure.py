"""What is measured between epochs and around a finished run, by a literal route; nothing here imports the package.

The hash of a pruned NAS-Bench-101 cell is nasbench_pytorch's; which cells there are is spelled out here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy
import torch
from nasbench_pytorch.model import graph_util
from torch import Tensor

from tests import oracles, oracles_supernets

OPERATIONS_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

# NAS-Bench-1Shot1's operations (max pool, 3x3, 1x1) by the numbers that NAS-Bench-101 gives them.
LABELS_101 = (2, 0, 1)


def largest(row: Sequence[float], count: int) -> tuple[int, ...]:
    """Places of the ``count`` largest entries, the first of equals first, in ascending order."""
    taken: list[int] = []
    for _ in range(count):
        taken.append(max((place for place in range(len(row)) if place not in taken), key=lambda p: (row[p], -p)))
    return tuple(sorted(taken))


def neighbours_201(arch: str) -> list[str]:
    """Every string in which one operation of the architecture's is another."""
    parts = arch.split("|")
    found = []
    for place, part in enumerate(parts):
        if "~" in part:
            name, source = part.split("~")
            for other in OPERATIONS_201:
                if other != name:
                    found.append("|".join([*parts[:place], f"{other}~{source}", *parts[place + 1 :]]))
    return sorted(found)


def hash_101(blocks: int, operations: Sequence[int], parents: Sequence[Sequence[int]]) -> str:
    """Hash of a raw configuration: vertices that are not between input and output are removed."""
    size = blocks + 2
    matrix = numpy.zeros((size, size), dtype=int)
    for node, sources in enumerate(parents, start=1):
        for source in sources:
            matrix[source, node] = 1
    paths = sum(numpy.linalg.matrix_power(matrix, length) for length in range(size))
    kept = [vertex for vertex in range(size) if paths[0, vertex] and paths[vertex, size - 1]]
    labels = [-1, *(LABELS_101[index] for index in operations), -2]
    return str(graph_util.hash_module(matrix[numpy.ix_(kept, kept)], [labels[vertex] for vertex in kept]))


def neighbours_1shot1(space: str, mixture: Sequence[Tensor]) -> list[str]:
    """Of all raw configurations of the space those at distance 1 from the decided one, pruned, distinct."""
    blocks, kept, outputs = oracles_supernets.WIRINGS[space]
    rows = [group.tolist() for group in mixture]
    operations = tuple(largest(row, 1)[0] for row in rows[0])
    groups = iter(rows[2:])
    parents = [
        largest(next(groups)[0], kept[block]) if kept[block] <= block else tuple(range(block + 1))
        for block in range(blocks)
    ]
    parents.append(largest(rows[1][0], outputs))
    choices = [itertools.combinations(range(node + 1), len(sources)) for node, sources in enumerate(parents)]
    found = set()
    for others in itertools.product(*choices):
        exchanged = sum(len(set(left) - set(right)) for left, right in zip(parents, others, strict=True))
        if exchanged > 1:
            continue
        for changed in itertools.product(range(3), repeat=blocks):
            if exchanged + sum(left != right for left, right in zip(operations, changed, strict=True)) == 1:
                found.add(hash_101(blocks, changed, others))
    return sorted(found - {hash_101(blocks, operations, parents)})


def tau_b(left: Sequence[float], right: Sequence[float]) -> float:
    """Kendall's tau-b, pair by pair: concordant less discordant over the geometric mean of the pairs untied in each."""
    balance, untied_left, untied_right = 0, 0, 0
    for one, two in itertools.combinations(range(len(left)), 2):
        across = (left[one] > left[two]) - (left[one] < left[two])
        down = (right[one] > right[two]) - (right[one] < right[two])
        balance += across * down
        untied_left += across != 0
        untied_right += down != 0
    return balance / math.sqrt(untied_left * untied_right)


def strata(values: Sequence[tuple[float, str]], count: int) -> list[str]:
    """Names of the middle of each of ``count`` strata of equal size; a stratum may have a fraction of an entry."""
    ordered = [name for _, name in sorted(values)]
    return [ordered[math.floor((stratum + 0.5) * len(ordered) / count)] for stratum in range(count)]


def loss_and_accuracy(
    space: str, tensors: oracles.Tensors, images: Tensor, labels: Tensor, logits: Sequence[Tensor], depth: int
) -> tuple[Tensor, float]:
    """Mean cross-entropy in nats and percent correct at the softmax of logits, image by image, running statistics."""
    out = oracles.logits(space, tensors, images, oracles.softmax(logits), depth, False, 0.1)
    losses = [torch.log(row.exp().sum()) - row[label] for row, label in zip(out, labels, strict=True)]
    correct = sum(int(row.argmax()) == int(label) for row, label in zip(out, labels, strict=True))
    return torch.stack(losses).mean(), 100 * correct / len(labels)
