"""The figures of a study by name: a study in, a figure, the numbers drawn and a caption out.

The figures of one kind and their panels are in curves, spectrum, final_cells and planes; what they share in panels.
"""

from __future__ import annotations

from nas_stability.analysis.figures.ablation import ablation
from nas_stability.analysis.figures.final_cells import cells, operations
from nas_stability.analysis.figures.panels import PAPER, SCREEN, Draw, Drawn, Page, colour, style
from nas_stability.analysis.figures.planes import landscape, paper_landscape
from nas_stability.analysis.figures.spectrum import eigenvalue_fall, spectrum
from nas_stability.analysis.figures.trajectories import (
    best_so_far,
    flatness,
    gap,
    hessian,
    overview,
    paper_hessian,
    paper_trajectory,
    rank,
    regret,
    trajectory,
)

__all__ = ["FIGURES", "PAPER", "SCREEN", "Draw", "Drawn", "Page", "colour", "style"]

FIGURES: dict[str, Draw] = {
    "overview": overview,
    "trajectory": trajectory,
    "best-so-far": best_so_far,
    "regret": regret,
    "hessian": hessian,
    "spectrum": spectrum,
    "eigenvalue-fall": eigenvalue_fall,
    "operations": operations,
    "cells": cells,
    "landscape": landscape,
    "gap": gap,
    "flatness": flatness,
    "rank": rank,
    "ablation": ablation,
    "paper-trajectory": paper_trajectory,
    "paper-hessian": paper_hessian,
    "paper-landscape": paper_landscape,
}
