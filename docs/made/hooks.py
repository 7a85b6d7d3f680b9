"""What MkDocs calls while it builds the site: pages made from the code, files from beside docs/, links, formulas.

A document is written for whoever reads it in the repository, where its links are paths. Those that lead out of docs/
lead to the same file on the site where the site has it (``places.py``), and become plain text where it does not.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import command_pages
import formulas
import list_pages
import notebook_pages
import places
import python_pages
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"<td[^>]*>.*?</td>|<h1[^>]*>[\w.]+", re.DOTALL)
"""Where a long name would be wider than a phone: cells, and the titles of modules."""


def made_files() -> dict[str, str | bytes]:
    """Place on the site -> Markdown, or a picture, of everything that is made from the code, records and notebooks."""
    made = {**command_pages.pages(), **list_pages.pages(), **python_pages.pages(), **places.study_pages()}
    return {**made, **notebook_pages.pages()}


def on_config(config: Any) -> Any:
    """Completes the navigation: recipes that have no line in mkdocs.yml, notebooks, studies, pages of modules."""
    for section in config["nav"]:
        (title,) = section
        if title == "How to":
            section[title] += unlisted("how-to", section[title])
        if title == "Understand":
            place = section[title].index({"Published studies": "published/index.md"})
            pages = [{study: f"published/{study}/index.md"} for study in places.STUDIES]
            section[title][place] = {"Published studies": ["published/index.md", *pages]}
        if title == "Reference":
            section[title].append({"Python": python_pages.nav()})
    if notebook_pages.places():
        config["nav"].insert(2, {"Notebooks": notebook_pages.places()})
    return config


def unlisted(folder: str, listed: list[Any]) -> list[str]:
    """The documents of a folder of docs/ that the navigation does not have yet."""
    known = {place for entry in listed for place in (entry.values() if isinstance(entry, dict) else [entry])}
    found = sorted(path.relative_to(ROOT / "docs").as_posix() for path in ROOT.joinpath("docs", folder).glob("*.md"))
    return [place for place in found if place not in known]


def on_files(files: Files, *, config: Any) -> Files:
    """Adds what is not in docs/: what is made, and files of the repository."""
    for place, content in made_files().items():
        files.append(File.generated(config, place, content=content))
    for path, place in places.SHOWN.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them."""
    return places.relinked(markdown, page.file.src_uri)


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Formulas as MathML, which browsers draw without a script; long names may break."""
    return NAMES.sub(breaking, formulas.drawn(html))


def breaking(found: re.Match[str]) -> str:
    """A cell or a title whose names may break behind a _ or a dot."""
    if found[0].startswith("<h1"):
        start, end, name = found[0].partition(">")
        return start + end + name.replace(".", ".<wbr>")
    return re.sub(r"<code>\w+</code>", lambda name: name[0].replace("_", "_<wbr>"), found[0])


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """A page, with what it runs."""
    return at_hand(output, posixpath.dirname(page.url))


def on_post_template(output_content: str, *, template_name: str, config: Any) -> str:
    """A page of the theme's own, likewise."""
    return at_hand(output_content, posixpath.dirname(template_name))


def at_hand(html: str, folder: str) -> str:
    """The theme takes what lets a page that is opened as a file be searched from another host; here it is at hand."""
    return html.replace("https://unpkg.com/iframe-worker/shim", posixpath.relpath("made/worker.js", folder or "."))
