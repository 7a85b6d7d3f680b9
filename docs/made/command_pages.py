"""The pages of the command line and of a run's fields, from the parsers and from RunSpec."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence

from nas_stability.benchmarks.spaces.facts import FACTS
from nas_stability.command_line import build_parser, every
from nas_stability.evaluating import values_of
from nas_stability.field_flags import NAMES, OTHERWISE, field_values, text_of
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.published import AUGMENTATION, PUBLISHED_AUGMENTATION
from nas_stability.harness.specs.spec import FIELDS
from nas_stability.harness.training import protocol

GROUPS = {
    "space": "What is searched, and on what",
    "drop_last": "Batches and augmentation",
    "width": "Supernet and arithmetic",
    "lr": "Steps of the weights",
    "arch_lr": "Steps of the logits",
    "partial_channels": "Of single methods",
    "radius": "Perturbation",
    "table": "Table",
    "measure_every": "Measuring",
    "plugins": "Plug-ins",
}
"""First field of a group, in RunSpec's order -> its heading."""


def pages() -> dict[str, str]:
    """Place on the site -> Markdown."""
    return {
        "reference/command-line.md": command_line(),
        "reference/fields.md": run_fields(),
        "reference/protocol.md": protocol_fields(),
    }


def escaped(text: str) -> str:
    """A text of the program as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def told(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Verb -> the line that the help has for it."""
    found: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            lines = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                found[inner.prog] = lines.get(name, "")
                found |= told(inner)
    return found


def command_line() -> str:
    """Every verb with its flags."""
    parser = build_parser()
    lines = told(parser)
    text = (
        "# Command line\n\nMade from the parsers; `nas-stability VERB --help` says the same. What a user reads goes to "
        "standard output, progress and errors to standard error. Exit codes: 0 done, 1 something failed, 2 unusable "
        "input, 75 stopped by a signal with everything saved, 130 Ctrl-C.\n"
    )
    return text + "".join(verb(inner, lines[inner.prog]) for inner in every(parser))


def verb(parser: argparse.ArgumentParser, line: str) -> str:
    """One verb: what it does, what it takes."""
    name = parser.prog.removeprefix("nas-stability ")
    actions = [action for action in parser._actions if action.dest not in ("help", "debug")]
    fields = [action for action in actions if action.dest.startswith("field_")]
    others = [action for action in actions if action not in fields]
    text = f"\n## {name} {{ #{name.replace(' ', '-')} }}\n\n{sentence(line)}\n"
    text += f"\n```text\n{usage(parser.prog, actions)}\n```\n"
    if fields:
        page = "fields" if name == "run" else "protocol"
        text += f"\nEvery [field]({page}.md) is a flag of its own name, with dashes.\n"
    text += "".join(entry(action) for action in others)
    return text + (f"\n```text\n{parser.epilog.rstrip()}\n```\n" if parser.epilog else "")


def sentence(line: str) -> str:
    """A line of help as a sentence."""
    text = escaped(line.replace("%%", "%"))
    return f"{text[:1].upper()}{text[1:]}."


def usage(name: str, actions: Sequence[argparse.Action]) -> str:
    """A verb with what it cannot do without, and a word for the rest."""
    needed = [action for action in actions if action.required or not action.option_strings]
    return " ".join([name, *map(shown, needed), *(["[FLAGS]"] if len(needed) < len(actions) else [])])


def shown(action: argparse.Action) -> str:
    """What an argument looks like in the usage."""
    value = value_of(action)
    if action.option_strings:
        return f"{action.option_strings[0]} {value}".strip()
    return {"+": f"{value}...", "*": f"[{value}...]", "?": f"[{value}]"}.get(str(action.nargs), value)


def value_of(action: argparse.Action) -> str:
    """What stands for an argument's value."""
    if action.nargs == 0:
        return ""
    if action.metavar:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def entry(action: argparse.Action) -> str:
    """One argument, as a definition."""
    term = " ".join(filter(None, (", ".join(action.option_strings), value_of(action))))
    line = escaped((action.help or "").replace("%%", "%"))
    return f"\n`{term}`\n:   {line or ('needed' if action.required else 'as its name says')}\n"


def run_fields() -> str:
    """Every field of RunSpec."""
    text = (
        "# Fields of a run\n\nEverything that decides the numbers of a run, and nothing else. A field has one name: in "
        "`RunSpec`, as a flag of `nas-stability run` (with dashes), as a key of a study's `[base]` and `[over]`, in "
        "`run.json` and as a column. Inside the search step the defaults are the published behaviour; what differs "
        "is in [Fidelity](../fidelity.md). A default never changes: run ids stand on them.\n"
    )
    for name in FIELDS:
        text += f"\n## {GROUPS[name]}\n" if name in GROUPS else ""
        text += field(name, field_values(name), FIELDS[name], defaults_by(name))
    return text


KINDS = {"true|false": "`true` or `false`", "N": "a whole number", "X": "a number", "TEXT": "text"}
"""What stands for a value in the help -> in words."""

LINKED = {
    "method": "one of the [methods](methods.md)",
    "table": "`auto`, `none`, one of the [tables](tables.md), or a path",
}
"""Field -> what it takes, where that is listed on another page."""


def field(name: str, takes: str, item: dataclasses.Field[object], defaults: str) -> str:
    """One field: what it is, what it takes, its default."""
    kind = KINDS.get(takes) or " or ".join(f"`{choice}`" for choice in takes.split("|"))
    if name in NAMES:
        kind = ", ".join(f"`{one}`" for one in NAMES[name]) + (", `npz:PATH`, `folder:PATH`" if name == "data" else "")
    notes = [f"Takes {LINKED.get(name, kind)}"]
    if item.metadata["range"] is not None:
        notes[0] += f" in {escaped(str(item.metadata['range']))}"
    notes.append(defaults)
    if name in OTHERWISE:
        notes.append("not a flag of its own name")
    text = sentence(str(item.metadata["help"]))
    return f"\n### `{name}` {{ #{name} }}\n\n{text}\n\n{'; '.join(notes)}.\n{{ .takes }}\n"


def defaults_by(name: str) -> str:
    """A field's default, or what it is in each space or for each data set."""
    item = FIELDS[name]
    if item.default not in (dataclasses.MISSING, ""):
        return f"default `{text_of(item.default)}`"
    if item.default == "":
        return "empty by default"
    by_space = {space: facts.defaults[name] for space, facts in FACTS.items() if name in facts.defaults}
    if by_space:
        return f"default {grouped(by_space)}"
    by_data = {data: values[name] for data, values in AUGMENTATION.items() if name in values}
    if name in PUBLISHED_AUGMENTATION:
        return f"default `{text_of(PUBLISHED_AUGMENTATION[name])}`" + (f"; {grouped(by_data)}" if by_data else "")
    return "has to be given"


def grouped(values: dict[str, Value]) -> str:
    """Values, each with those who have it."""
    owners: dict[str, list[str]] = {}
    for owner, value in values.items():
        owners.setdefault(text_of(value), []).append(owner)
    return ", ".join(f"`{value}` ({', '.join(names)})" for value, names in owners.items())


def protocol_fields() -> str:
    """Every field of how a found architecture is trained from scratch."""
    presets = ", ".join(f"`{name}`" for name in protocol.PRESETS)
    text = (
        "# Fields of training from scratch\n\nOf `nas-stability evaluate` and of `[[evaluate]]` in a study's file. "
        f"`--protocol` names a preset ({presets}), which fills in all of them by space; a field that is given stands "
        "in the place of the preset's.\n"
    )
    for name, item in protocol.FIELDS.items():
        known = item.default not in (dataclasses.MISSING, "")
        text += field(name, values_of(name), item, f"default `{text_of(item.default)}`" if known else "by preset")
    return text
