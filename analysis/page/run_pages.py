"""Every run by itself, for the page: its charts, its final cell, its numbers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy
import pandas
from markupsafe import Markup

from nas_stability.analysis.names import answer_name, answer_of
from nas_stability.analysis.page import svg
from nas_stability.analysis.page.settings import varied_fields
from nas_stability.analysis.page.texts import MISSING, Field, TextTable, absent, as_float, count, plain, shown
from nas_stability.analysis.readable import number
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.spaces.facts import Facts
from nas_stability.benchmarks.spaces.graphs import graphs

IDENTITY = ("run", "space", "method", "variant", "data", "seed", "epoch", "arch", "cell")
"""Columns of epochs.csv that say whose row it is; the others are numbers."""

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


class RunPart(NamedTuple):
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
    numbers: TextTable
    empty: list[str]
    table: str


def run_pages(study: Study) -> list[tuple[str, list[RunPart]]]:
    """(space, its runs by method, then by variant, then by seed)."""
    epochs = {str(run): rows for run, rows in study.epochs.groupby("run", sort=False, observed=True)}
    spectra = {str(run): rows for run, rows in study.spectrum.groupby("run", sort=False, observed=True)}
    found = []
    for space in study.spaces:
        of_space = study.runs[study.runs["space"] == space]
        extra = [name for name in varied_fields(of_space) if name not in ("space", "method", "plugins")]
        rows = study.epochs[study.epochs["space"] == space]
        known = [name for name in rows.columns if name not in IDENTITY and rows[name].notna().any()]
        answers = study.answers(space)
        pages = []
        for spec in of_space.to_dict("records"):
            run, method = str(spec["run"]), study.methods.index(str(spec["method"]))
            fields = [f"{name} {plain(spec[name])}" for name in extra if not absent(spec[name])]
            named = [spec["variant"]] if spec["variant"] else fields
            words = [str(spec["method"]), *map(str, named), f"seed {spec['seed']}"]
            one = run_page(
                spec, epochs[run].sort_values("epoch"), spectra.get(run), answers, known, study.facts_of(space)
            )
            order = study.variants.index(str(spec["variant"]))
            pages.append((method, order, spec["seed"], run, one._replace(label=", ".join(words), method=method)))
        found.append((space, [one for *_, one in sorted(pages, key=lambda entry: entry[:4])]))
    return found


def run_page(
    spec: Mapping[Hashable, object],
    rows: pandas.DataFrame,
    spectrum: pandas.DataFrame | None,
    answers: Sequence[str],
    known: Sequence[str],
    facts: Facts,
) -> RunPart:
    """A run's part of the page; its label and the place of its method are the caller's.

    Args:
        spec: its row of the study's runs.
        rows: its epochs, in order.
        spectrum: its eigenvalues, None where none was measured.
        answers: columns of table accuracies that its space's table answers for.
        known: columns of numbers that some run of the space has.
        facts: of the space.
    """
    names = [name for name in rows.columns if name not in IDENTITY]
    values = dict(zip(names, rows[names].to_numpy(dtype=numpy.float64).T, strict=True))
    epoch = rows["epoch"].to_numpy(dtype=numpy.float64)
    last = rows.iloc[-1]
    arch, cell = ("" if absent(last[name]) else str(last[name]) for name in ("arch", "cell"))
    main = values[answers[0]] if answers else numpy.array([])
    return RunPart(
        run=str(spec["run"]),
        method=0,
        label="",
        headline=headline(answers[0], main) if answers else "no table accuracy",
        spark=svg.spark(main, f"{answer_name(answer_of(answers[0]))} over the epochs") if answers else None,
        missing=int(numpy.isnan(main).sum()),
        charts=[
            trajectory_chart(epoch, [svg.Line(answer_name(answer_of(name)), values[name]) for name in answers]),
            supernet_chart(epoch, values),
            spectrum_chart(spectrum),
        ],
        graph=svg.cell(graphs(facts.form, arch, cell), facts.operations),
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
    return f"{answer_name(answer_of(answer))}: final {final}, best {best}"


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


def final_numbers(values: Mapping[str, Floats]) -> TextTable:
    """Last, lowest and highest value of each column of a run, and the epochs without one; empty columns left out."""
    rows = []
    for name, column in values.items():
        present = column[~numpy.isnan(column)]
        if len(present):
            cells = [Field(name), Field(unit_of(name))]
            cells += [Field(shown(float(value))) for value in (column[-1], present.min(), present.max())]
            rows.append([*cells, Field(str(len(column) - len(present)))])
    columns = [("column", False), ("unit", False)]
    columns += [(name, True) for name in ("final", "lowest", "highest", "epochs without")]
    return TextTable(columns, rows)


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
