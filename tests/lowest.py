"""The oldest versions that the package names, as constraints for pip: python -m tests.lowest [EXTRA...].

A requirement's lower bound is a promise: tox -e lowest installs exactly these, and what they need in whatever version,
and runs a part of the tests with them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

BOUNDED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)>=([0-9.]+)")
"""A requirement with a lower bound and nothing else."""


def requirements(extras: Sequence[str] = ()) -> list[str]:
    """What the package requires, and what some of its extras do."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]


def lowest(requirement: str) -> str:
    """A requirement at its lower bound.

    Raises:
        ValueError: it has none, or something beside it.
    """
    found = BOUNDED.fullmatch(requirement)
    if found is None:
        raise ValueError(f"the requirement {requirement!r} is not NAME>=VERSION")
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    print("\n".join(map(lowest, requirements(sys.argv[1:]))))
