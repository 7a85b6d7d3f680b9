"""The site as it is built: whole, without another host, searchable as files, and no wider than a phone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nas_stability.harness.specs.spec import FIELDS
from tests.browsers import OUTSIDE, opened, set_width

pytestmark = pytest.mark.slow  # the site is built for it

ROOT = Path(__file__).parents[2]
PHONE = 400


class Addresses(HTMLParser):
    """Every address that a page names: what it loads, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data") and value]


def addresses(html: str) -> list[str]:
    """The addresses of a page."""
    parser = Addresses()
    parser.feed(html)
    return parser.found


def test_no_page_names_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        others = [one for one in addresses(page.read_text("utf-8")) if re.match(r"([a-z]+:)?//", one)]
        assert not others, page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", style.read_text("utf-8")), style


def test_an_address_of_another_host_would_be_found() -> None:
    assert addresses('<p><script src="https://a.b/c"></script><a href="//d/e">x</a>') == ["https://a.b/c", "//d/e"]


def test_every_page_of_the_navigation_and_every_file_that_a_page_names_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        for one in addresses(page.read_text("utf-8")):
            path = one.partition("#")[0].partition("?")[0]
            if path and page.name != "404.html" and not re.match(r"[a-z]+:", path):
                assert (page.parent / path).exists(), (page.relative_to(site), one)


def test_what_makes_the_pages_is_not_on_the_site(site: Path) -> None:
    assert sorted(path.name for path in (site / "made").iterdir()) == ["site.css", "worker.js"]
    assert not list(site.rglob("*.py"))


def test_formulas_are_drawn_without_a_script(site: Path) -> None:
    page = (site / "understand" / "method.html").read_text("utf-8")
    assert page.count("<math") > 20
    shown = re.sub(r"<math.*?</math>", "", page, flags=re.DOTALL)
    assert "arithmatex" not in shown
    assert not re.search(r"\\(mu|alpha|text|frac|operatorname)", page)


def test_every_field_and_public_name_can_be_searched(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert {f"reference/fields.html#{name}" for name in FIELDS} <= places
    assert "reference/python/nas_stability.html#nas_stability.api.run" in places
    assert (
        "reference/python/harness.methods.perturbations.html#nas_stability.harness.methods.perturbations.random"
        in places
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser of this module's."""
    with opened(tmp_path_factory.mktemp("profile")) as found:
        yield found


PAGES = (
    *("index", "start", "how-to/own-data", "understand/method", "understand/verdicts", "understand/shipped"),
    *("reference/fields", "reference/columns", "reference/command-line", "reference/python/nas_stability", "fidelity"),
    *("published/index", "published/quick/index"),
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_no_wider_than_a_phone(browser: Any, site: Path, page: str) -> None:
    set_width(browser, PHONE)
    browser.get((site / f"{page}.html").as_uri())
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= PHONE
    content = "return [...document.querySelectorAll('.md-content *')].length"
    assert browser.execute_script(content) > 20
    assert [html for html in browser.execute_script(OUTSIDE) if "md-content" in html] == []
    shown = "return [...document.querySelectorAll('.md-content img')].map(e => [e.complete && e.naturalWidth, e.src])"
    assert [source for width, source in browser.execute_script(shown) if not width] == []
    assert browser.get_log("browser") == []


def test_a_page_that_is_opened_as_a_file_is_searched(browser: Any, site: Path) -> None:
    set_width(browser, 1280)
    browser.get((site / "start.html").as_uri())
    browser.execute_script("document.querySelector('[for=__search]').click()")
    deadline = time.monotonic() + 20
    found: list[str] = []
    query = browser.find_element("css selector", "input.md-search__input")
    while not found and time.monotonic() < deadline:
        browser.execute_script("arguments[0].value = ''; arguments[0].focus()", query)
        query.send_keys("attack_scale")
        time.sleep(0.5)
        found = [e.get_attribute("href") for e in browser.find_elements("css selector", ".md-search-result__link")]
    assert any(address.endswith("reference/fields.html#attack_scale") for address in found)
