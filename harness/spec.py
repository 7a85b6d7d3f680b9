"""RunSpec: what a run is before it runs. The standard library only.

Inside the search step the defaults are the published behaviour; in what is measured and recorded they are the clean
one. Every departure is a field here or a line in docs/fidelity.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.errors import BadInput, unknown

Value = str | int | float | bool


def described(default: Any, text: str) -> Any:
    """A field with its default and the line of help that the command line and the README show."""
    return field(default=default, metadata={"help": text})


def required(text: str) -> Any:
    """A field whose default depends on the space or the data (PUBLISHED, AUGMENTATION)."""
    return field(metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Every field that decides the numbers of one run, and nothing else.

    Make one with ``run_spec``, which fills in what the paper uses for the space. Units stand in each field's help.
    """

    space: str = required("search space")
    method: str = required("search method")
    data: str = required("images to search on")
    seed: int = described(0, "seeds weights, batches, augmentation, noise and the probe batch")
    epochs: int = described(100, "epochs of the search")
    images: int = described(0, "take only the first n training images; 0 takes all")
    batch_size: int = required("images per batch, of training and validation alike")
    drop_last: bool = described(False, "drop the ragged last batch of an epoch (published: kept)")
    valid_batches: Literal["fresh", "pass"] = required(
        "validation batches of the architecture step: a fresh random batch each step, or one pass without replacement"
    )
    crop_padding: int = required("pixels of zero padding before a random crop; 0 switches cropping off")
    flip: bool = required("random horizontal flip")
    cutout: int = described(0, "side in pixels of a random square set to the mean; 0 switches it off")
    width: int = described(16, "channels of the supernet's stem")
    depth: int = required("cells per stage (nasbench201) or cells in all (nasbench1shot1)")
    dtype: Literal["float32", "float64"] = described("float32", "floating-point type of the search")
    autocast: Literal["off", "bfloat16"] = described(
        "off", "cast convolutions and products in the passes of the search step; measuring and the Hessian are not cast"
    )
    tf32: bool = described(False, "let a CUDA GPU round the factors of float32 convolutions and products to 10 bits")
    deterministic: bool = described(True, "ask PyTorch for deterministic algorithms on CUDA")
    batch_norm_momentum: float = required("PyTorch's convention: share of the newest batch in the running statistics")
    lr: float = described(0.025, "learning rate of the weights at its highest")
    lr_min: float = described(0.001, "learning rate of the weights at the end of the cosine")
    lr_epoch_shift: int = described(1, "epoch e uses the cosine's value at e + shift (published: 1)")
    momentum: float = described(0.9, "SGD momentum of the weights")
    weight_decay: float = described(3e-4, "L2 weight decay of the weights")
    grad_clip: float = described(5.0, "largest gradient norm of the weight step")
    clip_counts_mixture: bool = required("the clip norm also counts the gradient with respect to the mixture")
    arch_lr: float = described(3e-4, "Adam learning rate of the logits")
    arch_beta1: float = described(0.5, "Adam's first beta for the logits")
    arch_beta2: float = described(0.999, "Adam's second beta for the logits")
    arch_weight_decay: float = described(1e-3, "L2 weight decay of the logits")
    arch_init: float = described(1e-3, "standard deviation of the initial logits")
    unrolled_product: Literal["difference", "exact"] = described(
        "difference", "darts-2nd: second-order term by the published central difference, or exactly"
    )
    radius: float = described(0.3, "largest perturbation radius, in probability")
    radius_min: float = described(0.03, "perturbation radius of epoch 0, in probability")
    radius_schedule: Literal["linear", "constant"] = described(
        "linear", "radius over epochs: linear from radius_min towards radius, or radius throughout"
    )
    attack_steps: int = described(7, "sdarts-adv: PGD steps")
    attack_scale: float = described(2.0, "sdarts-adv: PGD step size times steps over radius")
    attack_random_start: bool = described(True, "sdarts-adv: start at a random point of the ball")
    attack_fallback: bool = described(True, "sdarts-adv: no perturbation where the attack did not raise the loss")
    attack_batch_norm: Literal["evaluation", "training"] = described(
        "evaluation", "sdarts-adv: BatchNorm statistics during the attack; training ones move the running statistics"
    )
    table: str = described(
        "auto", "who knows the answer: auto (the table shipped for the space), none, a name or a path"
    )
    table_epochs: int = required("training budget that the table is asked for, in epochs")
    query: Literal["after", "before"] = described(
        "after", "row e holds the architecture after e epochs, or as published for 1Shot1 the one before the last epoch"
    )
    measure_every: int = described(
        1, "epochs between two measurements of curvature and of ranks; the last is always measured"
    )
    rank_sample: int = described(
        100, "architectures over which the supernet's order is compared with the table's; 0 switches it off"
    )
    hessian: bool = described(True, "measure the Hessian of the validation loss with respect to the logits")
    hessian_batch: Literal["probe", "last"] = described(
        "probe", "a fixed batch from its own stream, or as published the last (ragged) validation batch of the epoch"
    )
    hessian_batch_size: int = described(256, "images of the probe batch")
    hessian_batch_norm: Literal["batch", "running"] = described(
        "batch", "BatchNorm in the Hessian: statistics of the batch (published) or running ones; neither is moved"
    )
    hessian_weight_decay: bool = described(False, "add arch_weight_decay to the diagonal, as published")
    hessian_moves_statistics: bool = described(
        False,
        "as published, a training-mode forward of the last validation batch moves the running statistics each epoch",
    )
    hessian_dtype: Literal["float32", "float64"] = described("float32", "floating-point type of the Hessian")

    @property
    def run_id(self) -> str:
        """Readable, and ending in a hash of all fields: the name of the run's folder."""
        return f"{self.space}-{self.method}-{self.data_name}-s{self.seed}-{self.digest[:8]}"

    @property
    def data_name(self) -> str:
        """The data's name without the path of a file."""
        return "npz" if self.data.startswith("npz:") else self.data

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, in hexadecimal."""
        return hashlib.sha256(self.json().encode()).hexdigest()

    def json(self) -> str:
        """All fields as JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)


_SHARED_1SHOT1: dict[str, Value] = {
    "batch_size": 96,
    "valid_batches": "pass",
    "depth": 9,
    "batch_norm_momentum": 0.997,
    "clip_counts_mixture": False,
    "table_epochs": 108,
}

PUBLISHED: dict[str, dict[str, Value]] = {
    "nasbench201": {
        "batch_size": 64,
        "valid_batches": "fresh",
        "depth": 5,
        "batch_norm_momentum": 0.1,
        "clip_counts_mixture": True,
        "table_epochs": 200,
    },
    "nasbench1shot1-s1": _SHARED_1SHOT1,
    "nasbench1shot1-s2": _SHARED_1SHOT1,
    "nasbench1shot1-s3": _SHARED_1SHOT1,
}
"""What the paper uses for each space, where that differs between spaces (facts of the method, sections 2 and 3)."""

AUGMENTATION: dict[str, dict[str, Value]] = {
    "digits": {"crop_padding": 0, "flip": False},
    "fashion-mnist": {"crop_padding": 2, "flip": True},
    "svhn": {"crop_padding": 4, "flip": False},
}
"""Augmentation of the data sets for which the published one (crop with padding 4, flip) makes no sense."""

_PUBLISHED_AUGMENTATION: dict[str, Value] = {"crop_padding": 4, "flip": True}

FIELDS: dict[str, dataclasses.Field[Any]] = {item.name: item for item in dataclasses.fields(RunSpec)}
TYPES: dict[str, Any] = typing.get_type_hints(RunSpec)


def run_spec(values: Mapping[str, Value]) -> RunSpec:
    """A RunSpec of the given fields; what is not given is as published for the space and the data.

    Raises:
        BadInput: an unknown field or space, a missing one, a value of the wrong type or out of range.
    """
    for name in values:
        if name not in FIELDS:
            raise unknown("field", name, FIELDS)
    for name in ("space", "method", "data"):
        if name not in values:
            raise BadInput(f"the field {name!r} is missing: a run needs space, method and data")
    space = str(values["space"])
    if space not in PUBLISHED:
        raise unknown("space", space, PUBLISHED)
    augmentation = AUGMENTATION.get(str(values["data"]), _PUBLISHED_AUGMENTATION)
    merged = {**PUBLISHED[space], **augmentation, **values}
    checked: dict[str, Any] = {name: typed(name, value) for name, value in merged.items()}
    spec = RunSpec(**checked)
    check_ranges(spec)
    return spec


def typed(name: str, value: object) -> Value:
    """The value as the field's type: an integer is accepted for a float, nothing else is converted.

    Raises:
        BadInput: another type, or not one of the field's choices.
    """
    kind = TYPES[name]
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise unknown(f"value of the field {name!r}:", value, choices)
        return str(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise BadInput(f"the field {name!r} takes {kind.__name__}, not {value!r}")
    assert isinstance(value, str | int | float)
    return value


def parse(name: str, text: str) -> Value:
    """The value of a field from the command line's text.

    Raises:
        BadInput: not a value of the field's type.
    """
    kind = TYPES[name]
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise BadInput(f"the field {name!r} takes true or false, not {text!r}")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            return typed(name, kind(text))
        except ValueError:
            raise BadInput(f"the field {name!r} takes {kind.__name__}, not {text!r}") from None
    return typed(name, text)


_POSITIVE = ("batch_size", "width", "depth", "grad_clip", "table_epochs", "hessian_batch_size", "measure_every")
_SHARES = ("batch_norm_momentum", "momentum", "arch_beta1", "arch_beta2", "radius", "radius_min")


def check_ranges(spec: RunSpec) -> None:
    """Refuses numbers that no run can mean.

    Raises:
        BadInput: naming the field and its range.
    """
    for name, value in dataclasses.asdict(spec).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not 0 <= value < float("inf"):
            raise BadInput(f"the field {name!r} must be a number of at least 0, not {value}")
        if name in _POSITIVE and value <= 0:
            raise BadInput(f"the field {name!r} must be greater than 0, not {value}")
        if name in _SHARES and value > 1:
            raise BadInput(f"the field {name!r} must lie in [0, 1], not {value}")
    if spec.batch_size < 2:
        raise BadInput("the field 'batch_size' must be at least 2: BatchNorm needs more than one image")
    if spec.rank_sample == 1:
        raise BadInput("the field 'rank_sample' must be 0 or at least 2: one architecture has no order")
    if spec.autocast != "off" and spec.dtype != "float32":
        raise BadInput(f"the field 'autocast' must be off for dtype {spec.dtype}: only float32 is cast")
    if spec.autocast != "off" and spec.method == "darts-2nd" and spec.unrolled_product == "difference":
        raise BadInput(
            f"the field 'autocast' must be off for darts-2nd with unrolled_product difference: the difference of the "
            f"weights is lost in {spec.autocast}"
        )
    if spec.method == "sdarts-adv" and spec.attack_steps < 1:
        raise BadInput("the field 'attack_steps' must be at least 1 for sdarts-adv")
