"""The documents say what the code does."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

from nas_stability.harness.records.record import EpochRecord, LandscapeRecord, SpectrumRecord
from nas_stability.harness.specs.spec import FIELDS
from tests.readme import first_screen_commands

ROOT = Path(__file__).parents[1]


def test_ci_runs_readmes_two_commands() -> None:
    commands = first_screen_commands()
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/nas-stability study quick",
        ".venv/bin/pip install tox && .venv/bin/tox",
    ]
    assert "tests/readme.py" in (ROOT / ".ci" / "run").read_text()


def test_every_column_is_in_the_data_dictionary() -> None:
    text = (ROOT / "results" / "README.md").read_text()
    for record in (EpochRecord, LandscapeRecord, SpectrumRecord):
        for field in dataclasses.fields(record):
            name = f"{field.name}_DATASET_SPLIT" if str(field.type).startswith("Mapping") else field.name
            assert f"`{name}`" in text, name


def test_every_field_that_fidelity_names_exists() -> None:
    text = (ROOT / "docs" / "fidelity.md").read_text()
    table = "\n".join(line.rsplit("|", 2)[1] for line in text.splitlines() if re.match(r"\| \d", line))
    named = set(re.findall(r"`(\w+)`", table))
    assert len(named) > 15
    assert named <= FIELDS.keys()


def test_images_and_links_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_repository_stays_small() -> None:
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    sizes = [(ROOT / name).stat().st_size for name in files.stdout.splitlines() if (ROOT / name).exists()]
    assert sum(sizes) < 15_000_000
