"""The names of splits, and which one is read for a requested split."""

from collections.abc import Iterable

from kapps._names import nearest
from kapps.data.errors import DataError

TRAINING = ("train", "training")
VALIDATION = ("validation", "valid", "val", "eval", "evaluation", "dev")
TEST = ("test", "testing")
SPLITS = (*TRAINING, *VALIDATION, *TEST)
"""Names of splits, without regard to capital letters."""


def is_split(name: str) -> bool:
    """Returns whether a folder's name is that of a split."""
    return name.lower() in SPLITS


def select_split(split: str, splits: Iterable[str], name: str) -> str:
    """Returns the split of a dataset to read.

    The name itself is preferred, then the other names of the same kind in `TRAINING`, `VALIDATION` or `TEST`, without
    regard to capital letters. A test split is read for a validation split only if there is no validation split.

    Args:
        split: the requested split.
        splits: the splits that the dataset has.
        name: the dataset, for the error message.

    Raises:
        DataError: the dataset has no such split.
    """
    splits = list(splits)
    if split in splits:
        return split
    kinds = [kind for kind in (TRAINING, VALIDATION, TEST) if split.lower() in kind]
    names = kinds[0] if kinds else (split.lower(),)
    if names is VALIDATION:
        names = (split.lower(), *VALIDATION, *TEST)
    by_lower = {candidate.lower(): candidate for candidate in reversed(splits)}
    for candidate in names:
        if candidate in by_lower:
            return by_lower[candidate]
    raise DataError(
        f"{name} has no split {split!r}: it has {', '.join(splits) or 'none'}.{nearest(split, splits)}"
    )
