"""The pages of notebooks, as they are stored: nothing is run. Markdown like any other page, without foreign scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What colours a terminal's text."""

LOOKS = re.compile(r"<style.*?</style>\s*|<script.*?</script>\s*| (?:border|class|style)=\"[^\"]*\"", re.DOTALL)
"""How a table in a notebook looks there, and what it runs; here it looks as all tables do."""


def notebooks() -> list[Path]:
    """The notebooks of docs/, sorted by name."""
    return sorted(ROOT.joinpath("docs", "notebooks").glob("*.ipynb"))


def places() -> list[str]:
    """Where their pages are."""
    return [f"notebooks/{path.stem}.md" for path in notebooks()]


def pages() -> dict[str, str | bytes]:
    """Place on the site -> the Markdown of each notebook's page, and its pictures."""
    found: dict[str, str | bytes] = {}
    for path in notebooks():
        found |= page(path.stem, json.loads(path.read_text("utf-8")))
    return found


def page(name: str, notebook: dict[str, Any]) -> dict[str, str | bytes]:
    """The page of one notebook, and its pictures beside it."""
    pictures: dict[str, str | bytes] = {}
    parts = []
    for cell in notebook["cells"]:
        source = joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(fenced(source, "python"))
            parts += outputs(cell["outputs"], name, pictures)
    heading, _, rest = "\n\n".join(filter(None, parts)).partition("\n")
    text = f"{heading}\n\nA notebook as it was run: [{name}.ipynb]({name}.ipynb).\n{rest}\n"
    return {f"notebooks/{name}.md": text, **pictures}


def outputs(found: list[dict[str, Any]], name: str, pictures: dict[str, str | bytes]) -> Iterator[str]:
    """What a cell gave, as Markdown; its pictures are put with the others."""
    for output in found:
        data = output.get("data", {})
        if "image/png" in data:
            picture = f"{name}-{len(pictures) + 1}.png"
            pictures[f"notebooks/{picture}"] = base64.b64decode(joined(data["image/png"]))
            yield f"![{alternative(data)}]({picture})"
        elif "text/html" in data:
            yield re.sub(r"\n\s*", "\n", LOOKS.sub("", joined(data["text/html"]))).strip()
        else:
            text = output.get("text") or data.get("text/plain") or output.get("traceback", [])
            yield fenced(COLOURS.sub("", joined(text)), "text")


def alternative(data: dict[str, Any]) -> str:
    """What a picture is called where it cannot be seen."""
    text = joined(data.get("text/plain", "figure"))
    return "figure" if text.startswith("<") else text.replace("]", "")


def joined(text: str | list[str]) -> str:
    """A notebook's text, which may be stored by lines."""
    return text if isinstance(text, str) else "".join(text)


def fenced(text: str, language: str) -> str:
    """A block of code; nothing for nothing."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}" if text.strip() else ""
