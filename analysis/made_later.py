"""Files that a report's flags write beside a study's runs: their rows, held to what the runs ended with."""

from __future__ import annotations

import pandas

from nas_stability.analysis.study import Study
from nas_stability.analysis.variants import with_variant
from nas_stability.benchmarks.errors import CorruptFile


def rows_made_later(study: Study, name: str) -> pandas.DataFrame | None:
    """The rows of a file of the study's folder about the runs that are there, each with the variant of its run.

    None where nobody asked for the file.
    """
    path = study.folder / name
    if not path.exists():
        return None
    rows = pandas.read_csv(path, dtype={"arch": str})
    return with_variant(rows[rows["run"].isin(study.places)], study.runs)


def last_epochs(study: Study, rows: pandas.DataFrame) -> pandas.DataFrame:
    """Of each row the last recorded epoch of its run."""
    return study.epochs.groupby("run", observed=True).tail(1).set_index("run").loc[rows["run"]]


def alike(left: pandas.Series, right: pandas.Series) -> pandas.Series:
    """Row by row, whether two columns say the same; what neither knows counts as the same."""
    one, other = left.reset_index(drop=True), right.reset_index(drop=True)
    return (one == other) | (one.isna() & other.isna())


def refuse_other_ends(study: Study, name: str, rows: pandas.DataFrame, same: pandas.Series, flag: str) -> None:
    """Refuses rows that are not of what their runs ended with, in a study whose records were verified.

    Args:
        study: whose they are.
        name: of the file.
        rows: of it.
        same: of each row, in their order, whether it is.
        flag: of report, which writes the file.

    Raises:
        CorruptFile: one is not.
    """
    wrong = rows["run"][~same.to_numpy(dtype=bool)]
    if study.verified and len(wrong):
        raise CorruptFile(
            f"the file {study.folder / name} is not of what {wrong.iloc[0]} ended with; nas-stability report "
            f"{study.folder} {flag} writes it again"
        )
