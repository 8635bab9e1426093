"""Recurrent layers and cells: what a step costs, times the steps.

Products with a sequence's own input and with the state count alike, u(in + u) a gate. A gate's two products are
added up (u), then its bias (u), then its activation is applied (u).
"""

import math

from keras import layers

from kapps.analysis.cost_rules.convolution_costs import channels
from kapps.analysis.costs import MIX, Cost, register_cost, size

#                       gates, additions and multiplications of states, each a unit a step
KINDS = {
    "SimpleRNN": (1, 0, 0),
    "GRU": (3, 2, 3),  # 1 - z, and the sum; r h, z h, (1 - z) n
    "LSTM": (4, 1, 3),  # f c + i g; f c, i g, o tanh(c)
}


def step(layer, kind, batch, inner, biases=1):
    """Returns the cost of one step.

    Args:
        layer: with `units` and `use_bias`.
        kind: in `KINDS`.
        batch: sequences.
        inner: width of the input.
        biases: vectors a gate.
    """
    gates, additions, products = KINDS[kind]
    units = batch * layer.units
    functions = gates + (kind == "LSTM")  # tanh of the cell
    return Cost(
        macs=gates * units * (inner + layer.units),
        additions=units * (gates + gates * biases * layer.use_bias + additions),
        elementwise=units * (functions + products),
        reach=MIX,
    )


def _biases(layer):
    return 2 if getattr(layer, "reset_after", False) else 1


def times(cost, steps):
    """Returns the cost of all steps."""
    return Cost(
        cost.macs * steps, cost.additions * steps, cost.elementwise * steps, reach=cost.reach
    )


def simple(layer, inputs, outputs):
    batch, steps, inner = inputs[0]
    return times(step(layer, "SimpleRNN", batch, inner), steps)


def gru(layer, inputs, outputs):
    batch, steps, inner = inputs[0]
    return times(step(layer, "GRU", batch, inner, _biases(layer)), steps)


def lstm(layer, inputs, outputs):
    batch, steps, inner = inputs[0]
    return times(step(layer, "LSTM", batch, inner), steps)


def simple_cell(layer, inputs, outputs):
    return step(layer, "SimpleRNN", *inputs[0])


def gru_cell(layer, inputs, outputs):
    return step(layer, "GRU", *inputs[0], _biases(layer))


def lstm_cell(layer, inputs, outputs):
    return step(layer, "LSTM", *inputs[0])


def conv_lstm(layer, inputs, outputs):
    """An LSTM whose products are convolutions: of the input as configured, of the state with stride 1."""
    cell = layer.cell
    batch, steps, *given = inputs[0]
    first = 2 if cell.data_format == "channels_first" else 1
    state = layer.compute_output_shape(inputs[0])
    state = state[0] if isinstance(state[0], (tuple, list)) else state
    sides = list(state[2 if layer.return_sequences else 1 :])
    sides = sides[1:] if first == 2 else sides[:-1]
    units = batch * math.prod(sides) * cell.filters
    inner = channels((batch, *given), cell.data_format)
    taps = math.prod(cell.kernel_size)
    return times(
        Cost(
            macs=4 * units * taps * (inner + cell.filters),
            additions=units * (4 + 4 * cell.use_bias + 1),
            elementwise=units * 8,
            reach=MIX,
        ),
        steps,
    )


def merged(layer, inputs, outputs):
    """What a bidirectional layer does with both directions, which are rows of their own."""
    elements = size(outputs[0])
    return {
        "sum": Cost(additions=elements),
        "ave": Cost(additions=elements, elementwise=elements),
        "mul": Cost(elementwise=elements),
    }.get(layer.merge_mode, Cost())


register_cost(layers.SimpleRNN, simple)
register_cost(layers.GRU, gru)
register_cost(layers.LSTM, lstm)
register_cost(layers.SimpleRNNCell, simple_cell)
register_cost(layers.GRUCell, gru_cell)
register_cost(layers.LSTMCell, lstm_cell)
for _name in ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"):
    register_cost(getattr(layers, _name), conv_lstm)
