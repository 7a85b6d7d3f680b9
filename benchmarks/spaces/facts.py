"""What a search space is called and made of, as plain values. The standard library alone.

Whoever names a space asks here and needs neither PyTorch nor the space's code: the spec its defaults, a table whether
its architectures can be the space's, the analysis titles, operations and graphs. What a space computes is in space.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

Kind = Literal["conv", "skip", "none", "pool", "noise"]
"""What an operation is: "conv" is all that has weights, the others have none; "noise" draws what it gives."""

Notation = Literal["", "edges", "matrix"]
"""How a text is read as graphs (graphs.py): not at all, |op~0|+|op~0|op~1|+..., or 011/001/000 input,op,output."""


class Operation(NamedTuple):
    """An operation as people know it.

    Attributes:
        label: in a legend.
        short: in a graph, a few letters.
        kind: what it is.
    """

    label: str
    short: str
    kind: Kind = "conv"


class Form(NamedTuple):
    """What an architecture's text looks like.

    Attributes:
        pattern: regular expression of the whole text, which that of every architecture of the space matches.
        words: what it is, for a message: "it has ...".
        notation: how the graphs of its cells are written.
        column: of epochs.csv, in which they are.
        inputs: nodes of a graph in the notation "edges" that are a cell's inputs.
    """

    pattern: str
    words: str
    notation: Notation = ""
    column: Literal["arch", "cell"] = "arch"
    inputs: int = 1


class Facts(NamedTuple):
    """The facts of a space.

    Attributes:
        title: as people write it, short enough for a narrow panel.
        defaults: fields of RunSpec that have other values in this space than elsewhere, those without a default of
            their own among them.
        operations: name of an operation, in a key -> what it is.
        groups: group of the mixture whose choices are operations -> of each row, the names of its choices in order.
        datasets: that its public table answers for.
        form: of its architectures.
        paper: whether it is one of the paper's main figures.
    """

    title: str
    defaults: Mapping[str, bool | int | float | str]
    operations: Mapping[str, Operation]
    groups: Mapping[int, tuple[tuple[str, ...], ...]]
    datasets: tuple[str, ...]
    form: Form
    paper: bool = False

    def kinds(self) -> set[Kind]:
        """The kinds of its operations."""
        return {operation.kind for operation in self.operations.values()}

    def json(self) -> dict[str, Any]:
        """As JSON has it, for the record of a run."""
        operations = {name: operation._asdict() for name, operation in self.operations.items()}
        return {**self._asdict(), "operations": operations, "form": self.form._asdict()}


def from_json(values: Any) -> Facts:
    """What ``Facts.json`` wrote.

    Raises:
        ValueError: something else did.
    """
    try:
        texts = (values["title"], values["form"]["pattern"], values["form"]["words"])
        facts = Facts(
            title=values["title"],
            defaults=dict(values["defaults"]),
            operations={name: Operation(**found) for name, found in values["operations"].items()},
            groups={int(group): tuple(map(tuple, rows)) for group, rows in values["groups"].items()},
            datasets=tuple(values["datasets"]),
            form=Form(**values["form"]),
            paper=bool(values["paper"]),
        )
        named = {name for rows in facts.groups.values() for row in rows for name in row}
        texts += tuple(text for operation in facts.operations.values() for text in (operation.label, operation.short))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"these are no facts of a space: {error!r}") from error
    if not (all(isinstance(text, str) for text in texts) and named <= facts.operations.keys()):
        raise ValueError("these are no facts of a space: a name is no text, or of no operation")
    if not (facts.kinds() <= set(get_args(Kind)) and facts.form.notation in get_args(Notation)):
        raise ValueError("these are no facts of a space: an operation's kind or the notation is unknown")
    return facts


def unknown(name: str) -> Facts:
    """Of a space of which nothing is known but its name."""
    return Facts(name, {}, {}, {}, (), Form("", ""))


MODULE_HASH = Form("[0-9a-f]{32}", "NAS-Bench-101 module hashes of 32 hexadecimal digits", "matrix", "cell")
"""Of spaces of NAS-Bench-101 cells. A table of NAS-Bench-101 may hold cells that a space does not reach."""

OPERATIONS_201: dict[str, Operation] = {
    "none": Operation("none", "none", "none"),
    "skip_connect": Operation("skip", "skip", "skip"),
    "nor_conv_1x1": Operation("conv 1x1", "1x1"),
    "nor_conv_3x3": Operation("conv 3x3", "3x3"),
    "avg_pool_3x3": Operation("avg pool 3x3", "avg", "pool"),
}

_OF_EDGE = "|".join(OPERATIONS_201)
_STRING_201 = r"\+".join(
    r"\|" + "".join(rf"({_OF_EDGE})~{source}\|" for source in range(target)) for target in range(1, 4)
)

NASBENCH201 = Facts(
    title="NAS-Bench-201",
    defaults={
        "batch_size": 64,
        "valid_batches": "fresh",
        "depth": 5,
        "batch_norm_momentum": 0.1,
        "clip_counts_mixture": True,
        "table_epochs": 200,
    },
    operations=OPERATIONS_201,
    groups={0: (tuple(OPERATIONS_201),) * 6},
    datasets=("cifar10", "cifar100", "imagenet16-120"),
    form=Form(_STRING_201, "strings such as |none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "edges"),
)

OPERATIONS_1SHOT1: dict[str, Operation] = {
    "maxpool3x3": Operation("max pool 3x3", "max", "pool"),
    "conv3x3-bn-relu": Operation("conv 3x3", "3x3"),
    "conv1x1-bn-relu": Operation("conv 1x1", "1x1"),
}


def nasbench1shot1(title: str, blocks: int) -> Facts:
    """A space of NAS-Bench-1Shot1 of so many choice blocks."""
    return Facts(
        title=title,
        defaults={
            "batch_size": 96,
            "valid_batches": "pass",
            "depth": 9,
            "batch_norm_momentum": 0.997,
            "clip_counts_mixture": False,
            "table_epochs": 108,
        },
        operations=OPERATIONS_1SHOT1,
        groups={0: (tuple(OPERATIONS_1SHOT1),) * blocks},
        datasets=("cifar10",),
        form=MODULE_HASH,
        paper=True,
    )


OPERATIONS_DARTS: dict[str, Operation] = {
    "none": Operation("none", "none", "none"),
    "noise": Operation("noise", "noise", "noise"),
    "skip_connect": Operation("skip", "skip", "skip"),
    "max_pool_3x3": Operation("max pool 3x3", "max", "pool"),
    "avg_pool_3x3": Operation("avg pool 3x3", "avg", "pool"),
    "sep_conv_3x3": Operation("sep conv 3x3", "sep3"),
    "sep_conv_5x5": Operation("sep conv 5x5", "sep5"),
    "dil_conv_3x3": Operation("dil conv 3x3", "dil3"),
    "dil_conv_5x5": Operation("dil conv 5x5", "dil5"),
}

_SKIP, _MAX, _AVG = "skip_connect", "max_pool_3x3", "avg_pool_3x3"
_SEP, _DIL3, _DIL5 = "sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5"

S1_NORMAL = (
    *((_SKIP, _DIL3), (_SKIP, _DIL5)),
    *((_SKIP, _DIL5), (_SKIP, _SEP), (_SKIP, _DIL3)),
    *((_MAX, _SKIP), (_SKIP, _SEP), (_SKIP, _SEP), (_SKIP, _DIL3)),
    *((_SKIP, _SEP), (_MAX, _SKIP), (_SKIP, _DIL3), (_DIL3, _DIL5), (_DIL3, _DIL5)),
)
S1_REDUCTION = (
    *((_MAX, _AVG), (_MAX, _DIL3)),
    *((_MAX, _AVG), (_MAX, _AVG), (_SKIP, _DIL5)),
    *((_MAX, _AVG), (_MAX, _SEP), (_SKIP, _DIL3), (_SKIP, _DIL5)),
    *((_MAX, _AVG), (_MAX, _AVG), (_SKIP, _DIL5), (_SKIP, _DIL5), (_SKIP, _DIL5)),
)
"""Choices of the edges of S1 (Zela et al., Understanding and robustifying DARTS, ICLR 2020), a line per node."""


def darts(title: str, normal: tuple[tuple[str, ...], ...], reduction: tuple[tuple[str, ...], ...]) -> Facts:
    """A space of DARTS cells; the settings are those of the published search."""
    names = {name: OPERATIONS_DARTS[name] for row in (*normal, *reduction) for name in row}
    of_edge = "(" + "|".join(name for name in names if name != "none") + ")"
    nodes = r"\+".join(rf"\|{of_edge}~[0-{node}]\|{of_edge}~[1-{node + 1}]\|" for node in range(4))
    return Facts(
        title=title,
        defaults={
            "batch_size": 64,
            "valid_batches": "fresh",
            "depth": 8,
            "epochs": 50,
            "batch_norm_momentum": 0.1,
            "clip_counts_mixture": False,
            "table_epochs": 600,
        },
        operations={name: names[name] for name in OPERATIONS_DARTS if name in names},
        groups={0: normal, 1: reduction},
        datasets=(),
        form=Form(
            f"normal:{nodes};reduction:{nodes}",
            "genotypes such as normal:|skip_connect~0|skip_connect~1|+...;reduction:|skip_connect~0|...",
            "edges",
            inputs=2,
        ),
    )


def alike(title: str, *names: str) -> Facts:
    """A space of DARTS cells whose edges all have the same choices."""
    return darts(title, (names,) * 14, (names,) * 14)


FACTS: dict[str, Facts] = {
    "nasbench201": NASBENCH201,
    "nasbench1shot1-s1": nasbench1shot1("1Shot1 S1", 4),
    "nasbench1shot1-s2": nasbench1shot1("1Shot1 S2", 4),
    "nasbench1shot1-s3": nasbench1shot1("1Shot1 S3", 5),
    "darts-s1": darts("DARTS S1", S1_NORMAL, S1_REDUCTION),
    "darts-s2": alike("DARTS S2", _SKIP, _SEP),
    "darts-s3": alike("DARTS S3", "none", _SKIP, _SEP),
    "darts-s4": alike("DARTS S4", "noise", _SEP),
    "darts": alike("DARTS", _MAX, _AVG, _SKIP, _SEP, "sep_conv_5x5", _DIL3, _DIL5),
}
"""The facts of every space that is known here: that can be searched, or named without its code."""

BUILT_IN = frozenset(FACTS)
"""Spaces whose facts every reader has; the record of a run in another one holds its facts."""
