"""The report of a study: figures as PNG and PDF, the numbers drawn as CSV; tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import functools
import io
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib
import pandas
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from tqdm import tqdm

from nas_stability.analysis import escape, summaries, table_texts
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.figures.layout import note
from nas_stability.analysis.figures.offered import figures
from nas_stability.analysis.figures.panels import PAPER, SCREEN, DrawFigure, Drawn, style
from nas_stability.analysis.study import Study
from nas_stability.analysis.summaries import NOTES, OCCASIONAL
from nas_stability.analysis.summaries import TABLES as OF_SEARCHES
from nas_stability.benchmarks import files, plugins
from nas_stability.benchmarks.errors import BadInput, unknown
from nas_stability.benchmarks.spaces.facts import FACTS, Facts
from nas_stability.benchmarks.workers import Crew, Lost
from nas_stability.harness.records.outputs import REPORT, refuse_output

TABLES = {**OF_SEARCHES, **OCCASIONAL}

QUIET = 5.0
"""Seconds between two lines of progress in a log."""


class Shown(NamedTuple):
    """What a page needs to know of a figure besides its PNG.

    Attributes:
        width: in inches.
        height: in inches.
        caption: how its numbers were made.
    """

    width: float
    height: float
    caption: str


class Piece(NamedTuple):
    """One figure or table as it was written; no files where the study has no data for it, or where it ``failed``."""

    files: tuple[Path, ...] = ()
    shown: Shown | None = None
    table: pandas.DataFrame | None = None
    failed: str = ""


class Report(NamedTuple):
    """What was written.

    Attributes:
        study: that was read.
        folder: of the report.
        files: in it.
        shown: the figures by name.
        tables: the tables by name.
        absent: figures that the study has no data for.
        failed: figures of plug-ins that broke: name -> what was raised.
        page: the page, where one was written.
    """

    study: Study
    folder: Path
    files: tuple[Path, ...]
    shown: Mapping[str, Shown]
    tables: Mapping[str, pandas.DataFrame]
    absent: tuple[str, ...]
    failed: Mapping[str, str] = MappingProxyType({})
    page: Path | None = None


def check_name(only: str | None) -> None:
    """Passes the name of a figure or table, and None.

    Raises:
        BadInput: another one, or figures of plug-ins that cannot be called what they are.
    """
    known = [*figures(), *TABLES]
    if only is not None and only not in known:
        raise unknown("figure or table", only, known)


def write_report(
    study: Study,
    out: Path | None = None,
    only: str | None = None,
    paper: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> Report:
    """Draws the figures and tables of a study; progress goes to standard error.

    A figure of a plug-in that breaks stops no other one, unless what it raises is BadInput.

    Args:
        study: to draw.
        out: where to write; STUDY/report by default.
        only: name of one figure or table.
        paper: column width and serif text.
        workers: processes that draw; 1 draws in this one.
        quiet: say nothing meanwhile.

    Raises:
        BadInput: an unknown name, ``out`` is a place of records, or a plug-in's figures are not what they are to be.
    """
    check_name(only)
    if out is not None:
        refuse_output(out)
    place = out or study.folder / REPORT
    place.mkdir(parents=True, exist_ok=True)
    files.clear_parts(place)
    wanted = [name for name in (*figures(), *TABLES) if only in (None, name)]
    one = functools.partial(write, study, place, paper)
    drawn = draw(wanted, one, workers, functools.partial(write_elsewhere, one, loaded_plugins()))
    written = dict(drawn if quiet else progress(drawn, len(wanted)))
    pieces = {name: written[name] for name in wanted}
    return Report(
        study,
        place,
        tuple(file for piece in pieces.values() for file in piece.files),
        {name: piece.shown for name, piece in pieces.items() if piece.shown},
        {name: piece.table for name, piece in pieces.items() if piece.table is not None},
        tuple(name for name, piece in pieces.items() if name not in TABLES and not piece.files and not piece.failed),
        {name: piece.failed for name, piece in pieces.items() if piece.failed},
    )


def draw(
    wanted: Sequence[str],
    one: Callable[[str], Piece],
    workers: int,
    elsewhere: Callable[[str], Piece] | None = None,
) -> Iterator[tuple[str, Piece]]:
    """Each figure and table with its name, as they come; what a killed worker left is drawn in this process.

    Args:
        wanted: names.
        one: of a name, in this process.
        workers: that draw.
        elsewhere: of a name, in a worker; ``one`` by default.
    """
    if min(workers, len(wanted)) <= 1:
        yield from ((name, one(name)) for name in wanted)
        return
    left = []
    with Crew(elsewhere or one, min(workers, len(wanted))) as crew:
        for answer in crew.carry_out(wanted):
            if isinstance(answer.error, Lost):
                left.append(wanted[answer.task])
                reason = answer.error
            else:
                yield wanted[answer.task], answer.result()
    if left:
        logging.warning("%s: %s: drawn in this process", ", ".join(left), reason)
    yield from ((name, one(name)) for name in left)


def write(study: Study, place: Path, paper: bool, name: str) -> Piece:
    """One figure or table by its name."""
    if name in TABLES:
        table = TABLES[name](study)
        if table is None:
            return Piece()
        return Piece(write_table(table, place, name, study.facts), table=table)
    with matplotlib.rc_context(style(paper)):
        made = rendered(study, FIGURES[name], paper) if name in FIGURES else tried(study, name, paper)
    if made is None or isinstance(made, str):
        return Piece(failed=made or "")
    return Piece(write_contents(made.files, place, name), made.shown)


def loaded_plugins() -> str:
    """The plug-ins of this process that figures may be of, or take titles of methods from, as a record has them."""
    shown = ("figures", "methods", "perturbations")
    return plugins.written(one for one in plugins.LOADED.values() if any(kind in one.offers for kind in shown))


def write_elsewhere(one: Callable[[str], Piece], recorded: str, name: str) -> Piece:
    """One figure or table in a worker, which has loaded nothing yet.

    Raises:
        BadInput: a plug-in is not what it was when this process loaded it.
    """
    plugins.load_recorded(recorded)
    return one(name)


class Rendered(NamedTuple):
    """A figure as the ``contents`` of its files, and what a page needs to know of it."""

    files: tuple[bytes, bytes, str]
    shown: Shown


def rendered(study: Study, draw: DrawFigure, paper: bool) -> Rendered | None:
    """A figure; None where the study has no data for it."""
    drawn = draw(study, PAPER if paper else SCREEN)
    if drawn is None:
        return None
    width, height = drawn.figure.get_size_inches()
    return Rendered(contents(drawn), Shown(width, height, drawn.caption + note(study)))


def tried(study: Study, name: str, paper: bool) -> Rendered | str | None:
    """A figure of a plug-in, or what it raised, on one line.

    Raises:
        BadInput: as the figure does.
    """
    try:
        return rendered(study, figures()[name], paper)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def progress(pieces: Iterable[tuple[str, Piece]], total: int) -> Iterator[tuple[str, Piece]]:
    """The pieces as they come, with a bar on a terminal and elsewhere a line at most every QUIET seconds."""
    if sys.stderr.isatty():
        yield from tqdm(pieces, desc="report", unit="figure", total=total)
        return
    began = printed = time.monotonic()
    for done, piece in enumerate(pieces, 1):
        if time.monotonic() - printed >= QUIET:
            printed = time.monotonic()
            print(f"report: {done} of {total}, {printed - began:.0f} s", file=sys.stderr, flush=True)
        yield piece


def contents(drawn: Drawn) -> tuple[bytes, bytes, str]:
    """A figure as PNG and PDF, both without the time they were made, and its numbers as CSV.

    The panels are laid out once for both, and each canvas draws once (``savefig`` lays out and draws twice per file).
    """
    image, pages = io.BytesIO(), io.BytesIO()
    drawn.figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
    screen: Any = FigureCanvasAgg(drawn.figure)
    screen.print_png(image)
    drawn.figure.set_layout_engine("none")
    vector: Any = FigureCanvasPdf(drawn.figure)
    vector.print_pdf(pages, metadata={"CreationDate": None})
    return image.getvalue(), pages.getvalue(), escape.csv(drawn.numbers)


def write_figure(drawn: Drawn, place: Path, name: str) -> tuple[Path, ...]:
    """A figure to NAME.png, NAME.pdf and NAME.csv."""
    return write_contents(contents(drawn), place, name)


def write_contents(found: tuple[bytes, bytes, str], place: Path, name: str) -> tuple[Path, ...]:
    """The contents of a figure's files to them."""
    png, pdf, numbers = (place / f"{name}.{kind}" for kind in ("png", "pdf", "csv"))
    files.write(png, found[0])
    files.write(pdf, found[1])
    files.write(numbers, found[2])
    return png, pdf, numbers


def write_table(
    table: pandas.DataFrame, place: Path, name: str, facts: Mapping[str, Facts] = FACTS
) -> tuple[Path, Path, Path]:
    """A table as CSV (numbers), Markdown (readable) and LaTeX (booktabs, with the titles of the spaces' facts)."""
    numbers, markdown, latex = (place / f"{name}.{kind}" for kind in ("csv", "md", "tex"))
    files.write(numbers, escape.csv(table))
    files.write(markdown, table_texts.markdown(table, NOTES[name]))
    files.write(latex, table_texts.latex(table, NOTES[name], facts))
    return numbers, markdown, latex


def summary(study: Study) -> pandas.DataFrame:
    """One row per space, method and variant, means over seeds: final and best accuracy, fall, largest eigenvalue."""
    return summaries.summary(study)
