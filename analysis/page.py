"""The report of a study as one HTML file that needs no network, no script and no other file.

What is shown is decided here, how in page.html.jinja and page.css beside this module. Everything that comes from a file
is escaped by the template; the small pictures are drawn by svg.py. The same study gives the same bytes.
"""

from __future__ import annotations

import base64
import inspect
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy
import pandas
from markupsafe import Markup

from analysis import svg
from analysis.plots import FIGURES, answer_label, colour
from analysis.report import Report, Shown
from analysis.stats import Floats
from analysis.study import Study
from analysis.tables import TABLES, number
from analysis.variants import field_names

HERE = Path(__file__).parent

MISSING = "\N{EM DASH}"
"""What stands where a number is not known."""

CSS_DPI = 96
"""CSS pixels per inch: the size at which a figure is shown, whatever its PNG has."""

MARKS = {"supported": "✓", "not supported": "✗", "undecided": "?", "no data": "\N{EN DASH}"}
"""A verdict's sign, so that it is told by more than its colour."""

IDENTITY = ("run", "space", "method", "variant", "data", "seed", "epoch", "arch", "cell")
"""Columns of epochs.csv that say whose row it is; the others are numbers."""

PROVENANCE = {"device": "device", "threads": "CPU threads per run", "git_commit": "commit"}
"""Entries of run.json that are told beside versions, table and time, and how they are called."""

UNITS = {
    "train_loss": "nats",
    "train_accuracy": "%",
    "valid_loss": "nats",
    "valid_accuracy": "%",
    "discrete_valid_loss": "nats",
    "discrete_valid_accuracy": "%",
    "eigenvalue_max": "nats",
    "spectral_norm": "nats",
    "hessian_trace": "nats",
    "attack_gain": "nats",
    "radius": "probability",
    "seconds": "s",
}
"""Unit of a column of epochs.csv, as in results/README.md; the others are shares or rates, without one."""


class Cell(NamedTuple):
    """A cell of a table: its text, the interval and the number of missing values behind it, a run to link to."""

    text: str
    interval: str = ""
    missing: int = 0
    anchor: str = ""


class Grid(NamedTuple):
    """A table as the template shows it: (name, whether its cells are numbers) of each column, and the rows."""

    columns: list[tuple[str, bool]]
    rows: list[list[Cell]]


class Picture(NamedTuple):
    """A figure of the report: name, heading, PNG as a data address, size in CSS pixels, caption."""

    name: str
    heading: str
    address: str
    width: int
    height: int
    caption: str


class Told(NamedTuple):
    """A table of the report: name, heading, how it was made, and the table."""

    name: str
    heading: str
    caption: str
    grid: Grid


class Ruling(NamedTuple):
    """A verdict on a claim in one space, as texts; ``facts`` are the rest."""

    space: str
    verdict: str
    mark: str
    estimate: str
    interval: str
    picture: Markup | None
    facts: list[str]
    reason: str


class Claim(NamedTuple):
    """A claim with its verdicts."""

    name: str
    statement: str
    statistic: str
    rulings: list[Ruling]


class Legend(NamedTuple):
    """A line of a chart in words: its style of dash, label, final value, and how many epochs lack one."""

    dash: int
    label: str
    final: str
    missing: int
    epochs: int


class Chart(NamedTuple):
    """A chart of a run: heading, picture or None with ``note`` saying why, legend."""

    heading: str
    picture: Markup | None
    legend: list[Legend]
    note: str


class Run(NamedTuple):
    """A run's part of the page.

    Attributes:
        run: its id.
        method: its place among the study's methods, for the colour.
        label: what tells it from the others of its space.
        headline: its final and best accuracy in words.
        spark: the same as a line.
        missing: epochs without the accuracy of the headline.
    """

    run: str
    method: int
    label: str
    headline: str
    spark: Markup | None
    missing: int
    charts: list[Chart]
    graph: Markup | None
    arch: str
    cell: str
    numbers: Grid
    empty: list[str]
    table: str


def page(
    study: Study,
    shown: Mapping[str, Shown],
    tables: Mapping[str, pandas.DataFrame],
    verdicts: pandas.DataFrame | None,
    images: Mapping[str, bytes],
) -> str:
    """The report as HTML.

    Args:
        study: that is reported on.
        shown: figures by name, in the order in which they are shown.
        tables: tables by name, likewise; NAME_low, NAME_high and NAME_missing belong to the column NAME.
        verdicts: one row per claim and space, as claims.judge gives them; None leaves the section out.
        images: PNG of each figure: as the report wrote it, since drawing takes longer than all the rest.
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
        colours=[colour(method, study.methods) for method in study.methods],
        design=grid(design(study, varied)),
        common=common_fields(study.runs, varied),
        every_run=every_run(study, varied),
        provenance=provenance(study.runs),
        lacking=grid(lacking(study)),
        never=never_answered(study),
        verdict_counts=[] if verdicts is None else counts(verdicts),
        claims=None if verdicts is None else claims(verdicts),
        pictures=[picture(name, figure, images[name]) for name, figure in shown.items()],
        absent=[name for name in FIGURES if name not in shown],
        tables=[told(name, table) for name, table in tables.items()],
        spaces=run_pages(study),
    )


# What was run


def lead(study: Study) -> str:
    """What the study is, in a sentence."""
    runs = study.runs
    seeds = seed_text(runs["seed"].tolist())
    epochs = sorted(set(study.epochs.groupby("run", observed=True)["epoch"].max().tolist()))
    length = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    return (
        f"{count(len(runs), 'finished run')} of {length} epochs: {spoken(study.methods)} in {spoken(study.spaces)}, "
        f"{'seeds' if len(set(runs['seed'])) > 1 else 'seed'} {seeds}."
    )


def spoken(words: Sequence[str]) -> str:
    """a, b and c"""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def count(number_of: int, noun: str) -> str:
    """1 run, 2 runs"""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def seed_text(seeds: Sequence[int]) -> str:
    """Seeds as ranges: 0-4, 7"""
    found = sorted(set(seeds))
    starts = [seed for seed in found if seed - 1 not in found]
    ends = [seed for seed in found if seed + 1 not in found]
    return ", ".join(str(a) if a == b else f"{a}\N{EN DASH}{b}" for a, b in zip(starts, ends, strict=True))


def varied_fields(runs: pandas.DataFrame) -> list[str]:
    """The fields in which the runs differ besides their seeds; space and method always, first."""
    names = [name for name in field_names(runs) if name not in ("space", "method", "seed")]
    return ["space", "method", *(name for name in names if runs[name].map(plain).nunique() > 1)]


def common_fields(runs: pandas.DataFrame, varied: Sequence[str]) -> list[tuple[str, str]]:
    """(name, value) of the fields that all runs share."""
    names = [name for name in field_names(runs) if name not in varied and name != "seed"]
    return [(name, plain(runs[name].iloc[0])) for name in names]


def design(study: Study, varied: Sequence[str]) -> pandas.DataFrame:
    """One row per kind of run: space, method, seeds, number of runs, mean time of one, the other varied fields."""
    runs = study.runs.assign(**{name: study.runs[name].map(plain) for name in varied})
    rows: list[dict[str, object]] = []
    for values, group in runs.groupby(list(varied), sort=False):
        seconds = float(group["seconds"].mean()) if "seconds" in group else math.nan
        space, method, *others = values
        row: dict[str, object] = {"space": space, "method": method, "seeds": seed_text(group["seed"].tolist())}
        row |= {"runs": len(group), "time per run": duration(seconds)}
        rows.append(row | dict(zip(varied[2:], others, strict=True)))
    rows.sort(key=lambda row: (str(row["space"]), study.methods.index(str(row["method"]))))
    return pandas.DataFrame(rows)


def every_run(study: Study, varied: Sequence[str]) -> Grid:
    """One row per run, linked to its page."""
    names = [*varied, "seed", *(name for name in ("seconds", "table_queries", "table_missing") if name in study.runs)]
    found = grid(study.runs[["run", *names]])
    for row in found.rows:
        row[0] = row[0]._replace(anchor=anchor(row[0].text))
    return found


def provenance(runs: pandas.DataFrame) -> list[tuple[str, list[str]]]:
    """(name, values) of where the runs were made, and with what; of several values each says how many runs have it."""
    records = runs.to_dict("records")
    found = [(named, shared([recorded(row.get(name)) for row in records])) for name, named in PROVENANCE.items()]
    found.append(("versions", shared([versions_text(row) for row in records])))
    found.append(("table", shared([table_text(row) for row in records])))
    if "seconds" in runs:
        total, each = float(runs["seconds"].sum()), float(runs["seconds"].mean())
        found.append(("time searching", [f"{duration(total)} over all runs, {duration(each)} per run on average"]))
    return found


def recorded(value: object) -> str:
    """A value of run.json in words."""
    return "not recorded" if absent(value) else plain(value)


def versions_text(record: Mapping[Hashable, object]) -> str:
    """The versions of a run in one line."""
    start = "versions."
    known = {str(name).removeprefix(start): value for name, value in record.items() if str(name).startswith(start)}
    return ", ".join(f"{name} {value}" for name, value in known.items() if not absent(value)) or "not recorded"


def table_text(record: Mapping[Hashable, object]) -> str:
    """The table of a run: name, source and checksum."""
    if absent(record.get("table.name")):
        return "none was asked"
    return f"{record['table.name']}, from {record.get('table.source')}, SHA-256 {record.get('table.sha256')}"


def shared(values: Sequence[str]) -> list[str]:
    """The distinct values in order of appearance, with the number of runs where there are several."""
    counted = Counter(values)
    if len(counted) == 1:
        return list(counted)
    return [f"{value} ({count(number_of, 'run')})" for value, number_of in counted.items()]


def duration(seconds: float) -> str:
    """Seconds for people: 12 s, 3 min 20 s, 2 h 5 min."""
    if math.isnan(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return (
        f"{int(seconds // 60)} min {int(seconds % 60)} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )


def never_answered(study: Study) -> list[tuple[str, list[str]]]:
    """(space, data sets and splits of its table that it never answers for); nothing named: it answers for nothing."""
    found = []
    for space in study.spaces:
        answered = study.answers(space)
        datasets = {name.split("_")[1] for name in answered}
        columns = [name for name in study.epochs.columns if name.startswith("accuracy_") and name not in answered]
        silent = [answer_label(name) for name in columns if name.split("_")[1] in datasets]
        if silent or not answered:
            found.append((space, silent))
    return found


def lacking(study: Study) -> pandas.DataFrame:
    """Where numbers are missing: per space and column, epochs with and without a value, and runs concerned.

    Told are the table accuracies that the space's table answers for at all, and the supernet's validation loss.
    """
    rows = []
    for space in study.spaces:
        of_space = study.epochs[study.epochs["space"] == space]
        for name in [*study.answers(space), "valid_loss"]:
            empty = of_space[name].isna()
            if empty.any():
                runs = of_space.loc[empty, "run"].nunique()
                rows.append((space, name, len(of_space), int(empty.sum()), runs))
    return pandas.DataFrame(rows, columns=["space", "column", "epochs", "missing", "in runs"])


# Values as text


def absent(value: object) -> bool:
    """Whether a value is none: None, NaN or pandas' NA."""
    return value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value))


def plain(value: object) -> str:
    """A field's value as in a study's file."""
    if absent(value):
        return MISSING
    return str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)


def shown(value: object) -> str:
    """A value of a table: numbers for people, the rest as it is."""
    if absent(value):
        return MISSING
    return number(float(value)) if isinstance(value, float | numpy.floating) else plain(value)


def grid(table: pandas.DataFrame) -> Grid:
    """A data frame for the template; interval and missing values go into the cell of the number that they belong to."""
    owned = {
        name + end for name in table.columns for end in ("_low", "_high", "_missing") if name + end in table.columns
    }
    names = [name for name in table.columns if name not in owned]
    columns = [column_cells(table, name) for name in names]
    numeric = [table[name].dtype.kind in "iuf" for name in names]
    return Grid(
        [(str(name), is_number) for name, is_number in zip(names, numeric, strict=True)],
        [list(row) for row in zip(*columns, strict=True)],
    )


def column_cells(table: pandas.DataFrame, name: str) -> list[Cell]:
    """The cells of a column."""
    texts = [shown(value) for value in table[name]]
    if f"{name}_low" not in table.columns:
        intervals = [""] * len(texts)
    else:
        ends = zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)
        intervals = ["" if absent(low) else f"[{number(low)}, {number(high)}]" for low, high in ends]
    missing = table[f"{name}_missing"].tolist() if f"{name}_missing" in table.columns else [0] * len(texts)
    return [Cell(*parts) for parts in zip(texts, intervals, missing, strict=True)]


def heading(name: str) -> str:
    """A name of a figure or table as a heading."""
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


# Verdicts, figures and tables


def counts(verdicts: pandas.DataFrame) -> list[tuple[str, str, int]]:
    """(verdict, its sign, how many), in the order of MARKS; those that do not occur are left out."""
    found = verdicts["verdict"].value_counts()
    return [(name, mark, int(found[name])) for name, mark in MARKS.items() if name in found]


def claims(verdicts: pandas.DataFrame) -> list[Claim]:
    """The claims in the order of their first verdict, each with its verdicts in the order given."""
    return [
        Claim(
            str(name),
            str(rows["statement"].iloc[0]),
            str(rows["statistic"].iloc[0]),
            [ruling(row, interval_axis(rows)) for row in rows.to_dict("records")],
        )
        for name, rows in verdicts.groupby("claim", sort=False)
    ]


def interval_axis(rows: pandas.DataFrame) -> tuple[float, float]:
    """The axis that the verdicts of a claim share: their finite numbers, a little more at both ends."""
    values = rows[["estimate", "low", "high", "threshold"]].to_numpy(dtype=numpy.float64)
    finite = values[numpy.isfinite(values)]
    if not len(finite):
        return (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    margin = 0.06 * (high - low) or max(abs(low) * 0.05, 0.5)
    return (low - margin, high + margin)


def ruling(row: Mapping[Hashable, object], axis: tuple[float, float]) -> Ruling:
    """A row of the verdicts as texts."""
    unit = "" if absent(row["unit"]) else str(row["unit"])
    estimate, low, high, threshold = (as_float(row[name]) for name in ("estimate", "low", "high", "threshold"))
    told_estimate = MISSING if math.isnan(estimate) else f"{number(estimate)} {unit}".strip()
    told_interval = "" if math.isnan(low) or math.isnan(high) else f"[{number(low)}, {number(high)}]"
    told_threshold = "" if math.isnan(threshold) else f"threshold {number(threshold)} {unit}".strip()
    facts = [
        told_threshold,
        f"interval: {row['interval']}" if told_interval and not absent(row["interval"]) else "",
        f"n = {whole(row['n']) or 0}",
        f"{whole(row['missing']) or 0} missing",
        p_text(as_float(row["p"])),
        "" if absent(row["seeds_needed"]) else f"seeds needed: {whole(row['seeds_needed'])}",
    ]
    verdict, space = str(row["verdict"]), str(row["space"])
    alt = f"{space}: estimate {told_estimate}, interval {told_interval or 'none'}, {told_threshold or 'no threshold'}."
    return Ruling(
        space,
        verdict,
        MARKS.get(verdict, "?"),
        told_estimate,
        told_interval,
        None if math.isnan(estimate) else svg.interval(estimate, low, high, threshold, axis, alt),
        [fact for fact in facts if fact],
        "" if absent(row["reason"]) else str(row["reason"]),
    )


def as_float(value: object) -> float:
    """A number or NaN."""
    return math.nan if absent(value) else float(str(value))


def whole(value: object) -> str:
    """A count, empty where there is none."""
    found = as_float(value)
    return "" if math.isnan(found) else f"{found:,.0f}"


def p_text(value: float) -> str:
    """A p-value in words: three decimals, or below 0.001; empty where there is none."""
    if math.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def picture(name: str, shown: Shown, image: bytes) -> Picture:
    """A figure as the page holds it."""
    address = "data:image/png;base64," + base64.b64encode(image).decode()
    return Picture(
        name, heading(name), address, round(shown.width * CSS_DPI), round(shown.height * CSS_DPI), shown.caption
    )


def told(name: str, table: pandas.DataFrame) -> Told:
    """A table as the page holds it; its caption is what its function says of itself."""
    made = inspect.getdoc(TABLES[name]) if name in TABLES else None
    return Told(name, heading(name), (made or "").partition("\n\n")[0], grid(table))


# Run by run


def run_pages(study: Study) -> list[tuple[str, list[Run]]]:
    """(space, its runs by method, then by seed)."""
    epochs = {str(run): rows for run, rows in study.epochs.groupby("run", sort=False, observed=True)}
    spectra = {str(run): rows for run, rows in study.spectrum.groupby("run", sort=False, observed=True)}
    found = []
    for space in study.spaces:
        of_space = study.runs[study.runs["space"] == space]
        extra = [name for name in varied_fields(of_space) if name not in ("space", "method")]
        rows = study.epochs[study.epochs["space"] == space]
        known = [name for name in rows.columns if name not in IDENTITY and rows[name].notna().any()]
        answers = study.answers(space)
        pages = []
        for spec in of_space.to_dict("records"):
            run, method = str(spec["run"]), study.methods.index(str(spec["method"]))
            words = [str(spec["method"]), *(f"{name} {plain(spec[name])}" for name in extra), f"seed {spec['seed']}"]
            one = run_page(spec, epochs[run].sort_values("epoch"), spectra.get(run), answers, known)
            pages.append((method, spec["seed"], run, one._replace(label=", ".join(words), method=method)))
        found.append((space, [one for *_, one in sorted(pages, key=lambda entry: entry[:3])]))
    return found


def run_page(
    spec: Mapping[Hashable, object],
    rows: pandas.DataFrame,
    spectrum: pandas.DataFrame | None,
    answers: Sequence[str],
    known: Sequence[str],
) -> Run:
    """A run's part of the page; its label and the place of its method are the caller's.

    Args:
        spec: its row of the study's runs.
        rows: its epochs, in order.
        spectrum: its eigenvalues, None where none was measured.
        answers: columns of table accuracies that its space's table answers for.
        known: columns of numbers that some run of the space has.
    """
    names = [name for name in rows.columns if name not in IDENTITY]
    values = dict(zip(names, rows[names].to_numpy(dtype=numpy.float64).T, strict=True))
    epoch = rows["epoch"].to_numpy(dtype=numpy.float64)
    last = rows.iloc[-1]
    arch, cell = ("" if absent(last[name]) else str(last[name]) for name in ("arch", "cell"))
    main = values[answers[0]] if answers else numpy.array([])
    return Run(
        run=str(spec["run"]),
        method=0,
        label="",
        headline=headline(answers[0], main) if answers else "no table accuracy",
        spark=svg.spark(main, f"{answer_label(answers[0])} over the epochs") if answers else None,
        missing=int(numpy.isnan(main).sum()),
        charts=[
            trajectory_chart(epoch, [svg.Line(answer_label(name), values[name]) for name in answers]),
            supernet_chart(epoch, values),
            spectrum_chart(spectrum),
        ],
        graph=svg.cell(arch, cell),
        arch=arch,
        cell=cell,
        numbers=final_numbers(values),
        empty=[name for name in known if numpy.isnan(values[name]).all()],
        table=table_note(spec),
    )


def headline(answer: str, values: Floats) -> str:
    """Final and best accuracy in words."""
    present = values[~numpy.isnan(values)]
    best = f"{number(float(present.max()))} %" if len(present) else MISSING
    final = MISSING if numpy.isnan(values[-1]) else f"{number(float(values[-1]))} %"
    return f"{answer_label(answer)}: final {final}, best {best}"


def trajectory_chart(epoch: Floats, lines: Sequence[svg.Line]) -> Chart:
    """The table's accuracy of the architecture after each epoch."""
    return chart("Table accuracy of the architecture", epoch, lines, "%", "The table never answered in this run.")


def supernet_chart(epoch: Floats, values: Mapping[str, Floats]) -> Chart:
    """The supernet's accuracy with the soft and with the one-hot mixture."""
    lines = [
        svg.Line("softmax of the logits", values["valid_accuracy"]),
        svg.Line("one-hot mixture", values["discrete_valid_accuracy"]),
    ]
    return chart("Supernet's validation accuracy", epoch, lines, "%", "It was not measured in this run.")


def spectrum_chart(spectrum: pandas.DataFrame | None) -> Chart:
    """All eigenvalues of the Hessian over the measured epochs, each index a line."""
    name, without = "Spectrum of the Hessian", "The Hessian was not measured in this run."
    if spectrum is None:
        return Chart(name, None, [], without)
    by_index = spectrum.pivot(index="epoch", columns="index", values="eigenvalue").sort_index()
    values = by_index.to_numpy(dtype=numpy.float64).T
    lines = [svg.Line("largest eigenvalue", values[-1])]
    found = chart(name, by_index.index.to_numpy(dtype=numpy.float64), lines, "nats", without, list(values[:-1]))
    return found._replace(note=f"Thin: the other {len(values) - 1} eigenvalues, each index a line.")


def chart(
    name: str, epoch: Floats, lines: Sequence[svg.Line], unit: str, without: str, faint: Sequence[Floats] = ()
) -> Chart:
    """A chart with its legend; ``without`` is said where no line has a value."""
    legend = []
    for index, line in enumerate(lines):
        final = "" if numpy.isnan(line.values[-1]) else f"{number(float(line.values[-1]))} {unit}"
        missing = int(numpy.isnan(line.values).sum())
        legend.append(Legend(index % svg.DASHES, line.label, final, missing, len(line.values)))
    alt = f"{name} over the epochs. " + "; ".join(
        f"{entry.label}: {f'ends at {entry.final}' if entry.final else 'no final value'}"
        + (f", {entry.missing} of {entry.epochs} values missing" if entry.missing else "")
        for entry in legend
    )
    drawn = svg.chart(epoch, lines, unit, alt, faint) if lines else None
    return Chart(name, drawn, legend if drawn else [], "" if drawn else without)


def final_numbers(values: Mapping[str, Floats]) -> Grid:
    """Last, lowest and highest value of each column of a run, and the epochs without one; empty columns left out."""
    rows = []
    for name, column in values.items():
        present = column[~numpy.isnan(column)]
        if len(present):
            cells = [Cell(name), Cell(unit_of(name))]
            cells += [Cell(shown(float(value))) for value in (column[-1], present.min(), present.max())]
            rows.append([*cells, Cell(str(len(column) - len(present)))])
    columns = [("column", False), ("unit", False)]
    columns += [(name, True) for name in ("final", "lowest", "highest", "epochs without")]
    return Grid(columns, rows)


def unit_of(column: str) -> str:
    """The unit of a column of epochs.csv."""
    if column.startswith(("accuracy_", "neighbours_mean_", "neighbours_worst_")):
        return "%"
    return "points" if column.startswith("regret_") else UNITS.get(column, "")


def table_note(spec: Mapping[Hashable, object]) -> str:
    """How many architectures the table was asked for, and how many it lacks."""
    queries, missing = spec.get("table_queries"), spec.get("table_missing")
    if absent(queries) or absent(missing) or absent(spec.get("table.name")):
        return "No table was asked in this run."
    return (
        f"The table {spec['table.name']} was asked for {count(int(as_float(queries)), 'architecture')}; "
        f"it lacks {int(as_float(missing)):,}."
    )


def anchor(run: str) -> str:
    """The address of a run's part within the page."""
    return f"run-{run}"


def write_page(written: Report, verdicts: pandas.DataFrame | None) -> Path:
    """Writes report.html beside the figures and tables that were written; returns its path."""
    images = {name: (written.folder / f"{name}.png").read_bytes() for name in written.shown}
    path = written.folder / "report.html"
    path.write_text(page(written.study, written.shown, written.tables, verdicts, images), encoding="utf-8")
    return path
