"""The checklist of best practices for research on architecture search, as far as a study's records can answer it.

Source: Lindauer and Hutter, *Best Practices for Scientific Research on Neural Architecture Search*, JMLR 21 (2020). Its
items are said here in other words. An answer is made of the records, or says that only the author knows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas

from nas_stability.analysis import escape
from nas_stability.analysis.checklist import answers
from nas_stability.analysis.checklist.answers import Answer
from nas_stability.analysis.page.settings import lead
from nas_stability.analysis.study import Study
from nas_stability.benchmarks import files
from nas_stability.harness.records.outputs import REPORT, refuse_output

CHECKLIST = "checklist.md"


class Practice(NamedTuple):
    """A practice that the checklist asks for.

    Attributes:
        question: in our words.
        answer: by the records of a study.
    """

    question: str
    answer: Callable[[Study], Answer]


ITEMS: dict[str, tuple[Practice, ...]] = {
    "Code and settings": (
        Practice("Is the code that trains the architectures released?", answers.training_code),
        Practice("Is the code of the search space released?", answers.search_space),
        Practice("Are settings and seeds of that training released?", answers.training_settings),
        Practice("Is the code of the search methods released?", answers.search_method),
        Practice("Are settings and seeds of the searches released?", answers.search_settings),
    ),
    "Comparison": (
        Practice("Did all methods meet the same space, images, split and training?", answers.same_benchmark),
        Practice(
            "Were hardware and library versions the same, and how long did the methods take?", answers.confounders
        ),
        Practice("Are there ablations?", answers.ablations),
        Practice("Was everything evaluated in one way?", answers.same_evaluation),
        Practice("Is performance shown over time?", answers.over_time),
        Practice("Is random search among what is compared?", answers.random_search),
        Practice("Was every method run several times, and are the seeds named?", answers.repeated),
        Practice("Was a table or a surrogate used to look closer?", answers.tabular),
    ),
    "What is reported": (
        Practice("Is it said how settings were tuned, and what that took?", answers.tuning),
        Practice("Is the time of the whole told, not just that of the search?", answers.whole_time),
        Practice("Are all details of the setting told?", answers.all_details),
    ),
}
"""Part of the checklist -> its items."""


def answered(study: Study) -> pandas.DataFrame:
    """One row per item: part, question, verdict, text."""
    rows = [(part, one.question, *one.answer(study)) for part, items in ITEMS.items() for one in items]
    return pandas.DataFrame(rows, columns=["part", "question", "verdict", "text"])


def checklist(study: Study) -> str:
    """The checklist of a study, in Markdown."""
    rows = answered(study)
    counts = rows["verdict"].value_counts()
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in counts.index)
    lines = [
        f"# Checklist: {escape.markdown(study.folder.resolve().name)}",
        "",
        f"{escape.markdown(lead(study))} {len(rows)} items: {said}.",
        "",
        "Made of the records; the items are those of Lindauer and Hutter, *Best Practices for Scientific "
        "Research on Neural Architecture Search*, JMLR 21 (2020), in other words.",
        *(f"\n{escape.markdown(remark)}." for remark in study.remarks),
    ]
    for part, of_part in rows.groupby("part", sort=False):
        lines += ["", f"## {part}", ""]
        for row in of_part.itertuples():
            lines.append(f"* **{row.question}** *{row.verdict}*. {escape.markdown(str(row.text))}")
    return "\n".join(lines) + "\n"


def write_checklist(study: Study, out: Path | None = None) -> Path:
    """Writes checklist.md to a folder, STUDY/report by default; its path.

    Raises:
        BadInput: ``out`` is a place of records.
        OSError: the file cannot be written; the earlier one stands.
    """
    if out is not None:
        refuse_output(out)
    path = (out or study.folder / REPORT) / CHECKLIST
    files.write(path, checklist(study))
    return path
