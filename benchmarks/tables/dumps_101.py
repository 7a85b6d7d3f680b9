"""NAS-Bench-101's dumps without TensorFlow: TFRecord framing, JSON, base64, protobuf; a stream, never all in memory.

A file is a sequence of frames: length (8 bytes), masked CRC32C of the length (4), payload, masked CRC32C of the payload
(4), all little-endian. A payload is a JSON array [module hash, epochs, adjacency bits, operations, ModelMetrics in
base64]. ModelMetrics has the fields 1 evaluation_data (message, repeated: at the start, halfway and at the end),
2 trainable_parameters (int32), 3 total_time (double); an evaluation the doubles 1 current_epoch, 2 training_time,
3 train_accuracy, 4 validation_accuracy, 5 test_accuracy and the string 6 checkpoint_path.

Source: google-research/nasbench, api.py and lib/model_metrics.proto; TensorFlow's description of TFRecord.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy

from nas_stability.benchmarks.errors import CorruptFile, shown
from nas_stability.benchmarks.tables.packed_file import Contents
from nas_stability.benchmarks.tables.table import Floats, Question, TimedTraining

DOUBLES = struct.Struct("<BdBdBdBdBd")
TAGS = (0x09, 0x11, 0x19, 0x21, 0x29)
"""Tags of an evaluation's five doubles; a writer that writes all five in order writes exactly this."""

VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5
"""Wire types of protobuf."""


class Evaluation(NamedTuple):
    """A network at one moment of its training.

    Attributes:
        epoch: epochs that it was trained for.
        seconds: training time until then.
        train: accuracy in [0, 1] on the training images.
        valid: on the validation images.
        test: on the test images.
    """

    epoch: float
    seconds: float
    train: float
    valid: float
    test: float


class Record(NamedTuple):
    """One training of one cell.

    Attributes:
        module_hash: key of the cell, 32 hexadecimal digits.
        epochs: training budget.
        adjacency: n * n bits of the matrix as text, row by row.
        operations: names of the n vertices, joined by commas.
        evaluations: at the start, halfway and at the end.
        parameters: weights of the network.
        total_time: of training and evaluations, in seconds.
    """

    module_hash: str
    epochs: int
    adjacency: str
    operations: str
    evaluations: tuple[Evaluation, ...]
    parameters: int
    total_time: float


BUDGETS = (4, 12, 36, 108)
"""Training budgets in epochs."""

REPEATS = 3
"""Trainings of a cell at every budget."""

SPLITS = ("train", "valid", "test")
"""Splits in the order of an evaluation's fields."""


def contents(path: Path, found: Iterable[Record]) -> Contents:
    """A table's contents from the records of a dump; seeds number the repeats of a cell and budget in file order.

    Raises:
        CorruptFile: naming the file and the record: a cell has two sizes, or more trainings than it can have; or what
            ``records`` raises.
    """
    rows: dict[str, int] = {}
    repeats: Counter[tuple[int, int]] = Counter()
    parameters: list[int] = []
    blocks: dict[tuple[int, int], Floats] = {}
    for index, record in enumerate(found):
        row = rows.setdefault(record.module_hash, len(rows))
        if row == len(parameters):
            parameters.append(record.parameters)
        elif parameters[row] != record.parameters:
            raise CorruptFile(
                f"{path}, record {index}: {record.module_hash} has {record.parameters} parameters, "
                f"{parameters[row]} in an earlier record"
            )
        run = record.epochs, repeats[row, record.epochs]
        if run[1] == REPEATS:
            raise CorruptFile(
                f"{path}, record {index}: {record.module_hash} was trained {REPEATS} times for {record.epochs} epochs "
                "already, as every cell is"
            )
        repeats[row, record.epochs] += 1
        _, middle, end = record.evaluations
        block = roomy(blocks.get(run), row)
        block[row] = (*middle[1:], *end[1:])
        blocks[run] = block
    keys = sorted(rows)
    order = numpy.array([rows[key] for key in keys], dtype=numpy.int64)
    accuracies: dict[Question, Floats] = {}
    seconds: dict[TimedTraining, Floats] = {}
    for (epochs, seed), block in sorted(blocks.items()):
        sorted_block = roomy(block, len(rows) - 1)[order]
        for first, halfway in ((0, True), (4, False)):
            seconds[TimedTraining("cifar10", epochs, seed, halfway)] = sorted_block[:, first].copy()
            for column, split in enumerate(SPLITS, start=first + 1):
                accuracies[Question("cifar10", split, epochs, seed, halfway)] = 100 * sorted_block[:, column]
        del blocks[epochs, seed]  # a full dump has twelve of 33 MB
    return Contents(keys, accuracies, seconds, {"": numpy.array(parameters, dtype=numpy.float64)[order]})


def roomy(block: Floats | None, row: int) -> Floats:
    """The block (rows, 8), enlarged with NaN where it has no such row yet."""
    if block is not None and row < len(block):
        return block
    larger = numpy.full((max(1024, 2 * row), 2 * (1 + len(SPLITS))), numpy.nan)
    if block is not None:
        larger[: len(block)] = block
    return larger


def records(path: Path) -> Iterator[Record]:
    """The records of a dump in file order.

    Raises:
        CorruptFile: naming the file and the record (from 0): a checksum does not hold, the file ends within a record,
            or a payload is not what it should be.
    """
    for index, payload in enumerate(frames(path)):
        try:
            module_hash, epochs, adjacency, operations, encoded = json.loads(payload)
            metrics = decode_metrics(binascii.a2b_base64(encoded, strict_mode=True))
            found = Record(module_hash, epochs, adjacency, operations, *metrics)
            check(found)
        except (ValueError, TypeError, IndexError, RecursionError, struct.error) as error:  # of JSON, base64, protobuf
            raise CorruptFile(f"{path}, record {index}: not a NAS-Bench-101 result: {error}") from error
        yield found


def check(record: Record) -> None:
    """Passes a record whose values can be.

    Raises:
        ValueError, TypeError: naming what cannot.
    """
    if not re.fullmatch("[0-9a-f]{32}", record.module_hash):
        raise ValueError(f"the module hash {shown(record.module_hash)} is not 32 hexadecimal digits")
    if type(record.epochs) is not int or record.epochs not in BUDGETS:
        raise ValueError(f"{shown(record.epochs)} is none of the budgets {', '.join(map(str, BUDGETS))}")
    if not (isinstance(record.adjacency, str) and isinstance(record.operations, str)):
        raise TypeError("the cell is no text")
    if len(record.evaluations) != 3:
        raise ValueError(f"{len(record.evaluations)} evaluations instead of three")
    for evaluation in record.evaluations:
        for name, value in zip(evaluation._fields[2:], evaluation[2:], strict=True):
            if not 0 <= value <= 1:
                raise ValueError(f"the accuracy {name} {value} is not in [0, 1]")
        if not 0 <= evaluation.seconds < math.inf:
            raise ValueError(f"the training time {evaluation.seconds} is not in [0, inf) seconds")
    if not 0 < record.parameters < 1 << 31:
        raise ValueError(f"the parameter count {record.parameters} is not in [1, 2^31)")


def frames(path: Path) -> Iterator[bytes]:
    """The payloads of a TFRecord file, both checksums of each checked.

    Raises:
        CorruptFile: naming the file and the record.
    """
    from crc32c import crc32c

    def masked(content: bytes) -> int:
        found: int = crc32c(content)
        return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF

    size = path.stat().st_size
    header = struct.Struct("<QI")
    index = 0
    with path.open("rb", buffering=1 << 20) as file:
        while head := file.read(header.size):
            if len(head) < header.size:
                raise CorruptFile(f"{path}, record {index}: the file ends within the record")
            length, check = header.unpack(head)
            if masked(head[:8]) != check:
                raise CorruptFile(f"{path}, record {index}: the checksum of its length does not hold")
            payload = file.read(min(length, size) + 4)
            if len(payload) < length + 4:
                raise CorruptFile(f"{path}, record {index}: the file ends within the record")
            content = payload[:length]
            if masked(content) != int.from_bytes(payload[length:], "little"):
                raise CorruptFile(f"{path}, record {index}: the checksum of its content does not hold")
            yield content
            index += 1


def decode_metrics(message: bytes) -> tuple[tuple[Evaluation, ...], int, float]:
    """A ModelMetrics message -> evaluations, trainable parameters, total time in seconds.

    Raises:
        ValueError, IndexError or struct.error: it is not one.
    """
    evaluations: list[Evaluation] = []
    parameters, total_time = 0, 0.0
    at = 0
    while at < len(message):
        number, kind, value, at = read_field(message, at)
        if number == 1 and kind == BYTES:
            evaluations.append(decode_evaluation(message[value:at]))
        elif number == 2 and kind == VARINT:
            parameters = value
        elif number == 3 and kind == DOUBLE:
            total_time = struct.unpack_from("<d", message, value)[0]
    return tuple(evaluations), parameters, total_time


def decode_evaluation(message: bytes) -> Evaluation:
    """An EvaluationData message; a double that is not written is 0, as protobuf has it."""
    if len(message) >= DOUBLES.size:
        values = DOUBLES.unpack_from(message)
        if values[::2] == TAGS and (len(message) == DOUBLES.size or message[DOUBLES.size] == 0x32):
            return Evaluation._make(values[1::2])
    found = [0.0] * 5
    at = 0
    while at < len(message):
        number, kind, value, at = read_field(message, at)
        if kind == DOUBLE and 1 <= number <= 5:
            found[number - 1] = struct.unpack_from("<d", message, value)[0]
    return Evaluation._make(found)


def read_field(message: bytes, at: int) -> tuple[int, int, int, int]:
    """The protobuf field at a place.

    Returns:
        Number, wire type, its value (of a varint) or the place of its content, and the place of the next field.

    Raises:
        ValueError: the message ends within it, or its wire type is unknown.
        IndexError: the message ends within it.
    """
    tag, at = read_varint(message, at)
    number, kind = tag >> 3, tag & 7
    if kind == VARINT:
        value, after = read_varint(message, at)
        return number, kind, value, after
    if kind == BYTES:
        length, at = read_varint(message, at)
    elif kind in (DOUBLE, FLOAT):
        length = 8 if kind == DOUBLE else 4
    else:
        raise ValueError(f"wire type {kind} is unknown")
    if at + length > len(message):
        raise ValueError("the message ends within a field")
    return number, kind, at, at + length


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A protobuf integer of variable length at a place, and the place after it.

    Raises:
        ValueError: it is longer than 64 bits.
        IndexError: the message ends within it.
    """
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("an integer longer than 64 bits")
