"""RunSpecs made of what a person gave: names, paths, defaults of the space, fields that go together. No PyTorch."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, shown
from nas_stability.benchmarks.names import check_name
from nas_stability.benchmarks.plugins import Plugin
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spellings import canonical, canonical_data
from nas_stability.harness.methods.compositions import PUBLISHED_NAMES, Method, find_method, own_fields, plugins_of
from nas_stability.harness.specs import fields, located
from nas_stability.harness.specs.fields import Value, of_type
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED_AUGMENTATION
from nas_stability.harness.specs.spec import FIELDS, RunSpec, field_of, own_values

ADDRESSED = {"space": "spaces", "method": "methods", "loss": "losses", "weight_optimizer": "weight_optimizers"}
"""Field that takes ``FILE.py:NAME`` too, a plug-in and what it offers -> the kind of that."""

OFFERED = {**ADDRESSED, "data": "datasets", "table": "tables"}
"""Field that may name what a plug-in offers -> the kind of that."""


def run_spec(values: Mapping[str, Value | Sequence[str]], folder: Path = Path()) -> RunSpec:
    """A RunSpec of the given fields; what is not given is as published for the space and the data.

    Paths become absolute, names are as the registries have them, and checksums of files of images and of plug-ins are
    filled in.

    Args:
        values: by field, of the method's own too. ``plugins`` takes a list of files and modules; a space, a method, a
            loss and a weight optimizer may be ``FILE.py:NAME``.
        folder: that relative paths are taken from.

    Raises:
        BadInput: an unknown field or space, a missing one, a value of the wrong type or out of range; a file of images
            that is not there, or not the one of ``data_sha256``.
    """
    loaded, values = resolved(values, folder)
    for name in values:
        field_of(name)
    for name in ("space", "method", "data"):
        if name not in values:
            raise BadInput(f"the field {name!r} is missing: a run needs space, method and data")
    typed_values = {name: typed(name, value) for name, value in values.items()}
    given = {name: value for name, value in typed_values.items() if name in FIELDS}
    space = str(given["space"])
    published = defaults_of(space)
    data = located.located_data(str(given["data"]), folder)
    augmentation = AUGMENTATION.get(data, PUBLISHED_AUGMENTATION)
    method = find_method(str(given["method"]))
    merged: dict[str, Any] = {**published, **augmentation, **method.defaults, **given, "data": data}
    if "table" in given:
        merged["table"] = located.located_table(str(given["table"]), folder)
    if located.own_kind(data) and not given.get("data_sha256"):
        merged["data_sha256"] = located.sha256_of(data)
    merged["settings"] = settings_text(method, str(given["method"]), typed_values)
    merged["plugins"] = plugins.written([*loaded, *used_plugins(method, merged)])
    spec = RunSpec(**merged)
    check_together(spec)
    if given.get("data_sha256"):
        located.refuse_other_images(spec.data, spec.data_sha256)
    return spec


def resolved(
    values: Mapping[str, Value | Sequence[str]], folder: Path
) -> tuple[list[Plugin], dict[str, Value | Sequence[str]]]:
    """The plug-ins that values name, loaded, and the values with names in the place of addresses.

    Raises:
        BadInput: a plug-in is not there, breaks at import, or is not the one of its checksum.
    """
    found = dict(values)
    given = found.pop("plugins", "")
    if isinstance(given, Sequence) and not isinstance(given, str):
        loaded = [plugins.load(one, folder) for one in given]
    else:
        loaded = plugins.load_recorded(str(given))
    for field in ADDRESSED:
        if addressed(text := str(found.get(field, ""))):
            address, _, found[field] = text.rpartition(":")
            loaded.append(plugins.load(address, folder))
    return loaded, found


def addressed(name: str) -> bool:
    """Whether a name is ``FILE.py:NAME``."""
    return name.rpartition(":")[0].endswith(".py")


def defaults_of(space: str) -> Mapping[str, Value]:
    """The values that the paper, or a plug-in, has for RunSpec's required fields in a space.

    Raises:
        BadInput: an unknown space.
    """
    plugins.refuse_shadows("spaces", "space", FACTS)
    if space in FACTS:
        return FACTS[space].defaults
    # The code of the spaces takes PyTorch, which those in FACTS do without.
    found: Mapping[str, Value] = (
        importlib.import_module("nas_stability.benchmarks.catalog").find_space(space).facts.defaults
    )
    return found


def used_plugins(method: Method, values: Mapping[str, Any]) -> list[Plugin]:
    """The installed plug-ins that a run uses without having been given them."""
    found = [plugins.origin(kind, values[name]) for name, kind in OFFERED.items() if name in values]
    return [*(plugin for plugin in found if plugin is not None), *plugins_of(method)]


def settings_text(method: Method, name: str, values: Mapping[str, Value]) -> str:
    """The values of a method's own fields, given or by default, as JSON; empty where it has none.

    Raises:
        BadInput: a field is given that is nobody's.
    """
    own = own_fields(method)
    earlier = own_values(str(values.get("settings", "")))
    if strangers := sorted(earlier.keys() - own.keys()):
        raise BadInput(f"the method {name} has no field {strangers[0]!r} (its own: {', '.join(own) or 'none'})")
    found = {field: typed(field, values.get(field, earlier.get(field, item.default))) for field, item in own.items()}
    return json.dumps(found, sort_keys=True) if found else ""


def typed(name: str, value: object) -> Value:
    """The value of a field in its type and range, names in the spelling of their registries.

    Raises:
        BadInput: another type, not one of the field's choices, or out of its range.
    """
    item, kind = field_of(name)
    found = fields.admitted(name, item.metadata["range"], of_type(name, kind, value))
    if found == "" and item.default != "":
        raise BadInput(f"the field {name!r} is empty")
    return SPELLINGS[name](str(found)) if name in SPELLINGS else found


def parse(name: str, text: str) -> Value:
    """``typed`` of the command line's text.

    Raises:
        BadInput: not a value of the field's type, or out of its range.
    """
    return typed(name, fields.from_text(name, field_of(name)[1], text))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "space": lambda name: canonical(name, FACTS),
    "method": lambda name: name if addressed(name) else canonical_method(name),
    "data": lambda name: name if "/" in name else canonical_data(name),
    "data_sha256": str.lower,
}
"""Field -> its names as the registries spell them; an address of something in a plug-in is left as it is."""


def canonical_method(name: str) -> str:
    """A method's name as it is recorded: lower case, dashes, and the paper's name where it gave one."""
    found = check_name("method", name.lower().replace("_", "-"))
    return PUBLISHED_NAMES.get(found, found)


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
    if spec.until > spec.epochs:
        raise BadInput(f"the field 'until' must be at most epochs, not {spec.until} with {spec.epochs} epochs")
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
    method = find_method(spec.method)
    second = method.architect == "second-order"
    if spec.autocast != "off" and second and spec.unrolled_product == "difference":
        raise BadInput(
            f"the field 'autocast' must be off for {spec.method} with unrolled_product difference: the difference of "
            f"the weights is lost in {spec.autocast}"
        )
    if method.perturbation == "adversarial" and spec.attack_steps < 1:
        raise BadInput(f"the field 'attack_steps' must be at least 1 for {spec.method}")
    if method.restart != "never" and not spec.hessian:
        raise BadInput(f"the field 'hessian' must be true for {spec.method}, which goes back by its eigenvalues")
    if second and spec.weight_optimizer != "sgd":
        raise BadInput(
            f"the field 'weight_optimizer' must be sgd for {spec.method}, whose virtual step of the weights is SGD's"
        )
