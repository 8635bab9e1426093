"""Recurrent layers by the name of their cell: one layer, both directions, and stacks with residuals or a pyramid.

[1] Schuster 1997, Bidirectional recurrent neural networks, IEEE Transactions on Signal Processing 45(11)
[2] Wu 2016, GNMT, arXiv:1609.08144: residual connections, section 3.1
[3] Chan 2015, Listen, Attend and Spell, arXiv:1508.01211: the pyramid, equation (5)
[4] Zaremba 2014, arXiv:1409.2329: dropout between layers, not between steps

Sequences are (batch, time, features). The number of steps may be None. A Keras mask (batch, time) marks the steps
that are not padding.
"""

import keras

from kapps._keras_compat import get_mask
from kapps._names import nearest
from kapps.layers import recurrent_cells
from kapps.layers.time_steps import ConcatenatePairs

# cuDNN has kernels for Keras's own LSTM and GRU (see `kapps.why_not_cudnn`).
KERAS_LAYERS = {
    "rnn": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
}
KAPPS_CELLS = {
    "peephole": (recurrent_cells.PeepholeLSTMCell, {}),
    "coupled": (recurrent_cells.CoupledLSTMCell, {}),
    "multiplicative": (recurrent_cells.MultiplicativeLSTMCell, {}),
    "gru_new": (recurrent_cells.GRUCell, {"update": "new"}),
    "gru_old": (recurrent_cells.GRUCell, {"update": "old"}),
}
CELLS = (*KERAS_LAYERS, *KAPPS_CELLS)
MERGE_MODES = ("concat", "sum")


def recurrent_layer(
    units, *, cell="lstm", name=None, return_sequences=True, return_state=False, stateful=False, **options
):  # fmt: skip
    """Returns the `keras.layers.RNN` of a cell, without calling it.

    Args:
        units: width of the state.
        cell: "rnn", "lstm", "gru", "peephole", "coupled", "multiplicative", "gru_new" or "gru_old".
        name: name of the layer.
        return_sequences: whether the layer returns the output of each step, or only of the last step that is not
            padding.
        return_state: whether the layer also returns its last states.
        stateful: whether a batch starts from the last states of the batch before it.
        **options: options of the cell, by Keras's names: dropout, recurrent_dropout, use_bias, kernel_regularizer ...

    Raises:
        ValueError: if the cell does not exist, with the cells that do.
    """
    if cell not in CELLS:
        raise ValueError(
            f"there is no cell {cell!r}.{nearest(str(cell), CELLS)} Allowed: {', '.join(CELLS)}"
        )
    layer_options = dict(
        return_sequences=return_sequences, return_state=return_state, stateful=stateful, name=name
    )
    if cell in KERAS_LAYERS:
        return KERAS_LAYERS[cell](units, **options, **layer_options)
    cell_class, cell_options = KAPPS_CELLS[cell]
    return keras.layers.RNN(cell_class(units, **cell_options, **options), **layer_options)


def stack_cells(units, layers, *, cell, dropout=0.0):
    """Returns the cells of `layers` recurrent layers as a list, for a layer that runs them together.

    Training drops a fraction `dropout` of the inputs of each cell but the first.
    """
    dropouts = [0.0] + [dropout] * (layers - 1)
    return [recurrent_layer(units, cell=cell, dropout=rate).cell for rate in dropouts]


def recurrent(
    x, units, *, cell="lstm", learned_state=False, initial_state=None, name=None, **options
):
    """Applies one recurrent layer: (batch, time, features) to (batch, time, units), or (batch, units) of the last step.

    Args:
        x: the sequence.
        units: width of the state.
        cell: name of the cell, as for `recurrent_layer`.
        learned_state: whether the first state is a trained weight instead of zeros.
        initial_state: list of the first states, (batch, units) each, instead of zeros or a learned state.
        name: name of the layer; a learned state's is `name_state`.
        **options: as for `recurrent_layer`.

    Returns:
        The outputs; with return_state=True, (outputs, [state, ...]). An LSTM has two states, h and c.
    """
    layer = recurrent_layer(units, cell=cell, name=name, **options)
    return call_from_state(layer, x, 1, learned_state, initial_state)


def bidirectional(
    x, units, *, merge="concat", cell="lstm", learned_state=False, initial_state=None, name=None, **options
):  # fmt: skip
    """Applies two recurrent layers, one forward and one backward in time, and merges their outputs at each step [1].

    Args:
        x, units, cell, learned_state, initial_state, name: as for `recurrent`; the states are those of the forward
            layer, then those of the backward layer.
        merge: "concat" for (batch, time, 2 * units), "sum" for (batch, time, units).
        **options: as for `recurrent_layer`; with return_sequences=False the last output of each direction is merged.

    Returns:
        As `recurrent`.
    """
    if merge not in MERGE_MODES:
        raise ValueError(f'merge is "concat" or "sum", not {merge!r}')
    layer = recurrent_layer(units, cell=cell, name=name, **options)
    layer = keras.layers.Bidirectional(layer, merge_mode=merge, name=name)
    return call_from_state(layer, x, 2, learned_state, initial_state)


def call_from_state(layer, x, directions, learned_state, initial_state):
    """Calls a layer from its first states, and separates its outputs from its last states."""
    if learned_state and initial_state is not None:
        raise ValueError("learned_state=True and initial_state exclude each other: drop one")
    if learned_state:
        one_direction = layer.forward_layer if directions == 2 else layer
        sizes = keras.tree.flatten(getattr(one_direction, "cell", one_direction).state_size)
        initial_state = recurrent_cells.LearnedState(sizes * directions, name=f"{layer.name}_state")
        initial_state = initial_state(x)
    # Keras finds the mask of x itself only if x is the only tensor argument.
    mask = {} if initial_state is None else {"mask": get_mask(x)}
    result = layer(x, initial_state=initial_state, **mask)
    return (result[0], list(result[1:])) if layer.return_state else result


def stack(
    x, units, *, layers=None, cell="lstm", merge=None, residual=None, pyramid=None, dropout=0.0,
    learned_state=False, initial_state=None, return_sequences=True, return_state=False, name="layer", **options,
):  # fmt: skip
    """Applies recurrent layers in order: (batch, time, features) to (batch, time, units).

    Args:
        x: the sequence.
        units: width of each layer, a tuple; or one width for all of `layers`.
        layers: number of layers, 1 by default.
        cell: name of the cell of all layers, as for `recurrent_layer`.
        merge: None for one direction; "concat" or "sum" for two, as for `bidirectional`.
        residual: number, from 1, of the first layer whose input is added to its output: 3 in GNMT [2]. None for no
            residual connections.
        pyramid: number, from 1, of the first layer that reads pairs of steps, so that it and each later layer halve the
            length: 2 in Listen, Attend and Spell [3], which has 4 layers. None for no pyramid.
        dropout: fraction of each layer's outputs, the last layer's too, that training drops, sampled at each step [4].
        learned_state: whether the first states are trained weights instead of zeros.
        initial_state: list of each layer's first states, as return_state returns them.
        return_sequences: whether the last layer returns the output of each step, or only of the last one.
        return_state: whether to return each layer's last states too.
        name: what the layers' names start with: `layer1`, `layer1_state`, `layer2_pairs`, `layer2_add`,
            `layer2_dropout`.
        **options: options of each layer, as for `recurrent_layer`.

    Returns:
        The outputs; with return_state=True, (outputs, [[state, ...] of each layer]).

    Raises:
        ValueError: if a residual connection joins different widths or lengths, or for a number that is not a layer's.
    """
    widths = layer_widths(units, layers)
    check_layer_numbers(len(widths), residual=residual, pyramid=pyramid)
    if initial_state is not None and len(initial_state) != len(widths):
        raise ValueError(
            f"initial_state has the states of {len(initial_state)} layers, but there are {len(widths)} layers"
        )
    states = []
    for i, width in enumerate(widths, start=1):
        layer_name = f"{name}{i}"
        if pyramid is not None and i >= pyramid:
            x = ConcatenatePairs(name=f"{layer_name}_pairs")(x)
        layer_options = dict(
            cell=cell, name=layer_name, learned_state=learned_state, return_state=return_state,
            return_sequences=return_sequences or i < len(widths),
            initial_state=None if initial_state is None else initial_state[i - 1], **options,
        )  # fmt: skip
        layer_input = x
        if merge is None:
            x = recurrent(x, width, **layer_options)
        else:
            x = bidirectional(x, width, merge=merge, **layer_options)
        if return_state:
            x, last_states = x
            states.append(last_states)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{layer_name}_dropout")(x)
        if residual is not None and i >= residual:
            x = add_residual(layer_input, x, layer_name)
    return (x, states) if return_state else x


def layer_widths(units, layers):
    """Returns the width of each layer as a tuple."""
    if isinstance(units, int):
        units = (units,) * (1 if layers is None else layers)
    elif layers is not None and layers != len(units):
        raise ValueError(
            f"units has {len(units)} widths, one for each layer, but layers is {layers}; drop layers"
        )
    if not units or any(not isinstance(width, int) or width < 1 for width in units):
        raise ValueError(f"units are positive integers, one for each layer, not {units!r}")
    return tuple(units)


def check_layer_numbers(layers, **numbers):
    """Raises ValueError if a number is neither None nor from 1 to `layers`."""
    for option, number in numbers.items():
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= layers:
            raise ValueError(
                f"{option} is the number of the first layer that has it, 1 to {layers}, or None, not {number!r}"
            )


def add_residual(x, y, name):
    """Adds a layer's input x to its output y, which must have the same shape."""
    if len(x.shape) != len(y.shape):
        raise ValueError(
            f"{name} returns its last step only, to which its input, a sequence, cannot be added; use residual with "
            "return_sequences=True"
        )
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{name} has inputs of width {x.shape[-1]} and outputs of width {y.shape[-1]}, so residual cannot add "
            "them; use equal widths or start residual at a later layer"
        )
    return keras.layers.Add(name=f"{name}_add")([x, y])


def mask_zero_steps(x, masking):
    """Returns a sequence of vectors in which, with `masking`, steps whose values are all 0 are masked as padding."""
    return keras.layers.Masking(name="masking")(x) if masking else x
