"""What comes from outside: files and modules that offer methods, spaces, tables and the like by name.

A plug-in is a Python file or an importable module whose registries are dicts of the names in ``REGISTRIES``, as the
harness's own are. An installed package may instead have entry points in the groups ``nas_stability.KIND``. The checksum
of its source enters the identity of every run that is given it. The standard library only.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from nas_stability.benchmarks.errors import BadInput, shown, unknown

Thing = TypeVar("Thing")

REGISTRIES = {
    "methods": "METHODS",
    "relaxations": "RELAXATIONS",
    "architects": "ARCHITECTS",
    "perturbations": "PERTURBATIONS",
    "regularisers": "REGULARISERS",
    "corrections": "AFTER_STEP",
    "stopping_rules": "STOPPING_RULES",
    "restarts": "RESTARTS",
    "choices": "CHOICES",
    "variants": "VARIANTS",
    "losses": "LOSSES",
    "weight_optimizers": "WEIGHT_OPTIMIZERS",
    "spaces": "SPACES",
    "tables": "TABLES",
    "datasets": "DATASETS",
    "claims": "CLAIMS",
    "figures": "FIGURES",
}
"""Kind, as in the group of an entry point -> the name of the dict in a plug-in's file."""


class Plugin(NamedTuple):
    """A plug-in that was loaded.

    Attributes:
        address: absolute path of a file, or the name of a module.
        sha256: over its source: the file, or all Python files of the module's package.
        offers: kind -> name -> thing.
    """

    address: str
    sha256: str
    offers: Mapping[str, Mapping[str, Any]]


LOADED: dict[str, Plugin] = {}
"""Plug-ins of this process by address: the one live state here. A file that changed is loaded anew."""


def load(address: str, folder: Path) -> Plugin:
    """Loads a plug-in, once as long as its source stays as it is.

    Args:
        address: ``FILE.py``, taken from the folder unless it is absolute, or the name of a module.
        folder: that relative paths are taken from.

    Raises:
        BadInput: it is not there, breaks at import, offers nothing, or a name that another one offers.
    """
    if not address.endswith(".py") and "/" not in address:
        return load_module(address)
    path = (folder / Path(address).expanduser()).resolve()
    if not path.is_file():
        raise BadInput(f"the plug-in {path} does not exist; a plug-in is a Python file or the name of a module")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = LOADED.get(str(path))
    if known and known.sha256 == digest:
        return known
    name = f"nas_stability_plugin_{digest[:16]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look themselves up there
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise broken(str(path), error) from error
    return enlist(Plugin(str(path), digest, offers_of(module, str(path))))


def load_module(name: str) -> Plugin:
    """Loads a plug-in that is importable.

    Raises:
        BadInput: as ``load``.
    """
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]:
            raise BadInput(
                f"the plug-in {shown(name)} is no module that can be imported here, and no file: FILE.py or MODULE"
            ) from error
        raise broken(name, error) from error
    points = [(point, kind) for kind in REGISTRIES for point in entry_points(kind) if package_of(point) == name]
    for point, kind in points:
        enter(point, kind)
    known = LOADED.get(name)
    digest = source_sum(module)
    if known and known.sha256 == digest:
        return known
    return enlist(Plugin(name, digest, offers_of(module, name)))


def broken(address: str, error: BaseException) -> BadInput:
    """The error of a plug-in that cannot be imported; an interrupt is passed on."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    line = next(iter(str(error).splitlines()), "")
    return BadInput(f"the plug-in {address} breaks at import: {type(error).__name__}: {line}")


def source_sum(module: ModuleType) -> str:
    """SHA-256 over the Python files of a module, or of the whole package that it is."""
    path = Path(str(module.__file__))
    paths = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    whole = hashlib.sha256()
    for one in paths:
        content = one.read_bytes()
        whole.update(f"{one.relative_to(path.parent)} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def offers_of(module: ModuleType, address: str) -> dict[str, Mapping[str, Any]]:
    """The registries that a module has.

    Raises:
        BadInput: none, or one that is no dict.
    """
    found = {kind: getattr(module, name) for kind, name in REGISTRIES.items() if hasattr(module, name)}
    for kind, registry in found.items():
        if not isinstance(registry, Mapping) or not all(isinstance(name, str) for name in registry):
            raise BadInput(f"the plug-in {address}: {REGISTRIES[kind]} is to be a dict of names, as the harness's own")
    if not any(found.values()):
        raise BadInput(f"the plug-in {address} offers nothing: it has no {', '.join(REGISTRIES.values())}")
    return found


def enlist(plugin: Plugin) -> Plugin:
    """Puts a plug-in among the loaded ones, in the place of its earlier source.

    Raises:
        BadInput: another one offers something of the same name.
    """
    for other in LOADED.values():
        if other.address == plugin.address:
            continue
        for kind, registry in plugin.offers.items():
            if twice := registry.keys() & other.offers.get(kind, {}).keys():
                raise BadInput(
                    f"the plug-ins {other.address} and {plugin.address} both offer {sorted(twice)[0]!r} among their "
                    f"{kind}; give one of them another name"
                )
    LOADED[plugin.address] = plugin
    return plugin


def origin(kind: str, name: str) -> Plugin | None:
    """The plug-in that offers a name: one that was loaded, or an installed package's entry point, which is loaded.

    Raises:
        BadInput: the package breaks at import, or offers what another one does.
    """
    point = next((point for point in entry_points(kind) if point.name == name), None)
    return loaded(kind, name) or (enter(point, kind) if point else None)


def loaded(kind: str, name: str) -> Plugin | None:
    """The plug-in that offers a name among those that were loaded; nothing is loaded for it."""
    return next((plugin for plugin in LOADED.values() if name in plugin.offers.get(kind, {})), None)


def entry_points(kind: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    """What installed packages offer of a kind; nothing is loaded."""
    return points_along(tuple(sys.path))[kind]


@functools.lru_cache(maxsize=8)
def points_along(path: tuple[str, ...]) -> Mapping[str, tuple[importlib.metadata.EntryPoint, ...]]:
    """The entry points of every kind of what is installed along ``sys.path``: a look at each package, taken once."""
    every = importlib.metadata.entry_points()
    return {kind: tuple(every.select(group=f"nas_stability.{kind}")) for kind in REGISTRIES}


def package_of(point: importlib.metadata.EntryPoint) -> str:
    """The package whose source is behind an entry point."""
    return point.module.partition(".")[0]


def enter(point: importlib.metadata.EntryPoint, kind: str) -> Plugin:
    """Loads what an entry point names.

    Raises:
        BadInput: it breaks at import.
    """
    try:
        thing = point.load()
    except BaseException as error:
        raise broken(f"{point.value} ({kind})", error) from error
    package = package_of(point)
    before = LOADED.get(package, Plugin(package, source_sum(sys.modules[package]), {}))
    offers = {**before.offers, kind: {**before.offers.get(kind, {}), point.name: thing}}
    return enlist(before._replace(offers=offers))


def installed(kind: str) -> Iterator[tuple[str, Any]]:
    """Name and thing of every entry point of a kind: for claims and figures, which are not named by a run.

    Raises:
        BadInput: a package breaks at import.
    """
    for point in entry_points(kind):
        yield point.name, enter(point, kind).offers[kind][point.name]


def names(kind: str) -> list[str]:
    """The names that loaded plug-ins and installed packages offer, sorted."""
    loaded = {name for plugin in LOADED.values() for name in plugin.offers.get(kind, {})}
    return sorted(loaded | {point.name for point in entry_points(kind)})


def find(kind: str, what: str, name: str, registry: Mapping[str, Thing]) -> Thing:
    """The one resolver: what a name stands for, in the harness's own registry or in a plug-in.

    Args:
        kind: key of REGISTRIES.
        what: the kind as a message calls one of it.
        name: looked for.
        registry: of the harness.

    Raises:
        BadInput: there is none (the message has the nearest name), or a plug-in has taken a name of the harness.
    """
    refuse_shadows(kind, what, registry)
    if name in registry:
        return registry[name]
    plugin = origin(kind, name)
    if plugin is None:
        raise unknown(what, name, [*registry, *names(kind)])
    found: Thing = plugin.offers[kind][name]
    return found


def refuse_shadows(kind: str, what: str, registry: Iterable[str]) -> None:
    """Passes plug-ins that leave the harness's own names alone.

    Raises:
        BadInput: naming the plug-in and the name.
    """
    own = set(registry)
    for plugin in LOADED.values():
        if shadowed := own & plugin.offers.get(kind, {}).keys():
            raise BadInput(
                f"the plug-in {plugin.address} calls a {what} {sorted(shadowed)[0]!r}, which comes with the harness; "
                "give it another name"
            )


def written(plugins: Iterable[Plugin]) -> str:
    """Plug-ins as a record has them: JSON of address -> SHA-256; empty for none."""
    found = {plugin.address: plugin.sha256 for plugin in plugins}
    return json.dumps(found, sort_keys=True) if found else ""


def read(text: str) -> dict[str, str]:
    """``written``, undone.

    Raises:
        BadInput: it is no such text.
    """
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise BadInput(f"plug-ins are recorded as an object of addresses and checksums, not {shown(text)}")
    return found


def load_recorded(text: str) -> list[Plugin]:
    """Loads the plug-ins of a record, if their sources are what they were.

    Raises:
        BadInput: one is not there, breaks, or has changed.
    """
    found = []
    for address, digest in read(text).items():
        plugin = load(address, Path())
        if digest != plugin.sha256:
            raise BadInput(
                f"the plug-in {address} is not the one that the run began with: "
                f"SHA-256 {digest[:12]}... then, {plugin.sha256[:12]}... now"
            )
        found.append(plugin)
    return found
