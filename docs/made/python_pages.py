"""The pages of Python names: the public ones, and the modules that whoever extends the harness needs."""

from __future__ import annotations

import nas_stability

MODULES = {
    "Plug-ins": (
        "testing",
        "harness.methods.compositions",
        "harness.methods.perturbations",
        "harness.methods.relaxations",
        "harness.methods.architects",
        "harness.methods.regularisers",
        "harness.methods.after_step",
        "harness.methods.stopping_rules",
        "harness.methods.restarts",
        "harness.methods.choices",
        "harness.methods.variants",
        "harness.methods.losses",
        "harness.methods.weight_optimizers",
        "harness.specs.fields",
        "benchmarks.spaces.space",
        "benchmarks.spaces.facts",
        "benchmarks.tables.table",
        "benchmarks.tables.open_file",
        "benchmarks.images.dataset",
        "analysis.claims.statements",
        "analysis.figures.panels",
    ),
    "Reading": (
        "harness.records.record",
        "harness.records.folder",
        "analysis.study",
        "analysis.claims.judging",
        "analysis.statistics.intervals",
        "analysis.statistics.significance",
        "analysis.statistics.power",
        "analysis.statistics.survival",
        "analysis.statistics.correlation",
    ),
    "Searching": (
        "harness.specs.spec",
        "harness.search",
        "harness.state",
        "harness.measuring.curvature",
        "harness.measuring.measure",
        "benchmarks.catalog",
        "benchmarks.errors",
    ),
}
"""Heading -> modules of nas_stability, each with a page of its own."""


def place_of(module: str) -> str:
    """Where a module's page is."""
    return f"reference/python/{module}.md"


def pages() -> dict[str, str]:
    """Place on the site -> Markdown."""
    modules = [module for group in MODULES.values() for module in group]
    return {place_of("nas_stability"): public(), **{place_of(module): page(module) for module in modules}}


def nav() -> list[dict[str, object]]:
    """The pages for the navigation."""
    groups = {
        heading: [{module.rpartition(".")[2]: place_of(module)} for module in group]
        for heading, group in MODULES.items()
    }
    return [{"nas_stability": place_of("nas_stability")}, *({heading: group} for heading, group in groups.items())]


def public() -> str:
    """The page of the names that ``import nas_stability`` offers; a module with a page of its own is linked."""
    homes = {name: nas_stability.HOMES.get(name, "nas_stability.api") for name in nas_stability.__all__}
    known = {f"nas_stability.{module}": module for group in MODULES.values() for module in group}
    elsewhere = {name: known[home] for name, home in homes.items() if home in known}
    listed = "".join(f"* [`{name}`]({module}.md#{homes[name]}.{name})\n" for name, module in elsewhere.items())
    here = "".join(f"\n::: {home}.{name}\n" for name, home in homes.items() if name not in elsewhere)
    return f"# nas_stability\n\n{nas_stability.__doc__}\nDescribed with their modules:\n\n{listed}{here}"


def page(module: str) -> str:
    """The page of a module."""
    return f"# {module}\n\n::: nas_stability.{module}\n    options:\n      show_root_heading: false\n"
