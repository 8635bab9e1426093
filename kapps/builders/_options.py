"""Checks of the options of a family: each value has a kind, which the default and the rows of the table show.

The kind of `depths=(3, 4, 6, 3)` is a tuple of positive integers, of `dropout=0.5` a fraction, of `bypass="simple"` a
text. The body checks what depends on several options.
"""

from collections.abc import Iterable
from typing import Any

from kapps._values import is_integer, is_number, short

MOST = 2**16
"""The largest integer of an option; the widest layer of a published network has 32,768 units."""
MOST_BLOCKS = 1000
"""The largest number of blocks, layers or steps; a network of more takes minutes to build."""
NUMBERS_OF_PARTS = {
    "depth",
    "depths",
    "n",
    "d",
    "layers",
    "levels",
    "middle",
    "horizon",
    "steps",
    "experts",
    "hops",
}
"""Options that count parts of the network."""
FRACTIONS = {"dropout", "drop_rate", "epsilon", "kernel_dropout", "noise", "ponder"}
"""Options that are fractions in [0, 1)."""
ZERO = {"entropy", "penalty", "reward"}
"""Options that are positive numbers or 0."""
EXAMPLES = {
    "attention_units": (None, 1), "block": (None, 1), "chunk": (None, 1), "embedding": (None, 1), "layers": (None, 1),
    "positions": (None, 1), "pyramid": (None, 1), "segment": (None, 1), "source_vocabulary": (None, 1),
    "drop_steps": (None, 1),
    "merge": (None, "concat"), "residual": (None, 1), "bypass": (None, "simple"), "norm": (None, "batch"),
    "buckets": (None, (2, 2)), "ffn_chunk": (None, 1),
    "edges": (None, (((0, 1),),)),
}  # fmt: skip
"""Further values that an option takes, where its default is None."""
MOST_TOKENS = 2**24
"""The largest number of tokens or classes."""
VOCABULARIES = {"source_vocabulary"}
"""Options that are numbers of tokens."""
TRAINING_STEPS = {"drop_steps"}
"""Options that are numbers of training steps."""


def check_options(name: str, options: dict[str, Any], examples: dict[str, Iterable[Any]]) -> None:
    """Raises ValueError for an option whose value has another kind than its examples, in one line.

    Args:
        name: of the builder, for errors.
        options: {option: value}.
        examples: {option: values that it takes}: its default and those of the family's table.
    """
    for key, value in options.items():
        values = list(examples.get(key, ()))
        if all(example is None for example in values):
            values += EXAMPLES.get(key, ())
        values += [0.0] if key in ZERO else []
        if values and not any(_matches(key, value, example) for example in values):
            kinds = {_kind(example): _describe(key, example) for example in reversed(values)}
            allowed = " or ".join(dict.fromkeys(reversed(kinds.values())))
            raise ValueError(f"{name}: {key}={short(value)} is not {allowed}")


def _kind(example):
    """Returns what examples that are described in the same words have in common."""
    if isinstance(example, (tuple, list)):
        return tuple(dict.fromkeys(_kind(item) for item in example))
    return (
        0 if example == 0 and type(example) is int else type(example)
    )  # 0 is allowed where it is used


def _most(key):
    if key in VOCABULARIES | TRAINING_STEPS:
        return MOST_TOKENS
    return MOST_BLOCKS if key in NUMBERS_OF_PARTS else MOST


def _matches(key, value, example):
    """Whether a value has the kind of an example."""
    if example is None or isinstance(example, bool):
        return value is None if example is None else isinstance(value, bool)
    if key in FRACTIONS:
        return is_number(value) and 0 <= value < 1
    if isinstance(example, int):
        return is_integer(value, min(example, 1), _most(key))
    if isinstance(example, float):
        return is_number(value) and (value > 0 or value == example == 0) and value <= MOST
    if isinstance(example, str):
        return isinstance(value, str)
    if isinstance(example, (tuple, list)):
        if not isinstance(value, (tuple, list)):
            return False
        if not example or not value:
            return len(value) == 0 == len(example)
        kinds = list({_kind(item): item for item in reversed(example)}.values())
        return all(any(_matches(key, item, kind) for kind in kinds) for item in value)
    return callable(value) if callable(example) else True


def _describe(key, example):
    """Returns what is allowed, from an example."""
    if example is None or isinstance(example, bool):
        return "None" if example is None else "True or False"
    if key in FRACTIONS:
        return "a fraction in [0, 1)"
    if isinstance(example, int):
        return f"an integer from {min(example, 1)} to {_most(key):,}"
    if isinstance(example, float):
        return f"a positive number to {MOST:,}" if example else "a number from 0"
    if isinstance(example, str):
        return f"a text such as {example!r}"
    if isinstance(example, (tuple, list)):
        if not example:
            return "()"
        if any(isinstance(item, (tuple, list)) for item in example):
            return f"a tuple such as {short(example, 120)}"
        parts = " or ".join(dict.fromkeys(_describe(key, item) for item in example))
        return f"a tuple such as {example!r}, each {parts}"
    return f"a function such as {getattr(example, '__name__', example)}"
