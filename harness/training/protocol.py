"""How found architectures are trained from scratch: every number a field, and two presets. The standard library only.

Sources of the preset ``paper``. DARTS cells: DARTS (Liu et al., ICLR 2019), section 3.2 and appendix A.2.1, as in
SmoothDARTS (Chen and Hsieh, ICML 2020): 20 cells of 36 channels for CIFAR-10, 8 of 16 for CIFAR-100 and
SVHN. NAS-Bench-201: Dong and Yang (ICLR 2020), table 1. NAS-Bench-101: Ying et al. (ICML 2019), table 2, for size and
epochs; the optimizer is nasbench_pytorch's SGD, not RMSProp. ``short`` is ours: minutes on a CPU, and a half of the
training images held out to choose by.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from nas_stability.benchmarks.errors import BadInput, choose, shown, unknown
from nas_stability.benchmarks.spaces.facts import MODULE_HASH, Facts
from nas_stability.benchmarks.spellings import canonical_data
from nas_stability.harness.specs import located
from nas_stability.harness.specs.fields import Range, Value, admitted, described, from_text, of_type, required
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED_AUGMENTATION
from nas_stability.harness.specs.spec import MEAN, RATE, SIDE, UNIT

PAPER, SHORT = "paper", "short"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Every field that decides the numbers of a trained network besides its architecture and seed."""

    data: str = required("images to train on, the search's unless given; as of run")
    data_sha256: str = described("", "SHA-256 of images of your own; taken from there unless given")
    images: int = described(0, "of the training images only the first n; 0 takes all", Range(0, 1_000_000_000))
    train: Literal["all", "half"] = required(
        "train on all training images, or on the half that moved the weights of the search and hold the other out, "
        "whose accuracy is then valid_accuracy"
    )
    epochs: int = required("passes over the training images", Range(1, 100_000))
    batch_size: int = required("images per step; a ragged last batch is kept", Range(2, 1_000_000))
    lr: float = required("learning rate at its highest", RATE)
    lr_min: float = described(0.0, "learning rate at the end of the cosine", RATE)
    lr_epoch_shift: int = required("epoch e uses the cosine's value at e + shift (DARTS: 1)", UNIT)
    momentum: float = described(0.9, "SGD momentum", MEAN)
    nesterov: bool = required("Nesterov's momentum")
    weight_decay: float = required("L2 weight decay of all weights", RATE)
    grad_clip: float = required("largest gradient norm; 0 switches it off", Range(0, 1e30))
    cells: int = required(
        "cells in all (DARTS cells), per stage (NAS-Bench-201) or per stack (NAS-Bench-101)", Range(1, 200)
    )
    width: int = required("channels of the first cells", Range(1, 4096))
    auxiliary: float = required("weight of the auxiliary classifier's loss (DARTS cells); 0 does without", RATE)
    drop_path: float = required(
        "probability, at the end of its linear rise, with which an image does without an operation (DARTS cells)",
        Range(0, 1, open_high=True),
    )
    crop_padding: int = required("pixels of zero padding before a random crop; 0 switches cropping off", SIDE)
    flip: bool = required("random horizontal flip")
    cutout: int = required("side in pixels of a random square set to the mean; 0 switches it off", SIDE)
    dtype: Literal["float32", "float64"] = described("float32", "floating-point type")
    autocast: Literal["off", "bfloat16"] = described("off", "cast convolutions and products of the training passes")
    tf32: bool = described(False, "let a CUDA GPU round the factors of float32 convolutions and products to 10 bits")
    deterministic: bool = described(True, "ask PyTorch for deterministic algorithms on CUDA")

    def json(self) -> str:
        """All fields as JSON, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @property
    def data_name(self) -> str:
        """What columns call the images."""
        return located.label(self.data)


FIELDS = {field.name: field for field in dataclasses.fields(Protocol)}
TYPES: dict[str, Any] = typing.get_type_hints(Protocol)

DARTS_CELLS: dict[str, Value] = {
    "train": "all",
    "epochs": 600,
    "batch_size": 96,
    "lr": 0.025,
    "lr_epoch_shift": 1,
    "nesterov": False,
    "weight_decay": 3e-4,
    "grad_clip": 5.0,
    "cells": 8,
    "width": 16,
    "auxiliary": 0.4,
    "drop_path": 0.2,
    "cutout": 16,
}
"""DARTS's protocol, of all but CIFAR-10 in size."""

LARGE: dict[str, Value] = {"cells": 20, "width": 36}
"""The size for CIFAR-10."""

BENCHMARK_201: dict[str, Value] = {
    "train": "all",
    "epochs": 200,
    "batch_size": 256,
    "lr": 0.1,
    "lr_epoch_shift": 0,
    "nesterov": True,
    "weight_decay": 5e-4,
    "grad_clip": 0.0,
    "cells": 5,
    "width": 16,
    "auxiliary": 0.0,
    "drop_path": 0.0,
    "cutout": 0,
}

BENCHMARK_101: dict[str, Value] = {
    **BENCHMARK_201,
    "epochs": 108,
    "lr": 0.025,
    "nesterov": False,
    "weight_decay": 1e-4,
    "grad_clip": 5.0,
    "cells": 3,
    "width": 128,
}

QUICK: dict[str, Value] = {
    "train": "half",
    "epochs": 20,
    "batch_size": 64,
    "lr": 0.1,
    "lr_epoch_shift": 0,
    "nesterov": True,
    "weight_decay": 5e-4,
    "grad_clip": 5.0,
    "width": 8,
    "auxiliary": 0.0,
    "drop_path": 0.0,
    "cutout": 0,
}


def of_darts_cells(facts: Facts) -> bool:
    """Whether cells read the outputs of two others, as those of DARTS do."""
    return facts.form.inputs == 2


def paper(facts: Facts, data: str) -> dict[str, Value]:
    """The published protocol of a space's family; of one that is not known, NAS-Bench-201's."""
    if of_darts_cells(facts):
        return {**DARTS_CELLS, **(LARGE if data == "cifar10" else {}), **({"flip": True} if data == "svhn" else {})}
    return dict(BENCHMARK_101 if facts.form == MODULE_HASH else BENCHMARK_201)


def short(facts: Facts, data: str) -> dict[str, Value]:
    """Minutes on a CPU."""
    return {**QUICK, "cells": 3 if of_darts_cells(facts) else 1}


PRESETS = {PAPER: paper, SHORT: short}
"""Name of ``--protocol`` -> facts of a space and its data -> fields."""


RULES = ("final", "best", "stop")
"""How the epoch is chosen whose architecture is trained, besides by its number."""


class Request(NamedTuple):
    """What of a study is to be trained.

    Attributes:
        at: one of RULES, or a number of epochs as text.
        seeds: networks per architecture; their seeds are 0, 1, ...
        random: random architectures of each space; None: as many as a method has searches there.
        protocol: key of PRESETS.
        given: fields of the protocol -> their values, or as text.
        weights: whether weights are kept.
    """

    at: str = "final"
    seeds: int = 1
    random: int | None = None
    protocol: str = SHORT
    given: Mapping[str, str | Value] = MappingProxyType({})
    weights: bool = False

    @property
    def label(self) -> str:
        """What the protocol is called: the preset, and what was given besides."""
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.given.items()}
        return ",".join([self.protocol, *(f"{name}={text}" for name, text in sorted(texts.items()))])


ENTRIES: Mapping[str, type] = MappingProxyType(
    {"at": str, "seeds": int, "random": int, "protocol": str, "weights": bool}
)
"""What a study file's [[evaluate]] takes besides the fields of Protocol."""

MOST_SEEDS = 1000
"""Networks per architecture, and random architectures: more are a slip of the fingers."""


def request_of(entries: Mapping[str, object]) -> Request:
    """The request that an [[evaluate]] of a study file is.

    Raises:
        BadInput: an unknown key, or a value that it does not take.
    """
    found: dict[str, Any] = {"given": {}}
    for key, value in entries.items():
        name = key.replace("-", "_")
        if name in FIELDS:
            found["given"][name] = admitted(name, FIELDS[name].metadata["range"], of_type(name, TYPES[name], value))
            continue
        if name not in ENTRIES:
            raise unknown("key", key, [*ENTRIES, *FIELDS])
        taken = str(value) if name == "at" and type(value) is int else value
        if type(taken) is not ENTRIES[name]:
            raise BadInput(f"{name!r} takes {ENTRIES[name].__name__}, not {shown(value)}")
        found[name] = taken
    request = Request(**found)
    choose("protocol", request.protocol, PRESETS)
    if not (1 <= request.seeds <= MOST_SEEDS and 0 <= (request.random or 0) <= MOST_SEEDS):
        raise BadInput(f"'seeds' takes a number from 1, 'random' from 0, both to {MOST_SEEDS}")
    if request.at not in RULES and not (request.at.isascii() and request.at.isdecimal()):
        raise BadInput(f"'at' takes {', '.join(RULES)} or an epoch, not {shown(request.at)}")
    return request


def protocol_for(preset: str, facts: Facts, data: str, given: Mapping[str, str | Value], folder: Path) -> Protocol:
    """The protocol of a preset for a space and its images, with the fields that were given in the place of its own.

    Args:
        preset: key of PRESETS.
        facts: of the space.
        data: images of the search, which are trained on unless others are given.
        given: field -> its value, or as text.
        folder: that relative paths are taken from.

    Raises:
        BadInput: an unknown preset or field, a value of the wrong type or out of range, images that are not there.
    """
    values: dict[str, Value] = {}
    for name, value in given.items():
        if name not in FIELDS:
            raise unknown("field", name, FIELDS)
        kind = TYPES[name]
        read = from_text(name, kind, value) if isinstance(value, str) else of_type(name, kind, value)
        values[name] = admitted(name, FIELDS[name].metadata["range"], read)
    chosen = located.located_data(canonical_data(str(values.get("data", data))), folder)
    augmentation = AUGMENTATION.get(chosen, PUBLISHED_AUGMENTATION)
    fields: dict[str, Any] = {
        **augmentation,
        **choose("protocol", preset, PRESETS)(facts, chosen),
        **({"cutout": 0} if chosen == "digits" else {}),
        **values,
        "data": chosen,
    }
    if located.own_kind(chosen) and not fields.get("data_sha256"):
        fields["data_sha256"] = located.sha256_of(chosen)
    found = Protocol(**fields)
    if found.nesterov and not found.momentum:
        raise BadInput("the field 'nesterov' needs a momentum above 0")
    return found


def network_id(space: str, arch: str, seed: int, protocol: Protocol) -> str:
    """Name of a trained network: what runs found alike is trained once."""
    said = f"{space}\n{arch}\n{seed}\n{protocol.json()}"
    return f"{space}-{hashlib.sha256(said.encode()).hexdigest()[:12]}-{seed}"
