"""What a study means: pandas in, tables and figures out; never torch.

In a notebook:

    from nas_stability import analysis
    from nas_stability.analysis import curves, tables
    from matplotlib import pyplot

    study = analysis.load("results/quick")
    study.epochs.groupby("method")["accuracy_cifar10_valid"].max()
    tables.results(study)
    figure, axes = pyplot.subplots()
    curves.draw_trajectory(axes, study, "nasbench201", "cifar10_valid")

Each ``draw_X(axes, ...)`` of curves, spectrum, cells and landscape draws one panel and returns its axes; ``FIGURES`` of
plots has whole figures with their numbers and captions.
"""

from nas_stability.analysis.study import Study, load

__all__ = ["Study", "load"]
