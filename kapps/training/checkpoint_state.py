"""The state of a training: every value that its next step depends on, and every value that shows in its history."""

import keras
import numpy as np
import tensorflow as tf

from kapps._keras_compat import all_layers

_CALLBACK_ATTRIBUTES = (
    (keras.callbacks.EarlyStopping, ("wait", "best", "best_epoch", "stopped_epoch")),
    (keras.callbacks.ReduceLROnPlateau, ("wait", "best", "cooldown_counter")),
    (keras.callbacks.ModelCheckpoint, ("best", "_batches_seen_since_last_saving")),
)
"""The state of Keras's callbacks that have one. `on_train_begin` sets it to its initial values."""


def list_variables(model: keras.Model) -> list:
    """Returns the variables of a compiled model: its own, those of the optimizer, and carried states.

    Those of the model include the random seeds of its layers; those of the optimizer the step, the learning rate,
    momentum, moving averages of the weights and the loss scale. The states that stateful recurrent layers carry from
    batch to batch are not among `model.variables`.
    """
    return [*model.variables, *model.optimizer.variables, *list_carried_states(model)]


def list_carried_states(model: keras.Model) -> list:
    """Returns the states that the stateful recurrent layers of a model carry from batch to batch."""
    states = {}
    for layer in all_layers(model):
        if getattr(layer, "stateful", False) and getattr(layer, "states", None) is not None:
            states |= {id(state): state for state in _flatten(layer.states)}
    return list(states.values())


def _flatten(states):
    """Returns the variables in nested lists; `keras.tree` does not know the lists in which TensorFlow keeps them."""
    if isinstance(states, (list, tuple)):
        return [variable for part in states for variable in _flatten(part)]
    return [states]


def get_callback_states(callbacks: list) -> tuple[list, list[np.ndarray]]:
    """Returns the states of callbacks, [class name, values of JSON's types, number of arrays], and all arrays."""
    states, all_arrays = [], []
    for callback in callbacks:
        values, arrays = get_callback_state(callback)
        if values:
            states.append([type(callback).__name__, values, len(arrays)])
            all_arrays += arrays
    return states, all_arrays


def set_callback_states(callbacks: list, states: list, arrays: list[np.ndarray]) -> None:
    """Sets the states of callbacks that `get_callback_states` has returned. Other callbacks do not change."""
    remaining, arrays = list(callbacks), iter(arrays)
    for name, values, count in states:
        values_arrays = [next(arrays) for _ in range(count)]
        same_class = [callback for callback in remaining if type(callback).__name__ == name]
        if same_class:
            remaining.remove(same_class[0])
            set_callback_state(same_class[0], values, values_arrays)


def get_callback_state(callback: keras.callbacks.Callback) -> tuple[dict, list[np.ndarray]]:
    """Returns the state of a callback: values of JSON's types, and arrays.

    A callback of another class than Keras's has a state if it has the methods `get_state`, which returns values of
    JSON's types, and `set_state`.
    """
    if hasattr(callback, "get_state"):
        return {"state": callback.get_state()}, []
    values = {
        name: _to_json(getattr(callback, name))
        for kind, names in _CALLBACK_ATTRIBUTES
        if isinstance(callback, kind)
        for name in names
        if hasattr(callback, name)
    }
    weights = getattr(callback, "best_weights", None) if values else None
    return values, [] if weights is None else [np.asarray(weight) for weight in weights]


def set_callback_state(
    callback: keras.callbacks.Callback, values: dict, arrays: list[np.ndarray]
) -> None:
    """Sets the state of a callback that `get_callback_state` has returned."""
    if "state" in values:
        callback.set_state(values["state"])
        return
    for name, value in values.items():
        setattr(callback, name, value)
    if arrays:
        callback.best_weights = arrays


def _to_json(value):
    if value is None or isinstance(value, (int, str)):
        return value
    return float(keras.ops.convert_to_numpy(value))


def assign_all(variables: list, values: list[np.ndarray]) -> None:
    """Sets the values of variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def read_metrics(model: keras.Model) -> list[np.ndarray]:
    """Returns the values of the metrics of the current epoch; an empty list with several workers.

    There a metric is the sum of those of all workers, which they can only read together, and one of them saves.
    """
    strategy = model.distribute_strategy
    return [] if _has_workers(strategy) else to_arrays(model.metrics_variables)


def _has_workers(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def mean_logs(before: dict, after: dict, steps: tuple[int, int]) -> dict:
    """Returns the mean logs of an epoch from those of its two parts, where the metrics could not be read.

    Args:
        before: logs of the part before an interruption.
        after: logs of the part after it. Values that `before` lacks do not change.
        steps: numbers of steps of the two parts.
    """
    return {
        key: _mean(key, [before[key], value], steps) if key in before else value
        for key, value in after.items()
    }


def _mean(key, values, weights):
    """Returns the weighted mean of a metric: the geometric mean of a perplexity, which is exp of a mean."""
    if key.endswith("perplexity"):
        return float(np.exp(np.average(np.log(values), weights=weights)))
    return float(np.average(values, weights=weights))


class ResumedEpoch(keras.callbacks.Callback):
    """Lets the training continue after the end of an epoch that an earlier process has begun."""

    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch, logs=None) -> None:
        if self.checkpoints.resumed_epoch:
            self.model.stop_training = False  # it only had to end this epoch
            self.checkpoints.resumed_epoch = False
            logs.update(self.checkpoints.add_earlier_logs(logs))


def to_arrays(variables: list) -> list[np.ndarray]:
    """Returns the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]
