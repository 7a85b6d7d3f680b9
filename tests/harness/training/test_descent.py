"""Training one network: a literal loop gives the same, and so does one that is stopped after any step."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from nas_stability.benchmarks.catalog import SPACES, find_space, load_data
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import Augmentation, draw_batches
from nas_stability.benchmarks.spaces.networks.network import NetworkShape
from nas_stability.harness.records.evaluated import NETWORK, TRAINING, WEIGHTS
from nas_stability.harness.records.sealed import opened
from nas_stability.harness.rng import stream
from nas_stability.harness.runs.run import Interrupted, Watch
from nas_stability.harness.schedules import learning_rate
from nas_stability.harness.training import descent
from nas_stability.harness.training.assignment import Assignment, images_of, refuse_unfit
from nas_stability.harness.training.descent import kept_paths, train_network
from tests.harness.training.small_training import assignment
from tests.slow import slow_but
from tests.small import CPU, PLACE

RAW = load_data("digits", Path())
CHANGING = ("seconds", "git_commit")


def laid_last(generator: torch.Generator, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Values that are drawn channel by channel for each pixel."""
    batch, channels, height, breadth = shape
    return torch.randn((batch, height, breadth, channels), generator=generator, dtype=dtype).permute(0, 3, 1, 2)


CASES: dict[str, dict[str, Any]] = {
    "nasbench201": {"space": "nasbench201"},
    "nasbench1shot1-s1": {"space": "nasbench1shot1-s1", "grad_clip": 0.01},
    "darts-s1": {"space": "darts-s1", "drop_path": 0.5, "nesterov": False, "lr_epoch_shift": 1, "lr_min": 0.01},
    "darts-s4": {"space": "darts-s4", "drop_path": 0.5, "crop_padding": 1, "flip": True, "cutout": 2},
    "all images": {"space": "nasbench201", "train": "all", "dtype": "float64"},
}


def result(one: Assignment) -> dict[str, Any]:
    found = opened(one.folder / NETWORK, "a network's")
    return {name: value for name, value in found.items() if name not in CHANGING}


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) >= steps

    return stop


@pytest.mark.parametrize("case", CASES)
def test_a_literal_loop_gives_the_same(case: str, tmp_path: Path) -> None:
    one = assignment(tmp_path, **CASES[case])
    assert train_network(one, PLACE, Watch())
    found, protocol = result(one), one.protocol
    images = images_of(protocol, RAW, CPU)
    torch.manual_seed(stream(0, "network").initial_seed())
    network = find_space(one.space).network
    assert network is not None
    net = network(one.arch, NetworkShape(2, protocol.cells, 10, 1)).to(getattr(torch, protocol.dtype))
    net.to(memory_format=torch.channels_last)
    velocity = [torch.zeros_like(weight) for weight in net.trained()]
    losses: list[float] = []
    for epoch in range(3):
        share = (epoch + protocol.lr_epoch_shift) / 3
        lr = protocol.lr_min + (protocol.lr - protocol.lr_min) * (1 + math.cos(math.pi * share)) / 2
        augmentation = Augmentation(protocol.crop_padding, protocol.flip, protocol.cutout)
        generator = stream(0, "network batches", epoch)
        steps = math.ceil(len(images.train.labels) / 10)
        dtype = getattr(torch, protocol.dtype)
        batches = draw_batches(images.train, 10, augmentation, generator, False, False, steps, dtype)
        losses.clear()
        for step, (batch, labels) in enumerate(batches):
            noise = stream(0, "network noise", epoch, step)
            drawn = functools.partial(laid_last, noise, dtype)
            p = 1 - protocol.drop_path * epoch / 3
            kept = None
            if net.paths and p < 1:
                uniform = torch.rand(
                    (net.paths, len(labels)), generator=stream(0, "drop path", epoch, step), dtype=torch.float64
                )
                kept = ((uniform < p) / p).to(batch.dtype)
            net.train()
            with net.drawing(lambda drawn=drawn: drawn):
                loss = F.cross_entropy(net(batch, kept)[0], labels)
            found_slopes = torch.autograd.grad(loss, net.trained(), allow_unused=True)  # noise has no input
            pairs = [
                (weight, slope, speed)
                for weight, slope, speed in zip(net.trained(), found_slopes, velocity, strict=True)
                if slope is not None
            ]
            slopes = [slope for _, slope, _ in pairs]
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(slope) for slope in slopes]))
            scale = min(1.0, protocol.grad_clip / (float(norm) + 1e-6)) if protocol.grad_clip else 1.0
            for weight, slope, speed in pairs:
                grown = scale * slope + protocol.weight_decay * weight.data
                speed.mul_(protocol.momentum).add_(grown)
                weight.data -= lr * (grown + protocol.momentum * speed if protocol.nesterov else speed)
            losses.append(float(loss.detach()) * len(labels))
    assert found["train_loss"] == pytest.approx(sum(losses) / len(images.train.labels), rel=2e-4)
    net.eval()
    for split, half in (("valid", images.valid), ("test", images.test)):
        if half is None:
            assert found[f"{split}_accuracy"] is None
            continue
        standard = ((half.images - half.mean) / half.deviation).to(batch.dtype)
        logits = net(standard)[0]
        assert found[f"{split}_loss"] == pytest.approx(float(F.cross_entropy(logits.detach(), half.labels)), rel=2e-3)
        right = 100 * float((logits.argmax(1) == half.labels).double().mean())
        assert found[f"{split}_accuracy"] == pytest.approx(right, abs=2)
    assert len(images.train.labels) == (60 if protocol.train == "all" else 30)


@pytest.mark.parametrize("case", slow_but(CASES, "darts-s4"))
def test_stopped_after_any_step_it_goes_on_to_the_same_record(case: str, tmp_path: Path) -> None:
    whole = assignment(tmp_path / "whole", **CASES[case])
    train_network(whole, PLACE, Watch())
    one = assignment(tmp_path / "parts", **CASES[case])
    for steps in (1, 2, 3):  # within epochs, and at the end of the second
        with pytest.raises(Interrupted, match=r"stopped after step \d of epoch \d of 3"):
            train_network(one, PLACE, Watch(interrupted=after(steps)))
        assert (one.folder / TRAINING).exists()
        assert not (one.folder / NETWORK).exists()
    assert train_network(one, PLACE, Watch())
    assert result(one) == result(whole)
    assert not (one.folder / TRAINING).exists()
    assert not train_network(one, PLACE, Watch()), "it is trained"


def test_a_killed_one_goes_on_from_the_last_saved_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, one = assignment(tmp_path / "whole"), assignment(tmp_path / "parts")
    train_network(whole, PLACE, Watch())
    monkeypatch.setattr(descent, "SAVED_EVERY", -1.0)

    def killed(done: int, total: int) -> None:
        if done == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        train_network(one, PLACE, Watch(progress=killed))
    assert (one.folder / TRAINING).exists()
    train_network(one, PLACE, Watch())
    assert result(one) == result(whole)


def test_seeds_and_protocols_make_other_networks(tmp_path: Path) -> None:
    first = assignment(tmp_path)
    others = [assignment(tmp_path, seed=1), assignment(tmp_path, lr=0.05), assignment(tmp_path, "darts-s1")]
    names = {one.name for one in (first, *others)}
    assert len(names) == 4
    for one in (first, others[0]):
        train_network(one, PLACE, Watch())
    assert result(first)["train_loss"] != result(others[0])["train_loss"]


def test_weights_are_kept_on_request(tmp_path: Path) -> None:
    one = assignment(tmp_path)._replace(weights=True)
    train_network(one, PLACE, Watch())
    state = torch.load(one.folder / WEIGHTS, weights_only=True)
    network = find_space(one.space).network
    assert network is not None
    net = network(one.arch, NetworkShape(2, 1, 10, 1))
    net.load_state_dict(state)
    images = images_of(one.protocol, RAW, CPU)
    judged = descent.judge(net, images.test, torch.float32)
    assert judged is not None
    assert judged.accuracy == result(one)["test_accuracy"]


def test_the_learning_rate_is_a_cosine_read_ahead(tmp_path: Path) -> None:
    darts = dataclasses.replace(assignment(tmp_path).protocol, lr=0.025, lr_epoch_shift=1, epochs=600)
    assert learning_rate(darts, 599) == 0
    assert learning_rate(darts, 598) == pytest.approx(1.7e-7, rel=0.02), "as the published code has it one epoch before"
    assert learning_rate(dataclasses.replace(darts, lr_epoch_shift=0), 0) == 0.025
    assert learning_rate(dataclasses.replace(darts, lr_min=0.001), 599) == 0.001


def test_drop_path_leaves_out_more_and_more(tmp_path: Path) -> None:
    protocol = dataclasses.replace(assignment(tmp_path, "darts-s1").protocol, drop_path=0.2, epochs=10)
    assert kept_paths(protocol, 0, 0, 0, 5, 7) is None
    for epoch in (1, 9):
        p = 1 - 0.2 * epoch / 10
        kept = kept_paths(protocol, 0, epoch, 3, 200, 300)
        assert kept is not None
        assert set(kept.unique().tolist()) == {0.0, 1 / p}
        assert float((kept > 0).double().mean()) == pytest.approx(p, abs=0.005)
        assert float(kept.mean()) == pytest.approx(1, abs=0.01)
        again = kept_paths(protocol, 0, epoch, 3, 200, 300)
        assert torch.equal(kept, again)  # type: ignore[arg-type]
    steps = [kept_paths(protocol, *at, 9, 9) for at in ((0, 1, 0), (0, 1, 1), (1, 1, 0), (0, 2, 0))]
    assert not any(torch.equal(steps[0], other) for other in steps[1:])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [("cut", "truncated"), ("flip", "was altered"), ("other", "is of the network"), ("text", "not a checkpoint")],
)
def test_a_damaged_state_is_named_and_restarts_nothing(name: str, message: str, tmp_path: Path) -> None:
    one = assignment(tmp_path)
    with pytest.raises(Interrupted):
        train_network(one, PLACE, Watch(interrupted=after(2)))
    path = one.folder / TRAINING
    content = path.read_bytes()
    if name == "other":
        other = assignment(tmp_path, seed=1)
        with pytest.raises(Interrupted):
            train_network(other, PLACE, Watch(interrupted=after(2)))
        content = (other.folder / TRAINING).read_bytes()
    harmed = {"cut": content[:-9], "flip": content[:-9] + b"x" + content[-8:], "other": content, "text": b"state\n"}
    path.write_bytes(harmed[name])
    with pytest.raises(CorruptFile, match=message):
        train_network(one, PLACE, Watch())
    assert path.read_bytes() == harmed[name]


def test_other_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = assignment(tmp_path)
    with pytest.raises(Interrupted):
        train_network(one, PLACE, Watch(interrupted=after(2)))
    other = RAW._replace(images=RAW.images.flip(0))
    monkeypatch.setattr(descent, "load_data", lambda name, folder: other)
    with pytest.raises(BadInput, match=r"the images digits are not those that .* began with"):
        train_network(one, PLACE, Watch())


def test_a_loss_that_is_not_finite_is_said(tmp_path: Path) -> None:
    one = assignment(tmp_path, lr=1e6, weight_decay=1e6, grad_clip=0.0)
    with pytest.raises(FloatingPointError, match=r"the training loss of nasbench201-.* in epoch \d is"):
        train_network(one, PLACE, Watch())
    assert not (one.folder / NETWORK).exists()


@pytest.mark.parametrize(
    ("space", "given", "message"),
    [
        ("nasbench201", {"cutout": 9}, r"'cutout' must lie in \[0, 8\] for images of 8 x 8 pixels"),
        ("nasbench201", {"batch_size": 31}, "'batch_size' is 31 for 30 training images, more than there are"),
        ("nasbench201", {"batch_size": 29}, "'batch_size' is 29 for 30 training images, so that the last batch"),
        ("darts-s1", {"auxiliary": 0.4}, "the auxiliary classifier reads maps of 8x8 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(space: str, given: dict[str, Any], message: str, tmp_path: Path) -> None:
    one = assignment(tmp_path, space, **given)
    with pytest.raises(BadInput, match=message):
        refuse_unfit(space, one.arch, one.protocol, RAW)


def test_multiplications_are_counted_by_hand(tmp_path: Path) -> None:
    one = assignment(tmp_path)._replace(arch="|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|")
    train_network(one, PLACE, Watch())
    pixels, width = 64, 2
    stages = [(pixels, width), (pixels // 4, 2 * width), (pixels // 16, 4 * width)]
    cells = sum(area * wide * wide * (9 + 1) for area, wide in stages)
    between = sum(
        area * (wide // 2) * wide * 9 + area * wide * wide * 9 + area * (wide // 2) * wide for area, wide in stages[1:]
    )
    assert result(one)["macs"] == pixels * width * 9 + cells + between + 4 * width * 10
    assert json.loads((one.folder / NETWORK).read_text())["parameters"] == result(one)["parameters"]


@pytest.mark.parametrize("space", slow_but(SPACES, "darts-s3"))
def test_architectures_of_every_space_are_trained(space: str, tmp_path: Path) -> None:
    """A space is held to this by being listed."""
    one = assignment(tmp_path, space, epochs=1, width=4)
    train_network(one, PLACE, Watch())
    found = result(one)
    assert found["arch"] == one.arch
    assert found["macs"] > 0
    assert 0 <= found["test_accuracy"] <= 100


def test_passes_may_be_cast_and_judging_is_not(tmp_path: Path) -> None:
    whole, cast = assignment(tmp_path), assignment(tmp_path, autocast="bfloat16")
    seen: set[torch.dtype] = set()

    def note(module: object, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        seen.add(made.dtype)

    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, given, made: note(module, given, made) if isinstance(module, torch.nn.Conv2d) else None
    )
    try:
        train_network(cast, PLACE, Watch())
    finally:
        hook.remove()
    assert seen == {torch.bfloat16, torch.float32}, "steps in one, judging in the other"
    train_network(whole, PLACE, Watch())
    assert result(cast)["train_loss"] != result(whole)["train_loss"]
    assert result(cast)["train_loss"] == pytest.approx(result(whole)["train_loss"], rel=0.05)
