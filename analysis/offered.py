"""What plug-ins offer to the analysis, beside what it has itself.

Plug-ins that were loaded offer what they have, and so do installed packages. Nothing is loaded because a record names
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.names import check_name


class Offer(NamedTuple):
    """A thing and the address of the plug-in that it is from."""

    address: str
    thing: Any


def loaded(kind: str) -> dict[str, Offer]:
    """What the plug-ins that are loaded offer of a kind (a key of plugins.REGISTRIES), by name."""
    return {
        name: Offer(plugin.address, thing)
        for plugin in plugins.LOADED.values()
        for name, thing in plugin.offers.get(kind, {}).items()
    }


def offered(kind: str, what: str, own: Iterable[str]) -> dict[str, Offer]:
    """``loaded`` with what installed packages offer, which are loaded for it.

    Args:
        kind: key of plugins.REGISTRIES.
        what: the kind as a message calls one of it.
        own: names that are taken.

    Raises:
        BadInput: a package breaks at import, or a name is taken or cannot be one.
    """
    for _ in plugins.installed(kind):
        pass
    plugins.refuse_shadows(kind, what, own)
    found = loaded(kind)
    for name in found:
        check_name(what, name)
    return found
