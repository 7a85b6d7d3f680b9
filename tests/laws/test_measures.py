"""The code's shape is held to its bars: docstrings, types, sizes, tests beside code."""

from __future__ import annotations

import pytest

from tests import measures


def test_the_checkout_meets_the_bars() -> None:
    found = measures.of_checkout()
    assert found.documented >= 0.98, found.undocumented
    assert found.typed == 1, found.untyped
    assert found.tests_per_code >= 0.75
    assert len(found.long_functions) <= 6, found.long_functions
    assert not found.long_code
    assert not found.long_tests


CODE = '''\
"""A module."""

# a comment


def plain(first: int, *rest: int) -> int:
    """Says what it does.

    At length.
    """

    def inner(x):
        return x

    return inner(first)


class Kind:
    """A class."""

    def method(self, value: int) -> None:
        pass

    @staticmethod
    def made(value) -> None:
        """Without a type."""

    def _own(self, value: int):
        """Without what is returned."""
'''


def test_what_is_counted_by_hand() -> None:
    """Ten lines of a test to 17 of code; three public functions, one without docstring; two of four with all types."""
    found = measures.measured({"code.py": CODE}, {"tests/a.py": "x = 1\n\n# nothing\n" + "y = 2\n" * 9})
    assert found.documented == pytest.approx(2 / 3)
    assert found.undocumented == ["code.py:Kind.method"]
    assert found.typed == pytest.approx(2 / 4)
    assert found.untyped == ["code.py:Kind.made", "code.py:Kind._own"]
    assert found.tests_per_code == pytest.approx(10 / 17)
    assert (found.long_functions, found.long_code, found.long_tests) == ([], [], [])


@pytest.mark.parametrize("lines", [39, 40])
def test_a_long_function_is_one_of_more_lines_without_its_docstring(lines: int) -> None:
    body = '    """Long.\n\n    Long.\n    """\n\n' + "    x = 1\n" * lines
    found = measures.measured({"a.py": f"def f() -> None:\n{body}"}, {})
    assert found.long_functions == (["a.py:f"] if lines == 40 else [])


def test_long_files_are_named() -> None:
    found = measures.measured({"a.py": "def f(): ...\n" + "\n" * 350}, {"b.py": "\n" * 400, "c.py": "\n" * 401})
    assert found.long_code == ["a.py"]
    assert found.long_tests == ["c.py"]


def test_what_is_told_names_what_is_behind_a_number() -> None:
    told = measures.told(measures.measured({"code.py": CODE}, {})).splitlines()
    assert told[:2] == ["public functions with a docstring: 66.7 %", "    code.py:Kind.method"]
    assert "test lines per code line: 0.000" in told
