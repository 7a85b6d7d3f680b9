"""What a study means: pandas in, tables and figures out; never torch.

import analysis

study = analysis.load("results/quick")
study.epochs.groupby("method")["accuracy_cifar10_valid"].max()
"""

from analysis.study import Study, load

__all__ = ["Study", "load"]
