"""Names as people write them, and the columns of epochs.csv that are named after a data set and a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nas_stability.benchmarks import plugins
from nas_stability.benchmarks.spaces.facts import FACTS, Facts
from nas_stability.harness.methods import compositions
from nas_stability.harness.methods.compositions import PERTURBED, known_method
from nas_stability.harness.records.record import dataset_and_split

METHODS = {name: method.title for name, method in compositions.METHODS.items()}
"""Methods as people write them, in the order in which they are listed and coloured; others follow."""

DATASET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120", "digits": "digits"}
SPLIT_NAMES = {
    "valid": "validation",
    "test": "test",
    "valid_surrogate": "validation (surrogate)",
    "test_surrogate": "test (surrogate)",
}

RANDOM = "random"
"""The name under which random search stands where methods have theirs; ``random-best-of-K`` of K draws."""

SURROGATE, DEVIATION = "_surrogate", "_sd"
"""How a column of accuracies ends that nobody measured, and that of its deviation."""

PREFIXES = (
    *("accuracy_", "error_", "lowest_error_", "regret_", "neighbours_mean_", "neighbours_worst_"),
    *("neighbours_missing_", "rank_tau_", "rank_count_"),
)
"""What a column PREFIX_DATASET_SPLIT begins with; none begins with another."""


def method_name(method: str) -> str:
    """A method as people write it; one that has no title in capitals. Nothing is loaded for it."""
    if method.partition("-best-of-")[0] == RANDOM:
        return method.replace("-best-of-", ", best of ")
    found = known_method(method, plugins.loaded)
    return found.title if found and found.title else method.upper()


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods, each once: those of METHODS in its order, then the others, sorted, a base before its perturbed forms."""
    found = set(methods)
    return [method for method in METHODS if method in found] + sorted(found - METHODS.keys(), key=base_first)


def base_first(method: str) -> tuple[str, int]:
    """A key that sorts BASE, BASE-rs and BASE-adv together."""
    base, _, ending = method.rpartition("-")
    endings = list(PERTURBED)
    return (base, 1 + endings.index(ending)) if base and ending in endings else (method, 0)


def space_name(space: str, facts: Mapping[str, Facts] = FACTS) -> str:
    """A space as people write it, short enough for a narrow panel; one of which there are no facts by its own name."""
    return facts[space].title if space in facts else space


def answering(columns: Iterable[str], prefix: str = "accuracy_") -> list[str]:
    """The columns PREFIX + DATASET_SPLIT, without those of the deviations of a surrogate's answers."""
    return [name for name in columns if name.startswith(prefix) and not name.endswith(SURROGATE + DEVIATION)]


def told_by(answer: str) -> str:
    """Who says what a column or DATASET_SPLIT holds: the table, or a surrogate."""
    return "surrogate" if answer.endswith(SURROGATE) else "table"


def answer_of(column: str) -> str:
    """The DATASET_SPLIT of a column PREFIX_DATASET_SPLIT; the column itself if it is none."""
    return next((column.removeprefix(prefix) for prefix in PREFIXES if column.startswith(prefix)), column)


def answer_name(answer: str) -> str:
    """A DATASET_SPLIT as people write it."""
    dataset, split = dataset_and_split(answer)
    return f"{DATASET_NAMES.get(dataset, dataset)} {SPLIT_NAMES.get(split, split)}".strip()
