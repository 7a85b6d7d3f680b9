"""A small study with verdicts of every kind, and its page with one figure that is not drawn."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy
import pandas
from PIL import Image

from nas_stability.analysis.page import whole_page as pages
from nas_stability.analysis.report import Shown
from nas_stability.analysis.study import Study

NASBENCH201 = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
NASBENCH1SHOT1 = "01110/00101/00010/00001/00000 input,conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,output"
EVIL = """<script>alert("x")</script>'&\\"""

VERDICT_COLUMNS = (
    "claim statement space statistic unit estimate low high interval n missing p threshold verdict seeds_needed reason"
)
NAN = math.nan
VERDICTS = [
    ("second", "It grows", "a", "ratio", "1", 2.0, 1.5, 2.5, "95 % BCa", 6, 0, 0.0004, 1.0, "supported", NAN, ""),
    ("second", "It grows", "b", "ratio", "1", 1.1, 0.5, 1.7, "95 % BCa", 5, 1, 0.4, 1.0, "undecided", 14, "too wide"),
    ("first", "It falls", "a", "slope", "points", -1.0, NAN, NAN, "", 2, 4, NAN, 0.0, "undecided", 3, "2 seeds"),
    ("third", "It is flat", "a", "loss", "points", NAN, NAN, NAN, "", 0, 6, NAN, NAN, "no data", NAN, "no landscape"),
    ("fourth", "It ends better", "a", "gain", "points", -3.0, -5.0, -1.0, "95 % BCa", 6, 0, 0.2, 0.0,
     "not supported", NAN, ""),
]  # fmt: skip


def write_study(
    folder: Path, seeds: int = 3, epochs: int = 4, methods: tuple[str, ...] = ("sdarts-rs", "darts"), text: str = ""
) -> Path:
    """A study of finished runs in both kinds of space; ``text`` is appended to everything that is a text."""
    rng = numpy.random.default_rng(0)
    for space, size in (("nasbench201", 6), ("nasbench1shot1-s1", 5)):
        for method in methods:
            for seed in range(seeds):
                write_run(folder, space, method, seed, epochs, size, text, rng)
    return folder


def write_run(
    folder: Path, space: str, method: str, seed: int, epochs: int, size: int, text: str, rng: numpy.random.Generator
) -> None:
    """One of its runs. Seed 0 of darts lacks the table's answer in its last epoch."""
    run = f"{space}-{method}-digits-s{seed}-00000000"
    place = folder / run
    place.mkdir(parents=True)
    epoch = numpy.arange(epochs + 1)
    values = numpy.sort(rng.normal(size=(epochs + 1, size)), axis=1)
    accuracy = 50 + 40 * rng.random(epochs + 1)
    if (method, seed) == ("darts", 0):
        accuracy[-1] = numpy.nan
    two_hundred_one = space == "nasbench201"
    rows = pandas.DataFrame(
        {
            "run": run + text,
            "space": space,
            "method": method + text,
            "data": "digits",
            "seed": seed,
            "epoch": epoch,
            "arch": (NASBENCH201 if two_hundred_one else "0123456789abcdef") + text,
            "cell": "" if two_hundred_one else NASBENCH1SHOT1 + text,
            "train_loss": numpy.where(epoch == 0, numpy.nan, 1.0),
            "valid_loss": 1.0,
            "valid_accuracy": 60.0 + 0.3 * epoch,
            "discrete_valid_accuracy": 20.0,
            "eigenvalue_max": values[:, -1],
            "spectral_norm": abs(values).max(1),
            "hessian_trace": values.sum(1),
            "radius": numpy.nan if method == "darts" else 0.3,
            "accuracy_cifar10_valid": accuracy,
            "accuracy_cifar10_test": numpy.nan,
            "seconds": 1.0,
        }
    )
    rows.to_csv(place / "epochs.csv", index=False)
    spectrum = pandas.DataFrame(
        {"epoch": epoch.repeat(size), "index": numpy.tile(range(size), epochs + 1), "eigenvalue": values.ravel()}
    )
    spectrum.to_csv(place / "spectrum.csv", index=False)
    groups = [(6, 5)] if two_hundred_one else [(4, 3), (1, 5), (1, 3), (1, 4)]
    numpy.savez(
        place / "alphas.npz",
        **{f"group_{index}": rng.normal(size=(epochs + 1, *shape)) for index, shape in enumerate(groups)},
    )
    spec = {"space": space, "method": method + text, "seed": seed, "epochs": epochs, "width": 4, "flip": False}
    spec["depth"] = 1 if two_hundred_one else 3
    record: dict[str, Any] = {
        "run": run + text,
        "schema": 1,
        "spec": spec,
        "versions": {"python": "3.11.7", "torch": "2.4.0" if seed else "2.5.0"},
        "git_commit": "0123abc" + text,
        "device": "cpu (x86_64)",
        "table": {"name": "nasbench201", "source": "package 0.2.0" + text, "sha256": "fe" * 32},
        "table_queries": epochs + 1,
        "table_missing": 1 if (method, seed) == ("darts", 0) else 0,
        "seconds": 90.5,
    }
    (place / "spec.json").write_text(json.dumps(spec))
    (place / "run.json").write_text(json.dumps(record))


def verdicts(text: str = "") -> pandas.DataFrame:
    """One verdict of each kind and an undecided one without interval."""
    frame = pandas.DataFrame(VERDICTS, columns=VERDICT_COLUMNS.split())
    named = ["claim", "statement", "space", "statistic", "unit", "interval", "reason"]
    frame[named] = frame[named] + text
    return frame


def image() -> bytes:
    """A PNG."""
    written = io.BytesIO()
    Image.new("RGB", (660, 500), "white").save(written, "png")
    return written.getvalue()


def render(study: Study, found: pandas.DataFrame | None, text: str = "") -> str:
    """The page with one figure and two tables, without drawing."""
    shown = {"hessian": Shown(6.6, 5, f"How it was made.{text}")}
    table = pandas.DataFrame({"space": ["a" + text], "fall": [1.5], "fall_low": [1.0], "fall_high": [2.0]})
    table["fall_missing"] = 2
    tables = {"results": table, "own": pandas.DataFrame({"method" + text: ["b"], "flat": [NAN]})}
    return pages.page(study, shown, tables, found, {"hessian": image()})
