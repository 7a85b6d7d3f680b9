"""Pages that are made from the code have all of it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import nas_stability
from nas_stability.analysis.claims.statements import TEMPLATES
from nas_stability.analysis.figures.figures import FIGURES
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.command_line import build_parser, every
from nas_stability.field_flags import text_of
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.spec import FIELDS
from nas_stability.harness.training import protocol

ROOT = Path(__file__).parents[2]


def sections(page: str, level: int) -> dict[str, str]:
    """Heading, without code marks and anchor -> its section's text."""
    parts = re.split(rf"^{'#' * level} `?([^`{{\n]+?)`?(?: \{{[^}}]*\}})?$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_field_has_its_entry_with_help_and_default(made: type) -> None:
    found = sections(made.command_pages.run_fields(), 3)
    assert list(found) == list(FIELDS)
    for name, field in FIELDS.items():
        text = found[name].replace("\\", "")
        assert str(field.metadata["help"])[1:] in text, name
        if isinstance(field.default, int | float):
            assert f"default `{text_of(field.default)}`" in text, name
        if field.metadata["range"] is not None:
            assert str(field.metadata["range"]) in text, name


def test_a_default_that_depends_on_the_space_says_for_which(made: type) -> None:
    text = sections(made.command_pages.run_fields(), 3)["batch_size"]
    for space, facts in FACTS.items():
        assert re.search(rf"`{facts.defaults['batch_size']}` \([^)]*\b{re.escape(space)}\b", text), space
    assert made.command_pages.grouped({"a": 1, "b": 2, "c": 1}) == "`1` (a, c), `2` (b)"
    assert "`0` (digits)" in sections(made.command_pages.run_fields(), 3)["crop_padding"]


def test_every_group_of_fields_begins_with_one_that_exists(made: type) -> None:
    assert made.command_pages.GROUPS.keys() <= FIELDS.keys()
    assert made.command_pages.LINKED.keys() <= FIELDS.keys()
    page = made.command_pages.run_fields()
    assert set(made.command_pages.GROUPS.values()) == set(re.findall(r"^## (.+)$", page, re.MULTILINE))


def test_every_field_of_training_has_its_entry(made: type) -> None:
    assert list(sections(made.command_pages.protocol_fields(), 3)) == list(protocol.FIELDS)


def test_every_verb_and_every_flag_is_told(made: type) -> None:
    found = sections(made.command_pages.command_line(), 2)
    parsers = {parser.prog.removeprefix("nas-stability "): parser for parser in every(build_parser())}
    assert found.keys() == parsers.keys()
    assert len(found) > 20
    for name, parser in parsers.items():
        for action in parser._actions:
            if action.dest in ("help", "debug") or action.dest.startswith("field_"):
                continue
            for flag in action.option_strings:
                assert f"`{flag}" in found[name] or f", {flag}" in found[name], (name, flag)


def test_a_flag_is_told_with_its_value_and_its_help_and_what_is_needed_is_in_the_usage(made: type) -> None:
    parser = argparse.ArgumentParser(prog="nas-stability make tea", add_help=False)
    parser.add_argument("leaves", metavar="LEAVES", nargs="+")
    parser.add_argument("--pot", required=True, help="of 100%% clay_ware")
    parser.add_argument("--milk", action="store_true")
    told = made.command_pages.verb(parser, "makes tea")
    assert "## make tea { #make-tea }\n\nMakes tea.\n" in told
    assert "nas-stability make tea LEAVES... --pot POT [FLAGS]\n" in told
    assert "`--pot POT`\n:   of 100% clay\\_ware\n" in told
    assert "`--milk`\n:   as its name says\n" in told


@pytest.mark.parametrize(
    ("page", "names"),
    [("methods", METHODS), ("figures", FIGURES)],
)
def test_everything_in_a_registry_has_its_definition(made: type, page: str, names: dict[str, object]) -> None:
    text = made.list_pages.pages()[f"reference/{page}.md"]
    for name in names:
        assert re.search(rf"^`{re.escape(name)}`\n:   \S.{{3}}", text, re.MULTILINE), name


@pytest.mark.parametrize(
    ("page", "names"),
    [("spaces", FACTS), ("claims", TEMPLATES), ("studies", study_file.shipped())],
)
def test_everything_in_a_registry_has_its_section(made: type, page: str, names: dict[str, object]) -> None:
    found = sections(made.list_pages.pages()[f"reference/{page}.md"], 2)
    assert list(found) == list(names)
    assert all(len(text) > 60 for text in found.values())


def test_a_claim_is_told_with_its_sentence_and_its_threshold(made: type) -> None:
    found = sections(made.list_pages.claims(), 2)
    assert (
        "Late in the search the Hessian's norm is smaller under SDARTS-RS than under DARTS." in found["hessian-smaller"]
    )
    assert "below 0.800 times" in found["hessian-smaller"]
    assert "each BASE-adv with its BASE-rs" in found["more-stable"]


def test_the_tables_of_the_page_do_not_depend_on_the_machine(
    made: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = made.list_pages.shipped_tables()
    monkeypatch.setenv("NAS_STABILITY_TABLES", str(tmp_path))
    assert made.list_pages.shipped_tables() == page
    assert str(ROOT) not in page
    assert {"nasbench101", "darts-digits"} <= set(re.findall(r"^`([\w-]+)`$", page, re.MULTILINE))


def test_every_public_name_is_on_the_page_of_the_package(made: type) -> None:
    page = made.python_pages.public()
    for name in nas_stability.__all__:
        assert re.search(rf"^(::: nas_stability\.[\w.]+\.{name}|\* \[`{name}`\]\(.+\))$", page, re.MULTILINE), name


def test_every_module_with_a_page_exists(made: type) -> None:
    for group in made.python_pages.MODULES.values():
        for module in group:
            path = ROOT / "nas_stability" / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), module
