"""The report of a study: figures as PNG and PDF with their numbers as CSV beside them, tables as CSV and Markdown."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas

from analysis import tables
from analysis.plots import FIGURES, style
from analysis.study import Study, Unusable, load
from analysis.tables import TABLES


class Report(NamedTuple):
    """What was written.

    Attributes:
        study: that was read.
        folder: of the report.
        files: in it.
        absent: figures that the study has no data for.
    """

    study: Study
    folder: Path
    files: tuple[Path, ...]
    absent: tuple[str, ...]


def write_report(folder: Path, out: Path | None = None, only: str | None = None, paper: bool = False) -> Report:
    """Draws the figures and tables of a study's folder.

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
    absent: list[str] = []
    with matplotlib.rc_context(style(paper)):
        for name, draw in FIGURES.items():
            if only in (None, name):
                drawn = draw(study)
                if drawn is None:
                    absent.append(name)
                    continue
                for kind in ("png", "pdf"):
                    drawn.figure.savefig(
                        place / f"{name}.{kind}", metadata={"CreationDate": None} if kind == "pdf" else {}
                    )
                    files.append(place / f"{name}.{kind}")
                drawn.numbers.to_csv(place / f"{name}.csv", index=False)
                files.append(place / f"{name}.csv")
    for name, tabulate in TABLES.items():
        if only in (None, name):
            files += write_table(tabulate(study), place / name)
    return Report(study, place, tuple(files), tuple(absent))


def write_table(table: pandas.DataFrame, stem: Path) -> list[Path]:
    """A table as CSV (numbers) and Markdown (readable)."""
    paths = [stem.with_suffix(".csv"), stem.with_suffix(".md")]
    table.to_csv(paths[0], index=False)
    paths[1].write_text(tables.markdown(table))
    return paths


def summary(study: Study) -> pandas.DataFrame:
    """One row per space and method, means over seeds: final and best accuracy, fall, largest eigenvalue."""
    return tables.summary(study)
