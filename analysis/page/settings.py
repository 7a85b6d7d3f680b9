"""What was run, with what, and what is missing, for the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import PurePath

import pandas

from nas_stability.analysis.names import answer_name, answer_of, answering
from nas_stability.analysis.page.texts import (
    MISSING,
    TextTable,
    absent,
    count,
    duration,
    grid,
    plain,
    seed_text,
    spoken,
)
from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import DIGITS, field_names, told
from nas_stability.benchmarks import plugins
from nas_stability.harness.records.record import dataset_and_split

PROVENANCE = {"device": "device", "threads": "CPU threads per run", "git_commit": "commit"}
"""Entries of run.json that are told beside versions, table and time, and how they are called."""


def lead(study: Study) -> str:
    """What the study is, in a sentence; in further ones what varies besides seeds and methods, and what ended early."""
    runs = study.runs
    seeds = seed_text(runs["seed"].tolist())
    epochs = sorted(set(study.epochs.groupby("run", observed=True)["epoch"].max().tolist()))
    length = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    return (
        f"{count(len(runs), 'finished run')} of {length} epochs: {spoken(study.methods)} in {spoken(study.spaces)}, "
        f"{'seeds' if len(set(runs['seed'])) > 1 else 'seed'} {seeds}.{varying(study)}{ended_early(runs)}"
    )


def ended_early(runs: pandas.DataFrame) -> str:
    """How many runs a stopping rule ended; nothing where it ended none."""
    early = int(runs["stopped"].notna().sum()) if "stopped" in runs else 0
    return f" A stopping rule ended {count(early, 'run')} before the last epoch." if early else ""


def varying(study: Study) -> str:
    """Which fields vary, and in how many variants; nothing where none does."""
    fields = list(dict.fromkeys(name for space in study.spaces for name in study.varied(space)))
    many = len([label for label in study.variants if label])
    verb = "varies" if len(fields) == 1 else "vary"
    return f" {count(many, 'variant')}: {spoken(fields)} {verb}; each has its own rows and lines." if fields else ""


def varied_fields(runs: pandas.DataFrame) -> list[str]:
    """The fields in which the runs differ besides their seeds; space and method always, first."""
    names = [name for name in field_names(runs) if name not in ("space", "method", "seed")]
    return ["space", "method", *(name for name in names if field_texts(runs, name).nunique() > 1)]


def field_texts(runs: pandas.DataFrame, name: str) -> pandas.Series:
    """The values of a field as texts, plug-ins by their names and the first digits of their checksums."""
    values = runs[name].map(plain)
    return values.map(plugins_text) if name == "plugins" else values


def plugins_text(text: str) -> str:
    """Plug-ins as a record has them, short; of a record without that field as it is."""
    if text in ("", MISSING):
        return text
    return ", ".join(f"{PurePath(address).name} {sha[:DIGITS]}" for address, sha in plugins.read(text).items())


def common_fields(runs: pandas.DataFrame, varied: Sequence[str]) -> list[tuple[str, str]]:
    """(name, value) of the fields that all runs share."""
    names = [name for name in field_names(runs) if name not in varied and name != "seed"]
    return [(name, field_texts(runs, name).iloc[0]) for name in names]


def design(study: Study, varied: Sequence[str]) -> pandas.DataFrame:
    """One row per kind of run: space, method, variant, seeds, runs, mean time of one, the other varied fields."""
    runs = study.runs.assign(**{name: field_texts(study.runs, name) for name in varied})
    rows: list[dict[str, object]] = []
    for values, group in runs.groupby([*varied, "variant"], sort=False):
        seconds = float(group["seconds"].mean()) if "seconds" in group else math.nan
        space, method, *others, variant = values
        row: dict[str, object] = {"space": space, "method": method, "variant": variant}
        row["seeds"] = seed_text(group["seed"].tolist())
        row |= {"runs": len(group), "time per run": duration(seconds)}
        rows.append(row | dict(zip(varied[2:], others, strict=True)))
    order = study.variants.index
    rows.sort(key=lambda row: (row["space"], study.methods.index(str(row["method"])), order(str(row["variant"]))))
    return told(pandas.DataFrame(rows))


def every_run(study: Study, varied: Sequence[str]) -> TextTable:
    """One row per run, linked to its page."""
    labels = ["variant"] if any(study.variants) else []
    names = [
        *varied,
        *labels,
        "seed",
        *(name for name in ("stopped", "seconds", "table_queries", "table_missing") if name in study.runs),
    ]
    runs = study.runs
    if "stopped" in names:
        runs = runs.assign(stopped=runs["stopped"].astype("Int64"))
    if "plugins" in names:
        runs = runs.assign(plugins=field_texts(runs, "plugins"))
    found = grid(runs[["run", *names]])
    for row in found.rows:
        row[0] = row[0]._replace(anchor=anchor(row[0].text))
    return found


def provenance(runs: pandas.DataFrame) -> list[tuple[str, list[str]]]:
    """(name, values) of where the runs were made, and with what; of several values each says how many runs have it."""
    records = runs.to_dict("records")
    found = [(named, shared([recorded(row.get(name)) for row in records])) for name, named in PROVENANCE.items()]
    found.append(("versions", shared([versions_text(row) for row in records])))
    found.append(("table", shared([table_text(row) for row in records])))
    if "seconds" in runs:
        total, each = float(runs["seconds"].sum()), float(runs["seconds"].mean())
        found.append(("time searching", [f"{duration(total)} over all runs, {duration(each)} per run on average"]))
    return found


def recorded(value: object) -> str:
    """A value of run.json in words."""
    return "not recorded" if absent(value) else plain(value)


def versions_text(record: Mapping[Hashable, object]) -> str:
    """The versions of a run in one line."""
    start = "versions."
    known = {str(name).removeprefix(start): value for name, value in record.items() if str(name).startswith(start)}
    return ", ".join(f"{name} {value}" for name, value in known.items() if not absent(value)) or "not recorded"


def table_text(record: Mapping[Hashable, object]) -> str:
    """The table of a run: name, source and checksum."""
    if absent(record.get("table.name")):
        return "none was asked"
    return f"{record['table.name']}, from {record.get('table.source')}, SHA-256 {record.get('table.sha256')}"


def shared(values: Sequence[str]) -> list[str]:
    """The distinct values in order of appearance, with the number of runs where there are several."""
    counted = Counter(values)
    if len(counted) == 1:
        return list(counted)
    return [f"{value} ({count(number_of, 'run')})" for value, number_of in counted.items()]


def never_answered(study: Study) -> list[tuple[str, list[str]]]:
    """(space, data sets and splits of its table that it never answers for); nothing named: it answers for nothing."""
    found = []
    for space in study.spaces:
        answered = study.answers(space)
        datasets = {dataset_and_split(answer_of(name))[0] for name in answered}
        columns = [name for name in answering(study.epochs.columns) if name not in answered]
        silent = [answer_name(answer_of(name)) for name in columns if dataset_and_split(answer_of(name))[0] in datasets]
        if silent or not answered:
            found.append((space, silent))
    return found


def lacking(study: Study) -> pandas.DataFrame:
    """Where numbers are missing: per space and column, epochs with and without a value, and runs concerned.

    Told are the table accuracies that the space's table answers for at all, and the supernet's validation loss.
    """
    rows = []
    for space in study.spaces:
        of_space = study.epochs[study.epochs["space"] == space]
        for name in [*study.answers(space), "valid_loss"]:
            empty = of_space[name].isna()
            if empty.any():
                runs = of_space.loc[empty, "run"].nunique()
                rows.append((space, name, len(of_space), int(empty.sum()), runs))
    return pandas.DataFrame(rows, columns=["space", "column", "epochs", "missing", "in runs"])


def anchor(run: str) -> str:
    """The address of a run's part within the page."""
    return f"run-{run}"
