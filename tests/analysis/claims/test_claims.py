"""Verdicts by hand: every statistic, what is counted, what is undecided and why; and from the command line."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy
import pandas
import pytest

from nas_stability.analysis.claims import judging, windows
from nas_stability.analysis.claims.judging import COLUMNS, POOLED, judge
from nas_stability.analysis.claims.statements import OVER_PAIRS, TEMPLATES, claims
from nas_stability.analysis.statistics.significance import holm, mean_test
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.specs import claimed
from tests import oracles_stats as oracles
from tests.analysis.claims.synthetic import CLAIMS, METHODS, Values, all_columns, normal, of_space, study, with_effects

PUBLISHED = Path(__file__).parents[3] / "results" / "published" / "quick"


# Epochs 0 to 8: the second quarter is epochs 3 and 4, the last is 7 and 8; the others do not count.
HAND = numpy.array([[99.0, 99.0, 99.0, 80.0, 90.0, 99.0, 0.0, 70.0, 72.0]])


def test_every_statistic_by_hand() -> None:
    darts = HAND + numpy.array([[0.0], [1.0], [2.0]])  # mean 85, then 71: a deterioration of 14
    robust = numpy.full((3, 9), 85.0) - numpy.array([[0.0] * 7 + [1.0] * 2, [0.0] * 7 + [3.0] * 2, [0.0] * 9])
    norm = numpy.ones((2, 3, 9))
    norm[0, :, 7:] = [[2.0, 8.0], [4.0, 4.0], [1.0, 16.0]]
    norm[1, :, 7:] = 0.5
    values: Values = {
        "accuracy_cifar10_valid": numpy.stack([darts, robust]),
        "spectral_norm": norm,
        "eigenvalue_max": norm,
        "seconds": numpy.stack([numpy.ones((3, 9)), 2 * numpy.ones((3, 9)) + numpy.array([[0.0], [2.0], [6.0]])]),
    }
    judged = judge(study({"a": values}, ("darts", "sdarts-adv"))).set_index("claim")
    expected = {
        "darts-deteriorates": 14.0,
        "sdarts-adv-deteriorates-less": 14.0 - 4 / 3,
        "sdarts-adv-ends-better": 85 - 4 / 3 - 72,
        "darts-hessian-grows": 4.0,
        "sdarts-adv-hessian-smaller": 0.5 / 4,
        "sdarts-adv-costs-more": (2 * 4 * 8) ** (1 / 3),
    }
    for name, value in expected.items():
        assert judged.loc[name, "estimate"] == pytest.approx(value), name
    less = [13.0, 11.0, 14.0]
    assert judged.loc["sdarts-adv-deteriorates-less", ["low", "high"]].tolist() == pytest.approx(
        mean_test([numpy.array(less)]).interval[1:3]
    )
    growth = math.log(4)
    assert math.isnan(judged.loc["darts-hessian-grows", "low"]), f"all three seeds grow by the same log, {growth}"
    assert "all values are the same" in judged.loc["darts-hessian-grows", "reason"]
    assert "sdarts-adv-more-stable" not in judged.index
    first = numpy.stack([norm[0, :, 7:].mean(1), norm[1, :, 7:].mean(1)], axis=1)
    lost = numpy.stack([[14.0, 14.0, 14.0], [1.0, 3.0, 0.0]], axis=1)
    assert judged.loc["eigenvalue-goes-with-deterioration", "estimate"] == pytest.approx(
        oracles.within_correlation(first.tolist(), lost.tolist())
    )


def test_p_values_are_holms_over_all_rows_that_could_be_decided() -> None:
    judged = judge(study({space: all_columns(lambda: normal(numpy.random.default_rng(1), 6)) for space in "ab"}))
    tested = judged[judged["p"].notna()]
    assert len(tested) == 12 * 3
    alone = []
    for row in tested.itertuples():
        claim = CLAIMS[row.claim]
        samples = [
            claim.statistic(
                of_space(
                    study({space: all_columns(lambda: normal(numpy.random.default_rng(1), 6)) for space in "ab"}), space
                )
            )
            for space in ("ab" if row.space == POOLED else row.space)
        ]
        alone.append(claim.weigh(samples, claim.inner(claim.threshold)).p)
    numpy.testing.assert_allclose(tested["p"], oracles.holm(alone), atol=1e-9)
    numpy.testing.assert_allclose(tested["p"], holm(numpy.array(alone)))


def test_few_seeds_are_undecided_with_the_reason() -> None:
    rng = numpy.random.default_rng(0)
    for seeds in (1, 2):
        judged = judge(study({"a": with_effects(rng, seeds, 1.0)})).set_index("claim")
        row = judged.loc["darts-deteriorates"]
        assert row["verdict"] == "undecided"
        assert "an interval needs at least 3 seeds" in row["reason"]
        assert math.isnan(row["low"])
        assert math.isnan(row["p"])
        assert row["seeds_needed"] is pandas.NA
    for seeds in (3, 4):
        judged = judge(study({"a": with_effects(rng, seeds, 1.0)})).set_index("claim")
        row = judged.loc["darts-deteriorates"]
        assert row["verdict"] == "undecided"
        assert row["low"] > row["threshold"], "the interval is given, and shows what the study may become"
        assert row["seeds_needed"] >= 5
        assert f"too few seeds: an exact test of {seeds}" in row["reason"]


def test_missing_values_are_counted_and_take_their_seed_along() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    values["accuracy_cifar10_valid"][1, 2, -1] = math.nan  # sdarts-rs, seed 2, last epoch
    values["accuracy_cifar10_valid"][0, 3, 0] = math.nan  # outside the windows
    values["spectral_norm"][:, :, ::2] = math.nan  # measured every other epoch
    values["spectral_norm"][0, 4] = math.nan
    judged = judge(study({"a": values})).set_index("claim")
    assert judged.loc["sdarts-rs-ends-better", ["n", "missing"]].tolist() == [5, 1]
    assert "1 of 6 seeds lack a table accuracy" in judged.loc["sdarts-rs-ends-better", "reason"]
    assert judged.loc["sdarts-adv-ends-better", ["n", "missing"]].tolist() == [6, 0]
    assert judged.loc["darts-hessian-grows", ["n", "missing"]].tolist() == [5, 1]
    assert judged.loc["eigenvalue-goes-with-deterioration", ["n", "missing"]].tolist() == [4, 2]


def test_claims_without_data_say_what_is_lacking() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    values["accuracy_cifar10_valid"] = values["accuracy_cifar10_valid"] * math.nan
    judged = judge(study({"a": {name: array[:2] for name, array in values.items()}}, METHODS[:2])).set_index("claim")
    assert judged.loc["darts-deteriorates", "verdict"] == "no data"
    assert judged.loc["darts-deteriorates", "reason"] == "no seed has a table accuracy for every epoch under darts"
    assert not [name for name in judged.index if "sdarts-adv" in name], "of pairs that the study does not hold none"
    assert judged.loc["darts-deteriorates", "missing"] == 6
    assert judged.loc["darts-hessian-grows", "verdict"] == "supported"


def test_times_of_different_devices_are_not_compared() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    devices = ["cpu"] * 18
    devices[0] = "cuda"  # darts, seed 0
    judged = judge(study({"a": values}, device=devices, threads=["1"] * 18)).set_index("claim")
    assert judged.loc["sdarts-adv-costs-more", ["n", "missing"]].tolist() == [5, 1]
    assert judged.loc["sdarts-adv-ends-better", "n"] == 6


def grid(sharpness: float) -> str:
    """A landscape.csv whose accuracy falls by ``sharpness`` points per squared distance."""
    axis = [round(-1.5 + 0.5 * step, 2) for step in range(7)]
    lines = [f"{x},{y},1.0,{80 - sharpness * (x * x + y * y)}" for x in axis for y in axis]
    return "\n".join(["x,y,valid_loss,valid_accuracy", *lines]) + "\n"


def test_flatness_is_the_drop_around_alpha(tmp_path: Path) -> None:
    found = study({"a": with_effects(numpy.random.default_rng(0), 6, 1.0)})
    places = {}
    for run in found.runs["run"]:
        places[run] = tmp_path / run
        places[run].mkdir()
        sharp = (12.0 if "-darts-" in run else 2.0) + 0.01 * int(run[-1]) ** 2 * ("adv" in run)
        (places[run] / "landscape.csv").write_text(grid(sharp))
    judged = judge(dataclasses.replace(found, places=places)).set_index("claim")
    # Within 1 of the centre: four points at 0.5, four at 1, four at 0.71 of it: squared distances 0.25, 1 and 0.5.
    drop = (0.25 + 1 + 0.5) / 3
    assert windows.landscape_drop(places["a-darts-s0"]) == pytest.approx(12 * drop)
    assert judged.loc["sdarts-adv-flatter", "estimate"] == pytest.approx((2 - 12 + 0.01 * 55 / 6) * drop)
    assert judged.loc["sdarts-adv-flatter", "verdict"] == "supported"
    assert judged.loc["sdarts-rs-flatter", "verdict"] == "undecided", "six equal differences have no spread"
    (places["a-darts-s0"] / "landscape.csv").write_text(grid(1.0).replace("0.0,0.0,1.0,80.0\n", ""))
    (places["a-darts-s1"] / "landscape.csv").unlink()
    judged = judge(dataclasses.replace(found, places=places)).set_index("claim")
    assert judged.loc["sdarts-adv-flatter", ["n", "missing"]].tolist() == [4, 2]
    (places["a-darts-s2"] / "landscape.csv").write_text("x,y\n0,0\n")
    with pytest.raises(BadInput, match=r"landscape\.csv cannot be read"):
        judge(dataclasses.replace(found, places=places))


def test_rows_and_columns_are_always_the_same() -> None:
    values = {space: with_effects(numpy.random.default_rng(0), 5, 1.0) for space in "ba"}
    found = study(values)
    judged = judge(found)
    assert tuple(judged.columns) == COLUMNS
    with_data = [name for name in CLAIMS if "flatter" not in name]
    expected = [
        (name, space) for name in CLAIMS for space in ("a", "b", POOLED) if name in with_data or space != POOLED
    ]
    assert list(zip(judged["claim"], judged["space"], strict=True)) == expected
    shuffled = dataclasses.replace(found, epochs=found.epochs.sample(frac=1, random_state=0))
    pandas.testing.assert_frame_equal(judge(shuffled), judged)
    assert set(judged["verdict"]) <= {"supported", "not supported", "undecided", "no data"}
    assert (judged["seeds_needed"].isna() | (judged["verdict"] == "undecided")).all()


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_every_claim_says_what_it_is(claim: judging.Claim) -> None:
    assert CLAIMS[claim.name] is claim
    assert claim.statement.endswith(".")
    assert claim.direction in (1, -1)
    none = 1.0 if claim.ratio else 0.0
    assert (claim.threshold - none) * claim.direction > 0, "no effect is on the other side of the threshold"
    assert claim.shown(claim.inner(claim.threshold)) == pytest.approx(claim.threshold)


def test_the_papers_claims_are_as_they_were() -> None:
    assert list(CLAIMS) == [
        "darts-deteriorates",
        *("sdarts-rs-deteriorates-less", "sdarts-adv-deteriorates-less"),
        *("sdarts-rs-ends-better", "sdarts-adv-ends-better"),
        "darts-hessian-grows",
        *("sdarts-rs-hessian-smaller", "sdarts-adv-hessian-smaller"),
        "sdarts-adv-more-stable",
        "eigenvalue-goes-with-deterioration",
        *("sdarts-rs-flatter", "sdarts-adv-flatter"),
        *("sdarts-rs-costs-more", "sdarts-adv-costs-more"),
    ]
    assert CLAIMS["sdarts-adv-more-stable"].statement == (
        "SDARTS-ADV loses less accuracy in the second half of its search than SDARTS-RS."
    )
    assert CLAIMS["sdarts-adv-more-stable"].methods == ("sdarts-rs", "sdarts-adv")
    assert CLAIMS["darts-hessian-grows"].statement == (
        "The norm of the Hessian grows in the second half of a DARTS search."
    )


def test_claims_are_of_the_pairs_that_a_study_holds() -> None:
    found = {claim.name: claim for claim in claims(("darts", "pc-darts", "pc-darts-rs", "gdas-adv", "sdarts-rs"))}
    assert {name for name in found if name.endswith("-deteriorates")} == {"darts-deteriorates", "pc-darts-deteriorates"}
    less = {claim.methods for name, claim in found.items() if name.endswith("-deteriorates-less")}
    assert less == {("pc-darts", "pc-darts-rs"), ("darts", "sdarts-rs")}
    assert not [name for name in found if "gdas" in name or name.endswith("more-stable")]
    assert (
        found["pc-darts-rs-ends-better"].statement == "PC-DARTS-RS ends with more accurate architectures than PC-DARTS."
    )
    both = {claim.name: claim.methods for claim in claims(("pc-darts-rs", "pc-darts-adv"))}
    assert both == {
        "pc-darts-adv-more-stable": ("pc-darts-rs", "pc-darts-adv"),
        "eigenvalue-goes-with-deterioration": (),
    }
    assert list(CLAIMS) == [name for name in (claim.name for claim in claims((*METHODS, "gdas-adv"))) if name in CLAIMS]


def test_a_pair_is_judged_as_the_papers_are() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    paper = judge(study({"a": values}))
    other = judge(study({"a": values}, ("pc-darts", "pc-darts-rs", "pc-darts-adv"))).set_index("claim")
    assert len(other) == len(paper)
    for row in paper.to_dict("records"):
        name = row["claim"].replace("sdarts", "pc-darts")
        name = name if name.startswith(("pc-", "eigen")) else f"pc-{name}"
        assert other.loc[name, ["estimate", "p", "verdict"]].tolist() == pytest.approx(
            [row["estimate"], row["p"], row["verdict"]], nan_ok=True
        )


def test_a_studys_own_claims_are_judged_once_with_the_others_and_corrected_with_them() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    found = study({"a": values}, ("darts", "mine", "sdarts-rs"))
    own = (("ends-better", "mine", "sdarts-rs"), ("ends-better", "sdarts-rs", "darts"))
    before, judged = judge(found), judge(dataclasses.replace(found, claims=own))
    assert list(judged["claim"]) == [*before["claim"], "mine-ends-better-than-sdarts-rs"]
    assert judged["p"].count() == before["p"].count() + 1
    row = judged.iloc[-1]
    assert row["statement"] == "MINE ends with more accurate architectures than SDARTS-RS."
    difference = windows.per_run(found, "a").groupby("method")["late_accuracy"].mean()
    assert row["estimate"] == pytest.approx(difference["mine"] - difference["sdarts-rs"])
    with pytest.raises(BadInput, match="unknown template of claims 'ends-beter'; did you mean 'ends-better'"):
        judge(dataclasses.replace(found, claims=(("ends-beter", "mine", "darts"),)))


def test_templates_of_a_study_file_are_those_over_pairs() -> None:
    assert set(claimed.OWN) == OVER_PAIRS.keys() < TEMPLATES.keys()


def test_verdicts_for_people() -> None:
    judged = judge(study({"a": with_effects(numpy.random.default_rng(0), 6, 1.0)}))
    text = judging.printed(judged).splitlines()
    assert text[0] == "a"
    assert len(text) == 1 + len(CLAIMS)
    assert len({line.index("n = ") for line in text[1:]}) == 1, "aligned"
    assert "supported" in text[1]
    assert "after Holm over 12 tests" in text[1]
    table = judging.markdown(judged).splitlines()
    assert len(table) == 2 + len(CLAIMS)
    assert len({line.count("|") for line in table}) == 1
    assert CLAIMS["darts-deteriorates"].statement in table[2]


def test_the_command_line_prints_and_writes_only_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(PUBLISHED.rglob("*"))
    assert main(["claims", str(PUBLISHED)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert [line for line in printed.out.splitlines() if line and line[0] != " "] == [
        "nasbench1shot1-s1",
        "nasbench201",
        "all spaces",
    ]
    assert sorted(PUBLISHED.rglob("*")) == before
    out = tmp_path / "verdicts.csv"
    assert main(["claims", str(PUBLISHED), "--json", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = pandas.read_csv(out)
    assert [row["claim"] for row in rows] == written["claim"].tolist()
    assert tuple(rows[0]) == tuple(written.columns) == COLUMNS
    assert {row["verdict"] for row in rows if row["counts"] == "yes"} == {"supported"}
    assert {row["claim"] for row in rows if row["counts"] == "yes"} == {
        "sdarts-rs-hessian-smaller",
        "sdarts-adv-hessian-smaller",
    }
    assert rows[-1]["claim"] == "sdarts-adv-costs-more"
    assert main(["claims", str(tmp_path / "absent")]) == 2
    assert "absent does not exist" in capsys.readouterr().err
    assert main(["claims", str(PUBLISHED), "--out", str(out / "x.csv")]) == 1
    assert "verdicts.csv: File exists" in capsys.readouterr().err


def test_a_method_without_a_hessian_keeps_none_from_the_claim_about_all() -> None:
    values = with_effects(numpy.random.default_rng(0), 6, 1.0)
    for name in ("eigenvalue_max", "spectral_norm"):
        values[name][2] = math.nan  # sdarts-adv
    judged = judge(study({"a": values})).set_index("claim")
    two = {name: array[:2] for name, array in values.items()}
    alone = judge(study({"a": two}, METHODS[:2])).set_index("claim")
    row, without = (found.loc["eigenvalue-goes-with-deterioration"] for found in (judged, alone))
    assert row[["n", "missing"]].tolist() == [6, 0]
    assert row["estimate"] == without["estimate"]
