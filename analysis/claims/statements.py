"""The claims of the paper that data can speak to, and the statistic of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy

from nas_stability.analysis.claims.evidence import Evidence, weigh_correlation, weigh_mean
from nas_stability.analysis.claims.windows import LANDSCAPE, RADIUS
from nas_stability.analysis.names import method_name
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.benchmarks.errors import choose
from nas_stability.harness.methods import early_stopping
from nas_stability.harness.methods.compositions import PERTURBED, PUBLISHED_NAMES

Quantities = Mapping[tuple[str, str], Floats]
"""(quantity, method) -> (seeds,) of one space and variant, NaN where missing: the columns of ``windows.per_run``, and
``seen``: 1 where the method has a run of the seed, else 0."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper that data can speak to.

    Attributes:
        name: METHOD-TEMPLATE.
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


def deterioration(method: str, found: Quantities) -> Floats:
    """Mean table accuracy in the second quarter less that in the last, points: what was lost since."""
    return found["early_accuracy", method] - found["late_accuracy", method]


def less_deterioration(method: str, other: str, found: Quantities) -> Floats:
    """How many points fewer a method loses than another."""
    return deterioration(other, found) - deterioration(method, found)


def less(name: str, method: str, other: str, found: Quantities) -> Floats:
    """A quantity under a method less that under another."""
    return found[name, method] - found[name, other]


def norm_growth(method: str, found: Quantities) -> Floats:
    """Natural logarithm of the factor from the second quarter's spectral norm to the last's."""
    return found["late_norm", method] - found["early_norm", method]


def slower(method: str, other: str, found: Quantities) -> Floats:
    """Natural logarithm of the factor of time; NaN where the two runs had different devices."""
    same = found["place", method] == found["place", other]
    return numpy.where(same, found["seconds", method] - found["seconds", other], math.nan)


def eigenvalue_and_deterioration(found: Quantities) -> Floats:
    """Late largest eigenvalue and deterioration of every run, (seeds, methods, 2).

    A method of which no run has eigenvalues, such as one without logits, is left out where others have them.
    """
    every = sorted({method for _, method in found})
    methods = [method for method in every if not numpy.isnan(found["late_eigenvalue", method]).all()] or every
    pairs = [
        numpy.stack([found["late_eigenvalue", method], deterioration(method, found)], axis=-1) for method in methods
    ]
    return numpy.stack(pairs, axis=1)


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


def deteriorates(name: str, method: str) -> Claim:
    """A method's architectures get worse in the second half of its search."""
    title = method_name(method)
    return of_accuracy(
        name=name,
        statement=f"{title} loses accuracy in the second half of its search.",
        statistic=partial(deterioration, method),
        words=f"table accuracy of {title}: mean of the second quarter of the epochs less mean of the last",
        methods=(method,),
    )


def deteriorates_less(name: str, method: str, base: str) -> Claim:
    """A method's get less worse than another's."""
    title, other = method_name(method), method_name(base)
    return of_accuracy(
        name=name,
        statement=f"{title} loses less accuracy in the second half of its search than {other}.",
        statistic=partial(less_deterioration, method, base),
        words=f"deterioration of {other} from the second quarter to the last, less that of {title}, by seed",
        methods=(base, method),
    )


def ends_better(name: str, method: str, base: str) -> Claim:
    """A method ends with better architectures than another."""
    title, other = method_name(method), method_name(base)
    return of_accuracy(
        name=name,
        statement=f"{title} ends with more accurate architectures than {other}.",
        statistic=partial(less, "late_accuracy", method, base),
        words=f"table accuracy in the last quarter: {title} less {other}, by seed",
        methods=(base, method),
    )


def hessian_grows(name: str, method: str) -> Claim:
    """The Hessian of a method grows in the second half of its search."""
    title = method_name(method)
    return of_factor(
        name=name,
        statement=f"The norm of the Hessian grows in the second half of a {title} search.",
        statistic=partial(norm_growth, method),
        words=f"spectral norm under {title}: geometric mean of the last quarter over that of the second",
        direction=1,
        threshold=FACTOR,
        methods=(method,),
    )


def hessian_smaller(name: str, method: str, base: str) -> Claim:
    """The Hessian of a method is smaller late in the search than another's."""
    title, other = method_name(method), method_name(base)
    return of_factor(
        name=name,
        statement=f"Late in the search the Hessian's norm is smaller under {title} than under {other}.",
        statistic=partial(less, "late_norm", method, base),
        words=f"spectral norm in the last quarter, geometric mean: {title} over {other}, by seed",
        direction=-1,
        threshold=1 / FACTOR,
        methods=(base, method),
    )


def deteriorates_with_eigenvalue(name: str) -> Claim:
    """Runs with a larger eigenvalue deteriorate more."""
    return Claim(
        name=name,
        statement="Of one method's runs, those with a larger eigenvalue late in the search lose more accuracy.",
        statistic=eigenvalue_and_deterioration,
        words="Spearman's correlation of late largest eigenvalue and deterioration, each less its method's median",
        unit="rho",
        direction=1,
        threshold=CORRELATION,
        methods=(),
        data=f"{ACCURACY} and {HESSIAN}",
        weigh=weigh_correlation,
    )


def flatter(name: str, method: str, base: str) -> Claim:
    """The landscape is flatter where a method ends than where another does."""
    title, other = method_name(method), method_name(base)
    return Claim(
        name=name,
        statement=f"The landscape around the architecture is flatter under {title} than under {other}.",
        statistic=partial(less, "drop", method, base),
        words=f"mean drop of supernet accuracy within {RADIUS:g} of alpha: {title} less {other}, by seed",
        unit="points",
        direction=-1,
        threshold=-DROP,
        methods=(base, method),
        data=f"a {LANDSCAPE}",
        weigh=weigh_mean,
    )


def costs_more(name: str, method: str, base: str) -> Claim:
    """A method takes longer than another: a price, so that one that costs next to nothing is not supported."""
    title, other = method_name(method), method_name(base)
    return of_factor(
        name=name,
        statement=f"A search with {title} takes longer than one with {other}.",
        statistic=partial(slower, method, base),
        words=f"seconds of search, geometric mean: {title} over {other}, by seed",
        direction=1,
        threshold=COST,
        methods=(base, method),
        data=SECONDS,
    )


def base_of(method: str) -> str | None:
    """The method that a method stabilises, by its name: BASE of BASE-rs and BASE-adv; None where it is none of them."""
    base, dash, ending = GENERATED.get(method, method).rpartition("-")
    return base if dash and ending in STABILISED else None


def bases(methods: Sequence[str]) -> list[tuple[str, ...]]:
    """The methods that stabilise no other."""
    return [(method,) for method in methods if base_of(method) is None]


def pairs(methods: Sequence[str]) -> list[tuple[str, ...]]:
    """Each stabilised method with its base, where both are there."""
    return [(method, base) for method in methods if (base := base_of(method)) in methods and base]


def rivals(methods: Sequence[str]) -> list[tuple[str, ...]]:
    """The adversarial form of a base with the random one, where both are there."""
    return [
        (first, second)
        for first in methods
        for second in methods
        if first.endswith("-adv") and second.endswith("-rs") and base_of(first) == base_of(second)
    ]


def together(methods: Sequence[str]) -> list[tuple[str, ...]]:
    """All methods at once."""
    return [()]


STABILISED = (*PERTURBED, early_stopping.ENDING)
"""What the name of a stabilised method ends in: a perturbation, or stopped early."""

GENERATED = {published: name for name, published in PUBLISHED_NAMES.items()}
"""The paper's name of a method -> BASE-ENDING."""


class Template(NamedTuple):
    """Claims that differ in their methods alone.

    Attributes:
        claim: name and methods -> the claim.
        over: the methods of a study -> those of each claim that it is judged by.
    """

    claim: Callable[..., Claim]
    over: Callable[[Sequence[str]], list[tuple[str, ...]]]


TEMPLATES: dict[str, Template] = {
    "deteriorates": Template(deteriorates, bases),
    "deteriorates-less": Template(deteriorates_less, pairs),
    "ends-better": Template(ends_better, pairs),
    "hessian-grows": Template(hessian_grows, bases),
    "hessian-smaller": Template(hessian_smaller, pairs),
    "more-stable": Template(deteriorates_less, rivals),
    "eigenvalue-goes-with-deterioration": Template(deteriorates_with_eigenvalue, together),
    "flatter": Template(flatter, pairs),
    "costs-more": Template(costs_more, pairs),
}
"""What is judged, in the order of the rows."""


def claims(methods: Sequence[str], own: Sequence[tuple[str, str, str]] = ()) -> list[Claim]:
    """The claims of a study: METHOD-TEMPLATE, and METHOD-TEMPLATE-than-BASE of those of its own.

    Args:
        methods: that it holds, in order.
        own: template, method and base of the study's own claims; one that is judged anyhow is judged once.

    Raises:
        BadInput: no such template over a method and its base.
    """
    found = {
        (name, among): template.claim("-".join((*among[:1], name)), *among)
        for name, template in TEMPLATES.items()
        for among in template.over(methods)
    }
    for name, method, base in own:
        template = choose("template of claims", name, OVER_PAIRS)
        found.setdefault((name, (method, base)), template.claim(f"{method}-{name}-than-{base}", method, base))
    return list(found.values())


OVER_PAIRS = {name: template for name, template in TEMPLATES.items() if template.over is pairs}
"""What a study's own claim may say of a method and another."""
