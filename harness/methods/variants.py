"""Variants of a space: what changes its supernet, made out of any space by a function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.plugins import find
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.harness.methods.compositions import NOTHING, find_method
from nas_stability.harness.specs.spec import FIELDS, RunSpec


class Make(Protocol):
    """(space, spec) -> the space with another supernet; its decisions and architectures stay.

    Raises:
        BadInput: the space has no such supernet, or not of this width.
    """

    def __call__(self, space: Space, spec: RunSpec) -> Space: ...


class Variant(NamedTuple):
    """What makes a variant, and the fields that it reads; without a function the space stays as it is."""

    make: Make | None
    fields: Mapping[str, Any] = NOTHING


def partial_channels(space: Space, spec: RunSpec) -> Space:
    """The space whose operations see one in ``partial_channels`` channels, the others passing by.

    Source: PC-DARTS (Xu et al., ICLR 2020), section 3.1; K there is ``partial_channels``.
    """
    if "partial" not in space.variants:
        raise BadInput(f"the space {space.name} cannot mix a part of its channels, which {spec.method} does")
    if spec.width % spec.partial_channels:
        raise BadInput(
            f"the field 'width' must be a multiple of partial_channels, {spec.partial_channels}, for {spec.method}, "
            f"not {spec.width}"
        )
    return dataclasses.replace(
        space, supernet=lambda shape: space.supernet(shape._replace(partial=spec.partial_channels))
    )


def single_path(space: Space, spec: RunSpec) -> Space:
    """The space that computes the chosen operation alone where a mixture is drawn for each cell.

    Source: GDAS (Dong and Yang, CVPR 2019), section 3.2.
    """
    if "single-path" not in space.variants:
        raise BadInput(f"the space {space.name} cannot compute one operation alone, which {spec.method} does")
    return dataclasses.replace(space, supernet=lambda shape: space.supernet(shape._replace(single_path=True)))


VARIANTS: dict[str, Variant] = {
    "whole": Variant(None),
    "single-path": Variant(single_path),
    "partial-channels": Variant(partial_channels, {"partial_channels": FIELDS["partial_channels"]}),
}


def searched(space: Space, spec: RunSpec) -> Space:
    """The variant of a space that a spec's method searches.

    Raises:
        BadInput: the space has none such.
    """
    variant = find("variants", "variant of a space", find_method(spec.method).variant, VARIANTS)
    return space if variant.make is None else variant.make(space, spec)
