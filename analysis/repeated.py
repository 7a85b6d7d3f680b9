"""A study with some of its runs once more under another method's name, so that every table and figure takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy
import pandas

from nas_stability.analysis.study import Study


def repeated(
    study: Study,
    runs: Sequence[str],
    ending: str,
    ends: Mapping[str, int] | None = None,
    variant: str | None = None,
) -> Study:
    """The study with each of some runs once more, as RUN-ENDING of METHOD-ENDING.

    Args:
        study: that is read.
        runs: ids of those that are there again.
        ending: of the methods' names.
        ends: run -> the epoch with which its rows end; None: with its last.
        variant: of all that are there again; None: that of the run.
    """
    named = {run: f"{run}-{ending}" for run in runs}

    def again(frame: pandas.DataFrame) -> pandas.DataFrame:
        found = frame[frame["run"].astype(str).isin(named)]
        origin = found["run"].astype(str)
        method = found["method"].astype(str) + f"-{ending}"
        found = found.assign(run=origin.map(named), method=method, **({} if variant is None else {"variant": variant}))
        if ends is None or "epoch" not in found:
            return found
        last = numpy.array([ends[name] for name in origin], dtype=numpy.int64)
        return found[found["epoch"].to_numpy() <= last]

    return dataclasses.replace(
        study,
        epochs=joined([study.epochs, again(study.epochs)]),
        spectrum=joined([study.spectrum, again(study.spectrum)]),
        runs=joined([study.runs, again(study.runs)]),
        places=study.places | {named[run]: study.places[run] for run in runs if run in study.places},
        ends={**study.ends, **{named[run]: end for run, end in (ends or {}).items()}},
    )


def joined(frames: Sequence[pandas.DataFrame]) -> pandas.DataFrame:
    """Frames one below the other, with texts for what were categories."""
    plain = [frame.astype({"run": str, "method": str, "variant": str}) for frame in frames]
    return pandas.concat(plain, ignore_index=True)
