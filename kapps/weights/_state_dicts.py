"""Finds the state dict in a checkpoint as trainers write it, and its names without wrappers' prefixes."""

import collections
import sys

from kapps.weights._messages import printable
from kapps.weights._stored_array import StoredArray

KEYS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "ema",
    "state_dict", "model_state_dict", "model_state", "model", "module", "network", "net", "params", "weights",
)  # fmt: skip
"""Keys under which trainers keep weights. Averaged weights are first, as in timm and torchvision."""
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that PyTorch adds, anywhere in a name: DataParallel, torch.compile, FSDP, checkpointing."""
PREFIXES = (
    "model", "net", "network", "encoder", "backbone", "base_model", "trunk", "student", "teacher", "ema",
    "timm_model", "feature_extractor", "_model",
)  # fmt: skip
"""First parts of names that trainers add, if all names of a file have the same."""
COUNTERS = ("num_batches_tracked", "n_averaged")
"""Last parts of the names of numbers of steps, which Keras does not have."""
LONGEST_NAME = 512
DEEPEST = 3


def find_state_dicts(content: object) -> list[tuple[str, dict[str, StoredArray]]]:
    """Returns the state dicts in a checkpoint, in the order in which they are tried.

    Args:
        content: nested dictionaries.

    Returns:
        (key, {name: array}); the key is "" if the checkpoint is the state dict itself.

    Raises:
        ValueError: if there is none, or if one holds anything but tensors.
    """
    state_dicts, errors = [], []
    for key, state in _nested(content, "", 0, set()):
        try:
            state_dicts.append((key, _check(state, key)))
        except ValueError as error:
            errors.append(error)
    if not state_dicts:
        raise errors[0] if errors else ValueError(f"it does not hold a state dict{_keys(content)}")
    return state_dicts


def _nested(content, place, depth, seen):
    """Yields (key, dictionary) of dictionaries with tensors, each once."""
    if not isinstance(content, dict) or depth > DEEPEST or id(content) in seen:
        return
    seen.add(id(content))
    nested = [
        item
        for key in KEYS
        for item in _nested(content.get(key), f"{place}.{key}".lstrip("."), depth + 1, seen)
    ]
    if nested:
        yield from nested
    elif any(isinstance(value, StoredArray) for value in content.values()):
        yield place, content


def _check(state, place):
    """Returns a state dict without the numbers of steps."""
    state = {name: array for name, array in state.items() if not name.endswith(COUNTERS)}
    for name, array in state.items():
        if not isinstance(array, StoredArray):
            raise ValueError(
                f"{place or 'it'} does not hold a state dict: {printable(name)} is not a tensor"
            )
        if len(name) > LONGEST_NAME:
            raise ValueError(f"a name has {len(name):,} characters: {printable(name)}")
    return state


def _keys(content):
    if not isinstance(content, dict):
        return ""
    return "; it holds " + ", ".join(printable(key, 30) for key in list(content)[:5])


def strip_prefixes(state: dict[str, StoredArray], expected: set[str]) -> dict[str, StoredArray]:
    """Returns a state dict without the parts of its names that trainers add, as far as needed for `expected`.

    First the parts in `WRAPPERS` are removed from all names. Then, again and again, the most frequent first part that
    is in `PREFIXES` is removed from the names that have it.

    Args:
        state: {name: array}.
        expected: names of the model's arrays.

    Raises:
        ValueError: if two names become the same.
    """
    if expected <= set(state):
        return state
    names = {name: ".".join(p for p in name.split(".") if p not in WRAPPERS) for name in state}
    while not expected <= set(names.values()):
        firsts = collections.Counter(name.partition(".")[0] for name in names.values())
        prefix = max(PREFIXES, key=lambda prefix: firsts[prefix])
        if not firsts[prefix]:
            break
        names = {name: new.removeprefix(f"{prefix}.") for name, new in names.items()}
    return rename(state, names)


def rename(state: dict[str, StoredArray], names: dict[str, str]) -> dict[str, StoredArray]:
    """Returns a state dict with new names, {old: new}, and raises ValueError if two become the same."""
    old = {}
    for name, new in names.items():
        if new in old:
            raise ValueError(
                f"{printable(old[new])} and {printable(name)} are both {printable(new)}"
            )
        old[new] = name
    return {new: state[name] for new, name in old.items()}


def report_choice(model: str, path: object, key: str, others: list[str]) -> None:
    """Prints one line if a file holds several state dicts."""
    if others:
        print(
            f"{model}: {path} holds {', '.join([key, *others])}; {key} is loaded", file=sys.stderr
        )
