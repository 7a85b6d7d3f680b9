"""A command that is refused, as every test of bad input sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_stability.command_line import main

NEEDED = {"space": "nasbench201", "method": "darts", "data": "digits"}
COMMAND = ["run", *(part for name, value in NEEDED.items() for part in (f"--{name}", value))]
"""A run that would be carried out; what is wrong with it comes behind."""


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    """What a refused command says: one line, with exit code 2, and nothing in its working folder."""
    before = sorted(folder.rglob("*"))
    try:
        code = main(arguments)
    except SystemExit as error:  # argparse's own refusals
        code = int(str(error.code))
    printed = capsys.readouterr()
    assert code == 2, printed
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert len(printed.err) < 1500, "a message repeats no more of a value than fits"
    assert sorted(folder.rglob("*")) == before
    return printed.err
