"""The notebooks in docs/notebooks, stored as they come out: python -m tests.notebooks [NAME...].

Each is executed in its own folder and written back with its outputs, without what depends on the machine and the hour:
times, the interpreter's version, the place of objects in memory or on disk. Needs nbformat, nbclient and ipykernel,
which tox installs.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"

METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
"""Of a stored notebook, all of it."""

LONGEST = 600
"""Seconds that a cell may take."""

COLOURS = 64
"""Of a figure: half the bytes, and nobody sees it."""


def stored() -> list[Path]:
    """The notebooks."""
    return sorted(FOLDER.glob("*.ipynb"))


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, their text in one piece."""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """The richest of the forms in which a value is told: the text of a data frame or a figure names its place."""
    if "image/png" in data:
        return {"image/png": quantised("".join(data["image/png"]))}
    return {"text/html": data["text/html"]} if "text/html" in data else dict(data)


def quantised(png: str) -> str:
    """A PNG of COLOURS colours, in base64."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(written := io.BytesIO(), "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def cleaned(output: Mapping[str, Any], count: int) -> dict[str, Any]:
    """An output without what is left out, of the cell with this number."""
    kept = dict(output)
    if "data" in output:
        kept |= {"data": shown(output["data"]), "metadata": {}}
    return kept | {"execution_count": count} if "execution_count" in kept else kept


def stripped(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook without what depends on the machine and the hour; its cells numbered from 1."""
    cells, count = [], 0
    for cell in notebook["cells"]:
        kept = {**cell, "metadata": {}}
        if cell["cell_type"] == "code":
            count += 1
            kept |= {"execution_count": count, "outputs": [cleaned(output, count) for output in cell["outputs"]]}
        cells.append(kept)
    return {**notebook, "metadata": METADATA, "cells": cells}


def execute(path: Path) -> None:
    """Runs a notebook in its folder and stores it."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    nbformat.write(nbformat.from_dict(stripped(notebook)), path)


if __name__ == "__main__":
    for one in stored():
        if one.stem in sys.argv[1:] or not sys.argv[1:]:
            execute(one)
            print(one.relative_to(ROOT))
