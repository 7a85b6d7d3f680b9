"""The figures of a study by name: a study in, a figure, the numbers drawn and a caption out.

The figures of one kind and their panels are in curves, spectrum, final_cells and planes; what they share in panels.
"""

from __future__ import annotations

from nas_stability.analysis.figures import (
    ablation,
    final_cells,
    multiples,
    planes,
    policies,
    smoothing,
    spectrum,
    trajectories,
)
from nas_stability.analysis.figures.panels import PAPER, SCREEN, DrawFigure, Drawn, Page, colour, style

__all__ = ["FIGURES", "PAPER", "SCREEN", "DrawFigure", "Drawn", "Page", "colour", "style"]

FIGURES: dict[str, DrawFigure] = {
    "overview": trajectories.overview,
    "trajectory": trajectories.trajectory,
    "methods": multiples.methods,
    "best-so-far": trajectories.best_so_far,
    "regret": trajectories.regret,
    "hessian": trajectories.hessian,
    "spectrum": spectrum.spectrum,
    "eigenvalue-fall": spectrum.eigenvalue_fall,
    "operations": final_cells.operations,
    "cells": final_cells.final_graphs,
    "landscape": planes.landscape,
    "gap": trajectories.gap,
    "flatness": trajectories.flatness,
    "rank": trajectories.rank,
    "ablation": ablation.ablation,
    "smoothing": smoothing.smoothing,
    "policies": policies.policies,
    "paper-trajectory": trajectories.paper_trajectory,
    "paper-hessian": trajectories.paper_hessian,
    "paper-landscape": planes.paper_landscape,
}
