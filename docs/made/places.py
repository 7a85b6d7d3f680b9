"""Where files of the repository are on the site, and links made to fit."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLISHED = "results/published"

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/README.md": "reference/columns.md",
    "results/tables/README.md": "understand/tables.md",
    f"{PUBLISHED}/README.md": "published/index.md",
}
"""Document beside docs/ -> its place on the site."""

STUDIES = sorted(path.name for path in ROOT.joinpath(PUBLISHED).iterdir() if path.is_dir())


def files_of(study: str) -> list[str]:
    """The files of a published study that its page shows or links: figures, verdicts, small tables, packed records."""
    folder = ROOT / PUBLISHED / study
    texts = [path for ending in ("*.png", "*.csv", "*.tar.xz", "claims*.txt") for path in sorted(folder.glob(ending))]
    return [path.relative_to(ROOT).as_posix() for path in texts]


SHOWN = {
    **PAGES,
    **{path: path.removeprefix("results/") for study in STUDIES for path in files_of(study)},
    **{path.relative_to(ROOT).as_posix(): f"bench/{path.name}" for path in ROOT.glob("results/bench/*.png")},
}
"""File of the repository -> its place on the site."""

FOLDERS = {f"{PUBLISHED}/{study}": f"published/{study}/index.md" for study in STUDIES}
"""Folder of the repository -> the page that shows it."""

ORIGINS = {place: path for path, place in SHOWN.items()} | {
    place: f"{folder}/README.md" for folder, place in FOLDERS.items()
}
"""Place on the site -> where in the repository the links of the page are taken from; all others are in docs/."""


def study_pages() -> dict[str, str]:
    """A page for every published study: its own words, its verdicts, its figures, its tables."""
    return {f"published/{study}/index.md": study_page(study) for study in STUDIES}


def study_page(study: str) -> str:
    """The page of a published study."""
    folder = ROOT / PUBLISHED / study
    own = folder / "README.md"
    text = own.read_text("utf-8").rstrip() if own.exists() else f"# The study `{study}`\n\n{row_of(study)}"
    for path in sorted(folder.glob("claims*.txt")):
        text += f"\n\n## What `{path.name}` says\n\n```text\n{path.read_text('utf-8').rstrip()}\n```"
    figures = [path.name for path in sorted(folder.glob("*.png")) if f"({path.name})" not in text]
    if figures:
        text += "\n\n## Figures\n" + "".join(
            f"\n![{name.removesuffix('.png')} of {study}]({name})\n" for name in figures
        )
    tables = [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    text += "".join(f"\n\n## Table `{path.stem}`\n\n{path.read_text('utf-8').rstrip()}" for path in tables)
    numbers = [f"[{path.name}]({path.name})" for path in sorted(folder.glob("*.csv"))]
    return text + (f"\n\n## Numbers\n\n{', '.join(numbers)}\n" if numbers else "\n")


def row_of(study: str) -> str:
    """What the table of published studies says of one, as lines."""
    lines = ROOT.joinpath(PUBLISHED, "README.md").read_text("utf-8").splitlines()
    names = [name.strip() for name in next(line for line in lines if line.startswith("| study")).strip("|").split("|")]
    row = next(line for line in lines if line.startswith(f"| [{study}]("))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return "\n".join(f"* {name}: {cell}" for name, cell in zip(names[1:], cells[1:], strict=True))


LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
"""Of Markdown: an image's mark, the text, the target."""

BLOCK = re.compile(r"(^```.*?^```[^\n]*$)", re.DOTALL | re.MULTILINE)
"""Of code, in which nothing is a link."""


def relinked(markdown: str, place: str) -> str:
    """A page's Markdown with the links of the repository made to lead to the site's pages."""
    parts = BLOCK.split(markdown)
    return "".join(
        part if number % 2 else LINK.sub(lambda found: link(found, place), part) for number, part in enumerate(parts)
    )


def link(found: re.Match[str], place: str) -> str:
    """One link, as the site has it."""
    mark, text, target = found.groups()
    path, hash_mark, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return found[0]
    origin = ORIGINS.get(place, f"docs/{place}")
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
    inside = wanted.removeprefix("docs/") if wanted.startswith("docs/") else None
    there = SHOWN.get(wanted) or FOLDERS.get(wanted) or inside
    if there is None:
        # A wrong path stays as it is, so that the build stops at it.
        return text if not mark and ROOT.joinpath(wanted).exists() else found[0]
    return f"{mark}[{text}]({os.path.relpath(there, posixpath.dirname(place) or '.')}{hash_mark}{anchor})"
