"""Verbs that say what there is."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.command_line import main
from nas_stability.harness.methods.compositions import METHODS, Method
from nas_stability.harness.specs import study_file
from nas_stability.listing import described, first_sentence
from tests.commands import refused

PLUGIN = """
from nas_stability.harness.methods.compositions import Method
METHODS = {"mine": Method("Mine", architect="second-order", regulariser="beta")}
"""


def lines_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What a verb lists: name -> what it is."""
    assert main(arguments) == 0
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("verb", "names"), [("methods", list(METHODS)), ("spaces", list(FACTS)), ("studies", list(study_file.shipped()))]
)
def test_everything_has_its_line(verb: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = lines_of([verb], capsys)
    assert list(found) == names
    assert all(len(text) > 3 for text in found.values())
    assert len(set(found.values())) == len(found), "no two say the same"


def test_what_a_method_is_made_of() -> None:
    assert described(METHODS["darts"]) == "DARTS"
    assert described(METHODS["sdarts-rs"]) == "SDARTS-RS; random smoothing in the weight step"
    assert described(Method(relaxation="gumbel")) == "relaxation gumbel"


def test_a_plugins_method_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    found = lines_of(["methods", "--plugin", str(tmp_path / "mine.py")], capsys)
    assert found["mine"] == "Mine; second order; regulariser beta"


def test_tables_are_those_of_table_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(["tables"], capsys) == lines_of(["table", "list"], capsys)
    assert "nasbench1shot1-s1-digits" in lines_of(["tables"], capsys)


def test_a_study_is_told_by_its_first_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    for text, told in {
        "# Does it?\n# Yes.\n\n[base]": "Does it?",
        "# One at 0.5 of\n# two. Three.\n\n": "One at 0.5 of two.",
        "# No end\n\n": "No end",
    }.items():
        path.write_text(text)
        assert first_sentence(path) == told


def test_the_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"nas-stability {version('nas-stability')}\n"
    assert "unknown argument" in refused(["methods", "--x"], capsys, tmp_path)
