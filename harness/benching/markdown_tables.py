"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nas_stability.harness.benching.cases import GROWN, HESSIAN, Ratio, StepCost


def rounded(value: Any) -> Any:
    """A float with four significant digits; anything else as it is."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def tables(found: Sequence[StepCost], compared: Sequence[Ratio]) -> str:
    """What was measured, and every ratio beside its bar, as two tables in Markdown."""
    lines = [["space", "size", "what", "", "seconds", "GFLOP", "% of peak", "operations", "dispatched", "peak MB"]]
    for cost in found:
        numbers = f"{cost.seconds_median:.3g}", f"{cost.gflop:.3g}", f"{100 * cost.share_of_peak:.3g}"
        place = cost.space, cost.size, cost.what, cost.implementation
        lines.append([*place, *numbers, f"{cost.operations}", f"{cost.dispatched}", f"{cost.peak_mb:.3g}"])
    text = markdown(lines, 4)
    if compared:
        lines = [["space", "size", "what", "beside", "ratio", "verdict", "median", "low", "high", "bar"]]
        for row in compared:
            bar = "" if row.bar is None else f"{'<=' if row.quantity == 'peak_mb' else '>='} {row.bar:g}"
            verdict = {True: "met", False: "not met", None: ""}[row.met]
            words = row.space, row.size, row.what, row.beside, RATIO_NAMES[row.quantity], verdict
            lines.append([*words, f"{row.median:.2f}", f"{row.low:.2f}", f"{row.high:.2f}", bar])
        text += "\n\n" + markdown(lines, 6)
    return text


def markdown(lines: Sequence[Sequence[str]], words: int) -> str:
    """A table with its columns aligned; the first ``words`` columns are words, the others numbers."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    rows = [
        [
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


RATIO_NAMES = {"seconds": "times faster", "operations": "times fewer operations", "peak_mb": "share of peak memory"}


BARS: dict[str, dict[tuple[str, str], dict[str, float]]] = {
    "literal": {
        ("seconds", "darts"): {"nasbench201": 1.7, "nasbench1shot1": 1.5, "darts": 1.43},
        ("seconds", "sdarts-rs"): {"nasbench201": 1.7, "nasbench1shot1": 1.5, "darts": 1.43},
        ("seconds", "sdarts-adv"): {"nasbench201": 2.2, "nasbench1shot1": 2.0, "darts": 1.82},
        ("seconds", HESSIAN): {"nasbench201": 2.0, "nasbench1shot1": 2.0, "darts": 2.5},
        **{("operations", method): {"nasbench201": 3.0, "nasbench1shot1": 3.0} for method in GROWN},
        ("peak_mb", "sdarts-adv"): {"nasbench201": 0.7, "nasbench1shot1": 0.7},
    },
    "darts": {("seconds", "pc-darts"): {"nasbench201": 1.67, "nasbench1shot1": 1.67}},
}
"""By what ours is beside, quantity and what: the ratio to reach, by family of spaces; that of memory is the most, the
others the least. PC-DARTS mixes a quarter of the channels, and is to take at most 0.6 of the time of DARTS."""
