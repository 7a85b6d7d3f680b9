"""What comes from outside: files, modules and entry points, in this process and in workers; what is wrong in a line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.errors import BadInput
from nas_stability.command_line import main
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.specs import study_file
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec

PACKAGE = Path(__file__).parents[2] / "examples" / "plugin"

SOURCE = """
import torch

from nas_stability.harness.methods.compositions import Method
from nas_stability.harness.methods.perturbations import Perturbation, Perturbed, project
from nas_stability.harness.methods.regularisers import Regulariser
from nas_stability.harness.methods.stopping_rules import StoppingRule
from nas_stability.harness.specs.fields import Range, described


def tilted(mixture, loss, radius, noise, settings):
    return Perturbed(project(tuple(rows + one * settings.tilt for rows, one in zip(mixture, noise, strict=True))))


def decay(alpha, progress, settings):
    return settings.decay_weight * sum(logits.square().sum() for logits in alpha)


def early(rows, settings):
    return len(rows) > settings.patience


PERTURBATIONS = {"tilted": Perturbation(tilted, fields={"tilt": described(0.5, "share of the noise", Range(0, 1))})}
REGULARISERS = {"decay": Regulariser(decay, {"decay_weight": described(0.1, "weight", Range(0, 10))})}
STOPPING_RULES = {"early": StoppingRule(early, {"patience": described(2, "epochs", Range(1, 100))})}
METHODS = {
    "calm": Method(regulariser="decay"),
    "short": Method(stop="early"),
}
LOSSES = {"half": lambda logits, labels: torch.nn.functional.cross_entropy(logits, labels) / 2}
"""

FIELDS = {
    "space": "nasbench201",
    "data": "digits",
    "images": 48,
    "epochs": 2,
    "batch_size": 10,
    "width": 2,
    "depth": 1,
    "hessian_batch_size": 8,
}
FLAGS = [part for name, value in FIELDS.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test's plug-ins are its own, and relative paths are from its folder."""
    monkeypatch.setattr(plugins, "LOADED", {})
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith(("nas_stability_plugin_", "mine_"))]:
        del sys.modules[name]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plug-in."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def spec(method: str, **values: object) -> RunSpec:
    """A spec with the plug-in of the working folder."""
    return run_spec({**FIELDS, "method": method, "plugins": ["mine.py"], **values})  # type: ignore[dict-item]


def test_a_method_of_a_file_and_generated_ones_have_their_own_fields(file: Path) -> None:
    tilted = spec("darts-tilted", tilt=0.25)
    assert json.loads(tilted.settings) == {"tilt": 0.25}
    assert json.loads(tilted.plugins) == {str(file): plugins.load("mine.py", Path()).sha256}
    assert json.loads(spec("calm-tilted").settings) == {"decay_weight": 0.1, "tilt": 0.5}
    assert spec("darts", tilt=0.25).settings == ""
    assert run_spec({**FIELDS, "method": "mine.py:calm"}) == spec("calm")  # type: ignore[dict-item]
    with pytest.raises(BadInput, match="the field 'tilt' must lie in"):
        spec("darts-tilted", tilt=2.0)
    with pytest.raises(BadInput, match="unknown field 'tild'; did you mean 'tilt'"):
        spec("darts-tilted", tild=0.1)
    with pytest.raises(BadInput, match="unknown method 'darts-tildet'; did you mean"):
        spec("darts-tildet")


def test_the_source_of_a_plugin_is_part_of_the_identity_and_its_path_is_not(file: Path, tmp_path: Path) -> None:
    before = spec("darts-tilted")
    (tmp_path / "other").mkdir()
    shutil.move(file, tmp_path / "other" / "mine.py")
    plugins.LOADED.clear()
    moved = run_spec({**FIELDS, "method": "darts-tilted", "plugins": ["other/mine.py"]})  # type: ignore[dict-item]
    assert moved.digest == before.digest
    (tmp_path / "other" / "mine.py").write_text(SOURCE + "\n")
    changed = run_spec({**FIELDS, "method": "darts-tilted", "plugins": ["other/mine.py"]})  # type: ignore[dict-item]
    assert changed.digest != before.digest


@pytest.mark.slow
def test_a_run_with_a_plugin_is_recorded_checked_and_refused_once_the_source_changed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *FLAGS, "--plugin", "mine.py", "--method", "darts-tilted", "--set", "tilt=0.3", "--out", "run"]
    assert main(command) == 0
    assert check_study(tmp_path / "run").problems == []
    plain = ["run", *FLAGS, "--method", "sdarts-rs", "--out", "plain"]
    assert main(plain) == 0
    losses = [read_rows(tmp_path / name / "epochs.csv")[-1]["train_loss"] for name in ("run", "plain")]
    assert losses[0] != losses[1]
    file.write_text(SOURCE + "# another\n")
    capsys.readouterr()
    assert main(command) == 2
    assert "holds a run that was made with another source of its plug-ins" in capsys.readouterr().err
    (problem,) = check_study(tmp_path / "run").problems
    assert "is not the one that the run began with" in problem


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_with_plugins_runs_here_and_in_workers(workers: int, file: Path, tmp_path: Path) -> None:
    base = "\n".join(f"{name} = {json.dumps(value)}" for name, value in FIELDS.items())
    (tmp_path / "some.toml").write_text(
        f'plugins = ["mine.py"]\n[base]\n{base}\ntilt = 0.25\n[over]\nmethod = ["darts-tilted", "calm-rs"]\n'
        'loss = ["cross-entropy", "half"]\n'
    )
    assert main(["study", "some.toml", "--out", "some", "--workers", str(workers), "--no-report"]) == 0
    found = check_study(tmp_path / "some")
    assert found.problems == []
    assert len(list((tmp_path / "some").glob("*/run.json"))) == 4


@pytest.mark.slow
def test_a_study_with_plugins_runs_on_a_cluster(file: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    base = "\n".join(f"{name} = {json.dumps(value)}" for name, value in FIELDS.items())
    (tmp_path / "some.toml").write_text(f'plugins = ["mine.py"]\n[base]\n{base}\nmethod = "darts-tilted"\n')
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        where = ["--backend", "dask", "--scheduler", cluster.scheduler_address]
        assert main(["study", "some.toml", "--out", "some", *where, "--no-report"]) == 0
    assert check_study(tmp_path / "some").problems == []
    assert len(list((tmp_path / "some").glob("*/run.json"))) == 1


def test_a_stopping_rule_ends_a_run_and_check_asks_it_again(file: Path, tmp_path: Path) -> None:
    command = ["run", *FLAGS, "--epochs", "5", "--plugin", "mine.py", "--method", "short", "--out", "run"]
    assert main(command) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["stopped"] == 2
    assert [row["epoch"] for row in read_rows(tmp_path / "run" / "epochs.csv")] == ["0", "1", "2"]
    assert check_study(tmp_path / "run").problems == []
    assert main(command) == 0, "it is finished"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "breaks at import: SyntaxError: '(' was never closed"),
        (
            "import nothing_of_this_name",
            "breaks at import: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("raise SystemExit(3)", "breaks at import: SystemExit: 3"),
        ("x = 1", "offers nothing: it has no METHODS, RELAXATIONS"),
        ("METHODS = []", "METHODS is to be a dict of names"),
        ("METHODS = {'mine': 3}", "the method 'mine' is to be a Method, not 3"),
        (SOURCE.replace('"calm"', '"darts"'), "calls a method 'darts', which comes with the harness"),
        (SOURCE.replace('"tilted"', '"random"'), "calls a perturbation 'random', which comes with the harness"),
        (SOURCE.replace('"tilt"', '"epochs"'), "has a field 'epochs', which every run has"),
    ],
)
def test_a_plugin_that_cannot_be_is_one_line(
    text: str, message: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    method = "mine" if "mine" in text else "calm" if "calm" in text else "darts"
    assert main(["run", *FLAGS, "--plugin", "mine.py", "--method", method, "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert str(file) in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_plugin_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for address, message in {
        "absent.py": f"the plug-in {tmp_path / 'absent.py'} does not exist",
        "mine_absent": "the plug-in 'mine_absent' is no module that can be imported here",
    }.items():
        assert main(["run", *FLAGS, "--plugin", address, "--method", "darts", "--out", "run"]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "some.toml").write_text('plugins = ["absent.py"]\n[base]\nspace = "nasbench201"\n')
    assert main(["study", "some.toml", "--dry-run"]) == 2
    assert "some.toml:1: the plug-in" in capsys.readouterr().err


def test_two_plugins_of_one_name_are_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(SOURCE)
    with pytest.raises(BadInput, match="both offer 'calm' among their methods"):
        run_spec({**FIELDS, "method": "calm", "plugins": ["mine.py", "other.py"]})  # type: ignore[dict-item]


def test_a_module_is_a_plugin_too(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file.rename(tmp_path / "mine_module.py")
    found = run_spec({**FIELDS, "method": "calm", "plugins": ["mine_module"]})  # type: ignore[dict-item]
    assert list(json.loads(found.plugins)) == ["mine_module"]


def test_an_installed_package_is_found_by_its_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package, installed as pip would: its folder on the path, with the metadata of its entry points."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE / "nas_stability_example", site / "nas_stability_example")
    (site / "nas_stability_example-1.0.dist-info").mkdir()
    (site / "nas_stability_example-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nas-stability-example\nVersion: 1.0\n"
    )
    (site / "nas_stability_example-1.0.dist-info" / "entry_points.txt").write_text(entry_points())
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    found = run_spec(
        {"space": "chain", "method": "entropy-darts-dropped", "data": "digits", "entropy_weight": 1.0, "drop_rate": 0.2}
    )
    assert list(json.loads(found.plugins)) == ["nas_stability_example"]
    assert json.loads(found.settings) == {"drop_rate": 0.2, "entropy_weight": 1.0}
    assert found.depth == 2
    (tmp_path / "some.toml").write_text('[base]\nspace = "chain"\nmethod = "entropy-darts"\ndata = "digits"\n')
    (again,) = study_file.read(tmp_path / "some.toml").runs
    assert json.loads(again.settings) == {"entropy_weight": 0.01}


def entry_points() -> str:
    """The example package's entry points as an installer writes them."""
    import tomllib

    groups = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    return "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items()) + "\n"
        for group, points in groups.items()
    )


def test_the_example_is_short() -> None:
    lines = [
        line for path in (PACKAGE / "nas_stability_example").glob("*.py") for line in path.read_text().splitlines()
    ]
    assert len(lines) < 150
