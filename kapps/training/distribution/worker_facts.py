"""Compares what the workers of a training know, such as flags and data, before the training starts."""

import json

import numpy as np
import tensorflow as tf

from kapps.training.distribution.cluster import ClusterError

_LISTED, _LONGEST = 3, 80
"""Number of differences in an error, and of characters of a value."""


def compare_facts(strategy: tf.distribute.Strategy, facts: dict) -> None:
    """Compares a dictionary over the workers of a strategy. All workers must call this at the same time.

    Args:
        strategy: the strategy. Without several workers nothing is compared.
        facts: of JSON's types; dictionaries may contain dictionaries.

    Raises:
        ClusterError: on every worker, with the first keys whose values differ, and the values of the workers.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    all_facts = [_flatten(facts) for facts in _gather(strategy, facts)]
    keys = dict.fromkeys(key for facts in all_facts for key in facts)
    different = [
        key for key in keys if any(facts.get(key) != all_facts[0].get(key) for facts in all_facts)
    ]
    if different:
        texts = [
            _describe(key, [facts.get(key) for facts in all_facts]) for key in different[:_LISTED]
        ]
        more = f"; and {len(different) - _LISTED:,} more" if len(different) > _LISTED else ""
        raise ClusterError(
            f"the workers differ in {'; '.join(texts)}{more}: start every worker with the same flags and the same data"
        )


def _describe(key, values):
    """Returns "batch_size: 24 (worker 0), 32 (workers 1 and 2)"."""
    workers = {}
    for worker, value in enumerate(values):
        text = "none" if value is None else str(value)
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        workers.setdefault(text, []).append(str(worker))
    parts = (
        f"{text} (worker{'s' * (len(names) > 1)} {' and '.join(names)})"
        for text, names in workers.items()
    )
    return f"{key}: {', '.join(parts)}"


def _flatten(facts, prefix=""):
    """Returns {"images, cat": 3} for {"images": {"cat": 3}}. A list is one value, except a long one: its items."""
    flat = {}
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flatten(value, f"{name}, ")
        elif isinstance(value, list) and len(str(value)) > _LONGEST:
            flat |= {f"{name}, number {i}": item for i, item in enumerate(value)}
        else:
            flat[name] = value
    return flat


def _gather(strategy, facts):
    """Returns the facts of each worker, in the order of the workers."""
    content = np.frombuffer(json.dumps(facts, default=str).encode(), np.uint8).astype("int32")
    lengths = _gather_rows(strategy, np.array([len(content)], "int32"))[:, 0]
    rows = _gather_rows(strategy, np.pad(content, (0, max(lengths) - len(content))))
    replicas = len(rows) // strategy.cluster_resolver.cluster_spec().num_tasks("worker")
    texts = [
        row[:length].astype(np.uint8).tobytes() for row, length in zip(rows, lengths, strict=True)
    ]
    return [json.loads(text) for text in texts[::replicas]]


def _gather_rows(strategy, row):
    """Returns the rows of all replicas, int32 (replicas, length)."""
    values = strategy.run(lambda: tf.constant(row)[None])
    return strategy.gather(values, axis=0).numpy()
