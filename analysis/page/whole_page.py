"""The report of a study as one HTML file that needs no network, no script and no other file.

What is shown is decided here, how in page.html.jinja and page.css beside this module. Everything that comes from a file
is escaped by the template; the small pictures are drawn by svg.py. The same study gives the same bytes.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jinja2
import pandas

from nas_stability.analysis import report
from nas_stability.analysis.claims.judging import judge
from nas_stability.analysis.figures.offered import figures
from nas_stability.analysis.figures.panels import colour
from nas_stability.analysis.page.claim_cards import counts, parts
from nas_stability.analysis.page.run_pages import run_pages
from nas_stability.analysis.page.settings import (
    common_fields,
    design,
    every_run,
    lacking,
    lead,
    never_answered,
    provenance,
    varied_fields,
)
from nas_stability.analysis.page.texts import TextTable, grid
from nas_stability.analysis.report import Report, Shown
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import OCCASIONAL, TABLES, VARIANTS
from nas_stability.benchmarks import files

HERE = Path(__file__).parent

CSS_DPI = 96
"""CSS pixels per inch: the size at which a figure is shown, whatever its PNG has."""


class Picture(NamedTuple):
    """A figure of the report: name, heading, PNG as a data address, size in CSS pixels, caption."""

    name: str
    heading: str
    address: str
    width: int
    height: int
    caption: str


class ReportTable(NamedTuple):
    """A table of the report: name, heading, how it was made, and the table."""

    name: str
    heading: str
    caption: str
    grid: TextTable


def page(
    study: Study,
    shown: Mapping[str, Shown],
    tables: Mapping[str, pandas.DataFrame],
    verdicts: pandas.DataFrame | None,
    images: Mapping[str, bytes],
    failed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The report as HTML.

    Args:
        study: that is reported on.
        shown: figures by name, in the order in which they are shown.
        tables: tables by name, likewise; NAME_low, NAME_high and NAME_missing belong to the column NAME.
        verdicts: one row per claim, space and variant, as claims.judge gives them; None leaves the section out.
        images: PNG of each figure: as the report wrote it, since drawing takes longer than all the rest.
        failed: figures of plug-ins that broke: name -> what was raised.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    varied = varied_fields(study.runs)
    return environment.get_template("page.html.jinja").render(
        title=study.folder.resolve().name,
        lead=lead(study),
        unfinished=study.unfinished,
        verified=study.verified,
        remarks=study.remarks,
        colours=[colour(method, study.methods) for method in study.methods],
        design=grid(design(study, varied)),
        common=common_fields(study.runs, varied),
        every_run=every_run(study, varied),
        provenance=provenance(study.runs),
        lacking=grid(lacking(study)),
        never=never_answered(study),
        verdict_counts=[] if verdicts is None else counts(verdicts),
        claims=None if verdicts is None else parts(verdicts),
        question=study.counting.question,
        pictures=[picture(name, figure, images[name]) for name, figure in shown.items()],
        absent=[name for name in figures() if name not in shown and name not in failed],
        failed=failed,
        tables=[told(name, table) for name, table in tables.items()],
        spaces=run_pages(study),
    )


def heading(name: str) -> str:
    """A name of a figure or table as a heading."""
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def picture(name: str, shown: Shown, image: bytes) -> Picture:
    """A figure as the page holds it."""
    address = "data:image/png;base64," + base64.b64encode(image).decode()
    return Picture(
        name, heading(name), address, round(shown.width * CSS_DPI), round(shown.height * CSS_DPI), shown.caption
    )


def told(name: str, table: pandas.DataFrame) -> ReportTable:
    """A table as the page holds it; its caption is what its function says of itself."""
    made = inspect.getdoc(tables[name]) if name in (tables := {**TABLES, **OCCASIONAL}) else None
    caption = (made or "").partition("\n\n")[0]
    return ReportTable(name, heading(name), f"{caption} {VARIANTS}" if "variant" in table else caption, grid(table))


def write_page(written: Report, verdicts: pandas.DataFrame | None) -> Path:
    """Writes report.html beside the figures and tables that were written; returns its path."""
    images = {name: (written.folder / f"{name}.png").read_bytes() for name in written.shown}
    path = written.folder / "report.html"
    files.write(path, page(written.study, written.shown, written.tables, verdicts, images, written.failed))
    return path


def write_report_and_page(
    study: Study,
    out: Path | None = None,
    only: str | None = None,
    paper: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> Report:
    """``write_report``, and the page beside what it wrote, unless that is one figure or table.

    Args:
        study, out, only, paper, workers, quiet: as of ``write_report``.

    Raises:
        BadInput: as ``write_report`` and ``judge``.
    """
    verdicts = judge(study) if only is None else None  # first: what cannot be judged is told before anything is drawn
    written = report.write_report(study, out=out, only=only, paper=paper, workers=workers, quiet=quiet)
    if verdicts is None:
        return written
    path = write_page(written, verdicts)
    return written._replace(files=(*written.files, path), page=path)
