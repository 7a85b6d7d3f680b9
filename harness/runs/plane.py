"""The plane of a landscape: its grid, its directions, and its file, which certifies the rows so far."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.harness.records.record import LANDSCAPE, PLANE
from nas_stability.harness.records.sealed import opened, sealed
from nas_stability.harness.runs.saving import cut_back

UNFINISHED = LANDSCAPE + ".unfinished"


MOST_POINTS = 1001
"""Per axis: a million points take days."""


FARTHEST = 1e6
"""Of the reach: at logits of 30 a softmax is decided, and what is far beyond overflows."""


class Grid(NamedTuple):
    """The points of a plane: ``points`` x ``points`` (odd: the middle is the run itself), x and y in [-reach, reach].

    The unit of ``reach`` is that of the logits; both directions have the L2 norm 1 over all of them.
    """

    points: int = 21
    reach: float = 1.5

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Of each axis, in ascending order; the middle one is exactly 0."""
        last = self.points - 1
        return tuple(self.reach * (2 * index - last) / last for index in range(self.points))

    @property
    def pairs(self) -> Iterator[tuple[float, float]]:
        """(x, y) of each row of landscape.csv: x varies fastest."""
        return ((x, y) for y in self.coordinates for x in self.coordinates)


class Plane(NamedTuple):
    """What landscape.json holds: the plane, and what it was measured on.

    Attributes:
        run: id of the run.
        schema: version of the columns.
        grid: points per axis.
        reach: of each axis, in units of the logits.
        epoch: of the checkpoint.
        checkpoint: SHA-256 of its file.
        device: on which the supernet was evaluated.
        table: SHA-256 of the table's source; None where there is none.
        gradient_norm: L2 norm of the gradient of the validation loss with respect to all logits, in nats.
        gradient: the direction of x (n,), groups of logits flattened and concatenated in order.
        random: the direction of y, likewise.
        data: SHA-256 over the tensors of the data set; None where it was not recorded.
        rows: bytes and SHA-256 of the rows so far, at the end of landscape.csv; None before the first.
    """

    run: str
    schema: int
    grid: int
    reach: float
    epoch: int
    checkpoint: str
    device: str
    table: str | None
    gradient_norm: float
    gradient: list[float]
    random: list[float]
    data: str | None = None
    rows: dict[str, Any] | None = None


def read_plane(folder: Path) -> Plane:
    """landscape.json.

    Raises:
        CorruptFile: it is not one of this version.
    """
    try:
        return Plane(**opened(folder / PLANE, "a landscape's"))
    except (CorruptFile, TypeError) as error:
        raise CorruptFile(f"the file {folder / PLANE} is not a landscape's: {error}; --again replaces it") from error


def write_plane(folder: Path, plane: Plane) -> None:
    """Replaces landscape.json."""
    files.write(folder / PLANE, sealed(plane._asdict()))


def refuse_other(there: Plane, wanted: dict[str, Any], folder: Path) -> None:
    """Refuses to go on with a landscape of other settings.

    Raises:
        BadInput: naming the first that differs.
    """
    for name, value in wanted.items():
        if getattr(there, name) != value:
            raise BadInput(
                f"the folder {folder} holds a landscape of another {name}: {getattr(there, name)} there and {value} "
                "here; --again replaces it"
            )


def certified_lines(path: Path, plane: Plane) -> int:
    """Lines of the unfinished file, 0 where there is none; what is ahead of landscape.json is cut off.

    Raises:
        CorruptFile: they are others than landscape.json says.
    """
    if plane.rows is None:
        path.unlink(missing_ok=True)
        return 0
    cut_back(path, plane.rows["bytes"], plane.rows["sha256"], f"{PLANE} goes on from; --again begins anew")
    return path.read_bytes().count(b"\n")
