"""What the tests of tables' faults share: a tidy file, a dump of one record, the command line's answer."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pandas

from nas_stability.command_line import main
from tests import oracles_tables

HASHES = ("00" * 16, "ab" * 16)
ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
"""Architecture 1 of NAS-Bench-201."""

COLUMNS = ["arch", "dataset", "split", "epochs", "seed", "accuracy"]


class Said(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def command(*arguments: object) -> Said:
    """One command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse's way
            code = int(str(error.code))
    return Said(code, out.getvalue(), err.getvalue())


def refused(message: str, *arguments: object, code: int = 2) -> None:
    """A command that says one line with the message, and exits with the code."""
    said = command(*arguments)
    assert message in said.err
    assert (said.code, said.out, said.err.count("\n")) == (code, "", 1), said


def tidy(**changes: Any) -> pandas.DataFrame:
    """Four accuracies of two cells."""
    rows = [(arch, "cifar10", split, 108, 0, 90.5) for arch in HASHES for split in ("valid", "test")]
    return pandas.DataFrame(rows, columns=COLUMNS).assign(**changes)


def left(folder: Path) -> list[str]:
    """What lies in a folder of tables and its downloads, but locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def record(
    module_hash: object = HASHES[0], epochs: object = 108, place: int = 2, parameters: int = 10, **changes: float
) -> bytes:
    """One record of NAS-Bench-101's dump, with values of one of its evaluations changed."""
    metrics = oracles_tables.random_metrics(numpy.random.default_rng(0), 108, parameters)
    metrics["evaluations"][place] |= changes
    message = oracles_tables.metrics_message(metrics)
    return oracles_tables.frame(
        oracles_tables.record_payload(module_hash, epochs, [[0, 1], [0, 0]], ["input", "output"], message)  # type: ignore[arg-type]
    )
