"""The bench: what it counts and how it compares; and the bars that do not depend on the machine's mood."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import matplotlib
import pandas
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from nas_stability.analysis.figures import cost
from nas_stability.analysis.figures.panels import style
from nas_stability.analysis.report import write_figure
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.command_line import main
from nas_stability.harness.benching import cases as bench_cases
from nas_stability.harness.benching import comparison, instrument, markdown_tables
from nas_stability.harness.benching.cases import GROWN, HESSIAN, METHODS, Case, Growth, Measured
from nas_stability.harness.benching.comparison import LITERAL, OURS, PLAIN
from nas_stability.harness.benching.instrument import Counter, Demand
from nas_stability.harness.methods import compositions
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.state import start
from tests import oracles
from tests.slow import slow_but
from tests.small import CPU, LISTED, PLACE, small_spec

EVERY = [(space, method) for space in LISTED for method in GROWN]


def tiny(space: str, what: str, **values: int) -> Case:
    """A case of a few milliseconds."""
    method = "darts" if what == HESSIAN else what
    spec = small_spec(**{"space": space, "method": method, "batch_size": 4, **values})
    return Case("tiny", what, spec)


def test_the_counter_counts_what_would_be_launched() -> None:
    images = torch.randn(2, 3, 8, 8)
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)

    def by_hand() -> None:
        room = torch.empty(2, 4, 8, 8)  # not launched
        found = F.conv2d(images, weight, padding=1)  # 1
        joined = (found.detach() + room.zero_()).view(2, -1)  # 2, 3; two views are not launched
        (joined @ joined.T).sum().item()  # 4, 5; the read is not launched

    with Counter() as counter:
        by_hand()
    products = 2 * 2 * (4 * 64) * 2
    assert counter.asked[:2] == (5, (2 * (2 * 4 * 64) * 3 * 9 + products) / 1e9)


@pytest.mark.slow
@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench201"))
def test_flop_are_pytorchs_own_count(space: str) -> None:
    work = comparison.works(tiny(space, "sdarts-adv"), CPU, None)[OURS]
    work()
    with Counter() as counter:
        work()
    with FlopCounterMode(display=False) as known:  # type: ignore[no-untyped-call]
        work()
    assert counter.flop == known.get_total_flops() > 0


def test_a_published_forward_pass_is_about_31_gflop() -> None:
    """The number of issue 6, from which its lower bounds of a step follow; on the meta device nothing is computed."""
    spec = bench_cases.published_spec("nasbench201", "darts")
    search = start(spec, instrument.CLASSES, 3, torch.device("meta"))
    images = torch.empty(spec.batch_size, 3, 32, 32, device="meta")
    with torch.no_grad(), Counter() as counter:
        search.net(images, softmax(search.alpha))
    assert counter.asked.gflop == pytest.approx(31, abs=1)


def test_the_peak_is_of_the_results_that_are_there_at_once() -> None:
    given = torch.ones(1_000)
    with Counter() as counter:
        for _ in range(3):
            first = torch.ones(1_000)  # 4 kB, one at a time: the next is made before the last one goes
        second = first.view(10, 100).add_(given.view(10, 100))  # in memory that is there
        given.mul_(2.0)
        del first, second
        torch.ones(500)
    assert counter.asked.peak_mb == pytest.approx(0.008)
    assert counter.held == 0


def test_what_a_backward_pass_needs_is_held_until_then() -> None:
    point = torch.ones(1_000, requires_grad=True)
    with Counter() as counter:
        value = torch.exp(torch.exp(point)).sum()  # two results kept, and the sum
        assert counter.held == 8_004
        value.backward()
        del value
    assert counter.held == 4_000  # the gradient


def test_ratios_are_those_of_the_rows_and_stand_beside_their_bars() -> None:
    case = Case("published", "sdarts-adv", bench_cases.published_spec("nasbench201", "sdarts-adv"))
    measured = {
        OURS: Measured(100, Demand(250, 50.0, 60.0), (1.0, 2.0, 4.0)),
        LITERAL: Measured(290, Demand(290, 70.0, 100.0), (3.0, 4.0, 9.0)),
        PLAIN: Measured(150, Demand(150, 60.0, 120.0), (1.5, 3.0, 8.0)),
    }
    found, compared = comparison.costs(case, measured, 2, 100.0), comparison.ratios(case, measured)
    ours, literal, _ = found
    assert (ours.seconds_median, ours.seconds_min, ours.seconds_max, ours.rounds) == (2.0, 1.0, 4.0, 3)
    assert (ours.operations, ours.dispatched) == (100, 250)
    assert (ours.share_of_peak, literal.share_of_peak) == (0.25, 0.175)
    rows = {(row.beside, row.quantity): (row.median, row.low, row.high, row.bar, row.met) for row in compared}
    assert rows == {
        (LITERAL, "seconds"): (2.25, 2.0, 3.0, 2.2, True),
        (LITERAL, "operations"): (2.9, 2.9, 2.9, 3.0, False),
        (LITERAL, "peak_mb"): (0.6, 0.6, 0.6, 0.7, True),
        (PLAIN, "seconds"): (1.5, 1.5, 2.0, None, None),
        (PLAIN, "operations"): (1.5, 1.5, 1.5, None, None),
        (PLAIN, "peak_mb"): (0.5, 0.5, 0.5, None, None),
    }
    lines = [line.split("|") for line in markdown_tables.tables(found, compared).splitlines()]
    cells = [[cell.strip() for cell in line[4:-1]] for line in lines if len(line) == 12]
    assert ["plain", "times faster", "", "1.50", "1.50", "2.00", ""] in cells
    cells = [line[1:] for line in cells if line[0] == LITERAL]
    assert ["times faster", "met", "2.25", "2.00", "3.00", ">= 2.2"] in cells
    assert ["times fewer operations", "not met", "2.90", "2.90", "2.90", ">= 3"] in cells
    assert ["share of peak memory", "met", "0.60", "0.60", "0.60", "<= 0.7"] in cells


def test_bars_are_those_of_the_issue_in_every_space() -> None:
    def bars(space: str, what: str) -> dict[str, float | None]:
        method = "darts" if what == HESSIAN else what
        one = Measured(1, Demand(1, 1.0, 1.0), (1.0,))
        case = Case("published", what, bench_cases.published_spec(space, method))
        return {row.quantity: row.bar for row in comparison.ratios(case, {OURS: one, LITERAL: one})}

    darts = comparison.BARS["darts"]["seconds", "pc-darts"]
    assert set(darts.values()) == {1.67}, "at most 0.6 of the time"
    for space in LISTED:
        fast = space == "nasbench201"
        for method in ("darts", "sdarts-rs"):
            assert bars(space, method) == {"seconds": 1.7 if fast else 1.5, "operations": 3.0, "peak_mb": None}
        assert bars(space, "sdarts-adv") == {"seconds": 2.2 if fast else 2.0, "operations": 3.0, "peak_mb": 0.7}
        assert bars(space, HESSIAN) == {"seconds": 2.0, "operations": None, "peak_mb": None}


@pytest.mark.parametrize(
    ("space", "method"),
    slow_but([(space, method) for space in LISTED for method in METHODS], ("nasbench201", "gdas-rs")),
)
def test_a_step_and_the_references_are_the_same_work(space: str, method: str) -> None:
    """Same weights, batches and noise: the losses of the first two steps."""
    found = comparison.works(tiny(space, method), CPU, oracles)
    for _ in range(2):
        ours = found[OURS]().loss  # type: ignore[attr-defined]
        literal = found[LITERAL]()
        if not method.startswith("drnas"):  # the reference samples as PyTorch does, with draws of its own
            torch.testing.assert_close(ours, literal, rtol=1e-4, atol=0)
        if PLAIN in found:
            torch.testing.assert_close(ours, found[PLAIN]().loss, rtol=1e-4, atol=0)  # type: ignore[attr-defined]
    assert (comparison.DARTS in found) == (method not in GROWN)


@pytest.mark.slow
@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench201"))
def test_a_hessian_and_the_references_are_the_same_work(space: str) -> None:
    """Same weights and batch."""
    found = comparison.works(tiny(space, HESSIAN), CPU, oracles)
    ours, literal = found[OURS](), found[LITERAL]()
    assert isinstance(literal, torch.Tensor)
    torch.testing.assert_close(ours, literal, rtol=0, atol=1e-3 * float(literal.abs().max()))
    torch.testing.assert_close(ours, found[PLAIN](), rtol=0, atol=1e-3 * float(literal.abs().max()))


@pytest.mark.parametrize(("space", "method"), slow_but(EVERY, ("nasbench1shot1-s1", "darts")))
def test_a_step_has_a_third_of_the_references_operations(space: str, method: str) -> None:
    """At the published depth; the number of launches depends neither on the width nor on the batch."""
    case = tiny(space, method, depth=bench_cases.published_spec(space, method).depth)
    measured = comparison.measure(case, CPU, oracles, 1, plain=False)
    assert measured[LITERAL].launches >= 3 * measured[OURS].launches


@pytest.mark.parametrize("space", slow_but(LISTED, "nasbench1shot1-s1"))
@pytest.mark.parametrize("what", slow_but((*GROWN, HESSIAN), "darts"))
def test_launches_are_counted_as_on_a_gpu_where_a_batch_norm_is_one(space: str, what: str) -> None:
    """Of few pixels it is one on a CPU as well; of many it is more there, and the same launches."""
    few, many = (
        comparison.measure(case, CPU, None, 1, plain=False)[OURS]
        for case in (tiny(space, what, batch_size=count, hessian_batch_size=count) for count in (4, 40))
    )
    assert 0 < few.launches == few.asked.operations == many.launches < many.asked.operations


@pytest.mark.slow
def test_files_table_and_figure(tmp_path: Path) -> None:
    spaces = ("nasbench201", "nasbench1shot1-s3")
    cases = [tiny(space, what) for space in spaces for what in ("darts", "sdarts-rs")] + [tiny(spaces[0], HESSIAN)]
    growths = [
        Growth(axis, value, tiny(space, "darts", **{axis: value}))
        for space in spaces
        for axis, value in (("width", 2), ("width", 3), ("depth", 3), ("batch_size", 4))
    ]
    told: list[int] = []
    found, _ = comparison.measure_cases(cases, growths, PLACE, 3, tmp_path, told.append)
    assert told == list(range(1, len(cases) + len(growths) + 1))
    steps = pandas.read_csv(tmp_path / comparison.STEP)
    assert list(steps.columns) == list(bench_cases.StepCost._fields)
    assert len(steps) == len(found) == 3 * len(cases)
    assert (steps["rounds"] == 3).all()
    assert (steps["seconds_min"] <= steps["seconds_median"]).all()
    assert (steps["seconds_median"] <= steps["seconds_max"]).all()
    assert steps["share_of_peak"].between(0, 1, inclusive="neither").all()
    ratios = pandas.read_csv(tmp_path / comparison.RATIOS)
    assert list(ratios.columns) == [*bench_cases.Ratio._fields, "met"]
    indexed = steps.set_index(["space", "what", "implementation"])
    for row in ratios[ratios["quantity"] == "operations"].itertuples():
        ours, other = (indexed.loc[(row.space, row.what, name), "operations"] for name in (OURS, row.beside))
        assert row.median == pytest.approx(other / ours, rel=1e-3)
    assert set(ratios["beside"]) == {LITERAL, PLAIN}
    assert (ratios["met"].isna() == ratios["bar"].isna()).all()
    machine = json.loads((tmp_path / comparison.MACHINE).read_text())
    assert machine["threads"] == 1
    assert machine["reference"] is True
    assert machine["convolution_peak_gflop_per_second"] > 0.1
    assert machine["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]

    rows = cost.read(tmp_path / comparison.SCALING)
    assert len(rows) == 2 * len(growths)
    drawn = cost.cost(rows)
    assert len(drawn.figure.axes) == 6
    panel = drawn.figure.axes[0]
    here = rows[(rows["space"] == spaces[0]) & (rows["axis"] == "width") & (rows["implementation"] == OURS)]
    shown = [line for line in panel.get_lines() if line.get_linestyle() == "-"]
    assert [list(line.get_ydata()) for line in shown] == [list(here.sort_values("value")["seconds_median"])]
    low, high = panel.get_ylim()
    assert low < rows.loc[rows["space"] == spaces[0], "seconds_median"].min()
    assert high > rows.loc[rows["space"] == spaces[0], "seconds_median"].max()
    with matplotlib.rc_context(style(paper=False)):
        assert {path.suffix for path in write_figure(drawn, tmp_path, "cost")} == {".png", ".pdf", ".csv"}


@pytest.mark.slow
def test_without_the_reference_ours_alone_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "__file__", str(tmp_path / "harness" / "benching" / "comparison.py"))
    assert comparison.reference() is None
    found, compared = comparison.measure_cases(
        [tiny("nasbench201", "darts")], [], PLACE, 1, tmp_path, lambda done: None
    )
    assert {row.beside for row in compared} == {PLAIN}
    assert [row.implementation for row in found] == [OURS, PLAIN]
    assert "literal" not in markdown_tables.tables(found, compared)


def test_sizes_are_the_papers_and_those_of_quick() -> None:
    cases = {
        (case.spec.space, case.size, case.what): case.spec
        for case in bench_cases.plan(LISTED, tuple(bench_cases.SIZES))
    }
    assert len(cases) == len(LISTED) * 3 * (len(METHODS) + 1)
    rows = set(METHODS) | {"darts-ada"}
    assert rows == set(compositions.METHODS), "every method has its rows; a step of DARTS-ADA is one of darts-2nd"
    assert cases["nasbench201", "published", "darts"] == run_spec(
        {"space": "nasbench201", "method": "darts", "data": "cifar10"}
    )
    for space in LISTED:
        short = cases[space, "batch-16", "sdarts-adv"]
        assert short == dataclasses.replace(cases[space, "published", "sdarts-adv"], batch_size=16)
        spec = cases[space, "quick", "sdarts-adv"]
        assert (spec.space, spec.width, spec.batch_size, spec.data) == (space, 4, 64, "digits")
        assert spec.depth == (1 if space == "nasbench201" else 3)


def test_unknown_names_and_numbers_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    of_cells = [case.what for case in bench_cases.plan(("darts-s4",), ("quick",))]
    assert {*METHODS, HESSIAN} - set(of_cells) == {"gdas", "gdas-rs", "gdas-adv"}
    with pytest.raises(BadInput, match="did you mean 'nasbench201'"):
        bench_cases.plan(("nasbench20",), ("quick",))
    assert main(["bench", "--space", "nasbench20", "--size", "quick"]) == 2
    assert "did you mean 'nasbench201'" in capsys.readouterr().err
    assert main(["bench", "--method", "gdas-r", "--size", "quick"]) == 2
    assert "did you mean 'gdas-rs'" in capsys.readouterr().err
    assert main(["bench", "--rounds", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(BadInput, match="nas-stability bench writes it"):
        cost.read(tmp_path / "absent.csv")


@pytest.mark.slow
def test_the_verb_writes_draws_and_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_cases, "plan", lambda spaces, sizes, methods: [tiny("nasbench201", "darts")])
    monkeypatch.setattr(bench_cases, "growth_plan", lambda spaces: [Growth("width", 2, tiny("nasbench201", "darts"))])
    assert main(["bench", "--threads", "1", "--rounds", "2", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "times fewer operations" in printed
    assert printed.endswith(f"bench: {tmp_path}\n")
    names = {"step.csv", "ratios.csv", "scaling.csv", "machine.json", "cost.png", "cost.pdf", "cost.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    with (tmp_path / "step.csv").open() as file:
        assert [row["rounds"] for row in csv.DictReader(file)] == ["2", "2", "2"]


@pytest.mark.slow
def test_methods_are_chosen_and_without_those_that_grow_no_figure_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--space", "nasbench201", "--size", "quick", "--method", "gdas-rs"]
    assert main(["bench", *chosen, "--threads", "1", "--rounds", "1", "--out", str(tmp_path)]) == 0
    assert {row["what"] for row in csv.DictReader((tmp_path / "step.csv").open())} == {"gdas-rs"}
    assert "gdas-rs" in capsys.readouterr().out
    assert not list(tmp_path.glob("cost.*"))
