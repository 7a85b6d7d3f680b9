"""Whole figures over epochs: their panels, their numbers and captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import pandas
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_stability.analysis import by_chance, names
from nas_stability.analysis.averages import (
    CURVATURE,
    BandOf,
    bootstrap_band,
    named_answers,
    numbers_of,
    standard_error,
    with_answers,
    with_curvature,
)
from nas_stability.analysis.figures import line_ends
from nas_stability.analysis.figures.curves import (
    AT_RANDOM,
    FLATNESS_STYLES,
    GAP_STYLES,
    DrawPanel,
    Groups,
    draw_accuracy,
    draw_best_so_far,
    draw_flatness,
    draw_gap,
    draw_hessian,
    draw_rank,
    draw_regret,
    draw_trajectory,
    flatness_layers,
    gap_layers,
)
from nas_stability.analysis.figures.layout import (
    MOST_PANELS,
    folded,
    groups_of,
    handles,
    outer,
    panels_of_groups,
    splits,
)
from nas_stability.analysis.figures.line_ends import MANY, label_ends
from nas_stability.analysis.figures.panels import (
    CLOSE,
    MOST_COLUMNS,
    SCREEN,
    Drawn,
    LineStyle,
    Page,
    answer_text,
    legend,
    panels,
)
from nas_stability.analysis.names import answer_of
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import Group
from nas_stability.benchmarks.spaces.facts import FACTS

BAND = (
    "Thick: mean over seeds; thin: single seeds; band: 95 % percentile bootstrap interval of the mean, whole seeds "
    "resampled, from three seeds on."
)
PAPER_SPACES = tuple(name for name, facts in FACTS.items() if facts.paper)
"""The spaces of the paper's main figures, in its order."""


class Panel(NamedTuple):
    """A panel: its space, the column or DATASET_SPLIT that it shows, its title besides the space, and its groups."""

    space: str
    what: str
    title: str
    groups: tuple[Group, ...]


def panels_of(study: Study, wanted: Sequence[tuple[str, str]]) -> list[Panel]:
    """The panels of pairs (space, what): all that one variant shows beside each other, then the next one's."""
    return [
        Panel(space, what, *split)
        for space in dict.fromkeys(space for space, _ in wanted)
        for split in splits(study, space)
        for what in (name for where, name in wanted if where == space)
    ]


def beside(shown: Sequence[Panel]) -> int:
    """How many panels are laid out by themselves: all, or those of one variant where each shows several things."""
    most = max(Counter((panel.space, panel.title) for panel in shown).values())
    return len(shown) if most in (1, len(shown)) or not any(panel.title for panel in shown) else most


def columns_for(count: int, page: Page) -> int:
    """Panels beside each other: two in the column of a paper and where that leaves no gap, else three."""
    return 2 if page.paper or count in (2, 4) else MOST_COLUMNS


def figure_of(
    study: Study,
    page: Page,
    shown: Sequence[Panel],
    draw: Callable[[Axes, Panel], Axes],
    columns: int,
    wide: bool,
    further: Sequence[Artist] = (),
) -> tuple[Figure, str]:
    """The panels with one legend, and what a caption says of those for which there is no room.

    ``further``: entries of the legend behind those of the groups.
    """
    drawn = shown[:MOST_PANELS]
    figure, axes = panels(len(drawn), columns, page, wide=wide)
    alike: dict[tuple[str, str], list[Axes]] = {}
    for place, panel in zip(axes, drawn, strict=True):
        draw(place, panel)
        alike.setdefault((panel.space, panel.what), []).append(place)
        if panel.title:
            place.set_title(f"{place.get_title()}\n{folded(panel.title, page)}", linespacing=CLOSE)
    for same in alike.values():
        share_limits(same)
    label_ends(figure)
    legend(figure, [*handles(study, [panel.groups for panel in drawn]), *further])
    return figure, "" if len(drawn) == len(shown) else f" Drawn are {len(drawn)} of {len(shown)} panels."


def share_limits(axes: Sequence[Axes]) -> None:
    """Gives panels that show the same of several variants the same vertical axis."""
    if len(axes) > 1:
        ends = [panel.get_ylim() for panel in axes]
        for panel in axes:
            panel.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def over_epochs_of(
    study: Study,
    page: Page,
    wanted: Sequence[tuple[str, str]],
    draw: DrawPanel,
    caption: str,
    *,
    prefix: str = "",
    interval: BandOf = bootstrap_band,
    columns: int = 0,
    wide: bool = False,
    further: Sequence[tuple[str, str]] = (),
) -> Drawn:
    """A figure of what ``draw`` draws of pairs of a space and a column or DATASET_SPLIT.

    Args:
        study: that is shown.
        page: how large.
        wanted: the pairs; not empty.
        draw: a panel.
        caption: of the figure.
        prefix: of the columns that the panels show.
        interval: of the means.
        columns: panels beside each other; as many as fit by default.
        wide: all the room there is.
        further: pairs whose numbers are given beside those shown.
    """
    pairs = [(space, prefix + what) for space, what in wanted]
    at_random = by_chance.levels(study, pairs)
    shown = panels_of(study, wanted)
    if wide:  # the same variant of all spaces in a row
        nth = [shown.index(panel) - [other.space for other in shown].index(panel.space) for panel in shown]
        shown = [panel for _, panel in sorted(zip(nth, shown, strict=True), key=lambda entry: entry[0])]
    figure, left_out = figure_of(
        study,
        page,
        shown,
        lambda axes, panel: draw(axes, study, panel.space, panel.what, panel.groups),
        columns or columns_for(beside(shown), page),
        wide,
        [Line2D([], [], color=AT_RANDOM.shade, linestyle=AT_RANDOM.line, label=names.RANDOM)] if len(at_random) else [],
    )
    numbers = pandas.concat([numbers_of(study, [*pairs, *further], interval), at_random], ignore_index=True)
    said = (by_chance.CAPTION if len(at_random) else "") + (line_ends.CAPTION if len(study.methods) >= MANY else "")
    return Drawn(figure, numbers, caption + said + left_out)


def overview(study: Study, page: Page = SCREEN) -> Drawn | None:
    """README's figure: a row per space, table accuracy (first data set and split) and largest eigenvalue."""
    wanted = []
    for space in with_curvature(study):
        wanted += [(space, what) for answer in study.answers(space)[:1] for what in (answer, "eigenvalue_max")]
    if not wanted:
        return None

    def draw(axes: Axes, study: Study, space: str, what: str, groups: Groups = None) -> Axes:
        if what == "eigenvalue_max":
            return draw_hessian(axes, study, space, what, groups)
        return draw_accuracy(axes, study, space, answer_of(what), groups)

    caption = f"Left: table accuracy. Right: largest eigenvalue of the Hessian. {BAND}"
    return over_epochs_of(study, page, wanted, draw, caption, columns=2)


def trajectory(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Error by the table of the current architecture over epochs: a panel per space, data set and split."""
    wanted = with_answers(study)
    if not wanted:
        return None
    caption = f"Error by the table (100 less its accuracy) of the architecture after each epoch. {BAND}"
    return over_epochs_of(study, page, wanted, draw_trajectory, caption, prefix="error_")


def best_so_far(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Lowest error so far: a panel per space, data set and split."""
    wanted = with_answers(study)
    if not wanted:
        return None
    caption = (
        "Lowest error by the table among the architectures of a run up to each epoch, the untrained one included: "
        f"what a search would leave that knew when to stop. It can only fall, also by chance. {BAND}"
    )
    return over_epochs_of(study, page, wanted, draw_best_so_far, caption, prefix="lowest_error_")


def regret(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Regret on a log axis with the standard error of the mean: a panel per space, data set and split."""
    wanted = with_answers(study, "regret_")
    if not wanted:
        return None
    caption = (
        "Regret: the table's accuracy of the best architecture that the space reaches less that of the architecture "
        "after each epoch, as NAS-Bench-1Shot1 draws it. Thick: mean over seeds; thin: single seeds; band: mean less "
        "and plus its standard error, from three seeds on. The axis is logarithmic: a regret of 0 is below it."
    )
    return over_epochs_of(study, page, wanted, draw_regret, caption, prefix="regret_", interval=standard_error)


def hessian(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Largest signed eigenvalue and spectral norm of the Hessian over epochs: a row per space, log axis."""
    wanted = [(space, column) for space in with_curvature(study) for column in CURVATURE]
    if not wanted:
        return None
    caption = (
        "Exact Hessian of the validation loss with respect to the logits. Left: its largest signed eigenvalue; right: "
        f"its spectral norm, the largest absolute eigenvalue. {BAND}"
    )
    return over_epochs_of(study, page, wanted, draw_hessian, caption, columns=len(CURVATURE))


def gap(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Discretisation gap: a panel per space, method and variant, its layers as styles of line."""
    figure, axes = panels_of_groups(study, groups_of(study, study.spaces), page)
    for group, panel in axes.items():
        draw_gap(panel, study, *group)
    outer(study, axes)
    layers = {layer for space in study.spaces for layer in gap_layers(study, space)}
    legend(figure, style_handles(layers, GAP_STYLES))
    columns = [(space, column) for space in study.spaces for column in gap_layers(study, space).values()]
    tables = named_answers(study)
    caption = (
        "Accuracy of the supernet on its validation half with the softmax of the logits and with the one-hot mixture, "
        f"and the table's accuracy of that architecture, trained by itself{tables}. {BAND}"
    )
    return Drawn(figure, numbers_of(study, columns), caption)


def flatness(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Flatness of the table: a panel per space, method and variant, its layers as styles of line."""
    spaces = [space for space in study.spaces if flatness_layers(study, space)]
    if not spaces:
        return None
    figure, axes = panels_of_groups(study, groups_of(study, spaces), page)
    for group, panel in axes.items():
        draw_flatness(panel, study, *group)
    outer(study, axes)
    shown = {layer for space in spaces for layer in flatness_layers(study, space)}
    legend(figure, style_handles(shown, FLATNESS_STYLES))
    wanted = []
    for space in spaces:
        layers = flatness_layers(study, space)
        answer = answer_of(layers["architecture"])
        counts = [name for name in ("neighbours", f"neighbours_missing_{answer}") if name in study.epochs]
        wanted += [(space, column) for column in [*layers.values(), *counts]]
    told = [(study.facts_of(s).title, answer_of(flatness_layers(study, s)["architecture"])) for s in spaces]
    answers = ", ".join(f"{space}: {names.answer_name(answer)}" for space, answer in told)
    caption = (
        "Table accuracy of the architecture after each epoch, and mean and worst table accuracy of all architectures "
        f"that differ from it in one decision ({answers}); neighbours that the table lacks are left out of both and "
        f"counted beside them in the numbers. {BAND}"
    )
    return Drawn(figure, numbers_of(study, wanted), caption)


def rank(study: Study, page: Page = SCREEN) -> Drawn | None:
    """Kendall's tau of supernet against table over epochs: a panel per space, data set and split."""
    wanted = with_answers(study, "rank_tau_")
    if not wanted:
        return None

    def draw(axes: Axes, study: Study, space: str, what: str, groups: Groups = None) -> Axes:
        draw_rank(axes, study, space, what, groups)
        axes.set_title(f"{axes.get_title()}\n{answer_text(what)}", linespacing=CLOSE)
        return axes

    counts = [(space, f"rank_count_{what}") for space, what in wanted if f"rank_count_{what}" in study.epochs]
    sizes = [study.epochs.loc[study.epochs["space"] == space, name].max() for space, name in counts]
    compared = f"up to {max(sizes):.0f} architectures of" if sizes else "the architectures of"
    caption = (
        "Kendall's tau-b between the supernet's accuracy at decided mixtures, on the probe batch of the validation "
        f"half, and the table's accuracy, over {compared} one fixed stratified sample: 1 is the same order, 0 none. "
        f"{BAND}"
    )
    return over_epochs_of(study, page, wanted, draw, caption, prefix="rank_tau_", further=counts)


def paper_trajectory(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The paper's arrangement of the trajectory: S1, S2, S3 in a row, test error where the table knows it."""
    wanted = []
    for space in PAPER_SPACES:
        answers = [answer_of(name) for name in study.answers(space)] if space in study.spaces else []
        wanted += [(space, next((name for name in answers if name.endswith("_test")), name)) for name in answers[:1]]
    if len(wanted) < len(PAPER_SPACES):
        return None
    caption = f"Anytime error by the table in the three spaces of NAS-Bench-1Shot1. {BAND}"
    return over_epochs_of(
        study, page, wanted, draw_trajectory, caption, prefix="error_", columns=MOST_COLUMNS, wide=True
    )


def paper_hessian(study: Study, page: Page = SCREEN) -> Drawn | None:
    """The paper's arrangement of the Hessian: S1, S2, S3 in a row, largest eigenvalue."""
    spaces = with_curvature(study)
    if any(space not in spaces for space in PAPER_SPACES):
        return None
    wanted = [(space, "eigenvalue_max") for space in PAPER_SPACES]
    caption = (
        "Largest signed eigenvalue of the exact Hessian of the validation loss with respect to the logits, in the "
        f"three spaces of NAS-Bench-1Shot1. {BAND}"
    )
    return over_epochs_of(study, page, wanted, draw_hessian, caption, columns=MOST_COLUMNS, wide=True)


def style_handles(names: Collection[str], styles: Mapping[str, LineStyle]) -> list[Artist]:
    """Entries of a legend: a grey line per layer in its style."""
    return [Line2D([], [], color="0.3", linestyle=styles[layer], label=layer) for layer in styles if layer in names]
