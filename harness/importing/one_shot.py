"""The logs of NAS-Bench-1Shot1's searches: the logits of every epoch, in pickles.

Source: NAS-Bench-1Shot1 (Zela et al., ICLR 2020), whose searches write, in a folder for each of them, config.json with
``search_space`` (1, 2 or 3) and ``seed``, and before epoch e trains one_shot_architecture_e.obj: a list of the arrays
of logits, operations first. File e is thus the state after e epochs. Pickles are read for arrays alone; nothing that
they name is run.
"""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas_stability.benchmarks.catalog import find_space
from nas_stability.benchmarks.errors import BadInput, CorruptFile, unreadable
from nas_stability.benchmarks.images import plain_pickle
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.harness.importing.imported import LoggedEpoch, LoggedRun, LogSource, json_of
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import FIELDS

SOURCE = LogSource("1shot1", "searches in the layout of NAS-Bench-1Shot1", "not stated")

CONFIG = "config.json"
LOGITS = re.compile(r"one_shot_architecture_([0-9]{1,6})\.obj")
LARGEST = 1 << 20
"""Bytes of a file of logits: they are a few hundred numbers."""

NAMES = {
    "epochs": "epochs",
    "batch_size": "batch_size",
    "learning_rate": "lr",
    "learning_rate_min": "lr_min",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "grad_clip": "grad_clip",
    "arch_learning_rate": "arch_lr",
    "arch_weight_decay": "arch_weight_decay",
    "init_channels": "width",
    "layers": "depth",
}
"""Entry of config.json -> the field that it is here."""


def read(folder: Path, method: str = "darts", data: str = "cifar10", table: str = "auto") -> list[LoggedRun]:
    """The searches in a folder and the folders in it.

    Args:
        folder: to look in.
        method: that they are of: config.json does not say.
        data: that they were carried out on.
        table: that their architectures are asked of: a name, a path, "auto" or "none".

    Raises:
        BadInput: it holds none, an unknown method, data set or table.
        CorruptFile: a file is damaged, or an epoch is missing.
    """
    if not folder.is_dir():
        raise BadInput(f"the folder {folder} does not exist")
    places = sorted(path.parent for path in folder.rglob(CONFIG) if any(map(is_logits, path.parent.iterdir())))
    if not places:
        raise BadInput(
            f"the folder {folder} holds no search of NAS-Bench-1Shot1: no {CONFIG} beside one_shot_architecture_0.obj"
        )
    asked: dict[str, Value] = {"method": method, "data": data, "table": table}
    return [logged_run(place, str(place.relative_to(folder)), asked) for place in places]


def is_logits(path: Path) -> bool:
    """Whether a file is named as those of logits are."""
    return LOGITS.fullmatch(path.name) is not None


def logged_run(place: Path, origin: str, asked: dict[str, Value]) -> LoggedRun:
    """The search of a folder."""
    path = place / CONFIG
    config = json_of(path, path.read_bytes())
    told = told_fields(path, config)
    files = {int(LOGITS.fullmatch(one.name)[1]): one for one in place.iterdir() if is_logits(one)}  # type: ignore[index]
    missing = sorted(set(range(max(files) + 1)) - files.keys())
    if missing:
        raise CorruptFile(f"the folder {place} lacks one_shot_architecture_{missing[0]}.obj")
    spec = run_spec({"epochs": max(max(files), 1), **told, **asked, "query": "after", "rank_sample": 0}, Path())
    if max(files) > spec.epochs:
        raise CorruptFile(f"the folder {place} has {max(files) + 1} files of logits, and {CONFIG} {spec.epochs} epochs")
    space = find_space(spec.space)
    epochs = tuple(LoggedEpoch(logits=logits_of(files[epoch], space)) for epoch in sorted(files))
    return LoggedRun(dataclasses.replace(spec, hessian=False), (*told, "method", "data"), epochs, origin)


def told_fields(path: Path, config: dict[str, Any]) -> dict[str, Value]:
    """The fields that a config.json tells; numbers may be written as texts there.

    Raises:
        CorruptFile: it tells neither a space of these nor a seed, or a value that the field does not take.
    """
    space, seed = str(config.get("search_space", "")).lower().removeprefix("s"), config.get("seed")
    if space not in ("1", "2", "3"):
        raise CorruptFile(
            f"the file {path}: 'search_space' is to be 1, 2 or 3, not {str(config.get('search_space'))!r}"
        )
    found: dict[str, Value] = {"space": f"nasbench1shot1-s{space}"}
    for theirs, name in {"seed": "seed", **NAMES}.items():
        if theirs not in config and theirs != "seed":
            continue
        kind = int if FIELDS[name].type in ("int", int) else float
        try:
            value = float(str(config[theirs] if theirs != "seed" else seed))
            if value != kind(value):
                raise ValueError(value)
        except (ValueError, OverflowError) as error:
            raise CorruptFile(f"the file {path}: {theirs!r} is no {kind.__name__}: {config.get(theirs)!r}") from error
        found[name] = kind(value)
    return found


def logits_of(path: Path, space: Space) -> tuple[Tensor, ...]:
    """The logits of a file, by group, (rows, choices), in float64.

    Raises:
        CorruptFile: it is damaged, asks for something to be run, or its arrays are not the space's.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise CorruptFile(f"it has more than {LARGEST:,} bytes")
        with path.open("rb") as file:
            held = plain_pickle.read(file)
        arrays = [plain_pickle.numbers_of(one) for one in (held if isinstance(held, list | tuple) else [held])]
        found = tuple(torch.from_numpy(array.astype("float64")) for array in arrays)
    except (CorruptFile, OSError, pickle.UnpicklingError) as error:
        raise CorruptFile(f"the file {path} cannot be read: {error}") from error
    except Exception as error:  # a damaged pickle raises many
        raise CorruptFile(f"the file {path} is damaged: {unreadable(error)}") from error
    shapes = tuple(tuple(group.shape) for group in found)
    if shapes != tuple(map(tuple, space.shapes)):
        raise CorruptFile(
            f"the file {path} has logits of the shapes {shapes}; those of {space.name} are {space.shapes}"
        )
    if not all(bool(group.isfinite().all()) for group in found):
        raise CorruptFile(f"the file {path} has logits that are no numbers")
    return found
