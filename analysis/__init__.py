"""What a study means: pandas in, tables and figures out; never torch.

In a notebook:

    from matplotlib import pyplot

    import nas_stability as ns
    from nas_stability.analysis import summaries
    from nas_stability.analysis.figures import curves

    study = ns.load("results/quick")
    study.epochs.groupby("method")["accuracy_cifar10_valid"].max()
    summaries.results(study)
    figure, axes = pyplot.subplots()
    curves.draw_trajectory(axes, study, "nasbench201", "cifar10_valid")

Each ``draw_X(axes, ...)`` of figures/ draws one panel and returns its axes; ``FIGURES`` of
figures/figures.py has whole figures with their numbers and captions.
"""

from nas_stability.analysis.study import Study, load

__all__ = ["Study", "load"]
