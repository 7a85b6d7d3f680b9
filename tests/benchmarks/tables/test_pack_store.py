"""Where tables lie: folder, lock, names; packed once, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas_stability.benchmarks.catalog import open_table
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.tables import cache, open_file, packing
from tests.benchmarks.tables.test_pack import write_nasbench101


def test_the_folder_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "named"))
    assert cache.folder() == tmp_path / "named"
    assert cache.folder(tmp_path) == tmp_path
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert cache.folder() == tmp_path / "cache" / "nas-stability" / "tables"
    for name in ("../x", "a/b", "", ".hidden", "a b"):
        with pytest.raises(BadInput, match="cannot be the name of a table"):
            cache.table_path(name, tmp_path)


PACKING = """
import sys
from pathlib import Path
from nas_stability.benchmarks.tables import dumps_101, packing

def counted(path, found):
    with open(sys.argv[3], "a") as file:
        file.write("read\\n")
    return contents(path, found)

contents, dumps_101.contents = dumps_101.contents, counted
print(packing.pack("nasbench101", Path(sys.argv[1]), Path(sys.argv[2]), progress=False, partial=True))
"""


@pytest.mark.slow
def test_concurrent_processes_pack_once(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    command = [sys.executable, "-c", PACKING, str(dump), str(tmp_path / "tables"), str(tmp_path / "reads")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert printed == {str(tmp_path / "tables" / "nasbench101-partial.parquet")}
    assert (tmp_path / "reads").read_text() == "read\n"
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {"nasbench101-partial.parquet", "nasbench101-partial.parquet.lock"}


@pytest.mark.slow
def test_a_killed_pack_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    slow = PACKING.replace("return contents", "Path(sys.argv[3]).touch(); import time; time.sleep(600)")
    mark = tmp_path / "reads"
    with subprocess.Popen([sys.executable, "-c", slow, str(dump), str(tmp_path / "tables"), str(mark)]) as process:
        while not mark.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    left = tmp_path / "tables" / ".nasbench101-partial.parquet.1.part"
    left.write_text("of a process that was killed while it wrote")
    assert cache.here(tmp_path / "tables") == ()
    with pytest.raises(BadInput, match="not on this machine"):
        open_table("nasbench101", "nasbench1shot1-s1", tmp_path / "tables")
    path = packing.pack("nasbench101", dump, tmp_path / "tables", progress=False, partial=True)
    assert len(open_file.open_table(path).keys) == 4
    assert not left.exists()


def test_a_packed_table_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "tables"))
    with pytest.raises(BadInput, match="the table nasbench101 is not on this machine"):
        open_table("nasbench101", "nasbench1shot1-s1")
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    monkeypatch.setitem(packing.DUMPS, "nasbench101", packing.DUMPS["nasbench101"]._replace(archs=4))
    packing.pack("nasbench101", dump, progress=False)
    found = open_table("nasbench101", "nasbench1shot1-s1")
    assert found is not None
    assert (found.name, found.source, len(found.keys)) == ("nasbench101", "nasbench_full.tfrecord", 4)
    assert found.sha256 == hashlib.sha256(dump.read_bytes()).hexdigest()
    assert cache.here() == ("nasbench101",)
    with pytest.raises(BadInput, match=r"unknown table 'nasbench10'; did you mean 'nasbench101'"):
        open_table("nasbench10", "nasbench1shot1-s1")
