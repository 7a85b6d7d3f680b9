"""Finished runs with landscapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.harness.records.record import LANDSCAPE, PLANE
from nas_stability.harness.runs import landscape
from nas_stability.harness.runs.landscape import measure_landscape
from nas_stability.harness.runs.plane import Grid
from nas_stability.harness.runs.run import Watch, run
from tests.harness.runs.landscapes import CASES, contents, spec_of
from tests.small import PLACE


@pytest.fixture(scope="session")
def landscapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each case, with its landscape of 5 x 5 points."""
    folders = {}
    for space, values in CASES.items():
        folders[space] = tmp_path_factory.mktemp(space) / "run"
        run(spec_of(space), folders[space], PLACE, Watch())
        before = contents(folders[space])
        assert measure_landscape(folders[space], Grid(5, 1.5), PLACE, Watch())
        after = contents(folders[space])
        assert {name: after[name] for name in before} == before, values
        assert after.keys() - before.keys() == {LANDSCAPE, PLANE, landscape.LOCK}
    return folders
