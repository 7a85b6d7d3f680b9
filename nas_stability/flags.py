"""What the verbs' parsers share: exit codes, the parser, flags of where and how something is carried out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.harness.specs.fields import number_from

FAILED, MISUSED, REQUEUE, BROKEN_OFF = 1, 2, 75, 130
"""REQUEUE: stopped by a signal with everything saved, a temporary failure in sysexits.h. BROKEN_OFF: by Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one line of ours, and flags that may be spelled with underscores."""

    # argparse types this as two overloads, of which only one is used here.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does, with ``--batch_size`` read as ``--batch-size``; of what is unknown, values are left out."""
        given = sys.argv[1:] if args is None else list(args)
        end = given.index("--") if "--" in given else len(given)
        found, rest = super().parse_known_args([*map(self.dashed, given[:end]), *given[end:]], namespace)
        return found, [text.partition("=")[0] if text.startswith("--") else text for text in rest]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A verb or choice that does not exist: with the nearest one alone, as names are everywhere."""
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, str(unknown("value", value, map(str, action.choices))))

    def dashed(self, text: str) -> str:
        """A flag of this parser that was written with underscores, as it is; any other text as it stands."""
        name, equals, value = text.partition("=")
        wanted = name.replace("_", "-")
        return wanted + equals + value if name.startswith("--") and wanted in self._option_string_actions else text

    def print_help(self, file: Any = None) -> None:
        """argparse's own says nothing where it could not be written."""
        (file or sys.stdout).write(self.format_help())

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
    parser.add_argument(
        "--data-dir", type=folder, default=Path("data"), metavar="DIR", help="folder for downloaded images (data)"
    )


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


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Flags of who carries something out: processes here, or the workers of a dask cluster."""
    parser.add_argument(
        "--backend",
        choices=("local", "dask", "loky"),
        default="local",
        metavar="local|dask",
        help="processes here, once called loky, or a cluster (local)",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", default="", help="of dask, for --backend dask")


def refuse_half_a_cluster(options: argparse.Namespace) -> None:
    """Passes the flags of ``add_cluster`` where they fit each other.

    Raises:
        BadInput: one without the other.
    """
    if (options.backend == "dask") != bool(options.scheduler):
        raise BadInput("--backend dask and --scheduler ADDRESS go together")


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """The flag of how many processes work at a time."""
    parser.add_argument("--workers", type=whole(1), metavar="N", help=f"{what} (one per core)")


def flag(name: str) -> str:
    """A field's flag: its name with dashes."""
    return "--" + name.replace("_", "-")


def folder(text: str) -> Path:
    """What reads a flag's folder or file: ``~`` is the home folder, whether or not the shell has put it in."""
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"takes a path, not {shown(text)}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{shown(text)}: there is no such home folder") from None


def integer(text: str) -> int:
    """What reads a flag's integer, in ASCII digits alone."""
    return int(read(int, text))


def number(text: str) -> float:
    """What reads a flag's number, in ASCII digits alone."""
    return float(read(float, text))


def read(kind: type[int] | type[float], text: str) -> int | float:
    """A number, read as those of a spec's fields are."""
    found = number_from(kind, text)
    if found is None:
        raise argparse.ArgumentTypeError(f"takes {kind.__name__}, not {shown(text)}")
    return found
