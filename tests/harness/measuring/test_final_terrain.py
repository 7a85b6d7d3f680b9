"""geometry.csv of a study: each run's last architecture in its table, by networkx and double loops, and held to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import networkx
import numpy
import pandas
import pytest

from nas_stability.analysis import study, summaries
from nas_stability.analysis.surrounded import final_terrain as read_terrain
from nas_stability.benchmarks.catalog import SPACES, open_listed
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.spaces.decision_graph import decision_graph
from nas_stability.command_line import main
from nas_stability.flags import MISUSED
from nas_stability.harness.measuring import final_terrain
from nas_stability.harness.records.outputs import TERRAIN
from nas_stability.harness.runs.run import Watch
from nas_stability.harness.runs.run import run as execute
from tests.small import PLACE, small_spec

PUBLISHED = Path(__file__).parents[3] / "results" / "published"
TABLES = {"nasbench201": ("nasbench201", 200), "nasbench1shot1-s1": ("nasbench1shot1-s1-digits", 6)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of each space of ``quick`` with their geometry.csv."""
    folder = tmp_path_factory.mktemp("written") / "runs"
    for pattern in ("nasbench201-darts-*-s2[01]-*", "nasbench1shot1-s1-sdarts-rs-*-s2[01]-*"):
        for place in (PUBLISHED / "quick").glob(pattern):
            shutil.copytree(place, folder / place.name)
    found = final_terrain.write_final_terrain(folder)
    assert (found.path, found.runs, dict(found.without)) == (folder / TERRAIN, 4, {})
    return folder


def copied(folder: Path, tmp_path: Path) -> Path:
    """The same runs once more."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_rows_are_those_of_every_shortest_path(written: Path) -> None:
    """Distance, barrier and surroundings by networkx, over the literal list of shortest paths to the best."""
    rows = pandas.read_csv(written / TERRAIN)
    assert len(rows) == 2 * 3 + 2 * 2, "three data sets of NAS-Bench-201, two splits of the digits"
    for space, (name, epochs) in TABLES.items():
        table, graph = open_listed(name), decision_graph(SPACES[space])
        literal = networkx.Graph((one, int(two)) for one in range(len(graph.archs)) for two in graph.neighbours(one))
        for row in rows[rows["space"] == space].to_dict("records"):
            values = table.scores(graph.archs, *row["answer"].split("_"), epochs)
            own = graph.archs.index(row["arch"])
            assert row["accuracy"] == values[own]
            best = [place for place in range(len(values)) if values[place] == values.max()]
            far = networkx.single_source_shortest_path_length(literal, own)
            nearest = [place for place in best if far[place] == min(far[place] for place in best)]
            assert row["distance"] == far[nearest[0]]
            lowest = [min(values[list(path)]) for one in nearest for path in paths(literal, own, one)]
            assert row["barrier"] == values[own] - max(lowest)
            around = values[[place for place, steps in far.items() if 0 < steps <= 2]]
            assert (row["around"], row["missing"], row["worst"]) == (len(around), 0, around.min())
            assert row["mean"] == pytest.approx(around.mean())
            assert row["alike"] == pytest.approx(100 * (abs(around - values[own]) <= 1).mean())


def paths(graph: networkx.Graph, one: int, other: int) -> list[list[int]]:
    """Every shortest path, ends included."""
    return list(networkx.all_shortest_paths(graph, one, other))


def test_a_report_has_the_means_over_seeds(written: Path) -> None:
    loaded = study.load(written)
    table = summaries.OCCASIONAL["geometry"](loaded)
    assert table is not None
    rows = pandas.read_csv(written / TERRAIN)
    for row in table.to_dict("records"):
        here = rows[(rows["space"] == row["space"]) & (rows["answer"] == row["answer"])]
        assert (len(here), row["seeds"]) == (2, 2)
        for name in ("distance", "barrier", "alike", "mean", "worst"):
            assert row[f"around_{name}"] == pytest.approx(here[name].mean())
            assert numpy.isnan(row[f"around_{name}_low"]), "of two seeds there is no interval"
    assert len(table) == 3 + 2


def test_a_study_without_it_has_no_table(written: Path, tmp_path: Path) -> None:
    folder = copied(written, tmp_path)
    (folder / TERRAIN).unlink()
    assert summaries.OCCASIONAL["geometry"](study.load(folder)) is None


@pytest.mark.parametrize(("column", "value"), [("accuracy", 12.0), ("arch", "x"), ("epoch", 3)])
def test_a_row_of_something_else_is_refused(written: Path, tmp_path: Path, column: str, value: object) -> None:
    folder = copied(written, tmp_path)
    rows = pandas.read_csv(folder / TERRAIN).astype({column: object})
    rows.loc[4, column] = value
    rows.to_csv(folder / TERRAIN, index=False)
    with pytest.raises(
        CorruptFile, match=r"is not of what .* ended with; nas-stability report .* --geometry writes it"
    ):
        read_terrain(study.load(folder))
    assert read_terrain(study.load(folder, verify=False)) is not None


def test_the_runs_are_not_touched(written: Path) -> None:
    """Every file of every run is that of the published study."""
    for place in written.glob("nasbench*"):
        for path in place.iterdir():
            assert path.read_bytes() == (PUBLISHED / "quick" / place.name / path.name).read_bytes()


def test_the_verb_writes_and_draws(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(written, tmp_path)
    (folder / TERRAIN).unlink()
    assert main(["report", str(folder), "--geometry", "--only", "geometry", "--workers", "1"]) == 0
    assert f"geometry of 4 runs: {folder / TERRAIN}" in capsys.readouterr().out
    assert (folder / TERRAIN).read_bytes() == (written / TERRAIN).read_bytes()
    text = (folder / "report" / "geometry.md").read_text()
    assert "| decisions from the best |" in text
    assert "Where the last architecture of a search lies in the table" in text


def test_what_has_no_geometry_says_why(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(written.glob("nasbench201-*"))
    with pytest.raises(BadInput, match="is a run's folder; name that of its study"):
        final_terrain.write_final_terrain(run)
    spec = small_spec(space="darts-s2", epochs=1, hessian=False)
    execute(spec, tmp_path / "runs" / spec.run_id, PLACE, Watch())
    assert main(["report", str(tmp_path / "runs"), "--geometry"]) == MISUSED
    assert "no run of" in (said := capsys.readouterr().err)
    assert "has a geometry: darts-s2 has too many architectures to list" in said
    folder = copied(written, tmp_path)
    shutil.copytree(tmp_path / "runs" / spec.run_id, folder / spec.run_id)
    found = final_terrain.write_final_terrain(folder)
    assert list(final_terrain.by_reason(found.without, "geometry")) == [
        f"no geometry of 1 run ({spec.run_id}): darts-s2 has too many architectures to list"
    ]
    assert spec.run_id not in found.path.read_text()


def test_a_run_without_a_table_says_so(tmp_path: Path) -> None:
    spec = small_spec(table="none", epochs=1, hessian=False)
    execute(spec, tmp_path / "runs" / spec.run_id, PLACE, Watch())
    with pytest.raises(BadInput, match="has a geometry: it asked no table"):
        final_terrain.write_final_terrain(tmp_path / "runs")


def test_an_architecture_that_the_space_does_not_reach_is_not_guessed(written: Path) -> None:
    del written
    graph = decision_graph(SPACES["nasbench1shot1-s1"])
    table = open_listed("nasbench1shot1-s1-digits")
    found = final_terrain.over(graph, table, "digits", "valid", 6)
    row = final_terrain.row_of(found, "f" * 32)
    assert row == {"arch": "f" * 32, **dict.fromkeys(final_terrain.COLUMNS)}
