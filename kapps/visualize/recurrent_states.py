"""The states and gates of recurrent layers at every step, and cells that follow a mark.

Karpathy 2015, arXiv:1506.02078, section 4.2.
"""

import keras
import numpy as np
from keras import ops

from kapps._keras_compat import get_mask
from kapps.visualize import _layer_calls

GATES = {
    keras.layers.LSTM: ("input", "forget", "candidate", "output"),
    keras.layers.GRU: ("update", "reset", "candidate"),
}
"""Gates of Keras's layers, in the order of their kernels."""


def cell_states(
    model: keras.Model, inputs, layer: str | None = None, *, gates: bool = True
) -> dict[str, np.ndarray]:
    """Returns the states of a recurrent layer at every step, and the gates of an LSTM or a GRU.

    The layer's own cell runs again on the layer's own inputs, from its first state.

    Args:
        model: a `keras.Model` of sequences, also a nested one.
        inputs: what the model takes.
        layer: name of a `keras.layers.RNN` (LSTM, GRU, SimpleRNN and layers of kapps); None for the first one.
        gates: whether the gates are computed, which takes longer than the states.

    Returns:
        {"h", "c", ...: float32 (batch, time, units)}: "h" and, of an LSTM, "c"; "state1", "state2" ... of other
        layers; the gates "input", "forget", "candidate", "output" of an LSTM, "update", "reset", "candidate" of a GRU.
        Steps that a mask leaves out repeat the states before them. A layer that goes backwards has its own order.

    Raises:
        ValueError: if there is no such layer.
    """
    recurrent_calls = []

    def visit(call):
        outputs = call.proceed()
        if isinstance(call.operation, keras.layers.RNN):
            recurrent_calls.append((call, outputs))
        return outputs

    _layer_calls.run(model, inputs, visit)
    names = [call.path for call, _ in recurrent_calls]
    chosen = [
        call for call, _ in recurrent_calls if layer in (None, call.path, call.operation.name)
    ][:1]
    if not chosen:
        listed = ", ".join(names) or "none"
        raise ValueError(
            f"{model.name} has no recurrent layer {layer!r}; its recurrent layers: {listed}"
        )
    call = chosen[0]
    rnn, x = call.operation, call.args[0]
    mask = call.kwargs.get("mask")
    if mask is None:
        mask = get_mask(x)
    states = call.kwargs.get("initial_state")
    if states is None:
        states = call.args[1] if len(call.args) > 1 else rnn.get_initial_state(len(x))
    if rnn.go_backwards:
        x, mask = ops.flip(x, axis=1), None if mask is None else ops.flip(mask, axis=1)
    states = list(states) if isinstance(states, (list, tuple)) else [states]
    steps, gate_steps = [], []
    for t in range(x.shape[1]):
        if gates:
            gate_steps.append(_gates(rnn, x[:, t], states[0]))
        _, after = rnn.cell(x[:, t], states, training=False)
        after = list(after) if isinstance(after, (list, tuple)) else [after]
        if mask is not None:
            keep = ops.cast(mask[:, t], after[0].dtype)
            after = [_mix(keep, new, old) for new, old in zip(after, states, strict=True)]
        states = after
        steps.append(states)
    if isinstance(rnn, keras.layers.LSTM):
        keys = ["h", "c"]
    else:
        keys = ["h"] if len(states) == 1 else [f"state{i + 1}" for i in range(len(states))]
    result = {key: _stack([state[i] for state in steps]) for i, key in enumerate(keys)}
    if not gates:
        return result
    kinds = next((names for kind, names in GATES.items() if isinstance(rnn, kind)), ())
    return result | {name: _stack([step[i] for step in gate_steps]) for i, name in enumerate(kinds)}


def find_cells(states, mark, count: int = 10) -> list[tuple[int, float]]:
    """Returns the cells whose values follow a mark, such as "inside quotes" or the position in a line.

    Args:
        states: (batch, time, units), one of the arrays of `cell_states`.
        mark: number or truth value of each step, (batch, time).
        count: number of cells.

    Returns:
        The index and Pearson's correlation of each cell, the largest absolute value first. A constant has 0.

    Raises:
        ValueError: for shapes that do not fit.
    """
    states, mark = np.asarray(states, "float64"), np.asarray(mark, "float64")
    if states.ndim != 3 or mark.shape != states.shape[:2]:
        raise ValueError(
            f"states of shape {states.shape} and a mark of shape {mark.shape}: pass (batch, time,"
            " units) and (batch, time)"
        )
    x = states.reshape(-1, states.shape[-1]) - states.mean(axis=(0, 1))
    y = mark.reshape(-1) - mark.mean()
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    r = x.T @ y / np.where(scale == 0, 1, scale)
    order = np.argsort(-np.abs(r), kind="stable")[:count]
    return [(int(i), float(r[i])) for i in order]


def similar_states(states, batch: int, step: int, count: int = 10) -> list[tuple[int, int, float]]:
    """Returns the steps of a corpus whose states are most like those of one step.

    Args:
        states: (batch, time, units).
        batch, step: index of the sequence and of the step.
        count: number of steps.

    Returns:
        The sequence, the step and the cosine of the states, the largest first, without the step itself.
    """
    states = np.asarray(states, "float64")
    unit = states / np.maximum(np.linalg.norm(states, axis=-1, keepdims=True), 1e-12)
    cosine = unit @ unit[batch, step]
    cosine[batch, step] = -np.inf
    order = np.argsort(-cosine, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, cosine.shape)
    return [(int(i), int(j), float(cosine[i, j])) for i, j in zip(rows, columns, strict=True)]


def _gates(rnn, x, h):
    """Returns the gates of an LSTM or a GRU at one step, and nothing for other layers."""
    kind = next((kind for kind in GATES if isinstance(rnn, kind)), None)
    if kind is None:
        return []
    cell, count = rnn.cell, len(GATES[kind])
    kernels = ops.split(cell.kernel, count, axis=1)
    recurrent = ops.split(cell.recurrent_kernel, count, axis=1)
    biases = [[0] * count, [0] * count]
    if cell.use_bias:
        rows = ops.reshape(cell.bias, (-1, cell.bias.shape[-1]))
        biases = [ops.split(row, count) for row in rows] + [[0] * count]
    a = [ops.matmul(x, kernel) + bias for kernel, bias in zip(kernels, biases[0], strict=True)]
    if kind is keras.layers.LSTM:
        sums = [ops.matmul(h, kernel) + z for kernel, z in zip(recurrent, a, strict=True)]
        return [
            cell.activation(z) if name == "candidate" else cell.recurrent_activation(z)
            for name, z in zip(GATES[kind], sums, strict=True)
        ]
    b = [ops.matmul(h, kernel) + bias for kernel, bias in zip(recurrent, biases[1], strict=True)]
    update, reset = (cell.recurrent_activation(a[i] + b[i]) for i in (0, 1))
    if cell.reset_after:
        candidate = cell.activation(a[2] + reset * b[2])
    else:
        candidate = cell.activation(a[2] + ops.matmul(reset * h, recurrent[2]))
    return [update, reset, candidate]


def _mix(keep, new, old):
    keep = ops.reshape(keep, (-1,) + (1,) * (len(new.shape) - 1))
    return keep * new + (1 - keep) * old


def _stack(steps):
    return np.stack([ops.convert_to_numpy(x).astype("float32") for x in steps], axis=1)
