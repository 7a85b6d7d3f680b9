"""What the verbs' parsers share: exit codes, the parser, flags of where and how something is carried out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

FAILED, MISUSED, REQUEUE = 1, 2, 75
"""REQUEUE: stopped by a signal with everything saved; sysexits.h calls it a temporary failure."""


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one line of ours."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (--help lists what there is)", file=sys.stderr)
        raise SystemExit(MISUSED)


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What ``add_subparsers`` returns: verbs are added to it."""


def finish(parser: argparse.ArgumentParser, verb: Callable[[argparse.Namespace], int]) -> None:
    """Attaches the verb, and its flags for the message about an unknown one."""
    flags = [text for action in parser._actions for text in action.option_strings]
    parser.set_defaults(verb=verb, flags=flags)


def add_place(parser: argparse.ArgumentParser, threads: int) -> None:
    """Flags of where a run is carried out; they are not part of its identity."""
    add_machine(parser, threads)
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="folder for downloaded images (data)")


def add_machine(parser: argparse.ArgumentParser, threads: int) -> None:
    """Flags of the device and the threads."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument(
        "--threads", type=whole(0), default=threads, metavar="N", help=f"CPU threads per run, 0 all ({threads})"
    )


MOST = 1024
"""Most processes or threads that can be asked for: more is a slip of the fingers, and takes the machine down."""


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """What reads a flag's whole number, in decimal digits alone, between two bounds."""

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        # A number of very many digits is not read at all.
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"takes a whole number from {least} to {most}, not {text[:40]!r}")
        return int(text)

    return read


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """The flag of how many processes work at a time."""
    parser.add_argument("--workers", type=whole(1), metavar="N", help=f"{what} (one per core)")


def flag(name: str) -> str:
    """A field's flag: its name with dashes."""
    return "--" + name.replace("_", "-")
