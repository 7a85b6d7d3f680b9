"""What a field does: the numbers of finished runs against each field that varies, the others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation

from nas_stability.analysis import escape, summaries
from nas_stability.analysis.averages import named_answers
from nas_stability.analysis.claims.windows import per_run
from nas_stability.analysis.figures.layout import MOST_PANELS, folded
from nas_stability.analysis.figures.panels import (
    CLOSE,
    SCREEN,
    Drawn,
    Page,
    answer_text,
    colour,
    legend,
    method_handles,
    space_name,
)
from nas_stability.analysis.names import answer_of
from nas_stability.analysis.statistics.intervals import Floats, estimate
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Variation, natural, shortened, told, variation

QUANTITIES = {
    "final": "final accuracy,\n{answer} (%)",
    "deterioration": "late\ndeterioration (points)",
    "late_eigenvalue": "late largest\neigenvalue (nats)",
}
"""Columns of the panels and their labels."""

DECADE = 5.0
"""The largest positive value over the smallest from which on a field's axis is logarithmic."""

SPREAD = 3.5
"""Distance of methods beside each other at a value, in points."""


class Series(NamedTuple):
    """Runs of a space that differ in one field and in their seeds.

    Attributes:
        space: theirs.
        field: that varies.
        rest: what they have in the other fields that vary, where that is not the usual value.
        values: of the field in order, as texts.
        runs: theirs, with the columns of ``per_run``, ``final``, ``deterioration`` and ``value``.
    """

    space: str
    field: str
    rest: str
    values: tuple[str, ...]
    runs: pandas.DataFrame


def finished(study: Study, space: str) -> pandas.DataFrame:
    """A row per run of a space: the numbers of ``per_run``, the final table accuracy, the deterioration."""
    answer = next(iter(study.answers(space)), "")
    rows = study.epochs[study.epochs["space"] == space]
    final = {str(run): summaries.final_accuracy(part, answer) for run, part in rows.groupby("run", observed=True)}
    found = per_run(study, space)
    return found.assign(final=found["run"].map(final), deterioration=found["early_accuracy"] - found["late_accuracy"])


def series(study: Study) -> list[Series]:
    """The series of a study: one per space, field that varies, and setting of the other fields with several values."""
    varying = variation(study.runs)
    texts = varying.texts.set_axis(study.runs["run"].astype(str), axis=0)
    return [
        one
        for space in study.spaces
        if varying.fields(space)
        for one in series_of(finished(study, space), texts, varying, space)
    ]


def series_of(runs: pandas.DataFrame, texts: pandas.DataFrame, varying: Variation, space: str) -> list[Series]:
    """The series of a space: of each method in which the field varies those runs that agree in its other fields."""
    usual = varying.usual.get(space, {})
    found = []
    for field in varying.fields(space):
        short = shortened(texts[field])
        parts: dict[str, list[pandas.DataFrame]] = {}
        for method, of_method in runs.groupby("method", sort=False):
            names = varying.varied.get((space, str(method)), ())
            if field not in names:
                continue
            fields = texts.loc[of_method["run"]]
            others = [name for name in names if name != field]
            rest = [
                ", ".join(f"{name} {row[name]}" for name in others if usual.get(name) != row[name])
                for row in fields.to_dict("records")
            ]
            labelled = of_method.assign(value=fields[field].map(short).to_numpy(), rest=rest)
            for text, part in labelled.groupby("rest", sort=False):
                if part["value"].nunique() > 1:
                    parts.setdefault(str(text), []).append(part)
        for text in sorted(parts, key=natural):
            joined = pandas.concat(parts[text])
            values = tuple(sorted(joined["value"].unique(), key=in_order))
            found.append(Series(space, field, text, values, joined))
    return found


def number_of(text: str) -> float:
    """The number that a field's text is, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return numpy.nan


def in_order(text: str) -> tuple[bool, float, str]:
    """A key that sorts numbers by size, and texts behind them."""
    value = number_of(text)
    return (True, 0.0, text) if numpy.isnan(value) else (False, value, text)


def places_of(values: Sequence[str]) -> Floats:
    """Where values stand on the axis: as numbers if all are, else evenly."""
    numbers = numpy.array([number_of(value) for value in values])
    return numpy.arange(len(values), dtype=numpy.float64) if numpy.isnan(numbers).any() else numbers


def numbers_of_series(one: Series) -> pandas.DataFrame:
    """Per method, value and quantity: mean and interval over the seeds.

    Returns:
        space, field, rest, method, variant, value, column, seeds, missing, mean, low, high.
    """
    rows = []
    for method, of_method in one.runs.groupby("method", sort=False):
        for value in one.values:
            part = of_method[of_method["value"] == value]
            for column in QUANTITIES if len(part) else ():
                found = estimate(part[column].to_numpy(dtype=numpy.float64))
                row = {"space": one.space, "field": one.field, "rest": one.rest, "method": method}
                row |= {"variant": part["variant"].iloc[0], "value": value, "column": column}
                row |= {"seeds": found.seeds, "missing": found.missing}
                rows.append({**row, "mean": found.mean, "low": found.low, "high": found.high})
    return pandas.DataFrame(rows)


def draw_ablation(axes: Axes, study: Study, one: Series, column: str) -> Axes:
    """A quantity against the field of a series: means with intervals, single seeds as dots, methods as colours.

    Args:
        axes: to draw in.
        study: that is shown.
        one: of ``series``.
        column: a key of QUANTITIES.
    """
    numbers = numbers_of_series(one)
    numbers = numbers[numbers["column"] == column]
    at = dict(zip(one.values, places_of(one.values), strict=True))
    scaled = not numpy.isnan([number_of(value) for value in one.values]).any()
    methods = [method for method in study.methods if (numbers["method"] == method).any()]
    for index, method in enumerate(methods):
        mean = numbers[numbers["method"] == method]
        runs = one.runs[one.runs["method"] == method]
        points = SPREAD * (index - (len(methods) - 1) / 2)
        aside = ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
        look: dict[str, Any] = {"color": colour(method, study.methods), "transform": axes.transData + aside}
        axes.plot(runs["value"].map(at), runs[column], "o", markersize=2.5, alpha=0.45, markeredgewidth=0, **look)
        joined = "solid" if scaled else "none"
        axes.plot(mean["value"].map(at), mean["mean"], linestyle=joined, marker="o", markersize=4, **look)
        for value, low, high in zip(mean["value"], mean["low"], mean["high"], strict=True):
            axes.plot([at[value]] * 2, [low, high], linewidth=1.2, alpha=0.7, **look)
    field_axis(axes, one, scaled)
    # What is moved aside by points does not count for the limits of the axes.
    shown = numpy.column_stack([one.runs["value"].map(at), one.runs[column]]).astype(numpy.float64)
    axes.update_datalim(shown[numpy.isfinite(shown).all(axis=1)])
    axes.autoscale_view(scalex=scaled)
    return axes


def field_axis(axes: Axes, one: Series, scaled: bool) -> None:
    """The field on the horizontal axis: a tick per value; logarithmic where positive numbers are far apart."""
    places = places_of(one.values)
    if scaled and places.min() > 0 and places.max() >= DECADE * places.min():
        axes.set_xscale("log")
    elif not scaled:
        axes.set_xlim(-0.5, len(places) - 0.5)
    labels = [escape.figure(value) for value in one.values]
    crowded = sum(map(len, labels)) + len(labels) > 26
    axes.set_xticks(places, labels=labels, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(escape.figure(one.field))


def tells(one: Series, column: str) -> bool:
    """Whether a series has a number of a quantity at two values of its field at least."""
    return int(one.runs.loc[one.runs[column].notna(), "value"].nunique()) > 1


def ablation(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Final accuracy, deterioration and late eigenvalue against each field that varies: a row per space and field."""
    found = series(study)
    if not found:
        return None
    telling = [one for one in found if any(tells(one, column) for column in QUANTITIES)]
    columns = {name: label for name, label in QUANTITIES.items() if any(tells(one, name) for one in telling)}
    if not telling:
        return None
    shown = telling[: MOST_PANELS // len(columns)]
    inches = page.height * 1.1 * len(shown) + 0.3
    figure = Figure(figsize=(page.wide * (len(columns) + 1) / (len(QUANTITIES) + 1), inches), layout="constrained")
    grid = figure.subplots(len(shown), len(columns), squeeze=False)
    for line, one in zip(grid, shown, strict=True):
        answer = answer_of(next(iter(study.answers(one.space)), ""))
        for axes, (column, label) in zip(line, columns.items(), strict=True):
            draw_ablation(axes, study, one, column)
            axes.set_ylabel(label.replace("{answer}", answer_text(answer)), linespacing=CLOSE)
            rest = folded(escape.figure(one.rest), page)
            axes.set_title("\n".join(filter(None, (space_name(study, one.space), rest))), linespacing=CLOSE)
    legend(figure, method_handles(study.methods))
    caption = (
        f"Against the field that varies: table accuracy of the last architecture{named_answers(study)}; mean table "
        "accuracy of the second quarter of the epochs less that of the last quarter; mean largest eigenvalue of the "
        "last quarter. Large: mean over seeds with its 95 % percentile bootstrap interval, from three seeds on; small: "
        "single seeds. Where several fields vary, each row holds the others at what its title says, or at their usual "
        "value."
    )
    left = "" if len(shown) == len(telling) else f" Drawn are {len(shown)} of {len(telling)} rows."
    return Drawn(figure, told(pandas.concat(map(numbers_of_series, found), ignore_index=True)), caption + left)
