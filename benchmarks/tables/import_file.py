"""Tidy files of one's own -> packed tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from nas_stability.benchmarks import files, paths
from nas_stability.benchmarks.catalog import TABLES
from nas_stability.benchmarks.errors import BadInput, shown
from nas_stability.benchmarks.names import check_table_name
from nas_stability.benchmarks.spaces.space import Arch, Space
from nas_stability.benchmarks.tables import cache, packing, tidy_file
from nas_stability.benchmarks.tables.open_file import Contents, Source, Table, open_table


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
            there is a table of this name from another file, or the name cannot be asked for or is another table's.
        CorruptFile: it cannot be read.
    """
    paths.check_file(file, "table file")
    name = check_free(file.stem if name is None else name, override)
    table = open_any(file, space.read)
    refuse_strangers(file, table.keys.to_pylist(), space)
    found = Contents(
        table.keys.to_pylist(),
        {question: column() for question, column in table.columns.items()},
        {run: column() for run, column in table.times.items()},
        {dataset: column() for dataset, column in table.sizes.items()},
    )
    tidy_file.refuse_shares(table.columns, str(file))
    source = Source(name, file.name, "", files.sha256(file), "as imported")
    return packing.keep(source, lambda: (source, found), override, again)


def check_free(name: str, override: Path | None = None) -> str:
    """The name, if a table of one's own can be called so and asked for.

    Raises:
        BadInput: no table can be called so, or an official dump or a shipped table is, or one that is here differs from
            it in case alone, which some file systems do not keep apart.
    """
    check_table_name(name)
    reserved = {**dict.fromkeys(packing.DUMPS, "an official dump"), **dict.fromkeys(TABLES, "a shipped table")}
    reserved |= {dump + packing.PARTIAL: "a part of an official dump" for dump in packing.DUMPS}
    for taken, what in reserved.items():
        if name.lower() == taken:
            raise BadInput(f"{name!r} is the name of {what}; give the table another one with --name")
    for there in cache.here(override):
        if there.lower() == name.lower() and there != name:
            raise BadInput(
                f"there is a table {there!r}, which differs from {name!r} in case alone; give another --name"
            )
    return name


def open_any(path: Path, read: Callable[[str], str] | None = None) -> Table:
    """A tidy CSV, Parquet or npz file, or a packed Parquet file; ``read`` is the space's.

    Raises:
        BadInput: no such file, another kind, or a row that cannot be used.
        CorruptFile: it cannot be read.
    """
    paths.check_file(path, "table file")
    readers = {".csv": tidy_file.read_csv, ".npz": tidy_file.read_npz}
    with paths.readable(path):
        if path.suffix.lower() == ".parquet":
            return open_table(path, read)
        if path.suffix.lower() not in readers:
            raise BadInput(f"the table file {path} must be .csv, .parquet or .npz")
        return tidy_file.from_tidy(readers[path.suffix.lower()](path), path.stem, str(path), files.sha256(path), read)


def refuse_strangers(path: Path, archs: Iterable[Arch], space: Space) -> None:
    """Passes architectures that can be the space's.

    They are held to the form of the space's: a NAS-Bench-101 table may hold cells outside of a 1Shot1 space.

    Raises:
        BadInput: naming the architecture.
    """
    form = space.facts.form
    if (strange := next((arch for arch in archs if not re.fullmatch(form.pattern, arch)), None)) is not None:
        raise BadInput(
            f"the table file {path} has {shown(strange)}, which is no architecture of {space.name}: it has {form.words}"
        )
