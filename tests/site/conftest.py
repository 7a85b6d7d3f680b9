"""The modules that make pages, and the site as it is built."""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> type:
    """The modules of docs/made by name, as MkDocs imports them."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "made"))

    class Made:
        places: ModuleType = importlib.import_module("places")
        command_pages: ModuleType = importlib.import_module("command_pages")
        list_pages: ModuleType = importlib.import_module("list_pages")
        notebook_pages: ModuleType = importlib.import_module("notebook_pages")
        python_pages: ModuleType = importlib.import_module("python_pages")

    return Made


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly; skips where MkDocs and its extensions are not installed."""
    for module in ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed: pip install -e ".[docs]"')
    place = tmp_path_factory.mktemp("site")
    # What Python leaves beside the modules it imports must stay out of the site; left here on purpose.
    compileall.compile_dir(ROOT / "docs" / "made", quiet=2)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place
