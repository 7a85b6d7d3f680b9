"""Kills a study again and again and compares what is left with an undisturbed one.

    python tests/torture.py [--kills 60] [--seed 0] [--processes 3]

A small study is carried out by three processes on one folder. Every third kill is of a worker: a process has two of
them, one is killed by SIGKILL at a random moment; half of these processes are killed as well, a little later, and leave
their workers behind. Of the other processes, half get SIGKILL at a random moment; the rest kill themselves between two
file operations of a save, at a random one. Others are started in their place until the study is done. At the end every
file of every run must equal that of an undisturbed study, but for the seconds. Prints kills survived and rows lost;
exits with 0 only if nothing differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults import processes

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


class Kills(NamedTuple):
    """How many processes were killed: started ones (the parents), and workers of theirs."""

    parents: int
    workers: int


@dataclass(eq=False)
class Victim:
    """A study process, and what is to happen to it.

    Attributes:
        process: in a session of its own.
        kill_at: when it is killed, on the monotonic clock.
        delay: seconds from its first worker on after which one is killed; None: it has no workers.
        seen: when its first worker was seen.
        struck: whether a worker was killed.
    """

    process: subprocess.Popen[bytes]
    kill_at: float = math.inf
    delay: float | None = None
    seen: float = math.inf
    struck: bool = False

    def strike(self, rng: random.Random) -> None:
        """Kills what it is time to kill."""
        now = time.monotonic()
        if self.delay is not None and not self.struck and (crew := processes.workers(self.process.pid)):
            self.seen = min(self.seen, now)
            if now >= self.seen + self.delay:
                self.struck = True
                os.kill(rng.choice(crew), signal.SIGKILL)
                self.kill_at = now + rng.uniform(0, 2) if rng.random() < 0.5 else math.inf
        if now >= self.kill_at:
            self.process.kill()  # its workers are to notice by themselves


def start(study: Path, out: Path, errors: IO[bytes], die_at: int = 0, workers: int = 1) -> subprocess.Popen[bytes]:
    """A study process in a session of its own; it kills itself at its ``die_at``-th file operation, if not 0."""
    arguments = ["study", str(study), "--out", str(out), "--workers", str(workers), "--no-report"]
    return subprocess.Popen(
        [sys.executable, __file__, "--inside", str(die_at), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        env=ENVIRONMENT,
    )


def inside(die_at: int, arguments: list[str]) -> int:
    """The command line, in a process that dies before its ``die_at``-th file operation."""
    from nas_stability.benchmarks import files
    from nas_stability.command_line import main

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


def torture(study: Path, out: Path, kills: int, most: int, rng: random.Random) -> Kills:
    """Starts, kills and starts again; at least ``kills`` kills, unless the study ends first."""
    crew: list[Victim] = []
    parents = workers = 0
    done = False
    with tempfile.TemporaryFile() as errors:
        while crew or (parents + workers < kills and not done):
            while len(crew) < most and parents + workers < kills and not done:
                crew.append(victim(study, out, errors, rng, workers * 2 <= parents + 2))
            for one in list(crew):
                one.strike(rng)
                code = one.process.poll()
                if code is not None:
                    crew.remove(one)
                    done = done or code == 0
                    parents += code == -signal.SIGKILL
                    workers += one.struck
                    print(f"{parents} + {workers} kills", file=sys.stderr, flush=True)
                    # 1: it passed over a run that another process held.
                    if code not in (-signal.SIGKILL, 0, 1):
                        raise SystemExit(f"a study process ended with {code}: {said(errors)}")
            time.sleep(0.02)
        if any(word in said(errors) for word in ("Traceback", "failed:", "not carried out:")):
            raise SystemExit(f"a study process complained: {said(errors)}")
    return Kills(parents, workers)


def victim(study: Path, out: Path, errors: IO[bytes], rng: random.Random, with_workers: bool) -> Victim:
    """Starts a study process and decides on its fate."""
    if with_workers:
        return Victim(start(study, out, errors, workers=2), delay=rng.uniform(0, 3))
    if rng.random() < 0.5:
        return Victim(start(study, out, errors, die_at=rng.randint(1, 120)))
    return Victim(start(study, out, errors), kill_at=time.monotonic() + rng.uniform(2.5, 5))


def finish(study: Path, out: Path) -> None:
    """Carries out what is left of the study, and lets it."""
    with tempfile.TemporaryFile() as errors:
        if start(study, out, errors).wait() != 0:
            raise SystemExit(f"the study did not end well in {out}: {said(errors)}")


def said(errors: IO[bytes]) -> str:
    """What the study processes have written to standard error."""
    errors.seek(0)
    return errors.read().decode(errors="replace")


UNREPEATED = ("seconds", "sizes", "files", "git_commit")
"""What differs between two runs of one spec: seconds, lengths and checksums of files with them, the commit."""


def contents(run: Path) -> dict[str, object]:
    """What must repeat of every file of a run, but for its lock and what a killed writer left behind."""
    return {path.name: repeated(path) for path in sorted(run.glob("[!.]*"))}


def repeated(path: Path) -> object:
    """The content of a file that must repeat, without the seconds and whatever depends on them."""
    if path.suffix == ".csv":
        with path.open() as file:
            return [plain(row) for row in csv.DictReader(file)]
    if path.suffix == ".json":
        return plain(json.loads(path.read_text()))
    if path.suffix == ".pt":
        from nas_stability.harness.runs import checkpoint

        return plain(checkpoint.load(path))
    return path.read_bytes()


def plain(value: object) -> object:
    """Nested values without UNREPEATED; tensors as lists, and one word for every SHA-256."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items() if name not in UNREPEATED}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return "a checksum"
    return value.tolist() if hasattr(value, "tolist") else value


def differing(undisturbed: Path, tortured: Path) -> list[str]:
    """The files, of any run, that are not the same in both folders."""
    found = []
    for run in sorted(path.parent.name for path in undisturbed.glob("*/run.json")):
        left, right = contents(undisturbed / run), contents(tortured / run)
        found += [
            f"{tortured / run}: {name}" for name in left.keys() | right.keys() if left.get(name) != right.get(name)
        ]
    return sorted(found)


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
    study.write_text(STUDY.format(epochs=6))
    undisturbed = folder / "undisturbed"
    finish(study, undisturbed)
    survived, rounds = Kills(0, 0), 0
    while sum(survived) < options.kills:
        tortured = folder / f"tortured-{rounds}"
        kills = torture(study, tortured, options.kills - sum(survived), options.processes, rng)
        survived = Kills(survived.parents + kills.parents, survived.workers + kills.workers)
        finish(study, tortured)
        rounds += 1
        if lost := differing(undisturbed, tortured):
            print("\n".join(f"{name} differs" for name in lost))
            return 1
        shutil.rmtree(tortured)
    print(
        f"{sum(survived)} kills survived ({survived.parents} of parents, {survived.workers} of workers) in {rounds} "
        "studies: every run finished, 0 files differ, 0 rows lost"
    )
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
