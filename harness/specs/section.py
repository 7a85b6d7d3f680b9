"""A section of a study's file, to say where in it something is wrong. The standard library only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from nas_stability.benchmarks.errors import BadInput


class Section(NamedTuple):
    """One section.

    Attributes:
        path: of the file.
        text: of the file.
        name: of the section; empty for the file as a whole.
        number: of the section among those of its name, from 0.
    """

    path: Path
    text: str
    name: str = ""
    number: int = 0

    def error(self, key: str, error: BadInput) -> BadInput:
        """The error with the file and the line on which a key stands, or else the section."""
        header = re.compile(rf"^\s*\[+\s*\"?{re.escape(self.name)}\"?\s*\]")
        entry = re.compile(rf"^\s*\[*\s*\"?{re.escape(key).replace('_', '[-_]')}\"?\s*(=|\])")
        lines = list(enumerate(self.text.split("\n"), start=1))
        headers = [number for number, line in lines if self.name and header.match(line)]
        start = headers[self.number] if self.number < len(headers) else 0
        keys = [number for number, line in lines if number > start and entry.match(line)]
        line = keys[0] if keys else start
        return BadInput(f"{self.path}:{line}: {error}" if line else f"the study file {self.path}: {error}")
