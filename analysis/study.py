"""A study folder as data frames. Reads files only; no torch.

What the columns mean is in results/README.md.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy
import pandas

from nas_stability.analysis.names import answering, in_order
from nas_stability.analysis.statistics.intervals import Floats
from nas_stability.analysis.variants import Group, natural, taken_apart, variants, variation
from nas_stability.benchmarks.errors import BadInput, CorruptFile, unreadable
from nas_stability.benchmarks.spaces import facts
from nas_stability.benchmarks.spaces.facts import FACTS, Facts
from nas_stability.harness.records import folder as folders
from nas_stability.harness.records import study_record
from nas_stability.harness.records.evaluated import EVALUATED, TEXTS, evaluated_damages
from nas_stability.harness.records.folder import survey, verified
from nas_stability.harness.records.record import (
    ALPHAS,
    DONE,
    EPOCHS,
    IMPORTED,
    LANDSCAPE,
    SMOOTHING,
    SPACE_FACTS,
    SPECTRUM,
)
from nas_stability.harness.records.sealed import SEAL
from nas_stability.harness.specs.claimed import NOTHING_COUNTS, Counting
from nas_stability.harness.specs.recorded import recorded_spec


@dataclass(frozen=True)
class Study:
    """The finished runs of a study.

    All three frames have a column ``variant``, which no file has: what tells a run from the others of its space and
    method besides its seed ("radius 0.1"), empty where nothing does. Means are over the seeds of one space, method and
    variant.

    Attributes:
        folder: it was read from.
        epochs: one row per run and epoch.
        spectrum: run, space, method, seed, epoch, index, eigenvalue.
        runs: one row per finished run: its id, the fields of its spec and of its method's own, and its provenance.
        places: run id -> folder of the run.
        unfinished: ids of the runs that have no run.json.
        remarks: which runs are missing, copied or foreign, one line each.
        verified: whether every file was held to its checksum.
        claims: template, method and base of the study's own claims.
        counting: the question, and the claims that count; no claim where the study does not say.
        ends: run that is there a second time, stopped (stopped.py) -> its last epoch.
        facts: space -> what it is called and made of: of the spaces known here, and of those that the runs tell of.
        evaluated: the rows of evaluated.csv; None where nothing was trained from scratch.

    Raises:
        BadInput: two runs of one space, method, seed and variant; settings or plug-ins of a run that cannot be read.
    """

    folder: Path
    epochs: pandas.DataFrame
    spectrum: pandas.DataFrame
    runs: pandas.DataFrame
    places: dict[str, Path]
    unfinished: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    verified: bool = True
    claims: tuple[tuple[str, str, str], ...] = ()
    counting: Counting = NOTHING_COUNTS
    facts: Mapping[str, Facts] = field(default_factory=lambda: FACTS)
    ends: Mapping[str, int] = field(default_factory=dict)
    evaluated: pandas.DataFrame | None = None

    def __post_init__(self) -> None:
        if "variant" not in self.runs:
            runs = taken_apart(self.runs)
            labels = variants(runs)
            named = dict(zip(runs["run"].astype(str), labels, strict=True))
            object.__setattr__(self, "runs", runs.assign(variant=labels))
            object.__setattr__(self, "epochs", labelled(self.epochs, named))
            object.__setattr__(self, "spectrum", labelled(self.spectrum, named))

    def _repr_html_(self) -> str:
        """How many seeds each method has in each space and variant, for a notebook."""
        counted = self.runs.groupby(["space", "method", "variant"], sort=False)["seed"]
        shown = counted.agg(seeds="nunique", list=lambda seeds: ", ".join(map(str, sorted(seeds)))).reset_index()
        shown = shown.rename(columns={"list": "which"})
        if self.variants == [""]:
            shown = shown.drop(columns="variant")
        left = [*self.remarks, *([f"{len(self.unfinished)} runs are not finished"] if self.unfinished else [])]
        title = pandas.DataFrame({"study": [self.folder.name], "runs": [len(self.runs)], "without": ["; ".join(left)]})
        return title.to_html(index=False) + shown.to_html(index=False)

    @property
    def methods(self) -> list[str]:
        """Methods in the fixed order."""
        return in_order(self.epochs["method"].unique())

    @property
    def spaces(self) -> list[str]:
        """Spaces, sorted."""
        return sorted(self.epochs["space"].unique())

    @property
    def variants(self) -> list[str]:
        """Labels of the variants, in the order in which they are listed; just "" where nothing varies."""
        return sorted(set(self.runs["variant"]), key=natural)

    def facts_of(self, space: str) -> Facts:
        """What a space is called and made of; of one that nobody told of just its name."""
        return self.facts.get(space, facts.unknown(space))

    def groups(self, space: str) -> list[Group]:
        """The runs of a space that differ in their seeds alone: methods in the fixed order, then variants."""
        here = self.runs[self.runs["space"] == space]
        found = set(zip(here["method"], here["variant"], strict=True))
        return [Group(space, *both) for both in product(self.methods, self.variants) if both in found]

    def varied(self, space: str) -> tuple[str, ...]:
        """The fields that vary within some method of a space."""
        return variation(self.runs).fields(space)

    def rows(self, group: Group) -> pandas.DataFrame:
        """The epochs of a group.

        Raises:
            BadInput: it has no run.
        """
        found = chosen(self.epochs, group)
        if found.empty:
            labels = [other.variant for other in self.groups(group.space) if other.method == group.method]
            known = f"its variants: {'; '.join(labels)}" if labels else f"methods: {', '.join(self.methods)}"
            raise BadInput(f"no run of {group.method} in {group.space} with variant {group.variant!r} ({known})")
        return found

    def has_alphas(self, run: str) -> bool:
        """Whether a run has logits: each but some that were imported."""
        imported = f"{IMPORTED}.layout" in self.runs and self.runs.set_index("run")[f"{IMPORTED}.layout"].notna()[run]
        return not imported or (self.places[run] / ALPHAS).exists()

    def alphas(self, run: str) -> list[Floats]:
        """The logits of every epoch of a run by group, each (epochs + 1, rows, choices); read when asked for.

        Raises:
            BadInput: the file is missing or damaged.
        """
        groups = read_alphas(self.places[run] / ALPHAS)
        return [group[: self.ends[run] + 1] for group in groups] if run in self.ends else groups

    def smoothing(self) -> pandas.DataFrame | None:
        """The rows of all runs' smoothing.csv, with run, space, method, seed and variant; None where none measured it.

        Raises:
            BadInput: a file is damaged.
        """
        named = self.runs.set_index("run")[["space", "method", "seed", "variant"]]
        paths = {run: place / SMOOTHING for run, place in self.places.items() if run not in self.ends}
        having = {run: path for run, path in paths.items() if path.exists()}
        return read_csvs(list(having.values()), list(having)).join(named, on="run") if having else None

    def landscape(self, run: str) -> pandas.DataFrame | None:
        """The rows of a run's landscape.csv, None where none was computed at its last epoch.

        Raises:
            BadInput: the file is damaged.
        """
        path = self.places[run] / LANDSCAPE
        return read_csvs([path], [run]) if path.exists() and run not in self.ends else None

    def answers(self, space: str) -> list[str]:
        """Table columns (accuracy_DATASET_SPLIT) with at least one value in the space."""
        rows = self.epochs[self.epochs["space"] == space]
        return [name for name in answering(rows.columns) if rows[name].notna().any()]


def labelled(frame: pandas.DataFrame, variant: Mapping[str, str]) -> pandas.DataFrame:
    """A frame with the variant of each row's run; as categories where the runs are: there the rows are many."""
    code, names = pandas.factorize(frame["run"])
    labels = [variant.get(str(name), "") for name in names]
    if not isinstance(frame["run"].dtype, pandas.CategoricalDtype):
        return frame.assign(variant=numpy.array([*labels, ""], dtype=object)[code])
    kinds = sorted(set(labels), key=natural)
    place = numpy.array([kinds.index(label) for label in labels], dtype=numpy.int64)
    return frame.assign(
        variant=pandas.Categorical.from_codes(place[code], categories=pandas.Index(kinds, dtype=object))
    )


def chosen(frame: pandas.DataFrame, group: Group) -> pandas.DataFrame:
    """The rows of a group."""
    return frame[
        (frame["space"] == group.space) & (frame["method"] == group.method) & (frame["variant"] == group.variant)
    ]


def load(folder: Path | str, verify: bool = True) -> Study:
    """The finished runs of a study's folder, of a folder of runs, or of a folder that is one run.

    Args:
        folder: to read.
        verify: hold every file to its checksum first; False takes the files as they are, for who edited on purpose.

    Raises:
        BadInput: there is no finished run, a file is missing or damaged, or it was written by a newer version.
    """
    folder = Path(folder)
    found = verified(folder) if verify else survey(folder)
    if not found.finished:
        raise BadInput(f"the folder {folder} holds no finished run (a finished run has a {DONE})")
    finished = dict(sorted(found.finished.items()))  # the study's order is that of carrying out, the longest first
    records = [read_record(place, verify) for place in finished.values()]
    places = list(finished.values())
    runs = list(finished)
    epochs = read_csvs([place / EPOCHS for place in places], runs).astype({"run": str})
    spectrum = read_csvs([place / SPECTRUM for place in places], runs)
    specs = {run: record["spec"] for run, record in zip(runs, records, strict=True)}
    for name in ("space", "method", "seed"):
        spectrum[name] = spectrum["run"].map({run: spec[name] for run, spec in specs.items()})
    return Study(
        folder=folder,
        epochs=epochs,
        spectrum=spectrum[["run", "space", "method", "seed", "epoch", "index", "eigenvalue"]],
        runs=pandas.DataFrame([flat(run, record) for run, record in zip(runs, records, strict=True)]),
        places=finished,
        unfinished=tuple(found.unfinished),
        remarks=(*found.remarks, *folders.imported_remarks(records)),
        verified=verify,
        claims=study_record.read_claims(folder) if folders.is_study(folder) else (),
        counting=study_record.read_counting(folder) if folders.is_study(folder) else NOTHING_COUNTS,
        facts=FACTS | told_facts(finished, records),
        evaluated=read_evaluated(folder, verify),
    )


def read_evaluated(folder: Path, verify: bool) -> pandas.DataFrame | None:
    """The rows of a study's evaluated.csv; None where it has none.

    Raises:
        CorruptFile: they are not what its records say.
    """
    if verify and (wrong := next(evaluated_damages(folder), "")):
        raise CorruptFile(f"{folder}: {wrong} (nas-stability check {folder} tells all)")
    path = folder / EVALUATED
    texts = dict.fromkeys(TEXTS, str)  # the hash of a module may look like a number
    return pandas.read_csv(path, dtype=texts) if path.exists() else None


def read_record(folder: Path, verify: bool) -> dict[str, Any]:
    """A finished run's run.json, its spec with every field: one that its version did not have is at its default.

    Raises:
        BadInput: damaged, or newer than this reader.
    """
    if verify:
        record = folders.read_record(folder)
        return {**record, "spec": dict(vars(recorded_spec(record["spec"])))}
    try:
        taken: dict[str, Any] = json.loads((folder / DONE).read_bytes())
        return {**taken, "spec": dict(taken["spec"])}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInput(f"the file {folder / DONE} is not a run's record: {error}") from error


def told_facts(places: Mapping[str, Path], records: Sequence[Mapping[str, Any]]) -> dict[str, Facts]:
    """Space -> its facts, of those that the records of the runs hold: of spaces that are not built in.

    Raises:
        BadInput: a record's are none.
    """
    found = {}
    for place, record in zip(places.values(), records, strict=True):
        if SPACE_FACTS in record:
            try:
                found[str(record["spec"]["space"])] = facts.from_json(record[SPACE_FACTS])
            except ValueError as error:
                raise BadInput(f"the file {place / DONE} cannot be read: {error}") from error
    return found


def read_csvs(paths: Sequence[Path], runs: Sequence[str]) -> pandas.DataFrame:
    """One CSV file per run as one frame, with a column ``run``; files with the same columns are parsed at once.

    Raises:
        BadInput: one is missing or damaged.
    """
    bodies: dict[bytes, list[bytes]] = {}
    owners: dict[bytes, list[tuple[str, int]]] = {}
    for path, run in zip(paths, runs, strict=True):
        try:
            header, _, body = path.read_bytes().partition(b"\n")
        except OSError as error:
            raise BadInput(f"the file {path} cannot be read: {error}") from error
        lines = body.count(b"\n")
        if not header or (body and not body.endswith(b"\n")) or body.count(b",") < lines * header.count(b","):
            raise BadInput(f"the file {path} is damaged: a line is not whole")
        bodies.setdefault(header, []).append(body)
        owners.setdefault(header, []).append((run, lines))
    try:
        frames = [
            pandas.read_csv(io.BytesIO(header + b"\n" + b"".join(parts))).assign(run=repeated(owners[header]))
            for header, parts in bodies.items()
        ]
    except ValueError as error:
        raise BadInput(f"the files {paths[0]} and its like cannot be read: {error}") from error
    return pandas.concat(frames, ignore_index=True)


def repeated(values: Sequence[tuple[str, int]]) -> pandas.Categorical[str]:
    """Texts, each as often as said; categories, since there are few and the rows are many."""
    categories = sorted({value for value, _ in values})
    place = {value: code for code, value in enumerate(categories)}
    codes = numpy.repeat([place[value] for value, _ in values], [count for _, count in values])
    return pandas.Categorical.from_codes(codes, categories=pandas.Index(categories))


def read_alphas(path: Path) -> list[Floats]:
    """The logits of every epoch by group.

    Raises:
        BadInput: missing or damaged.
    """
    try:
        with numpy.load(path, allow_pickle=False) as archive:
            return [archive[f"group_{index}"].astype(numpy.float64) for index in range(len(archive.files))]
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise BadInput(f"the file {path} cannot be read: {unreadable(error)}") from error


def flat(run: str, record: dict[str, Any]) -> dict[str, Any]:
    """A run.json as one row: the fields of the spec, and the rest with dots."""
    row: dict[str, Any] = {"run": run, **record["spec"]}
    for name, value in record.items():
        if name in ("run", "spec", SPACE_FACTS, SEAL):
            continue
        if isinstance(value, dict):
            row |= {f"{name}.{inner}": entry for inner, entry in value.items()}
        elif name not in record["spec"]:
            row[name] = value
    return row
