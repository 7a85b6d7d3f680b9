"""The pages of what there is: methods, spaces, studies, tables, claims, figures, from their registries."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from command_pages import escaped

from nas_stability.analysis.claims.statements import TEMPLATES, Template, pairs, rivals
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.analysis.readable import number
from nas_stability.analysis.report import TABLES as REPORT_TABLES
from nas_stability.benchmarks.catalog import TABLES
from nas_stability.benchmarks.spaces.facts import FACTS, Facts
from nas_stability.benchmarks.tables.packing import DUMPS
from nas_stability.field_flags import text_of
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs import study_file
from nas_stability.listing import described, first_sentence

EXAMPLE = {"method": "sdarts-rs", "base": "darts"}
"""The methods that a claim's sentence is shown with."""


def pages() -> dict[str, str]:
    """Place on the site -> Markdown."""
    return {
        "reference/methods.md": methods(),
        "reference/spaces.md": spaces(),
        "reference/studies.md": studies(),
        "reference/tables.md": shipped_tables(),
        "reference/claims.md": claims(),
        "reference/figures.md": figures(),
    }


def definitions(rows: Mapping[str, str]) -> str:
    """Names and what they are, as a list of definitions."""
    return "".join(f"\n`{name}`\n:   {text}\n" for name, text in rows.items())


def first_line(thing: object) -> str:
    """The first paragraph of a docstring."""
    return escaped((inspect.getdoc(thing) or "").partition("\n\n")[0])


def methods() -> str:
    """Every method and its parts."""
    return (
        "# Methods\n\nEach is a composition of named parts; what is not said is as in DARTS. `BASE-rs` and `BASE-adv` "
        "are generated of every base that can be perturbed. One of your own: [Own method](../how-to/own-method.md).\n"
        + definitions({name: escaped(described(method)) for name, method in METHODS.items()})
    )


def spaces() -> str:
    """Every space: its operations, its decisions, its published settings."""
    text = "# Spaces\n\nOne of your own: [Own space](../how-to/own-space.md).\n"
    return text + "".join(space(name, facts) for name, facts in FACTS.items())


def space(name: str, facts: Facts) -> str:
    """One space."""
    rows = {
        "called": escaped(facts.title),
        "operations": ", ".join(f"`{one}`" for one in facts.operations),
        "its public table answers for": ", ".join(facts.datasets) or "nothing: it has none",
        "an architecture is written as": escaped(facts.form.words) if facts.form else "any text",
        "published settings": ", ".join(f"`{field} = {text_of(value)}`" for field, value in facts.defaults.items()),
    }
    return f"\n## {name}\n\n" + "".join(f"* {what}: {text}\n" for what, text in rows.items() if text)


def studies() -> str:
    """Every shipped study with its file."""
    text = "# Shipped studies\n\n`nas-stability study NAME` runs one; `--set FIELD=VALUE` varies it without a file.\n"
    for name, path in study_file.shipped().items():
        text += f"\n## {name}\n\n{escaped(first_sentence(path))}\n\n```toml\n{path.read_text('utf-8').rstrip()}\n```\n"
    return text


def shipped_tables() -> str:
    """Every table that comes with the package, and every official one that can be packed."""
    shipped = {name: f"{escaped(opened().source.partition(' {')[0])}." for name, opened in TABLES.items()}
    dumps = {
        name: f"{dump.archs:,} architectures, {one_or_more(dump.budgets)} epochs; licence {escaped(dump.license)}; "
        + (f"`table fetch {name}`" if dump.urls else f"by hand from `{dump.page}`, then `table pack {name} FILE`")
        for name, dump in DUMPS.items()
    }
    return (
        "# Tables\n\nWhat can be asked for accuracies; `nas-stability tables` says which are on this machine. How they "
        "are packed, imported and trained: [Tables](../how-to/tables.md).\n\n## That come with the package\n"
        f"{definitions(shipped)}\n## Official ones that can be packed\n{definitions(dumps)}"
    )


def one_or_more(numbers: tuple[int, ...]) -> str:
    """Numbers as people list them."""
    return ", ".join(map(str, numbers))


def claims() -> str:
    """Every claim that a study is judged by."""
    text = (
        "# Claims\n\nWhat a study is judged by; how a verdict is reached is in [Verdicts](../understand/verdicts.md). "
        "A claim's name is METHOD-TEMPLATE; sentences are shown with SDARTS-RS and DARTS. Where a template is over a "
        "method and its base, `[[claim]]` in a study's file says it of any two methods.\n"
    )
    return text + "".join(claim(name, template) for name, template in TEMPLATES.items())


def claim(name: str, template: Template) -> str:
    """One claim: its sentence, its statistic, its threshold."""
    among = template.over([EXAMPLE["base"], EXAMPLE["method"], "sdarts-adv"])[0]
    made = template.claim("-".join((*among[:1], name)), *among)
    side = "above" if made.direction > 0 else "below"
    over = {pairs: "each BASE-rs, BASE-adv with its BASE", rivals: "each BASE-adv with its BASE-rs"}
    whose = over.get(template.over, "all methods together" if not among else "each method that stabilises no other")
    rows = {
        "of": whose,
        "statistic": escaped(made.words),
        "supported where it is": f"{side} {number(made.threshold)} {made.unit}",
        "needs": escaped(made.data),
    }
    return f"\n## {name}\n\n{escaped(made.statement)}\n\n" + "".join(
        f"* {what}: {text}\n" for what, text in rows.items()
    )


def figures() -> str:
    """Every figure and table of a report."""
    text = (
        "# Figures and tables of a report\n\n`nas-stability report STUDY` writes all for which the study has data, "
        "each figure as PNG and PDF with its numbers as CSV; `--only NAME` one of them. In Python: "
        '`ns.figure(study, "NAME")`.\n\n## Figures\n'
    )
    text += definitions({name: first_line(draw) for name, draw in FIGURES.items()})
    return text + "\n## Tables\n" + definitions({name: first_line(make) for name, make in REPORT_TABLES.items()})
