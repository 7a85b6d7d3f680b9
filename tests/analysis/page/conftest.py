"""The small study, and its whole report."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.analysis.page import whole_page as pages
from nas_stability.analysis.report import write_report
from tests.analysis.page.small_study import verdicts, write_study
from tests.small import load


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("report") / "mine")


@pytest.fixture(scope="session")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report, its verdicts with long words among them."""
    report = write_report(load(folder), tmp_path_factory.mktemp("written"))
    found = verdicts()
    found.loc[1, "reason"] = "see the folder results/" + "a-very-long-name-without-a-space-" * 6
    return pages.write_page(report, found)
