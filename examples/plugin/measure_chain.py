"""How chain-digits.parquet was made: each of the nine cells trained alone, three seeds, on the half for weights.

python measure_chain.py > chain-digits.csv
nas-stability table import chain-digits.csv --space chain --tables . --name chain-digits
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from nas_stability_example.chain import SPACE

from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.images.dataset import Augmentation, draw_batches, halves, plain_batches, steps_per_epoch
from nas_stability.benchmarks.spaces.space import SupernetShape

EPOCHS, BATCH = 8, 64


def accuracy(mixture: tuple[torch.Tensor, ...], seed: int) -> float:
    """Validation accuracy in percent after EPOCHS."""
    data = halves(load_data("digits", Path("data")), 0, torch.device("cpu"))
    torch.manual_seed(seed)
    net = SPACE.supernet(SupernetShape(8, 2, data.classes, data.in_channels, 0.1)).train()
    steps = steps_per_epoch(len(data.train.labels), BATCH, True)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        batches = draw_batches(
            data.train, BATCH, Augmentation(0, False, 0), generator, False, True, steps, torch.float32
        )
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(images, mixture), labels).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        right = [
            net(images, mixture).argmax(1) == labels for images, labels in plain_batches(data.valid, 512, torch.float32)
        ]
    return 100 * float(torch.cat(right).double().mean())


print("arch,dataset,split,epochs,seed,accuracy")
for arch, (cell, _) in SPACE.listed.items():
    for seed in range(3):
        mixture = tuple(group.float() for group in SPACE.configuration(cell))
        print(f"{arch},digits,valid,{EPOCHS},{seed},{accuracy(mixture, seed):.4f}")
