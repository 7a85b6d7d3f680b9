"""Writers of the official dump formats and readers of them by another route; nothing here imports the package.

NAS-Bench-101: frames with a bit-by-bit CRC32C, ModelMetrics written by protobuf's rules field by field. NAS-Bench-201:
nas_201_api's own classes, pickled as its authors did.
"""

from __future__ import annotations

import base64
import bz2
import json
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
from nas_201_api.api_utils import ArchResults, ResultsCount

Metrics = dict[str, Any]
"""evaluations: three dictionaries of five doubles; parameters; total_time."""


def crc32c(content: bytes) -> int:
    """CRC32C (Castagnoli), one bit at a time: reflected polynomial 0x82F63B78."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    """TensorFlow's masked checksum: rotated right by 15 bits, plus a constant; little-endian."""
    crc = crc32c(content)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def frame(content: bytes) -> bytes:
    """One TFRecord frame."""
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def varint(value: int) -> bytes:
    """A protobuf integer of variable length."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: float | int | bytes) -> bytes:
    """A protobuf field: double, int32 or length-delimited by the type of the value."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, int):
        return varint(number << 3 | 0) + varint(value)
    return varint(number << 3 | 1) + struct.pack("<d", value)


EVALUATION = ("current_epoch", "training_time", "train_accuracy", "validation_accuracy", "test_accuracy")


def metrics_message(metrics: Metrics, sparse: bool = False) -> bytes:
    """ModelMetrics; ``sparse`` leaves zeros out, as a proto3 writer does, and adds the checkpoint path."""
    message = b""
    for evaluation in metrics["evaluations"]:
        content = b"".join(
            field(number, float(evaluation[name]))
            for number, name in enumerate(EVALUATION, start=1)
            if evaluation[name] or not sparse
        )
        message += field(1, content + field(6, b"gs://somewhere/model.ckpt"))
    return message + field(2, metrics["parameters"]) + field(3, float(metrics["total_time"]))


def record_payload(module_hash: str, epochs: int, matrix: Any, operations: Any, metrics: bytes) -> bytes:
    """The JSON of one record."""
    bits = "".join(str(int(entry)) for row in matrix for entry in row)
    return json.dumps([module_hash, epochs, bits, ",".join(operations), base64.b64encode(metrics).decode()]).encode()


def random_metrics(generator: numpy.random.Generator, epochs: int, parameters: int) -> Metrics:
    """Accuracies as NAS-Bench-101 has them, counts of 9,984 images in single precision."""
    evaluations = []
    for epoch in (0.0, epochs / 2, float(epochs)):
        accuracies = [float(numpy.float32(count / 9984)) for count in generator.integers(900, 9500, 3)]
        seconds = 0.0 if epoch == 0 else float(generator.uniform(10, 4000))
        evaluations.append(dict(zip(EVALUATION, (epoch, seconds, *accuracies), strict=True)))
    return {
        "evaluations": evaluations,
        "parameters": parameters,
        "total_time": float(generator.uniform(100, 9000)),
    }


def arch_results(
    generator: numpy.random.Generator, index: int, arch: str, epochs: int, seeds: list[int]
) -> ArchResults:
    """Random results of one architecture at one budget, made with nas_201_api's classes."""
    found = ArchResults(index, arch)
    sets = {
        "cifar10-valid": ("x-valid", "ori-test"),
        "cifar10": ("ori-test",),
        "cifar100": ("x-valid", "x-test", "ori-test"),
        "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
    }
    for place, (dataset, names) in enumerate(sets.items()):
        for seed in seeds if dataset == "cifar10-valid" or epochs > 12 else seeds[:1]:
            train = {epoch: float(value) for epoch, value in enumerate(generator.uniform(0, 100, epochs))}
            config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
            size = numpy.float64(0.1 + index / 100 + place / 1000)
            result = ResultsCount(dataset, None, train, train, size, 15.6, config, seed, epochs, [numpy.float64(0.01)])
            times = OrderedDict((epoch, 10.5 + seed / 1000) for epoch in range(epochs))
            result.update_train_info(train, None, train, times)
            keys = [f"{name}@{epoch}" for name in names for epoch in range(epochs)]
            values = dict(zip(keys, map(float, generator.uniform(0, 100, len(keys))), strict=True))
            result.update_eval(values, values, dict.fromkeys(keys, 0.5))
            found.update(dataset, seed, result)
    return found


def nasbench201_file(archs: list[str], seed: int = 0) -> dict[str, Any]:
    """What ``torch.save`` wrote to the official file, for a few architectures with random results."""
    generator = numpy.random.default_rng(seed)
    infos = {
        index: {
            "less": arch_results(generator, index, arch, 12, [111, 777]).state_dict(),
            "full": arch_results(generator, index, arch, 200, [777, 888, 999][: 3 - index % 2]).state_dict(),
        }
        for index, arch in enumerate(archs)
    }
    return {
        "meta_archs": list(archs),
        "total_archs": len(archs),
        "arch2infos": infos,
        "evaluated_indexes": set(infos),
    }


def write_archive(folder: Path, content: dict[str, Any]) -> None:
    """The same results as a NATS-Bench topology archive: one bz2 pickle per architecture and the meta file."""
    folder.mkdir()
    for index, info in content["arch2infos"].items():
        record = OrderedDict([("12", info["less"]), ("200", info["full"])])
        write_pickle(folder / f"{index:06d}.pickle.pbz2", record)
    meta = {
        "meta_archs": content["meta_archs"],
        "total_archs": content["total_archs"],
        "arch2infos": None,
        "evaluated_indexes": set(),
    }
    write_pickle(folder / "meta.pickle.pbz2", meta)


def write_pickle(path: Path, content: Any) -> None:
    """A bz2-compressed pickle."""
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
