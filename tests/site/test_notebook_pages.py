"""A notebook's page has its words, its code and what it gave, and nothing that runs."""

from __future__ import annotations

import base64
from typing import Any

PIXEL = base64.b64encode(b"a picture").decode()


def cell(kind: str, source: str | list[str], *outputs: dict[str, Any]) -> dict[str, Any]:
    """A cell as a notebook stores it."""
    return {"cell_type": kind, "source": source, "outputs": list(outputs)}


def shown(**data: str | list[str]) -> dict[str, Any]:
    """A value or figure as a notebook stores it."""
    return {"output_type": "display_data", "data": {name.replace("_", "/"): value for name, value in data.items()}}


def page(made: type, *cells: dict[str, Any]) -> dict[str, str | bytes]:
    """The page and pictures of a notebook of some cells."""
    return made.notebook_pages.page("mine", {"cells": list(cells)})


def test_words_and_code_stand_in_their_order_behind_the_heading(made: type) -> None:
    found = page(made, cell("markdown", ["# Mine\n", "\n", "Why."]), cell("code", "x = 1\n"), cell("code", ""))
    assert found == {
        "notebooks/mine.md": "# Mine\n\nA notebook as it was run: [mine.ipynb](mine.ipynb).\n\nWhy.\n\n"
        "```python\nx = 1\n```\n"
    }


def test_a_picture_is_a_file_beside_the_page(made: type) -> None:
    first = cell("code", "draw()", shown(image_png=PIXEL, text_plain="<Figure>"))
    found = page(made, cell("markdown", "# A"), first, cell("code", "again()", shown(image_png=[PIXEL, "\n"])))
    assert "![figure](mine-1.png)" in found["notebooks/mine.md"]
    assert "![figure](mine-2.png)" in found["notebooks/mine.md"]
    assert found["notebooks/mine-1.png"] == found["notebooks/mine-2.png"] == b"a picture"


def test_a_table_keeps_its_cells_and_loses_its_looks_and_scripts(made: type) -> None:
    style = "<div>\n<style scoped>\n a {}\n</style>\n"
    html = f'{style}<table border="1" class="dataframe">\n  <tr style="x">\n\n    <td>5</td></tr></table>'
    found = page(
        made,
        cell("markdown", "# A"),
        cell("code", "t", shown(text_html=html + "<script>run()</script>", text_plain="5")),
    )
    assert "<div>\n<table>\n<tr>\n<td>5</td></tr></table>" in found["notebooks/mine.md"]
    assert "run()" not in found["notebooks/mine.md"]


def test_text_errors_and_ticks_are_shown_as_they_are(made: type) -> None:
    printed = {"output_type": "stream", "name": "stdout", "text": ["one\n", "```\n"]}
    failed = {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["\x1b[0;31mE\x1b[0m: no"]}
    text = page(made, cell("markdown", "# A"), cell("code", "p()", printed, failed))["notebooks/mine.md"]
    assert "````text\none\n```\n````" in text
    assert "```text\nE: no\n```" in text


def test_the_stored_notebooks_have_pages(made: type) -> None:
    assert {path.stem for path in made.notebook_pages.notebooks()} == {
        place.removeprefix("notebooks/").removesuffix(".md") for place in made.notebook_pages.places()
    }
    pages = made.notebook_pages.pages()
    assert all(str(pages[place]).startswith("# ") for place in made.notebook_pages.places())
