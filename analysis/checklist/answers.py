"""Answers to the items of the checklist, each made of a study's records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from nas_stability.analysis.checklist.recorded import DIGITS, imported, known, lacking, listed, spaced, tables, trained
from nas_stability.analysis.page.settings import field_texts
from nas_stability.analysis.page.texts import absent, count, duration, plain, seed_text, spoken
from nas_stability.analysis.readable import number
from nas_stability.analysis.study import Study
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.records.record import IMPORTED
from nas_stability.harness.specs.spec import FIELDS

Verdict = Literal["yes", "in part", "no", "only the author can say"]


class Answer(NamedTuple):
    """What the records say to an item.

    Attributes:
        verdict: whether they can, and what.
        text: of what they say; what an author has to add.
    """

    verdict: Verdict
    text: str


def source_code(study: Study, kind: str, names: Sequence[str], built_in: Sequence[str]) -> Answer:
    """Where the code of methods or spaces is.

    Args:
        study: that used them.
        kind: what they are, in the plural.
        names: of those that it used.
        built_in: names of those that come with the package.
    """
    if imported(study):
        return Answer(
            "only the author can say",
            f"{count(imported(study), 'run')} of {len(study.runs)} were carried out elsewhere, by code that the "
            f"records do not hold: {listed(known(study, f'{IMPORTED}.name'))}.",
        )
    others = [name for name in names if name not in built_in]
    version, commits = known(study, "versions.nas-stability"), known(study, "git_commit")
    here = f"{listed(names)} of nas-stability {listed(version)}, commit {listed(commits, DIGITS)}"
    if others:
        where = listed([text for text in field_texts(study.runs, "plugins").unique() if text])
        return Answer("in part", f"The {kind} {listed(others)} are of plug-ins ({where}): release these files too.")
    if lacking(study, "git_commit"):
        here += f"; {count(lacking(study, 'git_commit'), 'run')} of no recorded commit"
    return Answer("in part", f"{here}; whether that is public only the author can say.")


def search_space(study: Study) -> Answer:
    """Whether the code of the spaces can be had."""
    return source_code(study, "spaces", study.spaces, list(FACTS))


def search_method(study: Study) -> Answer:
    """Whether the code of the methods can be had."""
    return source_code(study, "methods", study.methods, list(METHODS))


def training_code(study: Study) -> Answer:
    """Whether the code that trained the architectures can be had."""
    if study.evaluated is not None:
        return Answer("yes", f"{trained(study)} by `nas-stability evaluate`, whose code is the package's.")
    if tables(study):
        return Answer("in part", f"Accuracies are those of the table {tables(study)}; its code is its authors'.")
    return Answer("no", "No table answered, and nothing was trained from scratch: no architecture was evaluated.")


def training_settings(study: Study) -> Answer:
    """Whether the settings and seeds of the final training are there."""
    if study.evaluated is not None:
        seeds = seed_text(study.evaluated["network_seed"].dropna().astype(int).tolist())
        return Answer("yes", f"{trained(study)}, seeds {seeds}; every field is in the networks' network.json.")
    if tables(study):
        return Answer("in part", f"Those of the table {tables(study)}; the mean over the seeds that it has.")
    return Answer("no", "Nothing was evaluated.")


def search_settings(study: Study) -> Answer:
    """Whether the settings and seeds of the searches are there."""
    seeds = seed_text(study.runs["seed"].tolist())
    if imported(study):
        told = sorted({name for names in study.runs[f"{IMPORTED}.told"].dropna() for name in names})
        return Answer("in part", f"Seeds {seeds}; of the fields the logs told {listed(told)}, the others are unknown.")
    fields = [name for name in study.runs if name in FIELDS]
    varied = list(dict.fromkeys(name for space in study.spaces for name in study.varied(space)))
    more = f"; {spoken(varied)} varied" if varied else ""
    return Answer("yes", f"Each run's spec.json and run.json have its {len(fields)} fields, seeds {seeds}{more}.")


def same_benchmark(study: Study) -> Answer:
    """Whether all methods met the same space, images and table."""
    if len(study.methods) < 2:
        return Answer("no", f"Only {listed(study.methods)} was run: there is nothing to compare it with.")
    wrong = []
    for space in study.spaces:
        here = study.runs[study.runs["space"] == space]
        absentees = [method for method in study.methods if method not in set(here["method"])]
        wrong += [f"{listed(absentees)} not run in {space}"] if absentees else []
        for column in ("data.sha256", "table.sha256", "images"):
            if column in here and here[column].map(plain).nunique() > 1:
                wrong.append(f"{column} differs in {space}")
    images = known(study, "data.sha256")
    halves = f"images {listed(known(study, 'data.name') or known(study, 'data'))} (SHA-256 {listed(images, DIGITS)})"
    if wrong:
        return Answer("no", f"{'; '.join(wrong)}. Recorded: {halves}.")
    text = f"All {len(study.methods)} methods in {spoken(study.spaces)}, on the {halves}, halved in the same way for "
    return Answer("yes" if images else "in part", f"{text}weights and logits; table {tables(study) or 'none'}.")


CONFOUNDERS = {
    "device": "device",
    "threads": "threads",
    "versions.torch": "PyTorch",
    "versions.python": "Python",
    "versions.nas-stability": "nas-stability",
    "git_commit": "commit",
}
"""Column of the runs -> what it is called."""


def confounders(study: Study) -> Answer:
    """Whether hardware, libraries and time were the same for all methods."""
    found = {name: known(study, column) for column, name in CONFOUNDERS.items()}
    told = "; ".join(f"{name} {listed(values, 40)}" for name, values in found.items() if values)
    several = [name for name, values in found.items() if len(values) > 1]
    spent = study.epochs.groupby("method", observed=True)["seconds"].mean()
    times = ", ".join(f"{method} {number(spent[method])}" for method in study.methods if not absent(spent[method]))
    text = f"{told or 'nothing recorded'}. Seconds of search per epoch: {times or 'not recorded'}."
    if not told:
        return Answer("only the author can say", text)
    return Answer("in part", f"Not the same in all runs: {spoken(several)}. {text}") if several else Answer("yes", text)


def ablations(study: Study) -> Answer:
    """Whether something varies within a method."""
    varied = {space: study.varied(space) for space in study.spaces if study.varied(space)}
    if not varied:
        return Answer("no", "No field but space, method and seed varies in this study.")
    told = "; ".join(f"{spoken(list(fields))} in {space}" for space, fields in varied.items())
    return Answer("yes", f"{count(len([label for label in study.variants if label]), 'variant')}: {told}.")


def same_evaluation(study: Study) -> Answer:
    """Whether what was found was judged in one way."""
    if study.evaluated is not None:
        one = study.evaluated["protocol"].nunique() == 1 and study.evaluated["data"].nunique() == 1
        return Answer("yes" if one else "no", f"{trained(study)}, on {listed(sorted(set(study.evaluated['data'])))}.")
    if not tables(study):
        return Answer("no", "Nothing was evaluated.")
    asked = [column for column in ("table.sha256", "table_epochs", "query") if spaced(study, column)]
    text = f"Each run's last row, asked of {tables(study)}"
    return (
        Answer("no", f"Not the same within a space: {spoken(asked)}. {text}.") if asked else Answer("yes", f"{text}.")
    )


def over_time(study: Study) -> Answer:
    """Whether performance over time is there."""
    answers = list(dict.fromkeys(name for space in study.spaces for name in study.answers(space)))
    rows = len(study.epochs)
    if not answers:
        return Answer("in part", f"{rows:,} rows, one per run and epoch, of the supernet alone: no table answered.")
    return Answer("yes", f"{rows:,} rows, one per run and epoch, with {listed(answers)} (figure trajectory).")


def random_search(study: Study) -> Answer:
    """Whether random search is beside the methods."""
    found = []
    for column in [name for name in study.runs if str(name).startswith("random.")]:
        one = next((value for value in study.runs[column] if isinstance(value, dict)), {})
        best = ", ".join(
            f"{number(value)} of {name.rpartition('_')[2]}" for name, value in one.items() if "best" in name
        )
        found += [f"{str(column).partition('.')[2]}: {best}"] if best else []
    text = [f"Expected of the best by validation, exactly from the table, percent: {'; '.join(found)}"] if found else []
    if "random-ws" in study.methods:
        text.append("the method random-ws was run")
    if study.evaluated is not None and (drawn := int((study.evaluated["method"] == "random").sum())):
        text.append(f"{count(drawn, 'random architecture')} trained beside those found")
    return Answer("yes", f"{'; '.join(text)}.") if text else Answer("no", "There is no random search in the records.")


def repeated(study: Study) -> Answer:
    """How often each method was run."""
    counts = study.runs.groupby(["space", "method", "variant"])["seed"].nunique()
    least, most = int(counts.min()), int(counts.max())
    runs = f"{least}" if least == most else f"{least} to {most}"
    text = f"{runs} seeds of each space, method and variant: {seed_text(study.runs['seed'].tolist())}"
    left = f"; {count(len(study.unfinished), 'run')} not finished" if study.unfinished else ""
    return Answer("yes" if least > 1 else "no", f"{text}{left}.")


def tabular(study: Study) -> Answer:
    """Whether a table or a surrogate answered."""
    if not tables(study):
        return Answer("no", "No table answered.")
    expected = any(str(name).endswith("_surrogate") for name in study.epochs)
    asked, missing = (
        int(study.runs[name].fillna(0).sum()) if name in study.runs else 0
        for name in ("table_queries", "table_missing")
    )
    kind = "Surrogate, fitted to trained cells" if expected else "Table"
    return Answer("yes", f"{kind}: {tables(study)}; {missing:,} of {asked:,} architectures asked for were missing.")


def tuning(study: Study) -> Answer:
    """How settings were chosen: no record says."""
    counting = study.counting
    settled = (
        f" What the study is to decide was settled before its first run: {counting.question}" if counting.claims else ""
    )
    return Answer("only the author can say", f"How the settings were chosen, and what that took.{settled}")


def whole_time(study: Study) -> Answer:
    """What everything took."""
    if "seconds" not in study.runs or study.runs["seconds"].isna().all():
        return Answer("only the author can say", "The records have no times.")
    text = f"{duration(float(study.runs['seconds'].sum()))} for the searches of {count(len(study.runs), 'run')}"
    if study.evaluated is None:
        return Answer("in part", f"{text}; what was evaluated is from a table, whose training it does not count.")
    networks = study.evaluated.drop_duplicates("network")["seconds"].sum()
    return Answer("yes", f"{text}, {duration(float(networks))} for training what was found.")


def all_details(study: Study) -> Answer:
    """What else there is to say."""
    held = "held to their checksums" if study.verified else "not held to their checksums"
    return Answer(
        "in part",
        f"Specs, versions, device, checksums and rows of {count(len(study.runs), 'run')} are in the records, {held}; "
        "what is not in them (earlier trials, runs that were thrown away) only the author can say.",
    )
