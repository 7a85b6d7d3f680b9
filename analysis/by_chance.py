"""What random search would find, as the runs of a study recorded it: the line to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas

from nas_stability.analysis.names import RANDOM, answer_of
from nas_stability.analysis.study import Study

BEST_OF = "best_of_"


CAPTION = " Dashed: the expectation for an architecture drawn uniformly from the space, exactly, by the table."


def random_search(study: Study, space: str, answer: str) -> dict[int, float]:
    """Architectures drawn -> expected accuracy in percent of the best of them by validation, by the runs of a space.

    Empty where no run recorded it (an earlier version did not), or where runs asked different tables or budgets.

    Args:
        study: that is read.
        space: one of the study's.
        answer: DATASET_SPLIT.
    """
    column = f"{RANDOM}.{answer}"
    here = study.runs[study.runs["space"] == space]
    told = [found for found in here[column] if isinstance(found, Mapping)] if column in here else []
    if not told or any(found != told[0] for found in told):
        return {}
    return {
        int(name.removeprefix(BEST_OF)): float(value) for name, value in told[0].items() if name.startswith(BEST_OF)
    }


def level(study: Study, space: str, column: str) -> float | None:
    """What a column of epochs.csv would be, in expectation, for an architecture drawn at random; None if not known.

    Args:
        study: that is read.
        space: one of the study's.
        column: accuracy_, error_, lowest_error_ or regret_DATASET_SPLIT; of any other it is not known.
    """
    accuracy = random_search(study, space, answer_of(column)).get(1)
    if accuracy is None or not column.startswith(("accuracy_", "error_", "lowest_error_", "regret_")):
        return None
    if column.startswith("accuracy_"):
        return accuracy
    if column.startswith("regret_"):
        if column not in study.epochs:
            return None
        rows = study.epochs[study.epochs["space"] == space]
        best = (rows[column] + rows[f"accuracy_{answer_of(column)}"]).dropna()
        return float(best.iloc[0]) - accuracy if len(best) else None
    return 100 - accuracy


def levels(study: Study, wanted: Sequence[tuple[str, str]]) -> pandas.DataFrame:
    """The levels of pairs (space, column) as rows of a figure's numbers, at the first and the last epoch."""
    rows = []
    for space, column in wanted:
        value = level(study, space, column)
        if value is not None:
            epochs = study.epochs.loc[study.epochs["space"] == space, "epoch"]
            rows += [
                {
                    "space": space,
                    "column": column,
                    "method": RANDOM,
                    "epoch": epoch,
                    "seeds": 0,
                    "missing": 0,
                    "mean": value,
                }
                for epoch in sorted({int(epochs.min()), int(epochs.max())})
            ]
    return pandas.DataFrame(rows)


def results(study: Study, space: str, answer: str) -> list[dict[str, object]]:
    """Rows for the table of results: random search with each number of draws, by its final accuracy and regret."""
    regret = level(study, space, f"regret_{answer}")
    found = random_search(study, space, answer)
    return [
        {
            "space": space,
            "method": RANDOM if draws == 1 else f"{RANDOM}-best-of-{draws}",
            "answer": answer,
            "seeds": 0,
            "final": accuracy,
            "regret": None if regret is None else regret + found[1] - accuracy,
        }
        for draws, accuracy in found.items()
    ]
