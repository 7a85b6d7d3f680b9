"""The verb that brings in searches which others carried out: import."""

from __future__ import annotations

import argparse
from pathlib import Path

from nas_stability.flags import Verbs, finish, folder
from nas_stability.harness.records.outputs import refuse_output

LAYOUTS = {"robustdarts": "errors_N.json, derivatives_N.json, log_N.txt", "1shot1": "one_shot_architecture_EPOCH.obj"}


def add_verbs(verbs: Verbs) -> None:
    """import"""
    parser = verbs.add_parser("import", help="searches that others carried out, as a study", allow_abbrev=False)
    told = "; ".join(f"{name}: {what}" for name, what in LAYOUTS.items())
    parser.add_argument("layout", metavar="LAYOUT", choices=tuple(LAYOUTS), help=told)
    parser.add_argument("logs", metavar="DIR", type=folder, help="of the logs; folders in it are looked through")
    parser.add_argument("--out", metavar="STUDY", type=folder, required=True, help="folder of the study, made here")
    parser.add_argument("--method", default="darts", help="of 1shot1, whose logs do not say (darts)")
    parser.add_argument("--data", default="cifar10", help="of 1shot1, likewise (cifar10)")
    parser.add_argument("--table", default="auto", help="of 1shot1: that the architectures are asked of (auto)")
    parser.add_argument("--source", default="", help="who carried the searches out, and where they are published")
    parser.add_argument("--licence", default="", help="of the logs")
    finish(parser, import_verb)


def import_verb(options: argparse.Namespace) -> int:
    """Reads the logs and writes them as a study."""
    from nas_stability.harness.importing import one_shot, robustdarts
    from nas_stability.harness.importing.imported import write_study

    out: Path = options.out
    refuse_output(out)
    if options.layout == "robustdarts":
        runs, source = robustdarts.read(options.logs), robustdarts.SOURCE
    else:
        runs = one_shot.read(options.logs, options.method, options.data, options.table)
        source = one_shot.SOURCE
    given = {"name": options.source, "licence": options.licence}
    source = source._replace(**{name: text for name, text in given.items() if text})
    write_study(runs, out, source)
    print(f"imported: {len(runs)} searches from {source.name} (licence: {source.licence}) to {out}")
    return 0
