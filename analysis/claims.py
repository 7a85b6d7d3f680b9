"""Verdicts: which claims of the paper a study's data support, and how many seeds would decide the others.

How a verdict is reached, for every claim alike:

* The statistic compares the last quarter of the epochs with the second quarter, or two methods in the last quarter. A
  run's best epoch is chosen by its accuracy, so that best less last is positive for noise alone; two fixed windows have
  no such bias.
* The unit is the seed: methods are compared within seeds, which share initial weights and batches. Runs of one method
  and seed that differ otherwise (an ablation) are averaged first. A seed that lacks a value is counted as missing.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy
import pandas
from scipy import special

from analysis.stats import (
    CONFIDENCE,
    FEWEST,
    MOST_SEEDS,
    POWER,
    Interval,
    fisher_interval,
    holm,
    mean_test,
    seed_permutation_test,
    seeds_needed,
    sign_flip_test,
    within_correlation,
)
from analysis.study import Floats, Study
from analysis.tables import cell, number
from benchmarks.errors import BadInput

LEVEL = 1 - CONFIDENCE
"""Family-wise: the chance that any claim of a study without effects is decided wrongly."""

POOLED = "all spaces"
"""In the column ``space``: the mean over the spaces, every space counting alike."""

RADIUS = 1.0
"""Of the disc around the searched alpha in which the landscape is called flat or not; unit of the columns x and y."""

LANDSCAPE = "landscape.csv"
"""Optional file of a run's folder: x, y (0, 0 is the searched alpha), valid_accuracy in percent, and more."""

COLUMNS = (
    *("claim", "statement", "space", "statistic", "unit", "estimate", "low", "high", "interval", "n", "missing", "p"),
    *("direction", "threshold", "verdict", "seeds_needed", "reason"),
)
"""Of a judged study; what each holds is said at ``judge``."""

Quantities = Mapping[tuple[str, str], Floats]
"""(quantity, method) -> (seeds,) of one space, NaN where missing; the quantities are those of ``quantities``."""


class Evidence(NamedTuple):
    """What the samples of one claim say about its threshold; all on the scale of the test.

    Attributes:
        interval: the estimate and its own 95 % interval.
        p: two-sided, of the effect being just the threshold; NaN where the interval is refused.
        attainable: the smallest P value that the exact test of so many seeds can have.
        exact: the exact test's P value for a direction (+1: the effect is above the threshold).
        needed: level -> seeds in each space that would decide, None where no sensible number would.
    """

    interval: Interval
    p: float
    attainable: float
    exact: Callable[[int], float]
    needed: Callable[[float], int | None]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper that data can speak to.

    Attributes:
        name: key in CLAIMS.
        statement: in one sentence.
        statistic: quantities of one space -> (seeds,) differences, or (seeds, methods, 2) for a correlation; on the
            log scale if ``ratio``.
        words: what the statistic is.
        unit: of the estimate and the threshold.
        direction: +1 if the claim is that the effect is above the threshold, -1 if below.
        threshold: smallest effect of interest, in ``unit``.
        methods: that it compares; none for all that there are.
        data: what it needs.
        ratio: whether estimate, interval and threshold are shown as factors.
        weigh: the samples of one or several spaces and the threshold, on the scale of the test.
    """

    name: str
    statement: str
    statistic: Callable[[Quantities], Floats]
    words: str
    unit: str
    direction: int
    threshold: float
    methods: tuple[str, ...]
    data: str
    weigh: Callable[[Sequence[Floats], float], Evidence]
    ratio: bool = False

    def inner(self, value: float) -> float:
        """A value in ``unit`` on the scale of the test."""
        return math.log(value) if self.ratio else value

    def shown(self, value: float) -> float:
        """A value of the test in ``unit``."""
        return math.exp(value) if self.ratio else value


def judge(study: Study) -> pandas.DataFrame:
    """Every claim in every space, and over all spaces where at least two have data; in the order of CLAIMS.

    Returns:
        claim: key in CLAIMS.
        statement: the claim in one sentence.
        space: or ``all spaces``: the mean over them, every space counting alike.
        statistic, unit: what is estimated.
        estimate, low, high, interval: with its own 95 % interval, and what that is; NaN where refused.
        n: seeds with a value under all methods compared (summed over the spaces in the pooled row).
        missing: seeds without.
        p: two-sided P value of the threshold, Holm-corrected over the study; NaN where too few seeds for a verdict.
        direction, threshold: the claim is that the effect is above (or below) the threshold.
        verdict: supported, not supported, undecided, no data.
        seeds_needed: seeds in each space, those there are included, that would decide with 80 % power if the effect
            and the spread were as observed; missing (NA) where decided, unknown or beyond MOST_SEEDS.
        reason: one line for people.
    """
    found = {space: quantities(study, space) for space in study.spaces}
    cases = [case for claim in CLAIMS.values() for case in cases_of(claim, found)]
    corrected = holm(numpy.array([p_value(case.evidence) for case in cases]))
    sides = [decided(case, p) for case, p in zip(cases, corrected, strict=True)]
    tests = int((~numpy.isnan(corrected)).sum())
    level = LEVEL / max(1, sum(1 for case, side in zip(cases, sides, strict=True) if case.evidence and not side))
    rows = [row(case, p, side, tests, level) for case, p, side in zip(cases, corrected, sides, strict=True)]
    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype({"seeds_needed": "Int64"})


class Case(NamedTuple):
    """A claim in one space, or over all.

    Attributes:
        claim: that is judged.
        space: where.
        present: seeds with a value.
        missing: seeds without.
        evidence: None without data.
        reason: why there is none, or what was left out.
    """

    claim: Claim
    space: str
    present: int
    missing: int
    evidence: Evidence | None
    reason: str


def cases_of(claim: Claim, found: Mapping[str, Quantities]) -> list[Case]:
    """A claim in every space, and over those that have enough seeds for an interval if they are two or more."""
    cases: list[Case] = []
    pooled: dict[str, tuple[Floats, int]] = {}
    for space, of_space in found.items():
        names = claim.methods or tuple(sorted({method for _, method in of_space}))
        absent = [name for name in names if ("seen", name) not in of_space]
        if absent:
            cases.append(Case(claim, space, 0, 0, None, f"no finished run of {' and '.join(absent)}"))
            continue
        sample = claim.statistic(of_space)[numpy.any([of_space["seen", name] > 0 for name in names], axis=0)]
        whole = ~numpy.isnan(sample).reshape(len(sample), -1).any(1)
        present, missing = int(whole.sum()), int((~whole).sum())
        if not present:
            cases.append(Case(claim, space, 0, missing, None, f"no seed has {claim.data} under {' and '.join(names)}"))
            continue
        cases.append(
            Case(claim, space, present, missing, claim.weigh([sample[whole]], claim.inner(claim.threshold)), "")
        )
        if present >= FEWEST:
            pooled[space] = sample[whole], missing
    if len(pooled) > 1:
        samples = [sample for sample, _ in pooled.values()]
        left_out = [space for space in found if space not in pooled]
        cases.append(
            Case(
                claim,
                POOLED,
                sum(map(len, samples)),
                sum(missing for _, missing in pooled.values()),
                claim.weigh(samples, claim.inner(claim.threshold)),
                f"without {', '.join(left_out)}" if left_out else "",
            )
        )
    return cases


def p_value(evidence: Evidence | None) -> float:
    """Of a claim that so many seeds could decide; NaN where they could not, whatever they say."""
    return math.nan if evidence is None or evidence.attainable > LEVEL else evidence.p


def decided(case: Case, p: float) -> int:
    """+1 if the effect is above the threshold, -1 if below, 0 if undecided; p is the corrected P value."""
    if case.evidence is None or not p <= LEVEL:
        return 0
    side = 1 if case.evidence.interval.estimate > case.claim.inner(case.claim.threshold) else -1
    return side if case.evidence.exact(side) <= LEVEL else 0


def row(case: Case, p: float, side: int, tests: int, level: float) -> dict[str, object]:
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


def conclusion(case: Case, p: float, side: int, tests: int) -> str:
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


def weigh_mean(samples: Sequence[Floats], threshold: float) -> Evidence:
    """The mean of differences against the threshold; the exact test flips signs about the threshold."""
    found = mean_test(samples)
    distance = found.interval.estimate - threshold
    deviations = numpy.array([sample.std(ddof=1) if len(sample) > 1 else math.nan for sample in samples])
    count = sum(map(len, samples))
    least = math.ceil(math.log(LEVEL) / math.log(0.5) / len(samples))

    def exact(side: int) -> float:
        return sign_flip_test([sample - threshold for sample in samples], "greater" if side > 0 else "less")

    def needed(level: float) -> int | None:
        if math.isnan(found.error):
            return None
        enough = seeds_needed(distance, deviations, level)
        return None if enough is None else max(enough, least, min(map(len, samples)) + 1)

    p = 2 * float(special.stdtr(found.freedom, -abs(distance) / found.error)) if found.error > 0 else math.nan
    return Evidence(found.interval, p, 0.5**count, exact, needed)


def weigh_correlation(samples: Sequence[Floats], threshold: float) -> Evidence:
    """Spearman's correlation within methods against the threshold.

    On Fisher's z scale, the mean over spaces, with Bonett and Wright's (2000) standard error; each method's
    median costs a degree of freedom. The exact test, of any correlation above none, permutes whole seeds.

    Args:
        samples: one (seeds, methods, 2) array per space.
        threshold: a correlation.
    """
    firsts, seconds = [sample[..., 0] for sample in samples], [sample[..., 1] for sample in samples]
    runs = [first.size for first in firsts]
    spare = [sample.shape[0] * sample.shape[1] - sample.shape[1] - 2 for sample in samples]
    values = [within_correlation(first, second) for first, second in zip(firsts, seconds, strict=True)]
    kind = "95 % interval by Fisher's z" + (", every space counting alike" if len(samples) > 1 else "")
    reason = ""
    if min(map(len, samples)) < FEWEST:
        reason = f"an interval needs at least {FEWEST} seeds, there are {min(map(len, samples))}"
    elif min(spare) < 1:
        reason = f"an interval needs more runs than {min(runs)}"
    elif numpy.isnan(values).any():
        reason = "the eigenvalue or the fall is the same in all runs"
    elif numpy.max(numpy.abs(values)) > 1 - 1e-12:
        reason = "the ranks agree without exception, so that their spread is not known"
    attainable = 1 / math.prod(math.factorial(len(sample)) for sample in samples)

    def exact(side: int) -> float:
        # No permutation stands for a correlation of just the threshold: below it, z alone decides.
        return seed_permutation_test(firsts, seconds) if side > 0 else 0.0

    if reason:
        interval = Interval(float(numpy.mean(values)), math.nan, math.nan, sum(runs), 0, kind, reason)
        return Evidence(interval, math.nan, attainable, exact, lambda level: None)
    centre = float(numpy.mean(numpy.arctanh(values)))
    widths = [(1 + value**2 / 2) / freedom for value, freedom in zip(values, spare, strict=True)]
    error = math.sqrt(sum(widths)) / len(samples)
    distance = centre - math.atanh(threshold)

    def needed(level: float) -> int | None:
        wanted = float(special.ndtri(1 - level / 2) + special.ndtri(POWER))
        methods = max(sample.shape[1] for sample in samples)
        spread = float(numpy.mean(1 + numpy.square(values) / 2)) / len(samples)
        seeds = (spread * (wanted / distance) ** 2 + 2) / methods + 1 if distance else math.inf
        return None if seeds > MOST_SEEDS else max(math.ceil(seeds), FEWEST + 1, min(map(len, samples)) + 1)

    correlation = math.tanh(centre)
    interval = Interval(correlation, *fisher_interval(correlation, error), sum(runs), 0, kind, "")
    return Evidence(interval, 2 * float(special.ndtr(-abs(distance) / error)), attainable, exact, needed)


def quantities(study: Study, space: str) -> dict[tuple[str, str], Floats]:
    """What the claims of one space are made of, each (seeds,) by method; all on one order of seeds.

    Returns:
        seen: 1 where the method has a run of the seed, else 0.
        early_accuracy, late_accuracy: mean table accuracy (the first that the space answers for) over the epochs of the
            second and of the last quarter, percent; NaN if the table lacks one of them.
        early_norm, late_norm: mean natural logarithm of the spectral norm over the epochs measured there.
        late_eigenvalue: mean largest eigenvalue over the epochs measured in the last quarter, nats.
        seconds: natural logarithm of the seconds that the search took in all.
        place: a number for the device and threads that the run had.
        drop: mean drop of the supernet's accuracy within RADIUS of the searched alpha, points.
    """
    epochs = study.epochs[study.epochs["space"] == space]
    run, names = pandas.factorize(epochs["run"])
    epoch = epochs["epoch"].to_numpy(numpy.float64)
    last = numpy.ones(len(names))
    numpy.maximum.at(last, run, epoch)
    quarter = numpy.ceil(4 * epoch / last[run])
    answer = next(iter(study.answers(space)), "")

    def column(name: str) -> Floats:
        if name not in epochs:
            return numpy.full(len(epochs), math.nan)
        return numpy.asarray(epochs[name].to_numpy(numpy.float64, na_value=math.nan))

    def means(values: Floats, chosen: numpy.typing.NDArray[numpy.bool_], whole: bool) -> Floats:
        present = chosen & ~numpy.isnan(values)
        counts = numpy.bincount(run[present], minlength=len(names))
        totals = numpy.bincount(run[present], values[present], minlength=len(names))
        enough = counts > 0
        if whole:
            enough &= counts == numpy.bincount(run[chosen], minlength=len(names))
        numpy.divide(totals, counts, out=(mean := numpy.full(len(names), math.nan)), where=enough)
        return mean

    accuracy, norm = column(answer), logarithms(column("spectral_norm"))
    of_run = {
        "early_accuracy": means(accuracy, quarter == 2, whole=True),
        "late_accuracy": means(accuracy, quarter == 4, whole=True),
        "early_norm": means(norm, quarter == 2, whole=False),
        "late_norm": means(norm, quarter == 4, whole=False),
        "late_eigenvalue": means(column("eigenvalue_max"), quarter == 4, whole=False),
        "seconds": logarithms(numpy.bincount(run, column("seconds"), minlength=len(names)).astype(numpy.float64)),
        "place": places(study.runs, names),
        "drop": numpy.array([landscape_drop(study.places.get(str(name))) for name in names]),
    }
    first = numpy.unique(run, return_index=True)[1]
    seeds, seed = numpy.unique(epochs["seed"].to_numpy()[first], return_inverse=True)
    method, methods = pandas.factorize(epochs["method"].iloc[first].astype(str))
    found: dict[tuple[str, str], Floats] = {}
    for index, of_method in enumerate(methods):
        ours = method == index
        counts = numpy.bincount(seed[ours], minlength=len(seeds))
        found["seen", of_method] = (counts > 0).astype(numpy.float64)
        for name, values in of_run.items():
            totals = numpy.bincount(seed[ours], values[ours], minlength=len(seeds))
            found[name, of_method] = numpy.divide(
                totals, counts, out=numpy.full(len(seeds), math.nan), where=counts > 0
            )
    return found


def logarithms(values: Floats) -> Floats:
    """Natural logarithms; NaN where there is none."""
    return numpy.log(values, out=numpy.full(len(values), math.nan), where=values > 0)


def places(runs: pandas.DataFrame, names: pandas.Index) -> Floats:
    """For each run a number for its device and threads: times of different ones are not compared."""
    columns = [name for name in ("device", "threads") if name in runs]
    if not columns:
        return numpy.zeros(len(names))
    texts = dict(zip(runs["run"].astype(str), runs[columns].itertuples(index=False, name=None), strict=True))
    return pandas.factorize(pandas.Series([str(texts.get(str(name))) for name in names]))[0].astype(numpy.float64)


def landscape_drop(folder: Path | None) -> float:
    """Mean over the grid points within RADIUS of how much less accurate the supernet is there than at alpha, in points.

    NaN without a LANDSCAPE, without its centre, or if one of the points has no accuracy.

    Raises:
        BadInput: the file is damaged.
    """
    if folder is None or not (folder / LANDSCAPE).exists():
        return math.nan
    try:
        grid = pandas.read_csv(folder / LANDSCAPE, usecols=["x", "y", "valid_accuracy"]).astype(numpy.float64)
    except (OSError, ValueError) as error:
        raise BadInput(f"the file {folder / LANDSCAPE} cannot be read: {error}; compute it again") from error
    distance = numpy.hypot(grid["x"], grid["y"])
    centre = grid.loc[distance < 1e-9, "valid_accuracy"]
    around = grid.loc[(distance >= 1e-9) & (distance <= RADIUS + 1e-9), "valid_accuracy"]
    if not len(centre) or not len(around) or around.isna().any():
        return math.nan
    return float(centre.iloc[0] - around.mean())


def fall(method: str, found: Quantities) -> Floats:
    """Mean table accuracy in the second quarter less that in the last, points: what was lost since."""
    return found["early_accuracy", method] - found["late_accuracy", method]


def less_fall(method: str, other: str, found: Quantities) -> Floats:
    """How many points fewer a method loses than another."""
    return fall(other, found) - fall(method, found)


def less(name: str, method: str, other: str, found: Quantities) -> Floats:
    """A quantity under a method less that under another."""
    return found[name, method] - found[name, other]


def growth(method: str, found: Quantities) -> Floats:
    """Natural logarithm of the factor from the second quarter's spectral norm to the last's."""
    return found["late_norm", method] - found["early_norm", method]


def slower(method: str, other: str, found: Quantities) -> Floats:
    """Natural logarithm of the factor of time; NaN where the two runs had different devices."""
    same = found["place", method] == found["place", other]
    return numpy.where(same, found["seconds", method] - found["seconds", other], math.nan)


def eigenvalue_and_fall(found: Quantities) -> Floats:
    """Late largest eigenvalue and fall of every run, (seeds, methods, 2)."""
    methods = sorted({method for _, method in found})
    pairs = [numpy.stack([found["late_eigenvalue", method], fall(method, found)], axis=-1) for method in methods]
    return numpy.stack(pairs, axis=1)


def records(judged: pandas.DataFrame) -> list[dict[str, object]]:
    """Rows for JSON: a number that is not known is None."""
    return [
        {str(name): None if pandas.isna(value) else value for name, value in row.items()}
        for row in judged.astype(object).to_dict("records")
    ]


def markdown(judged: pandas.DataFrame) -> str:
    """The verdicts in Markdown, for people."""
    lines = [["claim", "space", "verdict", "estimate", "claimed", "n", "seeds needed", "reason"]]
    lines.append(["---"] * len(lines[0]))
    lines += [[entry[name] for name in ("statement", *READABLE)] for entry in readable(judged)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def text(judged: pandas.DataFrame) -> str:
    """The verdicts of each space in aligned lines, for a terminal; claims by their names."""
    entries = readable(judged)
    names = ("verdict", "claim", "estimate", "claimed", "n")
    widths = {name: max((len(entry[name]) for entry in entries), default=0) for name in names}
    blocks = []
    for space in dict.fromkeys(entry["space"] for entry in entries):
        lines = [space]
        for entry in entries:
            if entry["space"] == space:
                lines.append(
                    "  " + "  ".join(entry[name].ljust(widths[name]) for name in names) + "  " + entry["reason"]
                )
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


READABLE = ("space", "verdict", "estimate", "claimed", "n", "seeds_needed", "reason")


def readable(judged: pandas.DataFrame) -> list[dict[str, str]]:
    """The rows as texts: the estimate with its interval and unit, the claimed side, the seeds."""
    entries = []
    for found in records(judged):
        known = found["estimate"] is not None
        low, high = (math.nan if found[end] is None else float(str(found[end])) for end in ("low", "high"))
        entries.append(
            {
                "claim": str(found["claim"]),
                "statement": str(found["statement"]),
                "space": str(found["space"]),
                "verdict": str(found["verdict"]),
                "estimate": f"{cell(float(str(found['estimate'])), low, high)} {found['unit']}" if known else "-",
                "claimed": f"{found['direction']} {number(float(str(found['threshold'])))}",
                "n": f"n = {found['n']}",
                "seeds_needed": "" if found["seeds_needed"] is None else str(found["seeds_needed"]),
                "reason": str(found["reason"]),
            }
        )
    return entries


NAMES = {"darts": "DARTS", "sdarts-rs": "SDARTS-RS", "sdarts-adv": "SDARTS-ADV"}
"""Methods as people write them."""

POINTS = 0.5
"""Smallest difference of table accuracies of interest, points: about as far apart as the tables' own trainings of one
architecture with different seeds, so that less is not told from training the same cell again."""

FACTOR = 1.25
"""Smallest factor between spectral norms of interest: single epochs of one run differ by more."""

CORRELATION = 0.3
"""Smallest rank correlation of interest: a tenth of the variance, what Cohen (1988) calls medium."""

DROP = 1.0
"""Smallest difference in flatness of interest, points of the supernet's validation accuracy."""

COST = 1.1
"""Smallest factor of time of interest: less is within what two runs of the same search differ by on one machine."""

ACCURACY, HESSIAN, SECONDS = "a table accuracy for every epoch", "a measured Hessian", "seconds on the same device"

of_accuracy = partial(Claim, unit="points", direction=1, threshold=POINTS, data=ACCURACY, weigh=weigh_mean)
"""A claim about the table's accuracy."""

of_factor = partial(Claim, unit="times", data=HESSIAN, weigh=weigh_mean, ratio=True)
"""A claim about a factor, of spectral norms unless it says otherwise."""

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        of_accuracy(
            name="darts-deteriorates",
            statement="DARTS loses accuracy in the second half of its search.",
            statistic=partial(fall, "darts"),
            words="table accuracy of DARTS: mean of the second quarter of the epochs less mean of the last",
            methods=("darts",),
        ),
        *(
            of_accuracy(
                name=f"{method}-deteriorates-less",
                statement=f"{NAMES[method]} loses less accuracy in the second half of its search than DARTS.",
                statistic=partial(less_fall, method, "darts"),
                words=f"fall of DARTS from the second quarter to the last, less that of {NAMES[method]}, by seed",
                methods=("darts", method),
            )
            for method in ("sdarts-rs", "sdarts-adv")
        ),
        *(
            of_accuracy(
                name=f"{method}-ends-better",
                statement=f"{NAMES[method]} ends with more accurate architectures than DARTS.",
                statistic=partial(less, "late_accuracy", method, "darts"),
                words=f"table accuracy in the last quarter: {NAMES[method]} less DARTS, by seed",
                methods=("darts", method),
            )
            for method in ("sdarts-rs", "sdarts-adv")
        ),
        of_factor(
            name="darts-hessian-grows",
            statement="The norm of the Hessian grows in the second half of a DARTS search.",
            statistic=partial(growth, "darts"),
            words="spectral norm under DARTS: geometric mean of the last quarter over that of the second",
            direction=1,
            threshold=FACTOR,
            methods=("darts",),
        ),
        *(
            of_factor(
                name=f"{method}-hessian-smaller",
                statement=f"Late in the search the Hessian's norm is smaller under {NAMES[method]} than under DARTS.",
                statistic=partial(less, "late_norm", method, "darts"),
                words=f"spectral norm in the last quarter, geometric mean: {NAMES[method]} over DARTS, by seed",
                direction=-1,
                threshold=1 / FACTOR,
                methods=("darts", method),
            )
            for method in ("sdarts-rs", "sdarts-adv")
        ),
        of_accuracy(
            name="sdarts-adv-more-stable",
            statement="SDARTS-ADV loses less accuracy in the second half of its search than SDARTS-RS.",
            statistic=partial(less_fall, "sdarts-adv", "sdarts-rs"),
            words="fall of SDARTS-RS from the second quarter to the last, less that of SDARTS-ADV, by seed",
            methods=("sdarts-rs", "sdarts-adv"),
        ),
        Claim(
            name="eigenvalue-goes-with-fall",
            statement="Of one method's runs, those with a larger eigenvalue late in the search lose more accuracy.",
            statistic=eigenvalue_and_fall,
            words="Spearman's correlation of late largest eigenvalue and fall, each less its method's median",
            unit="rho",
            direction=1,
            threshold=CORRELATION,
            methods=(),
            data=f"{ACCURACY} and {HESSIAN}",
            weigh=weigh_correlation,
        ),
        *(
            Claim(
                name=f"{method}-flatter",
                statement=f"The landscape around the architecture is flatter under {NAMES[method]} than under DARTS.",
                statistic=partial(less, "drop", method, "darts"),
                words=f"mean drop of supernet accuracy within {RADIUS:g} of alpha: {NAMES[method]} less DARTS, by seed",
                unit="points",
                direction=-1,
                threshold=-DROP,
                methods=("darts", method),
                data=f"a {LANDSCAPE}",
                weigh=weigh_mean,
            )
            for method in ("sdarts-rs", "sdarts-adv")
        ),
        *(
            of_factor(
                name=f"{method}-costs-more",
                statement=f"A search with {NAMES[method]} takes longer than one with DARTS.",
                statistic=partial(slower, method, "darts"),
                words=f"seconds of search, geometric mean: {NAMES[method]} over DARTS, by seed",
                direction=1,
                threshold=COST,
                methods=("darts", method),
                data=SECONDS,
            )
            for method in ("sdarts-rs", "sdarts-adv")
        ),
    )
}
"""What is judged, in the order of the rows. Cost is claimed as a price: where SDARTS-RS costs next to nothing, its row
is not supported."""
