"""RunSpecs as records have them: of this version or an earlier one, taken as they are. The standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_stability.benchmarks.errors import BadInput, shown, unknown
from nas_stability.benchmarks.names import check_name
from nas_stability.harness.specs import located
from nas_stability.harness.specs.fields import Value, of_type
from nas_stability.harness.specs.spec import FIELDS, TYPES, RunSpec


def old_digest(values: Mapping[str, Value]) -> str:
    """SHA-256 over all the fields as they were written: what version 0.1 hashed; each new field renamed every run."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, indent=1).encode()).hexdigest()


def known_ids(values: Mapping[str, Value]) -> tuple[str, ...]:
    """The ids under which the run of a recorded spec is known: today's, then that of version 0.1.

    Args:
        values: spec.json as written, perhaps by a version that had fewer fields.

    Raises:
        BadInput: it is no spec.
    """
    spec = recorded_spec(values)
    data = located.own_kind(spec.data) or spec.data_name
    return spec.run_id, f"{spec.space}-{spec.method}-{data}-s{spec.seed}-{old_digest(values)[:8]}"


def recorded_spec(values: Mapping[str, Value]) -> RunSpec:
    """The spec of a record. A field that it lacks has its default; nothing is taken from the machine, no range is held.

    Raises:
        BadInput: a field of no known name, one that is missing and has no default, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise BadInput(f"a spec is an object of fields, not {shown(values)}")
    for name in values:
        if name not in FIELDS:
            raise BadInput(f"{unknown('field', name, FIELDS)} A newer version may have written the record")
    for name, item in FIELDS.items():
        if item.default is dataclasses.MISSING and name not in values:
            raise BadInput(f"the field {name!r} is missing from the record")
    checked: dict[str, Any] = {name: of_type(name, TYPES[name], value) for name, value in values.items()}
    for name in ("space", "method"):  # they become names of folders
        check_name(name, checked[name])
    return RunSpec(**checked)


def same_run(spec: RunSpec, values: Mapping[str, Value]) -> bool:
    """Whether a recorded spec is of the run that ``spec`` is of.

    Version 0.1 wrote paths as they were typed, and not which file of images it was: such a record matches by its path.

    Raises:
        BadInput: ``values`` is no spec.
    """
    there = recorded_spec(values)
    if "data_sha256" in values:
        return there.digest == spec.digest
    data, table = located.located_data(there.data, Path()), located.located_table(there.table, Path())
    return dataclasses.replace(there, data=data, table=table) == dataclasses.replace(spec, data_sha256="")


def last_epoch(record: dict[str, Any]) -> int:
    """The epoch with which a finished run ended: its spec's last, or that in which a stopping rule ended it."""
    return int(record.get("stopped", recorded_spec(record["spec"]).last_epoch))
