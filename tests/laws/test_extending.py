"""The additions of docs/extending.md, each applied to a copy of the code, and what it adds used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIFFS = dict(
    zip(
        ("perturbation", "regulariser", "space", "figure", "claim"),
        re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), re.DOTALL),
        strict=True,
    )
)

SEARCH = """
import sys
from nas_stability.command_line import main
space, method = {place!r}
small = "--data digits --images 48 --epochs 1 --batch-size 10 --width 2 --depth 1 --hessian-batch-size 8 --table none"
assert main(["run", "--space", space, "--method", method, *small.split(), "--out", {out!r}]) == 0
assert main(["check", {out!r}]) == 0
"""

USED = {
    "perturbation": SEARCH,
    "regulariser": SEARCH,
    "space": SEARCH,
    "figure": """
import nas_stability as ns
assert ns.figure("results/published/quick", "entropy") is not None
""",
    "claim": """
import nas_stability as ns
judged = ns.claims("results/published/quick")
assert {"sdarts-rs-saves-time", "sdarts-adv-saves-time"} <= set(judged["claim"])
""",
}
PLACES = {
    "perturbation": ("nasbench201", "darts-sharp"),
    "regulariser": ("nasbench201", "decided-darts-rs"),
    "space": ("chain", "sdarts-adv"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code, apart, with the study that a figure and a claim are drawn from."""
    place = tmp_path_factory.mktemp("extended")
    for folder in ("benchmarks", "harness", "analysis", "nas_stability"):
        shutil.copytree(ROOT / folder, place / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "results" / "published" / "quick", place / "results" / "published" / "quick")
    return place


def test_an_addition_is_small() -> None:
    for name, diff in DIFFS.items():
        files = re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)
        assert len(files) <= 2, name
        beside = re.split(r"^diff --git ", diff, flags=re.MULTILINE)[1:]
        added = sorted(len(re.findall(r"^\+(?!\+\+)", part, re.MULTILINE)) for part in beside)
        assert added[0] <= 2 or len(files) == 1, f"{name} adds {added} lines"


def applying(name: str, folder: Path) -> list[str]:
    """The command that applies an addition, written into a folder."""
    patch = folder / "addition.diff"
    patch.write_text(DIFFS[name], encoding="utf-8")
    return ["git", "apply", "--unidiff-zero", str(patch)]


@pytest.mark.parametrize("name", DIFFS)
def test_an_addition_applies(name: str, copy: Path, tmp_path: Path) -> None:
    found = subprocess.run([*applying(name, tmp_path), "--check"], cwd=copy, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFS)
def test_an_addition_works(name: str, copy: Path, tmp_path: Path) -> None:
    applied = applying(name, tmp_path)
    subprocess.run(applied, cwd=copy, check=True, capture_output=True, text=True)
    try:
        script = USED[name].format(place=PLACES.get(name), out=str(tmp_path / "run")) if name in PLACES else USED[name]
        found = subprocess.run([sys.executable, "-c", script], cwd=copy, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
    finally:
        subprocess.run([*applied, "--reverse"], cwd=copy, check=True, capture_output=True)
