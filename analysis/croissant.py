"""What collected files are, as Croissant 1.0 says it: JSON-LD that data portals and reviewers read.

Source: Akhtar et al., *Croissant: A Metadata Format for ML-Ready Datasets*, NeurIPS 2024, and the specification at
http://mlcommons.org/croissant/1.0.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from nas_stability.analysis.collect import frames
from nas_stability.analysis.dictionary import described
from nas_stability.analysis.page.settings import lead
from nas_stability.analysis.study import Study
from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.harness.records.record import EPOCHS, IMPORTED, SPECTRUM

CROISSANT = "croissant.json"

VERSION = "http://mlcommons.org/croissant/1.0"

CROISSANT_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *(
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
    ),
    *("replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Words of the file that are Croissant's own; the others are schema.org's."""

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in CROISSANT_TERMS},
}

FORMATS = {".csv": "text/csv", ".parquet": "application/x-parquet"}
"""Ending of a file -> its media type."""

KINDS = {"i": "sc:Integer", "u": "sc:Integer", "f": "sc:Float", "b": "sc:Boolean"}
"""Kind of numbers that a column has -> its type; the others are texts."""

ABOUT = {
    "licence": ("license", "the licence"),
    "creator": ("creator", "who made it"),
    "url": ("url", "where it is published"),
    "published": ("datePublished", "the date of publication"),
    "version": ("version", "its version"),
    "cite": ("citeAs", "how to cite it"),
}
"""What no record tells -> its word in the file, and what it is."""


class Metadata(NamedTuple):
    """What was written.

    Attributes:
        path: of the file.
        unsaid: what it does not say because nobody did: "the licence (licence)".
    """

    path: Path
    unsaid: tuple[str, ...]


def about(settings: Sequence[str]) -> dict[str, str]:
    """What the author says, by names of ABOUT.

    Args:
        settings: NAME=VALUE.

    Raises:
        BadInput: an unknown name, or no value.
    """
    found = {}
    for text in settings:
        name, _, value = text.partition("=")
        if name not in ABOUT:
            raise unknown("name in --about", name, ABOUT)
        if not value.strip():
            raise BadInput(f"--about takes NAME=VALUE, not {text!r}")
        found[name] = value.strip()
    check_date(found.get("published", "2020-01-01"))
    return found


def check_date(text: str) -> None:
    """Passes a date as ISO 8601 has it.

    Raises:
        BadInput: it is none.
    """
    try:
        datetime.date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"--about published takes a date such as 2026-11-28, not {shown(text)}") from error


def write_croissant(study: Study, written: Sequence[Path], said: Mapping[str, str]) -> Metadata:
    """Writes croissant.json beside the files that ``collect`` wrote.

    Args:
        study: that they are of.
        written: the files, in one folder.
        said: what the author says, by names of ABOUT.

    Raises:
        OSError: it cannot be written; an earlier one stands.
    """
    known = {**licence_of(study), **said}
    path = written[0].parent / CROISSANT
    files.write(path, json.dumps(metadata(study, written, known), indent=1, ensure_ascii=False) + "\n")
    return Metadata(path, tuple(f"{what} ({name})" for name, (_, what) in ABOUT.items() if name not in known))


def licence_of(study: Study) -> dict[str, str]:
    """The licence of searches that were imported, where it is one for all of them and their logs stated it."""
    column = f"{IMPORTED}.licence"
    stated = set(study.runs[column]) if column in study.runs else set()
    return {"licence": stated.pop()} if len(stated) == 1 and not stated & {"not stated"} else {}


def metadata(study: Study, written: Sequence[Path], known: Mapping[str, str]) -> dict[str, Any]:
    """The content of the file: the same of the same study."""
    epochs, spectrum = frames(study)
    by_name = {path.name: path for path in written}
    author: dict[str, Any] = {
        word: known[name] for name, (word, _) in ABOUT.items() if name in known and name != "creator"
    }
    if "creator" in known:
        author["creator"] = {"@type": "sc:Person", "name": known["creator"]}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": study.folder.resolve().name,
        "description": " ".join(filter(None, (study.counting.question, lead(study)))),
        **author,
        "distribution": [file_object(path) for path in written],
        "recordSet": [
            record_set("epochs", epochs, by_name["epochs.csv"], EPOCHS, "One row per run and epoch; row e is after e."),
            record_set("spectrum", spectrum, by_name["spectrum.parquet"], SPECTRUM, "One row per eigenvalue."),
        ],
    }


def file_object(path: Path) -> dict[str, Any]:
    """A file: its name, size, type and checksum."""
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": FORMATS[path.suffix],
        "sha256": files.sha256(path),
    }


def record_set(name: str, frame: pandas.DataFrame, path: Path, file: str, description: str) -> dict[str, Any]:
    """The rows of a file.

    Args:
        name: of the rows.
        frame: the rows.
        path: of the file that has them.
        file: of the records, under which the data dictionary has their columns.
        description: what a row is.
    """
    fields = [field(name, str(column), frame[column], path.name, file) for column in frame]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def field(rows: str, column: str, values: pandas.Series, path: str, file: str) -> dict[str, Any]:
    """A column: what it means, of which type it is and where it stands."""
    meaning = described(column, file)
    return {
        "@type": "cr:Field",
        "@id": f"{rows}/{column}",
        "name": column,
        **({"description": meaning.text} if meaning else {}),
        "dataType": KINDS.get(values.dtype.kind, "sc:Text"),
        "source": {"fileObject": {"@id": path}, "extract": {"column": column}},
    }
