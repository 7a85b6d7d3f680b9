"""Official dumps: what is packed and fetched, what is refused by file and record, and that nothing is left behind."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.tables import cache, download, fetching, packing
from nas_stability.benchmarks.tables.open_file import open_table
from tests import oracles_tables
from tests.benchmarks.tables.acts_tables import HASHES, command, left, record, refused
from tests.benchmarks.tables.test_pack import ARCHS_201, small_dumps, write_archive, write_nasbench101
from tests.served import Answer, Served, serving

__all__ = ["small_dumps"]

LACKING = "--partial packs it under the name nasbench"
RECORDS = {
    "B6: an empty dump": (b"", "dump.tfrecord has no records"),
    "B6: a module hash that is not hexadecimal": (record("g" * 32), "record 0: not a NAS-Bench-101 result: the module"),
    "B6: a module hash in capitals": (record("AB" * 16), "record 0: not a NAS-Bench-101 result: the module hash 'ABAB"),
    "B6: a module hash that is a number": (record(5), "record 0: not a NAS-Bench-101 result: "),
    "B6: epochs true": (record(epochs=True), "record 0: not a NAS-Bench-101 result: True is none of the budgets 4, 12"),
    "B6: epochs -1": (record(epochs=-1), "record 0: not a NAS-Bench-101 result: -1 is none of the budgets"),
    "B6: epochs 10^30": (
        record(epochs=10**30),
        "record 0: not a NAS-Bench-101 result: 1000000000000000",
    ),
    "B6: epochs 108.0": (record(epochs=108.0), "record 0: not a NAS-Bench-101 result: 108.0 is none of the budgets"),
    "B6: an accuracy of nan": (record(test_accuracy=math.nan), "the accuracy test nan is not in [0, 1]"),
    "B6: an accuracy of inf": (record(train_accuracy=math.inf), "the accuracy train inf is not in [0, 1]"),
    "B6: an accuracy in percent": (record(place=1, test_accuracy=92.5), "the accuracy test 92.5 is not in [0, 1]"),
    "B6: a negative accuracy": (record(place=0, validation_accuracy=-0.5), "the accuracy valid -0.5 is not in [0, 1]"),
    "B6: a training time of nan": (record(training_time=math.nan), "the training time nan is not in [0, inf) seconds"),
    "B6: no parameters": (record(parameters=0), "the parameter count 0 is not in [1, 2^31)"),
    "B6: parameters beyond int32": (record(parameters=2**40), "the parameter count 1099511627776 is not in [1, 2^31)"),
    "B6: a fourth training": (record() * 4, "record 3: 00000000000000000000000000000000 was trained 3 times for 108"),
    "B6: deep JSON": (oracles_tables.frame(b"[" * 100_000), "record 0: not a NAS-Bench-101 result: "),
    "B6: one cell of all": (record() * 3, f"it has 1 of 423,624 architectures; {LACKING}"),
}


@pytest.mark.parametrize(("content", "message"), RECORDS.values(), ids=RECORDS)
def test_a_dump_of_nasbench101_with_what_cannot_be(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "dump.tfrecord"
    file.write_bytes(content)
    refused(message, "table", "pack", "nasbench101", file, "--tables", tmp_path / "tables")
    assert "dump.tfrecord" in command("table", "pack", "nasbench101", file, "--tables", tmp_path / "tables").err
    assert left(tmp_path / "tables") == []


@pytest.mark.usefixtures("small_dumps")
@pytest.mark.parametrize(
    ("name", "kept", "message"),
    [
        pytest.param("nasbench101", 47, r"lacks training run 2 of 108 epochs", id="B6: the last record is not there"),
        pytest.param("nasbench101", 32, r"2 training runs of each", id="B6: the last third is not there"),
        pytest.param("nasbench101-full", 16, r"1 training runs of each", id="B6: the first training alone"),
    ],
)
def test_a_dump_of_nasbench101_that_ends_between_two_records(
    name: str, kept: int, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "dump.tfrecord"
    write_nasbench101(file)
    content, place = file.read_bytes(), 0
    for _ in range(kept):
        place += 16 + int.from_bytes(content[place : place + 8], "little")
    file.write_bytes(content[:place])
    with pytest.raises(CorruptFile, match=message):
        packing.pack(name, file, tmp_path / "tables", progress=False)
    assert left(tmp_path / "tables") == []


def test_a_dump_of_fewer_budgets_is_not_the_full_one(tmp_path: Path, small_dumps: None) -> None:
    (tmp_path / "dump.tfrecord").write_bytes(record(HASHES[0]) * 3 + record(HASHES[1]) * 3)
    packing.DUMPS["nasbench101-full"] = packing.DUMPS["nasbench101-full"]._replace(archs=2)
    with pytest.raises(CorruptFile, match="it has no budget of 4 epochs"):
        packing.pack("nasbench101-full", tmp_path / "dump.tfrecord", tmp_path / "tables", progress=False)


def change(state: dict[str, Any], attribute: str, value: object) -> None:
    """Changes an attribute of the first result in a state of one of the source's ArchResults."""
    result = next(iter(state["all_results"].values()))
    result[attribute] = value


def accuracies(value: object) -> Callable[[dict[str, Any]], None]:
    """Sets all accuracies of the first result."""

    def apply(state: dict[str, Any]) -> None:
        result = next(iter(state["all_results"].values()))
        result["eval_acc1es"] = dict.fromkeys(result["eval_acc1es"], value)

    return apply


STATES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "B6: accuracies of nan": (accuracies(math.nan), "accuracy nan is not in [0, 100]"),
    "B6: accuracies of 101": (accuracies(101.0), "accuracy 101.0 is not in [0, 100]"),
    "B6: accuracies of true": (accuracies(True), "accuracy True is not in [0, 100]"),
    "B6: accuracies of text": (accuracies("90"), "accuracy '90' is not in [0, 100]"),
    "B6: epochs true": (lambda state: change(state, "epochs", True), "no run of (12, 200) epochs with a seed"),
    "B6: epochs 10^30": (lambda state: change(state, "epochs", 10**30), "no run of (12, 200) epochs with a seed"),
    "B6: parameters of nan": (lambda state: change(state, "params", math.nan), "millions of parameters nan"),
    "B6: negative parameters": (lambda state: change(state, "params", -1.0), "millions of parameters -1.0"),
    "B6: a training time of nan": (
        lambda state: change(state, "train_times", dict.fromkeys(range(200), math.nan)), "training time"),
    "B6: another space's architecture": (lambda state: state.update(arch_str="|a~0|"), "record 000001"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "message"), STATES.values(), ids=STATES)
def test_a_record_of_nasbench201_with_what_cannot_be(
    harm: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    content = oracles_tables.nasbench201_file(ARCHS_201[:2])
    state = content["arch2infos"][1]["full"]
    state["all_results"] = {key: result.state_dict() if hasattr(result, "state_dict") else result
                            for key, result in state["all_results"].items()}  # fmt: skip
    harm(state)
    oracles_tables.write_archive(tmp_path / "archive", content)
    said = command("table", "pack", "nasbench201", tmp_path / "archive", "--partial", "--tables", tmp_path / "tables")
    assert message in said.err
    assert "archive, record 000001" in said.err
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert left(tmp_path / "tables") == []


def test_a_pth_without_records(tmp_path: Path) -> None:
    contents: list[Any] = [{"meta_archs": [], "arch2infos": {}}, {"meta_archs": [], "arch2infos": None}, [1], {}]
    for content in (*contents, b"", b"hello", b"PK\x03\x04", b"\x80\x04."):
        if isinstance(content, bytes):
            (tmp_path / "empty.pth").write_bytes(content)
        else:
            torch.save(content, tmp_path / "empty.pth")
        said = command("table", "pack", "nasbench201", tmp_path / "empty.pth", "--tables", tmp_path / "tables")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "empty.pth" in said.err
        assert "weights_only" not in said.err
        assert left(tmp_path / "tables") == []


@pytest.mark.slow
def test_a_part_of_an_archive_has_another_name_and_says_so_h4(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive")
    tables = ["--tables", tmp_path / "tables"]
    refused("it has 5 of 15,625 architectures", "table", "pack", "nasbench201", tmp_path / "archive", *tables)
    said = command("table", "pack", "nasbench201", tmp_path / "archive", "--partial", *tables)
    assert said.out.strip().endswith("nasbench201-partial.parquet")
    listed = command("table", "list", *tables).out
    assert "archive, 5 of 15,625 architectures" in listed
    assert "nasbench201                  shipped" in listed
    assert left(tmp_path / "tables") == ["nasbench201-partial.parquet"]


@pytest.mark.usefixtures("small_dumps")
def test_a_whole_dump_is_not_packed_as_a_part(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive")
    with pytest.raises(BadInput, match="is a whole dump of nasbench201: pack it without --partial"):
        packing.pack("nasbench201", tmp_path / "archive", tmp_path / "tables", progress=False, partial=True)
    packing.pack("nasbench201", tmp_path / "archive", tmp_path / "tables", progress=False)


@pytest.mark.usefixtures("small_dumps")
def test_a_folder_that_has_the_dump_h4(tmp_path: Path) -> None:
    """The archive beside its tar, in a folder of other things; a tfrecord in a folder."""
    folder = tmp_path / "downloads"
    archive = folder / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    write_archive(archive)
    (archive / ".DS_Store").write_bytes(b"")
    (archive / "more").mkdir()
    with tarfile.open(folder / f"{archive.name}.tar", "w") as tar:
        tar.add(archive, archive.name)
    assert packing.find("nasbench201", folder) == archive
    assert packing.find("nasbench201", archive) == archive
    said = command("table", "pack", "nasbench201", folder, "--tables", tmp_path / "tables")
    assert f"packing {archive}" in said.err
    assert open_table(tmp_path / "tables" / "nasbench201.parquet").source == archive.name
    shutil.rmtree(archive)
    assert packing.find("nasbench201", folder).suffix == ".tar"
    write_nasbench101(folder / "nasbench_full.tfrecord")
    write_nasbench101(folder / "nasbench_only108.tfrecord")
    assert packing.find("nasbench101", folder).name == "nasbench_only108.tfrecord"
    assert packing.find("nasbench101-full", folder).name == "nasbench_full.tfrecord"


def test_paths_that_cannot_be_packed(tmp_path: Path) -> None:
    tables = ["--tables", tmp_path / "tables"]
    refused("absent does not exist", "table", "pack", "nasbench101", tmp_path / "absent", *tables)
    refused("does not have one dump of nasbench101; it has none", "table", "pack", "nasbench101", tmp_path, *tables)
    refused("cannot be read: File name too long", "table", "pack", "nasbench101", tmp_path / ("n" * 300), *tables)
    refused("Not a directory", "table", "pack", "nasbench101", Path(__file__) / "x", *tables)
    for name in ("a.tfrecord", "b.tfrecord"):
        (tmp_path / name).write_bytes(record())
    refused("it has a.tfrecord, b.tfrecord: name one of them", "table", "pack", "nasbench101", tmp_path, *tables)
    os.mkfifo(tmp_path / "pipe.tfrecord")
    refused("is no regular file", "table", "pack", "nasbench101", tmp_path / "pipe.tfrecord", *tables)
    (tmp_path / "mine.csv").mkdir()
    importing = ("table", "import", tmp_path / "mine.csv", "--space", "nasbench201", *tables)
    refused("mine.csv is a folder, not a table file", *importing)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "study.json").write_text("{}")
    packing = ("table", "pack", "nasbench101", tmp_path / "a.tfrecord", "--partial", "--again")
    refused("holds the records of a run or study", *packing, "--tables", tmp_path / "records")
    assert not (tmp_path / "tables").exists()
    (tmp_path / "tables" / "nasbench101-partial.parquet").mkdir(parents=True)
    refused("is a folder; remove it", *packing, *tables)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(record())
    (tmp_path / "a.tfrecord").chmod(0)
    refused("cannot be read: Permission denied", "table", "pack", "nasbench101", tmp_path / "a.tfrecord")


@pytest.fixture
def served(tmp_path: Path, small_dumps: None) -> Iterator[Served]:
    """A server of a small NAS-Bench-101 that is whole."""
    write_nasbench101(tmp_path / "source.tfrecord")
    content = (tmp_path / "source.tfrecord").read_bytes()
    with serving(lambda answer: answer.send_rest(content)) as found:
        yield found


def dump_of(tmp_path: Path) -> bytes:
    return (tmp_path / "source.tfrecord").read_bytes()


HALF = record() * 2
ANSWERS: dict[str, tuple[Callable[[Answer], None], str]] = {
    "B6: HTTP 204": (lambda answer: answer.send(204, Content_Length=""), "the answer is 204 (No Content), not the fil"),
    "B6: an empty 200": (lambda answer: answer.send(200), "the answer is empty"),
    "B6: an empty 200 in chunks": (lambda answer: answer.send_chunks(), "the answer is empty"),
    "B6: chunks that break off": (lambda answer: answer.send_chunks(HALF, whole=False), "the download stopped after"),
    "B6: a body that ends early": (lambda answer: answer.send(200, HALF * 9, stop=len(HALF)), "the download stopped a"),
    "B6: a body of no length that ends early": (lambda answer: answer.send(200, HALF, Content_Length=""),
                                                "what arrived cannot be packed and is thrown away"),
    "C1: a web page": (lambda answer: answer.send(200, b"<html>", Content_Type="text/html; charset=utf-8"), "web page"),
    "C1: a web page that is called a file": (lambda answer: answer.send(200, b"<!DOCTYPE html>" * 9),
                                             "what arrived cannot be packed and is thrown away"),
    "C1: a 206 that nobody asked for": (lambda answer: answer.send(206, HALF, Content_Range="bytes 9-99/100"), "206"),
    "C1: HTTP 416": (lambda answer: answer.send(416), f"the answer is 416 ({HTTPStatus(416).phrase}), not the file"),
    "C1: HTTP 404": (lambda answer: answer.send(404), "the answer is 404 (Not Found), not the file"),
    "C1: redirects without end": (lambda answer: answer.send(302, Location=answer.path), "Exceeded 30 redirects"),
    "C1: a redirect to a file": (lambda answer: answer.send(302, Location="file:///etc/passwd"), "cannot fetch http://"),
    "E: gzip that is none": (lambda answer: answer.send(200, HALF, Content_Encoding="gzip"), "the download stopped af"),
    "E: gzip that breaks off": (lambda answer: answer.send(200, gzip.compress(HALF), stop=40, Content_Encoding="gzip"),
                                "the download stopped after"),
    "E: another compression": (lambda answer: answer.send(200, HALF, Content_Encoding="lzma"), "compressed as 'lzma'"),
    "F: larger than the bound": (lambda answer: answer.send(200, b"x", Content_Length=str(10**12)), "--max-gb sets"),
    "F: larger than the bound in chunks": (lambda answer: answer.send_chunks(*[b"x" * 65536] * 40), "--max-gb sets"),
    "D8: a length that is none": (lambda answer: answer.send(200, HALF, Content_Length="many"), "cannot fetch http://"),
}  # fmt: skip


@pytest.mark.parametrize(("say", "message"), ANSWERS.values(), ids=ANSWERS)
def test_a_bad_answer_is_refused_and_harms_no_later_one(
    say: Callable[[Answer], None], message: str, served: Served, tmp_path: Path
) -> None:
    good, served.say = served.say, say
    url = f"{served.url}/nasbench_only108.tfrecord"
    asked = ["table", "fetch", "nasbench101", "--url", url, "--tables", tmp_path / "tables", "--max-gb", "0.002"]
    refused(message, *asked)
    assert [path for path in left(tmp_path / "tables") if not path.endswith(download.PARTIAL)] == []
    served.say = good
    said = command(*asked)
    assert said.code == 0, said
    assert len(open_table(tmp_path / "tables" / "nasbench101.parquet").keys) == 4


def test_the_next_address_is_tried_after_one_whose_file_cannot_be_packed(served: Served, tmp_path: Path) -> None:
    good = served.say
    served.say = lambda answer: answer.send(200, HALF) if "bad" in answer.path else good(answer)
    urls = [f"{served.url}/bad.tfrecord", f"{served.url}/good.tfrecord"]
    path = fetching.fetch("nasbench101", urls, override=tmp_path / "tables", progress=False)
    assert len(open_table(path).keys) == 4
    bad = [f"{served.url}/bad.tfrecord", f"{served.url}/bad2.tfrecord"]
    with pytest.raises(BadInput, match=r"bad\.tfrecord: what arrived .*; .*bad2\.tfrecord: what arrived"):
        fetching.fetch("nasbench101", bad, override=tmp_path / "other", progress=False)
    assert left(tmp_path / "other") == []


def test_a_table_that_is_there_is_not_fetched_again(served: Served, tmp_path: Path) -> None:
    packing.DUMPS["nasbench101"] = packing.DUMPS["nasbench101"]._replace(urls=(f"{served.url}/x.tfrecord",))
    path = fetching.fetch("nasbench101", override=tmp_path / "tables", progress=False)
    assert fetching.fetch("nasbench101", override=tmp_path / "tables", progress=False) == path
    assert len(served.ranges) == 1
    write_nasbench101(tmp_path / "source.tfrecord", seed=9)
    other = dump_of(tmp_path)
    served.say = lambda answer: answer.send_rest(other)
    with pytest.raises(packing.Taken, match="nasbench101 is there already"):
        fetching.fetch("nasbench101", [f"{served.url}/y.tfrecord"], override=tmp_path / "tables", progress=False)
    before = open_table(path).sha256
    fetching.fetch("nasbench101", override=tmp_path / "tables", again=True, progress=False)
    assert open_table(path).sha256 != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--url", "http://[::1/x"], "an address is http(s)://HOST/FILE", id="D8: half an IPv6 address"),
        pytest.param(["--url", "nonsense"], "cannot fetch 'nonsense'", id="D8: no address"),
        pytest.param(["--url", "file:///etc/passwd"], "an address is http(s)://HOST/FILE", id="D8: a file"),
        pytest.param(["--url", "http:///x"], "an address is http(s)://HOST/FILE", id="D8: no host"),
        pytest.param(["--url", "http://h:99999/x"], "an address is http(s)://HOST/FILE", id="D8: no such port"),
        pytest.param(["--url", "http://.x/y"], "cannot fetch http://.x/y", id="D8: no such host"),
        pytest.param(["--url", "http://127.0.0.1:9/x"], "cannot fetch http://127.0.0.1:9/x", id="D8: nobody there"),
        pytest.param(["--checksum", "None"], "a checksum is ALGORITHM:HEX", id="E: a checksum that is none"),
        pytest.param(["--max-gb", "nan"], "takes float, not 'nan'", id="D8: a bound that is none"),
        pytest.param(["--max-gb", "0"], "takes gigabytes above 0, at most 1e6, not 0", id="D8: a bound of nothing"),
    ],
)
def test_flags_of_fetch_that_cannot_be(arguments: list[str], message: str, tmp_path: Path) -> None:
    refused(message, "table", "fetch", "nasbench101", *arguments, "--tables", tmp_path)


def test_a_dump_without_an_address(tmp_path: Path) -> None:
    refused("download it by hand from https://github", "table", "fetch", "nasbench201", "--tables", tmp_path)
    refused("unknown dump 'nasbench301'", "table", "fetch", "nasbench301", "--tables", tmp_path)


def test_a_download_that_the_disk_cannot_hold(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 1000))  # type: ignore[attr-defined]
    asked = ["table", "fetch", "nasbench101", "--url", f"{served.url}/x", "--tables", tmp_path / "tables"]
    refused("GB left", *asked)
    assert left(tmp_path / "tables") == []


def test_what_another_version_left_is_not_taken(served: Served, tmp_path: Path) -> None:
    """Earlier versions called a download by the last part of its address alone."""
    folder = cache.folder(tmp_path / "tables") / "downloads"
    folder.mkdir(parents=True)
    for name in ("nasbench_only108.tfrecord", "nasbench_only108.tfrecord.partial"):
        (folder / name).write_bytes(json.dumps("a web page").encode())
    url = f"{served.url}/nasbench_only108.tfrecord"
    fetching.fetch("nasbench101", [url], override=tmp_path / "tables", progress=False)
    assert served.ranges == [None]
