"""One network trained from scratch, to a record of its own; it stops after any step and goes on bit for bit.

Everything drawn is a function of (seed, purpose, epoch, step): weights, batches, augmentation, drop path, and noise
where an operation draws. What is trained is what the architecture and the seed say, whoever found it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from nas_stability.benchmarks import files, plugins
from nas_stability.benchmarks.catalog import load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import Augmentation, Half, draw_batches, plain_batches, sent
from nas_stability.benchmarks.spaces.layers.noise import standard_normal
from nas_stability.benchmarks.spaces.networks.network import FoundNetwork
from nas_stability.harness.records.claiming import alone
from nas_stability.harness.records.evaluated import NETWORK, TRAINING, WEIGHTS
from nas_stability.harness.records.record import LOCK, SCHEMA
from nas_stability.harness.records.sealed import read_head, sealed
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import checkpoint
from nas_stability.harness.runs.machine import PACKAGES, Place, device_name, git_commit, settled, version
from nas_stability.harness.runs.run import Interrupted, Watch
from nas_stability.harness.schedules import learning_rate
from nas_stability.harness.training.assignment import Assignment, Images, build, images_of
from nas_stability.harness.training.protocol import Protocol

PASS = 500
"""Images per pass outside of training."""

SAVED_EVERY = 60.0
"""Seconds of training after which an epoch's end is saved: what a killed process loses at most, and an epoch."""


class Judged(NamedTuple):
    """A network on some images, with running statistics: mean loss in nats, accuracy in percent."""

    loss: float
    accuracy: float


@dataclass
class Training:
    """The state of a network in training.

    Attributes:
        net, optimizer: as PyTorch has them.
        epoch: epochs done.
        step: steps done in the one under way.
        loss: sum of the training losses in it, in nats, over images.
        images: that it is over.
        train_loss: mean training loss of the last whole epoch.
        seconds: of training so far.
    """

    net: FoundNetwork
    optimizer: torch.optim.SGD
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    images: int = 0
    train_loss: float = math.nan
    seconds: float = 0.0


def train_network(assignment: Assignment, place: Place, watch: Watch) -> bool:
    """Trains a network from where its folder's state stands; one that is trained is left as it is.

    Returns:
        Whether there was anything to do.

    Raises:
        BadInput: its images are not there, or are others than it began with.
        CorruptFile: its saved state cannot be trusted.
        FloatingPointError: the loss is not finite.
        Held: another process is at it.
        Interrupted: it was told to stop, and saved its state.
    """
    folder, protocol = assignment.folder, assignment.protocol
    if (folder / NETWORK).exists():
        return False
    plugins.load_recorded(assignment.plugins)
    raw = load_data(protocol.data, Path(place.data_dir))
    with alone(folder, LOCK, "training the network"):
        if (folder / NETWORK).exists():
            return False
        files.clear_parts(folder, alone=True)
        with settled(protocol, place) as device:
            images = images_of(protocol, raw, device)
            training = begin(assignment, images, device)
            if (folder / TRAINING).exists():
                go_on(training, assignment, images)
            proceed(training, assignment, images, place, watch)
            finish(training, assignment, images, place)
    return True


def begin(assignment: Assignment, images: Images, device: torch.device) -> Training:
    """The untrained state, on the device."""
    protocol = assignment.protocol
    net = build(assignment.space, assignment.arch, assignment.seed, protocol, images.classes, images.in_channels)
    net.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.trained(),
        lr=protocol.lr,
        momentum=protocol.momentum,
        nesterov=protocol.nesterov,
        weight_decay=protocol.weight_decay,
    )
    return Training(net, optimizer)


def kept_paths(protocol: Protocol, seed: int, epoch: int, step: int, paths: int, images: int) -> Tensor | None:
    """Which operations each image keeps in a step, (paths, images): 0, or 1 / p of one that is kept with p; float64.

    p falls linearly from 1 in the first epoch towards 1 - drop_path. None: nothing is left out.
    """
    p = 1 - protocol.drop_path * epoch / protocol.epochs
    if p == 1 or not paths:
        return None
    drawn = torch.rand((paths, images), generator=stream(seed, "drop path", epoch, step), dtype=torch.float64)
    return (drawn < p).double() / p


def proceed(training: Training, assignment: Assignment, images: Images, place: Place, watch: Watch) -> None:
    """Step after step to the end.

    Raises:
        FloatingPointError: a loss is not finite.
        Interrupted: told to stop; the state is saved.
    """
    protocol = assignment.protocol
    net = torch.compile(training.net, dynamic=False) if place.launch.compile else training.net
    per_epoch = math.ceil(len(images.train.labels) / protocol.batch_size)
    saved = time.monotonic()
    watch.progress(training.epoch, protocol.epochs)
    while training.epoch < protocol.epochs:
        began = time.perf_counter()
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(protocol, training.epoch)
        batches = draw_batches(
            images.train,
            protocol.batch_size,
            Augmentation(protocol.crop_padding, protocol.flip, protocol.cutout),
            stream(assignment.seed, "network batches", training.epoch),
            False,
            False,
            per_epoch,
            getattr(torch, protocol.dtype),
        )
        for batch, labels in itertools.islice(batches, training.step, None):
            training.loss += one_step(training, net, assignment, batch, labels) * len(labels)
            training.images += len(labels)
            training.step += 1
            if watch.interrupted() and (training.step < per_epoch or training.epoch + 1 < protocol.epochs):
                training.seconds += time.perf_counter() - began
                save(training, assignment, images)
                raise Interrupted(
                    f"stopped after step {training.step} of epoch {training.epoch + 1} of {protocol.epochs}; "
                    f"saved in {assignment.folder}"
                )
        training.train_loss = training.loss / training.images
        training.epoch, training.step, training.loss, training.images = training.epoch + 1, 0, 0.0, 0
        training.seconds += time.perf_counter() - began
        watch.progress(training.epoch, protocol.epochs)
        if time.monotonic() - saved > SAVED_EVERY and training.epoch < protocol.epochs:
            save(training, assignment, images)
            saved = time.monotonic()


def one_step(training: Training, net: Any, assignment: Assignment, batch: Tensor, labels: Tensor) -> float:
    """One step of SGD; the batch's mean training loss in nats, of the first classifier."""
    protocol, at = assignment.protocol, (training.epoch, training.step)
    training.net.train()
    kept = kept_paths(protocol, assignment.seed, *at, training.net.paths, len(labels))
    placed = None if kept is None else sent(kept.to(batch.dtype), batch.device)
    noise = standard_normal(stream(assignment.seed, "network noise", *at), batch.dtype)
    with (
        training.net.drawing(lambda: noise),
        torch.autocast(batch.device.type, torch.bfloat16, enabled=protocol.autocast == "bfloat16"),
    ):
        logits, second = net(batch, placed)
    loss = F.cross_entropy(logits.to(batch.dtype), labels)
    total = loss
    if second is not None:
        total = loss + protocol.auxiliary * F.cross_entropy(second.to(batch.dtype), labels)
    training.optimizer.zero_grad()
    total.backward()
    if protocol.grad_clip:
        torch.nn.utils.clip_grad_norm_(training.net.trained(), protocol.grad_clip)
    training.optimizer.step()
    found = float(loss.detach())
    if not math.isfinite(found):
        raise FloatingPointError(f"the training loss of {assignment.name} in epoch {training.epoch + 1} is {found}")
    return found


def judge(net: FoundNetwork, half: Half | None, dtype: torch.dtype) -> Judged | None:
    """The network on images, not augmented, with running statistics; None where there are none."""
    if half is None:
        return None
    loss, right = 0.0, 0
    net.eval()
    with torch.no_grad():
        for batch, labels in plain_batches(half, PASS, dtype):
            logits, _ = net(batch)
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
    return Judged(loss / len(half.labels), 100 * right / len(half.labels))


def macs_of(net: FoundNetwork, half: Half, dtype: torch.dtype) -> int:
    """Multiplications of a pass of one image through convolutions and linear layers, without the second classifier."""
    one = half._replace(images=half.images[:1], labels=half.labels[:1])
    net.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        for batch, _ in plain_batches(one, 1, dtype):
            net(batch)
    return int(counter.get_total_flops()) // 2  # PyTorch counts a multiplication and an addition


def save(training: Training, assignment: Assignment, images: Images) -> None:
    """Replaces the saved state."""
    head = {"network": assignment.name, "data": images.certificate, "epoch": training.epoch, "step": training.step}
    state = {
        **{name: getattr(training, name) for name in ("epoch", "step", "loss", "images", "train_loss", "seconds")},
        "net": training.net.state_dict(),
        "optimizer": training.optimizer.state_dict(),
    }
    checkpoint.save(assignment.folder / TRAINING, head, state)


def go_on(training: Training, assignment: Assignment, images: Images) -> None:
    """Puts the state where the saved one stands.

    Raises:
        BadInput: it began with other images.
        CorruptFile: it is of another network, or does not fit.
    """
    path = assignment.folder / TRAINING
    head = read_head(path)
    if head.get("network") != assignment.name:
        raise CorruptFile(f"the checkpoint {path} is of the network {head.get('network')}")
    if head["data"] != images.certificate:
        raise BadInput(f"the images {images.certificate['name']} are not those that {assignment.folder} began with")
    state = checkpoint.load(path)
    try:
        training.net.load_state_dict(state["net"])
        training.optimizer.load_state_dict(state["optimizer"])
        for name in ("epoch", "step", "loss", "images", "train_loss", "seconds"):
            setattr(training, name, state[name])
    except (LookupError, RuntimeError, ValueError) as error:
        raise CorruptFile(f"the checkpoint {path} holds no state of this network; {checkpoint.ADVICE}") from error


def finish(training: Training, assignment: Assignment, images: Images, place: Place) -> None:
    """Judges the network and writes its record; the saved state is no longer needed."""
    folder, protocol, net = assignment.folder, assignment.protocol, training.net
    dtype = getattr(torch, protocol.dtype)
    valid, test = judge(net, images.valid, dtype), judge(net, images.test, dtype)
    kept: str | None = None
    if assignment.weights:
        torch.save(net.state_dict(), folder / f"{WEIGHTS}.part")
        (folder / f"{WEIGHTS}.part").replace(folder / WEIGHTS)
        kept = files.sha256(folder / WEIGHTS)
    record = {
        "schema": SCHEMA,
        "network": assignment.name,
        "space": assignment.space,
        "arch": assignment.arch,
        "seed": assignment.seed,
        "label": assignment.label,
        "protocol": dataclasses.asdict(protocol),
        "data": images.certificate,
        "train_loss": training.train_loss,
        "valid_loss": valid and valid.loss,
        "valid_accuracy": valid and valid.accuracy,
        "test_loss": test and test.loss,
        "test_accuracy": test and test.accuracy,
        "parameters": sum(weight.numel() for weight in net.trained(auxiliary=False)),
        "macs": macs_of(net, images.train, dtype),
        "seconds": round(training.seconds, 3),
        "weights": kept,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
        "device": device_name(place.device),
        "threads": torch.get_num_threads(),
    }
    files.write(folder / NETWORK, sealed(record))
    (folder / TRAINING).unlink(missing_ok=True)
