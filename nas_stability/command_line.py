"""The command line: verbs parse, call and print, nothing else. PyTorch is not imported until a verb needs it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from nas_stability import asking, completing, evaluating, exporting, importing, listing, proving, reading, searching
from nas_stability.benchmarks.errors import BadInput, unknown
from nas_stability.flags import BROKEN_OFF, FAILED, MISUSED, Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns its exit code: the one edge where what is raised becomes a line on standard error.

    0 done, 1 something failed, 2 unusable input, 75 stopped by a signal with everything saved, 130 Ctrl-C.
    """
    logging.basicConfig(format="nas-stability: %(message)s", level=logging.WARNING)
    options = argparse.Namespace(debug=False)
    try:
        options = parsed(arguments)
        verb: Callable[[argparse.Namespace], int] = options.verb
        code = verb(options)
        sys.stdout.flush()  # a full disk or a closed pipe is told now, not at the interpreter's end
        return code
    except BrokenPipeError:
        drop_output()
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if options.debug:
            traceback.print_exc()
        code, line = told(error)
        with contextlib.suppress(OSError):
            print(f"nas-stability: {line}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            drop_output()
        return code


def parsed(arguments: Sequence[str] | None) -> Any:
    """A verb's flags.

    Raises BadInput for an unknown one, SystemExit as argparse does after its own messages, OSError where those could
    not be written.
    """
    parser = build_parser()
    completing.complete_if_asked(parser, every(parser))
    try:
        options, rest = parser.parse_known_args(arguments)
    except SystemExit:
        sys.stdout.flush()
        raise
    if rest:
        raise unknown("argument", rest[0], options.flags)
    return options


def drop_output() -> None:
    """Sends what standard output still holds nowhere: where it cannot be written, the interpreter would try again at
    its end and replace the exit code by one of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def told(error: BaseException) -> tuple[int, str]:
    """Exit code and line of an error."""
    text = " ".join(str(error).split())
    if isinstance(error, BadInput):
        return MISUSED, text
    if isinstance(error, KeyboardInterrupt):
        return BROKEN_OFF, "broken off; what was saved stands"
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else text
        return FAILED, what or type(error).__name__
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return FAILED, f"too little memory: {text[:LONGEST] or 'none was left'}"
    if isinstance(error, FloatingPointError):
        return FAILED, text
    return FAILED, f"{type(error).__name__}: {text[:LONGEST]} (--debug shows where; please report it)"


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "Cannot allocate memory")
"""Words of PyTorch's complaints, which are RuntimeErrors."""

LONGEST = 400
"""Characters of a message that this program did not write itself."""


def build_parser() -> Parser:
    """All verbs and their flags."""
    parser = Parser(prog="nas-stability", description="Searches architectures and records how stable the search is.")
    parser.add_argument("--version", action="version", version=f"nas-stability {version('nas-stability')}")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=Parser)
    for group in (searching, evaluating, importing, reading, exporting, listing, asking, proving, completing):
        group.add_verbs(verbs)
    for inner in every(parser):
        inner.add_argument("--debug", action="store_true", default=False, help="show where an error comes from")
        if isinstance(inner.get_default("flags"), list):
            inner.get_default("flags").append("--debug")
    return parser


def every(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all verbs that do something."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for inner in group.choices.values():
            yield from every(inner)
