"""What is said of the published studies is what their records and verdicts say."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from nas_stability.command_line import main
from nas_stability.harness.runs.check import check_study

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "published"
STUDIES = sorted(path.name for path in PUBLISHED.iterdir() if path.is_dir())

NUMBERS = re.compile(r"(?<![\d.])(-?\d+\.\d+) \[(-?\d+\.\d+), (-?\d+\.\d+)\]")
"""An estimate with its interval."""


def rows() -> dict[str, list[str]]:
    """Study -> the cells of its row in the table of published studies."""
    lines = [line for line in (PUBLISHED / "README.md").read_text().splitlines() if line.startswith("| [")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {re.match(r"\[([\w-]+)\]\(\1\)", row[0])[1]: row for row in cells}  # type: ignore[index]


def verdicts_of(study: str) -> list[tuple[float, ...]]:
    """Every estimate with its interval that the verdicts of a study have."""
    texts = [path.read_text() for path in (PUBLISHED / study).glob("claims*.txt")]
    return [tuple(map(float, found)) for text in texts for found in NUMBERS.findall(text)]


def is_rounded(told: tuple[str, ...], known: tuple[float, ...]) -> bool:
    """Whether three numbers as texts are three others, rounded to the digits that are shown."""
    digits = [len(text.rpartition(".")[2]) for text in told]
    return all(
        abs(float(text) - value) <= 0.5001 * 10.0**-places + 5e-4 * abs(value)
        for text, value, places in zip(told, known, digits, strict=True)
    )


def test_every_published_study_has_its_row() -> None:
    assert sorted(rows()) == STUDIES
    assert all(len(row) == 6 and all(row) for row in rows().values())


PACKED = "records.tar.xz"
"""Archive of the records of a study that has many runs."""

ABSENT = "the file /data/nb101.parquet does not exist"
"""End of what is said of runs whose table, of NAS-Bench-101, is not in the repository."""

RECORDED = [
    name for name in STUDIES if (PUBLISHED / name / "study.json").exists() or (PUBLISHED / name / PACKED).exists()
]
"""Published with their records."""


@pytest.fixture(scope="module", params=RECORDED)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A published study and a folder of its records."""
    folder = PUBLISHED / request.param
    if not (folder / PACKED).exists():
        return request.param, folder
    unpacked = tmp_path_factory.mktemp(request.param)
    with tarfile.open(folder / PACKED) as archive:
        archive.extractall(unpacked, filter="data")
    return request.param, unpacked


def test_a_row_says_how_many_runs_of_which_commits_there_are(recorded: tuple[str, Path]) -> None:
    study, folder = recorded
    records = [json.loads(path.read_text()) for path in folder.glob("*/run.json")]
    _, question, runs, time, commits, verdicts = rows()[study]
    assert question.endswith(("?", ".", "seen with", "overfit"))
    assert int(runs.split()[0]) == len(records)
    seeds = sorted({record["spec"]["seed"] for record in records})
    assert (f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}") in runs
    assert {record["git_commit"][:7] for record in records} == set(commits.split(", "))
    hours, minutes = (int(found[1]) if (found := re.search(rf"(\d+) {unit}", time)) else 0 for unit in ("h", "min"))
    searched = sum(record["seconds"] for record in records) / 60
    assert 60 * hours + minutes == pytest.approx(searched, abs=1)
    assert verdicts


def test_its_verdicts_come_out_byte_for_byte(recorded: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    study, folder = recorded
    assert main(["claims", str(folder)]) == 0
    assert capsys.readouterr().out == (PUBLISHED / study / "claims.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_records_are_whole(recorded: tuple[str, Path]) -> None:
    study, folder = recorded
    found = check_study(folder)
    missing = [problem for problem in found.problems if problem.endswith(": is missing")]
    others = [problem for problem in found.problems if problem not in missing and not problem.endswith(ABSENT)]
    assert others == []
    told = rows()[study][2].split()
    promised = int(told[2]) if told[1] == "of" else int(told[0])
    assert len(missing) == promised - int(told[0])


@pytest.mark.parametrize("study", [name for name in STUDIES if any((PUBLISHED / name).glob("claims*.txt"))])
def test_a_rows_numbers_are_its_verdicts(study: str) -> None:
    known = verdicts_of(study)
    for told in NUMBERS.findall(rows()[study][5]):
        assert any(is_rounded(told, one) for one in known), told


def test_the_first_screens_numbers_are_verdicts() -> None:
    first = (ROOT / "README.md").read_text().partition("\n## ")[0]
    told = NUMBERS.findall(first)
    assert len(told) >= 5
    known = [one for study in ("cpu-cifar10", "cpu-cifar10-scaled", "robustdarts") for one in verdicts_of(study)]
    for one in told:
        assert any(is_rounded(one, other) for other in known), one


def test_rounding_is_told_from_other_numbers() -> None:
    assert is_rounded(("0.24", "0.14", "0.40"), (0.241, 0.144, 0.403))
    assert not is_rounded(("0.25", "0.14", "0.40"), (0.241, 0.144, 0.403))
    assert not is_rounded(("0.24", "0.14", "0.42"), (0.241, 0.144, 0.403))
