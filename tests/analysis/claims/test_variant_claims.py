"""Claims of variants: judged within each, compared where fields are the same (H1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.analysis.claims import judging
from nas_stability.analysis.study import Study
from tests.analysis.variant_studies import S1, written
from tests.analysis.written import ACCURACY
from tests.small import load


def test_a_claim_is_judged_within_each_variant(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["radius"]).set_index(["claim", "variant"])
    for lower, radius in enumerate((0.03, 0.1, 0.2, 0.3, 0.5)):
        row = judged.loc[("darts-deteriorates", f"radius {radius}")]
        lost = [of_seed[1] - (of_seed[2] - lower) for of_seed in ACCURACY["darts"]]
        assert (row["n"], row["estimate"]) == (3, pytest.approx(sum(lost) / 3))
        row = judged.loc[("sdarts-rs-ends-better", f"radius {radius}")]
        better = [b[2] - a[2] for a, b in zip(ACCURACY["darts"], ACCURACY["sdarts-rs"], strict=True)]
        assert (row["n"], row["estimate"]) == (3, pytest.approx(sum(better) / 3))


def test_methods_are_compared_where_they_have_the_same_fields(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["baseline"])
    found = judged[judged["claim"] == "sdarts-rs-ends-better"].set_index(["space", "variant"])
    assert found.loc[("nasbench201", "radius 0.3"), "n"] == 3
    assert found.loc[("nasbench201", "radius 0.1"), "verdict"] == "no data"
    assert found.loc[("nasbench201", "radius 0.1"), "reason"] == "no finished run of darts with the same fields"
    assert found.loc[(S1, ""), "reason"] == "no finished run of sdarts-rs"
    pooled = judged[(judged["claim"] == "darts-deteriorates") & (judged["space"] == judging.POOLED)]
    assert list(pooled["variant"]) == [""]
    assert list(pooled["n"]) == [6]


@pytest.mark.parametrize(
    ("case", "rs", "verdict", "reason"),
    [
        ("H1: never the same", (0.1, 0.2), "no data", "(darts with radius 0.3; sdarts-rs with radius 0.1, radius 0.2)"),
        ("H1: whole methods differ", (0.1,), "undecided", "the methods differ in radius (0.3, 0.1)"),
    ],
)
def test_methods_that_differ_say_so(
    case: str, rs: tuple[float, ...], verdict: str, reason: str, tmp_path: Path
) -> None:
    runs = [("nasbench201", "darts", seed, {"radius": 0.3}) for seed in range(3)]
    runs += [("nasbench201", "sdarts-rs", seed, {"radius": radius}) for radius in rs for seed in range(3)]
    judged = judging.judge(load(written(tmp_path, runs))).set_index("claim")
    row = judged.loc["sdarts-rs-ends-better"]
    assert (row["verdict"], row["variant"]) == (verdict, ""), case
    assert reason in row["reason"], case


def test_verdicts_of_variants_for_people(studies: dict[str, Study]) -> None:
    judged = judging.judge(studies["baseline"])
    blocks = judging.printed(judged).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        *(S1, "nasbench201", "nasbench201, radius 0.1", "nasbench201, radius 0.3", "all spaces"),
    ]
    assert judging.markdown(judged).startswith("| claim | space | variant | verdict |")
    assert "| variant |" not in judging.markdown(judged.assign(variant=""))
