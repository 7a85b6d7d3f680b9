"""The verb that sends records to the tools that people look at already: export."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nas_stability.flags import FAILED, Verbs, finish, folder
from nas_stability.reading import add_unverified

if TYPE_CHECKING:
    from nas_stability.analysis.exporting.export import Exported

TRACKERS = {
    "tensorboard": "tensorboard --logdir {place}",
    "mlflow": "mlflow ui --backend-store-uri {store}",
    "wandb": "wandb sync {place}/wandb/offline-run-*",
}
"""Tracker -> the command that shows what was exported; a test holds them to EXPORTERS, which takes pandas."""


def add_verbs(verbs: Verbs) -> None:
    """export."""
    parser = verbs.add_parser("export", help="a study's records to a tracker", allow_abbrev=False)
    parser.add_argument("folder", metavar="STUDY", type=folder)
    parser.add_argument("--to", required=True, metavar="|".join(TRACKERS), choices=tuple(TRACKERS), help="the tracker")
    parser.add_argument("--out", metavar="DIR", type=folder, help="where to write (STUDY-TRACKER, beside the study)")
    parser.add_argument("--follow", action="store_true", help="go on until every run is done or failed")
    add_unverified(parser)
    finish(parser, export_verb)


def export_verb(options: argparse.Namespace) -> int:
    """Tells the tracker what it has not been told yet."""
    from nas_stability.analysis.exporting.export import export

    heard = print_news if options.follow else lambda exported: None
    found = export(options.folder, options.to, options.out, not options.unverified, options.follow, heard)
    if options.unverified:
        print("nas-stability: not verified: the files were taken as they are", file=sys.stderr)
    if found.waiting:
        print(f"without {found.waiting} runs that have not begun", file=sys.stderr)
    for line in found.damaged:
        print(f"nas-stability: left out: {line}", file=sys.stderr)
    print(f"exported: {len(found.runs)} runs, {found.epochs} new epochs: {found.place}")
    print(f"look: {how_to_look(options.to, found.place)}")
    return FAILED if found.damaged else 0


def print_news(exported: Exported) -> None:
    """What was new, while a study is followed."""
    print(f"{len(exported.runs)} runs, {exported.epochs} new epochs", file=sys.stderr, flush=True)


def how_to_look(tracker: str, place: Path) -> str:
    """The command that shows what was exported."""
    store = ""
    if tracker == "mlflow":
        from nas_stability.analysis.exporting.mlflow_runs import store as store_of

        store = store_of(place)
    return TRACKERS[tracker].format(place=shlex.quote(str(place)), store=shlex.quote(store))
