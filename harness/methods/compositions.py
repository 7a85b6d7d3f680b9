"""Search methods, each a composition of named parts. The standard library only.

The parts themselves are functions in the registries beside this file. A base is listed
once, and so is a perturbation; the names of what they make are generated: ``BASE-rs``, ``BASE-adv``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.plugins import Plugin
from nas_stability.harness.specs.fields import Value

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Method(NamedTuple):
    """A search method: the names of its parts.

    Attributes:
        title: as people write it; empty for its name in capitals.
        relaxation: logits and draws -> the mixture of a pass (relaxations.py).
        architect: how the gradient of the validation loss with respect to the logits is taken (architects.py).
        perturbation: of the mixture in the weight step (perturbations.py).
        regulariser: what is added to the validation loss (regularisers.py).
        after: what becomes of the logits after their step (after_step.py).
        stop: whether the search ends before its last epoch, asked between epochs (stopping_rules.py).
        restart: whether it goes back to an earlier epoch, asked between epochs (restarts.py).
        choice: how the architecture is chosen after an epoch (choices.py).
        evaluation: the relaxation, without draws, that measuring and deciding use.
        variant: of the space that it searches (variants.py).
        perturbable: whether a perturbation makes another method of it.
        defaults: values of RunSpec's fields that the method starts from, where they are not those of the space.
        fields: of its own, beside RunSpec's: name -> field, made by ``described``.
    """

    title: str = ""
    relaxation: str = "softmax"
    architect: str = "first-order"
    perturbation: str = "none"
    regulariser: str = "none"
    after: str = "nothing"
    stop: str = "at-the-end"
    restart: str = "never"
    choice: str = "by-logits"
    evaluation: str = "softmax"
    variant: str = "whole"
    perturbable: bool = True
    defaults: Mapping[str, Value] = NOTHING
    fields: Mapping[str, Any] = NOTHING


PERTURBED = {"rs": "random", "adv": "adversarial"}
"""Ending of a method's name -> its perturbation."""

PUBLISHED_NAMES = {"darts-rs": "sdarts-rs", "darts-adv": "sdarts-adv"}
"""Generated name -> the one that the paper gave."""

BASES: dict[str, Method] = {
    "darts": Method("DARTS"),
    "darts-2nd": Method("DARTS (2nd order)", architect="second-order"),
    "pc-darts": Method("PC-DARTS", variant="partial-channels"),
    "gdas": Method("GDAS", relaxation="gumbel", variant="single-path", defaults={"arch_grad_clip": 5.0}),
    "nasp": Method(
        "NASP",
        relaxation="binarised",
        evaluation="binarised",
        after="clamped",
        defaults={"arch_init_mean": 0.5},
    ),
    "drnas": Method("DrNAS", relaxation="dirichlet", evaluation="dirichlet-mean", defaults={"arch_grad_clip": 5.0}),
    "beta-darts": Method("Beta-DARTS", regulariser="beta"),
    "darts-ada": Method("DARTS-ADA", architect="second-order", restart="ada", perturbable=False),
    "random-ws": Method(
        "Random WS",
        relaxation="uniform",
        architect="none",
        choice="best-of-random",
        evaluation="hardened",
        perturbable=False,
    ),
}
"""Methods without a perturbation."""

FIRST = ("darts", "darts-2nd", "sdarts-rs", "sdarts-adv")
"""The methods that come first in legends and tables, and whose colours stand in what was published."""


def perturbed_by(base: Method, ending: str, perturbation: str) -> Method:
    """A base with a perturbation, titled ``BASE-ENDING``."""
    title = f"{base.title}-{ending.upper()}" if base.title else ""
    return base._replace(title=title, perturbation=perturbation, perturbable=False)


def generated(name: str, base: Method) -> Iterator[tuple[str, Method]]:
    """A base's perturbed methods, by name."""
    for ending, perturbation in PERTURBED.items() if base.perturbable else ():
        made, whole = perturbed_by(base, ending, perturbation), f"{name}-{ending}"
        if whole in PUBLISHED_NAMES:
            whole = PUBLISHED_NAMES[whole]
            made = made._replace(title=whole.upper())
        yield whole, made


TOGETHER = {made: method for name, base in BASES.items() for made, method in ((name, base), *generated(name, base))}
"""Each base before its perturbed methods."""

METHODS: dict[str, Method] = {name: TOGETHER[name] for name in dict.fromkeys((*FIRST, *TOGETHER))}
"""Every method that comes with the package, in the order of legends and tables: FIRST, then as in TOGETHER."""


Origin = Callable[[str, str], Plugin | None]
"""(kind, name) -> the plug-in that offers it: ``plugins.origin``, or ``plugins.loaded``, which loads nothing."""


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        BadInput: there is none; the message has the nearest name, or says that its base cannot be perturbed.
    """
    plugins.refuse_shadows("methods", "method", METHODS)
    found = known_method(name, plugins.origin)
    if found is None:
        base, _, ending = name.rpartition("-")
        if ending in PERTURBED and known_method(base, plugins.origin):
            raise BadInput(f"unknown method {shown(name)}: {base} is not perturbed, or is already")
        raise unknown("method", name, [*METHODS, *plugins.names("methods")])
    return found


def known_method(name: str, origin: Origin) -> Method | None:
    """The method of a name, one of the package's, of a plug-in's, or generated from these; None where there is none.

    Raises:
        BadInput: what a plug-in offers under the name is no Method.
    """
    return METHODS.get(name) or offered(name, origin) or perturbed(name, origin)


def offered(name: str, origin: Origin) -> Method | None:
    """The method that a plug-in offers under a name.

    Raises:
        BadInput: what it offers is no Method.
    """
    plugin = origin("methods", name)
    if plugin is None:
        return None
    found = plugin.offers["methods"][name]
    if not isinstance(found, Method):
        raise BadInput(f"the plug-in {plugin.address}: the method {name!r} is to be a Method, not {shown(found)}")
    return found


def perturbed(name: str, origin: Origin) -> Method | None:
    """A base with a perturbation, by the name BASE-ENDING: one of the two, or both, are a plug-in's."""
    base_name, _, ending = name.rpartition("-")
    base = METHODS.get(base_name) or (offered(base_name, origin) if base_name else None)
    if base is None or not base.perturbable:
        return None
    known = ending in PERTURBED or origin("perturbations", ending) is not None
    return perturbed_by(base, ending, PERTURBED.get(ending, ending)) if known else None


def plugins_of(method: Method) -> list[Plugin]:
    """The plug-ins that a method's parts come from."""
    found = [plugins.origin(kind, getattr(method, part)) for part, kind in KINDS.items()]
    return [plugin for plugin in found if plugin is not None]


def own_fields(method: Method) -> dict[str, Any]:
    """The fields that a method reads beside RunSpec's: its own, and those of its plug-ins' parts."""
    fields = dict(method.fields)
    for part, kind in KINDS.items():
        name = getattr(method, part)
        if plugin := plugins.origin(kind, name):
            fields |= plugin.offers[kind][name].fields
    return fields


KINDS = {
    "relaxation": "relaxations",
    "architect": "architects",
    "perturbation": "perturbations",
    "regulariser": "regularisers",
    "after": "corrections",
    "stop": "stopping_rules",
    "restart": "restarts",
    "choice": "choices",
    "evaluation": "relaxations",
    "variant": "variants",
}
"""Part of a method -> kind of thing that a plug-in offers."""
