"""Processor seconds of a Hessian, by tangents and row by row: python -m tests.bench_curvature [--rows 8] [--side 8].

Row by row is what any net of PyTorch's operations gets for nothing: a pass whose gradient has a graph, and through that
graph a gradient for each logit. Of these only some are taken here, and their mean stands for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.spaces.layers.lean_operations import PlainOperations
from nas_stability.benchmarks.spaces.space import Alpha, Mixture, Supernet, SupernetShape, softmax
from nas_stability.harness.measuring.curvature import flat, hessian, probe_loss, unflat
from nas_stability.harness.methods.architects import Batch
from tests import darts_space

CLASSES = 10
WIDTH, IMAGES = 16, 16

Loss = Callable[[Mixture], Tensor]


def by_rows(loss: Loss, alpha: Alpha, rows: int) -> float:
    """Seconds of all rows of the Hessian, from those of the first ``rows``."""
    point = flat(alpha).requires_grad_()
    start = time.process_time()
    with PlainOperations():
        (slope,) = torch.autograd.grad(loss(softmax(unflat(point, alpha))), point, create_graph=True)
    middle = time.process_time()
    for entry in slope[:rows]:
        torch.autograd.grad(entry, point, retain_graph=True)
    return middle - start + (time.process_time() - middle) * len(point) / rows


def cases() -> dict[str, tuple[Supernet, tuple[tuple[int, int], ...]]]:
    """Supernets of 16 channels, with the shapes of their groups."""
    shape = {"nasbench201": 1}
    families = {
        name: (
            SPACES[name].supernet(SupernetShape(WIDTH, shape.get(name, 9), CLASSES, 3, 0.1)),
            SPACES[name].shapes,
        )
        for name in ("nasbench201", "nasbench1shot1-s1")
    }
    return families | {"cells of DARTS": (darts_space.supernet(WIDTH, 8, CLASSES), darts_space.SHAPES)}


def main() -> None:
    """Prints a line per net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--side", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(IMAGES, 3, options.side, options.side)
    batch = Batch(images, torch.randint(CLASSES, (IMAGES,)))
    for name, (net, shapes) in cases().items():
        alpha = tuple(torch.randn(shape) / 2 for shape in shapes)
        with probe_loss(net, batch, "batch", torch.float32) as loss:
            hessian(loss, alpha)  # what is made once
            start = time.process_time()
            logits = len(hessian(loss, alpha))
            tangents = time.process_time() - start
            rows = by_rows(loss, alpha, options.rows)
        print(
            f"{name}: {logits} logits, {tangents:.1f} s by tangents, {rows:.1f} s by rows: {rows / tangents:.1f} times"
        )


if __name__ == "__main__":
    main()
