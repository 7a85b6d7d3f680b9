"""The supernets by a slower, independent, literal route: one call per edge and operation, all by name.

Nothing here imports a formula of the package; weights are looked up under the published implementation's names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]
Mixture = tuple[Tensor, ...]
"""Groups (rows, choices), or (cells, rows, choices) with a matrix for each cell."""

# (blocks, parents kept per block, outputs kept), from the table of wirings in NAS-Bench-1Shot1, section 3.
WIRINGS = {
    "nasbench1shot1-s1": (4, (1, 2, 2, 2), 2),
    "nasbench1shot1-s2": (4, (1, 1, 2, 2), 3),
    "nasbench1shot1-s3": (5, (1, 1, 1, 2, 2), 2),
}


class Seen(NamedTuple):
    """One in ``partial`` channels goes through the operations; ``alone``: only through the one that has a weight."""

    partial: int
    alone: bool


WHOLE = Seen(1, False)


def batch_norm(tensors: Tensors, name: str, features: Tensor, training: bool, momentum: float) -> Tensor:
    """BatchNorm spelled out: mean and biased variance over (B, H, W); running statistics with the unbiased one.

    In float32, where it is timed, it is PyTorch's own: the comparison of speed shall not be with this spelling.
    """
    if features.dtype == torch.float32:
        if training:
            tensors[f"{name}.num_batches_tracked"].add_(1)
        statistics = (tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"])
        affine = (tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias"))
        return F.batch_norm(features, *statistics, *affine, training=training, momentum=momentum)
    if training:
        mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), unbiased=False)
        count = features.numel() / features.shape[1]
        with torch.no_grad():
            for key, value in (("running_mean", mean), ("running_var", variance * count / (count - 1))):
                tensors[f"{name}.{key}"].mul_(1 - momentum).add_(momentum * value)
            tensors[f"{name}.num_batches_tracked"].add_(1)
    else:
        mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    shape = (1, -1, 1, 1)
    normal = (features - mean.view(shape)) / torch.sqrt(variance.view(shape) + 1e-5)
    if f"{name}.weight" in tensors:
        normal = normal * tensors[f"{name}.weight"].view(shape) + tensors[f"{name}.bias"].view(shape)
    return normal


def mixture_of(mixture: Mixture, cell: int) -> Mixture:
    """The matrices (rows, choices) of one mixed cell."""
    return tuple(group[cell] if group.ndim == 3 else group for group in mixture)


def weighted_sum(weights: Tensor, operations: Sequence[Callable[[], Tensor]], alone: bool) -> Tensor:
    """Each operation times its weight; ``alone``: only those whose weight is not 0 are computed."""
    chosen = [place for place, weight in enumerate(weights) if not alone or float(weight.detach()) > 1e-10]
    parts = [weights[place] * operations[place]() for place in chosen]
    return sum(parts[1:], parts[0])


def partly(features: Tensor, partial: int, mix: Callable[[Tensor], Tensor], stride: int = 1) -> Tensor:
    """The first one in ``partial`` channels mixed, the others as they are or max-pooled, and all shuffled."""
    if partial == 1:
        return mix(features)
    width = features.shape[1] // partial
    others = features[:, width:] if stride == 1 else F.max_pool2d(features[:, width:], stride, stride)
    whole = torch.cat([mix(features[:, :width]), others], 1)
    return torch.cat([whole[:, place::width] for place in range(width)], 1)


def nasbench201_logits(
    tensors: Tensors, images: Tensor, mixture: Mixture, depth: int, training: bool, momentum: float, seen: Seen = WHOLE
) -> Tensor:
    """The NAS-Bench-201 supernet, edge by edge and operation by operation."""

    def norm(name: str, features: Tensor) -> Tensor:
        return batch_norm(tensors, name, features, training, momentum)

    features = norm("stem.1", F.conv2d(images, tensors["stem.0.weight"], padding=1))
    index = cell = 0
    for stage in range(3):
        if stage:
            name = f"cells.{index}"
            inner = F.conv2d(F.relu(features), tensors[f"{name}.conv_a.op.1.weight"], stride=2, padding=1)
            inner = norm(f"{name}.conv_a.op.2", inner)
            inner = norm(
                f"{name}.conv_b.op.2", F.conv2d(F.relu(inner), tensors[f"{name}.conv_b.op.1.weight"], padding=1)
            )
            # Of an odd side the last pixel twice: the mean of a ragged window is that of its pixels.
            height, breadth = features.shape[2:]
            if height % 2 or breadth % 2:
                features = F.pad(features, (0, breadth % 2, 0, height % 2), mode="replicate")
            features = inner + F.conv2d(F.avg_pool2d(features, 2, 2), tensors[f"{name}.downsample.1.weight"])
            index += 1
        for _ in range(depth):
            nodes = [features]
            (of_cell,) = mixture_of(mixture, cell)
            cell += 1
            row = 0
            for target in range(1, 4):
                total = torch.zeros_like(features)
                for source in range(target):
                    edge = f"cells.{index}.edges.{target}<-{source}"

                    def mixed(node: Tensor, edge: str = edge, weights: Tensor = of_cell[row]) -> Tensor:
                        one, three = (tensors[f"{edge}.{place}.op.1.weight"] for place in (2, 3))
                        operations = [
                            lambda: torch.zeros_like(node),
                            lambda: node,
                            lambda: norm(f"{edge}.2.op.2", F.conv2d(F.relu(node), one)),
                            lambda: norm(f"{edge}.3.op.2", F.conv2d(F.relu(node), three, padding=1)),
                            lambda: F.avg_pool2d(node, 3, 1, 1, count_include_pad=False),
                        ]
                        return weighted_sum(weights, operations, seen.alone)

                    total = total + partly(nodes[source], seen.partial, mixed)
                    row += 1
                nodes.append(total)
            features = nodes[3]
            index += 1
    features = F.relu(norm("lastact.0", features)).mean((2, 3))
    return features @ tensors["classifier.weight"].T + tensors["classifier.bias"]


def nasbench1shot1_logits(space: str, tensors: Tensors, images: Tensor, mixture: Mixture, *supernet: Any) -> Tensor:
    """A NAS-Bench-1Shot1 supernet, projection by projection and operation by operation."""
    depth, training, momentum, seen = (*supernet, WHOLE)[:4]
    blocks, kept, _ = WIRINGS[space]
    groups = iter(range(len(mixture) - 2))
    group = {block: next(groups) for block in range(blocks) if kept[block] <= block}

    def conv_norm_relu(name: str, features: Tensor, padding: int = 0) -> Tensor:
        convolved = F.conv2d(features, tensors[f"{name}.0.weight"], padding=padding)
        return F.relu(batch_norm(tensors, f"{name}.1", convolved, training, momentum))

    features = conv_norm_relu("stem.op", images, padding=1)
    for index in range(depth):
        if index in (depth // 3, 2 * depth // 3):
            features = F.max_pool2d(features, 2, 2, 1)
        of_operations, of_outputs, *of_parents = mixture_of(mixture, index)
        vertices: list[Tensor] = []
        for block in range(blocks):
            arriving = [conv_norm_relu(f"cells.{index}._input_projections.{block}.op", features), *vertices]
            if block in group:
                arriving = [w * part for w, part in zip(of_parents[group[block]][0], arriving, strict=True)]
            vertex = sum(arriving[1:], arriving[0])
            name = f"cells.{index}._choice_blocks.{block}.mixed_op._ops"

            def mixed(vertex: Tensor, name: str = name, weights: Tensor = of_operations[block]) -> Tensor:
                operations = [
                    lambda: F.max_pool2d(vertex, 3, 1, 1),
                    lambda: conv_norm_relu(f"{name}.1.op.op", vertex, padding=1),
                    lambda: conv_norm_relu(f"{name}.2.op.op", vertex),
                ]
                return weighted_sum(weights, operations, seen.alone)

            vertices.append(partly(vertex, seen.partial, mixed))
        outputs = of_outputs[0]
        joined = torch.cat([outputs[block + 1] * vertices[block] for block in range(blocks)], 1)
        features = outputs[0] * conv_norm_relu(f"cells.{index}._input_projections.{blocks}.op", features) + joined
    features = F.conv2d(F.relu(features), tensors["postprocess.op.1.weight"])
    features = batch_norm(tensors, "postprocess.op.2", features, training, 0.1).mean((2, 3))
    return features @ tensors["classifier.weight"].T + tensors["classifier.bias"]


# Of the fourteen edges of a normal and of a reduction cell a letter per operation: none, noise (z), skip, max and
# average pool, separable convolution 3x3 and 5x5, dilated convolution 3x3 (d) and 5x5 (D). S1: as RobustDARTS has it.
CHOICES = {
    "darts-s1": ("sd sD sD s3 sd ms s3 s3 sd s3 ms sd dD dD", "ma md ma ma sD ma m3 sd sD ma ma sD sD sD"),
    "darts-s2": ("s3 " * 14, "s3 " * 14),
    "darts-s3": ("ns3 " * 14, "ns3 " * 14),
    "darts-s4": ("z3 " * 14, "z3 " * 14),
    "darts": ("mas35dD " * 14, "mas35dD " * 14),
}


def darts_logits(space: str, tensors: Tensors, images: Tensor, mixture: Mixture, *supernet: Any) -> Tensor:
    """The supernet of a space of DARTS cells; noise is that of a pass outside a search: the generator of seed 0."""
    depth, training, momentum, seen = (*supernet, WHOLE)[:4]
    generator = torch.Generator().manual_seed(0)

    def norm(name: str, features: Tensor) -> Tensor:
        return batch_norm(tensors, name, features, training, momentum)

    def conv(name: str, features: Tensor, **options: Any) -> Tensor:
        return F.conv2d(features, tensors[f"{name}.weight"], **options)

    def reduced(name: str, features: Tensor) -> Tensor:
        one, other = F.relu(features), F.relu(features)[:, :, 1:, 1:]
        halves = [conv(f"{name}.conv_1", one, stride=2), conv(f"{name}.conv_2", other, stride=2)]
        return norm(f"{name}.bn", torch.cat(halves, 1))

    def convolved(name: str, features: Tensor, first: int, kernel: int, stride: int, dilation: int) -> Tensor:
        options = {"padding": dilation * (kernel - 1) // 2, "dilation": dilation, "groups": features.shape[1]}
        inner = conv(f"{name}.op.{first}", F.relu(features), stride=stride, **options)
        return norm(f"{name}.op.{first + 2}", conv(f"{name}.op.{first + 1}", inner))

    def operation(letter: str, name: str, node: Tensor, stride: int) -> Tensor:
        if letter in "nz":
            places = node[:, :, ::stride, ::stride]
            if letter == "n":
                return torch.zeros_like(places)
            batch, channels, height, breadth = places.shape
            drawn = torch.randn((batch, height, breadth, channels), generator=generator, dtype=node.dtype)
            return drawn.movedim(-1, 1).contiguous()
        if letter == "s":
            return node if stride == 1 else reduced(name, node)
        if letter in "ma":
            pool = F.max_pool2d(node, 3, stride, 1)
            mean = F.avg_pool2d(node, 3, stride, 1, count_include_pad=False)
            return norm(f"{name}.1", pool if letter == "m" else mean)
        if letter in "35":
            return convolved(name, convolved(name, node, 1, int(letter), stride, 1), 5, int(letter), 1, 1)
        return convolved(name, node, 1, 3 if letter == "d" else 5, stride, 2)

    before = last = norm("stem.1", conv("stem.0", images, padding=1))
    halved = False
    for cell in range(depth):
        name, halves = f"cells.{cell}", cell in (depth // 3, 2 * depth // 3)
        rows = mixture_of(mixture, cell)[int(halves)]
        letters = CHOICES[space][int(halves)].split()
        if halved:
            first = reduced(f"{name}.preprocess0", before)
        else:
            first = norm(f"{name}.preprocess0.op.2", conv(f"{name}.preprocess0.op.1", F.relu(before)))
        nodes = [first, norm(f"{name}.preprocess1.op.2", conv(f"{name}.preprocess1.op.1", F.relu(last)))]
        row = 0
        for node in range(4):
            total = torch.zeros(())
            for source in range(2 + node):
                stride = 2 if halves and source < 2 else 1

                edge = (f"{name}._ops.{row}._ops", letters[row], rows[row], stride)

                def mixed_edge(part: Tensor, edge: tuple[str, str, Tensor, int] = edge) -> Tensor:
                    prefix, of_edge, weights, by = edge
                    made = [
                        weights[column] * operation(letter, f"{prefix}.{column}", part, by)
                        for column, letter in enumerate(of_edge)
                    ]
                    return torch.stack(made).sum(0)

                total = total + partly(nodes[source], seen.partial, mixed_edge, stride)
                row += 1
            nodes.append(total)
        before, last, halved = last, torch.cat(nodes[2:], 1), halves
    return last.mean((2, 3)) @ tensors["classifier.weight"].T + tensors["classifier.bias"]


def darts_decided(space: str, draws: Mixture) -> Mixture:
    """One on each operation kept: in each node of the two sources whose largest entry, but of none, is largest."""
    found = []
    for rows, letters in zip(draws, CHOICES[space], strict=True):
        hard, row = torch.zeros_like(rows), 0
        for node in range(4):
            best = []
            for _ in range(2 + node):
                entries = [
                    (-float(value), column)
                    for column, (value, letter) in enumerate(zip(rows[row], letters.split()[row], strict=True))
                    if letter != "n"
                ]
                best.append((min(entries), row))
                row += 1
            for (_, column), place in sorted(best, key=lambda one: (one[0][0], one[1]))[:2]:
                hard[place, column] = 1.0
        found.append(hard)
    return tuple(found)


def logits(space: str, tensors: Tensors, images: Tensor, mixture: Mixture, *supernet: Any) -> Tensor:
    """The supernet of any space; its depth, whether it is in training mode, its momentum, and if need be ``Seen``."""
    if space == "nasbench201":
        return nasbench201_logits(tensors, images, mixture, *supernet)
    if space in CHOICES:
        return darts_logits(space, tensors, images, mixture, *supernet)
    return nasbench1shot1_logits(space, tensors, images, mixture, *supernet)
