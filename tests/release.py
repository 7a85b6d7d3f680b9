"""A release as it reaches who installs it: python -m tests.release. Needs build and twine: tox -e release.

What git tracks is built in isolation, the wheel from the sdist and from the checkout: both hold the same. The wheel is
installed in a fresh environment, with PyTorch (5 GB), and there, away from the checkout, every module is imported and a
small study carried out, checked and reported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

STUDY = (
    *("quick", "--set", "seed=20", "--set", "epochs=2", "--set", "images=64", "--set", "batch_size=16"),
    *("--set", "hessian_batch_size=8", "--set", "measure_every=2"),
)
"""The study quick, small: six runs of a second."""

IMPORTS = """
import importlib, pkgutil, sys
import nas_stability
found = [one.name for one in pkgutil.walk_packages(nas_stability.__path__, "nas_stability.")]
for name in found:
    if not name.endswith("__main__"):
        assert importlib.import_module(name).__file__.startswith(sys.prefix), name
print(len(found), "modules")
"""
"""Imports every module that is installed, and holds that it is from there."""

LARGEST = 2_000_000
"""Bytes of an sdist or a wheel: results and tests are in the repository alone."""


def version() -> str:
    """Of the package, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def call(command: Sequence[str | Path], folder: Path, home: Path | None = None) -> str:
    """Runs a command; its standard output.

    Args:
        command: program and arguments.
        folder: to run it in.
        home: a home of its own, and no path to the checkout, if given.

    Raises:
        CalledProcessError: it failed.
    """
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment = None if home is None else outside | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def tracked(root: Path, folder: Path) -> None:
    """Copies what git tracks, links as links: nothing left over from another build takes part."""
    for name in call(["git", "ls-files", "-z"], root).split("\0"):
        source = root / name
        if name and (source.is_file() or source.is_symlink()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name, follow_symlinks=False)


def in_wheel(path: Path) -> dict[str, int]:
    """The files of a wheel, by name, and the checksum of each; the list of them all is left out."""
    with zipfile.ZipFile(path) as archive:
        return {one.filename: one.CRC for one in archive.infolist() if not one.filename.endswith("/RECORD")}


def in_sdist(path: Path) -> list[str]:
    """The files of an sdist, below its folder."""
    with tarfile.open(path) as archive:
        return sorted(one.name.partition("/")[2] for one in archive if one.isfile())


def of_checkout(root: Path) -> set[str]:
    """What a wheel is to hold: the package's files that git tracks, under the names by which they are imported.

    A link to a file is one of them; links to folders are how the checkout is imported, not a file of the wheel.
    """
    names = call(["git", "ls-files", "benchmarks", "harness", "analysis", "nas_stability"], root).split()
    return {
        name if name.startswith("nas_stability/") else f"nas_stability/{name}"
        for name in names
        if not (root / name).is_dir()
    }


def complaints(sdist: Path, wheel: Path, direct: Path, root: Path = ROOT) -> Iterator[str]:
    """What is wrong with a release.

    Args:
        sdist: of it.
        wheel: made of the sdist.
        direct: the wheel made of the checkout.
        root: the checkout.
    """
    files = {name for name in in_wheel(wheel) if ".dist-info/" not in name}
    if missing := of_checkout(root) - files:
        yield f"{wheel.name} lacks {', '.join(sorted(missing))}"
    if more := files - of_checkout(root):
        yield f"{wheel.name} holds what git does not know: {', '.join(sorted(more))}"
    if in_wheel(wheel) != in_wheel(direct):
        differ = dict(in_wheel(wheel).items() ^ in_wheel(direct).items())
        yield f"the wheels made of the sdist and of the checkout differ in {', '.join(sorted(differ))}"
    if absent := {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"} - set(in_sdist(sdist)):
        yield f"{sdist.name} lacks {', '.join(sorted(absent))}"
    for path in (sdist, wheel):
        if path.stat().st_size > LARGEST:
            yield f"{path.name} has {path.stat().st_size} bytes, more than {LARGEST}"


def build(place: Path) -> tuple[Path, Path]:
    """Builds and compares; the sdist and the wheel.

    Raises:
        SystemExit: they are not as they should be.
    """
    source = place / "source"
    tracked(ROOT, source)
    call([sys.executable, "-m", "build", "--outdir", place / "dist", source], place)
    call([sys.executable, "-m", "build", "--wheel", "--outdir", place / "direct", source], place)
    (sdist,), (wheel,) = (place / "dist").glob("*.tar.gz"), (place / "dist").glob("*.whl")
    (direct,) = (place / "direct").glob("*.whl")
    if wrong := list(complaints(sdist, wheel, direct)):
        raise SystemExit("\n".join(wrong))
    call([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], place)
    return sdist, wheel


def install(wheel: Path, place: Path) -> Path:
    """The folder of the programs of a fresh environment with the wheel."""
    venv.create(place / "fresh", with_pip=True)
    programs = place / "fresh" / "bin"
    call([programs / "pip", "install", "--quiet", wheel], place)
    call([programs / "pip", "check"], place)
    return programs


def use(programs: Path, place: Path) -> None:
    """Imports everything and carries out a small study, away from the checkout.

    Raises:
        SystemExit: the version is another.
    """
    away, home = place / "away", place / "home"
    away.mkdir()
    home.mkdir()
    print(call([programs / "python", "-c", IMPORTS], away, home), end="")
    program = programs / "nas-stability"
    told = call([program, "--version"], away, home)
    if told != f"nas-stability {version()}\n":
        raise SystemExit(f"--version says {told!r}, and pyproject.toml {version()}")
    print(call([program, "study", *STUDY], away, home), end="")
    for verb in ("check", "claims", "report"):
        call([program, verb, away / "results" / "quick"], away, home)


def main() -> None:
    """All of it, with the seconds that each part took."""
    with tempfile.TemporaryDirectory() as folder:
        place, begun = Path(folder), time.monotonic()

        def took(what: str) -> None:
            print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

        sdist, wheel = build(place)
        sizes = ", ".join(f"{path.name}: {path.stat().st_size:,} bytes" for path in (sdist, wheel))
        took(f"built: {sizes}; {len(in_sdist(sdist))} and {len(in_wheel(wheel))} files")
        programs = install(wheel, place)
        took("installed in a fresh environment; pip check is content")
        use(programs, place)
        took("imported, searched, checked and reported away from the checkout")


if __name__ == "__main__":
    main()
