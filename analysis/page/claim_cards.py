"""The verdicts on claims, for the page."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy
import pandas
from markupsafe import Markup

from nas_stability.analysis.claims.verdicts import COUNTED
from nas_stability.analysis.page import svg
from nas_stability.analysis.page.texts import MISSING, absent, as_float
from nas_stability.analysis.readable import number

MARKS = {"supported": "✓", "not supported": "✗", "undecided": "?", "no data": "\N{EN DASH}"}
"""A verdict's sign, so that it is told by more than its colour."""


class Ruling(NamedTuple):
    """A verdict on a claim in one space and variant, as texts; ``facts`` are the rest."""

    space: str
    verdict: str
    mark: str
    estimate: str
    interval: str
    picture: Markup | None
    facts: list[str]
    reason: str


class ClaimCard(NamedTuple):
    """A claim with its verdicts."""

    name: str
    statement: str
    statistic: str
    rulings: list[Ruling]


class Part(NamedTuple):
    """Claims that are shown together; ``folded`` where only who asks sees them."""

    heading: str
    folded: bool
    cards: list[ClaimCard]


DECIDED = ("supported", "not supported")
"""Verdicts that the page opens with."""


def parts(verdicts: pandas.DataFrame) -> list[Part]:
    """What the study was to decide, whatever came of it; then what else was decided; then, folded, the rest."""
    kind = verdicts["counts"] if "counts" in verdicts else pandas.Series("", verdicts.index)
    counted = kind == COUNTED
    decided = verdicts["verdict"].isin(DECIDED)
    exploratory = "Exploratory, " if counted.any() else ""
    left = int((~counted & ~decided).sum())
    found = [
        ("Claims that count", False, counted),
        (f"{exploratory}decided".capitalize(), False, ~counted & decided),
        (f"{exploratory}undecided or without data: {left}".capitalize(), True, ~counted & ~decided),
    ]
    return [Part(heading, folded, claims(verdicts, rows)) for heading, folded, rows in found if rows.any()]


def counts(verdicts: pandas.DataFrame) -> list[tuple[str, str, int]]:
    """(verdict, its sign, how many), in the order of MARKS; those that do not occur are left out."""
    found = verdicts["verdict"].value_counts()
    return [(name, mark, int(found[name])) for name, mark in MARKS.items() if name in found]


def claims(verdicts: pandas.DataFrame, shown: pandas.Series) -> list[ClaimCard]:
    """The claims in the order of their first verdict, each with those of its verdicts that are shown, in order.

    All verdicts of a claim have one axis, wherever on the page they are.
    """
    return [
        ClaimCard(
            str(name),
            str(rows["statement"].iloc[0]),
            str(rows["statistic"].iloc[0]),
            [ruling(row, interval_axis(rows)) for row in rows[shown[rows.index]].to_dict("records")],
        )
        for name, rows in verdicts.groupby("claim", sort=False)
        if shown[rows.index].any()
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
    verdict, space = str(row["verdict"]), ", ".join(filter(None, (str(row["space"]), str(row.get("variant", "")))))
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


def whole(value: object) -> str:
    """A count, empty where there is none."""
    found = as_float(value)
    return "" if math.isnan(found) else f"{found:,.0f}"


def p_text(value: float) -> str:
    """A p-value in words: three decimals, or below 0.001; empty where there is none."""
    if math.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
