"""One tidy file per kind for a whole study: epochs.csv, epochs.parquet, spectrum.parquet; byte-stable."""

from __future__ import annotations

import io
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet

from nas_stability.analysis import escape
from nas_stability.analysis.study import Study
from nas_stability.benchmarks import files
from nas_stability.harness.records.outputs import COLLECTED, refuse_output
from nas_stability.harness.records.record import SCHEMA


def collect(study: Study, out: Path | None = None) -> list[Path]:
    """Writes the rows of all finished runs, sorted by run and epoch, with the schema's version in the metadata.

    Args:
        study: that is collected.
        out: where to write; STUDY/collected by default.

    Raises:
        BadInput: ``out`` is a place of records.
        OSError: a file cannot be written; the earlier one stands.
    """
    if out is not None:
        refuse_output(out)
    place = out or study.folder / COLLECTED
    epochs, spectrum = frames(study)
    contents = {
        place / "epochs.csv": escape.csv(epochs).encode(),
        place / "epochs.parquet": parquet(epochs),
        place / "spectrum.parquet": parquet(spectrum),
    }
    for path, content in contents.items():
        files.write(path, content)
    return list(contents)


def frames(study: Study) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """What is collected of epochs and of the spectrum: the rows of all finished runs, sorted by run and epoch."""
    order = ["space", "method", "seed", "run", "epoch"]
    epochs = study.epochs.drop(columns="variant").sort_values(order, ignore_index=True)
    spectrum = study.spectrum.drop(columns="variant").sort_values([*order, "index"], ignore_index=True)
    return epochs, spectrum


def parquet(frame: pandas.DataFrame) -> bytes:
    """A frame as Parquet, with the schema's version."""
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"nas-stability-schema": str(SCHEMA).encode()}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd")
    return buffer.getvalue()
