"""The claims that plug-ins offer."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from nas_stability.analysis import offered
from nas_stability.analysis.claims.statements import Claim, claims
from nas_stability.analysis.names import in_order
from nas_stability.benchmarks.errors import BadInput, shown


def offered_claims(methods: Sequence[str], own: Sequence[Claim]) -> dict[str, tuple[str, Claim]]:
    """Name -> address of the plug-in, and the claim, of those that are about a study: any of its methods, or all.

    Args:
        methods: of the study.
        own: the claims by which it is judged anyhow.

    Raises:
        BadInput: an installed package breaks at import; a name is taken by another claim or cannot be one; what is
            offered is no Claim.
    """
    found = {}
    for name, (address, claim) in offered.offered("claims", "claim", [claim.name for claim in own]).items():
        if not isinstance(claim, Claim):
            raise BadInput(f"the plug-in {address}: the claim {name!r} is to be a Claim, not {shown(claim)}")
        if not claim.methods or set(claim.methods) & set(methods):
            found[name] = address, dataclasses.replace(claim, name=name, methods=tuple(claim.methods))
    return found


def judged_by(methods: Sequence[str], own: Sequence[tuple[str, str, str]]) -> list[str]:
    """The names of the claims by which a study will be judged, those that plug-ins offer behind the others.

    Args:
        methods: of the study.
        own: template, method and base of its own claims.

    Raises:
        BadInput: as ``offered_claims``.
    """
    judged = claims(in_order(methods), own)
    return [*(claim.name for claim in judged), *offered_claims(methods, judged)]


@contextlib.contextmanager
def blamed(claim: Claim, addresses: Mapping[str, str]) -> Iterator[None]:
    """Where a plug-in's claim breaks it is named.

    Args:
        claim: that is judged.
        addresses: name -> plug-in, of the claims that are of one.

    Raises:
        BadInput: naming the claim and what it raised.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, BadInput) or claim.name not in addresses:
            raise
        line = next(iter(str(error).splitlines()), "")
        raise BadInput(
            f"the plug-in {addresses[claim.name]}: the claim {claim.name!r} cannot be judged: "
            f"{type(error).__name__}: {line}"
        ) from error
