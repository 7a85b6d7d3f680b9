"""RunSpec: what a run is before it runs. The standard library only.

Inside the search step the defaults are the published behaviour; in what is measured and recorded they are the clean
one. Every departure is a field here or a line in docs/fidelity.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.spellings import canonical, canonical_data
from nas_stability.harness.specs import fields, located
from nas_stability.harness.specs.fields import Range, Value, described, of_type, required
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED, PUBLISHED_AUGMENTATION

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
        whose checksum is known are the same under every path.
        """
        values = {name: value for name, value in vars(self).items() if value != FIELDS[name].default}
        if self.data_sha256:
            values["data"] = located.own_kind(self.data)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def json(self) -> str:
        """All fields as JSON with sorted keys."""
        return json.dumps(vars(self), sort_keys=True, indent=1)


FIELDS: dict[str, dataclasses.Field[Any]] = {item.name: item for item in dataclasses.fields(RunSpec)}
TYPES: dict[str, Any] = typing.get_type_hints(RunSpec)


def run_spec(values: Mapping[str, Value], folder: Path = Path()) -> RunSpec:
    """A RunSpec of the given fields; what is not given is as published for the space and the data.

    Paths become absolute, names are as the registries have them, and the checksum of a file of images is filled in.

    Args:
        values: by field.
        folder: that relative paths are taken from.

    Raises:
        BadInput: an unknown field or space, a missing one, a value of the wrong type or out of range; a file of images
            that is not there, or not the one of ``data_sha256``.
    """
    for name in values:
        if name not in FIELDS:
            raise unknown("field", name, FIELDS)
    for name in ("space", "method", "data"):
        if name not in values:
            raise BadInput(f"the field {name!r} is missing: a run needs space, method and data")
    given = {name: typed(name, value) for name, value in values.items()}
    space = str(given["space"])
    if space not in PUBLISHED:
        raise unknown("space", space, PUBLISHED)
    data = located.located_data(str(given["data"]), folder)
    augmentation = AUGMENTATION.get(data, PUBLISHED_AUGMENTATION)
    merged: dict[str, Any] = {**PUBLISHED[space], **augmentation, **given, "data": data}
    if "table" in given:
        merged["table"] = located.located_table(str(given["table"]), folder)
    if located.own_kind(data) and not given.get("data_sha256"):
        merged["data_sha256"] = located.sha256_of(data)
    spec = RunSpec(**merged)
    check_together(spec)
    if given.get("data_sha256"):
        located.refuse_other_images(spec.data, spec.data_sha256)
    return spec


def typed(name: str, value: object) -> Value:
    """The value of a field in its type and range, names in the spelling of their registries.

    Raises:
        BadInput: another type, not one of the field's choices, or out of its range.
    """
    found = fields.admitted(name, FIELDS[name].metadata["range"], of_type(name, TYPES[name], value))
    if found == "" and FIELDS[name].default != "":
        raise BadInput(f"the field {name!r} is empty")
    return SPELLINGS[name](str(found)) if name in SPELLINGS else found


def parse(name: str, text: str) -> Value:
    """``typed`` of the command line's text.

    Raises:
        BadInput: not a value of the field's type, or out of its range.
    """
    return typed(name, fields.from_text(name, TYPES[name], text))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "space": lambda name: canonical(name, PUBLISHED),
    "method": lambda name: check_name("method", name.lower().replace("_", "-")),
    "data": lambda name: name if "/" in name else canonical_data(name),
    "data_sha256": str.lower,
}
"""Field -> its names as the registries spell them; methods are listed in search.py, which takes PyTorch to import."""


def check_together(spec: RunSpec) -> None:
    """Refuses fields that cannot go together.

    Raises:
        BadInput: naming the field and what it must be.
    """
    if spec.data_sha256 and not located.own_kind(spec.data):
        raise BadInput(f"the field 'data_sha256' is of images of your own, not of the data set {spec.data!r}")
    if spec.data_sha256 and not re.fullmatch("[0-9a-f]{64}", spec.data_sha256):
        raise BadInput(f"the field 'data_sha256' takes 64 hexadecimal digits, not {shown(spec.data_sha256)}")
    if 0 < spec.images < 4:
        raise BadInput(f"the field 'images' must be 0 or at least 4 (two halves of two), not {spec.images}")
    if spec.lr_min > spec.lr:
        raise BadInput(f"the field 'lr_min' must be at most lr, not {spec.lr_min:g} with an lr of {spec.lr:g}")
    if spec.radius_min > spec.radius and spec.radius_schedule == "linear":
        raise BadInput(
            f"the field 'radius_min' must be at most radius, not {spec.radius_min:g} with a radius of {spec.radius:g} "
            "(radius_schedule constant takes no radius_min)"
        )
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


def old_digest(values: Mapping[str, Value]) -> str:
    """SHA-256 over all the fields as they were written: what version 0.1 hashed; each new field renamed every run."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, indent=1).encode()).hexdigest()


def known_ids(values: Mapping[str, Value]) -> tuple[str, ...]:
    """The ids under which the run of a recorded spec is known: today's, then that of version 0.1.

    Args:
        values: spec.json as written, perhaps by a version that had fewer fields.

    Raises:
        BadInput: it is no spec.
    """
    spec = recorded_spec(values)
    data = located.own_kind(spec.data) or spec.data_name
    return spec.run_id, f"{spec.space}-{spec.method}-{data}-s{spec.seed}-{old_digest(values)[:8]}"


def recorded_spec(values: Mapping[str, Value]) -> RunSpec:
    """The spec of a record. A field that it lacks has its default; nothing is taken from the machine, no range is held.

    Raises:
        BadInput: a field of no known name, one that is missing and has no default, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise BadInput(f"a spec is an object of fields, not {shown(values)}")
    for name in values:
        if name not in FIELDS:
            raise BadInput(f"{unknown('field', name, FIELDS)} A newer version may have written the record")
    for name, item in FIELDS.items():
        if item.default is dataclasses.MISSING and name not in values:
            raise BadInput(f"the field {name!r} is missing from the record")
    checked: dict[str, Any] = {name: of_type(name, TYPES[name], value) for name, value in values.items()}
    for name in ("space", "method"):  # they become names of folders
        check_name(name, checked[name])
    return RunSpec(**checked)


def same_run(spec: RunSpec, values: Mapping[str, Value]) -> bool:
    """Whether a recorded spec is of the run that ``spec`` is of.

    Version 0.1 wrote paths as they were typed, and not which file of images it was: such a record matches by its path.

    Raises:
        BadInput: ``values`` is no spec.
    """
    there = recorded_spec(values)
    if "data_sha256" in values:
        return there.digest == spec.digest
    data, table = located.located_data(there.data, Path()), located.located_table(there.table, Path())
    return dataclasses.replace(there, data=data, table=table) == dataclasses.replace(spec, data_sha256="")
