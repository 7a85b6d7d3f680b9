"""Mutates the files of a finished study at random and asks every verb that reads it.

    python -m tests.mutations [--count 2000] [--seed 0]

A mutation flips a byte, removes or doubles a line, or swaps a file between two runs. Each of ``check``, ``report``,
``claims``, ``collect`` and ``status`` must give the numbers of the whole study, or exit with 1 or 2 and name what is
damaged; never a traceback, never another number. Prints how many of each there were; exits with 0 only if all did.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from nas_stability.command_line import main as nas_stability
from nas_stability.harness.records.record import (
    ALPHAS,
    CHECKPOINT,
    DONE,
    EPOCHS,
    LANDSCAPE,
    PLANE,
    SPEC,
    SPECTRUM,
    STUDY,
)
from nas_stability.harness.runs import batch, landscape, plane
from nas_stability.harness.runs.run import Watch
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.small import PLACE, small_spec

FILES = (SPEC, EPOCHS, SPECTRUM, ALPHAS, CHECKPOINT, DONE, LANDSCAPE, PLANE)
VERBS = ("check", "report", "claims", "collect", "status")


class Mutation(NamedTuple):
    """What is done to a file.

    Attributes:
        kind: flip, remove, double or swap.
        run: place of the run among the study's; -1 for the study itself.
        name: of the file.
        place: share of the file at which it is done, in [0, 1).
        bits: that are flipped, 1 to 255.
        other: place of the run that a file is swapped with.
    """

    kind: str
    run: int
    name: str
    place: float
    bits: int
    other: int


def finished_study(folder: Path) -> list[Path]:
    """A study of two methods and two seeds, with a landscape; returns the folders of its runs."""
    specs = tuple(small_spec(method=method, seed=seed) for method in ("darts", "sdarts-rs") for seed in (0, 1))
    batch.run_study(PlannedStudy("small", specs), folder, PLACE, batch.Engine(), lambda done: None)
    runs = [folder / spec.run_id for spec in specs]
    for run in runs[:2]:
        landscape.measure_landscape(run, plane.Grid(3, 1.0), PLACE, Watch())
    return runs


def mutations(runs: int) -> st.SearchStrategy[Mutation]:
    """Mutations of a study of so many runs."""
    of_runs = st.builds(
        Mutation,
        kind=st.sampled_from(("flip", "remove", "double", "swap")),
        run=st.integers(0, runs - 1),
        name=st.sampled_from(FILES),
        place=st.floats(0, 1, exclude_max=True),
        bits=st.integers(1, 255),
        other=st.integers(0, runs - 1),
    )
    of_study = st.builds(
        Mutation,
        kind=st.sampled_from(("flip", "remove", "double")),
        run=st.just(-1),
        name=st.just(STUDY),
        place=st.floats(0, 1, exclude_max=True),
        bits=st.integers(1, 255),
        other=st.just(-1),
    )
    return st.one_of(of_runs, of_runs, of_runs, of_runs, of_study)


def mutate(folder: Path, runs: list[Path], mutation: Mutation) -> dict[Path, bytes]:
    """Carries a mutation out; the files that it changed as they were, none where it changes nothing."""
    path = (folder if mutation.run < 0 else runs[mutation.run]) / mutation.name
    if not path.exists():
        return {}
    before = path.read_bytes()
    if mutation.kind == "swap":
        other = runs[mutation.other] / mutation.name
        if not other.exists() or other.read_bytes() == before:
            return {}
        changed = {path: before, other: other.read_bytes()}
        path.write_bytes(changed[other])
        other.write_bytes(before)
        return changed
    if mutation.kind == "flip":
        content = bytearray(before)
        content[int(mutation.place * len(content))] ^= mutation.bits
        path.write_bytes(content)
        return {path: before}
    lines = before.splitlines(keepends=True)
    index = int(mutation.place * len(lines))
    lines[index : index + 1] = [] if mutation.kind == "remove" else [lines[index]] * 2
    path.write_bytes(b"".join(lines))
    return {path: before}


def answer(verb: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, standard output with the numbers that were written, and standard error of a verb."""
    out = folder.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    arguments = {
        "report": ["--only", "results", "--workers", "1", "--out", str(out)],
        "claims": ["--json"],
        "collect": ["--out", str(out)],
    }
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        code = nas_stability([verb, str(folder), *arguments.get(verb, [])])
    written = [path.read_text() for path in sorted(out.glob("*.csv"))]
    return code, "\n".join([printed.getvalue(), *written]), errors.getvalue()


def fault(verb: str, whole: str, found: tuple[int, str, str], changed: list[Path]) -> str | None:
    """What is wrong with a verb's answer on a mutated study, None where nothing is."""
    code, printed, errors = found
    if "Traceback" in errors + printed:
        return "a traceback"
    if code == 0:
        return None if printed == whole else "other numbers, without a word"
    if code not in (1, 2):
        return f"exit code {code}"
    names = {part for path in changed for part in (path.name, path.parent.name)}
    return None if any(name in errors + printed for name in names) else f"nothing named: {errors.strip()}"


def trial(folder: Path, runs: list[Path], count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How the verbs answered ``count`` mutations, and the faults that were found."""
    whole = {verb: answer(verb, folder) for verb in VERBS}
    assert all(code == 0 for code, _, _ in whole.values()), whole
    answers: Counter[str] = Counter()
    faults: list[str] = []

    @seeded(seed)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mutations(len(runs)))
    def one(mutation: Mutation) -> None:
        changed = mutate(folder, runs, mutation)
        answers["mutations"] += bool(changed)
        try:
            for verb in VERBS if changed else ():
                found = answer(verb, folder)
                answers["the numbers of the whole study" if found[0] == 0 else "refused by name"] += 1
                if wrong := fault(verb, whole[verb][1], found, list(changed)):
                    faults.append(f"{mutation}: {verb}: {wrong}")
        finally:
            for path, content in changed.items():
                path.write_bytes(content)

    logging.disable(logging.WARNING)
    try:
        one()
    finally:
        logging.disable(logging.NOTSET)
    return answers, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        runs = finished_study(folder)
        while total["mutations"] < options.count:  # hypothesis draws some that change nothing
            seed = options.seed + sum(total.values())
            answers, found = trial(folder, runs, options.count - total["mutations"], seed)
            total += answers
            faults += found
    for line in faults[:20]:
        print(line)
    print(", ".join(f"{number} {what}" for what, number in total.items()) + f"; {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
