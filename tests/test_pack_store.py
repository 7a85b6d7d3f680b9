"""Folder, lock, download: once, checked, whole or not at all; against a server on loopback."""

from __future__ import annotations

import functools
import hashlib
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import pytest

from benchmarks import pack, store, table
from benchmarks.catalog import SPACES, here, open_table
from benchmarks.errors import BadInput, CorruptFile
from tests.test_pack import write_nasbench101

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Served:
    """What the server does and saw.

    Attributes:
        stop: bytes of the body after which it breaks the connection; None: it sends everything.
        flip: whether it alters a byte.
        ranges: Range header of each request.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self.flip = False
        self.resume = True
        self.ranges: list[str | None] = []
        self.url = ""


class Answer(http.server.BaseHTTPRequestHandler):
    def __init__(self, served: Served, *arguments: Any) -> None:
        self.served = served
        super().__init__(*arguments)

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.served.ranges.append(asked)
        if self.path.startswith("/absent"):
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.served.resume else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = bytearray(CONTENT[start:])
        if self.served.flip:
            body[len(body) // 2] ^= 1
        self.send_response(206 if asked and self.served.resume else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(bytes(body[: self.served.stop]))


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Answer, found))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_good_file_is_fetched_once(served: Served, tmp_path: Path) -> None:
    path = store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False)
    assert path == tmp_path / "downloads" / "dump.bin"
    assert path.read_bytes() == CONTENT
    assert store.fetch([f"{served.url}/dump.bin"], f"sha256:{SHA256}", tmp_path, progress=False) == path
    assert store.fetch([f"{served.url}/dump.bin"], None, tmp_path, progress=False) == path
    assert len(served.ranges) == 1


def test_a_truncated_file_is_refused_and_the_download_goes_on(served: Served, tmp_path: Path) -> None:
    served.stop = 3_000_000
    with pytest.raises(BadInput, match=r"dump\.bin: the download stopped after 29\d+ of 5120000 bytes"):
        store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False)
    assert not (tmp_path / "downloads" / "dump.bin").exists()
    served.stop = None
    path = store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False)
    assert path.read_bytes() == CONTENT
    first, second = served.ranges
    assert first is None
    assert second is not None
    assert second.startswith("bytes=29")


def test_a_truncated_file_is_refused_without_a_known_checksum_too(served: Served, tmp_path: Path) -> None:
    served.stop = 1_000_000
    with pytest.raises(BadInput, match=r"stopped after \d+ of 5120000 bytes"):
        store.fetch([f"{served.url}/dump.bin"], None, tmp_path, progress=False)
    assert not (tmp_path / "downloads" / "dump.bin").exists()


def test_a_server_that_cannot_resume_starts_anew(served: Served, tmp_path: Path) -> None:
    served.stop, served.resume = 3_000_000, False
    with pytest.raises(BadInput, match="stopped"):
        store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False)
    served.stop = None
    assert store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "dump.bin.partial").write_bytes(CONTENT + b"more")
    assert store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False).read_bytes() == CONTENT


def test_a_corrupted_file_is_thrown_away(served: Served, tmp_path: Path) -> None:
    served.flip = True
    with pytest.raises(CorruptFile, match=r"dump\.bin: what arrived is thrown away, its checksum is not sha256:"):
        store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False)
    left = [path.name for path in (tmp_path / "downloads").iterdir() if path.suffix != ".lock"]
    assert left == []
    served.flip = False
    assert store.fetch([f"{served.url}/dump.bin"], SHA256, tmp_path, progress=False).read_bytes() == CONTENT


def test_the_next_address_is_tried(served: Served, tmp_path: Path) -> None:
    urls = [f"{served.url}/absent/dump.bin", f"{served.url}/dump.bin"]
    assert store.fetch(urls, SHA256, tmp_path, progress=False).read_bytes() == CONTENT
    with pytest.raises(BadInput, match=r"cannot fetch dump2\.bin: .*404.*; .*404"):
        store.fetch([f"{served.url}/absent/dump2.bin", f"{served.url}/absent/b"], None, tmp_path, progress=False)
    with pytest.raises(BadInput, match="give one with --url"):
        store.fetch([], None, tmp_path)
    with pytest.raises(BadInput, match="cannot fetch"):
        store.fetch(["nonsense://host/file"], None, tmp_path, progress=False)


def test_the_folder_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "named"))
    assert store.folder() == tmp_path / "named"
    assert store.folder(tmp_path) == tmp_path
    monkeypatch.delenv(store.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert store.folder() == tmp_path / "cache" / "nas-stability" / "tables"
    for name in ("../x", "a/b", "", ".hidden", "a b"):
        with pytest.raises(BadInput, match="a table's name has"):
            store.table_path(name, tmp_path)


PACKING = """
import sys
from pathlib import Path
from benchmarks import pack, tfrecord

def counted(path, found):
    with open(sys.argv[3], "a") as file:
        file.write("read\\n")
    return contents(path, found)

contents, tfrecord.contents = tfrecord.contents, counted
print(pack.pack("nasbench101", Path(sys.argv[1]), Path(sys.argv[2]), progress=False))
"""


def test_concurrent_processes_pack_once(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    command = [sys.executable, "-c", PACKING, str(dump), str(tmp_path / "tables"), str(tmp_path / "reads")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert printed == {str(tmp_path / "tables" / "nasbench101.parquet")}
    assert (tmp_path / "reads").read_text() == "read\n"
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {"nasbench101.parquet", "nasbench101.parquet.lock"}


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
    left = tmp_path / "tables" / "nasbench101.parquet.1.unfinished"
    left.write_text("of a process that was killed while it wrote")
    assert here(tmp_path / "tables") == ()
    with pytest.raises(BadInput, match="not on this machine"):
        open_table("nasbench101", "nasbench1shot1-s1", tmp_path / "tables")
    path = pack.pack("nasbench101", dump, tmp_path / "tables", progress=False)
    assert len(table.open_table(path).keys) == 4
    assert not left.exists()


def test_a_packed_table_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "tables"))
    with pytest.raises(BadInput, match="the table nasbench101 is not on this machine"):
        open_table("nasbench101", "nasbench1shot1-s1")
    dump = tmp_path / "nasbench_full.tfrecord"
    write_nasbench101(dump)
    pack.pack("nasbench101", dump, progress=False)
    found = open_table("nasbench101", "nasbench1shot1-s1")
    assert found is not None
    assert (found.name, found.source, len(found.keys)) == ("nasbench101", "nasbench_full.tfrecord", 4)
    assert found.sha256 == hashlib.sha256(dump.read_bytes()).hexdigest()
    assert here() == ("nasbench101",)
    with pytest.raises(BadInput, match=r"unknown table 'nasbench10'; did you mean 'nasbench101'"):
        open_table("nasbench10", "nasbench1shot1-s1")


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
    path = pack.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")
    assert path == tmp_path / "tables" / "mine.parquet"
    found = open_table("mine", "nasbench1shot1-s2", tmp_path / "tables")
    assert found is not None
    assert found.keys.to_pylist() == ["00" * 16, "ab" * 16]
    for row in tidy().itertuples():
        assert found.score(str(row.arch), "cifar10", str(row.split), 108, int(str(row.seed))) == row.accuracy
    again = pack.import_file(path, SPACES["nasbench1shot1-s2"], "copy", tmp_path / "tables")
    copy = open_table(str(again), "nasbench1shot1-s2")
    assert copy is not None
    assert copy.score("ab" * 16, "cifar10", "test", 108) == 91.0


def test_import_of_hashes_that_are_all_digits(tmp_path: Path) -> None:
    frame = tidy(arch=["00" * 16] * 4 + ["12" * 16] * 4)
    path = pack.import_file(save(frame, tmp_path / "mine.csv"), SPACES["nasbench1shot1-s2"], override=tmp_path)
    assert table.open_table(path).keys.to_pylist() == ["00" * 16, "12" * 16]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas.concat([tidy(), tidy().iloc[[5]]]), r"two rows for abab.*the second is row 8"),
        (tidy(accuracy=[90.0] * 7 + [100.5]), r"row 7: the accuracy 100\.5 is not in \[0, 100\] percent"),
        (tidy(accuracy=[90.0] * 7 + [-1.0]), r"row 7: the accuracy -1\.0 is not in"),
        (tidy(split="dev"), "row 0: the split 'dev' is none of"),
        (tidy(arch=["00" * 16] * 4 + ["unknown"] * 4), "'unknown', which is no architecture of nasbench1shot1-s2"),
        (tidy().drop(columns="epochs"), "lacks"),
        (tidy(epochs="many"), "wrong type"),
    ],
)
def test_import_of_files_that_cannot_be_used(
    frame: pandas.DataFrame, message: str, suffix: str, tmp_path: Path
) -> None:
    file = save(frame, tmp_path / f"mine.{suffix}")
    with pytest.raises(BadInput, match=message) as caught:
        pack.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")
    assert f"mine.{suffix}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_import_of_damaged_files(suffix: str, tmp_path: Path) -> None:
    file = save(tidy(), tmp_path / f"mine.{suffix}")
    file.write_bytes(file.read_bytes()[:-7] + (b",,,,,,\n" if suffix == "csv" else b""))
    with pytest.raises(BadInput, match=rf"mine\.{suffix}"):
        pack.import_file(file, SPACES["nasbench1shot1-s2"], override=tmp_path / "tables")


def test_import_refuses_names_and_kinds(tmp_path: Path) -> None:
    file = save(tidy(), tmp_path / "mine.csv")
    with pytest.raises(BadInput, match="is the name of an official dump"):
        pack.import_file(file, SPACES["nasbench1shot1-s2"], "nasbench101", tmp_path)
    with pytest.raises(BadInput, match=r"must be \.csv, \.parquet or \.npz"):
        pack.import_file(Path(__file__), SPACES["nasbench1shot1-s2"], None, tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        pack.import_file(tmp_path / "absent.csv", SPACES["nasbench1shot1-s2"], None, tmp_path)
    with pytest.raises(BadInput, match=r"no architecture of nasbench201 \(such as \|"):
        pack.import_file(file, SPACES["nasbench201"], None, tmp_path / "tables")
