"""A script for SLURM whose array of jobs shares a study's folder by its locks."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.study_file import PlannedStudy

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cores}
#SBATCH --output={folder}/slurm-%A-%a.out
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
# Each member carries out runs that no other holds, and passes over the others. Five minutes before its time is up it
# saves and is put in the queue again; a member that finds nothing left ends with 0, or with 1 where others are at it.
# Add what your cluster asks for: --time, --mem, --partition, --account, and the environment that has nas-stability.

{command} &
child=$!
trap 'kill -TERM "$child"' TERM
code=0
wait "$child" || code=$?
if [ "$code" -gt 128 ]; then  # the wait was broken off by the signal: the child is saving
    code=0
    wait "$child" || code=$?
fi
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
"""


def array_script(options: argparse.Namespace, study: PlannedStudy, folder: Path) -> str:
    """The script of a study's flags; the report is left to who has all of it.

    Args:
        options: of the verb study.
        study: that is carried out.
        folder: of the study.
    """
    shipped = options.study in study_file.shipped()
    name = options.study if shipped else str(Path(options.study).expanduser().resolve())
    workers = options.workers or 1
    given = [part for text in options.set for part in ("--set", text)]
    words = ["nas-stability", "study", name, *given, "--out", str(folder.resolve()), "--workers", str(workers)]
    words += ["--threads", str(options.threads), "--device", options.device]
    words += ["--data-dir", str(Path(options.data_dir).resolve()), "--no-report"]
    words += ["--no-evaluate"] * options.no_evaluate + ["--compile"] * options.compile
    return SCRIPT.format(
        name=study.name,
        last=options.array - 1,
        cores=workers * max(options.threads, 1),
        folder=str(folder.resolve()).replace("%", "%%"),
        command=shlex.join(words),
    )
