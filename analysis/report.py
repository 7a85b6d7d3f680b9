"""The report of a study: figures as PNG and PDF, the numbers drawn as CSV; tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from tqdm import tqdm

from analysis import tables
from analysis.panels import PAPER, SCREEN, Drawn, style
from analysis.plots import FIGURES
from analysis.study import Study, Unusable, load
from analysis.tables import NOTES, TABLES

QUIET = 5.0
"""Seconds between two lines of progress in a log."""


class Report(NamedTuple):
    """What was written.

    Attributes:
        study: that was read.
        folder: of the report.
        files: in it.
        drawn: the figures by name.
        tables: the tables by name.
        absent: figures that the study has no data for.
    """

    study: Study
    folder: Path
    files: tuple[Path, ...]
    drawn: Mapping[str, Drawn]
    tables: Mapping[str, pandas.DataFrame]
    absent: tuple[str, ...]


def write_report(folder: Path, out: Path | None = None, only: str | None = None, paper: bool = False) -> Report:
    """Draws the figures and tables of a study's folder; progress goes to standard error.

    Args:
        folder: of the study, or of one run.
        out: where to write; STUDY/report by default.
        only: name of one figure or table.
        paper: column width and serif text.

    Raises:
        Unusable: no finished run, a damaged file, or an unknown name.
    """
    known = [*FIGURES, *TABLES]
    if only is not None and only not in known:
        near = difflib.get_close_matches(only, known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise Unusable(f"unknown figure or table {only!r}{hint} (known: {', '.join(known)})")
    study = load(folder)
    place = out or folder / "report"
    place.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    figures: dict[str, Drawn] = {}
    tabulated: dict[str, pandas.DataFrame] = {}
    absent: list[str] = []
    with matplotlib.rc_context(style(paper)):
        for name in progress([name for name in known if only in (None, name)]):
            if name in TABLES:
                tabulated[name] = TABLES[name](study)
                files += write_table(tabulated[name], place, name)
            elif drawn := FIGURES[name](study, PAPER if paper else SCREEN):
                figures[name] = drawn
                files += write_figure(drawn, place, name)
            else:
                absent.append(name)
    return Report(study, place, tuple(files), figures, tabulated, tuple(absent))


def progress(names: Sequence[str]) -> Iterator[str]:
    """The names, with a bar on a terminal and elsewhere a line at most every QUIET seconds."""
    if sys.stderr.isatty():
        yield from tqdm(names, desc="report", unit="figure")
        return
    began = printed = time.monotonic()
    for done, name in enumerate(names):
        if time.monotonic() - printed >= QUIET:
            printed = time.monotonic()
            print(f"report: {done} of {len(names)}, next {name}, {printed - began:.0f} s", file=sys.stderr, flush=True)
        yield name


def write_figure(drawn: Drawn, place: Path, name: str) -> list[Path]:
    """A figure as PNG and PDF, both without the time they were made, and its numbers as CSV.

    The panels are laid out once for both, and each canvas draws once (``savefig`` lays out and draws twice per file).
    """
    paths = [place / f"{name}.{kind}" for kind in ("png", "pdf", "csv")]
    drawn.figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
    screen: Any = FigureCanvasAgg(drawn.figure)
    screen.print_png(paths[0])
    drawn.figure.set_layout_engine("none")
    vector: Any = FigureCanvasPdf(drawn.figure)
    vector.print_pdf(paths[1], metadata={"CreationDate": None})
    drawn.numbers.to_csv(paths[2], index=False)
    return paths


def write_table(table: pandas.DataFrame, place: Path, name: str) -> list[Path]:
    """A table as CSV (numbers), Markdown (readable) and LaTeX (booktabs)."""
    paths = [place / f"{name}.{kind}" for kind in ("csv", "md", "tex")]
    table.to_csv(paths[0], index=False)
    paths[1].write_text(tables.markdown(table, NOTES[name]))
    paths[2].write_text(tables.latex(table, NOTES[name]))
    return paths


def summary(study: Study) -> pandas.DataFrame:
    """One row per space and method, means over seeds: final and best accuracy, fall, largest eigenvalue."""
    return tables.summary(study)
