"""Statistics against their definitions, by hand and by the slow route; what is refused; what the intervals hold."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.stats

from nas_stability.analysis.statistics import correlation, intervals, power, significance, survival
from nas_stability.analysis.statistics.intervals import Floats
from tests import oracles_stats as oracles

NAN = math.nan
RNG = numpy.random.default_rng


def skewed(*counts: int) -> list[Floats]:
    """Values of a long right tail, by stratum."""
    rng = RNG(11)
    return [rng.lognormal(size=count) for count in counts]


def test_differences_are_paired_by_seed_and_missing_ones_counted() -> None:
    first, second = {3: 1.0, 1: 5.0, 2: NAN, 7: 2.0}, {1: 2.0, 2: 1.0, 3: 4.0, 9: 0.0}
    found = intervals.paired_differences(
        [*first], numpy.array([*first.values()]), [*second], numpy.array([*second.values()])
    )
    assert (found.seeds.tolist(), found.differences.tolist(), found.missing) == oracles.paired(first, second)
    assert (found.seeds.tolist(), found.differences.tolist(), found.missing) == ([1, 3], [3.0, -3.0], 3)
    with pytest.raises(ValueError, match="a seed occurs twice"):
        intervals.paired_differences([1, 1], numpy.ones(2), [1], numpy.ones(1))


# Four runs of two tasks: sorted 1 2 3 4 10 20 30 40, of which 3 4 10 20 are the middle half.
FOUR_BY_TWO = [numpy.array([4.0, 2.0, 1.0, 3.0]), numpy.array([10.0, 40.0, 30.0, 20.0])]
OTHER = [numpy.array([0.0, 2.0, 5.0, 5.0]), numpy.array([10.0, 10.0, 5.0, 5.0])]


def test_interquartile_mean_by_hand() -> None:
    found = intervals.interquartile_mean(FOUR_BY_TWO)
    assert found.estimate == (3 + 4 + 10 + 20) / 4
    assert found.kind == "95 % percentile bootstrap interval, stratified"
    assert (found.present, found.missing, found.reason) == (8, 0, "")


def test_probability_of_improvement_by_hand() -> None:
    # First task: 4 beats 0 2, 2 beats 0 and ties 2, 1 beats 0, 3 beats 0 2: 6.5 of 16. Second: 10 ties two, beats two:
    # 3 of 4; 40, 30 and 20 beat all: 15 of 16.
    assert intervals.probability_of_improvement(FOUR_BY_TWO, OTHER).estimate == (6.5 / 16 + 15 / 16) / 2


@pytest.mark.parametrize("sizes", [(6,), (5, 3)])
def test_bootstrap_intervals_are_those_of_all_resamples(sizes: tuple[int, ...]) -> None:
    strata = skewed(*sizes)
    lists = [stratum.tolist() for stratum in strata]
    found = intervals.bootstrap_interval(strata)
    assert found.estimate == pytest.approx(oracles.mean_of_means(lists))
    percentile = intervals.bootstrap_interval(strata, method="percentile")
    step = 0.02 * (percentile.high - percentile.low)  # 10,000 resamples instead of all
    assert found[1:3] == pytest.approx(oracles.bca_interval(lists, oracles.mean_of_means), abs=step)
    assert percentile[1:3] == pytest.approx(oracles.percentile_interval(lists, oracles.mean_of_means), abs=step)
    corrected = abs(found.high - percentile.high) + abs(found.low - percentile.low)
    assert corrected > 2 * step, "BCa corrects for the skewness"


def test_interquartile_mean_and_improvement_equal_the_slow_route_with_their_intervals() -> None:
    strata = skewed(4, 3)
    lists = [stratum.tolist() for stratum in strata]
    found = intervals.interquartile_mean(strata)
    assert found.estimate == pytest.approx(oracles.interquartile_mean(lists))
    expected = oracles.percentile_interval(lists, oracles.interquartile_mean)
    assert found[1:3] == pytest.approx(expected, abs=0.05 * (found.high - found.low))
    first, second = [numpy.array([1.0, 4.0, 2.0]), numpy.array([5.0, 6.0])], [numpy.array([3.0, 1.0, 0.0])]
    second.append(numpy.array([5.0, 7.0, 5.0]))
    better = intervals.probability_of_improvement([first[0]], [second[0]])
    lists = [first[0].tolist(), second[0].tolist()]
    assert better.estimate == pytest.approx(oracles.probability_of_improvement(lists[:1], lists[1:]))
    expected = oracles.percentile_interval(lists, lambda both: oracles.probability_of_improvement(both[:1], both[1:]))
    assert better[1:3] == pytest.approx(expected, abs=0.02)
    refused = intervals.probability_of_improvement(first, second)
    assert refused.estimate == pytest.approx(oracles.probability_of_improvement(first, second))
    assert refused.reason == "an interval needs at least 3 seeds, there are 2"


@pytest.mark.parametrize(
    ("values", "estimate", "present", "missing", "reason"),
    [
        ([NAN, NAN], NAN, 0, 2, "there is no value"),
        ([1.0, NAN], 1.0, 1, 1, "an interval needs at least 3 seeds, there is 1"),
        ([1.0, 3.0, NAN], 2.0, 2, 1, "an interval needs at least 3 seeds, there are 2"),
        ([2.0, 2.0, 2.0], 2.0, 3, 0, "all values are the same, so that their spread is not known"),
    ],
)
@pytest.mark.parametrize("make", [intervals.bootstrap_interval, intervals.interquartile_mean, significance.mean_test])
def test_an_interval_that_means_nothing_is_refused_with_a_reason(
    make: object, values: list[float], estimate: float, present: int, missing: int, reason: str
) -> None:
    assert callable(make)
    made = make([numpy.array(values)])
    found = made.interval if isinstance(made, significance.MeanTest) else made
    assert (found.present, found.missing, found.reason) == (present, missing, reason)
    numpy.testing.assert_equal(found[:3], (estimate, NAN, NAN))


def test_means_that_do_not_vary_under_resampling_have_no_interval() -> None:
    always = intervals.probability_of_improvement([numpy.array([7.0, 8.0, 9.0])], [numpy.array([1.0, 2.0, 3.0])])
    assert always.estimate == 1
    assert math.isnan(always.low)
    assert always.reason == "the resamples do not vary"


def test_t_interval_of_a_mean_is_students_and_welchs() -> None:
    first, second = skewed(5, 9)
    found = significance.mean_test([first])
    expected = scipy.stats.ttest_1samp(first, 0).confidence_interval()
    assert found.interval[:3] == pytest.approx((first.mean(), expected.low, expected.high))
    both = significance.mean_test([first, numpy.append(second, NAN)])
    against = scipy.stats.ttest_ind(first, -second, equal_var=False)  # its difference is the sum of the means
    expected = against.confidence_interval()
    assert both.interval[1:3] == pytest.approx((expected.low / 2, expected.high / 2))
    assert both.freedom == pytest.approx(against.df)
    assert both.interval.estimate / both.error == pytest.approx(against.statistic)
    assert (both.interval.present, both.interval.missing) == (14, 1)


def test_simultaneous_band_is_that_of_all_signs() -> None:
    values = RNG(3).normal(size=(6, 7)).cumsum(1)
    found = intervals.simultaneous_band(numpy.vstack([values, numpy.full(7, NAN)]))
    low, high = oracles.simultaneous_band(values.tolist())
    numpy.testing.assert_allclose(found.low, low)
    numpy.testing.assert_allclose(found.high, high)
    numpy.testing.assert_allclose(found.mean, values.mean(0))
    assert (found.seeds, found.missing, found.reason) == (6, 1, "")


@pytest.mark.parametrize("seeds", [5, 7, 10])
def test_the_band_holds_the_whole_curve_and_a_pointwise_one_does_not(seeds: int) -> None:
    rng, held, pointwise = RNG(5), 0, 0
    for _ in range(200):
        walks = rng.normal(size=(seeds, 30)).cumsum(1)
        band = intervals.simultaneous_band(walks)
        held += bool(((band.low <= 0) & (band.high >= 0)).all())
        ends = scipy.stats.ttest_1samp(walks, 0).confidence_interval()
        pointwise += bool(((ends.low <= 0) & (ends.high >= 0)).all())
    assert held >= 182  # nineteen of twenty are 190, with a standard deviation of 3
    assert pointwise < 175


def test_a_band_of_four_seeds_is_refused_and_an_epoch_without_spread_left_open() -> None:
    values = RNG(3).normal(size=(5, 3))
    few = intervals.simultaneous_band(values[:4])
    assert few.reason == "a band over all epochs needs at least 5 seeds, there are 4"
    assert numpy.isnan(few.low).all()
    values[:, 0] = 50.0
    found = intervals.simultaneous_band(values)
    assert numpy.isnan(found.low).tolist() == [True, False, False]
    assert found.mean[0] == 50
    assert intervals.simultaneous_band(values * NAN).reason == "no seed has a value in every epoch"
    assert intervals.simultaneous_band(numpy.ones((5, 2))).reason.startswith("all values are the same")


def test_many_seeds_take_random_signs() -> None:
    values = RNG(3).normal(size=(14, 4))
    exact = intervals.simultaneous_band(values[:13])
    assert len(intervals.signs(13)) == 2**13
    assert len(intervals.signs(14)) == intervals.RESAMPLES
    assert exact.reason == intervals.simultaneous_band(values).reason == ""


@pytest.mark.parametrize("sizes", [(3,), (6,), (3, 5)])
def test_sign_flips_equal_all_flips(sizes: tuple[int, ...]) -> None:
    strata = [RNG(index).normal(0.5, size=size) for index, size in enumerate(sizes)]
    padded = [numpy.append(stratum, NAN) for stratum in strata]
    lists = [stratum.tolist() for stratum in strata]
    assert significance.sign_flip_test(padded) == pytest.approx(oracles.sign_flip(lists))
    opposite = [[-value for value in stratum] for stratum in lists]
    assert significance.sign_flip_test(strata, "less") == pytest.approx(oracles.sign_flip(opposite))
    assert math.isnan(significance.sign_flip_test([numpy.array([NAN])]))


def test_sign_flips_of_few_seeds_reach_no_small_p() -> None:
    for count in (3, 4, 5):
        assert significance.sign_flip_test([numpy.arange(1.0, count + 1)]) == 0.5**count
    many = significance.sign_flip_test([numpy.arange(1.0, 31.0)])
    assert 0 < many < 1e-3


def test_holm_by_hand_and_by_the_procedure() -> None:
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1, neither below what came before.
    found = significance.holm(numpy.array([0.04, NAN, 0.01, 0.03, 0.02]))
    numpy.testing.assert_allclose(found, [0.06, NAN, 0.04, 0.06, 0.06])
    for seed in range(20):
        values = RNG(seed).random(6) ** 4
        numpy.testing.assert_allclose(significance.holm(values), oracles.holm(values.tolist()), atol=1e-9)


@pytest.mark.parametrize("deviations", [[1.0], [2.0, 0.5], [1.0, 1.0, 3.0]])
def test_power_is_the_integral_over_the_variance(deviations: list[float]) -> None:
    for effect, seeds, level in ((0.5, 3, 0.05), (1.5, 6, 0.05 / 14), (-1.0, 12, 0.01)):
        found = power.t_power(effect, numpy.array(deviations), seeds, level)
        assert found == pytest.approx(oracles.t_power(abs(effect), deviations, seeds, level), abs=1e-7)


def test_power_is_how_often_the_test_finds_it() -> None:
    samples = RNG(0).normal(1.2, 1.0, size=(4000, 6))
    found = scipy.stats.ttest_1samp(samples, 0, axis=1)
    rate = float(((found.pvalue <= 0.05) & (found.statistic > 0)).mean())
    assert power.t_power(1.2, numpy.ones(1), 6, 0.05) == pytest.approx(rate, abs=0.025)


def test_detectable_difference_and_seeds_needed_are_one_relation() -> None:
    # Textbook value: half a standard deviation, 5 %, 80 %: 34 pairs (Cohen 1988).
    assert power.seeds_needed(0.5, numpy.ones(1)) == 34
    assert power.detectable_difference(numpy.ones(1), 34) == pytest.approx(0.495, abs=1e-3)
    for deviations in (numpy.array([3.0]), numpy.array([1.0, 4.0])):
        for seeds in (4, 9, 40):
            least = power.detectable_difference(deviations, seeds, 0.01)
            assert oracles.t_power(least, deviations.tolist(), seeds, 0.01) == pytest.approx(0.8, abs=1e-6)
            assert power.seeds_needed(least * 1.0001, deviations, 0.01) == seeds
            assert power.seeds_needed(-least * 0.9999, deviations, 0.01) == seeds + 1


def test_where_no_number_of_seeds_helps() -> None:
    assert power.seeds_needed(0.0, numpy.ones(1)) is None
    assert power.seeds_needed(1e-6, numpy.ones(1)) is None
    assert power.seeds_needed(NAN, numpy.ones(1)) is None
    assert power.seeds_needed(1.0, numpy.zeros(1)) == intervals.FEWEST
    assert math.isnan(power.detectable_difference(numpy.ones(1), 2))


def test_survival_is_the_product_limit() -> None:
    times = [3.0, 5.0, 5.0, 6.0, 8.0, 8.0, 15.0]
    events = [True, True, False, True, False, True, False]
    found = survival.survival(numpy.array([*times, NAN]), numpy.array([*events, False]))
    expected = oracles.kaplan_meier(times, events)
    numpy.testing.assert_allclose(numpy.column_stack([found.times, found.surviving, found.low, found.high]), expected)
    assert (found.runs, found.collapsed, found.missing) == (7, 4, 1)


def test_survival_of_two_runs_or_without_a_collapse_has_no_interval() -> None:
    few = survival.survival(numpy.array([3.0, 5.0]), numpy.array([True, False]))
    assert few.surviving.tolist() == [0.5, 0.5]
    assert numpy.isnan(few.low).all()
    assert few.reason == "an interval needs at least 3 runs, there are 2"
    none = survival.survival(numpy.full(4, 15.0), numpy.zeros(4, bool))
    assert none.surviving.tolist() == [1.0]
    assert numpy.isnan(none.high).all()
    assert survival.survival(numpy.array([NAN]), numpy.array([False])).missing == 1


def test_time_to_collapse_is_the_first_fall_or_the_last_epoch_seen() -> None:
    rows = [[50, 90, 80, 70], [50, 60, 70, 80], [50, 90, NAN, 10], [NAN, 90, 10, 10], [90, 50, 90, 90]]
    accuracy, epochs = numpy.array(rows, float), numpy.array([0.0, 1.0, 2.0, 4.0])
    times, collapsed = survival.collapse_times(accuracy, epochs, 10.0)
    numpy.testing.assert_equal(times, [4, 4, 1, NAN, 1])
    assert collapsed.tolist() == [True, False, False, False, True]
    for row, time, fell in zip(accuracy, times, collapsed, strict=True):
        numpy.testing.assert_equal(oracles.collapse(row.tolist(), epochs.tolist(), 10.0), (time, fell))


@pytest.mark.parametrize("kind", ["spearman", "kendall"])
def test_rank_correlation_with_ties(kind: str) -> None:
    first = numpy.array([1.0, 2.0, 2.0, 5.0, 4.0, 7.0, NAN])
    second = numpy.array([2.0, 1.0, 3.0, 3.0, 6.0, 5.0, 1.0])
    found = correlation.rank_correlation(first, second, kind)
    expected = getattr(oracles, kind)(first[:6].tolist(), second[:6].tolist())
    assert found.estimate == pytest.approx(expected)
    error = math.sqrt((1 + expected**2 / 2) / 3) if kind == "spearman" else math.sqrt(0.437 / 2)
    assert found[1:3] == pytest.approx(oracles.fisher_interval(expected, error))
    assert (found.present, found.missing) == (6, 1)


def test_rank_correlations_that_mean_nothing_are_refused() -> None:
    three = numpy.arange(3.0)
    assert correlation.rank_correlation(three, three[::-1]).reason == "an interval needs at least 4 runs, there are 3"
    assert "without exception" in correlation.rank_correlation(numpy.arange(9.0), numpy.arange(9.0)).reason
    assert "the same in all runs" in correlation.rank_correlation(three, numpy.ones(3)).reason
    assert "fewer than two" in correlation.rank_correlation(three * NAN, three).reason


@pytest.mark.parametrize("kind", ["spearman", "kendall"])
def test_interval_of_a_rank_correlation_holds_it(kind: str) -> None:
    rng, truth = RNG(1), 0.6
    exact = {"spearman": 6 / math.pi * math.asin(truth / 2), "kendall": 2 / math.pi * math.asin(truth)}[kind]
    held = 0
    for _ in range(300):
        first = rng.normal(size=15)
        second = truth * first + math.sqrt(1 - truth**2) * rng.normal(size=15)
        found = correlation.rank_correlation(first, second, kind)
        held += found.low <= exact <= found.high
    assert held >= 0.91 * 300


def test_correlation_within_methods_and_its_permutations() -> None:
    rng = RNG(2)
    firsts = [rng.normal(size=(4, 3)), rng.normal(size=(3, 2))]
    seconds = [first + 0.8 * rng.normal(size=first.shape) for first in firsts]
    lists = [first.tolist() for first in firsts], [second.tolist() for second in seconds]
    assert correlation.within_correlation(firsts[0], seconds[0]) == pytest.approx(
        oracles.within_correlation(*(x[0] for x in lists))
    )
    assert correlation.seed_permutation_test(firsts[:1], seconds[:1]) == pytest.approx(
        oracles.seed_permutation(lists[0][:1], lists[1][:1])
    )
    assert correlation.seed_permutation_test(firsts, seconds) == pytest.approx(
        oracles.seed_permutation(*lists), abs=0.01
    )


def test_methods_that_differ_in_both_quantities_are_no_association() -> None:
    rng = RNG(4)
    shift = numpy.array([0.0, 50.0, 100.0])
    first, second = rng.normal(size=(2, 40, 3))
    assert correlation.rank_correlation((first + shift).ravel(), (second + shift).ravel()).estimate > 0.8
    assert abs(correlation.within_correlation(first + shift, second + shift)) < 0.2
    assert math.isnan(correlation.within_correlation(first * 0, second))
