"""A study as people name it, held to what it says of itself before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nas_stability.benchmarks.errors import BadInput, unknown
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.claimed import NOTHING_COUNTS
from nas_stability.harness.specs.section import Section
from nas_stability.harness.specs.study_file import PlannedStudy


def find_study(name: str, settings: Sequence[str] = ()) -> PlannedStudy:
    """A shipped study or a study file, read; the claims that count are among those that it is judged by.

    Of a study that is varied those claims count that it is still judged by: it may have lost a method.

    Args:
        name: of the study, or a path.
        settings: NAME=VALUE, fields that are other than in the file; VALUE may be several joined by commas, or a range.

    Raises:
        BadInput: no such study, or a file that cannot be; naming the line or the nearest known name.
    """
    path = study_file.find(name)
    given = {}
    for text in settings:
        field, equals, given[field] = text.partition("=")
        if not equals:
            raise BadInput(f"--set takes NAME=VALUE, not {text!r}")
    planned = study_file.read(path, given)
    if not planned.counting.claims:
        return planned
    from nas_stability.analysis.claims.offered import judged_by

    known = judged_by([spec.method for spec in planned.runs], planned.claims)
    for claim in planned.counting.claims:
        if claim not in known and not settings:
            error = unknown("claim of this study", claim, known)
            raise Section(path, path.read_text("utf-8-sig"), "claims").error("count", error) from error
    kept = tuple(claim for claim in planned.counting.claims if claim in known)
    counting = planned.counting._replace(claims=kept) if kept else NOTHING_COUNTS
    return dataclasses.replace(planned, counting=counting)
