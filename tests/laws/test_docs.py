"""The documents say what the code does."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from nas_stability.harness.records.record import EpochRecord, LandscapeRecord, SmoothingRecord, SpectrumRecord
from nas_stability.harness.specs.spec import FIELDS
from nas_stability.harness.training import protocol
from tests import architecture
from tests.readme import first_screen_commands

ROOT = Path(__file__).parents[2]


def test_ci_runs_readmes_two_commands() -> None:
    commands = first_screen_commands()
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/nas-stability study quick",
        ".venv/bin/pip install tox && .venv/bin/tox",
    ]
    ci = (ROOT / ".ci" / "run").read_text()
    assert ci.index("tests/readme.py") < ci.index("tox exec -e tests -- sh tests/thorough.sh")
    assert "pytest -m slow\n" in (ROOT / "tests" / "thorough.sh").read_text()


def test_every_column_is_in_the_data_dictionary() -> None:
    text = (ROOT / "results" / "README.md").read_text()
    for record in (EpochRecord, LandscapeRecord, SmoothingRecord, SpectrumRecord):
        for field in dataclasses.fields(record):
            name = f"{field.name}_DATASET_SPLIT" if str(field.type).startswith("Mapping") else field.name
            assert f"`{name}`" in text, name


def test_every_field_that_fidelity_names_exists() -> None:
    text = (ROOT / "docs" / "fidelity.md").read_text()
    table = "\n".join(line.rsplit("|", 2)[1] for line in text.splitlines() if re.match(r"\| \d", line))
    named = set(re.findall(r"`(\w+)`", table))
    assert len(named) > 15
    assert named <= FIELDS.keys() | protocol.FIELDS.keys()


def test_images_and_links_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_repository_stays_small() -> None:
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    sizes = [(ROOT / name).stat().st_size for name in files.stdout.splitlines() if (ROOT / name).exists()]
    assert sum(sizes) < 15_000_000


def test_the_picture_of_the_rooms_is_the_codes() -> None:
    assert subprocess.run([sys.executable, "-m", "tests.architecture", "--check"], cwd=ROOT).returncode == 0


def test_every_module_stands_on_a_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = {name for contract in contracts for floor in contract.get("layers", ()) for name in floor.split(" | ")}
    found = {name for name, path in architecture.modules().items() if path.name not in ("__init__.py", "__main__.py")}
    assert not found - listed
    assert not listed - found - {f"nas_stability.{top}" for top in architecture.TOPS}


def test_every_room_says_what_lives_there() -> None:
    rooms = [path.parent for top in architecture.TOPS for path in ROOT.joinpath(top).rglob("__init__.py")]
    assert len(rooms) > 12
    for room in rooms:
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert len(text.splitlines()) >= 2, room


def test_who_cites_the_harness_names_its_version_and_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    paths = re.findall(r"\]\(([\w./-]+)\)", (ROOT / "CONTRIBUTING.md").read_text())
    assert paths
    assert all((ROOT / path).exists() for path in paths)
