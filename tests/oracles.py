"""The same things by a slower, independent, literal route, in float64: one call per edge and operation, all by name.

Nothing here imports a formula of the package; weights are looked up under the published implementation's names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]
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


def partly(features: Tensor, partial: int, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """The first one in ``partial`` channels mixed, the others as they are, and all shuffled."""
    if partial == 1:
        return mix(features)
    width = features.shape[1] // partial
    whole = torch.cat([mix(features[:, :width]), features[:, width:]], 1)
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


def logits(space: str, tensors: Tensors, images: Tensor, mixture: Mixture, *supernet: Any) -> Tensor:
    """The supernet of any space; its depth, whether it is in training mode, its momentum, and if need be ``Seen``."""
    if space == "nasbench201":
        return nasbench201_logits(tensors, images, mixture, *supernet)
    return nasbench1shot1_logits(space, tensors, images, mixture, *supernet)


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
        settings: the run's other fields.
        weight_optimizer, arch_optimizer: SGD and Adam, PyTorch's own.
    """

    space: str
    tensors: Tensors
    alpha: tuple[Tensor, ...]
    depth: int
    momentum: float
    weight_optimizer: torch.optim.Optimizer
    arch_optimizer: torch.optim.Optimizer
    settings: Mapping[str, Any]

    def loss(self, batch: Batch, mixture: Mixture, training: bool = True, tensors: Tensors | None = None) -> Tensor:
        """Mean cross-entropy in nats; ``tensors``: in the place of the search's own."""
        method, supernet = self.settings["method"], (self.depth, training, self.momentum)
        partial = self.settings["partial_channels"] if method.startswith("pc-darts") else 1
        alone = method.startswith("gdas") and mixture[0].ndim == 3
        found = logits(self.space, tensors or self.tensors, batch[0], mixture, *supernet, Seen(partial, alone))
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
        settings,
    )


def hot(group: Tensor, count: int = 1) -> Tensor:
    """Each row's weight in equal parts on its largest entries; ties go to the first."""
    found = torch.zeros_like(group)
    for row, of_row in zip(group.reshape(-1, group.shape[-1]).tolist(), found.view(-1, group.shape[-1]), strict=True):
        for place in sorted(range(len(row)), key=lambda place: (-row[place], place))[:count]:
            of_row[place] = 1 / count
    return found


def gumbel_sample(search: LiteralSearch, logits: Mixture, draws: Mixture, progress: float) -> Mixture:
    """GDAS: a sample for each cell, operations hard with the gradient of the soft one."""
    tau = search.settings["tau_max"] * (1 - progress) + search.settings["tau_min"] * progress
    soft = [torch.softmax((group + noise) / tau, -1) for group, noise in zip(logits, draws, strict=True)]
    return (hot(soft[0].detach()) - soft[0].detach() + soft[0], *soft[1:])


def relaxed(search: LiteralSearch, base: str, draws: Mixture, progress: float) -> Mixture:
    """The mixture of a pass; a Dirichlet sample is PyTorch's own, and takes no draws."""
    alpha = search.alpha
    if base == "gdas":
        return gumbel_sample(search, alpha, draws, progress)
    if base == "nasp":
        point = hot(alpha[0].detach()) + alpha[0] - alpha[0].detach()
        return softmax((point, *alpha[1:]))
    if base == "drnas":
        return tuple(torch.distributions.Dirichlet(F.elu(group) + 1).rsample() for group in alpha)
    if base == "random-ws":
        kept = [1]
        if search.space in WIRINGS:
            _, parents, outputs = WIRINGS[search.space]
            kept += [outputs, *(count for block, count in enumerate(parents) if count <= block)]
        return tuple(hot(rows, count) for rows, count in zip(draws, kept, strict=True))
    return softmax(alpha)


def second_order(search: LiteralSearch, train: Batch, valid: Batch, lr: float) -> None:
    """DARTS, equations 7 and 8: the gradient of alpha through a virtual step of the weights, by a difference."""
    names = [name for name, value in search.tensors.items() if value.requires_grad]
    decay, momentum = search.settings["weight_decay"], search.settings["momentum"]
    slopes = torch.autograd.grad(search.loss(train, softmax(search.alpha)), search.weights)
    virtual = {name: value.detach().clone() for name, value in search.tensors.items()}
    for name, slope in zip(names, slopes, strict=True):
        weight = search.tensors[name]
        buffer = search.weight_optimizer.state[weight].get("momentum_buffer")
        step = slope + decay * weight.detach() + (0 if buffer is None else momentum * buffer)
        virtual[name] = (weight.detach() - lr * step).requires_grad_()
    leaves = [*search.alpha, *(virtual[name] for name in names)]
    found = torch.autograd.grad(search.loss(valid, softmax(search.alpha), tensors=virtual), leaves)
    direct, direction = found[: len(search.alpha)], found[len(search.alpha) :]
    reach = 0.01 / torch.linalg.vector_norm(torch.cat([part.reshape(-1) for part in direction]))
    sides = []
    for sign in (1, -1):
        moved = dict(search.tensors)  # buffers are the search's own: their statistics see both passes
        for name, part in zip(names, direction, strict=True):
            moved[name] = search.tensors[name].detach() + sign * reach * part
        sides.append(torch.autograd.grad(search.loss(train, softmax(search.alpha), tensors=moved), search.alpha))
    for leaf, straight, up, down in zip(search.alpha, direct, *sides, strict=True):
        leaf.grad = straight - lr * (up - down) / (2 * reach)


def arch_step(search: LiteralSearch, base: str, train: Batch, valid: Batch, draws: Mixture, progress: float) -> None:
    """One step of Adam on the logits."""
    search.arch_optimizer.zero_grad()
    if base == "darts-2nd":
        second_order(search, train, valid, search.settings["lr"])
    else:
        loss = search.loss(valid, relaxed(search, base, draws, progress))
        if base == "beta-darts":
            rows = torch.cat([group.exp().sum(1).log() for group in search.alpha])
            loss = loss + search.settings["beta_weight"] * progress * rows.mean()
        loss.backward()
    if search.settings["arch_grad_clip"]:
        torch.nn.utils.clip_grad_norm_(search.alpha, search.settings["arch_grad_clip"])
    search.arch_optimizer.step()


def literal_step(
    search: LiteralSearch,
    method: str,
    train: Batch,
    valid: Batch,
    radius: float,
    noise: Mixture,
    clip_counts_mixture: bool,
    draws: tuple[Mixture, Mixture] = ((), ()),
    progress: float = 0.0,
) -> Tensor:
    """One step of any method (attacks: 7 PGD steps); returns the training loss.

    ``draws`` are the relaxation's, of the architecture and of the weight step.
    """
    base, _, ending = method.rpartition("-")
    base, ending = (base, ending) if ending in ("rs", "adv") else (method, "")
    base = {"sdarts": "darts", "darts-ada": "darts-2nd"}.get(base, base)
    if base != "random-ws":
        arch_step(search, base, train, valid, draws[0], progress)

    def formed(point: Mixture) -> Mixture:
        sampled = base == "gdas" and ending
        return gumbel_sample(search, [p.clamp(min=1e-8).log() for p in point], draws[1], progress) if sampled else point

    of_logits = softmax(search.alpha) if base == "gdas" and ending else relaxed(search, base, draws[1], progress)
    origin = tuple(group.detach() for group in of_logits)
    point = origin
    if ending:
        point = tuple(project_group(p + n) for p, n in zip(origin, noise, strict=True))
    if ending == "adv":
        before = search.loss(train, formed(origin), training=False).item()
        for _ in range(7):
            leaves = tuple(group.detach().requires_grad_() for group in point)
            # As published, backwards through everything; GDAS's weights must not be touched by an attack.
            asked = leaves if base == "gdas" else [*leaves, *search.weights]
            slopes = torch.autograd.grad(search.loss(train, formed(leaves), training=False), asked)[: len(leaves)]
            moved = [p.detach() + 2 * radius / 7 * slope.sign() for p, slope in zip(leaves, slopes, strict=True)]
            point = tuple(
                project_group(torch.minimum(torch.maximum(p, o - radius), o + radius))
                for p, o in zip(moved, origin, strict=True)
            )
        if before > search.loss(train, formed(point), training=False).item():
            point = origin
    # Zeros, not nothing: a weight that some pass has seen goes on coasting where it is not chosen.
    search.weight_optimizer.zero_grad(set_to_none=base != "gdas")
    point = tuple(group.detach().requires_grad_() for group in formed(point))
    loss = search.loss(train, point)
    loss.backward()
    for name, weight in search.tensors.items() if base == "gdas" else ():
        here = f"{name.rsplit('.', 2)[0]}."
        seen = [count for place, count in search.tensors.items() if place.startswith(here) and "num_" in place]
        if weight.requires_grad and weight.grad is None and (not seen or int(seen[0])):
            weight.grad = torch.zeros_like(weight)  # it was computed once, and nothing leads on from it now
    torch.nn.utils.clip_grad_norm_([*search.weights, *(point if clip_counts_mixture else ())], 5.0)
    search.weight_optimizer.step()
    if base == "nasp":
        with torch.no_grad():
            for group in search.alpha:
                group.clamp_(0, 1)
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
