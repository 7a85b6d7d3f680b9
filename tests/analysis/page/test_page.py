"""The report as one page: what it says, what it refuses to let in, and how a real browser shows it."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from PIL import Image

from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.page import whole_page as pages
from nas_stability.analysis.report import Shown, write_report
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import TABLES
from tests.small import load

NASBENCH201 = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
NASBENCH1SHOT1 = "01110/00101/00010/00001/00000 input,conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,output"
EVIL = """<script>alert("x")</script>'&\\"""

VERDICT_COLUMNS = (
    "claim statement space statistic unit estimate low high interval n missing p threshold verdict seeds_needed reason"
)
NAN = math.nan
VERDICTS = [
    ("second", "It grows", "a", "ratio", "1", 2.0, 1.5, 2.5, "95 % BCa", 6, 0, 0.0004, 1.0, "supported", NAN, ""),
    ("second", "It grows", "b", "ratio", "1", 1.1, 0.5, 1.7, "95 % BCa", 5, 1, 0.4, 1.0, "undecided", 14, "too wide"),
    ("first", "It falls", "a", "slope", "points", -1.0, NAN, NAN, "", 2, 4, NAN, 0.0, "undecided", 3, "2 seeds"),
    ("third", "It is flat", "a", "loss", "points", NAN, NAN, NAN, "", 0, 6, NAN, NAN, "no data", NAN, "no landscape"),
    ("fourth", "It ends better", "a", "gain", "points", -3.0, -5.0, -1.0, "95 % BCa", 6, 0, 0.2, 0.0,
     "not supported", NAN, ""),
]  # fmt: skip


def write_study(
    folder: Path, seeds: int = 3, epochs: int = 4, methods: tuple[str, ...] = ("sdarts-rs", "darts"), text: str = ""
) -> Path:
    """A study of finished runs in both kinds of space; ``text`` is appended to everything that is a text."""
    rng = numpy.random.default_rng(0)
    for space, size in (("nasbench201", 6), ("nasbench1shot1-s1", 5)):
        for method in methods:
            for seed in range(seeds):
                write_run(folder, space, method, seed, epochs, size, text, rng)
    return folder


def write_run(
    folder: Path, space: str, method: str, seed: int, epochs: int, size: int, text: str, rng: numpy.random.Generator
) -> None:
    """One of its runs. Seed 0 of darts lacks the table's answer in its last epoch."""
    run = f"{space}-{method}-digits-s{seed}-00000000"
    place = folder / run
    place.mkdir(parents=True)
    epoch = numpy.arange(epochs + 1)
    values = numpy.sort(rng.normal(size=(epochs + 1, size)), axis=1)
    accuracy = 50 + 40 * rng.random(epochs + 1)
    if (method, seed) == ("darts", 0):
        accuracy[-1] = numpy.nan
    two_hundred_one = space == "nasbench201"
    rows = pandas.DataFrame(
        {
            "run": run + text,
            "space": space,
            "method": method + text,
            "data": "digits",
            "seed": seed,
            "epoch": epoch,
            "arch": (NASBENCH201 if two_hundred_one else "0123456789abcdef") + text,
            "cell": "" if two_hundred_one else NASBENCH1SHOT1 + text,
            "train_loss": numpy.where(epoch == 0, numpy.nan, 1.0),
            "valid_loss": 1.0,
            "valid_accuracy": 60.0 + 0.3 * epoch,
            "discrete_valid_accuracy": 20.0,
            "eigenvalue_max": values[:, -1],
            "spectral_norm": abs(values).max(1),
            "hessian_trace": values.sum(1),
            "radius": numpy.nan if method == "darts" else 0.3,
            "accuracy_cifar10_valid": accuracy,
            "accuracy_cifar10_test": numpy.nan,
            "seconds": 1.0,
        }
    )
    rows.to_csv(place / "epochs.csv", index=False)
    spectrum = pandas.DataFrame(
        {"epoch": epoch.repeat(size), "index": numpy.tile(range(size), epochs + 1), "eigenvalue": values.ravel()}
    )
    spectrum.to_csv(place / "spectrum.csv", index=False)
    groups = [(6, 5)] if two_hundred_one else [(4, 3), (1, 5), (1, 3), (1, 4)]
    numpy.savez(
        place / "alphas.npz",
        **{f"group_{index}": rng.normal(size=(epochs + 1, *shape)) for index, shape in enumerate(groups)},
    )
    spec = {"space": space, "method": method + text, "seed": seed, "epochs": epochs, "width": 4, "flip": False}
    spec["depth"] = 1 if two_hundred_one else 3
    record: dict[str, Any] = {
        "run": run + text,
        "schema": 1,
        "spec": spec,
        "versions": {"python": "3.11.7", "torch": "2.4.0" if seed else "2.5.0"},
        "git_commit": "0123abc" + text,
        "device": "cpu (x86_64)",
        "table": {"name": "nasbench201", "source": "package 0.2.0" + text, "sha256": "fe" * 32},
        "table_queries": epochs + 1,
        "table_missing": 1 if (method, seed) == ("darts", 0) else 0,
        "seconds": 90.5,
    }
    (place / "spec.json").write_text(json.dumps(spec))
    (place / "run.json").write_text(json.dumps(record))


def verdicts(text: str = "") -> pandas.DataFrame:
    """One verdict of each kind and an undecided one without interval."""
    frame = pandas.DataFrame(VERDICTS, columns=VERDICT_COLUMNS.split())
    named = ["claim", "statement", "space", "statistic", "unit", "interval", "reason"]
    frame[named] = frame[named] + text
    return frame


def image() -> bytes:
    """A PNG."""
    written = io.BytesIO()
    Image.new("RGB", (660, 500), "white").save(written, "png")
    return written.getvalue()


def render(study: Study, found: pandas.DataFrame | None, text: str = "") -> str:
    """The page with one figure and two tables, without drawing."""
    shown = {"hessian": Shown(6.6, 5, f"How it was made.{text}")}
    table = pandas.DataFrame({"space": ["a" + text], "fall": [1.5], "fall_low": [1.0], "fall_high": [2.0]})
    table["fall_missing"] = 2
    tables = {"results": table, "own": pandas.DataFrame({"method" + text: ["b"], "flat": [NAN]})}
    return pages.page(study, shown, tables, found, {"hessian": image()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("report") / "mine")


class Parsed(HTMLParser):
    """A page's tags with their attributes, its text, and its style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.style: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        (self.style if self.inside == "style" else self.text).append(data)

    @property
    def words(self) -> str:
        """All text with single spaces."""
        return " ".join(" ".join(self.text).split())


def test_the_order_of_the_page_and_of_its_verdicts(folder: Path) -> None:
    words = Parsed(render(load(folder), verdicts())).words
    body = words[words.index("Run by run") + 1 :]  # behind the table of contents
    order = ["What was run", "Missing values", "Verdicts", "It grows", "It falls", "It is flat", "It ends better"]
    order += ["Figures", "How it was made.", "Tables", "Run by run"]
    places = [body.index(name) for name in order]
    assert places == sorted(places)
    assert words.startswith("mine · nas-stability report")
    assert "12 finished runs of 4 epochs: darts and sdarts-rs in nasbench1shot1-s1 and nasbench201, seeds 0–2." in words  # noqa: RUF001
    assert "Verdicts" not in Parsed(render(load(folder), None)).words


def test_a_verdict_says_what_it_rests_on(folder: Path) -> None:
    words = Parsed(render(load(folder), verdicts())).words
    assert "✓ supported 1 ✗ not supported 1 ? undecided 2" in words
    assert (
        "✓ supported a 2.00 1 [1.50, 2.50] threshold 1.00 1 · interval: 95 % BCa · n = 6 · 0 missing · p < 0.001"
        in words
    )
    assert "n = 5 · 1 missing · p = 0.400 · seeds needed: 14 too wide" in words
    assert "? undecided a -1.00 points threshold 0.00 points · n = 2 · 4 missing · seeds needed: 3 2 seeds" in words
    assert re.search(r"no data a — n = 0 · 6 missing no landscape", words)


def test_what_was_run_is_told_with_what_varies(folder: Path) -> None:
    study = load(folder)
    words = Parsed(render(study, None)).words
    assert "3 fields that all runs share epochs 4 width 4 flip false" in words
    assert "device cpu (x86_64)" in words
    assert "python 3.11.7, torch 2.5.0 (4 runs) python 3.11.7, torch 2.4.0 (8 runs)" in words
    assert f"nasbench201, from package 0.2.0, SHA-256 {'fe' * 32}" in words
    assert "18 min 6 s over all runs, 1 min 30 s per run on average" in words
    design = pages.design(study, pages.varied_fields(study.runs))
    assert list(design.columns) == ["space", "method", "seeds", "runs", "time per run", "depth"]
    assert list(design["method"]) == ["darts", "sdarts-rs"] * 2
    assert list(design["depth"]) == ["3", "3", "1", "1"]


def test_missing_values_are_counted_and_shown(folder: Path) -> None:
    study = load(folder)
    found = pages.lacking(study)
    assert found.to_dict("records") == [
        {"space": space, "column": "accuracy_cifar10_valid", "epochs": 30, "missing": 1, "in runs": 1}
        for space in study.spaces
    ]
    words = Parsed(render(study, None)).words
    assert "nasbench201 : the table never answers for CIFAR-10 test." in words
    assert words.count("CIFAR-10 validation: final —,") == 2
    assert words.count("1 of 5 missing") == 2
    assert words.count("was asked for 5 architectures; it lacks 1.") == 2
    assert words.count("was asked for 5 architectures; it lacks 0.") == 10
    assert "1.50 [1.00, 2.00] 2 missing" in words
    assert "— is a number that is not known" in words


def test_a_study_without_tables_or_hessian_says_so(tmp_path: Path) -> None:
    for path in write_study(tmp_path / "bare", seeds=1).glob("*/epochs.csv"):
        frame = pandas.read_csv(path)
        empty = [name for name in frame.columns if name.startswith(("accuracy_", "eigenvalue", "spectral", "hessian"))]
        frame.assign(**dict.fromkeys(empty, numpy.nan)).to_csv(path, index=False)
        path.with_name("spectrum.csv").write_text("epoch,index,eigenvalue\n")
        record = json.loads(path.with_name("run.json").read_text())
        path.with_name("run.json").write_text(json.dumps({key: record[key] for key in ("run", "schema", "spec")}))
    words = Parsed(render(load(tmp_path / "bare"), None)).words
    assert "no epoch has a table accuracy" in words
    assert words.count("The Hessian was not measured in this run.") == 4
    assert words.count("The table never answered in this run.") == 4
    assert words.count("No table was asked in this run.") == 4
    assert "not recorded" in words


def test_nothing_that_a_file_says_becomes_markup(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / EVIL.replace("/", ""), text=EVIL))
    html = render(study, verdicts(EVIL), EVIL)
    parsed = Parsed(html)
    assert "<script" not in html.lower()
    assert "script" not in {tag for tag, _ in parsed.tags}
    for text in ("How it was made.", "It grows", "too wide", "darts", "0123abc", "package 0.2.0"):
        assert text + EVIL in " ".join(parsed.text), text
    known = {"alt", "aria-hidden", "aria-label", "aria-labelledby", "charset", "class", "content", "height", "href"}
    known |= {"http-equiv", "id", "lang", "name", "rel", "role", "scope", "src", "style", "tabindex", "width"}
    known |= {"viewbox", "d", "x", "y", "cx", "cy", "r", "rx"}
    assert {name for _, attributes in parsed.tags for name in attributes} <= known
    plain = Parsed(render(study, verdicts("x"), "x"))
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in plain.tags]


def test_the_page_needs_nothing_but_itself(folder: Path) -> None:
    parsed = Parsed(render(load(folder), verdicts()))
    addresses = [
        value
        for _, attributes in parsed.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset")
    ]
    assert len(addresses) > 10
    assert all(address and address.startswith(("#", "data:")) for address in addresses)
    names = {attributes.get("id") for _, attributes in parsed.tags}
    assert {address[1:] for address in addresses if address and address.startswith("#")} <= names
    style = "".join(parsed.style)
    assert style
    assert not re.search(r"url\(|@import|https?:", style)
    policy = next(attributes["content"] for tag, attributes in parsed.tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not {tag for tag, _ in parsed.tags} & {"script", "iframe", "object", "embed", "video", "audio", "form"}


def test_who_does_not_see_the_pictures_is_told_them(folder: Path) -> None:
    parsed = Parsed(render(load(folder), verdicts()))
    tags = [tag for tag, _ in parsed.tags]
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert tags.count(landmark) == 1, landmark
    assert next(attributes["alt"] for tag, attributes in parsed.tags if tag == "img") == "How it was made."
    for tag, attributes in parsed.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (
                attributes.get("role"),
                bool(attributes["aria-label"]),
            ) == (
                "img",
                True,
            )
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    texts = " ".join(attributes.get("aria-label") or "" for tag, attributes in parsed.tags if tag == "svg")
    assert "CIFAR-10 validation: no final value, 1 of 5 values missing" in texts
    assert "conv 3x3 from 0 to 1; skip from 0 to 2; none from 1 to 2; avg pool 3x3 from 0 to 3" in texts


def test_the_same_study_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mine")
    assert render(load(folder), verdicts()) == render(load(tmp_path / "mine"), verdicts())


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole report, its verdicts with long words among them."""
    report = write_report(load(folder), tmp_path_factory.mktemp("written"))
    found = verdicts()
    found.loc[1, "reason"] = "see the folder results/" + "a-very-long-name-without-a-space-" * 6
    return pages.write_page(report, found)


def test_the_report_writes_it_with_every_figure_and_table(written: Path) -> None:
    assert written.name == "report.html"
    parsed = Parsed(written.read_text(encoding="utf-8"))
    sources = [attributes["src"] or "" for tag, attributes in parsed.tags if tag == "img"]
    images = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources]
    drawn = [path for name in FIGURES if (path := written.with_name(f"{name}.png")).exists()]
    assert len(drawn) > 5
    assert images == [path.read_bytes() for path in drawn]
    for name, tabulate in TABLES.items():
        assert (tabulate.__doc__ or "?").splitlines()[0] in parsed.words
        assert f"{name}.csv" in parsed.words


def test_sixty_runs_of_a_hundred_epochs_are_quick_and_small(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "large", seeds=10, epochs=100, methods=("darts", "sdarts-rs", "sdarts-adv")))
    assert len(study.runs) == 60
    began = time.process_time()
    html = render(study, verdicts())
    assert time.process_time() - began < 15
    assert len(html.encode()) < 10_000_000


# In a browser

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
    """Debian's Chromium without a window; nothing is downloaded."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("there is no chromium or no chromedriver here")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_whole(browser: Any, written: Path, width: int, scheme: str, tmp_path: Path) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(written.as_uri())
    assert browser.title == "mine · nas-stability report"
    for opened in (False, True):
        if opened:
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
