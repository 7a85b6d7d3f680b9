"""The notebooks are stored executed, small, and without anything of the machine; what their texts say is what came out.

That they still run is tried by nbmake, in tox.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import notebooks

ROOT = Path(__file__).parents[2]

MACHINE = re.compile(
    r"(?<![\w.~])/(tmp|home|root|work|usr|opt|var|Users|mnt|data)/|[A-Z]:\\\\|https?://(?!json-schema)"
)
"""A place on some machine, or elsewhere."""

LARGEST = 400_000
"""Bytes of all notebooks."""


def outputs_of(path: Path) -> list[dict[str, Any]]:
    """What the cells of a notebook gave."""
    return [output for cell in notebooks.cells_of(path) for output in cell.get("outputs", ())]


def texts_of(path: Path) -> str:
    """What the cells of a notebook gave, as text."""
    parts = []
    for output in outputs_of(path):
        told = output.get("text") or [text for kind, text in output.get("data", {}).items() if kind != "image/png"]
        parts += ["".join(one) for one in told] if isinstance(told, list) else [told]
    return "\n".join(parts)


def prose_of(path: Path) -> str:
    """The text of a notebook, in one line."""
    cells = [cell["source"] for cell in notebooks.cells_of(path) if cell["cell_type"] == "markdown"]
    return " ".join(" ".join(cells).split())


def test_there_are_the_notebooks_that_the_documents_offer() -> None:
    assert [path.stem for path in notebooks.stored()] == ["own_perturbation", "published", "robustdarts", "stopping"]
    assert sum(path.stat().st_size for path in notebooks.stored()) < LARGEST


@pytest.mark.parametrize("path", notebooks.stored(), ids=lambda path: path.stem)
def test_a_notebook_is_stored_executed_and_without_its_machine(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebooks.cells_of(path)
    assert notebook["metadata"] == notebooks.METADATA
    assert all(cell["metadata"] == {} for cell in cells)
    assert cells[0]["source"].startswith("# ")
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "not executed from its beginning to its end"
    outputs = outputs_of(path)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)
    sources = "\n".join(cell["source"] for cell in cells)
    for text in (texts_of(path), sources):
        assert not MACHINE.search(text), MACHINE.search(text)


def test_a_place_is_told_from_a_relative_path() -> None:
    for text in ("PosixPath('/tmp/x')", "in /home/me/x", "C:\\\\x", "from https://example.org"):
        assert MACHINE.search(text), text
    for text in ("../../results/published", "s1/cifar10/0.0_0.0003-1/log_1.txt", "docs/usr/x", "~/data/x"):
        assert not MACHINE.search(text), text


def test_the_verdicts_told_are_the_published_ones() -> None:
    """A sentence that the published notebook printed is one of the study's claims.txt."""
    known = (ROOT / "results" / "published" / "cpu-cifar10" / "claims.txt").read_text()
    told = re.findall(r"^    (supported|not supported|undecided): (.*)$", texts_of(path_of("published")), re.MULTILINE)
    assert {verdict for verdict, _ in told} == {"supported", "undecided"}
    for verdict, reason in told:
        assert any(verdict in line and reason in line for line in known.splitlines()), reason


def test_what_is_said_of_the_stops_is_what_came_out() -> None:
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", texts_of(path_of("stopping")).rpartition("<table")[2])
    stopped, epoch, saved, least = cells[cells.index("darts") + 1 :][:4]
    prose = prose_of(path_of("stopping"))
    assert stopped == "5"
    assert "stops all five searches of DARTS" in prose
    assert f"{saved} points of accuracy saved on average" in prose
    assert f"a mean of {30 - float(epoch):.0f} of 30 epochs" in prose
    assert float(least) >= 0
    assert "cost no search anything" in prose


def path_of(name: str) -> Path:
    """A notebook."""
    return notebooks.FOLDER / f"{name}.ipynb"


def png(colours: int) -> str:
    """A picture of so many columns, each of its colour, in base64."""
    picture = Image.new("RGB", (colours, 3))
    for place in range(colours):
        picture.paste((place % 256, 7 * place % 256, place // 256), (place, 0, place + 1, 3))
    picture.save(written := io.BytesIO(), "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_what_is_stored_has_neither_times_nor_places_nor_many_colours() -> None:
    frame = {"text/plain": "Study(folder='/tmp/x')", "text/html": "<table></table>"}
    figure = {"text/plain": "<Figure at 0x7f>", "image/png": png(500)}
    given = {
        "metadata": {"language_info": {"version": "3.11.7"}, "kernelspec": {"name": "mine"}},
        "cells": [
            {"cell_type": "markdown", "metadata": {"tags": []}, "source": "# One"},
            {
                "cell_type": "code",
                "execution_count": 7,
                "metadata": {"execution": {"iopub.execute_input": "2026-01-01"}},
                "source": "x",
                "outputs": [
                    {"output_type": "execute_result", "execution_count": 7, "metadata": {"a": 1}, "data": frame},
                    {"output_type": "display_data", "metadata": {}, "data": figure},
                    {"output_type": "stream", "name": "stdout", "text": "told"},
                ],
            },
        ],
    }
    found = notebooks.stripped(given)
    assert found["metadata"] == notebooks.METADATA
    assert [cell["metadata"] for cell in found["cells"]] == [{}, {}]
    result, display, stream = found["cells"][1]["outputs"]
    assert (found["cells"][1]["execution_count"], result["execution_count"]) == (1, 1)
    assert (result["data"], result["metadata"]) == ({"text/html": "<table></table>"}, {})
    assert stream == given["cells"][1]["outputs"][2]  # type: ignore[index]
    assert list(display["data"]) == ["image/png"]
    drawn = Image.open(io.BytesIO(base64.b64decode(display["data"]["image/png"])))
    assert drawn.size == (500, 3)
    assert 1 < len(drawn.convert("RGB").getcolors()) <= notebooks.COLOURS  # type: ignore[arg-type]
