"""Tidy files of one's own: what is taken as it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from nas_stability.benchmarks.catalog import SPACES, open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import import_file, open_file


def tidy(**changes: object) -> pandas.DataFrame:
    archs = ["00" * 16, "ab" * 16]
    rows = [(arch, "cifar10", split, 108, seed, 90.5 + seed) for arch in archs for split in ("valid", "test")
            for seed in range(2)]  # fmt: skip
    columns = ["arch", "dataset", "split", "epochs", "seed", "accuracy"]
    return pandas.DataFrame(rows, columns=columns).assign(**changes)  # type: ignore[arg-type]


def save(frame: pandas.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        import numpy

        arrays = {name: frame[name].to_numpy() for name in frame}
        numpy.savez(path, **{name: values.astype("U") if values.dtype == object else values  # type: ignore[arg-type]
                             for name, values in arrays.items()})  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_import_of_tidy_files(suffix: str, tmp_path: Path) -> None:
    file = save(tidy().iloc[::-1], tmp_path / f"mine.{suffix}")
    path = import_file.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")
    assert path == tmp_path / "tables" / "mine.parquet"
    found = open_table("mine", "nasbench1shot1-s2", tmp_path / "tables")
    assert found is not None
    assert found.keys.to_pylist() == ["00" * 16, "ab" * 16]
    for row in tidy().itertuples():
        assert found.score(str(row.arch), "cifar10", str(row.split), 108, int(str(row.seed))) == row.accuracy
    again = import_file.import_file(path, SPACES["nasbench1shot1-s2"], "copy", tmp_path / "tables")
    copy = open_table(str(again), "nasbench1shot1-s2")
    assert copy is not None
    assert copy.score("ab" * 16, "cifar10", "test", 108) == 91.0


def test_import_of_hashes_that_are_all_digits(tmp_path: Path) -> None:
    frame = tidy(arch=["00" * 16] * 4 + ["12" * 16] * 4)
    path = import_file.import_file(save(frame, tmp_path / "mine.csv"), SPACES["nasbench1shot1-s2"], override=tmp_path)
    assert open_file.open_table(path).keys.to_pylist() == ["00" * 16, "12" * 16]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas.concat([tidy(), tidy().iloc[[5]]]), r"two rows for abab.*the second is row 8"),
        (tidy(accuracy=[90.0] * 7 + [100.5]), r"row 7 .* accuracy: 100\.5 is not in \[0, 100\] percent"),
        (tidy(accuracy=[90.0] * 7 + [-1.0]), r"row 7 .* accuracy: -1\.0 is not in"),
        (tidy(split="dev"), r"row 0 .* split: 'dev' is none of"),
        (tidy(arch=["00" * 16] * 4 + ["unknown"] * 4), "'unknown', which is no architecture of nasbench1shot1-s2"),
        (tidy().drop(columns="epochs"), "lacks"),
        (tidy(epochs="many"), "column epochs: .*not (a )?whole number"),
    ],
)
def test_import_of_files_that_cannot_be_used(
    frame: pandas.DataFrame, message: str, suffix: str, tmp_path: Path
) -> None:
    file = save(frame, tmp_path / f"mine.{suffix}")
    with pytest.raises(BadInput, match=message) as caught:
        import_file.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")
    assert f"mine.{suffix}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_import_of_damaged_files(suffix: str, tmp_path: Path) -> None:
    file = save(tidy(), tmp_path / f"mine.{suffix}")
    file.write_bytes(file.read_bytes()[:-7] + (b",,,,,,\n" if suffix == "csv" else b""))
    with pytest.raises(BadInput, match=rf"mine\.{suffix}"):
        import_file.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")


def test_import_refuses_names_and_kinds(tmp_path: Path) -> None:
    file = save(tidy(), tmp_path / "mine.csv")
    with pytest.raises(BadInput, match="is the name of an official dump"):
        import_file.import_file(file, SPACES["nasbench1shot1-s2"], "nasbench101", tmp_path)
    with pytest.raises(BadInput, match=r"must be \.csv, \.parquet or \.npz"):
        import_file.import_file(Path(__file__), SPACES["nasbench1shot1-s2"], None, tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        import_file.import_file(tmp_path / "absent.csv", SPACES["nasbench1shot1-s2"], None, tmp_path)
    with pytest.raises(BadInput, match=r"no architecture of nasbench201: it has strings such as \|"):
        import_file.import_file(file, SPACES["nasbench201"], None, tmp_path / "tables")
