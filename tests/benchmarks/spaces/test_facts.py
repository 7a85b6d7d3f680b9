"""What a space is called and made of: one value that everything asks, and that a run's record may hold."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from nas_stability import analysis
from nas_stability.analysis import summaries, table_texts
from nas_stability.analysis.figures import final_cells
from nas_stability.analysis.figures.looks import looks_of
from nas_stability.benchmarks import catalog
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces import facts
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spaces.graphs import graphs
from nas_stability.benchmarks.spaces.space import softmax
from nas_stability.harness.runs.run import Watch, run
from tests.small import PLACE, load, random_alpha, small_spec

MINE = FACTS["nasbench201"]._replace(
    title="My space",
    operations={**FACTS["nasbench201"].operations, "skip_connect": facts.Operation("identity", "id", "skip")},
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one run in a space that nobody but its author has: NAS-Bench-201 by another name."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(FACTS, "mine", MINE)
        patched.setitem(SPACES, "mine", dataclasses.replace(SPACES["nasbench201"], name="mine", facts=MINE))
        spec = small_spec(space="mine", epochs=1, depth=1, table="none")
        run(spec, folder / spec.run_id, PLACE, Watch())
    return folder


@pytest.mark.parametrize("space", SPACES)
class TestContract:
    def test_the_space_and_the_registry_have_the_same_facts(self, space: str) -> None:
        assert SPACES[space].facts is FACTS[space]
        assert SPACES[space].name == space

    def test_operations_are_named_of_every_row_and_nothing_else_is(self, space: str) -> None:
        found = FACTS[space]
        for group, rows in found.groups.items():
            assert [len(row) for row in rows] == [SPACES[space].shapes[group][1]] * SPACES[space].shapes[group][0]
        assert {name for rows in found.groups.values() for row in rows for name in row} == found.operations.keys()

    def test_every_architecture_is_of_the_form(self, space: str) -> None:
        form = FACTS[space].form
        archs = [SPACES[space].discretize(softmax(random_alpha(space, scale))) for scale in (-4.0, -1.0, 0.0, 1.0, 4.0)]
        assert all(re.fullmatch(form.pattern, arch) for arch in archs)
        others = {"|none~0|", "", f"{archs[0]}x", archs[0].replace("none", "mine").upper(), "g" * 32}
        assert not any(re.fullmatch(form.pattern, arch) for arch in others)

    def test_a_decided_mixture_is_read_as_a_graph_of_its_operations(self, space: str) -> None:
        mixture = softmax(random_alpha(space, 2.0))
        found = graphs(FACTS[space].form, SPACES[space].discretize(mixture), SPACES[space].describe(mixture))
        assert list(found) == ([""] if SPACES[space].cells else ["normal", "reduction"])
        for graph in found.values():
            named = {*graph.nodes, *(operation for _, _, operation in graph.edges)} & FACTS[space].operations.keys()
            assert named
            assert all(source < target < len(graph.nodes) for source, target, _ in graph.edges)

    def test_they_come_back_from_json(self, space: str) -> None:
        assert facts.from_json(json.loads(json.dumps(FACTS[space].json()))) == FACTS[space]


def test_a_space_whose_facts_name_other_choices_than_it_has_is_refused() -> None:
    short = MINE._replace(groups={0: (tuple(MINE.operations)[:4],) * 6})
    with pytest.raises(ValueError, match=r"name \[4, 4, 4, 4, 4, 4\] choices in the rows of group 0: \(6, 5\)"):
        dataclasses.replace(SPACES["nasbench201"], facts=short)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"title": 1},
        {"operations": {"none": {"label": "none", "short": "none", "kind": "mine"}}},
        {"operations": {}},
        {"operations": {"none": {"label": 1, "short": "none", "kind": "none"}}},
        {"groups": [["none"]]},
        {"form": {"pattern": "", "words": "", "notation": "mine"}},
        {"form": {"pattern": "", "words": "", "mine": ""}},
    ],
)
def test_what_is_no_facts_is_refused(broken: object) -> None:
    whole = FACTS["nasbench201"].json()
    with pytest.raises(ValueError, match="these are no facts of a space"):
        facts.from_json({**whole, **broken} if isinstance(broken, dict) and broken else broken)


def test_a_record_holds_the_facts_of_a_space_that_is_not_built_in_and_only_those(
    recorded: Path, tmp_path: Path
) -> None:
    (record,) = (json.loads(path.read_bytes()) for path in recorded.glob("*/run.json"))
    assert facts.from_json(record["space_facts"]) == MINE
    run(small_spec(epochs=1, table="none"), tmp_path / "run", PLACE, Watch())
    assert "space_facts" not in json.loads((tmp_path / "run" / "run.json").read_bytes())


def test_the_analysis_reads_them_without_the_space(recorded: Path) -> None:
    study = analysis.load(recorded)
    assert "mine" not in FACTS
    assert study.facts_of("mine") == MINE
    assert not [name for name in study.runs if name.startswith("space_facts")]
    assert "My space" in table_texts.latex(summaries.results(study), facts=study.facts)
    assert looks_of(study)["skip_connect"].name == "identity"
    shares = final_cells.operation_shares(study, "mine", "darts")
    assert set(shares["operation"]) == set(MINE.operations)
    drawn = final_cells.final_graphs(study)
    assert drawn is not None
    assert drawn.figure.axes[0].get_title().startswith("My space\nDARTS, seed 0")


def test_of_a_space_of_which_nothing_is_told_the_name_is_known(recorded: Path, tmp_path: Path) -> None:
    (place,) = recorded.glob("*/run.json")
    record = json.loads(place.read_bytes())
    del record["space_facts"]
    copy = tmp_path / place.parent.name
    copy.mkdir()
    for path in place.parent.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "run.json").write_text(json.dumps(record))
    study = load(tmp_path)
    assert study.facts_of("mine").title == "mine"
    shares = final_cells.operation_shares(study, "mine", "darts")
    assert list(shares["operation"].unique()) == [f"choice {index}" for index in range(5)]
    assert final_cells.final_graphs(study) is None
    (copy / "run.json").write_text(json.dumps({**record, "space_facts": {"title": "My space"}}))
    with pytest.raises(BadInput, match=r"run\.json cannot be read: these are no facts of a space"):
        load(tmp_path)


def test_a_table_is_held_to_the_form_of_the_space() -> None:
    assert catalog.open_table("nasbench201", "nasbench201") is not None
    with pytest.raises(BadInput, match="nasbench1shot1-s1 has NAS-Bench-101 module hashes of 32 hexadecimal digits"):
        catalog.open_table("nasbench201", "nasbench1shot1-s1")
