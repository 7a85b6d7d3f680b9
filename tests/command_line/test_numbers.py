"""Numbers of workers, threads and GPUs: what is out of range is refused, and who is given how many (H12)."""

from __future__ import annotations

from pathlib import Path

import joblib
import pytest

from nas_stability.analysis import report
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.runs import attempt, batch


def test_the_report_of_a_study_uses_no_more_workers_than_the_study_h12(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def write_report(folder: Path, **options: object) -> None:
        asked.append(options["workers"])
        raise BadInput("enough")

    monkeypatch.setattr(batch, "run_study", lambda *arguments: [attempt.Outcome("run", "finished")])
    monkeypatch.setattr(report, "write_report", write_report)
    monkeypatch.setattr("nas_stability.analysis.page.whole_page.judge", lambda study: study)
    monkeypatch.setattr("nas_stability.reading.loaded", lambda folder, unverified, stop, best_of: folder)
    assert main(["study", "quick", "--out", str(tmp_path), "--workers", "1"]) == 2
    assert main(["report", str(tmp_path), "--workers", "3"]) == 2
    assert main(["report", str(tmp_path)]) == 2
    assert asked == [1, 3, joblib.cpu_count()]


REFUSED = [
    (verb, flag, value)
    for verb, flag in (
        (["study", "quick"], "--workers"),
        (["report", "."], "--workers"),
        (["table", "train"], "--workers"),
        (["study", "quick"], "--runs-per-gpu"),
    )
    for value in ("-3", "0", "1000000000", "9" * 5000, "1_0", "\u0663", "1.0", "", "two")
] + [
    (verb, "--threads", value)
    for verb in (["run"], ["study", "quick"], ["landscape", "."])
    for value in ("-1", "1000000000", "1_0", "\u0663")
]


@pytest.mark.parametrize(
    ("verb", "flag", "value"),
    REFUSED,
    ids=[f"H12: {' '.join(verb)} {flag} {value[:12]}" for verb, flag, value in REFUSED],
)
def test_a_number_out_of_range_is_refused_in_one_line(
    verb: list[str],
    flag: str,
    value: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main([*verb, flag, value])
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert len(printed) < 300
    assert f"argument {flag}: takes a whole number from " in printed
    assert not list(tmp_path.iterdir())
