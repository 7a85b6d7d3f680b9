"""discretised.csv of a study: what each policy decides, from records and checkpoints that it leaves alone."""

from __future__ import annotations

import csv
import functools
import shutil
from pathlib import Path

import numpy
import pandas
import pytest
import torch

from nas_stability.analysis import study, summaries
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.benchmarks.catalog import SPACES, open_listed
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.images.dataset import plain_batches
from nas_stability.command_line import main
from nas_stability.flags import MISUSED
from nas_stability.harness.measuring import policies
from nas_stability.harness.records.outputs import DISCRETISED
from nas_stability.harness.records.record import ALPHAS, CHECKPOINT
from nas_stability.harness.runs import checkpoint, discretised
from nas_stability.harness.runs.run import Watch
from nas_stability.harness.runs.run import run as execute
from nas_stability.harness.runs.saving import restore
from tests.small import PLACE, begin, small_spec
from tests.studies import contents

SPECS = {
    spec.run_id: spec
    for spec in (
        *(small_spec(seed=seed, arch_lr=0.5, hessian=False, rank_sample=0) for seed in (0, 1)),
        small_spec(space="nasbench1shot1-s1", table_epochs=6, lr=0.1, hessian=False, rank_sample=0),
        small_spec(method="random-ws", candidates=3, candidate_images=10, finalists=2, hessian=False, rank_sample=0),
    )
}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four finished runs of three kinds, decided by every policy."""
    folder = tmp_path_factory.mktemp("decided") / "runs"
    for run, spec in SPECS.items():
        execute(spec, folder / run, PLACE, Watch())
    before = contents(folder)
    done: list[int] = []
    found = discretised.discretise(folder, policies.POLICIES, PLACE, done.append)
    assert done == [0, 1, 2, 3, 4]
    assert found.rows == 3 * 3 + 2
    (why,) = found.without.values()
    assert why == "random-ws decides without following its logits: there is no mixture to project"
    after = contents(folder)
    assert {name: after[name] for name in before} == before, "records and checkpoints are left alone"
    assert after.keys() - before.keys() == {DISCRETISED}
    return folder


def rows_of(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of discretised.csv by run and policy."""
    with (folder / DISCRETISED).open(encoding="utf-8", newline="") as file:
        return {(row["run"], row["policy"]): row for row in csv.DictReader(file)}


def copied(folder: Path, tmp_path: Path) -> Path:
    """The same runs once more."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_argmax_is_what_the_run_recorded_and_edge_is_of_its_logits(decided: Path) -> None:
    rows = rows_of(decided)
    for run, spec in SPECS.items():
        last = pandas.read_csv(decided / run / "epochs.csv", dtype=str).iloc[-1]  # pandas' own parser may be an ulp off
        recorded = rows[run, "argmax"]
        assert (recorded["arch"], recorded["epoch"]) == (last["arch"], last["epoch"])
        answers = [name for name in recorded if name.startswith("accuracy_") and recorded[name]]
        assert answers
        assert [float(recorded[name]) for name in answers] == [float(last[name]) for name in answers]
        with numpy.load(decided / run / ALPHAS) as archive:
            logits = [torch.from_numpy(archive[name])[-1] for name in sorted(archive.files)]
        if spec.method == "darts":
            mixture = tuple(torch.softmax(group, -1) for group in logits)
            space = SPACES[spec.space]
            assert rows[run, "edge"]["arch"] == space.discretize(policies.by_edge(space, mixture))


def test_projection_asks_the_supernet_of_the_checkpoint(decided: Path) -> None:
    """Restored by hand, with the accuracy counted image by image; and the table's answer for what was decided."""
    rows = rows_of(decided)
    for run, spec in SPECS.items():
        if spec.method != "darts":
            assert (run, "projection") not in rows
            continue
        search, data = begin(spec)
        restore(search, checkpoint.load(decided / run / CHECKPOINT))
        search.net.eval()
        images, labels = next(iter(plain_batches(data.valid, len(data.valid.labels), torch.float32)))
        asked: list[int] = []

        mixture = tuple(torch.softmax(group.detach(), -1) for group in search.alpha)
        judge = functools.partial(percent_correct, search.net, images, labels, asked)
        arch = search.space.discretize(policies.projected(search.space, mixture, judge))
        found = rows[run, "projection"]
        assert (found["arch"], int(found["evaluations"])) == (arch, len(asked))
        if spec.space == "nasbench201":
            answer = open_listed("nasbench201").score(arch, "cifar100", "valid", 200)
            assert float(found["accuracy_cifar100_valid"]) == answer
            assert len(asked) == 6 * 5


def percent_correct(
    net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, asked: list[int], mixture: object
) -> float:
    """Image by image."""
    asked.append(1)
    with torch.no_grad():
        right = [
            int(net(image[None], mixture).argmax()) == int(label) for image, label in zip(images, labels, strict=True)
        ]
    return 100 * sum(right) / len(right)


def test_what_was_projected_is_not_projected_again(
    decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second time no supernet is asked; of a lost row just that one's is, and the file is the same again."""
    folder = copied(decided, tmp_path)
    whole = (folder / DISCRETISED).read_bytes()
    asked: list[Path] = []
    original = discretised.by_supernet

    def counted(spec: object, at: Path, *rest: object) -> tuple[str, int]:
        asked.append(at)
        return original(spec, at, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(discretised, "by_supernet", counted)
    discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    assert (asked, (folder / DISCRETISED).read_bytes()) == ([], whole)
    lines = whole.decode().splitlines(keepends=True)
    (folder / DISCRETISED).write_text("".join(line for line in lines if not line.startswith(f"{next(iter(SPECS))},")))
    discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    assert asked == [folder / next(iter(SPECS))]
    assert (folder / DISCRETISED).read_bytes() == whole
    discretised.discretise(folder, ["argmax", "edge"], PLACE, lambda done: None)
    assert (folder / DISCRETISED).read_bytes() == whole, "what was projected stays"


def test_a_stop_keeps_what_is_done(decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(decided, tmp_path)
    whole = (folder / DISCRETISED).read_bytes()
    (folder / DISCRETISED).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(discretised, "write", stopping_after(discretised.write, 2))
        with pytest.raises(KeyboardInterrupt):
            discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    assert len({run for run, _ in rows_of(folder)}) == 2
    discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    assert (folder / DISCRETISED).read_bytes() == whole


def stopping_after(write: object, times: int) -> object:
    """A writer that is interrupted after so many files."""
    written: list[int] = []

    def stopping(*arguments: object) -> None:
        write(*arguments)  # type: ignore[operator]
        written.append(1)
        if len(written) == times:
            raise KeyboardInterrupt

    return stopping


def test_a_run_without_checkpoint_says_so(decided: Path, tmp_path: Path) -> None:
    folder = copied(decided, tmp_path)
    (folder / DISCRETISED).unlink()
    first = next(iter(SPECS))
    (folder / first / CHECKPOINT).unlink()
    found = discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    assert found.without[first] == "it has no checkpoint.pt: projection needs the weights"
    assert found.rows == 2 + 3 + 3 + 2


def test_an_altered_checkpoint_is_refused(decided: Path, tmp_path: Path) -> None:
    folder = copied(decided, tmp_path)
    (folder / DISCRETISED).unlink()
    first = next(iter(SPECS))
    with (folder / first / CHECKPOINT).open("ab") as file:
        file.write(b"x")
    with pytest.raises(CorruptFile, match=r"checkpoint"):
        discretised.discretise(folder, policies.POLICIES, PLACE, lambda done: None)
    (folder / DISCRETISED).write_text("a,b\n1,2\n")
    with pytest.raises(CorruptFile, match=r"discretised.csv is damaged; remove it"):
        discretised.discretise(folder, ["edge"], PLACE, lambda done: None)
    with pytest.raises(BadInput, match="is a run's folder"):
        discretised.discretise(folder / first, ["edge"], PLACE, lambda done: None)


def test_a_report_compares_the_policies(decided: Path) -> None:
    """Means over seeds, and gains seed by seed, by hand from the rows."""
    loaded, rows = study.load(decided), rows_of(decided)
    table = summaries.OCCASIONAL["discretised"](loaded)
    assert table is not None
    here = table[(table["space"] == "nasbench201") & (table["method"] == "darts")]
    assert here["answer"].iloc[0] == "cifar10_valid", "the study's first comes first"
    runs = [run for run, spec in SPECS.items() if spec.space == "nasbench201" and spec.method == "darts"]
    for row in here.to_dict("records"):
        values, before = (
            [float(rows[run, policy][f"accuracy_{row['answer']}"]) for run in runs]
            for policy in (row["policy"], "argmax")
        )
        assert row["seeds"] == 2
        assert row["decided"] == pytest.approx(numpy.mean(values))
        assert row["gain"] == pytest.approx(numpy.mean(values) - numpy.mean(before))
        assert row["differ"] == sum(rows[run, row["policy"]]["arch"] != rows[run, "argmax"]["arch"] for run in runs)
    assert set(table.loc[table["method"] == "random-ws", "policy"]) == {"argmax", "edge"}
    drawn = FIGURES["policies"](loaded)
    assert drawn is not None
    assert len(drawn.figure.axes) == 3
    first = next(panel for panel in drawn.figure.axes if len(panel.get_lines()) == 3)
    points = [line.get_ydata()[2] for line in first.get_lines()]
    assert points[2] == pytest.approx((points[0] + points[1]) / 2)
    assert [label.get_text() for label in first.get_xticklabels()] == ["argmax", "edge first", "projection"]


def test_rows_of_something_else_are_refused(decided: Path, tmp_path: Path) -> None:
    folder = copied(decided, tmp_path)
    rows = pandas.read_csv(folder / DISCRETISED, dtype={"arch": str})
    rows.loc[0, "accuracy_cifar10_valid"] = 1.0
    rows.to_csv(folder / DISCRETISED, index=False)
    with pytest.raises(CorruptFile, match=r"is not of what .* ended with; nas-stability report .* --discretise"):
        summaries.OCCASIONAL["discretised"](study.load(folder))
    assert summaries.OCCASIONAL["discretised"](study.load(folder, verify=False)) is not None
    (folder / DISCRETISED).unlink()
    assert summaries.OCCASIONAL["discretised"](study.load(folder)) is None
    assert FIGURES["policies"](study.load(folder)) is None


def test_the_flag_of_report(decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(decided, tmp_path)
    (folder / DISCRETISED).unlink()
    ask = ["report", str(folder), "--only", "discretised", "--workers", "1", "--threads", "1"]
    assert main([*ask, "--discretise", "edge"]) == 0
    found = capsys.readouterr()
    assert f"8 rows: {folder / DISCRETISED}" in found.out
    assert "no projection" not in found.err
    assert main([*ask, "--discretise"]) == 0
    found = capsys.readouterr()
    assert f"11 rows: {folder / DISCRETISED}" in found.out
    assert "no projection of 1 run (nasbench201-random-ws" in found.err
    assert "| gain over argmax (points) |" in (folder / "report" / "discretised.md").read_text()
    assert main([*ask, "--discretise", "edge,projektion"]) == MISUSED
    assert capsys.readouterr().err == "nas-stability: unknown policy 'projektion'; did you mean 'projection'?\n"
