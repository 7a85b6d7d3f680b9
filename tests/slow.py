"""The mark of what takes long: out of a plain ``pytest``, in with ``pytest -m "slow or not slow"``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """Cases for ``parametrize`` of which only those named are quick; a tuple is several arguments."""
    every = list(cases)
    assert all(case in every for case in quick), "a quick case is one of the cases"
    return [case if case in quick else marked(case) for case in every]


def marked(case: Any) -> Any:
    """A case that is slow."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
