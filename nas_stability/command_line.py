"""The command line: verbs parse, call and print, nothing else. PyTorch is not imported until a verb needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmarks.errors import BadInput, unknown
from nas_stability import proving, reading, searching, tables
from nas_stability.flags import FAILED, MISUSED, Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 something failed, 2 unusable input, 75 stopped by a signal."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    try:
        if rest:
            raise unknown("argument", rest[0], options.flags)
        verb: Callable[[argparse.Namespace], int] = options.verb
        return verb(options)
    except BadInput as error:
        print(f"nas-stability: {error}", file=sys.stderr)
        return MISUSED
    except BrokenPipeError:
        return FAILED
    finally:
        dismiss_workers()


def dismiss_workers() -> None:
    """Ends the processes that joblib keeps for later: by themselves they take seconds to unload what they imported."""
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def build_parser() -> Parser:
    """All verbs and their flags."""
    parser = Parser(prog="nas-stability", description="Searches architectures and records how stable the search is.")
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=Parser)
    for group in (searching, reading, tables, proving):
        group.add_verbs(verbs)
    return parser
