"""The measures of the code's shape, from its text alone: python -m tests.measures.

A function is public where neither its name nor that of its class begins with an underscore; what is defined inside a
function is nobody else's. A file is counted once: the links in nas_stability lead to the other three folders.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CODE = ("benchmarks", "harness", "analysis", "nas_stability")
LONG_FUNCTION = 40
"""Lines of signature and body, without docstring and blank ones, above which a function is a long one."""
LONG_CODE, LONG_TEST = 350, 400
"""Lines of any kind above which a file is a long one."""

Node = ast.FunctionDef | ast.AsyncFunctionDef


class Function(NamedTuple):
    """A function of a module or of one of its classes."""

    place: str
    """File and dotted name."""
    node: Node
    lines: int
    """Without docstring and blank ones."""


class Measures(NamedTuple):
    """What is held to a bar, and beside each share or number the names behind it."""

    documented: float
    undocumented: list[str]
    typed: float
    untyped: list[str]
    tests_per_code: float
    long_functions: list[str]
    long_code: list[str]
    long_tests: list[str]


def sources(*folders: str) -> dict[str, str]:
    """Path from the root of the checkout -> text of every Python file below some folders."""
    paths = {path.resolve() for folder in folders for path in ROOT.joinpath(folder).rglob("*.py")}
    return {str(path.relative_to(ROOT.resolve())): path.read_text(encoding="utf-8") for path in sorted(paths)}


def written(text: str) -> list[str]:
    """The lines with something else than a comment."""
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def functions(path: str, text: str) -> Iterator[Function]:
    """The functions of a file."""
    lines = text.splitlines()

    def within(*nodes: ast.stmt) -> int:
        return sum(len(written("\n".join(lines[node.lineno - 1 : node.end_lineno]))) for node in nodes)

    def below(tree: ast.Module | ast.ClassDef, inside: str) -> Iterator[Function]:
        for node in tree.body:
            if isinstance(node, Node):
                docstring = node.body[: ast.get_docstring(node) is not None]
                yield Function(f"{path}:{inside}{node.name}", node, within(node) - within(*docstring))
            elif isinstance(node, ast.ClassDef):
                yield from below(node, f"{inside}{node.name}.")

    return below(ast.parse(text), "")


def public(function: Function) -> bool:
    """Whether it is for others."""
    return not any(part.startswith("_") for part in function.place.rpartition(":")[2].split("."))


def documented(function: Function) -> bool:
    """Whether it has a docstring."""
    return ast.get_docstring(function.node) is not None


def typed(function: Function) -> bool:
    """Whether every argument, but the first one of a method, and what is returned have a type."""
    given = function.node.args
    listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    plain = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.node.decorator_list)
    method = "." in function.place.rpartition(":")[2] and not plain
    return function.node.returns is not None and all(argument.annotation for argument in listed[method:])


def share(found: Sequence[Function], right: Callable[[Function], bool]) -> tuple[float, list[str]]:
    """The share of the functions that are as they should be, and the others' names."""
    others = [function.place for function in found if not right(function)]
    return 1 - len(others) / len(found), others


def measured(code: dict[str, str], tests: dict[str, str]) -> Measures:
    """The measures of files of code and of tests."""
    found = [function for path, text in code.items() for function in functions(path, text)]
    of_code, of_tests = (sum(len(written(text)) for text in texts.values()) for texts in (code, tests))
    return Measures(
        *share([function for function in found if public(function)], documented),
        *share(found, typed),
        of_tests / of_code,
        [function.place for function in found if function.lines > LONG_FUNCTION],
        [path for path, text in code.items() if len(text.splitlines()) > LONG_CODE],
        [path for path, text in tests.items() if len(text.splitlines()) > LONG_TEST],
    )


def of_checkout() -> Measures:
    """The measures of this checkout."""
    return measured(sources(*CODE), sources("tests"))


def told(found: Measures) -> str:
    """The measures as lines for people, with the names behind them."""
    rows = [
        (f"public functions with a docstring: {100 * found.documented:.1f} %", found.undocumented),
        (f"typed functions: {100 * found.typed:.1f} %", found.untyped),
        (f"test lines per code line: {found.tests_per_code:.3f}", []),
        (f"functions over {LONG_FUNCTION} lines: {len(found.long_functions)}", found.long_functions),
        (f"files of code over {LONG_CODE} lines: {len(found.long_code)}", found.long_code),
        (f"files of tests over {LONG_TEST} lines: {len(found.long_tests)}", found.long_tests),
    ]
    return "\n".join("\n    ".join([line, *names]) for line, names in rows)


if __name__ == "__main__":
    print(told(of_checkout()))
