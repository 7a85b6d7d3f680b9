"""The report as a real browser shows it: nothing beyond the window, nothing faint, links without a script."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from tests.browsers import OUTSIDE, opened, set_width

pytestmark = pytest.mark.slow  # a whole report is drawn for it

FAINT = """
const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
  .getContext("2d", {willReadFrequently: true});
const rgb = colour => {
  context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour[3] === 255) return colour;
  }
};
return [...document.body.querySelectorAll("*")].filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) && element.getClientRects().length
).map(element => {
  const style = getComputedStyle(element);
  const [a, b] = [light(rgb(element.closest("svg") ? style.fill : style.color)), light(behind(element))];
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 120)];
}).filter(([contrast]) => contrast < 4.5);
"""
"""Texts whose contrast with what is behind them is below WCAG 2.2's 4.5 (success criterion 1.4.3)."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser of this module's."""
    with opened(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_whole(browser: Any, written: Path, width: int, scheme: str, tmp_path: Path) -> None:
    set_width(browser, width)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(written.as_uri())
    assert browser.title == "mine · nas-stability report"
    for unfolded in (False, True):
        if unfolded:
            browser.execute_script("for (const e of document.querySelectorAll('details')) e.open = true")
        assert browser.execute_script("return innerWidth") == width
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
        assert browser.execute_script(OUTSIDE) == []
        assert browser.execute_script(FAINT) == []
    loaded = browser.execute_script("return [...document.images].map(e => e.complete && e.naturalWidth)")
    assert len(loaded) == len(list(written.parent.glob("*.png"))) > 5
    assert min(loaded) > 400
    height = browser.execute_script("return document.scrollingElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 4000), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    (tmp_path / f"{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
    with Image.open(tmp_path / f"{width}-{scheme}.png") as picture:
        assert picture.size == (width, clip["height"])
        darkness = numpy.asarray(picture.convert("L")).mean()
    assert darkness > 200 if scheme == "light" else darkness < 100
    assert browser.get_log("browser") == []


def test_a_link_to_a_run_opens_it_without_a_script(browser: Any, written: Path) -> None:
    browser.get(written.as_uri())
    listed = next(e for e in browser.find_elements("css selector", "summary") if e.text == "Every run")
    listed.click()
    link = browser.find_element("css selector", "tbody th a")
    assert browser.find_elements("css selector", ".run[open]") == []
    link.click()
    opened = browser.find_element("css selector", ".run[open] .body")
    assert opened.get_attribute("id") == f"run-{link.text}"
    top = "return arguments[0].getBoundingClientRect().top"
    deadline = time.monotonic() + 10  # the browser scrolls when it next draws
    while not -1 <= browser.execute_script(top, opened) < 900:
        assert time.monotonic() < deadline
