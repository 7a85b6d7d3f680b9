"""The same things by a slower, independent, literal route, in float64: one call per edge and operation, all by name.

Nothing here imports a formula of the package; weights are looked up under the published implementation's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def nasbench201_logits(
    tensors: Tensors, images: Tensor, mixture: Mixture, depth: int, training: bool, momentum: float
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
                    node, weights = nodes[source], of_cell[row]
                    edge = f"cells.{index}.edges.{target}<-{source}"
                    one = norm(f"{edge}.2.op.2", F.conv2d(F.relu(node), tensors[f"{edge}.2.op.1.weight"]))
                    three = norm(f"{edge}.3.op.2", F.conv2d(F.relu(node), tensors[f"{edge}.3.op.1.weight"], padding=1))
                    pooled = F.avg_pool2d(node, 3, 1, 1, count_include_pad=False)
                    parts = [torch.zeros_like(node), node, one, three, pooled]
                    for weight, part in zip(weights, parts, strict=True):
                        total = total + weight * part
                    row += 1
                nodes.append(total)
            features = nodes[3]
            index += 1
    features = F.relu(norm("lastact.0", features)).mean((2, 3))
    return features @ tensors["classifier.weight"].T + tensors["classifier.bias"]


def nasbench1shot1_logits(
    space: str, tensors: Tensors, images: Tensor, mixture: Mixture, depth: int, training: bool, momentum: float
) -> Tensor:
    """A NAS-Bench-1Shot1 supernet, projection by projection and operation by operation."""
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
            operated = [
                F.max_pool2d(vertex, 3, 1, 1),
                conv_norm_relu(f"{name}.1.op.op", vertex, padding=1),
                conv_norm_relu(f"{name}.2.op.op", vertex),
            ]
            weighted = [w * part for w, part in zip(of_operations[block], operated, strict=True)]
            vertices.append(sum(weighted[1:], weighted[0]))
        outputs = of_outputs[0]
        joined = torch.cat([outputs[block + 1] * vertices[block] for block in range(blocks)], 1)
        features = outputs[0] * conv_norm_relu(f"cells.{index}._input_projections.{blocks}.op", features) + joined
    features = F.conv2d(F.relu(features), tensors["postprocess.op.1.weight"])
    features = batch_norm(tensors, "postprocess.op.2", features, training, 0.1).mean((2, 3))
    return features @ tensors["classifier.weight"].T + tensors["classifier.bias"]


def logits(
    space: str, tensors: Tensors, images: Tensor, mixture: Mixture, depth: int, training: bool, momentum: float
) -> Tensor:
    """The supernet of any space."""
    if space == "nasbench201":
        return nasbench201_logits(tensors, images, mixture, depth, training, momentum)
    return nasbench1shot1_logits(space, tensors, images, mixture, depth, training, momentum)


def softmax(alpha: Sequence[Tensor]) -> Mixture:
    """exp over sum of exp, by rows."""
    return tuple(group.exp() / group.exp().sum(1, keepdim=True) for group in alpha)


@dataclass
class LiteralSearch:
    """A search as the published one does it: full backward passes, one call per edge and operation.

    Attributes:
        space: its name.
        tensors: leaves and buffers by published name.
        alpha: leaves.
        depth, momentum: of the supernet.
        weight_optimizer, arch_optimizer: SGD and Adam, PyTorch's own.
    """

    space: str
    tensors: Tensors
    alpha: tuple[Tensor, ...]
    depth: int
    momentum: float
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer

    def loss(self, batch: tuple[Tensor, Tensor], mixture: Mixture, training: bool = True) -> Tensor:
        """Mean cross-entropy in nats."""
        found = logits(self.space, self.tensors, batch[0], mixture, self.depth, training, self.momentum)
        return F.cross_entropy(found, batch[1])

    @property
    def weights(self) -> list[Tensor]:
        """The leaves that SGD moves."""
        return [value for value in self.tensors.values() if value.requires_grad]


def literal_search(space: str, views: Tensors, alpha: Mixture, settings: Mapping[str, Any]) -> LiteralSearch:
    """Copies of the weights, buffers and logits; ``settings`` names depth, momenta and rates as a run's fields do."""
    tensors = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in views.items()}
    for name, value in tensors.items():
        value.requires_grad_(name.endswith((".weight", ".bias")))
    leaves = tuple(group.detach().clone().requires_grad_() for group in alpha)
    weights = [value for value in tensors.values() if value.requires_grad]
    decay, rate, betas = settings["arch_weight_decay"], settings["arch_lr"], (settings["arch_beta1"], 0.999)
    return LiteralSearch(
        space,
        tensors,
        leaves,
        settings["depth"],
        settings["batch_norm_momentum"],
        torch.optim.SGD(weights, settings["lr"], momentum=settings["momentum"], weight_decay=settings["weight_decay"]),
        torch.optim.Adam(leaves, rate, betas=betas, weight_decay=decay),
    )


def literal_step(
    search: LiteralSearch,
    method: str,
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    radius: float,
    noise: Mixture,
    clip_counts_mixture: bool,
) -> Tensor:
    """One step of darts, sdarts-rs or sdarts-adv (7 PGD steps); returns the training loss."""
    search.arch_optimizer.zero_grad()
    search.loss(valid, softmax(search.alpha)).backward()
    search.arch_optimizer.step()
    origin = tuple(group.detach() for group in softmax(search.alpha))
    point = origin
    if method != "darts":
        point = tuple(project_group(p + n) for p, n in zip(origin, noise, strict=True))
    if method == "sdarts-adv":
        before = search.loss(train, origin, training=False).item()
        for _ in range(7):
            leaves = tuple(group.detach().requires_grad_() for group in point)
            search.loss(train, leaves, training=False).backward()
            moved = [p.detach() + 2 * radius / 7 * p.grad.sign() for p in leaves]
            point = tuple(
                project_group(torch.minimum(torch.maximum(p, o - radius), o + radius))
                for p, o in zip(moved, origin, strict=True)
            )
        if before > search.loss(train, point, training=False).item():
            point = origin
    search.weight_optimizer.zero_grad()
    point = tuple(group.detach().requires_grad_() for group in point)
    loss = search.loss(train, point)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([*search.weights, *(point if clip_counts_mixture else ())], 5.0)
    search.weight_optimizer.step()
    return loss.detach()


def project_group(group: Tensor) -> Tensor:
    """``project_row`` for a matrix, for rows that keep a positive entry."""
    clamped = group.clamp(0, 1)
    return clamped / clamped.sum(1, keepdim=True)


def hessian(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Second derivatives of a scalar function of a vector, a row at a time through the whole graph."""
    point = point.detach().clone().requires_grad_()
    slope = torch.autograd.grad(loss(point), point, create_graph=True)[0]
    return torch.stack([torch.autograd.grad(entry, point, retain_graph=True)[0] for entry in slope])


def project_row(row: Sequence[float]) -> list[float]:
    """The published projection of one row, in plain Python."""
    clamped = [min(max(entry, 0.0), 1.0) for entry in row]
    total = math.fsum(clamped)
    if total == 0:
        largest = max(range(len(row)), key=lambda index: (row[index], -index))
        return [1.0 if index == largest else 0.0 for index in range(len(row))]
    return [entry / total for entry in clamped]


def crop(image: Tensor, row: int, column: int, flip: bool) -> Tensor:
    """One image (C, H, W), shifted by (row, column) pixels with zeros from outside, then mirrored; pixel by pixel."""
    channels, height, breadth = image.shape
    out = torch.zeros_like(image)
    for channel in range(channels):
        for y in range(height):
            for x in range(breadth):
                source_y, source_x = y + row, (breadth - 1 - x if flip else x) + column
                if 0 <= source_y < height and 0 <= source_x < breadth:
                    out[channel, y, x] = image[channel, source_y, source_x]
    return out
