"""Studies that tests harm; and one thread for each of the processes that tests run in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read where torch is imported, which is below

import pytest

from nas_stability.harness.runs import batch
from nas_stability.harness.runs.landscape import measure_landscape
from nas_stability.harness.runs.plane import Grid
from nas_stability.harness.runs.run import Watch
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.small import PLACE, small_spec


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two methods and two seeds, one landscape among them."""
    folder = tmp_path_factory.mktemp("records") / "study"
    specs = tuple(small_spec(method=method, seed=seed) for method in ("darts", "sdarts-rs") for seed in (0, 1))
    batch.run_study(PlannedStudy("small", specs), folder, PLACE, batch.Engine(), lambda done: None)
    measure_landscape(folder / specs[0].run_id, Grid(3, 1.0), PLACE, Watch())
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to be harmed."""
    return Path(shutil.copytree(finished, tmp_path / "study"))
