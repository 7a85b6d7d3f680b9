"""Protocols: the published numbers, what is given in their place, what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.specs import study_file
from nas_stability.harness.training.protocol import FIELDS, PRESETS, Protocol, Request, network_id, protocol_for


def of(space: str, searched: str, preset: str = "paper", **given: Any) -> Protocol:
    return protocol_for(preset, SPACES[space].facts, searched, given, Path())


@pytest.mark.parametrize(
    ("data", "cells", "width", "cutout", "padding", "flip"),
    [("cifar10", 20, 36, 16, 4, True), ("cifar100", 8, 16, 16, 4, True), ("svhn", 8, 16, 16, 4, True)],
)
def test_darts_cells_as_published(data: str, cells: int, width: int, cutout: int, padding: int, flip: bool) -> None:
    found = of("darts-s2", data)
    assert (found.cells, found.width, found.cutout, found.crop_padding, found.flip) == (
        cells,
        width,
        cutout,
        padding,
        flip,
    )
    assert (found.epochs, found.batch_size, found.lr, found.lr_min, found.momentum) == (600, 96, 0.025, 0.0, 0.9)
    assert (found.weight_decay, found.grad_clip, found.auxiliary, found.drop_path) == (3e-4, 5.0, 0.4, 0.2)
    assert (found.train, found.lr_epoch_shift, found.nesterov) == ("all", 1, False)


def test_the_tabular_benchmarks_as_published() -> None:
    found = of("nasbench201", "cifar10")
    assert (found.epochs, found.batch_size, found.lr, found.nesterov, found.weight_decay) == (200, 256, 0.1, True, 5e-4)
    assert (found.cells, found.width, found.auxiliary, found.drop_path, found.cutout) == (5, 16, 0.0, 0.0, 0)
    found = of("nasbench1shot1-s2", "cifar10")
    assert (found.epochs, found.batch_size, found.cells, found.width) == (108, 256, 3, 128)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_every_space_has_every_field_within_its_range(space: str, preset: str) -> None:
    for data in ("digits", "cifar10"):
        found = of(space, data, preset)
        for name, field in FIELDS.items():
            within = field.metadata["range"]
            assert within is None or getattr(found, name) in within, name
    assert of(space, "digits", preset).cutout == 0, "a square of 16 pixels would be all of them"


def test_fields_are_given_as_text_or_as_values() -> None:
    assert of("nasbench201", "digits", epochs="7", flip="true", lr="0.5", dtype="float64") == of(
        "nasbench201", "digits", epochs=7, flip=True, lr=0.5, dtype="float64"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": "7"}, "unknown field 'epoch'.*epochs"),
        ({"epochs": "0"}, r"'epochs' must lie in \[1, 100000\], not 0"),
        ({"epochs": "seven"}, "'epochs' takes int"),
        ({"drop_path": "1"}, r"'drop_path' must lie in \[0, 1\)"),
        ({"train": "third"}, "'train' takes all or half"),
        ({"data": "npz:absent.npz"}, "absent.npz does not exist"),
        ({"momentum": "0", "nesterov": "true"}, "'nesterov' needs a momentum above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        of("nasbench201", "digits", **given)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"papers.*paper"):
        of("nasbench201", "digits", "papers")


def test_the_name_of_a_network_is_of_everything_that_decides_its_numbers() -> None:
    one = of("nasbench201", "digits")
    names = {
        network_id("nasbench201", "a", 0, one),
        network_id("nasbench201", "b", 0, one),
        network_id("nasbench201", "a", 1, one),
        network_id("darts-s1", "a", 0, one),
        *(
            network_id("nasbench201", "a", 0, of("nasbench201", "digits", **{name: value}))
            for name, value in (
                ("epochs", 7),
                ("width", 8),
                ("train", "half"),
                ("autocast", "bfloat16"),
                ("tf32", True),
                ("images", 50),
            )
        ),
    }
    assert len(names) == 10


def test_a_study_file_asks_as_the_command_line_does(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[base]\nspace = "darts-s2"\nmethod = "darts"\ndata = "digits"\n'
        '[[evaluate]]\n[[evaluate]]\nprotocol = "paper"\nat = 3\nseeds = 2\ndrop-path = 0.3\nflip = true\n'
    )
    plain, paper = study_file.read(path).evaluations
    assert plain == Request()
    assert paper == Request("3", 2, None, "paper", {"drop_path": 0.3, "flip": True})
    assert paper.label == "paper,drop_path=0.3,flip=true"
    assert "evaluate" not in study_file.read(path).json(), "it is no part of what the study is"


def test_the_shipped_studies_that_train_from_scratch() -> None:
    shipped = {name: study_file.read(path) for name, path in study_file.shipped().items()}
    asked = {name: [one.protocol for one in study.evaluations] for name, study in shipped.items() if study.evaluations}
    assert asked == {"small-darts-s2": ["short"], "paper-darts-s1-s4": ["short", "paper"]}
    paper = shipped["paper-darts-s1-s4"]
    assert len(paper.runs) == 4 * 3 * 3 * 4
    assert {(spec.epochs, spec.batch_size, spec.depth, spec.width) for spec in paper.runs} == {(50, 64, 8, 16)}
    small = shipped["small-darts-s2"].runs[0]
    steps = small.epochs * (small.images // 2 // small.batch_size)
    assert small.arch_lr * steps == pytest.approx(3e-4 * 50 * 391, rel=0.01)
