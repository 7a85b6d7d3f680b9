"""A study of the ids of version 0.1 is recognised and continued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nas_stability.command_line import main
from nas_stability.harness.records import claiming
from nas_stability.harness.records.folder import survey
from nas_stability.harness.records.record import (
    CHECKPOINT,
    DONE,
    EPOCHS,
    SPEC,
    SPECTRUM,
    STUDY,
)
from nas_stability.harness.records.status import read_status
from nas_stability.harness.runs import batch, checkpoint
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.harness.specs.study_file import PlannedStudy
from tests.harness.runs.test_run import interrupted
from tests.small import PLACE, small_spec

Capture = pytest.CaptureFixture[str]


def old_names(folder: Path, specs: tuple[RunSpec, ...]) -> dict[str, dict[str, object]]:
    """Makes a study's folder what version 0.1 would have left, before any run began; old id -> spec."""
    from nas_stability.harness.specs.recorded import known_ids

    values = [
        {name: value for name, value in json.loads(spec.json()).items() if name != "data_sha256"} for spec in specs
    ]
    planned = {known_ids(one)[-1]: one for one in values}
    folder.mkdir()
    (folder / STUDY).write_text(json.dumps({"name": "old", "runs": planned}, indent=1) + "\n")
    return planned


@pytest.mark.slow
def test_a_study_of_old_ids_is_continued(tmp_path: Path) -> None:
    specs = tuple(small_spec(seed=seed, epochs=2) for seed in (0, 1))
    folder = tmp_path / "old"
    planned = old_names(folder, specs)
    old, new = next(iter(planned)), specs[0].run_id
    assert old != new
    begun = tmp_path / "begun"
    interrupted(specs[0], begun)
    for name in (EPOCHS, SPECTRUM):
        (begun / name).write_text((begun / name).read_text().replace(new, old))
    state = checkpoint.load(begun / CHECKPOINT)
    state["sizes"] = {name: (begun / name).stat().st_size for name in (EPOCHS, SPECTRUM)}
    write_first_version(begun / CHECKPOINT, state)
    (begun / SPEC).write_text(json.dumps(planned[old], sort_keys=True, indent=1) + "\n")
    begun.rename(folder / old)
    outcomes = batch.run_study(PlannedStudy("old", specs), folder, PLACE, batch.Engine(), lambda done: None)
    assert [(outcome.run, outcome.state) for outcome in outcomes] == [(old, "finished"), (specs[1].run_id, "finished")]
    record = json.loads((folder / old / DONE).read_text())
    assert (record["run"], record["inputs_since"]) == (old, 1)
    assert {line.split(",")[0] for line in (folder / old / EPOCHS).read_text().splitlines()[1:]} == {old}
    assert main(["check", str(folder)]) == 0
    assert main(["claims", str(folder)]) == 0
    assert survey(folder).remarks == []


def write_first_version(path: Path, state: dict[str, object]) -> None:
    """A checkpoint as version 0.1 wrote it."""
    import hashlib
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    line = b"%s%d %s\n" % (checkpoint.FIRST_VERSION, len(payload), hashlib.sha256(payload).hexdigest().encode())
    path.write_bytes(line + payload)


def test_a_run_of_an_old_study_that_has_not_begun_gets_its_name_of_today(tmp_path: Path) -> None:
    specs = (small_spec(epochs=1),)
    old_names(tmp_path / "old", specs)
    assert claiming.names_of(PlannedStudy("old", specs), tmp_path / "old") == {specs[0]: specs[0].run_id}
    claiming.claim_study(PlannedStudy("old", specs), tmp_path / "old")
    assert [status.run for status in read_status(tmp_path / "old")] == [specs[0].run_id]
