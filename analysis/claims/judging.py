"""Verdicts: which claims of the paper a study's data support, and how many seeds would decide the others.

How a verdict is reached, for every claim alike:

* The statistic compares the last quarter of the epochs with the second quarter, or two methods in the last quarter;
  quarters are of each run's own epochs, also where a stopping rule ended it. A run's best epoch is chosen by its
  accuracy, so that best less last is positive for noise alone; two fixed windows have no such bias.
* The unit is the seed: methods are compared within seeds, which share initial weights and batches. A seed that lacks a
  value is counted as missing.
* A claim is judged within each variant (everything of a spec but space, method and seed): methods are compared where
  they have the same values of all fields that vary within one of them, and nothing is averaged over variants. Where
  whole methods differ in a field, the reason says so.
* The threshold is the smallest effect of interest, and one threshold serves both verdicts. Supported: the effect lies
  beyond it on the claimed side. Not supported: the effect lies on the other side of it, so that whatever there is is
  too small to matter, or the reverse. Undecided: the data allow both.
* The test is a two-sided t test of the threshold (Welch's mean over spaces in the pooled rows; Fisher's z for a
  correlation), Holm-corrected over all rows of the study. Besides, the exact permutation test of the same seeds must
  reach 5 % by itself: signs of whole differences flipped about the threshold, or whole seeds permuted. The t test alone
  has power with few seeds but trusts in the normal distribution: with three seeds of a search that either collapses or
  does not it supports a claim without any effect in one study of eight. The permutation test alone is exact for every
  symmetric distribution, but its smallest P value with n seeds, 1 / 2^n, is soon lost in a correction for 40 rows.
  Together: no single claim is supported without an effect in more than 5 % of studies, whatever the (symmetric) noise.
  All of a study's claims together are held to 5 % as far as Holm's t test is: in simulations 0 to 3 % of studies with
  normal, heavy-tailed, autocorrelated or collapsing trajectories. With fourteen independent claims and noise that is
  uniform it was 5 to 6 %, with differences of just two sizes 7 to 36 % (ten to five seeds), and with noise skewed away
  from the claimed side about a third, each single claim still at 3 %: read a lone verdict among many with that in mind.
  Hence five seeds at least (four for the correlation); three or four decide little in one space.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy
import pandas

from nas_stability.analysis.claims.evidence import LEVEL, Evidence
from nas_stability.analysis.claims.offered import blamed, offered_claims
from nas_stability.analysis.claims.statements import ACCURACY, Claim, claims
from nas_stability.analysis.claims.verdicts import COUNTED, EXPLORATORY, markdown, printed, records
from nas_stability.analysis.comparable import Alike, Compared, compare
from nas_stability.analysis.names import SURROGATE
from nas_stability.analysis.readable import number
from nas_stability.analysis.statistics.intervals import FEWEST, Floats
from nas_stability.analysis.statistics.power import MOST_SEEDS
from nas_stability.analysis.statistics.significance import holm
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import natural

__all__ = ["COLUMNS", "POOLED", "Claim", "judge", "markdown", "printed", "records"]

POOLED = "all spaces"
"""In the column ``space``: the mean over the spaces, every space counting alike."""

COLUMNS = (
    *("claim", "statement", "space", "variant", "statistic", "unit", "estimate", "low", "high", "interval", "n"),
    *("missing", "p", "direction", "threshold", "verdict", "seeds_needed", "reason", "counts"),
)
"""Of a judged study; what each holds is said at ``judge``."""


def judge(study: Study) -> pandas.DataFrame:
    """Every claim of the study in every space and variant, and over all spaces where at least two have data.

    Behind the claims of TEMPLATES and the study's own come those that plug-ins offer about one of its methods, or all.

    Raises:
        BadInput: a landscape is damaged; a plug-in's claim has the name of another one, is none, or breaks.

    Returns:
        claim: its name, METHOD-TEMPLATE, in the order of TEMPLATES.
        statement: the claim in one sentence.
        space: or ``all spaces``: the mean over them, every space counting alike.
        variant: whose runs are compared; empty where nothing varies.
        statistic, unit: what is estimated.
        estimate, low, high, interval: with its own 95 % interval, and what that is; NaN where refused.
        n: seeds with a value under all methods compared (summed over the spaces in the pooled row).
        missing: seeds without.
        p: two-sided P value of the threshold, Holm-corrected over the study, or where it said beforehand which claims
            count, over these alone and over the others alone; NaN where too few seeds for a verdict.
        direction, threshold: the claim is that the effect is above (or below) the threshold.
        verdict: supported, not supported, undecided, no data.
        seeds_needed: seeds in each space, those there are included, that would decide with 80 % power if the effect
            and the spread were as observed; missing (NA) where decided, unknown or beyond MOST_SEEDS.
        reason: one line for people.
        counts: "yes" for the claims that the study said beforehand are to count, "exploratory" for all others of such a
            study; empty where it said nothing.
    """
    own = claims(study.methods, study.claims)
    others = offered_claims(study.methods, own)
    addresses = {name: address for name, (address, _) in others.items()}
    wanted = [*own, *(claim for _, claim in others.values())]
    found = compare(study, [claim.methods for claim in wanted])
    expected = {space for space in study.spaces if next(iter(study.answers(space)), "").endswith(SURROGATE)}
    cases: list[Hypothesis] = []
    values: list[float] = []
    for claim in wanted:
        with blamed(claim, addresses):
            cases += cases_of(claim, found, expected)
            values += [p_value(case.evidence) for case in cases[len(values) :]]
    family = [case.claim.name in study.counting.claims for case in cases]
    corrected, sides, tests, levels = numpy.array(values), [0] * len(cases), {}, {}
    for counted in set(family):
        here = [place for place, one in enumerate(family) if one == counted]
        corrected[here] = holm(corrected[here])
        tests[counted] = int((~numpy.isnan(corrected[here])).sum())
        for place in here:
            with blamed(cases[place].claim, addresses):
                sides[place] = decided(cases[place], corrected[place])
        levels[counted] = LEVEL / max(1, sum(1 for place in here if cases[place].evidence and not sides[place]))
    rows = []
    for case, p, side, counted in zip(cases, corrected, sides, family, strict=True):
        with blamed(case.claim, addresses):
            rows.append(row(case, p, side, tests[counted], levels[counted]))
            if told_by_surrogate(case.claim, case.space, expected):
                rows[-1]["statement"] = f"By a surrogate: {rows[-1]['statement']}"
        if study.counting.claims:
            rows[-1]["counts"] = COUNTED if counted else EXPLORATORY
    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype({"seeds_needed": "Int64"})


class Hypothesis(NamedTuple):
    """A claim in one space, or over all, and one variant.

    Attributes:
        claim: that is judged.
        space: where.
        variant: whose runs are compared.
        present: seeds with a value.
        missing: seeds without.
        evidence: None without data.
        reason: why there is none, or what was left out.
    """

    claim: Claim
    space: str
    variant: str
    present: int
    missing: int
    evidence: Evidence | None
    reason: str


def told_by_surrogate(claim: Claim, space: str, expected: Collection[str]) -> bool:
    """Whether what a claim compares in a space was not measured; ``expected``: the spaces whose answers are so."""
    return space in expected and ACCURACY in claim.data


def cases_of(claim: Claim, found: Mapping[str, Compared], expected: Collection[str] = ()) -> list[Hypothesis]:
    """A claim in every space and variant, and over those spaces that have enough seeds if they are two or more.

    Spaces where a surrogate stands for the table are not averaged with others.
    """
    cases: list[Hypothesis] = []
    pooled: dict[str, dict[str, tuple[Floats, int]]] = {}
    for space, compared in found.items():
        parts = compared[claim.methods]
        reason = unmatched(claim, parts)
        if reason:
            cases.append(Hypothesis(claim, space, "", 0, 0, None, reason))
            continue
        for part in parts:
            lacking = [name for name in claim.methods if name not in part.methods]
            if lacking:
                reason = f"no finished run of {' and '.join(lacking)} with the same fields"
                cases.append(Hypothesis(claim, space, part.variant, 0, 0, None, reason))
                continue
            case, sample = case_of(claim, space, part)
            cases.append(case)
            if case.present >= FEWEST and not told_by_surrogate(claim, space, expected):
                pooled.setdefault(part.variant, {})[space] = sample, case.missing
    for variant in sorted(pooled, key=natural):
        samples = [sample for sample, _ in pooled[variant].values()]
        if len(samples) > 1:
            left_out = [space for space in found if space not in pooled[variant]]
            cases.append(
                Hypothesis(
                    claim,
                    POOLED,
                    variant,
                    sum(map(len, samples)),
                    sum(missing for _, missing in pooled[variant].values()),
                    claim.weigh(samples, claim.inner(claim.threshold)),
                    f"without {', '.join(left_out)}" if left_out else "",
                )
            )
    return cases


def unmatched(claim: Claim, parts: Sequence[Alike]) -> str:
    """Why a claim cannot be judged in any variant of a space; empty where it can."""
    seen = {method for part in parts for method in part.methods}
    absent = [name for name in claim.methods if name not in seen]
    if absent:
        return f"no finished run of {' and '.join(absent)}"
    if claim.methods and not any(part.methods == claim.methods for part in parts):
        values = {name: [part.values for part in parts if name in part.methods] for name in claim.methods}
        told = "; ".join(f"{name} with {', '.join(texts)}" for name, texts in values.items())
        return f"no variant of {' and '.join(claim.methods)} is the same ({told})"
    return ""


def case_of(claim: Claim, space: str, part: Alike) -> tuple[Hypothesis, Floats]:
    """A claim in one variant of a space, and its sample."""
    sample = claim.statistic(part.found)[numpy.any([part.found["seen", name] > 0 for name in part.methods], axis=0)]
    whole = ~numpy.isnan(sample).reshape(len(sample), -1).any(1)
    present, missing = int(whole.sum()), int((~whole).sum())
    if not present:
        reason = f"no seed has {claim.data} under {' and '.join(part.methods)}"
        return Hypothesis(claim, space, part.variant, 0, missing, None, reason), sample[whole]
    evidence = claim.weigh([sample[whole]], claim.inner(claim.threshold))
    return Hypothesis(claim, space, part.variant, present, missing, evidence, part.differ), sample[whole]


def p_value(evidence: Evidence | None) -> float:
    """Of a claim that so many seeds could decide; NaN where they could not, whatever they say."""
    return math.nan if evidence is None or evidence.attainable > LEVEL else evidence.p


def decided(case: Hypothesis, p: float) -> int:
    """+1 if the effect is above the threshold, -1 if below, 0 if undecided; p is the corrected P value."""
    if case.evidence is None or not p <= LEVEL:
        return 0
    side = 1 if case.evidence.interval.estimate > case.claim.inner(case.claim.threshold) else -1
    return side if case.evidence.exact(side) <= LEVEL else 0


def row(case: Hypothesis, p: float, side: int, tests: int, level: float) -> dict[str, object]:
    """A case as a row of COLUMNS.

    Args:
        case: to show.
        p: corrected P value.
        side: as ``decided`` has it.
        tests: over which it was corrected.
        level: at which an undecided case would be tested with more seeds.
    """
    claim = case.claim
    shown: dict[str, object] = {
        "claim": claim.name,
        "statement": claim.statement,
        "space": case.space,
        "variant": case.variant,
        "statistic": claim.words,
        "unit": claim.unit,
        "estimate": math.nan,
        "low": math.nan,
        "high": math.nan,
        "interval": "",
        "n": case.present,
        "missing": case.missing,
        "p": p,
        "direction": "above" if claim.direction > 0 else "below",
        "threshold": claim.threshold,
        "verdict": "no data",
        "seeds_needed": None,
        "reason": case.reason,
        "counts": "",
    }
    if case.evidence is None:
        return shown
    found = case.evidence.interval
    estimate, low, high = claim.shown(found.estimate), claim.shown(found.low), claim.shown(found.high)
    shown |= {"estimate": estimate, "low": low, "high": high, "interval": found.kind + " on a log scale" * claim.ratio}
    needed = None if side else case.evidence.needed(level)
    shown["verdict"] = {claim.direction: "supported", 0: "undecided", -claim.direction: "not supported"}[side]
    shown["seeds_needed"] = needed
    parts = [conclusion(case, p, side, tests)]
    if not side and not math.isnan(found.low):
        parts.append(f"{needed} seeds would decide" if needed else f"not even {MOST_SEEDS:,} seeds would decide")
    if case.missing:
        parts.append(f"{case.missing} of {case.present + case.missing} seeds lack {claim.data}")
    shown["reason"] = "; ".join([*parts, *([case.reason] if case.reason else [])])
    return shown


def conclusion(case: Hypothesis, p: float, side: int, tests: int) -> str:
    """Why the verdict is what it is, without what would change it."""
    claim, evidence = case.claim, case.evidence
    assert evidence is not None
    found = evidence.interval
    limit = f"{number(claim.threshold)} {claim.unit}"
    where = "above" if found.estimate > claim.inner(claim.threshold) else "below"
    if side == claim.direction:
        return f"the effect is {where} {limit} (p = {p:.2g} after Holm over {tests} tests)"
    if side:
        return f"the effect is {where} {limit}, the smallest of interest (p = {p:.2g} after Holm over {tests} tests)"
    if math.isnan(found.low):
        return found.reason
    if evidence.attainable > LEVEL:
        return f"too few seeds: an exact test of {case.present} cannot reach a P value below {evidence.attainable:.2g}"
    if found.low <= claim.inner(claim.threshold) <= found.high:
        return f"the interval holds {limit}"
    if p > LEVEL:
        return f"{where} {limit} by itself, but not after Holm over {tests} tests (p = {p:.2g})"
    return f"{where} {limit} by the t test, but not by the exact permutation test"
