"""A real browser for tests of pages, and what it is asked."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync"
)

OUTSIDE = """
const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
const inside = element => { for (let e = element.parentElement; e; e = e.parentElement) if (scrolls(e)) return true; };
return [...document.body.querySelectorAll("*")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5) && !inside(element);
}).map(element => element.outerHTML.slice(0, 200));
"""
"""Elements that reach beyond the window and are not in a box that scrolls."""


@contextlib.contextmanager
def opened(profile: Path) -> Iterator[Any]:
    """Debian's Chromium without a window, with a profile of its own; nothing is downloaded. Without one: skips."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("there is no chromium or no chromedriver here")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


def set_width(browser: Any, width: int) -> None:
    """Makes the window so many pixels wide, however narrow."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
