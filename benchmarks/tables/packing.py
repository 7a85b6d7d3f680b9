"""Official dumps -> packed tables."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy

from nas_stability.benchmarks import files, paths
from nas_stability.benchmarks.errors import BadInput, CorruptFile, choose
from nas_stability.benchmarks.tables import cache, dumps_101, dumps_201, packed_file
from nas_stability.benchmarks.tables.open_file import Contents, Source, open_table

Item = TypeVar("Item")

PARTIAL = "-partial"
"""Ending of the name of a table that is packed from a part of a dump: it hides no whole one."""


class Dump(NamedTuple):
    """An official dump that can be packed.

    Attributes:
        read: file and whether to show progress -> contents.
        found: a path -> whether it can be the dump, by its name alone.
        urls: addresses of the file itself.
        page: where it is found by hand.
        known: its checksum, where its authors publish one.
        megabytes: of the download, None where it is not known.
        license: of the data.
        archs: number of its architectures.
        budgets: training budgets in epochs that it answers for.
        repeats: training runs of every architecture at every budget, None where they differ.
    """

    read: Callable[[Path, bool], Contents]
    found: Callable[[Path], bool]
    urls: tuple[str, ...]
    page: str
    known: str | None
    megabytes: int | None
    license: str
    archs: int
    budgets: tuple[int, ...]
    repeats: int | None

    @property
    def most(self) -> int:
        """Bytes that a download may have unless another bound is given: twice what is known of it, or 20 GB."""
        return 2 * 10**6 * self.megabytes if self.megabytes else 20 * 10**9


class NotWhole(CorruptFile):
    """A dump that lacks records; packed as a part it is a table of another name."""


class Taken(BadInput):
    """There is a table of the name already, from another file."""


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
    return dumps_101.contents(path, watched(dumps_101.records(path), progress))


def read_nasbench201(path: Path, progress: bool) -> Contents:
    """The ``.pth`` file, or the NATS-Bench topology archive as a folder or tar.

    Raises:
        BadInput: another kind of file.
        CorruptFile: naming the file and the record.
    """
    if path.suffix == ".pth":
        return dumps_201.pth(path)
    if path.is_dir() or ".tar" in path.suffixes or tarfile.is_tarfile(path):
        return dumps_201.contents(path, watched(dumps_201.archive_records(path), progress))
    raise BadInput(f"{path} is neither a .pth file nor a NATS-Bench archive (a folder or a .tar)")


def can_be_nasbench101(path: Path) -> bool:
    """Whether a path is called as a dump of NAS-Bench-101."""
    return path.suffix == ".tfrecord" and path.is_file()


def can_be_nasbench201(path: Path) -> bool:
    """Whether a path is called as the ``.pth`` file or a tar of the archive, or is a folder of its records."""
    if path.is_dir():
        return dumps_201.is_archive(path)
    return path.suffix == ".pth" or ".tar" in path.suffixes


NASBENCH = "https://storage.googleapis.com/nasbench"
DUMPS: dict[str, Dump] = {
    "nasbench101": Dump(
        read=read_nasbench101,
        found=can_be_nasbench101,
        urls=(f"{NASBENCH}/nasbench_only108.tfrecord",),
        page="https://github.com/google-research/nasbench",
        known=None,
        megabytes=499,
        license="Apache-2.0",
        archs=423_624,
        budgets=(108,),
        repeats=3,
    ),
    "nasbench101-full": Dump(
        read=read_nasbench101,
        found=can_be_nasbench101,
        urls=(f"{NASBENCH}/nasbench_full.tfrecord",),
        page="https://github.com/google-research/nasbench",
        known=None,
        megabytes=2086,
        license="Apache-2.0",
        archs=423_624,
        budgets=dumps_101.BUDGETS,
        repeats=3,
    ),
    "nasbench201": Dump(
        read=read_nasbench201,
        found=can_be_nasbench201,
        urls=(),
        page="https://github.com/D-X-Y/NATS-Bench (NATS-tss-v1_0-3ffb9-simple.tar)",
        known=None,
        megabytes=None,
        license="MIT",
        archs=15_625,
        budgets=dumps_201.BUDGETS,
        repeats=None,
    ),
}
"""Official dumps by the name of the table. NAS-Bench-101's authors publish no checksum, but every record has two."""


def dump(name: str) -> Dump:
    """The dump of a name.

    Raises:
        BadInput: unknown.
    """
    return choose("dump", name, DUMPS)


def find(name: str, path: Path) -> Path:
    """The dump that a path names: the file, the archive's folder, or the one dump in a folder.

    A tar beside the folder that it was unpacked to is the same archive; the folder is taken.

    Raises:
        BadInput: it is not there or cannot be read, or has no dump of this name, or several.
    """
    official = dump(name)
    with paths.readable(path):
        path.stat()
        if not path.is_dir():
            return paths.check_file(path, f"dump of {name}")
        if official.found(path):
            return path
        found = [child for child in sorted(path.iterdir()) if official.found(child)]
    folders = [child.name for child in found if child.is_dir()]
    found = [child for child in found if child.is_dir() or not child.name.startswith(tuple(folders))]
    expected = [child for child in found if any(url.endswith(f"/{child.name}") for url in official.urls)]
    if len(found) != 1 and len(expected) != 1:
        several = f"it has {', '.join(child.name for child in found[:5])}: name one of them" if found else "it has none"
        raise BadInput(f"the folder {path} does not have one dump of {name}; {several} ({official.page})")
    return (expected or found)[0]


def pack(
    name: str,
    file: Path,
    override: Path | None = None,
    again: bool = False,
    progress: bool = True,
    partial: bool = False,
) -> Path:
    """Packs an official dump into the folder of tables; concurrent processes do it once.

    Args:
        name: of the dump, which the table is then called by.
        file: the dump, or a folder that has it.
        override: another folder of tables.
        again: replace a table of this name that is from another file.
        progress: whether to show a bar on standard error.
        partial: take a dump that is not whole; the table is then called ``NAME-partial``, and its source says of how
            many architectures it is.

    Returns:
        The packed file.

    Raises:
        BadInput: unknown name; no such file; the dump is whole and ``partial`` is asked for.
        NotWhole: it is not whole.
        Taken: there is a table of this name from another file.
        CorruptFile: naming the file and the record.
    """
    official = dump(name)
    file = find(name, file)
    with paths.readable(file):
        source = Source(name + PARTIAL * partial, file.name, "", content_sha256(file), official.license)

    def read() -> tuple[Source, Contents]:
        with paths.readable(file):
            found = official.read(file, progress)
        if not len(found.archs):
            raise CorruptFile(f"{file} has no records")
        lacking = lacks(found, official)
        if not lacking and partial:
            raise BadInput(f"{file} is a whole dump of {name}: pack it without --partial")
        if lacking and not partial:
            raise NotWhole(f"{file} is not a whole dump of {name}: {lacking}")
        told = (
            f"{source.source}, {len(found.archs):,} of {official.archs:,} architectures" if partial else source.source
        )
        return source._replace(source=told), found

    return keep(source, read, override, again)


def lacks(found: Contents, official: Dump) -> str:
    """What the contents of a dump lack of the whole one, in words; empty where nothing is known to be missing."""
    if len(found.archs) != official.archs:
        return f"it has {len(found.archs):,} of {official.archs:,} architectures"
    there = {question.epochs for question in found.accuracies}
    if missing := sorted(set(official.budgets) - there):
        return f"it has no budget of {missing[0]} epochs"
    if official.repeats is not None:
        for question, column in found.accuracies.items():
            empty = numpy.flatnonzero(numpy.isnan(column))
            if len(empty):
                return f"{found.archs[empty[0]]} lacks training run {question.seed} of {question.epochs} epochs"
        seeds = len({question.seed for question in found.accuracies})
        if seeds != official.repeats:
            return f"it has {seeds} training runs of each architecture, not {official.repeats}"
    return ""


def keep(
    source: Source, read: Callable[[], tuple[Source, Contents]], override: Path | None = None, again: bool = False
) -> Path:
    """Writes a table to the folder of tables unless the same one is there.

    Args:
        source: of the table, by which the same one is known.
        read: gives the source as it is recorded, and what is written.
        override: another folder of tables.
        again: replace a table of this name that is from another file.

    Raises:
        Taken: there is one of this name from another file.
    """
    path = cache.table_path(source.name, override)

    def make(part: Path) -> None:
        packed_file.save(part, packed_file.packed(*read()))

    if cache.once(path, make, again):
        return path
    try:
        there = open_table(path)
    except BadInput as error:
        raise Taken(f"the table {source.name} is there already and unusable; --again replaces it ({error})") from error
    if there.sha256 != source.sha256:
        raise Taken(f"the table {source.name} is there already, from {there.source}; --again replaces it")
    return path


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's records in the order of their names, in hexadecimal."""
    if path.is_file():
        return files.sha256(path)
    digest = hashlib.sha256()
    for file in dumps_201.record_files(path):
        digest.update(f"{file.name} {files.sha256(file)}\n".encode())
    return digest.hexdigest()
