"""Kills a study again and again and compares what is left with an undisturbed one.

    python tests/torture.py [--kills 60] [--seed 0] [--processes 3]

A small study is started in up to three processes on one folder. Half of the kills are SIGKILL at a random moment of the
whole process group; the other half come from inside: the process kills itself between two file operations of a save,
at a random one. It is started again until it is done. At the end every file of every run must equal that of an
undisturbed study, but for the seconds. Prints kills survived and rows lost; exits with 0 only if nothing differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
[base]
space = "nasbench201"
data = "digits"
images = 24
epochs = {epochs}
batch_size = 6
width = 2
depth = 1
arch_lr = 0.3
hessian_batch_size = 4
rank_sample = 3
[over]
method = ["darts", "sdarts-rs", "sdarts-adv"]
seed = [0, 1]
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(study: Path, out: Path, die_at: int) -> subprocess.Popen[bytes]:
    """A study process in a session of its own; it kills itself at its ``die_at``-th file operation, if not 0."""
    arguments = ["study", str(study), "--out", str(out), "--workers", "1", "--no-report"]
    return subprocess.Popen(
        [sys.executable, __file__, "--inside", str(die_at), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=ENVIRONMENT,
    )


def inside(die_at: int, arguments: list[str]) -> int:
    """The command line, in a process that dies before its ``die_at``-th file operation."""
    from benchmarks import files
    from nas_stability import main

    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function):  # type: ignore[no-untyped-def]
        def call(*values, **named):  # type: ignore[no-untyped-def]
            count()
            found = function(*values, **named)
            count()
            return found

        return call

    if die_at:
        files.os.fsync = counted(os.fsync)  # type: ignore[attr-defined]
        Path.replace = counted(Path.replace)  # type: ignore[method-assign]
        Path.open = counted(Path.open)  # type: ignore[method-assign]
        Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]
    return main(arguments)


def torture(study: Path, out: Path, kills: int, processes: int, rng: random.Random) -> int:
    """Starts, kills and starts again; returns the number of kills, at least ``kills`` unless the study ends first."""
    survived = 0
    while survived < kills:
        count = rng.randint(min(2, processes), processes)
        crew = [start(study, out, rng.randint(1, 120) if rng.random() < 0.5 else 0) for _ in range(count)]
        patience = time.monotonic() + rng.uniform(2.5, 5.0)
        while time.monotonic() < patience and any(process.poll() is None for process in crew):
            time.sleep(0.02)
        for process in crew:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        codes = [process.wait() for process in crew]
        errors = [process.stderr.read().decode() if process.stderr else "" for process in crew]
        survived += sum(code == -signal.SIGKILL for code in codes)
        for code, error in zip(codes, errors, strict=True):
            # 1: it passed over a run that another process held.
            if code not in (-signal.SIGKILL, 0, 1) or "Traceback" in error or "failed:" in error:
                raise SystemExit(f"a study process ended with {code}: {error}")
        print(f"{survived} kills", file=sys.stderr, flush=True)
        if 0 in codes:
            break
    return survived


def contents(run: Path) -> dict[str, object]:
    """Every file of a run that must repeat, without the seconds."""
    found: dict[str, object] = {path.name: None for path in run.iterdir() if path.name != ".lock"}
    with (run / "epochs.csv").open() as file:
        found["epochs.csv"] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    for name in ("spectrum.csv", "alphas.npz", "spec.json"):
        found[name] = (run / name).read_bytes()
    record = json.loads((run / "run.json").read_text())
    # The sums of files see the seconds; a commit may be made meanwhile.
    found["run.json"] = {k: v for k, v in record.items() if k not in ("seconds", "files", "git_commit")}
    found["checkpoint.pt"] = tensors(run / "checkpoint.pt")
    return found


def tensors(path: Path) -> object:
    """A checkpoint as plain lists, without the lengths of files, in which the seconds count."""
    from harness import checkpoint

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {str(name): plain(inner) for name, inner in value.items() if name not in ("sizes", "seconds")}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return value.tolist() if hasattr(value, "tolist") else value

    return plain(checkpoint.load(path))


def main() -> int:
    if "--inside" in sys.argv:
        return inside(int(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    study = folder / "small.toml"
    survived, rounds, lost = 0, 0, 0
    while survived < options.kills:
        study.write_text(STUDY.format(epochs=6))
        plain, tortured = folder / f"plain-{rounds}", folder / f"tortured-{rounds}"
        survived += torture(study, tortured, options.kills - survived, options.processes, rng)
        for out in (tortured, plain):
            process = start(study, out, 0)
            _, error = process.communicate()
            if process.returncode != 0:
                raise SystemExit(f"the study did not end well in {out}: {error.decode()}")
        for run in sorted(path.parent for path in plain.glob("*/run.json")):
            left, right = contents(run), contents(tortured / run.name)
            for name in sorted(left.keys() | right.keys()):
                if left.get(name) != right.get(name):
                    print(f"{tortured / run.name}: {name} differs")
                    lost += 1
        rounds += 1
        if lost == 0:
            shutil.rmtree(plain)
            shutil.rmtree(tortured)
    print(
        f"{survived} kills survived in {rounds} studies, {lost} files differ, 0 rows lost"
        if not lost
        else f"{lost} differ"
    )
    if lost == 0:
        shutil.rmtree(folder)
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
