"""Links between documents, in the repository and as the site has them; nothing public is without a docstring."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

import pytest

from tests.architecture import modules

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "results/published/README.md")),
    *sorted(ROOT.joinpath("docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def links_of(text: str) -> list[str]:
    """The targets of a document's links that lead to files."""
    return re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)", BLOCK.sub("", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_or_to_a_page_that_is_made(document: Path, made: type) -> None:
    pages = {**made.command_pages.pages(), **made.list_pages.pages(), **made.python_pages.pages()}
    known = {f"docs/{place}" for place in pages}
    here = document.relative_to(ROOT).parent.as_posix()
    for target in links_of(document.read_text("utf-8")):
        path = posixpath.normpath(posixpath.join(here, target))
        assert (ROOT / path).exists() or path in known, target


def test_the_readme_leads_to_files_of_the_repository_alone() -> None:
    """It is read where no page is made."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(links_of(text)) > 20
    assert all((ROOT / target).exists() for target in links_of(text))


def test_the_readme_is_short_and_answers_in_its_order() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 90
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Two commands", "Ten lines of Python", "Ten lines of shell", "Where to go on", "Cite"]
    for language in ("python", "sh"):
        (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        assert len([line for line in block.splitlines() if line.strip()]) == 10


@pytest.mark.parametrize(
    ("place", "link", "there"),
    [
        ("index.md", "[data](docs/how-to/own-data.md)", "[data](how-to/own-data.md)"),
        ("index.md", "![f](results/published/quick/overview.png)", "![f](published/quick/overview.png)"),
        ("index.md", "[C](CONTRIBUTING.md)", "[C](contributing.md)"),
        ("index.md", "[L](LICENSE)", "L"),
        ("index.md", "[gone](docs/gone.txt)", "[gone](gone.txt)"),
        ("index.md", "[gone](gone.txt)", "[gone](gone.txt)"),
        ("how-to/tables.md", "[far](../../results/tables/README.md)", "[far](../understand/tables.md)"),
        ("how-to/report.md", "[c](../../results/README.md#report)", "[c](../reference/columns.md#report)"),
        ("understand/method.md", "[t](../../results/published/theory)", "[t](../published/theory/index.md)"),
        ("published/index.md", "[quick](quick)", "[quick](quick/index.md)"),
        ("published/theory/index.md", "[columns](../../README.md)", "[columns](../../reference/columns.md)"),
        ("published/theory/index.md", "![m](smoothing.png)", "![m](smoothing.png)"),
        ("start.md", "[out](https://example.org/x)", "[out](https://example.org/x)"),
        ("start.md", "[`a[0]`](reference/fields.md#seed)", "[`a[0]`](reference/fields.md#seed)"),
        ("start.md", "\n```\n[C](../README.md)\n```\n", "\n```\n[C](../README.md)\n```\n"),
    ],
)
def test_a_link_of_the_repository_leads_to_the_sites_page(place: str, link: str, there: str, made: type) -> None:
    assert made.places.relinked(f"See {link}, and", place) == f"See {there}, and"


def test_a_published_study_has_its_verdicts_figures_and_numbers_on_its_page(made: type) -> None:
    page = made.places.study_page("quick")
    folder = ROOT / "results" / "published" / "quick"
    assert (folder / "claims.txt").read_text("utf-8").strip() in page
    assert "does the Hessian stay smaller" in page
    for path in (*folder.glob("*.png"), *folder.glob("*.csv")):
        assert f"]({path.name})" in page, path.name


OVERRIDDEN = ("forward", "backward", "find_class", "error")
"""Of PyTorch's functions, pickle's readers and argparse's parser: what they do is said there."""


def without_docstring(path: Path) -> list[str]:
    """The public module, classes, functions and methods of a file that nothing is said of.

    A protocol's properties are said in its docstring.
    """
    found: list[str] = []

    def look(node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str) -> None:
        if ast.get_docstring(node) is None:
            found.append(name)
        if isinstance(node, ast.FunctionDef):
            return
        protocol = isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        overrides = isinstance(node, ast.ClassDef) and node.bases and not protocol
        for inner in node.body:
            if not isinstance(inner, ast.ClassDef | ast.FunctionDef) or inner.name.startswith("_"):
                continue
            said = (protocol and "property" in map(ast.unparse, inner.decorator_list)) or (
                overrides and inner.name in OVERRIDDEN
            )
            if not said:
                look(inner, f"{name}.{inner.name}")

    look(ast.parse(path.read_text("utf-8")), path.stem)
    return found


def test_every_public_name_has_a_docstring() -> None:
    missing = {name: without_docstring(path) for name, path in modules().items()}
    assert len(missing) > 150
    assert not {name: places for name, places in missing.items() if places}


def test_what_has_no_docstring_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '"""A."""\nclass B:\n    """B."""\n    def c(self): ...\n    def error(self): ...\ndef d(): ...\n'
        "def _e(): ...\n"
        'class F(Protocol):\n    """F."""\n    @property\n    def g(self): ...\n    def h(self): ...\n'
        "class I(Parser):\n    def error(self): ...\n"
    )
    assert without_docstring(tmp_path / "a.py") == ["a.B.c", "a.B.error", "a.d", "a.F.h", "a.I"]
