"""The bars of the tables, printed: python tests/bench_tables.py [--cells N] [--records N].

Makes a NAS-Bench-101 of full size (423,624 cells x 3 repeats x 4 budgets, three splits and halfway values) from a
seeded generator in a temporary folder; opens it in a fresh process; asks it; reads a dump of its format. A bar that is
not met makes the exit status 1. Times are processor or wall time as named: the machine may be busy with something else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from nas_stability.benchmarks.tables.open_file import Question, Source, TimedTraining, open_table, write_packed  # noqa: E402

CELLS = 423_624
BUDGETS = (4, 12, 36, 108)

MEMORY = """
def megabytes():  # not getrusage: its peak is inherited from the parent over a fork
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
"""

FIRST_QUERY = (
    MEMORY
    + """
import json, sys, time
from pathlib import Path
began = time.perf_counter()
from nas_stability.benchmarks.tables.open_file import open_table
imported = time.perf_counter()
table = open_table(Path(sys.argv[1]))
opened = time.perf_counter()
accuracy = table.score(sys.argv[2], "cifar10", "test", 108)
answered = time.perf_counter()
print(json.dumps({"import": imported - began, "open": opened - imported, "answer": answered - opened,
                  "megabytes": megabytes(), "torch": "torch" in sys.modules, "accuracy": accuracy}))
"""
)

GATHER = (
    MEMORY
    + """
import json, sys, time
from pathlib import Path
from nas_stability.benchmarks.tables import dumps_101
began = time.process_time()
contents = dumps_101.contents(Path(sys.argv[1]), dumps_101.records(Path(sys.argv[1])))
print(json.dumps({"seconds": time.process_time() - began, "cells": len(contents.archs),
                  "megabytes": megabytes()}))
"""
)


def fresh(code: str, *arguments: str) -> dict[str, float]:
    """What a fresh process prints as JSON."""
    command = [sys.executable, "-c", code, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    found: dict[str, float] = json.loads(printed)
    return found


def make_table(path: Path, cells: int) -> list[str]:
    """A packed table of the size of NAS-Bench-101; returns its keys."""
    generator = numpy.random.default_rng(101)
    raw = generator.bytes(16 * cells).hex()
    keys = sorted({raw[start : start + 32] for start in range(0, len(raw), 32)})
    accuracies, seconds = {}, {}
    for epochs in BUDGETS:
        for seed in range(3):
            for halfway in (False, True):
                for split in ("train", "valid", "test"):
                    counts = generator.binomial(9984, 0.9 - 0.3 / epochs, len(keys))
                    accuracies[Question("cifar10", split, epochs, seed, halfway)] = 100 * (counts / 9984).astype(
                        numpy.float32
                    ).astype(numpy.float64)
                seconds[TimedTraining("cifar10", epochs, seed, halfway)] = generator.uniform(10, 20, len(keys)) * epochs
    source = Source("nasbench101-size", "a seeded generator", "", "0" * 64, "none")
    write_packed(path, source, keys, accuracies, seconds, generator.integers(10**5, 5 * 10**7, len(keys)).tolist())
    return keys


def make_dump(path: Path, records: int) -> None:
    """A dump in the format of ``nasbench_full.tfrecord``, of distinct cells with 12 records each."""
    from crc32c import crc32c

    from tests.oracles_tables import metrics_message, random_metrics, record_payload

    def masked(content: bytes) -> bytes:
        found = crc32c(content)
        return (((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")

    generator = numpy.random.default_rng(7)
    messages = [metrics_message(random_metrics(generator, 108, 8_555_530), sparse=True) for _ in range(500)]
    matrix = numpy.triu(numpy.ones((7, 7), dtype=int), 1)
    operations = ["input", *["conv3x3-bn-relu"] * 5, "output"]
    with path.open("wb") as file:
        for index in range(records):
            key = f"{(index // 12) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
            content = record_payload(key, BUDGETS[index % 4], matrix, operations, messages[index % 500])
            length = len(content).to_bytes(8, "little")
            file.write(length + masked(length) + content + masked(content))


def bench(folder: Path, cells: int = CELLS, records: int = 60_000) -> bool:
    """Prints a line per bar; whether all are met."""
    path = folder / "size.parquet"
    began = time.perf_counter()
    keys = make_table(path, cells)
    print(f"wrote {len(keys)} cells in {time.perf_counter() - began:.1f} s, {path.stat().st_size / 1e6:.0f} MB")
    results = []

    def bar(what: str, value: float, unit: str, limit: float, most: bool = True) -> None:
        met = value <= limit if most else value >= limit
        results.append(met)
        side = "at most" if most else "at least"
        print(f"{'met ' if met else 'MISS'} {what}: {value:.3g} {unit} (bar: {side} {limit:g})")

    first = min((fresh(FIRST_QUERY, str(path), keys[cells // 3]) for _ in range(3)), key=lambda run: run["open"])
    bar("open and first answer", first["open"] + first["answer"], "s", 0.3)
    print(f"     with the imports of numpy and pyarrow: {first['import'] + first['open'] + first['answer']:.3g} s")
    bar("peak resident memory", first["megabytes"], "MB", 300)
    bar("PyTorch imported", float(first["torch"]), "times", 0)
    table = open_table(path)
    asked = [keys[index] for index in numpy.random.default_rng(3).integers(0, len(keys), 1_000_000)]
    began = time.perf_counter()
    values = table.scores(asked, "cifar10", "test", 108)
    bar("1,000,000 vectorised queries, columns not yet read", time.perf_counter() - began, "s", 2)
    began = time.perf_counter()
    for arch in asked[:2000]:
        table.score(arch, "cifar10", "test", 108)
    print(f"     one query after the first: {(time.perf_counter() - began) / 2000 * 1e6:.0f} us")
    bar("answers that are empty", float(numpy.isnan(values).sum()), "", 0)
    dump = folder / "nasbench_full.tfrecord"
    make_dump(dump, records)
    read = fresh(GATHER, str(dump))
    bar("records of a NAS-Bench-101 dump read", records / read["seconds"], "per s of one core", 15_000, most=False)
    bar("peak resident memory of the reader", read["megabytes"], "MB", 1500)
    return all(results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--records", type=int, default=60_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if bench(Path(place), arguments.cells, arguments.records) else 1)
