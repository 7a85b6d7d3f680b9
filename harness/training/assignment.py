"""What a network is trained of: an assignment, its images, and the untrained network; nothing is written.

Weights are a function of the seed alone, whatever the architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Half, Raw, halves, plain_batches, sha256_of
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork, NetworkShape
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.harness.rng import stream
from nas_stability.harness.specs.fit import size_faults
from nas_stability.harness.training.protocol import Protocol


class Assignment(NamedTuple):
    """A network that is to be trained.

    Attributes:
        name: of the network.
        space, arch, seed: what it is of.
        protocol: how.
        label: what the protocol is called.
        folder: of the network's records.
        weights: whether its weights are kept.
        plugins: that its space may come from, as a spec has them.
    """

    name: str
    space: str
    arch: Arch
    seed: int
    protocol: Protocol
    label: str
    folder: Path
    weights: bool = False
    plugins: str = ""


class Images(NamedTuple):
    """What a network is trained on and judged by; all are standardised alike.

    Attributes:
        train: all training images, or the half that moved the weights of the search.
        valid: the other half; None where all are trained on and the data has none of its own.
        test: None where the data has none.
        classes, in_channels: of the data.
        certificate: name, checksum and number of the images.
    """

    train: Half
    valid: Half | None
    test: Half | None
    classes: int
    in_channels: int
    certificate: dict[str, Any]


def images_of(protocol: Protocol, raw: Raw, device: torch.device) -> Images:
    """The images of a protocol, on the device.

    Raises:
        BadInput: more asked for than there are.
    """
    found = halves(raw, protocol.images, device)
    train, valid = found.train, found.valid
    if protocol.train == "all" and raw.valid_images is None:
        train = train._replace(
            images=torch.cat([train.images, valid.images]), labels=torch.cat([train.labels, valid.labels])
        )
    test = None
    if raw.test_images is not None and raw.test_labels is not None:
        test = train._replace(images=raw.test_images.to(device), labels=raw.test_labels.to(device))
    held_out = None if protocol.train == "all" and raw.valid_images is None else valid
    certificate = {"name": protocol.data_name, "sha256": sha256_of(raw), "images": len(train.labels)}
    return Images(train, held_out, test, found.classes, found.in_channels, certificate)


def build(space: str, arch: Arch, seed: int, protocol: Protocol, classes: int, in_channels: int) -> FoundNetwork:
    """The network, initialised by its seed.

    Raises:
        BadInput: nobody has said how architectures of the space are trained, or it does not reach this one.
    """
    network = find_space(space).network
    if network is None:
        raise BadInput(f"the space {space} has no network to train an architecture as (the attribute 'network')")
    shape = NetworkShape(protocol.width, protocol.cells, classes, in_channels, protocol.auxiliary > 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "network").initial_seed())
        return network(arch, shape).to(getattr(torch, protocol.dtype))


def refuse_unfit(space: str, arch: Arch, protocol: Protocol, raw: Raw) -> None:
    """Passes a protocol that can be carried out for a space on these images; one small step is made.

    Raises:
        BadInput: naming the field.
    """
    if faults := list(size_faults(protocol.crop_padding, protocol.cutout, raw)):
        raise BadInput("; ".join(faults))
    images = images_of(protocol, raw, torch.device("cpu"))
    count = len(images.train.labels)
    if protocol.batch_size > count or count % protocol.batch_size == 1:
        what = "more than there are" if protocol.batch_size > count else "so that the last batch would be one image"
        raise BadInput(f"the field 'batch_size' is {protocol.batch_size} for {count} training images, {what}")
    net = build(space, arch, 0, protocol, images.classes, images.in_channels)
    few = images.train._replace(images=images.train.images[:2], labels=images.train.labels[:2])
    try:
        for batch, _ in plain_batches(few, 2, getattr(torch, protocol.dtype)):
            net(batch)
    except (RuntimeError, ValueError) as error:
        sides = " x ".join(map(str, raw.images.shape[-2:]))
        reason = str(error).partition("\n")[0]
        raise BadInput(f"{protocol.cells} cells of {space} do not take images of {sides} pixels: {reason}") from error
