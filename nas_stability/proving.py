"""Verbs that hold the code to something: verify, bench."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nas_stability.benchmarks.errors import BadInput
from nas_stability.flags import FAILED, Verbs, add_machine, finish, folder, integer
from nas_stability.harness.records.outputs import refuse_output
from nas_stability.progress import progress_bar


def add_verbs(verbs: Verbs) -> None:
    """verify and bench."""
    verify = verbs.add_parser("verify", help="replay reference traces of the published code", allow_abbrev=False)
    verify.add_argument("traces", metavar="TRACE", nargs="+", type=folder)
    finish(verify, verify_verb)

    bench = verbs.add_parser("bench", help="what a step and a Hessian cost, beside a literal one", allow_abbrev=False)
    spaces = ("nasbench201", "nasbench1shot1-s1")
    bench.add_argument("--space", metavar="SPACE", nargs="+", default=spaces, help=f"({' '.join(spaces)})")
    bench.add_argument(
        "--size",
        choices=("published", "batch-16", "quick", "both"),
        default="both",
        help="both: published, which takes many minutes, and quick; batch-16: published but for its batch (both)",
    )
    bench.add_argument("--method", metavar="METHOD", nargs="+", help="or hessian (all: some two hours)")
    bench.add_argument("--rounds", type=integer, default=0, metavar="N", help="of each case, 0 by what it costs (0)")
    bench.add_argument("--out", metavar="DIR", type=folder, default=Path("results/bench"), help="(results/bench)")
    add_machine(bench, threads=0)
    finish(bench, bench_verb)


def verify_verb(options: argparse.Namespace) -> int:
    """Replays traces; 0 only if every deviation of every trace is under the tolerance."""
    from nas_stability.harness import replay

    for path in options.traces:
        if not path.is_file():
            raise BadInput(f"the trace {path} does not exist")
    width = max(len(path.stem) for path in options.traces)
    print(f"{'trace':{width}}  " + "  ".join(f"{name:>13}" for name in replay.Deviation._fields))
    good = True
    for path in options.traces:
        deviation = replay.replay(path)
        good = good and deviation.worst < replay.TOLERANCE
        verdict = "" if deviation.worst < replay.TOLERANCE else f"  over {replay.TOLERANCE:g}"
        print(f"{path.stem:{width}}  " + "  ".join(map(cell, deviation)) + verdict)
    return 0 if good else FAILED


def cell(value: float | None) -> str:
    """A deviation in its column; a dash where the trace has no such record."""
    return f"{'-':>13}" if value is None else f"{value:13.1e}"


def bench_verb(options: argparse.Namespace) -> int:
    """Measures, writes, draws and prints; a bar that is not met is printed as such and fails nothing."""
    import matplotlib

    from nas_stability.analysis import report
    from nas_stability.analysis.figures import cost
    from nas_stability.analysis.figures.panels import style
    from nas_stability.harness.benching import cases, comparison, markdown_tables
    from nas_stability.harness.runs import run

    if options.rounds < 0:
        raise BadInput(f"--rounds takes a number of at least 0, not {options.rounds}")
    refuse_output(options.out)
    sizes = ("published", "quick") if options.size == "both" else (options.size,)
    planned = cases.plan(options.space, sizes, options.method or (*cases.METHODS, cases.HESSIAN))
    growths = [one for one in cases.growth_plan(options.space) if one.case.what in (options.method or cases.GROWN)]
    place = run.Place(options.device, options.threads)
    with progress_bar(len(planned) + len(growths), "bench", "case") as progress:
        found, compared = comparison.measure_cases(planned, growths, place, options.rounds, options.out, progress)
    if growths:
        with matplotlib.rc_context(style(paper=False)):
            report.write_figure(cost.cost(cost.read(options.out / comparison.SCALING)), options.out, "cost")
    print(markdown_tables.tables(found, compared))
    if not any(row.beside == comparison.LITERAL for row in compared):
        print("without the literal reference: tests/oracles.py comes with a checkout only", file=sys.stderr)
    print(f"bench: {options.out}")
    return 0
