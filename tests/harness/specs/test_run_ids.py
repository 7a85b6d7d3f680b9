"""Which run it is: of which images, under which path, by which version of the fields."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy
import pytest

from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.filled_in import run_spec, typed
from nas_stability.harness.specs.recorded import known_ids, old_digest, recorded_spec, same_run
from nas_stability.harness.specs.spec import RunSpec
from tests.commands import COMMAND, NEEDED, refused
from tests.small import small_spec

ROOT = Path(__file__).parents[3]


def archive(path: Path, label: int = 0) -> Path:
    """Eight images of one's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numpy.savez(path, x_train=numpy.zeros((8, 8, 8), numpy.uint8), y_train=numpy.arange(8) % 2 + label)
    return path


def test_h3_other_images_under_one_path_are_another_run(tmp_path: Path) -> None:
    path = archive(tmp_path / "mine.npz")
    first = small_spec(data=f"npz:{path}")
    archive(path, label=1)
    second = small_spec(data=f"npz:{path}")
    assert first.data == second.data
    assert first.data_sha256 != second.data_sha256
    assert first.run_id != second.run_id
    assert first.run_id.startswith("nasbench201-darts-npz-mine-s0-")


def test_h3_the_same_images_under_another_path_are_the_same_run(tmp_path: Path) -> None:
    here, there = archive(tmp_path / "mine.npz"), tmp_path / "there" / "mine.npz"
    there.parent.mkdir()
    there.write_bytes(here.read_bytes())
    first, second = small_spec(data=f"npz:{here}"), small_spec(data=f"npz:{there}")
    assert first.data != second.data
    assert first.run_id == second.run_id


def test_h3_a_file_that_is_not_the_one_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "mine.npz")
    known = small_spec(data=f"npz:{path}").data_sha256
    assert small_spec(data=f"npz:{path}", data_sha256=known.upper()).data_sha256 == known
    flags = ["--data", "npz:mine.npz", "--data-sha256"]
    assert "is not the one with SHA-256 000" in refused([*COMMAND, *flags, "0" * 64], capsys, tmp_path)
    assert "takes 64 hexadecimal digits" in refused([*COMMAND, *flags, "abc"], capsys, tmp_path)


LABELS = {
    "a comma": ("a,b.npz", "npz-a-b"),
    "letters of another script": ("データ.npz", "npz"),
    "a formula": ("=cmd|x.npz", "npz-cmd-x"),
    "dots": ("a.b_c-d.npz", "npz-a.b_c-d"),
    "a long name": ("x" * 200 + ".npz", "npz-" + "x" * 60),
}


@pytest.mark.parametrize(("file", "label"), LABELS.values(), ids=LABELS)
def test_h3_the_data_column_names_the_file(file: str, label: str, tmp_path: Path) -> None:
    assert small_spec(data=f"npz:{archive(tmp_path / file)}").data_name == label


def test_h12_a_path_in_a_study_is_taken_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    mine, home = archive(tmp_path / "studies" / "mine.npz"), archive(tmp_path / "home" / "x.npz", label=1)
    file = tmp_path / "studies" / "own.toml"
    file.write_text(
        '[base]\nspace = "nasbench201"\nmethod = "darts"\ntable = "./t/x.parquet"\n'
        '[over]\ndata = ["npz:mine.npz", "npz:~/x.npz", "digits"]\n'
    )
    (tmp_path / "elsewhere").mkdir()
    found = []
    for folder, path in ((tmp_path / "elsewhere", "../studies/own.toml"), (tmp_path / "studies", "own.toml")):
        monkeypatch.chdir(folder)
        found.append(study_file.read(study_file.find(path)).runs)
    assert [spec.run_id for spec in found[0]] == [spec.run_id for spec in found[1]]
    for runs in found:
        assert [Path(spec.data.removeprefix("npz:")).resolve() for spec in runs[:2]] == [mine, home]
        assert [Path(spec.table).resolve() for spec in runs] == [tmp_path / "studies" / "t" / "x.parquet"] * 3
    assert found[1][2].data == "digits"


def test_h12_a_path_on_the_command_line_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "mine.npz")
    monkeypatch.chdir(tmp_path)
    for text in ("npz:mine.npz", "npz:./mine.npz", "mine.npz", f"NPZ:{path}"):
        assert run_spec({**NEEDED, "data": text}) == run_spec({**NEEDED, "data": f"npz:{path}"})
    assert run_spec({**NEEDED, "table": "x.parquet"}).table == str(tmp_path / "x.parquet")
    assert run_spec({**NEEDED, "table": "nasbench101"}).table == "nasbench101"


PUBLISHED = sorted((ROOT / "results" / "published").glob("*/*/spec.json"))


def test_published_specs_pass_and_are_known_under_an_id_that_they_had() -> None:
    assert len(PUBLISHED) >= 108, "more come"
    for path in PUBLISHED:
        values = json.loads(path.read_text())
        spec = recorded_spec(values)
        assert path.parent.name in known_ids(values)
        assert known_ids(values)[0] == spec.run_id
        for name, value in dataclasses.asdict(spec).items():
            if name not in ("data", "data_sha256"):
                assert typed(name, value) == value


def old_record(spec: RunSpec, *without: str) -> dict[str, object]:
    """spec.json as version 0.1 wrote it, or one that had fewer fields still."""
    return {k: v for k, v in json.loads(spec.json()).items() if k not in ("data_sha256", *without)}


def test_a_record_of_an_older_version_has_the_new_fields_at_their_defaults() -> None:
    spec = small_spec(rank_sample=100)
    for values in (old_record(spec), old_record(spec, "rank_sample", "autocast", "tf32")):
        assert recorded_spec(values) == spec  # type: ignore[arg-type]
        old = f"{spec.run_id[:-8]}{old_digest(values)[:8]}"  # type: ignore[arg-type]
        assert known_ids(values) == (spec.run_id, old)  # type: ignore[arg-type]
        assert old != spec.run_id
        assert same_run(spec, values)  # type: ignore[arg-type]
        assert not same_run(small_spec(seed=1), values)  # type: ignore[arg-type]


def test_a_new_field_renames_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = small_spec().digest
    fewer = {name: item for name, item in dataclasses.asdict(small_spec()).items() if name != "hessian_dtype"}
    monkeypatch.setattr(dataclasses, "asdict", lambda spec: fewer)
    assert small_spec().digest == before


def test_an_old_record_of_own_images_keeps_its_id_and_is_the_run_of_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = small_spec(data=f"npz:{archive(tmp_path / 'mine.npz')}")
    values = {**old_record(spec), "data": "npz:mine.npz"}
    new, old = known_ids(values)  # type: ignore[arg-type]
    assert old == f"nasbench201-darts-npz-s0-{old_digest(values)[:8]}"  # type: ignore[arg-type]
    assert new.startswith("nasbench201-darts-npz-mine-s0-")
    assert new != spec.run_id  # nobody knows which file it was
    assert same_run(spec, values)  # type: ignore[arg-type]
    (tmp_path / "mine.npz").unlink()
    assert known_ids(values) == (new, old)  # type: ignore[arg-type]


def test_a_record_of_the_same_images_elsewhere_is_of_the_same_run(tmp_path: Path) -> None:
    spec = small_spec(data=f"npz:{archive(tmp_path / 'mine.npz')}")
    moved = {**json.loads(spec.json()), "data": "npz:/gone/mine.npz"}
    assert same_run(spec, moved)
    assert known_ids(moved)[0] == spec.run_id
    assert not same_run(spec, {**moved, "data_sha256": "0" * 64})


RECORDS = {
    "a field of a newer version": ({"novel": 1}, "unknown field 'novel'"),
    "a wrong type": ({"epochs": "2"}, "'epochs' takes int"),
    "no such choice": ({"query": "later"}, "'query' takes after or before"),
    "a path as a space": ({"space": "../../x"}, "cannot be the name of a space"),
    "a path as a method": ({"method": "a/b"}, "cannot be the name of a method"),
}


@pytest.mark.parametrize(("changed", "message"), RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_no_spec(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        recorded_spec({**json.loads(small_spec().json()), **changed})


@pytest.mark.parametrize("values", [None, [], "text", 3, {}, {"space": "nasbench201"}], ids=repr)
def test_a_record_that_is_something_else(values: object) -> None:
    with pytest.raises(BadInput):
        known_ids(values)  # type: ignore[arg-type]


def test_a_record_is_read_without_its_range() -> None:
    assert recorded_spec({**json.loads(small_spec().json()), "momentum": 1.0}).momentum == 1.0


@pytest.mark.parametrize("data", ["npz:../../x/..npz", "../../x", "a b"], ids=repr)
def test_a_run_id_is_one_folder(data: str) -> None:
    run = recorded_spec({**json.loads(small_spec().json()), "data": data}).run_id
    assert re.fullmatch(r"[A-Za-z0-9._-]+", run)
