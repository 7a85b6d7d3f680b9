"""RunSpec and Study: strict, complete, readable."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nas_stability.benchmarks.catalog import DATASETS, SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.benchmarks.spellings import IMAGES
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.filled_in import parse, run_spec
from nas_stability.harness.specs.published import AUGMENTATION
from nas_stability.harness.specs.spec import FIELDS
from tests.small import small_spec

MINIMAL = {"space": "nasbench1shot1-s2", "method": "sdarts-adv", "data": "cifar10"}


def test_every_space_has_published_settings_and_every_augmentation_a_data_set() -> None:
    assert FACTS.keys() == SPACES.keys()
    needed = {name for name, field in FIELDS.items() if field.default is dataclasses.MISSING}
    for space, facts in FACTS.items():
        spec = run_spec({"space": space, "method": "darts", "data": "digits"})
        assert needed - {"space", "method", "data", "crop_padding", "flip"} <= facts.defaults.keys() <= FIELDS.keys()
        assert {name: getattr(spec, name) for name in facts.defaults} == facts.defaults
    assert AUGMENTATION.keys() <= DATASETS.keys()
    assert set(IMAGES) == DATASETS.keys()


def test_defaults_inside_the_search_are_the_published_ones() -> None:
    spec = run_spec(MINIMAL)
    assert (spec.epochs, spec.batch_size, spec.width, spec.depth) == (100, 96, 16, 9)
    assert (spec.lr, spec.lr_min, spec.momentum, spec.weight_decay, spec.grad_clip) == (0.025, 0.001, 0.9, 3e-4, 5.0)
    assert (spec.arch_lr, spec.arch_beta1, spec.arch_beta2) == (3e-4, 0.5, 0.999)
    assert (spec.arch_weight_decay, spec.arch_init) == (1e-3, 1e-3)
    assert (spec.radius_min, spec.radius, spec.attack_steps) == (0.03, 0.3, 7)
    assert (spec.batch_norm_momentum, spec.valid_batches, spec.clip_counts_mixture) == (0.997, "pass", False)
    assert (spec.crop_padding, spec.flip, spec.cutout, spec.table_epochs) == (4, True, 0, 108)
    other = run_spec({**MINIMAL, "space": "nasbench201"})
    assert (other.batch_size, other.depth, other.batch_norm_momentum) == (64, 5, 0.1)
    assert (other.valid_batches, other.clip_counts_mixture, other.table_epochs) == ("fresh", True, 200)


def test_every_field_is_part_of_the_identity() -> None:
    spec = small_spec()
    for name, field in FIELDS.items():
        value = getattr(spec, name)
        if isinstance(value, bool):
            other = dataclasses.replace(spec, **{name: not value})
        elif isinstance(value, int | float):
            other = dataclasses.replace(spec, **{name: value + 1})
        else:
            other = dataclasses.replace(spec, **{name: '{"x.py": "0"}' if name == "plugins" else value + "x"})
        assert other.digest != spec.digest, name
        assert field.metadata["help"]


DEFAULTS = {
    "data_sha256": "",
    "seed": 0,
    "epochs": 100,
    "images": 0,
    "drop_last": False,
    "cutout": 0,
    "width": 16,
    "dtype": "float32",
    "autocast": "off",
    "tf32": False,
    "deterministic": True,
    "lr": 0.025,
    "lr_min": 0.001,
    "lr_epoch_shift": 1,
    "momentum": 0.9,
    "weight_decay": 0.0003,
    "grad_clip": 5.0,
    "arch_lr": 0.0003,
    "arch_beta1": 0.5,
    "arch_beta2": 0.999,
    "arch_weight_decay": 0.001,
    "arch_init": 0.001,
    "arch_init_mean": 0.0,
    "arch_warmup": 0,
    "arch_grad_clip": 0.0,
    "loss": "cross-entropy",
    "weight_optimizer": "sgd",
    "beta_weight": 50.0,
    "ada_factor": 10.0,
    "ada_most": 0.03,
    "candidates": 100,
    "candidate_images": 640,
    "finalists": 5,
    "partial_channels": 4,
    "nasp_softmax": True,
    "tau_max": 10.0,
    "tau_min": 1.0,
    "plugins": "",
    "settings": "",
    "unrolled_product": "difference",
    "radius": 0.3,
    "radius_min": 0.03,
    "radius_schedule": "linear",
    "attack_steps": 7,
    "attack_scale": 2.0,
    "attack_random_start": True,
    "attack_fallback": True,
    "attack_batch_norm": "evaluation",
    "table": "auto",
    "query": "after",
    "measure_every": 1,
    "rank_sample": 100,
    "hessian": True,
    "hessian_batch": "probe",
    "hessian_batch_size": 256,
    "hessian_batch_norm": "batch",
    "hessian_weight_decay": False,
    "hessian_moves_statistics": False,
    "hessian_dtype": "float32",
    "smoothing": False,
    "until": 0,
}
"""Run ids do not hash a field at its default: another default would give one id to two different runs."""

REQUIRED = {
    *("space", "method", "data", "batch_size", "valid_batches", "crop_padding", "flip", "depth"),
    *("batch_norm_momentum", "clip_counts_mixture", "table_epochs"),
}


def test_a_default_never_changes() -> None:
    found = {name: item.default for name, item in FIELDS.items() if item.default is not dataclasses.MISSING}
    changed = [name for name, value in DEFAULTS.items() if (type(value), value) != (type(found[name]), found[name])]
    assert not changed, f"run ids stand on the defaults; give {changed} back its default and add a field"
    assert found.keys() - DEFAULTS.keys() == set(), "a new field: pin its default here, and keep it for ever"
    assert FIELDS.keys() - found.keys() == REQUIRED, "a field without a default has no value in older records"


def test_run_ids_are_those_of_the_first_version_that_hashes_what_differs() -> None:
    assert small_spec().run_id == "nasbench201-darts-digits-s0-de1d8b28"
    assert run_spec(MINIMAL).run_id == "nasbench1shot1-s2-sdarts-adv-cifar10-s0-7cdefeba"


def test_run_id_is_readable_and_ends_in_the_hash() -> None:
    spec = small_spec(seed=3)
    assert spec.run_id == f"nasbench201-darts-digits-s3-{spec.digest[:8]}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
        ({"space": "nasbench1shot1"}, "unknown space 'nasbench1shot1'; did you mean 'nasbench1shot1-s"),
        ({"epochs": "3"}, "the field 'epochs' takes int, not '3'"),
        ({"epochs": True}, "the field 'epochs' takes int, not True"),
        ({"epochs": 2.0}, "the field 'epochs' takes int"),
        ({"flip": 1}, "the field 'flip' takes bool"),
        ({"dtype": "float16"}, "the field 'dtype' takes float32 or float64, not 'float16'"),
        ({"radius": 1.5}, r"the field 'radius' must lie in \[0, 1\]"),
        ({"lr": -0.1}, r"the field 'lr' must lie in \[0, 1e\+06\], not -0\.1"),
        ({"lr": float("nan")}, r"the field 'lr' must lie in \[0, 1e\+06\], not nan"),
        ({"width": 0}, r"the field 'width' must lie in \[1, 1024\], not 0"),
        ({"batch_size": 1}, r"the field 'batch_size' must lie in \[2, 1000000\], not 1"),
        ({"method": "sdarts-adv", "attack_steps": 0}, "the field 'attack_steps' must be at least 1"),
    ],
)
def test_bad_fields(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        small_spec(**values)  # type: ignore[arg-type]


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadInput, match="the field 'method' is missing"):
        run_spec({"space": "nasbench201", "data": "digits"})


def test_values_from_the_command_line() -> None:
    assert parse("epochs", "3") == 3
    assert parse("lr", "1") == 1.0
    assert parse("flip", "False") is False
    assert parse("table", "a.parquet") == "a.parquet"
    for name, text in (("epochs", "3.5"), ("flip", "yes"), ("lr", "fast"), ("query", "later")):
        with pytest.raises(BadInput, match=name):
            parse(name, text)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


BASE = '[base]\nspace = "nasbench201"\ndata = "digits"\n'


def test_a_study_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        BASE + 'epochs = 2\n[over]\nmethod = ["darts", "sdarts-rs"]\nseed = "0-2"\n'
        '[[also]]\nmethod = "sdarts-adv"\nseed = 7\n',
    )
    found = study_file.read(path)
    assert found.name == "mine"
    assert [(spec.method, spec.seed) for spec in found.runs] == [
        *((method, seed) for method in ("darts", "sdarts-rs") for seed in range(3)),
        ("sdarts-adv", 7),
    ]
    assert all(spec.epochs == 2 for spec in found.runs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE + "[over]\nmethods = []\n", r"mine\.toml:5: unknown field 'methods'; did you mean 'method'"),
        (BASE + "[over]\nmethod = []\n", r"mine\.toml:5: 'method' in \[over\] is empty"),
        (BASE + '[over]\nmethod = "darts"\n', r"mine\.toml:5: 'method' in \[over\] takes a list"),
        (BASE + 'epochs = "ten"\nmethod = "darts"\n', r"mine\.toml:4: the field 'epochs' takes int"),
        (BASE + '[ower]\nmethod = ["darts"]\n', r"mine\.toml:4: unknown section 'ower'; did you mean 'over'"),
        (BASE + '[over]\nseed = [0, "1"]\n', r"mine\.toml:5: the field 'seed' takes int"),
        (BASE, r"mine\.toml: the field 'method' is missing"),
        ("[base\n", r"mine\.toml"),
        ("also = 3\n" + BASE, r"mine\.toml:1: 'also' is written \[\[also\]\]"),
    ],
)
def test_bad_study_files(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        study_file.read(write(tmp_path, text))


@pytest.mark.parametrize("name", study_file.shipped())
def test_every_shipped_study_can_run(name: str) -> None:
    found = study_file.read(study_file.find(name))
    assert found.runs
    for spec in found.runs:
        assert spec.method in METHODS
        assert spec.space in SPACES
        assert spec.data in DATASETS or spec.data.startswith("npz:")


def test_quick_is_what_the_readme_says() -> None:
    runs = study_file.read(study_file.find("quick")).runs
    assert {spec.method for spec in runs} == {"darts", "sdarts-rs", "sdarts-adv"}
    assert {spec.seed for spec in runs} == set(range(20, 26))
    assert {spec.data for spec in runs} == {"digits"}


def test_an_unknown_study_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="unknown study 'quik'; did you mean 'quick'"):
        study_file.find("quik")
    with pytest.raises(BadInput, match=r"absent\.toml does not exist"):
        study_file.find("absent.toml")


def test_extra_runs_may_hold_lists(tmp_path: Path) -> None:
    text = '[base]\ndata = "digits"\nmethod = "darts"\n[[also]]\nspace = "nasbench201"\nseed = "0-1"\n[[also]]\n'
    found = study_file.read(write(tmp_path, text + 'space = ["nasbench1shot1-s1", "nasbench1shot1-s2"]\ndepth = 3\n'))
    assert [(spec.space, spec.seed, spec.depth) for spec in found.runs] == [
        ("nasbench201", 0, 5),
        ("nasbench201", 1, 5),
        ("nasbench1shot1-s1", 0, 3),
        ("nasbench1shot1-s2", 0, 3),
    ]
