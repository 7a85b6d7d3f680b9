"""Stability studies of differentiable architecture search, from a script or a notebook.

    import nas_stability as ns

    spec = ns.run_spec({"space": "nasbench201", "method": "sdarts-rs", "data": "digits", "epochs": 24})
    run = ns.run(spec, "results/mine", on_epoch=print)
    study = ns.study("mine.toml", workers=2)
    ns.claims(study)
    ns.figure(study, "hessian")
    ns.table("nasbench201").score(run.arch, "cifar10", "valid", 200)

Everything else is importable as nas_stability.benchmarks, .harness and .analysis, and may change. Nothing heavy is
imported before it is needed: neither PyTorch nor pandas by ``import nas_stability``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas_stability.analysis.report import Report
    from nas_stability.analysis.study import Study
    from nas_stability.api import Run, StudyFailed, claims, figure, load, methods, report, run, spaces, study, table
    from nas_stability.benchmarks.errors import BadInput
    from nas_stability.benchmarks.tables.table import Table
    from nas_stability.harness.specs.filled_in import run_spec
    from nas_stability.harness.specs.spec import RunSpec

__all__ = [
    "BadInput",
    "Report",
    "Run",
    "RunSpec",
    "Study",
    "StudyFailed",
    "Table",
    "claims",
    "figure",
    "load",
    "methods",
    "report",
    "run",
    "run_spec",
    "spaces",
    "study",
    "table",
]

HOMES = {
    "BadInput": "nas_stability.benchmarks.errors",
    "Report": "nas_stability.analysis.report",
    "RunSpec": "nas_stability.harness.specs.spec",
    "Study": "nas_stability.analysis.study",
    "Table": "nas_stability.benchmarks.tables.table",
    "run_spec": "nas_stability.harness.specs.filled_in",
}
"""Where a public name is from; the others are from nas_stability.api."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'nas_stability' has no attribute {name!r}; it has: {', '.join(__all__)}")
    found = getattr(importlib.import_module(HOMES.get(name, "nas_stability.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, before they are imported too."""
    return sorted({*globals(), *__all__})
