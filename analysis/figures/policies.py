"""Accuracy of what was found by policy of discretisation: the seeds of a method, each a line from policy to policy."""

from __future__ import annotations

import numpy
import pandas
from matplotlib.axes import Axes

from nas_stability.analysis.discretised import TITLES, answers_of, policy_rows
from nas_stability.analysis.figures.layout import MOST_PANELS, groups_of, outer, panels_of_groups
from nas_stability.analysis.figures.panels import SCREEN, Drawn, Page, answer_label, colour
from nas_stability.analysis.names import answer_of
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Group


def policies(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Table accuracy by policy, a panel per space, method and variant: thin the seeds, thick their mean."""
    found = policy_rows(study)
    if found is None or found.empty or found["policy"].nunique() < 2:
        return None
    parts = [(group, *of_group(study, found, group)) for group in groups_of(study, study.spaces)]
    parts = [(group, rows, answer) for group, rows, answer in parts if answer and len(rows)]
    if not parts:
        return None
    figure, axes = panels_of_groups(study, [group for group, _, _ in parts], page)
    numbers = []
    for group, rows, answer in parts:
        wide = rows.pivot_table(index="seed", columns="policy", values=answer)
        wide = wide.reindex(columns=[name for name in TITLES if name in set(found["policy"])])
        named = rows[["space", "method", "variant", "seed", "policy", "arch"]]
        numbers.append(named.assign(answer=answer_of(answer), accuracy=rows[answer]))
        if group in axes:
            draw_policies(axes[group], wide, colour(group.method, study.methods), answer_label(answer))
    outer(study, axes)
    caption = (
        "Table accuracy of the architecture that a run ended with, by how its logits are decided: argmax, as runs "
        "record it; edge first: the edges by their strength, then their operations; projection: what the supernet "
        "misses most, without tuning in between. Thin: a seed; thick: mean over those that have every policy drawn."
    )
    if len(parts) > MOST_PANELS:
        caption += f" The first {MOST_PANELS} are drawn; the numbers have all."
    return Drawn(figure, pandas.concat(numbers, ignore_index=True), caption)


def of_group(study: Study, rows: pandas.DataFrame, group: Group) -> tuple[pandas.DataFrame, str]:
    """The rows of a group, and the first table column that answers in its space; empty where none does."""
    here = rows[rows["space"] == group.space]
    answers = answers_of(study, here, group.space)
    return here[(here["method"] == group.method) & (here["variant"] == group.variant)], next(iter(answers), "")


def draw_policies(axes: Axes, wide: pandas.DataFrame, shade: str, label: str) -> None:
    """A line per seed, a row of ``wide`` with a column per policy, and the mean of the seeds that have all."""
    places = numpy.arange(len(wide.columns))
    for values in wide.to_numpy(dtype=numpy.float64):
        axes.plot(places, values, color=shade, linewidth=0.7, alpha=0.6, marker="o", markersize=2.5)
    whole = wide.dropna()
    if len(whole):
        axes.plot(places, whole.mean().to_numpy(), color=shade, marker="o", markersize=5)
    axes.set_xticks(places, [TITLES[str(name)] for name in wide.columns])
    axes.set_xlim(-0.3, len(places) - 0.7)
    axes.set_ylabel(f"{label} (%)")
