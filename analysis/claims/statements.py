"""The claims of the paper that data can speak to, and the statistic of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy

from nas_stability.analysis.claims.evidence import Evidence, weigh_correlation, weigh_mean
from nas_stability.analysis.claims.windows import LANDSCAPE, RADIUS
from nas_stability.analysis.statistics.intervals import Floats

Quantities = Mapping[tuple[str, str], Floats]
"""(quantity, method) -> (seeds,) of one space and variant, NaN where missing: the columns of ``windows.per_run``, and
``seen``: 1 where the method has a run of the seed, else 0."""


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
    """Late largest eigenvalue and fall of every run, (seeds, methods, 2)."""
    methods = sorted({method for _, method in found})
    pairs = [
        numpy.stack([found["late_eigenvalue", method], deterioration(method, found)], axis=-1) for method in methods
    ]
    return numpy.stack(pairs, axis=1)


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
            statistic=partial(deterioration, "darts"),
            words="table accuracy of DARTS: mean of the second quarter of the epochs less mean of the last",
            methods=("darts",),
        ),
        *(
            of_accuracy(
                name=f"{method}-deteriorates-less",
                statement=f"{NAMES[method]} loses less accuracy in the second half of its search than DARTS.",
                statistic=partial(less_deterioration, method, "darts"),
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
            statistic=partial(norm_growth, "darts"),
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
            statistic=partial(less_deterioration, "sdarts-adv", "sdarts-rs"),
            words="fall of SDARTS-RS from the second quarter to the last, less that of SDARTS-ADV, by seed",
            methods=("sdarts-rs", "sdarts-adv"),
        ),
        Claim(
            name="eigenvalue-goes-with-fall",
            statement="Of one method's runs, those with a larger eigenvalue late in the search lose more accuracy.",
            statistic=eigenvalue_and_deterioration,
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
