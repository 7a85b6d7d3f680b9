"""RunSpec: what a run is before it runs. The standard library only.

Inside the search step the defaults are the published behaviour; in what is measured and recorded they are the clean
one. Every departure is a field here or a line in docs/fidelity.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass
from typing import Any, Literal

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.harness.methods.compositions import KINDS
from nas_stability.harness.specs import located
from nas_stability.harness.specs.fields import Range, Value, described, required

UNIT = Range(0, 1)
MEAN = Range(0, 1, open_high=True)
"""Of what a running mean keeps: with 1 it would never move, and Adam divides by 1 - beta."""

RATE = Range(0, 1e6)
"""Of rates, decays and scales: beyond anything that learns, and its square is far from the largest float32, 3e38."""

SIDE = Range(0, 1024)
"""Pixels; whether an image has as many is asked of the images (harness/specs/fit.py)."""

COUNT = Range(1, 1_000_000)
"""Of images, epochs and architectures: beyond any table or half of a data set that a search takes."""

INT64 = 2**63 - 1
"""Seeds are hashed and could be any integer; this is the largest that TOML, pandas and Parquet hold."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Every field that decides the numbers of one run, and nothing else.

    Make one with ``run_spec``, which fills in what the paper uses for the space. Units stand in each field's help.
    """

    space: str = required("search space")
    method: str = required("search method")
    data: str = required(
        "images to search on: a data set's name (imagenet16-120: from its official files in DATA_DIR/ImageNet16); or "
        "your own: npz:PATH, a numpy archive of arrays x_train, y_train and if any x_val, y_val, x_test, y_test: uint8 "
        "images (N, H, W) or (N, H, W, C), integer labels (N,); or folder:PATH, image files in PATH/CLASS/, or in "
        "PATH/train/CLASS/ and if any val/CLASS/, test/CLASS/"
    )
    data_sha256: str = described(
        "",
        "SHA-256 of an npz: file, or over names and contents of a folder:'s images; taken from there unless given; a "
        "run refuses others",
    )
    seed: int = described(0, "seeds weights, batches, augmentation, noise and the probe batch", Range(0, INT64))
    epochs: int = described(100, "epochs of the search", Range(1, 100_000))
    images: int = described(
        0,
        "take only the first n images: the first half of them moves the weights, the second, which is out of x_val or "
        "val/ where there is one, the logits; 0 takes all",
        Range(0, 1_000_000_000),
    )
    batch_size: int = required("images per batch, of training and validation alike", Range(2, 1_000_000))
    drop_last: bool = described(False, "drop the ragged last batch of an epoch (published: kept)")
    valid_batches: Literal["fresh", "pass"] = required(
        "validation batches of the architecture step: a fresh random batch each step, or one pass without replacement"
    )
    crop_padding: int = required("pixels of zero padding before a random crop; 0 switches cropping off", SIDE)
    flip: bool = required("random horizontal flip")
    cutout: int = described(0, "side in pixels of a random square set to the mean; 0 switches it off", SIDE)
    width: int = described(16, "channels of the supernet's stem", Range(1, 1024))
    depth: int = required("cells per stage (nasbench201) or cells in all (nasbench1shot1)", Range(1, 100))
    dtype: Literal["float32", "float64"] = described("float32", "floating-point type of the search")
    autocast: Literal["off", "bfloat16"] = described(
        "off", "cast convolutions and products in the passes of the search step; measuring and the Hessian are not cast"
    )
    tf32: bool = described(False, "let a CUDA GPU round the factors of float32 convolutions and products to 10 bits")
    deterministic: bool = described(True, "ask PyTorch for deterministic algorithms on CUDA")
    batch_norm_momentum: float = required(
        "PyTorch's convention: share of the newest batch in the running statistics", Range(0, 1, open_low=True)
    )
    lr: float = described(0.025, "learning rate of the weights at its highest", RATE)
    lr_min: float = described(0.001, "learning rate of the weights at the end of the cosine", RATE)
    lr_epoch_shift: int = described(1, "epoch e uses the cosine's value at e + shift (published: 1)", UNIT)
    momentum: float = described(0.9, "SGD momentum of the weights", MEAN)
    weight_decay: float = described(3e-4, "L2 weight decay of the weights", RATE)
    grad_clip: float = described(5.0, "largest gradient norm of the weight step", Range(0, 1e30, open_low=True))
    clip_counts_mixture: bool = required("the clip norm also counts the gradient with respect to the mixture")
    arch_lr: float = described(3e-4, "Adam learning rate of the logits", RATE)
    arch_beta1: float = described(0.5, "Adam's first beta for the logits", MEAN)
    arch_beta2: float = described(0.999, "Adam's second beta for the logits", MEAN)
    arch_weight_decay: float = described(1e-3, "L2 weight decay of the logits", RATE)
    arch_init: float = described(1e-3, "standard deviation of the initial logits", RATE)
    arch_init_mean: float = described(0.0, "mean of the initial logits", Range(-1e6, 1e6))
    arch_warmup: int = described(0, "epochs at the start in which the logits stay as they are", Range(0, 100_000))
    arch_grad_clip: float = described(
        0.0, "largest gradient norm of the logits, over all of them; 0 switches it off", Range(0, 1e30)
    )
    partial_channels: int = described(4, "pc-darts: one in so many channels is mixed", Range(2, 64))
    tau_max: float = described(10.0, "gdas: temperature of the first epoch", Range(0, 1e6, open_low=True))
    tau_min: float = described(1.0, "gdas: temperature towards which it falls linearly", Range(0, 1e6, open_low=True))
    nasp_softmax: bool = described(
        True, "nasp: a softmax over the one-hot operations, as published; the method's own paper has none"
    )
    loss: str = described("cross-entropy", "loss of the search; what is measured stays cross-entropy")
    weight_optimizer: str = described("sgd", "optimiser of the weights")
    beta_weight: float = described(50.0, "beta-darts: weight of the regulariser at the end of the search", RATE)
    ada_factor: float = described(10.0, "darts-ada: by which the weight decay grows", Range(1, 1e6, open_low=True))
    ada_most: float = described(0.03, "darts-ada: the largest weight decay", RATE)
    candidates: int = described(100, "random-ws: random architectures tried after each epoch", COUNT)
    candidate_images: int = described(640, "random-ws: validation images on which all of them are tried", COUNT)
    finalists: int = described(5, "random-ws: the best of them, tried on the whole validation half", COUNT)
    unrolled_product: Literal["difference", "exact"] = described(
        "difference", "darts-2nd: second-order term by the published central difference, or exactly"
    )
    radius: float = described(0.3, "largest perturbation radius, in probability", UNIT)
    radius_min: float = described(0.03, "perturbation radius of epoch 0, in probability", UNIT)
    radius_schedule: Literal["linear", "constant"] = described(
        "linear", "radius over epochs: linear from radius_min towards radius, or radius throughout"
    )
    attack_steps: int = described(7, "sdarts-adv: PGD steps", Range(0, 10_000))
    attack_scale: float = described(2.0, "sdarts-adv: PGD step size times steps over radius", RATE)
    attack_random_start: bool = described(True, "sdarts-adv: start at a random point of the ball")
    attack_fallback: bool = described(True, "sdarts-adv: no perturbation where the attack did not raise the loss")
    attack_batch_norm: Literal["evaluation", "training"] = described(
        "evaluation", "sdarts-adv: BatchNorm statistics during the attack; training ones move the running statistics"
    )
    table: str = described(
        "auto", "who knows the answer: auto (the table shipped for the space), none, a name or a path"
    )
    table_epochs: int = required("training budget that the table is asked for, in epochs", COUNT)
    query: Literal["after", "before"] = described(
        "after", "row e holds the architecture after e epochs, or as published for 1Shot1 the one before the last epoch"
    )
    measure_every: int = described(
        1, "epochs between two measurements of curvature and of ranks; the last is always measured", COUNT
    )
    rank_sample: int = described(
        100,
        "architectures over which the supernet's order is compared with the table's; 0 switches it off",
        Range(0, 1_000_000),
    )
    hessian: bool = described(True, "measure the Hessian of the validation loss with respect to the logits")
    hessian_batch: Literal["probe", "last"] = described(
        "probe", "a fixed batch from its own stream, or as published the last (ragged) validation batch of the epoch"
    )
    hessian_batch_size: int = described(256, "images of the probe batch", COUNT)
    hessian_batch_norm: Literal["batch", "running"] = described(
        "batch", "BatchNorm in the Hessian: statistics of the batch (published) or running ones; neither is moved"
    )
    hessian_weight_decay: bool = described(False, "add arch_weight_decay to the diagonal, as published")
    hessian_moves_statistics: bool = described(
        False,
        "as published, a training-mode forward of the last validation batch moves the running statistics each epoch",
    )
    hessian_dtype: Literal["float32", "float64"] = described("float32", "floating-point type of the Hessian")
    until: int = described(
        0, "epochs after which the search ends, its schedules being those of all epochs; 0: all", Range(0, 1_000_000)
    )
    smoothing: bool = described(
        False, "measure how the loss answers to perturbations of the mixture, beside its expansion: smoothing.csv"
    )
    plugins: str = described(
        "", "plug-ins that the run was given, as JSON of file or module and SHA-256; given as --plugin"
    )
    settings: str = described("", "fields of the method's own, as JSON; given as --set NAME=VALUE")

    def value(self, name: str) -> Value:
        """The value of a field, of RunSpec's or of the method's own."""
        found: Value = own_values(self.settings)[name] if name not in FIELDS else getattr(self, name)
        return found

    @property
    def last_epoch(self) -> int:
        """The epoch after which the search ends, unless a stopping rule ends it before."""
        return self.until or self.epochs

    @property
    def run_id(self) -> str:
        """Readable, and ending in the hash: the name of the run's folder."""
        return f"{self.space}-{self.method}-{self.data_name}-s{self.seed}-{self.digest[:8]}"

    @property
    def data_name(self) -> str:
        """The data's name in run ids and in the column ``data``; of a file npz-STEM, of a folder folder-NAME."""
        return located.label(self.data)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over the required fields and those that differ from their defaults.

        A new field with today's behaviour as its default renames no run; a default may therefore never change. Images
        whose checksum is known are the same under every path, and so are plug-ins.
        """
        values = {name: value for name, value in vars(self).items() if value != FIELDS[name].default}
        if self.data_sha256:
            values["data"] = located.own_kind(self.data)
        if self.plugins:
            values["plugins"] = sorted(plugins.read(self.plugins).values())
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def json(self) -> str:
        """All fields as JSON with sorted keys."""
        return json.dumps(vars(self), sort_keys=True, indent=1)


FIELDS: dict[str, dataclasses.Field[Any]] = {item.name: item for item in dataclasses.fields(RunSpec)}
TYPES: dict[str, Any] = typing.get_type_hints(RunSpec)


def own_values(text: str) -> dict[str, Value]:
    """The field ``settings``, read.

    Raises:
        BadInput: it is no JSON object.
    """
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"the field 'settings' is a JSON object of the method's own fields, not {shown(text)}")
    return found


def field_of(name: str) -> tuple[dataclasses.Field[Any], Any]:
    """A field and its type: RunSpec's, or one of a loaded plug-in's method or part.

    Raises:
        BadInput: there is none of this name.
    """
    if name in FIELDS:
        return FIELDS[name], TYPES[name]
    own = plugin_fields()
    if name not in own:
        raise unknown("field", name, field_names())
    return own[name], type(own[name].default)


def field_names() -> list[str]:
    """The names of all fields: RunSpec's, and those of plug-ins that are loaded or installed."""
    return [*FIELDS, *plugin_fields()]


def plugin_fields() -> dict[str, dataclasses.Field[Any]]:
    """The fields of all plug-ins' methods and parts, by name; installed packages that offer any are loaded.

    Raises:
        BadInput: one has the name of a field of RunSpec.
    """
    found: dict[str, dataclasses.Field[Any]] = {}
    kinds = ("methods", *KINDS.values())
    for kind in kinds:
        dict(plugins.installed(kind))
    for plugin in plugins.LOADED.values():
        for kind in kinds:
            for thing in plugin.offers.get(kind, {}).values():
                for name, item in getattr(thing, "fields", {}).items():
                    if name in FIELDS and item is not FIELDS[name]:
                        raise BadInput(
                            f"the plug-in {plugin.address} has a field {name!r}, which every run has; rename it"
                        )
                    if name not in FIELDS:
                        found[name] = item
    return found
