"""A full disk leaves what stood there before (A2)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nas_stability.analysis.page import whole_page
from nas_stability.analysis.report import write_report
from nas_stability.analysis.study import Study
from nas_stability.command_line import main
from tests.slow import slow_but
from tests.small import load


@pytest.mark.parametrize(
    "case", slow_but(["A2: a figure", "A2: a table", "A2: the page", "A2: the verdicts"], "A2: the verdicts")
)
def test_a_full_disk_leaves_the_earlier_file(
    case: str, studies: dict[str, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, verdicts = studies["baseline"].folder, tmp_path / "verdicts.csv"

    def write() -> object:
        if case == "A2: the verdicts":
            return main(["claims", str(folder), "--out", str(verdicts), "--unverified"])
        report = write_report(load(folder), tmp_path / "out", only="hessian" if case == "A2: a figure" else "results")
        return whole_page.write_page(report, None) if case == "A2: the page" else report

    write()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    if case == "A2: the verdicts":
        assert write() == 1
    else:
        with pytest.raises(OSError, match="No space left"):
            write()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
