"""What a study's file says of claims: its sections [claims] and [[claim]]. The standard library only.

[claims]
question = "..."     what the study asks, in a sentence
count = [...]        names of the claims that count: corrected over these alone, all others are exploratory

[[claim]]            a claim of the study's own: a template of OWN, a method, and the base it is compared with
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.harness.specs.section import Section

OWN = ("deteriorates-less", "ends-better", "hessian-smaller", "flatter", "costs-more")
"""What a study's own claim may say of a method and its base: the templates over pairs of analysis/claims."""

CLAIM_KEYS = ("template", "method", "base")
"""Of [[claim]]."""

COUNTING = "counting"
"""Of study.json: what the study is to decide."""

COUNTING_KEYS = ("question", "count")
"""Of [claims]."""


class Counting(NamedTuple):
    """What a study is to decide, as it stands in its file before any of its seeds has run.

    Attributes:
        question: in a sentence.
        claims: names of those that count.
    """

    question: str = ""
    claims: tuple[str, ...] = ()


NOTHING_COUNTS = Counting()
"""Of a study that did not say: all that it is judged by is corrected together."""


def refuse_unknown_keys(section: Section, entries: Collection[str], known: Collection[str]) -> None:
    """Refuses an entry of another name, with its line and the nearest known one.

    Raises:
        BadInput: naming file, line and name.
    """
    for key in entries:
        if key not in known:
            raise section.error(key, unknown("key", key, known))


def claim_of(section: Section, entries: object, methods: Collection[str]) -> tuple[str, str, str]:
    """Template, method and base of one [[claim]], whose methods are among those of the study.

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    if not isinstance(entries, dict):
        raise section.error("claim", BadInput("'claim' is written [[claim]], once per claim"))
    refuse_unknown_keys(section, entries, CLAIM_KEYS)
    known = {"template": OWN, "method": methods, "base": methods}
    found = {
        key: value.lower().replace("_", "-") if isinstance(value, str) else value for key, value in entries.items()
    }
    for key, names in known.items():
        if key not in entries:
            keys = ", ".join(CLAIM_KEYS)  # no key of any section, so that the line is the claim's own
            raise section.error(keys, BadInput(f"the claim lacks {key!r}: it takes {keys}"))
        if found[key] not in list(names):
            kind = "template of claims" if key == "template" else "method of the study"
            raise section.error(key, unknown(kind, entries[key], names))
    if found["method"] == found["base"]:
        raise section.error("base", BadInput(f"the claim compares {shown(entries['base'])} with itself"))
    return found["template"], found["method"], found["base"]


def counting_of(section: Section, entries: object) -> Counting:
    """What [claims] says. Whether the study is judged by claims of these names is the analysis's to say.

    Raises:
        BadInput: naming file, line and the nearest known name.
    """
    if not isinstance(entries, dict):
        raise section.error("claims", BadInput("'claims' is written [claims], once; a claim of its own is a [[claim]]"))
    refuse_unknown_keys(section, entries, COUNTING_KEYS)
    question, names = entries.get("question", ""), entries.get("count", [])
    if not isinstance(question, str):
        raise section.error("question", BadInput(f"'question' takes a sentence, not {shown(question)}"))
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise section.error("count", BadInput(f"'count' takes a list of names of claims, not {shown(names)}"))
    for name in names:
        if names.count(name) > 1:
            raise section.error("count", BadInput(f"'count' has {shown(name)} twice"))
    return Counting(question, tuple(names))
