"""Tables of spaces that list no architectures: keys in any published form, asked one at a time."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas
import pytest
import torch

from nas_stability.benchmarks.catalog import SPACES, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import genotypes
from nas_stability.benchmarks.spaces.genotypes import ANY, Genotype
from nas_stability.benchmarks.tables.import_file import import_file
from nas_stability.benchmarks.tables.table import Unanswered
from nas_stability.command_line import main
from tests.small import SHARED, small_spec

MEASURED = SHARED / "data" / "nb301" / "nb301_measured_199.csv"
SPACE = SPACES["darts"]
HEAD = "arch,dataset,split,epochs,seed,accuracy\n"


def commas(genotype: Genotype) -> str:
    """The form of NASLib's records, sources descending."""
    cells = [[f"{name}~{source}" for name, source in cell] for cell in genotype]
    return "|".join(
        ",".join(gene for place in range(0, 8, 2) for gene in cell[place : place + 2][::-1]) for cell in cells
    )


def written(path: Path, archs: list[str]) -> Path:
    rows = [
        f'"{arch}",cifar10,{split},600,0,{90 + place / 10}'
        for place, arch in enumerate(archs)
        for split in ("valid", "test")
    ]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def archs() -> list[str]:
    generator = torch.Generator().manual_seed(0)
    return [SPACE.sample(generator) for _ in range(6)]


def test_keys_of_any_form_are_asked_for_by_any_form(
    archs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAS_STABILITY_TABLES", str(tmp_path / "tables"))
    read = [genotypes.read(arch, ANY) for arch in archs]
    forms = [archs[0], genotypes.printed_text(read[1]), commas(read[2]), archs[3], commas(read[4]), archs[5]]
    import_file(written(tmp_path / "cells.csv", forms), SPACE)
    table = open_table("cells", "darts")
    assert table is not None
    for place, arch in enumerate(archs):
        assert table.score(arch, "cifar10", "valid", 600) == pytest.approx(90 + place / 10)
    with pytest.raises(Unanswered):
        table.score(archs[0], "svhn", "valid", 600)
    asked = ["table", "query", "cells", "--dataset", "cifar10", "--split", "test", "--epochs", "600", "--arch"]
    for text in (archs[4], commas(read[4]), genotypes.printed_text(read[4])):
        assert main([*asked, text]) == 0
        assert "90.4" in capsys.readouterr().out
    assert main([*asked, "Genotype(normal=[])"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_run_asks_it_and_knows_of_no_regret(
    archs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_STABILITY_TABLES", str(tmp_path / "tables"))
    import_file(written(tmp_path / "cells.csv", archs), SPACE)
    out = tmp_path / "run"
    flags = ["--space", "darts", "--data", "digits", "--epochs", "1", "--width", "4", "--depth", "3", "--images", "64"]
    few = ["--batch-size", "32", "--hessian", "false", "--table", "cells", "--table-epochs", "600", "--threads", "1"]
    assert main(["run", *flags, *few, "--method", "darts", "--out", str(out)]) == 0
    rows = pandas.read_csv(out / "epochs.csv")
    assert {"accuracy_cifar10_valid", "accuracy_cifar10_test"} <= set(rows.columns)
    assert rows["regret_cifar10_valid"].isna().all()
    assert main(["check", str(out)]) == 0


def test_the_same_genotype_twice_and_one_of_another_space_are_refused(archs: list[str], tmp_path: Path) -> None:
    twice = written(tmp_path / "twice.csv", [archs[0], commas(genotypes.read(archs[0], ANY))])
    with pytest.raises(BadInput, match=r"twice\.csv"):
        import_file(twice, SPACE, override=tmp_path)
    with pytest.raises(BadInput, match=r"strangers.csv, row 0 .*: the edge from source .* cannot be"):
        import_file(written(tmp_path / "strangers.csv", archs), SPACES["darts-s2"], override=tmp_path)
    assert small_spec().space == "nasbench201"


@pytest.mark.skipif(not MEASURED.exists(), reason="the real cells are on the development machine only")
def test_real_cells_are_imported_and_answer_for_their_data_sets_alone(tmp_path: Path) -> None:
    with MEASURED.open(newline="") as stream:
        cells = list(csv.DictReader(stream))
    path = tmp_path / "measured.csv"
    rows = [f'"{cell["genotype"]}",svhn,valid,100,0,{cell["svhn"]}' for cell in cells]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    import_file(path, SPACE, override=tmp_path / "tables")
    table = open_table("measured", "darts", tmp_path / "tables")
    assert table is not None
    for cell in cells[:20]:
        arch = genotypes.text_of(genotypes.read(cell["genotype"], ANY))
        assert table.score(arch, "svhn", "valid", 100) == pytest.approx(float(cell["svhn"]), abs=1e-4)
        with pytest.raises(Unanswered):
            table.score(arch, "cifar10", "valid", 100)
