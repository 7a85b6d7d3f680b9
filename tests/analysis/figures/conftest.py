"""One study of all spaces, and every figure of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib
import pytest

from nas_stability.analysis.figures.figures import FIGURES, PAPER, Drawn, style
from nas_stability.analysis.study import Study
from tests.analysis.figures.enriched import S2, enriched
from tests.analysis.written import ACCURACY, write_run
from tests.small import LISTED, load


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, three seeds, all four spaces; the table lacks the last architecture of one run of S2."""
    place = tmp_path_factory.mktemp("study")
    for space, method, seed in itertools.product(LISTED, ACCURACY, range(3)):
        missing = (space, method, seed) == (S2, "darts", 0)
        enriched(write_run(place, method, seed, space, missing), seed, space)
    return place


@pytest.fixture(scope="session")
def study(folder: Path) -> Study:
    return load(folder)


class OnDemand(dict[str, Drawn]):
    """Figures of a study for a paper, each drawn when a test first asks for it."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study

    def __missing__(self, name: str) -> Drawn:
        with matplotlib.rc_context(style(paper=True)):
            found = FIGURES[name](self.study, PAPER)
        assert found is not None, f"{name} has nothing to show"
        self[name] = found
        return found


@pytest.fixture(scope="session")
def drawn(study: Study) -> dict[str, Drawn]:
    return OnDemand(study)


@pytest.fixture(scope="session")
def every(study: Study) -> dict[str, Drawn]:
    """Every figure that has something to show, for a paper."""
    with matplotlib.rc_context(style(paper=True)):
        return {name: found for name, draw in FIGURES.items() if (found := draw(study, PAPER))}
