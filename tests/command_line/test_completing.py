"""Completion, as a shell asks for it: by its own protocol, and by a TAB in a real bash."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas_stability.benchmarks.catalog import TABLES as CATALOGUED
from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.command_line import build_parser, every, main
from nas_stability.completing import NAMES, TABLES, names_of
from nas_stability.harness.methods.compositions import METHODS
from nas_stability.harness.specs import study_file
from tests.commands import refused

Capture = pytest.CaptureFixture[str]

pytest.importorskip("argcomplete")


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment in which nas-stability is this checkout's."""
    script = tmp_path / "bin" / "nas-stability"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m nas_stability "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "NAS_STABILITY_TABLES": str(tmp_path)}


def asked(line: str, environment: dict[str, str], folder: Path) -> set[str]:
    """What a shell is told may end a line."""
    answer = folder / "answer"
    asking = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }
    subprocess.run(["nas-stability"], env={**environment, **asking}, cwd=folder, check=True, timeout=60)
    return {word.strip() for word in answer.read_text().splitlines()}


def test_verbs_flags_and_values(command: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").touch()
    cases: dict[str, set[str]] = {
        "st": {"study", "studies", "status"},
        "run --method sdarts-": {"sdarts-rs", "sdarts-adv"},
        "run --space nasbench1shot1-": {"nasbench1shot1-s1", "nasbench1shot1-s2", "nasbench1shot1-s3"},
        "run --data cifar": {"cifar10", "cifar100"},
        "run --table m": {"mine"},
        "run --hessian-b": {"--hessian-batch", "--hessian-batch-norm", "--hessian-batch-size"},
        "run --flip ": {"true", "false"},
        "run --dtype float": {"float32", "float64"},
        "study sta": {"stabilisers"},
        "table query nasbench2": {"nasbench201"},
        "table ver": {"verify"},
        "evaluate x --protocol ": {"short", "paper"},
        "export x --to ": {"tensorboard", "mlflow", "wandb"},
        "completion z": {"zsh"},
        "run --method nothing-like-it": set(),
    }
    for line, wanted in cases.items():
        assert asked(f"nas-stability {line}", command, tmp_path) == wanted, line


def test_paths_are_completed_where_names_are_not_taken(command: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert asked("nas-stability report resul", command, tmp_path) == {"results/"}


def typed(keys: str, wanted: list[str], environment: dict[str, str], script: Path) -> str:
    """What an interactive bash shows when keys are pressed, until it shows what is wanted or a minute is over."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(shutil.which("bash") or "", ["bash", "--noprofile", "--rcfile", str(script), "-i"], environment)
    shown = ""
    try:
        patience = time.monotonic() + 60
        pressed = False
        while time.monotonic() < patience and not all(text in shown for text in wanted):
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4096).decode(errors="replace")
            if "READY" in shown and not pressed:
                pressed, shown = True, ""
                os.write(terminal, keys.encode())
    finally:
        os.write(terminal, b"\x15exit\n")  # the line is cleared first
        os.close(terminal)
        os.waitpid(process, 0)
    return shown


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("nas-stability st\t\t", ["status", "studies", "study"]),
        ("nas-stability run --method sdarts-\t\t", ["sdarts-adv", "sdarts-rs"]),
        ("nas-stability meth\t", ["nas-stability methods "]),
    ],
)
def test_a_tab_in_bash(keys: str, wanted: list[str], command: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "rc"
    script.write_text('eval "$(nas-stability completion bash)"\nbind "set enable-bracketed-paste off"\nPS1="READY "\n')
    shown = typed(keys, wanted, {**command, "TERM": "dumb"}, script)
    assert all(text in shown for text in wanted), shown


def test_a_shell_that_asks_waits_for_no_pytorch(command: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys, os; from nas_stability.completing import NAMES\n"
        "from nas_stability import command_line as c; parser = c.build_parser()\n"
        "for names in NAMES.values(): list(names())\n"
        "print(*{'torch', 'pandas', 'numpy', 'argcomplete'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "", "nothing heavy, and argcomplete itself only where a shell asks"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0
    assert "nas-stability" in capsys.readouterr().out


def test_another_shell_is_refused(capsys: Capture, tmp_path: Path) -> None:
    assert "did you mean 'fish'" in refused(["completion", "fsh"], capsys, tmp_path)


def test_names_are_those_that_there_are() -> None:
    assert set(TABLES) == set(CATALOGUED)
    assert set(NAMES["method"]()) >= set(METHODS)
    assert set(NAMES["space"]()) >= set(FACTS)
    assert list(NAMES["study"]()) == list(study_file.shipped())
    taken = {action.dest for parser in every(build_parser()) for action in parser._actions if names_of(action)}
    assert {"field_method", "field_space", "field_data", "field_table", "study", "name", "protocol"} <= taken
    assert not {"folder", "out", "field_seed", "field_lr"} & taken
