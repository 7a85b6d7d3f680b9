"""Many methods at once: a panel for each, with all the others in grey behind it."""

from __future__ import annotations

from matplotlib.axes import Axes

from nas_stability.analysis import by_chance
from nas_stability.analysis.averages import numbers_of, over_epochs, rows_of
from nas_stability.analysis.figures.curves import draw_level, draw_lines, error_label
from nas_stability.analysis.figures.layout import groups_of, look, outer, panels_of_groups
from nas_stability.analysis.figures.line_ends import MANY
from nas_stability.analysis.figures.panels import SCREEN, Drawn, Page, answer_text, epochs_axis
from nas_stability.analysis.names import answer_of
from nas_stability.analysis.study import Study, chosen
from nas_stability.analysis.variants import Group

OTHERS = "0.78"
"""Colour of what is there to be compared with."""


def methods(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Error by the table, a panel per space, method and variant: its seeds, mean and band, before the others' means.

    Of the first data set and split of each space; absent where there are fewer than MANY methods.
    """
    answers = {space: answer_of(names[0]) for space in study.spaces if (names := study.answers(space))}
    if len(study.methods) < MANY or not answers:
        return None
    figure, axes = panels_of_groups(study, groups_of(study, answers), page)
    for group, panel in axes.items():
        draw_method(panel, study, group, f"error_{answers[group.space]}")
    outer(study, axes)
    pairs = [(space, f"error_{answer}") for space, answer in answers.items()]
    shown = ", ".join(f"{study.facts_of(space).title}: {answer_text(answer)}" for space, answer in answers.items())
    caption = (
        f"Error by the table ({shown}) of the architecture after each epoch. Thick: mean over seeds; thin: single "
        "seeds; band: 95 % percentile bootstrap interval of the mean, whole seeds resampled, from three seeds on; "
        "grey: the means of the others."
    )
    at_random = len(by_chance.levels(study, pairs)) > 0
    return Drawn(figure, numbers_of(study, pairs), caption + (by_chance.CAPTION if at_random else ""))


def draw_method(axes: Axes, study: Study, group: Group, column: str) -> Axes:
    """A group over the epochs, before the means of the other groups of its space."""
    rows = rows_of(study, group.space, column)
    for other in study.groups(group.space):
        if other != group and len(part := chosen(rows, other)):
            numbers = over_epochs(part, column, None)
            axes.plot(numbers["epoch"], numbers["mean"], color=OTHERS, linewidth=0.8, zorder=1)
    own = chosen(rows, group)
    draw_lines(axes, own, over_epochs(own, column), column, look(study, group, [group]).shade)
    draw_level(axes, study, group.space, column)
    axes.set_ylabel(error_label(answer_of(column)))
    epochs_axis(axes, int(own[column].isna().sum()), len(own))
    return axes
