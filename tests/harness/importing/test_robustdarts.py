"""Logs of RobustDARTS: both forms say the same, what is not told stays empty, and what cannot be is refused."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

import nas_stability as ns
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.command_line import main
from nas_stability.harness.importing import robustdarts
from nas_stability.harness.importing.imported import seeds
from nas_stability.harness.records.folder import read_record
from tests.commands import refused
from tests.small import SHARED

NORMAL = "[('skip_connect', 1), ('dil_conv_3x3', 0), ('sep_conv_3x3', 1), ('dil_conv_3x3', 2), "
NORMAL += "('sep_conv_3x3', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0)]"
REDUCE = "[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
REDUCE += "('max_pool_3x3', 0), ('dil_conv_5x5', 3), ('max_pool_3x3', 1), ('max_pool_3x3', 0)]"
GENOTYPE = f"Genotype(normal={NORMAL}, normal_concat=range(2, 6), reduce={REDUCE}, reduce_concat=range(2, 6))"
ARCH = (
    "normal:|dil_conv_3x3~0|skip_connect~1|+|sep_conv_3x3~1|dil_conv_3x3~2|+|max_pool_3x3~0|sep_conv_3x3~2|+"
    "|sep_conv_3x3~0|max_pool_3x3~1|;reduction:|max_pool_3x3~0|max_pool_3x3~1|+|max_pool_3x3~0|max_pool_3x3~1|+"
    "|max_pool_3x3~0|dil_conv_5x5~3|+|max_pool_3x3~0|max_pool_3x3~1|"
)
EPOCHS = 4


def hessian(seed: int) -> numpy.ndarray:
    """A symmetric matrix of S1's size."""
    values = numpy.random.default_rng(seed).normal(size=(56, 56))
    return values + values.T


def published(folder: Path, name: str = "0.2_0.0009-123", run: int = 1, seed: int = 0) -> Path:
    """The log of a run as it is published; the folder of the run."""
    place = folder / "s1" / "cifar10" / name
    place.mkdir(parents=True, exist_ok=True)
    errors = {"train_acc": [50.5, 40.25, 30.0, 20.0], "valid_acc": [55.5, 45.25, 35.0, 30.0]}
    errors |= {"train_loss": [1.5, 1.25, 1.0, 0.5], "valid_loss": [1.75, 1.5, 1.25, 1.0]}
    (place / f"errors_{run}.json").write_text(json.dumps(errors))
    lines = [json.dumps({"epoch": e, "H": hessian(seed + e).tolist(), "g": [0.0] * 56}) for e in (0, 2, 3)]
    (place / f"derivatives_{run}.json").write_text("\n".join(lines) + "\n")
    told = []
    for epoch in range(EPOCHS):
        told.append(f"2019-07-16 13:28:39,383 epoch {epoch} lr 2.5e-02")
        for split in ("train", "valid"):
            told.append(f"2019-07-16 13:38:49,215 {split}_acc {100 - errors[f'{split}_acc'][epoch]:f}")
        told.append(f"2019-07-16 13:39:20,853 genotype = {GENOTYPE}")
    (place / f"log_{run}.txt").write_text("\n".join(told) + "\n")
    return place


def compact(folder: Path, runs: list[tuple[str, int, int, int]], packed: bool = True) -> None:
    """The two CSV files of runs: drop path, job, run, seed of the spectra."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("space", "dataset", "drop_path", "weight_decay", "job", "run", "epoch")
    rows: list[dict[str, Any]] = []
    spectra: list[dict[str, Any]] = []
    for drop, job, run, seed in runs:
        for epoch in range(EPOCHS):
            known = dict(zip(names, ("s1", "cifar10", drop, "0.0009", job, run, epoch + 1), strict=True))
            numbers = {"train_error": [50.5, 40.25, 30.0, 20.0][epoch], "valid_error": [55.5, 45.25, 35.0, 30.0][epoch]}
            numbers |= {"train_loss": [1.5, 1.25, 1.0, 0.5][epoch], "valid_loss": [1.75, 1.5, 1.25, 1.0][epoch]}
            rows.append({**known, **numbers, "genotype": GENOTYPE})
            if epoch in (0, 2, 3):
                values = numpy.linalg.eigvalsh(hessian(seed + epoch))
                spectra.append({**known, **{f"eigenvalue_{place}": value for place, value in enumerate(values)}})
    for name, table in (("epochs.csv", rows), ("spectrum.csv", spectra)):
        path = folder / (f"{name}.gz" if packed else name)
        with gzip.open(path, "wt") if packed else path.open("w") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


def test_both_forms_say_the_same_and_nothing_else(tmp_path: Path) -> None:
    published(tmp_path / "logs")
    compact(tmp_path / "csv", [("0.2", 123, 1, 0)])
    assert main(["import", "robustdarts", str(tmp_path / "logs"), "--out", str(tmp_path / "one")]) == 0
    assert main(["import", "robustdarts", str(tmp_path / "csv"), "--out", str(tmp_path / "two")]) == 0
    (one,), (two,) = ([path.parent for path in (tmp_path / name).glob("*/run.json")] for name in ("one", "two"))
    assert one.name == two.name
    for name in ("epochs.csv", "spectrum.csv", "spec.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    rows = pandas.read_csv(one / "epochs.csv")
    assert list(rows["epoch"]) == [0, 1, 2, 3, 4]
    assert list(rows["train_accuracy"][1:]) == [49.5, 59.75, 70.0, 80.0]
    assert list(rows["valid_accuracy"][1:]) == [44.5, 54.75, 65.0, 70.0]
    assert list(rows["arch"][1:]) == [ARCH] * EPOCHS
    values = [numpy.linalg.eigvalsh(hessian(e)) for e in (0, 2, 3)]
    assert list(rows["eigenvalue_max"].dropna()) == pytest.approx([one[-1] for one in values])
    assert list(rows["spectral_norm"].dropna()) == pytest.approx([abs(one).max() for one in values])
    assert list(rows.loc[rows["eigenvalue_max"].notna(), "epoch"]) == [1, 3, 4]
    empty = ("entropy", "seconds", "lr", "share_skip")
    assert rows[list(empty)].isna().all().all()
    assert rows.loc[0, "arch":].isna().all(), "of the untrained net the logs tell nothing"
    assert not (one / "alphas.npz").exists()
    record = read_record(one)
    assert record["imported"]["licence"] == "Apache-2.0"
    assert "drop_path" in record["imported"]["told"]
    assert "arch_lr" not in record["imported"]["told"]


def test_what_is_there_can_be_read_drawn_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [(drop, 7 + place, run, 10 * place + run) for place, drop in enumerate(("0.0", "0.2")) for run in (1, 2, 3)]
    compact(tmp_path / "csv", runs, packed=False)
    study = tmp_path / "study"
    assert main(["import", "robustdarts", str(tmp_path / "csv"), "--out", str(study), "--licence", "mine"]) == 0
    assert "imported: 6 searches" in capsys.readouterr().out
    for verb in ("check", "status", "claims", "collect", "report"):
        assert main([verb, str(study)]) == 0, verb
    printed = capsys.readouterr()
    assert "it was imported from Zela" in printed.out + printed.err
    assert "6 runs imported from Zela" in printed.err
    assert "licence: mine" in printed.err
    found = ns.load(study)
    assert found.variants == ["drop_path 0", "drop_path 0.2"]
    assert len({(run["seed"], run["variant"]) for run in found.runs.to_dict("records")}) == 6
    written = {path.name for path in (study / "report").iterdir()}
    assert {"ablation.png", "hessian.png", "spectrum.png", "eigenvalues.md", "report.html"} <= written
    assert "operations.png" not in written, "shares are of logits, which are not told"
    assert "imported from Zela" in (study / "report" / "report.html").read_text()


def test_two_jobs_of_one_setting_have_seeds_of_their_own(tmp_path: Path) -> None:
    published(tmp_path, "0.2_0.0009-123", 1)
    published(tmp_path, "0.2_0.0009-456", 1, seed=50)
    published(tmp_path, "0.2_0.0009-456", 2, seed=60)
    found = robustdarts.read(tmp_path)
    assert sorted(run.spec.seed for run in found) == [1, 2, 3]
    assert {run.origin.rpartition("/")[0][-3:]: run.spec.seed for run in found}["123"] == 1
    assert seeds((), [1, 1, 2]) == [1, 2, 3]
    assert seeds((2,), [1, 1]) == [1, 3]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("errors_1.json", "40.25", "41.25", "epoch 1: the train error is not what log_1.txt tells"),
        ("errors_1.json", "[55.5, ", "[", "do not have as many epochs"),
        ("errors_1.json", "{", "", "not JSON"),
        ("log_1.txt", "dil_conv_3x3', 2", "none', 2", "log_1.txt, epoch 0"),
        ("log_1.txt", " valid_acc", " valid_ac", "an accuracy of both halves and a genotype"),
        ("derivatives_1.json", '"H": [[', '"H": [[1.0, ', "Hessian in it is none"),
        ("derivatives_1.json", '{"epoch": 2', '{"epoch": "x"', "Hessian in it is none"),
    ],
)
def test_a_damaged_log_is_named(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    place = published(tmp_path)
    text = (place / name).read_text()
    assert old in text
    (place / name).write_text(text.replace(old, new, 1))
    with pytest.raises(CorruptFile, match=message):
        robustdarts.read(tmp_path)


def test_a_hessian_that_is_not_symmetric_is_none(tmp_path: Path) -> None:
    place = published(tmp_path)
    matrix = hessian(0)
    matrix[3, 5] += 1
    (place / "derivatives_1.json").write_text(json.dumps({"epoch": 0, "H": matrix.tolist()}) + "\n")
    with pytest.raises(CorruptFile, match="not symmetric"):
        robustdarts.read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",2,40.25", ",3,40.25", r"epochs\.csv:3: epoch 3 of its run where 2 should stand"),
        ("40.25", "nan", r"epochs\.csv:3: 'nan' is no number"),
        ("s1,cifar10", "s9,cifar10", "s9"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    compact(tmp_path, [("0.2", 123, 1, 0)], packed=False)
    text = (tmp_path / "epochs.csv").read_text()
    assert old in text
    (tmp_path / "epochs.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        robustdarts.read(tmp_path)


def test_nothing_half_written_stays_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(tmp_path / "logs")
    logs, out = str(tmp_path / "logs"), tmp_path / "study"
    (tmp_path / "empty").mkdir()
    words = ["import", "robustdarts", str(tmp_path / "empty"), "--out", str(out)]
    assert "holds no logs of RobustDARTS" in refused(words, capsys, tmp_path)
    assert "does not exist" in refused(
        ["import", "robustdarts", str(tmp_path / "x"), "--out", str(out)], capsys, tmp_path
    )
    assert main(["import", "robustdarts", logs, "--out", str(out)]) == 0
    capsys.readouterr()
    assert "holds the records of a run or study" in refused(
        ["import", "robustdarts", logs, "--out", str(out)], capsys, tmp_path
    )
    errors = next((tmp_path / "logs").rglob("errors_1.json"))
    errors.write_text("{")
    assert "not JSON" in refused(["import", "robustdarts", logs, "--out", str(tmp_path / "other")], capsys, tmp_path)


def test_an_imported_run_is_held_to_its_checksums(tmp_path: Path) -> None:
    published(tmp_path / "logs")
    assert main(["import", "robustdarts", str(tmp_path / "logs"), "--out", str(tmp_path / "study")]) == 0
    (run,) = (path.parent for path in (tmp_path / "study").glob("*/run.json"))
    rows = (run / "epochs.csv").read_text()
    (run / "epochs.csv").write_text(rows.replace("44.5", "94.5"))
    assert main(["check", str(tmp_path / "study")]) != 0
    (run / "epochs.csv").write_text(rows)
    assert main(["check", str(tmp_path / "study")]) == 0
    shutil.copy(run / "spectrum.csv", run / "alphas.npz")
    assert main(["check", str(tmp_path / "study")]) != 0


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "robustdarts").is_dir(), reason="the logs are not here")
def test_the_published_logs(tmp_path: Path) -> None:
    place = SHARED / "data" / "robustdarts"
    compact_runs = {run.spec.run_id: run for run in robustdarts.read(place)}
    assert len(compact_runs) == 211
    assert sum(any(epoch.eigenvalues for epoch in run.epochs) for run in compact_runs.values()) == 67
    for run in robustdarts.read(place / "raw"):
        other = compact_runs[run.spec.run_id]
        for ours, theirs in zip(run.epochs, other.epochs, strict=True):
            assert ours._replace(eigenvalues=()) == theirs._replace(eigenvalues=())
            assert ours.eigenvalues == pytest.approx(theirs.eigenvalues, rel=1e-4, abs=1e-6)
            if ours.eigenvalues:
                null = numpy.abs(numpy.array(ours.eigenvalues) - 1e-3) < 1e-6
                assert null.sum() >= 28, "one direction of each row, and the weight decay of the logits"
    assert main(["import", "robustdarts", str(place), "--out", str(tmp_path / "study")]) == 0
    from nas_stability.analysis.stopped import stops, with_stops

    told = stops(with_stops(ns.load(tmp_path / "study"), "darts-es"))
    assert told is not None
    assert told["stopped"].sum() == 40, "of 67, as their own class says"
    first = told[(told["space"] == "darts-s1") & told["variant"].str.contains("weight_decay 0.0003, drop_path 0$")]
    assert first["epoch"].item() == pytest.approx((11 + 11 + 19) / 3)
