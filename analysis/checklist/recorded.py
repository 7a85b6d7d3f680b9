"""What the records of a study hold, as texts for the checklist's answers."""

from __future__ import annotations

from collections.abc import Sequence

from nas_stability.analysis.page.texts import absent, count, plain, spoken
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import natural
from nas_stability.harness.records.record import IMPORTED

DIGITS = 8
"""Of a checksum or a commit that is shown."""

SHOWN = 6
"""Values that are listed; more are counted."""


def known(study: Study, column: str) -> list[str]:
    """The values of a column of the runs that are known, each once, sorted."""
    if column not in study.runs:
        return []
    return sorted({plain(value) for value in study.runs[column] if not absent(value)}, key=natural)


def lacking(study: Study, column: str) -> int:
    """How many runs do not say what a column has."""
    return len(study.runs) if column not in study.runs else int(study.runs[column].map(absent).sum())


def listed(values: Sequence[str], digits: int | None = None) -> str:
    """Values in a sentence, cut to so many digits, and how many more there are."""
    cut = [value[:digits] for value in values]
    more = [f"{len(cut) - SHOWN} more"] if len(cut) > SHOWN else []
    return spoken([*cut[:SHOWN], *more]) if cut else "none recorded"


def imported(study: Study) -> int:
    """How many runs were carried out elsewhere."""
    column = f"{IMPORTED}.layout"
    return len(study.runs) - lacking(study, column)


def tables(study: Study) -> str:
    """The tables that answered, with checksums and budget; empty where there was none."""
    names = known(study, "table.name")
    if not names:
        return ""
    budget = f", {listed(known(study, 'table_epochs'))} epochs of training" if known(study, "table_epochs") else ""
    return f"{listed(names)} (SHA-256 {listed(known(study, 'table.sha256'), DIGITS)}{budget})"


def trained(study: Study) -> str:
    """What was trained from scratch."""
    rows = study.evaluated
    if rows is None:
        return ""
    protocols = listed(sorted(set(rows["protocol"].astype(str))))
    return f"{count(rows['network'].nunique(), 'network')} trained from scratch by the protocol {protocols}"


def spaced(study: Study, column: str) -> bool:
    """Whether a column differs between runs of one space."""
    return column in study.runs and bool((study.runs.groupby("space")[column].nunique(dropna=False) > 1).any())
