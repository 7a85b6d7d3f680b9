"""Studies of variants."""

from __future__ import annotations

import pytest

from nas_stability.analysis.study import Study
from tests.analysis.variant_studies import STUDIES, written
from tests.small import load


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    return {name: load(written(tmp_path_factory.mktemp(name), runs)) for name, runs in STUDIES.items()}
