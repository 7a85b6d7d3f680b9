"""Names as people write them, and the columns of epochs.csv that are named after a data set and a split."""

from __future__ import annotations

METHOD_NAMES = {
    "darts": "DARTS",
    "darts-2nd": "DARTS (2nd order)",
    "sdarts-rs": "SDARTS-RS",
    "sdarts-adv": "SDARTS-ADV",
}
SPACE_NAMES = {
    "nasbench201": "NAS-Bench-201",
    "nasbench1shot1-s1": "1Shot1 S1",
    "nasbench1shot1-s2": "1Shot1 S2",
    "nasbench1shot1-s3": "1Shot1 S3",
}
DATASET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120", "digits": "digits"}
SPLIT_NAMES = {"valid": "validation", "test": "test"}

PREFIXES = (
    *("accuracy_", "error_", "lowest_error_", "regret_", "neighbours_mean_", "neighbours_worst_"),
    *("neighbours_missing_", "rank_tau_", "rank_count_"),
)
"""What a column PREFIX_DATASET_SPLIT begins with; none begins with another."""


def method_name(method: str) -> str:
    """A method as people write it."""
    return METHOD_NAMES.get(method, method)


def space_name(space: str) -> str:
    """A space as people write it, short enough for a narrow panel."""
    return SPACE_NAMES.get(space, space)


def answer_of(column: str) -> str:
    """The DATASET_SPLIT of a column PREFIX_DATASET_SPLIT; the column itself if it is none."""
    return next((column.removeprefix(prefix) for prefix in PREFIXES if column.startswith(prefix)), column)


def dataset_and_split(answer: str) -> tuple[str, str]:
    """The two parts of a DATASET_SPLIT: a data set's name may hold underscores, a split's never does."""
    dataset, _, split = answer.rpartition("_")
    return dataset, split


def answer_name(answer: str) -> str:
    """A DATASET_SPLIT as people write it."""
    dataset, split = dataset_and_split(answer)
    return f"{DATASET_NAMES.get(dataset, dataset)} {SPLIT_NAMES.get(split, split)}".strip()
