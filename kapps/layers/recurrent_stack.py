"""Recurrent layers by their cells' names: one, in both directions, and stacked, plainly or by residuals or pyramids.

[1] Schuster 1997, Bidirectional recurrent neural networks, IEEE Transactions on Signal Processing 45(11)
[2] Wu 2016, GNMT, arXiv:1609.08144: residual connections, section 3.1
[3] Chan 2015, Listen, Attend and Spell, arXiv:1508.01211: the pyramid, equation (5)
[4] Zaremba 2014, arXiv:1409.2329: dropout of what is not recurrent

Sequences are (batch, time, features), time may be open, and a Keras mask (batch, time) says which steps are real.
"""

import keras

from kapps._keras_compat import get_mask
from kapps.cards import nearest
from kapps.layers import recurrent_cells as cells
from kapps.layers.time_steps import ConcatenatePairs

# cuDNN has kernels for Keras's own LSTM and GRU (see `kapps.why_not_cudnn`).
KERAS = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
OURS = {
    "peephole": (cells.PeepholeLSTMCell, {}),
    "coupled": (cells.CoupledLSTMCell, {}),
    "multiplicative": (cells.MultiplicativeLSTMCell, {}),
    "gru_new": (cells.GRUCell, {"update": "new"}),
    "gru_old": (cells.GRUCell, {"update": "old"}),
}
CELLS = (*KERAS, *OURS)
MERGES = ("concat", "sum")


def recurrent_layer(
    units,
    *,
    cell="lstm",
    name=None,
    return_sequences=True,
    return_state=False,
    stateful=False,
    **options,
):
    """Returns the `keras.layers.RNN` of a cell's name, not yet called.

    Args:
        units: width of the state.
        cell: "rnn", "lstm", "gru", "peephole", "coupled", "multiplicative", "gru_new" or "gru_old".
        name: of the layer.
        return_sequences: whether it answers at each step, or once after the last real one.
        return_state: whether it returns its last states too.
        stateful: whether a batch starts from the states in which the one before it ended.
        **options: of the cell, by Keras's names: dropout, recurrent_dropout, use_bias, kernel_regularizer ...

    Raises:
        ValueError: for a cell that does not exist, with those that do.
    """  # fmt: skip
    if cell not in CELLS:
        raise ValueError(
            f"there is no cell {cell!r}.{nearest(str(cell), CELLS)} Allowed: {', '.join(CELLS)}"
        )
    flow = dict(
        return_sequences=return_sequences, return_state=return_state, stateful=stateful, name=name
    )
    if cell in KERAS:
        return KERAS[cell](units, **options, **flow)
    kind, row = OURS[cell]
    return keras.layers.RNN(kind(units, **row, **options), **flow)


def recurrent(
    x, units, *, cell="lstm", learned_state=False, initial_state=None, name=None, **options
):
    """One recurrent layer: (batch, time, features) to (batch, time, units), or (batch, units) after the last step.

    Args:
        x: the sequence.
        units: width of the state.
        cell: its name, as for `recurrent_layer`.
        learned_state: whether the first state is trained, instead of zeros.
        initial_state: list of the first states (batch, units), instead of either.
        name: of the layer; a learned state's is `name_state`.
        **options: as for `recurrent_layer`.

    Returns:
        The outputs, or (outputs, [state, ...]) where return_state is True: an LSTM has two states, h and c.
    """  # fmt: skip
    return _call(
        recurrent_layer(units, cell=cell, name=name, **options), x, 1, learned_state, initial_state
    )


def bidirectional(
    x, units, *, merge="concat", cell="lstm", learned_state=False, initial_state=None, name=None, **options
):  # fmt: skip
    """Two layers of their own weights, one from the last real step to the first, merged at each step [1].

    Args:
        x, units, cell, learned_state, initial_state, name: as for `recurrent`; the states are those of the layer
            forward, then those of the layer backward.
        merge: "concat" for (batch, time, 2 * units), "sum" for (batch, time, units).
        **options: as for `recurrent_layer`; without return_sequences, what is merged is the last output of each direction.

    Returns:
        As `recurrent` does.
    """
    if merge not in MERGES:
        raise ValueError(f'directions are merged by "concat" or "sum", not {merge!r}')
    one = recurrent_layer(units, cell=cell, name=name, **options)
    both = keras.layers.Bidirectional(one, merge_mode=merge, name=name)
    return _call(both, x, 2, learned_state, initial_state)


def _call(one, x, directions, learned_state, initial_state):
    """Calls a layer from its first states and tells its outputs from its last ones."""
    if learned_state and initial_state is not None:
        raise ValueError("a layer's first state is learned or given: drop one of the two")
    if learned_state:
        forward = one.forward_layer if directions == 2 else one
        sizes = keras.tree.flatten(getattr(forward, "cell", forward).state_size)
        initial_state = cells.LearnedState(sizes * directions, name=f"{one.name}_state")(x)
    # Keras hands a mask on by itself where the sequence is the only tensor, not where states come with it.
    mask = {} if initial_state is None else {"mask": get_mask(x)}
    found = one(x, initial_state=initial_state, **mask)
    return (found[0], list(found[1:])) if one.return_state else found


def stack(
    x, units, *, layers=None, cell="lstm", merge=None, residual=None, pyramid=None, dropout=0.0,
    learned_state=False, initial_state=None, return_sequences=True, return_state=False, name="layer", **options,
):  # fmt: skip
    """Recurrent layers upon each other: (batch, time, features) to (batch, time, units).

    Args:
        x: the sequence.
        units: width of each layer, a tuple; or one width, for `layers` of them.
        layers: how many, by default 1.
        cell: the name of each layer's cell, as for `recurrent_layer`.
        merge: None for one direction; "concat" or "sum" for two in each layer, as for `bidirectional`.
        residual: number, from 1, of the first layer whose input is added to its output: 3 in GNMT [2]; None: none.
        pyramid: number, from 1, of the first layer that reads pairs of steps, so that the length halves before it
            and each later one: 2 in Listen, Attend and Spell [3], which has 4 layers; None: none.
        dropout: share of each layer's outputs, the last one's too, that training drops, anew at each step [4].
        learned_state: whether the first states are trained, instead of zeros.
        initial_state: list of each layer's first states, as return_state returns them, instead of either.
        return_sequences: whether the last layer answers at each step, or once after the last real one.
        return_state: whether to return each layer's last states too.
        name: what the layers' names start with: `layer1`, `layer1_state`, `layer2_pairs`, `layer2_add`,
            `layer2_dropout`.
        **options: of each layer, as for `recurrent_layer`.

    Returns:
        The outputs, or (outputs, [[state, ...] of each layer]) where return_state is True.

    Raises:
        ValueError: where a residual joins different widths or lengths, and for numbers that are no layer's.
    """
    widths = _widths(units, layers)
    for what, first in (("residual", residual), ("pyramid", pyramid)):
        known = first is None or (isinstance(first, int) and not isinstance(first, bool))
        if not known or (first is not None and not 1 <= first <= len(widths)):
            raise ValueError(
                f"{what} is the number of the first layer that has it, 1 to {len(widths)}, or None, not {first!r}"
            )
    if initial_state is not None and len(initial_state) != len(widths):
        raise ValueError(
            f"{len(initial_state)} layers' first states are given, but there are {len(widths)} layers"
        )
    states = []
    for i, width in enumerate(widths, start=1):
        each = f"{name}{i}"
        if pyramid is not None and i >= pyramid:
            x = ConcatenatePairs(name=f"{each}_pairs")(x)
        its = dict(
            cell=cell, name=each, learned_state=learned_state, return_state=return_state,
            return_sequences=return_sequences or i < len(widths),
            initial_state=None if initial_state is None else initial_state[i - 1], **options,
        )  # fmt: skip
        below = x
        x = (
            recurrent(x, width, **its)
            if merge is None
            else bidirectional(x, width, merge=merge, **its)
        )
        if return_state:
            x, last = x
            states.append(last)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{each}_dropout")(x)
        if residual is not None and i >= residual:
            x = _add(below, x, each)
    return (x, states) if return_state else x


def _widths(units, layers):
    if isinstance(units, int):
        units = (units,) * (1 if layers is None else layers)
    elif layers is not None and layers != len(units):
        raise ValueError(
            f"units has {len(units)} widths, one a layer, but layers is {layers}; drop layers"
        )
    if not units or any(not isinstance(width, int) or width < 1 for width in units):
        raise ValueError(f"units are whole numbers from 1, one a layer, not {units!r}")
    return tuple(units)


def _add(below, x, name):
    """Adds a layer's input to its output, which have one shape."""
    if len(below.shape) != len(x.shape):
        raise ValueError(
            f"{name} answers once, so its input, a sequence, cannot be added; residual goes with return_sequences"
        )
    if below.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"{name} reads {below.shape[-1]} values a step and returns {x.shape[-1]}, so residual cannot add them; "
            "give it equal widths or begin residual at a later layer"
        )
    return keras.layers.Add(name=f"{name}_add")([below, x])


def mask_zero_steps(x, masking):
    """Returns a sequence of vectors in which, with `masking`, steps whose values are all 0 are masked as padding."""
    return keras.layers.Masking(name="masking")(x) if masking else x
