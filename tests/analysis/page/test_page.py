"""The report as one page: what it says, and what it refuses to let in."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.page import whole_page as pages
from nas_stability.analysis.summaries import TABLES
from nas_stability.harness.specs.claimed import Counting
from tests.analysis.page.small_study import EVIL, render, verdicts, write_study
from tests.small import load


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
    order = [
        "Verdicts",
        "Decided",
        "It grows",
        "It ends better",
        "Undecided or without data: 3",
        "It falls",
        "It is flat",
    ]
    order += ["What was run", "Missing values", "Figures", "How it was made.", "Tables", "Run by run"]
    places = [body.index(name) for name in order]
    assert places == sorted(places)
    assert words.startswith("mine · nas-stability report")
    assert "12 finished runs of 4 epochs: darts and sdarts-rs in nasbench1shot1-s1 and nasbench201, seeds 0–2." in words  # noqa: RUF001
    assert "Verdicts" not in Parsed(render(load(folder), None)).words


def test_claims_that_count_come_first_whatever_came_of_them(folder: Path) -> None:
    study, found = load(folder), verdicts()
    found["counts"] = ["yes" if name == "first" else "exploratory" for name in found["claim"]]
    counting = Counting("Does it fall?", ("first",))
    html = render(dataclasses.replace(study, counting=counting), found)
    words = Parsed(html).words
    body = words[words.index("Run by run") + 1 :]
    order = ["Does it fall?", "Claims that count", "It falls", "Exploratory, decided", "It grows", "It ends better"]
    order += ["Exploratory, undecided or without data: 2", "It is flat", "What was run"]
    places = [body.index(name) for name in order]
    assert places == sorted(places)
    folded = html[html.index("<details>") : html.index("</details>")]
    assert "It is flat" in folded
    assert "It falls" not in folded


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_sixty_runs_of_a_hundred_epochs_are_quick_and_small(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "large", seeds=10, epochs=100, methods=("darts", "sdarts-rs", "sdarts-adv")))
    assert len(study.runs) == 60
    began = time.process_time()
    html = render(study, verdicts())
    assert time.process_time() - began < 15
    assert len(html.encode()) < 10_000_000
