"""One tidy file per kind for a whole study: epochs.csv, epochs.parquet, spectrum.parquet; byte-stable."""

from __future__ import annotations

from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet

from analysis.study import SCHEMA, load


def collect(folder: Path, out: Path | None = None) -> list[Path]:
    """Writes the rows of all finished runs, sorted by run and epoch, with the schema's version in the metadata.

    Args:
        folder: of the study.
        out: where to write; STUDY/collected by default.

    Raises:
        BadInput: no finished run, a damaged file, or a newer schema.
    """
    study = load(folder)
    place = out or folder / "collected"
    place.mkdir(parents=True, exist_ok=True)
    epochs = study.epochs.drop(columns="variant").sort_values(
        ["space", "method", "seed", "run", "epoch"], ignore_index=True
    )
    spectrum = study.spectrum.drop(columns="variant").sort_values(
        ["space", "method", "seed", "run", "epoch", "index"], ignore_index=True
    )
    written = [place / "epochs.csv", place / "epochs.parquet", place / "spectrum.parquet"]
    epochs.to_csv(written[0], index=False)
    write_parquet(epochs, written[1])
    write_parquet(spectrum, written[2])
    return written


def write_parquet(frame: pandas.DataFrame, path: Path) -> None:
    """A frame as Parquet, with the schema's version."""
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"nas-stability-schema": str(SCHEMA).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
