"""What the harness itself costs: python tests/bench_studies.py [--runs 2000] [--toys 200].

Prints the time per run that a study of one-epoch toy runs takes beyond the search itself (loading the data and the
table, measuring, writing and syncing files); and the time of ``status`` and ``load`` on a folder of 2,000 finished runs
of 100 epochs, made by copying one run's records. A bar that is not met makes the exit status 1.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import shutil
import tempfile
import time
from pathlib import Path

from nas_stability.analysis.study import load
from nas_stability.benchmarks import files
from nas_stability.harness.records.record import DONE, EPOCHS, SCHEMA, SPEC, STUDY
from nas_stability.harness.records.sealed import SEAL, sealed
from nas_stability.harness.records.status import read_status
from nas_stability.harness.runs import batch
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.small import PLACE, small_spec

EPOCHS_EACH = 100


def toys(count: int, folder: Path) -> tuple[float, float]:
    """Wall-clock seconds of a study of toy runs in this process, and the seconds of search in it."""
    specs = tuple(small_spec(seed=seed, epochs=1, images=24, hessian=False) for seed in range(count))
    began = time.perf_counter()
    batch.run_study(PlannedStudy("toys", specs), folder, PLACE, batch.Engine(), lambda done: None)
    wall = time.perf_counter() - began
    searched = 0.0
    for path in folder.glob(f"*/{EPOCHS}"):
        with path.open() as file:
            searched += sum(float(row["seconds"]) for row in csv.DictReader(file))
    return wall, searched


def large_study(runs: int, folder: Path) -> None:
    """A folder of finished runs of 100 epochs: one run's records, repeated under other seeds and certified anew."""
    spec = small_spec(epochs=1, images=24)
    batch.run_study(PlannedStudy("one", (spec,)), folder / "one", PLACE, batch.Engine(), lambda done: None)
    source = folder / "one" / spec.run_id
    lines = (source / EPOCHS).read_text().splitlines(keepends=True)
    spectrum = (source / "spectrum.csv").read_text().splitlines(keepends=True)
    values = [line.split(",", 1)[1] for line in spectrum[1:31]]
    record = json.loads((source / DONE).read_text())
    del record[SEAL]
    planned = {}
    every = [f"{epoch},{value}" for epoch in range(EPOCHS_EACH + 1) for value in values]
    rest = lines[2].split(",", 6)[6]
    for seed in range(runs):
        one = dataclasses.replace(spec, seed=seed, epochs=EPOCHS_EACH)
        place = folder / "large" / one.run_id
        place.mkdir(parents=True)
        start = [one.run_id, one.space, one.method, one.data_name, str(seed)]
        rows = [",".join([*start, str(epoch), rest]) for epoch in range(EPOCHS_EACH + 1)]
        (place / EPOCHS).write_text(lines[0] + "".join(rows))
        (place / "spectrum.csv").write_text(spectrum[0] + "".join(every))
        shutil.copy(source / "alphas.npz", place / "alphas.npz")
        (place / SPEC).write_text(one.json())
        sums = {name: files.sha256(place / name) for name in (SPEC, EPOCHS, "spectrum.csv", "alphas.npz")}
        (place / DONE).write_text(sealed({**record, "run": one.run_id, "spec": json.loads(one.json()), "files": sums}))
        planned[one.run_id] = json.loads(one.json())
    (folder / "large" / STUDY).write_text(sealed({"schema": SCHEMA, "name": "large", "runs": planned}))


def bar(what: str, seconds: float, most: float) -> bool:
    """Prints a measurement against its bar."""
    met = seconds < most
    print(f"{'met ' if met else 'MISSED'} {what}: {seconds:.2f} s (bar: < {most:g})")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--toys", type=int, default=200)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-studies-"))
    try:
        wall, searched = toys(options.toys, folder / "toys")
        print(
            f"{options.toys} toy runs: {wall:.1f} s, of which search {searched:.1f} s; "
            f"{(wall - searched) / options.toys:.3f} s per run beyond the search"
        )
        large_study(options.runs, folder)
        began = time.perf_counter()
        read_status(folder / "large")
        good = bar(f"status of {options.runs} runs x {EPOCHS_EACH} epochs", time.perf_counter() - began, 3)
        began = time.perf_counter()
        load(folder / "large")
        good = bar(f"load of {options.runs} runs x {EPOCHS_EACH} epochs", time.perf_counter() - began, 5) and good
    finally:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
