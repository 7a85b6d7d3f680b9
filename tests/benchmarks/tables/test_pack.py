"""Readers of the official dumps, against files that the official code reads; damaged and hostile files."""

from __future__ import annotations

import bz2
import itertools
import json
import os
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from nas_201_api import NASBench201API

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.tables import dumps_101, dumps_201, packing
from nas_stability.benchmarks.tables.open_file import Question, TimedTraining, open_table
from tests import oracles_tables
from tests.slow import slow_but
from tests.small import SHARED

BUDGETS = (4, 12, 36, 108)
NATS = SHARED / "data" / "NATS-tss-v1_0-3ffb9-simple"
ARCHS_201 = list(SPACES["nasbench201"].archs()[7::3500])


def write_nasbench101(path: Path, cells: int = 4, seed: int = 5) -> list[tuple[str, int, int, oracles_tables.Metrics]]:
    """A dump in the official format, its repeats interleaved; returns (hash, budget, repeat, metrics) in file order."""
    generator = numpy.random.default_rng(seed)
    chosen = list(itertools.islice(SPACES["nasbench1shot1-s1"].listed.items(), cells))[::-1]
    written, content = [], b""
    for repeat, epochs in itertools.product(range(3), BUDGETS):
        for number, (module_hash, (cell, _)) in enumerate(chosen):
            metrics = oracles_tables.random_metrics(generator, epochs, 1000 + number)
            message = oracles_tables.metrics_message(metrics, sparse=(number + repeat) % 2 == 0)
            payload = oracles_tables.record_payload(module_hash, epochs, cell.matrix, cell.operations, message)
            content += oracles_tables.frame(payload)
            written.append((module_hash, epochs, repeat, metrics))
    path.write_bytes(content)
    return written


def test_the_oracle_knows_the_published_checksum() -> None:
    assert oracles_tables.crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in every catalogue of CRCs


def test_nasbench101_every_value(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    written = write_nasbench101(dump)
    table = open_table(packing.pack("nasbench101", dump, tmp_path / "tables", progress=False, partial=True))
    assert len(written) == 48
    for module_hash, epochs, repeat, metrics in written:
        _, middle, end = metrics["evaluations"]
        for evaluation, halfway in ((middle, True), (end, False)):
            for split, name in zip(("train", "valid", "test"), oracles_tables.EVALUATION[2:], strict=True):
                found = table.score(module_hash, "cifar10", split, epochs, repeat, halfway=halfway)
                assert found == 100 * evaluation[name]
            seconds = table.seconds(module_hash, "cifar10", epochs, repeat, halfway=halfway)
            assert seconds == evaluation["training_time"]
        assert table.parameters(module_hash) == metrics["parameters"]
        assert table.seeds(module_hash, "cifar10", "test", epochs) == (0, 1, 2)
    assert len(table.columns) == len(BUDGETS) * 3 * 3 * 2
    assert sorted(set(table.keys.to_pylist())) == table.keys.to_pylist()


def test_nasbench101_fields_of_a_record(tmp_path: Path) -> None:
    dump = tmp_path / "nasbench_full.tfrecord"
    module_hash, epochs, _, metrics = write_nasbench101(dump, cells=1)[0]
    record = next(dumps_101.records(dump))
    cell = SPACES["nasbench1shot1-s1"].listed[module_hash][0]
    assert (record.module_hash, record.epochs) == (module_hash, epochs)
    assert record.adjacency == "".join(str(bit) for row in cell.matrix for bit in row)
    assert record.operations == ",".join(cell.operations)
    assert record.total_time == metrics["total_time"]
    assert [evaluation.epoch for evaluation in record.evaluations] == [0, epochs / 2, epochs]


def test_protobuf_decoded_as_google_decodes_it(tmp_path: Path) -> None:
    """The same bytes through Google's own decoder, with the message described at run time."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="model_metrics.proto", package="t", syntax="proto2")
    evaluation = file.message_type.add(name="EvaluationData")
    for number, name in enumerate(oracles_tables.EVALUATION, start=1):
        evaluation.field.add(name=name, number=number, type=1, label=1)
    evaluation.field.add(name="checkpoint_path", number=6, type=9, label=1)
    model = file.message_type.add(name="ModelMetrics")
    model.field.add(name="evaluation_data", number=1, type=11, label=3, type_name=".t.EvaluationData")
    model.field.add(name="trainable_parameters", number=2, type=5, label=1)
    model.field.add(name="total_time", number=3, type=1, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.ModelMetrics"))
    generator = numpy.random.default_rng(1)
    for repeat in range(20):
        metrics = oracles_tables.random_metrics(generator, 108, int(generator.integers(1, 2**31 - 1)))
        official = kind()
        for values in metrics["evaluations"]:
            official.evaluation_data.add(**values, **({"checkpoint_path": "p"} if repeat % 2 else {}))
        official.trainable_parameters = metrics["parameters"]
        official.total_time = metrics["total_time"]
        evaluations, parameters, total_time = dumps_101.decode_metrics(official.SerializeToString())
        theirs = kind.FromString(oracles_tables.metrics_message(metrics, sparse=repeat % 2 == 0))
        assert (parameters, total_time) == (theirs.trainable_parameters, theirs.total_time)
        for ours, other in zip(evaluations, theirs.evaluation_data, strict=True):
            assert tuple(ours) == tuple(getattr(other, name) for name in oracles_tables.EVALUATION)


def test_a_protobuf_field_that_is_there_twice_has_the_last_value() -> None:
    metrics = oracles_tables.random_metrics(numpy.random.default_rng(2), 108, 7)
    first = b"".join(
        oracles_tables.field(number, metrics["evaluations"][2][name])
        for number, name in enumerate(oracles_tables.EVALUATION, start=1)
    )
    assert dumps_101.decode_evaluation(first).test == metrics["evaluations"][2]["test_accuracy"]
    assert dumps_101.decode_evaluation(first + oracles_tables.field(5, 0.25)).test == 0.25


def test_every_flipped_byte_of_a_dump_is_noticed(tmp_path: Path) -> None:
    dump = tmp_path / "flipped.tfrecord"
    write_nasbench101(dump, cells=1)
    content = dump.read_bytes()
    for place in range(0, len(content), 37):
        dump.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CorruptFile, match=r"flipped\.tfrecord, record \d+: "):
            list(dumps_101.records(dump))


@pytest.mark.parametrize("kept", [-1, -40, 5, 30])
def test_a_cut_dump(kept: int, tmp_path: Path) -> None:
    dump = tmp_path / "cut.tfrecord"
    write_nasbench101(dump, cells=1)
    dump.write_bytes(dump.read_bytes()[:kept])
    with pytest.raises(CorruptFile, match=rf"cut\.tfrecord, record {11 if kept < 0 else 0}: the file ends within"):
        packing.pack("nasbench101", dump, tmp_path / "tables", progress=False)
    assert not [path for path in (tmp_path / "tables").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        b'["a", 4, "0", "input"]',
        json.dumps(["a" * 32, 4, "0", "input", "!!!"]).encode(),
        json.dumps(["a" * 32, 4, "0", "input", "AAAA"]).encode(),
        json.dumps(["a" * 32, 4, "0", "input", ""]).encode(),
        json.dumps([1, 4, "0", "input", "CgA="]).encode(),
    ],
)
def test_a_record_of_another_content(payload: bytes, tmp_path: Path) -> None:
    dump = tmp_path / "other.tfrecord"
    write_nasbench101(dump, cells=1)
    dump.write_bytes(dump.read_bytes() + oracles_tables.frame(payload))
    with pytest.raises(CorruptFile, match=r"other\.tfrecord, record 12: not a NAS-Bench-101 result"):
        list(dumps_101.records(dump))


def test_an_accuracy_outside_its_range_in_a_dump(tmp_path: Path) -> None:
    dump = tmp_path / "high.tfrecord"
    metrics = oracles_tables.random_metrics(numpy.random.default_rng(0), 4, 10)
    metrics["evaluations"][2]["test_accuracy"] = 1.5
    message = oracles_tables.metrics_message(metrics)
    dump.write_bytes(oracles_tables.frame(oracles_tables.record_payload("ab" * 16, 4, [[0]], ["input"], message)))
    with pytest.raises(CorruptFile, match=r"high\.tfrecord, record 0: .*the accuracy test 1\.5 is not in \[0, 1\]"):
        packing.pack("nasbench101", dump, tmp_path / "tables", progress=False)
    assert not list((tmp_path / "tables").glob("*.parquet*[!k]"))


def write_pth(path: Path) -> dict[str, Any]:
    """A dump as ``torch.save`` writes it; returns what is in it."""
    content = oracles_tables.nasbench201_file(ARCHS_201)
    torch.save(content, path)
    return content


def write_archive(path: Path) -> dict[str, Any]:
    content = oracles_tables.nasbench201_file(ARCHS_201)
    oracles_tables.write_archive(path, content)
    return content


def write_tar(path: Path) -> dict[str, Any]:
    folder = path.with_name("NATS-tss-v1_0-3ffb9-simple")
    content = write_archive(folder)
    with tarfile.open(path, "w") as tar:
        tar.add(folder, folder.name)
    return content


def official_pth(official: Any, index: int, dataset: str, epochs: int, seed: int | bool) -> dict[str, Any]:
    """What the official API answers."""
    info: dict[str, Any] = official.get_more_info(index, dataset, hp=str(epochs), is_random=seed)
    return info


OFFICIAL = {
    ("cifar10", "valid"): ("cifar10-valid", "valid-accuracy"),
    ("cifar10", "test"): ("cifar10", "test-accuracy"),
    ("cifar10", "train"): ("cifar10", "train-accuracy"),
    ("cifar10-valid", "train"): ("cifar10-valid", "train-accuracy"),
    ("cifar10-valid", "valid"): ("cifar10-valid", "valid-accuracy"),
    ("cifar10-valid", "test"): ("cifar10-valid", "test-accuracy"),
    **{
        (ours, split): (theirs, f"{name}-accuracy")
        for ours, theirs in (("cifar100", "cifar100"), ("imagenet16-120", "ImageNet16-120"))
        for split, name in (("train", "train"), ("valid", "valid"), ("test", "test"), ("valid+test", "valtest"))
    },
}
"""Our data set and split -> the official data set and key of ``get_more_info``."""


@pytest.mark.parametrize(
    ("name", "write"),
    [("NAS-Bench-201-v1_1-096897.pth", write_pth), ("archive", write_archive), ("archive.tar", write_tar)],
)
def test_nasbench201_every_value_as_the_official_code_answers(name: str, write: Any, tmp_path: Path) -> None:
    content = write(tmp_path / name)
    table = open_table(packing.pack("nasbench201", tmp_path / name, tmp_path / "tables", progress=False, partial=True))
    api = NASBench201API(content, verbose=False)
    asked = 0
    for question, column in table.columns.items():
        dataset, key = OFFICIAL[question.dataset, question.split]
        for row, arch in enumerate(table.keys.to_pylist()):
            index = content["meta_archs"].index(arch)
            states = content["arch2infos"][index]["less" if question.epochs == 12 else "full"]
            if question.seed not in states["dataset_seed"][dataset]:
                assert numpy.isnan(column()[row])
                continue
            official = official_pth(api, index, dataset, question.epochs, question.seed)
            assert column()[row] == official[key]
            asked += 1
    assert asked == (14 * 3 * 3 + 14 * 2 * 2) + (14 + 4) * 5
    for arch in ARCHS_201:
        index = content["meta_archs"].index(arch)
        official = official_pth(api, index, "cifar10", 200, 888)
        assert table.seconds(arch, "cifar10", 200, 888) == pytest.approx(official["train-all-time"], rel=1e-12)
        size = content["arch2infos"][index]["full"]["all_results"]["cifar100", 777]["params"]
        assert table.parameters(arch, "cifar100") == round(size * 1e6)
        assert table.score(arch, "cifar10", "test", 200) == pytest.approx(
            official_pth(api, index, "cifar10", 200, False)["test-accuracy"], rel=1e-12
        )


@pytest.mark.skipif(not NATS.exists(), reason="the real records are not beside this checkout")
def test_the_two_real_records(tmp_path: Path) -> None:
    table = open_table(packing.pack("nasbench201", NATS, tmp_path, progress=False, partial=True))
    assert (table.name, len(table.keys)) == ("nasbench201-partial", 2)
    with bz2.open(NATS / "meta.pickle.pbz2") as file:
        listed = dumps_201.ResultUnpickler(file).load()["meta_archs"]
    asked = [
        ("cifar10-valid", "valid"), ("cifar10-valid", "test"), ("cifar10", "test"), ("cifar100", "valid"),
        ("cifar100", "test"), ("imagenet16-120", "valid"), ("imagenet16-120", "test"),
    ]  # fmt: skip
    official = {
        0: (81.9827, 81.52, 85.8633, 52.7, 52.9133, 28.2111, 26.6333),
        11: (87.94, 87.65, 91.5833, 67.4533, 67.6067, 30.4111, 30.1667),
    }
    for index, values in official.items():
        for (dataset, split), value in zip(asked, values, strict=True):
            assert round(table.score(listed[index], dataset, split, 200), 4) == value
    assert [table.score(listed[index], "cifar10", "test", 12) for index in (0, 11)] == [69.55, 74.0]
    assert table.score(listed[0], "cifar10", "valid", 200) == table.score(listed[0], "cifar10-valid", "valid", 200)
    assert table.seeds(listed[0], "cifar10", "test", 200) == (777, 888, 999)
    assert Question("cifar10", "valid", 200, 777) in table.columns
    assert TimedTraining("cifar10", 12, 111) in table.times


class Hostile:
    """Unpickled by an unrestricted loader, it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["archive", "pth"])
def test_a_pickle_with_an_unexpected_global_is_refused_and_not_run(form: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = oracles_tables.nasbench201_file(ARCHS_201)
    content["arch2infos"][1]["full"]["arch_index"] = Hostile(mark)
    file = tmp_path / ("archive" if form == "archive" else "dump.pth")
    if form == "archive":
        oracles_tables.write_archive(file, content)
    else:
        torch.save(content, file)
    match = (
        r"archive, record 000001: .*posix\.mkdir is not expected" if form == "archive" else r"dump\.pth.*posix\.mkdir"
    )
    with pytest.raises(CorruptFile, match=match) as caught:
        packing.pack("nasbench201", file, tmp_path / "tables", progress=False)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert not list((tmp_path / "tables").glob("*.parquet"))


def test_a_numpy_dtype_of_objects_is_refused(tmp_path: Path) -> None:
    record = pickle.dumps(numpy.array([1.0]).astype(object)[:0].dtype)
    with pytest.raises(CorruptFile, match=r"record 7: .*'O8' is not expected"):
        dumps_201.unpickle(tmp_path, "7", bz2.compress(record))


@pytest.mark.parametrize(
    "harm", slow_but(["cut", "flip", "text", "other", "pickle", "number", "lacking"], "flip", "lacking")
)
def test_a_damaged_record_of_the_archive(harm: str, tmp_path: Path) -> None:
    content = write_archive(tmp_path / "archive")
    record = tmp_path / "archive" / "000002.pickle.pbz2"
    raw = record.read_bytes()
    state = OrderedDict([("200", {**content["arch2infos"][2]["full"]})])
    del state["200"]["dataset_seed"]
    record.write_bytes(
        {
            "cut": raw[: len(raw) // 2],
            "flip": raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
            "text": b"hello",
            "other": (tmp_path / "archive" / "000001.pickle.pbz2").read_bytes(),
            "pickle": bz2.compress(b"hello"),
            "number": bz2.compress(pickle.dumps(3)),
            "lacking": bz2.compress(pickle.dumps(state)),
        }[harm]
    )
    with pytest.raises(CorruptFile, match=r"archive.*record.* (000002|000001)?") as caught:
        packing.pack("nasbench201", tmp_path / "archive", tmp_path / "tables", progress=False)
    assert "\n" not in str(caught.value)
    assert harm == "other" or "000002" in str(caught.value)
    assert not list((tmp_path / "tables").glob("*.parquet"))


def test_two_records_of_the_archive_swapped(tmp_path: Path) -> None:
    write_archive(tmp_path / "archive")
    first, second = (tmp_path / "archive" / f"00000{index}.pickle.pbz2" for index in (1, 2))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"record 000001: its architecture .* is not the one that meta lists"):
        packing.pack("nasbench201", tmp_path / "archive", tmp_path / "tables", progress=False)
    assert not list((tmp_path / "tables").glob("*.parquet"))


@pytest.mark.parametrize("harm", ["cut", "text", "keys", "order"])
def test_a_damaged_pth(harm: str, tmp_path: Path) -> None:
    file = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    content = write_pth(file)
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-2000])
    elif harm == "text":
        file.write_text("hello")
    elif harm == "keys":
        torch.save({"meta_archs": []}, file)
    else:
        torch.save({**content, "meta_archs": content["meta_archs"][::-1]}, file)
    with pytest.raises(CorruptFile, match=r"096897\.pth") as caught:
        packing.pack("nasbench201", file, tmp_path / "tables", progress=False)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown dump 'nasbench102'; did you mean 'nasbench101'"):
        packing.pack("nasbench102", tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        packing.pack("nasbench101", tmp_path / "absent")
    with pytest.raises(BadInput, match="does not have one dump of nasbench201; it has none"):
        packing.pack("nasbench201", tmp_path, tmp_path / "tables", progress=False)
    (tmp_path / "file.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"neither a \.pth file nor"):
        packing.pack("nasbench201", tmp_path / "file.txt", tmp_path / "tables", progress=False)
    (tmp_path / "empty.tar").write_bytes(b"hello")
    with pytest.raises(CorruptFile, match=r"empty\.tar.*the tar cannot be read"):
        packing.pack("nasbench201", tmp_path / "empty.tar", tmp_path / "tables", progress=False)


@pytest.fixture
def small_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dumps that are whole with what the writers here write."""
    monkeypatch.setitem(packing.DUMPS, "nasbench101", packing.DUMPS["nasbench101"]._replace(archs=4))
    monkeypatch.setitem(packing.DUMPS, "nasbench101-full", packing.DUMPS["nasbench101-full"]._replace(archs=4))
    monkeypatch.setitem(packing.DUMPS, "nasbench201", packing.DUMPS["nasbench201"]._replace(archs=len(ARCHS_201)))


@pytest.mark.usefixtures("small_dumps")
def test_a_second_pack_of_the_same_file_keeps_and_of_another_refuses(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"
    write_nasbench101(first, seed=5)
    write_nasbench101(second, seed=6)
    path = packing.pack("nasbench101", first, tmp_path / "tables", progress=False)
    stamp = path.stat().st_mtime_ns
    assert packing.pack("nasbench101", first, tmp_path / "tables", progress=False).stat().st_mtime_ns == stamp
    with pytest.raises(packing.Taken, match=r"nasbench101 is there already, from a\.tfrecord; --again replaces it"):
        packing.pack("nasbench101", second, tmp_path / "tables", progress=False)
    packing.pack("nasbench101", second, tmp_path / "tables", again=True, progress=False)
    assert open_table(path).source == "b.tfrecord"
