"""What is built holds all of the package, from an sdist as from a checkout; each requirement has a lower bound."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePath

import pytest

from tests import lowest, release

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["tool"]["setuptools"]

DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
LINE = "x = 1\n"
HELD = ("nas_stability/__init__.py", "nas_stability/harness/__init__.py", "nas_stability/harness/studies/one.toml")


def test_every_folder_of_the_package_is_named_where_it_is_built() -> None:
    """A folder that is not named is in the wheel of a checkout perhaps, but in none that is made of the sdist."""
    folders = {str(PurePath(name).parent).replace("/", ".") for name in release.of_checkout(ROOT)}
    assert len(folders) > 20
    assert sorted(BUILD["packages"]) == sorted(folders)


def test_every_file_that_is_no_code_is_named_where_it_is_built() -> None:
    data = [PurePath(name) for name in release.of_checkout(ROOT) if not name.endswith(".py")]
    assert len(data) > 10
    for path in data:
        patterns = BUILD["package-data"].get(str(path.parent).replace("/", "."), ())
        assert any(PurePath(path.name).match(pattern) for pattern in patterns), path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package of three files under git, harness beside nas_stability and linked into it."""
    root = tmp_path / "checkout"
    for name in HELD:
        path = root / (name if name.count("/") == 1 else name.removeprefix("nas_stability/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LINE)
    (root / "nas_stability" / "harness").symlink_to("../harness")
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def wheel(path: Path, files: Mapping[str, str]) -> Path:
    """A wheel of files, and its list of them."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "a-1.dist-info/METADATA": "m", "a-1.dist-info/RECORD": path.parent.name}.items():
            archive.writestr(name, text)
    return path


def sdist(path: Path, names: tuple[str, ...], size: int = 1) -> Path:
    """An sdist of files of random bytes."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            entry = tarfile.TarInfo(f"a-1/{name}")
            entry.size = size
            archive.addfile(entry, io.BytesIO(bytes(size)))
    return path


def told(place: Path, root: Path, made: Mapping[str, str], direct: Mapping[str, str], **of_sdist: object) -> str:
    """The complaints about a release, in one text."""
    names = {"names": DOCUMENTS, **of_sdist}
    source = sdist(place / "a-1.tar.gz", **names)  # type: ignore[arg-type]
    return "\n".join(
        release.complaints(source, wheel(place / "w" / "a-1.whl", made), wheel(place / "d" / "a-1.whl", direct), root)
    )


WHOLE = dict.fromkeys(HELD, LINE)


def test_a_release_that_is_whole_is_not_complained_of(tmp_path: Path, checkout: Path) -> None:
    assert told(tmp_path, checkout, WHOLE, WHOLE) == ""


def test_a_wheel_without_the_linked_folders_is_refused(tmp_path: Path, checkout: Path) -> None:
    """What an sdist without links made of the package, when its folders were looked for."""
    alone = {HELD[0]: LINE}
    found = told(tmp_path, checkout, alone, WHOLE)
    assert f"a-1.whl lacks {HELD[1]}, {HELD[2]}" in found
    assert f"differ in {HELD[1]}, {HELD[2]}" in found


def test_a_link_to_a_file_is_a_file_of_the_wheel(tmp_path: Path, checkout: Path) -> None:
    (checkout / "harness" / "columns.md").symlink_to(checkout / HELD[0])
    subprocess.run(["git", "-C", str(checkout), "add", "."], check=True)
    more = {**WHOLE, "nas_stability/harness/columns.md": LINE}
    assert told(tmp_path, checkout, more, more) == ""
    assert "lacks nas_stability/harness/columns.md" in told(tmp_path, checkout, WHOLE, WHOLE)


def test_other_contents_and_files_that_nobody_knows_are_refused(tmp_path: Path, checkout: Path) -> None:
    assert told(tmp_path, checkout, WHOLE, {**WHOLE, HELD[0]: "x = 2\n"}).endswith(f"differ in {HELD[0]}")
    more = {**WHOLE, "harness/__init__.py": LINE}
    assert told(tmp_path, checkout, more, more) == "a-1.whl holds what git does not know: harness/__init__.py"


def test_an_sdist_without_its_documents_or_with_results_is_refused(tmp_path: Path, checkout: Path) -> None:
    found = told(tmp_path, checkout, WHOLE, WHOLE, names=DOCUMENTS[:2])
    assert found == "a-1.tar.gz lacks CHANGELOG.md, CITATION.cff"
    found = told(tmp_path, checkout, WHOLE, WHOLE, size=release.LARGEST)
    assert "more than 2000000" in found


def test_what_git_does_not_track_takes_no_part(tmp_path: Path, checkout: Path) -> None:
    (checkout / "build").mkdir()
    (checkout / "build" / "old.py").write_text(LINE)
    release.tracked(checkout, tmp_path / "copy")
    assert not (tmp_path / "copy" / "build").exists()
    assert (tmp_path / "copy" / "nas_stability" / "harness").is_symlink()
    assert (tmp_path / "copy" / "harness" / "studies" / "one.toml").read_text() == LINE


def test_the_version_stands_in_the_changelog() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0] == "## Unreleased"
    assert headings[1].startswith(f"## {release.version()} (")
    date = headings[1].partition("(")[2].rstrip(")")
    assert f"\ndate-released: {date}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_requirement_has_a_lower_bound_and_no_other() -> None:
    """But of what makes the site, which nobody imports: MkDocs 2 is another program."""
    extras = tuple(name for name in PROJECT["project"]["optional-dependencies"] if name != "docs")
    pinned = [lowest.lowest(one) for one in lowest.requirements(extras)]
    assert len(pinned) == len(set(pinned)) > 20
    assert all("==" in one for one in pinned)


def test_a_lower_bound_is_read_as_it_is_written() -> None:
    assert lowest.lowest("nas-bench-201>=2.1") == "nas-bench-201==2.1"
    for requirement in ("torch", "torch>=2,<3", "torch==2.4", "torch>2"):
        with pytest.raises(ValueError, match="is not NAME>=VERSION"):
            lowest.lowest(requirement)
