"""Fields that no run can mean, as flag, in TOML and in Python: one line, exit code 2, nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas_stability.benchmarks.catalog import DATASETS
from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.spellings import IMAGES
from nas_stability.command_line import main
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs.fields import Range
from nas_stability.harness.specs.filled_in import run_spec, typed
from nas_stability.harness.specs.spec import FIELDS, TYPES
from tests.commands import COMMAND, NEEDED, refused
from tests.small import small_spec

RANGES = {
    "B9: momentum 1": ("momentum", 1.0, "must lie in [0, 1), not 1.0"),
    "B9: momentum beyond": ("momentum", 17.5, "must lie in [0, 1)"),
    "B9: a BatchNorm that never moves": ("batch_norm_momentum", 0.0, "must lie in (0, 1], not 0.0"),
    "B9: shift 10^20": ("lr_epoch_shift", 10**20, "must lie in [0, 1], not 100000000000000000000"),
    "B9: crop_padding beyond any image": ("crop_padding", 10**6, "must lie in [0, 1024]"),
    "B9: cutout beyond any image": ("cutout", 10**6, "must lie in [0, 1024]"),
    "B9: a radius beyond probability": ("radius", 1.5, "must lie in [0, 1]"),
    "B9: batch_size beyond any data": ("batch_size", 10**7, "must lie in [2, 1000000]"),
    "B9: batch_size 1": ("batch_size", 1, "must lie in [2, 1000000]"),
    "B9: no epoch": ("epochs", 0, "must lie in [1, 100000]"),
    "B9: a budget of 0": ("table_epochs", 0, "must lie in [1, 1000000]"),
    "B9: clipped to nothing": ("grad_clip", 0.0, "must lie in (0, 1e+30]"),
    "B9: measured never": ("measure_every", 0, "must lie in [1, 1000000]"),
    "B9: negative seed": ("seed", -1, "must lie in [0, 9223372036854775807]"),
    "B9: seed 2^63": ("seed", 2**63, "must lie in [0, 9223372036854775807]"),
    "D5: arch_beta1 1": ("arch_beta1", 1.0, "must lie in [0, 1), not 1.0"),
    "D5: arch_beta2 1": ("arch_beta2", 1.0, "must lie in [0, 1), not 1.0"),
    "D5: lr 1e308": ("lr", 1e308, "must lie in [0, 1e+06], not 1e+308"),
    "D5: arch_lr 1e308": ("arch_lr", 1e308, "must lie in [0, 1e+06]"),
    "D5: weight_decay 1e308": ("weight_decay", 1e308, "must lie in [0, 1e+06]"),
    "D5: attack_scale 1e308": ("attack_scale", 1e308, "must lie in [0, 1e+06]"),
    "D5: grad_clip 1e308": ("grad_clip", 1e308, "must lie in (0, 1e+30]"),
    "D5: arch_init 1e308": ("arch_init", 1e308, "must lie in [0, 1e+06]"),
    "D5: width 10^9": ("width", 10**9, "must lie in [1, 1024], not 1000000000"),
    "D5: depth 10^9": ("depth", 10**9, "must lie in [1, 100]"),
    "D5: attack_steps 10^9": ("attack_steps", 10**9, "must lie in [0, 10000]"),
    "D5: epochs 10^28": ("epochs", 10**28, "must lie in [1, 100000]"),
    "negative rate": ("lr", -0.1, "must lie in [0, 1e+06], not -0.1"),
}


@pytest.mark.parametrize(("field", "value", "message"), RANGES.values(), ids=RANGES)
def test_a_number_out_of_range_is_refused_everywhere_alike(
    field: str,
    value: float,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = f"the field '{field}' {message}"
    with pytest.raises(BadInput, match=re.escape(whole)):
        small_spec(**{field: value})
    assert whole in refused([*COMMAND, f"--{field.replace('_', '-')}", str(value)], capsys, tmp_path)
    base = "".join(f'{name} = "{text}"\n' for name, text in NEEDED.items())
    for place, text in (("base", str(value)), ("over", f"[{value}]")):
        file = tmp_path / "mine.toml"
        file.write_text(f"[base]\n{base}[{place}]\n{field} = {text}\n".replace(f"{base}[base]\n", base))
        said = refused(["study", "mine.toml"], capsys, tmp_path)
        assert whole in said
        assert re.search(r"mine\.toml:\d+: ", said)
    assert message.partition(", not")[0].removeprefix("must lie in ") in str(FIELDS[field].metadata["range"])


@pytest.mark.parametrize("name", [name for name, kind in TYPES.items() if kind in (int, float)])
def test_every_number_has_a_range_whose_ends_are_kept(name: str) -> None:
    within = FIELDS[name].metadata["range"]
    assert isinstance(within, Range), "a field of numbers says which"
    number = TYPES[name]
    for end, is_open, sign in ((within.low, within.open_low, -1), (within.high, within.open_high, 1)):
        beyond = number(end) if is_open else end + sign if number is int else end + sign * max(1e-9, abs(end) * 1e-9)
        if not is_open:
            assert typed(name, number(end)) == end
        with pytest.raises(BadInput, match=re.escape(f"'{name}' must lie in {within}")):
            typed(name, beyond)
    for absurd in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(BadInput, match=f"the field '{name}'"):
            typed(name, absurd)
    assert within.low >= 0 or name == "arch_init_mean"
    assert within.high < 3.4e38, "float32 holds every number that passes"


TEXTS = {
    "F: epochs 1_0": ("--epochs", "1_0", "'epochs' takes int, not '1_0'"),
    "F: Arabic digits": ("--epochs", "\u0663", "'epochs' takes int"),
    "F: full-width digits": ("--lr", "\uff11", "'lr' takes float"),
    "F: 1_0 as a float": ("--lr", "1_0.5", "'lr' takes float"),
    "D5: epochs 10^400": ("--epochs", "1" + "0" * 400, "'epochs' takes int, not '1000"),
    "D5: epochs of 5,000 digits": ("--epochs", "9" * 5000, "(5000 characters)"),
    "D5: 1e308 written out": ("--lr", "1" + "0" * 308, "'lr' takes float"),
    "D5: beyond the largest float": ("--lr", "1e999", "must lie in [0, 1e+06], not inf"),
    "a blank": ("--epochs", " 3", "'epochs' takes int, not ' 3'"),
    "an empty number": ("--epochs", "", "'epochs' takes int, not ''"),
    "hexadecimal": ("--epochs", "0x10", "'epochs' takes int"),
    "a float for an integer": ("--epochs", "3.0", "'epochs' takes int"),
    "an exponent for an integer": ("--epochs", "1e2", "'epochs' takes int"),
    "nan": ("--lr", "nan", "'lr' takes float, not 'nan'"),
    "infinity": ("--grad-clip", "inf", "'grad_clip' takes float, not 'inf'"),
    "yes": ("--flip", "yes", "'flip' takes true or false, not 'yes'"),
    "1 for true": ("--flip", "1", "'flip' takes true or false"),
    "an empty truth": ("--flip", "", "'flip' takes true or false"),
    "no such choice": ("--query", "later", "the field 'query' takes after or before, not 'later'"),
    "empty data": ("--data", "", "the field 'data' is empty"),
    "empty space": ("--space", "", "the field 'space' is empty"),
    "empty method": ("--method", "", "the field 'method' is empty"),
    "empty table": ("--table", "", "the field 'table' is empty"),
    "a control character": ("--table", "nas\x1b[2Jbench", "'table' holds a character that cannot be printed"),
    "a line feed": ("--data", "digits\n", "'data' holds a character that cannot be printed"),
    "NUL": ("--data", "npz:a\0b", "'data' holds a character that cannot be printed"),
    "bytes that are no UTF-8": ("--data", "npz:\udcff.npz", "'data' holds a character that cannot be printed"),
    "absurd length": ("--table", "x" * 100_000, "'table' takes at most 4096 characters, not 100000"),
    "a name too long for a file": ("--data", "npz:" + "x" * 300, "cannot be read: File name too long"),
    "a path as a method": ("--method", "../../darts", "cannot be the name of a method: names are letters"),
    "no path behind npz:": ("--data", "npz:", "without a path: npz:PATH"),
    "H10: a folder's path": ("--data", "./images", "own images are a numpy archive, named npz:PATH"),
    "H10: an archive without npz:": ("--data", "./mine.npz", "mine.npz does not exist"),
    "an absent file": ("--data", "npz:absent.npz", "absent.npz does not exist"),
    "E: a folder as data": ("--data", "npz:.", "is a folder; npz:PATH names a numpy archive"),
    "a device as data": ("--data", "npz:/dev/zero", "/dev/zero is no ordinary file"),
    "a checksum of a data set": ("--data-sha256", "0" * 64, "'data_sha256' is of images of your own"),
    "no such home": ("--data", "npz:~nobody-of-this-name/x.npz", "leads nowhere: Could not determine home directory"),
    "B9: lr_min above lr": ("--lr-min", "0.1", "'lr_min' must be at most lr, not 0.1 with an lr of 0.025"),
    "B9: radius_min above radius": ("--radius", "0.01", "'radius_min' must be at most radius, not 0.03"),
    "B9: two images": ("--images", "2", "'images' must be 0 or at least 4"),
    "one architecture in order": ("--rank-sample", "1", "'rank_sample' must be 0 or at least 2"),
}


@pytest.mark.parametrize(("flag", "text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_flag_that_no_run_can_mean(
    flag: str,
    text: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused([*COMMAND, f"{flag}={text}"], capsys, tmp_path)


def test_a_radius_below_the_usual_minimum_is_for_a_constant_schedule() -> None:
    assert small_spec(radius=0.01, radius_schedule="constant").radius == 0.01


def test_minus_zero_is_zero() -> None:
    assert small_spec(lr_min=-0.0) == small_spec(lr_min=0.0)
    assert small_spec(lr_min=-0.0).digest == small_spec(lr_min=0).digest


VALUES = {
    "D8: an integer of 4,000 digits": ({"epochs": 10**4000}, "not an integer of about 4000 digits"),
    "D5: 10^400 for a rate": ({"lr": 10**400}, "'lr' takes float, not an integer of about 400 digits"),
    "a list": ({"epochs": [1] * 1000}, "takes int, not [1, 1, 1"),
    "nested": ({"table": {"a": [{"b": 1}]}}, "takes str, not {'a'"),
    "a truth for a number": ({"lr": True}, "takes float, not True"),
    "a number for a truth": ({"flip": 0}, "takes bool, not 0"),
    "a list for a choice": ({"query": ["after"]}, "'query' takes after or before, not ['after']"),
    "bytes": ({"data": b"digits"}, "takes str, not b'digits'"),
}


@pytest.mark.parametrize(("values", "message"), VALUES.values(), ids=VALUES)
def test_a_value_of_another_type(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        small_spec(**values)  # type: ignore[arg-type]


def test_the_help_says_range_default_choices_and_own_images(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "SGD momentum of the weights (0.9; in [0, 1))",
        "alike (64 or 96, by space; in [2, 1000000])",
        "(0 or 2 or 4, by data; in [0, 1024])",
        "--valid-batches fresh|pass",
        "--drop-last true|false",
        f"({', '.join(IMAGES)})",
    ):
        assert part in said, part
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    both = said, " ".join(capsys.readouterr().out.split())
    for text in both:
        for name in ("npz:PATH", "x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "uint8", "(N, H, W, C)"):
            assert name in text, name
    for field in FIELDS.values():
        if field.metadata["range"] is not None:
            assert f"in {field.metadata['range']})" in said


SPELLINGS = {
    "G: NASBench201": ("space", "NASBench201", "nasbench201"),
    "G: nas-bench-201": ("space", "nas-bench-201", "nasbench201"),
    "G: NAS_Bench_1Shot1_S2": ("space", "NAS_Bench_1Shot1_S2", "nasbench1shot1-s2"),
    "G: DARTS": ("method", "DARTS", "darts"),
    "G: SDARTS-RS": ("method", "SDARTS-RS", "sdarts-rs"),
    "G: SDARTS_ADV": ("method", "SDARTS_ADV", "sdarts-adv"),
    "G: CIFAR-10": ("data", "CIFAR-10", "cifar10"),
    "G: FashionMNIST": ("data", "FashionMNIST", "fashion-mnist"),
    "G: fashion_mnist": ("data", "fashion_mnist", "fashion-mnist"),
    "G: SVHN": ("data", "SVHN", "svhn"),
    "G: table None": ("table", "None", "none"),
    "G: table AUTO": ("table", "AUTO", "auto"),
}


@pytest.mark.parametrize(("name", "written", "meant"), SPELLINGS.values(), ids=SPELLINGS)
def test_the_spec_holds_the_name_of_the_registry(name: str, written: str, meant: str) -> None:
    found = run_spec({**NEEDED, name: written})
    assert getattr(found, name) == meant
    assert found == run_spec({**NEEDED, name: meant})  # what comes with a name, such as the augmentation, comes too


def test_a_registered_name_in_any_spelling_is_itself() -> None:
    for name in METHODS:
        assert typed("method", name.upper().replace("-", "_")) == name
    for name in DATASETS:
        assert typed("data", name.upper().replace("-", "_")) == name


def test_a_name_like_none_lists_them_all() -> None:
    with pytest.raises(BadInput, match=r"unknown space 'zzz' \(known: darts, .*, nasbench201\)$"):
        run_spec({**NEEDED, "space": "zzz"})
    with pytest.raises(BadInput, match=r"unknown field 'momentun'; did you mean 'momentum'\?$"):
        run_spec({**NEEDED, "momentun": 0.9})
