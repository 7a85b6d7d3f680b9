"""What the columns mean, by results/README.md, the one place where it stands; a link makes it part of the package."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).with_name("data_dictionary.md")

SPREAD = "_DATASET_SPLIT"
"""In a column's name: the names of a data set and a split."""

ROW = re.compile(r"\| (`[^|]+) \| ([^|]*)\| (.*) \|")
"""Of a table of columns: their names, their units, what they are."""


class Meaning(NamedTuple):
    """What a column means.

    Attributes:
        unit: empty where it has none.
        definition: in a sentence or two.
    """

    unit: str
    definition: str

    @property
    def text(self) -> str:
        """Both, without the marks of Markdown."""
        plain = self.definition.replace("`", "").replace("**", "")
        return f"{plain} (unit: {self.unit})" if self.unit else plain


@functools.cache
def columns(file: str) -> dict[str, Meaning]:
    """The columns of a file of records, by the names that the dictionary has for them.

    Args:
        file: "epochs.csv".

    Raises:
        LookupError: the dictionary has no table of it.
    """
    parts = re.split(r"^## ", PATH.read_text("utf-8"), flags=re.MULTILINE)
    tables = {part.split("\n", 1)[0].split(", ")[0]: part for part in parts}
    found = {}
    for names, units, definition in ROW.findall(tables[file]):
        listed, each = re.findall("`([^`]+)`", names), units.strip().split(", ")
        for place, name in enumerate(listed):
            found[name] = Meaning(each[place] if len(each) == len(listed) else units.strip(), definition)
    return found


def described(column: str, file: str) -> Meaning | None:
    """What a column means; None where the dictionary does not say.

    Args:
        column: as a file has it: accuracy_cifar10_valid.
        file: that has it; what it does not say of a column is as in epochs.csv.
    """
    for known in (columns(file), columns("epochs.csv")):
        if column in known:
            return known[column]
        spread = [name for name in known if SPREAD in name and re.fullmatch(pattern(name), column)]
        if spread:
            return known[max(spread, key=len)]
    return None


def pattern(name: str) -> str:
    """The regular expression of the columns that a name with DATASET_SPLIT stands for."""
    first, _, last = name.partition(SPREAD)
    return f"{re.escape(first)}_.+_.+{re.escape(last)}"
