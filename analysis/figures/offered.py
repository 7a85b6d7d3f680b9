"""The figures that there are: those of this package, then those that plug-ins offer."""

from __future__ import annotations

from nas_stability.analysis import offered
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.figures.panels import DrawFigure
from nas_stability.analysis.summaries import TABLES
from nas_stability.benchmarks.errors import BadInput, shown


def offered_figures() -> dict[str, offered.Offer]:
    """Name -> figure of a plug-in, a function like those of FIGURES.

    Raises:
        BadInput: an installed package breaks at import; a name is taken by another figure or a table, or cannot be one;
            what is offered is no function.
    """
    found = offered.offered("figures", "figure", [*FIGURES, *TABLES])
    for name, (address, thing) in found.items():
        if not callable(thing):
            raise BadInput(f"the plug-in {address}: the figure {name!r} is to be a function, not {shown(thing)}")
    return found


def figures() -> dict[str, DrawFigure]:
    """Name -> figure, in the order in which a report draws them.

    Raises:
        BadInput: as ``offered_figures``.
    """
    return {**FIGURES, **{name: offer.thing for name, offer in offered_figures().items()}}
