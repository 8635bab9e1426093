"""Recurrent layers and cells: the cost of a time step, multiplied by the number of steps.

A gate of u units has u (inputs + u) products with the input and the state, u additions of both, u additions of a bias,
and u activations.
"""

import math

from keras import layers

from kapps.analysis.cost_rules.convolution_costs import channels
from kapps.analysis.costs import MIX, Cost, register_cost, size

# gates; additions and multiplications of states for each unit and step
KINDS = {
    "SimpleRNN": (1, 0, 0),
    "GRU": (3, 2, 3),  # 1 - z and the sum; r h, z h, (1 - z) n
    "LSTM": (4, 1, 3),  # f c + i g; f c, i g, o tanh(c)
}


def step_cost(layer, kind, batch, input_width, biases=1):
    """Returns the cost of one time step.

    Args:
        layer: a layer or cell with `units` and `use_bias`.
        kind: key of `KINDS`.
        batch: number of sequences.
        input_width: length of the input vector.
        biases: number of bias vectors of a gate.
    """
    gates, additions, products = KINDS[kind]
    units = batch * layer.units
    activations = gates + (kind == "LSTM")  # tanh of the cell state
    return Cost(
        macs=gates * units * (input_width + layer.units),
        additions=units * (gates + gates * biases * layer.use_bias + additions),
        elementwise=units * (activations + products),
        reach=MIX,
    )


def _bias_vectors(layer):
    return 2 if getattr(layer, "reset_after", False) else 1


def repeat(cost, steps):
    """Returns the cost of all time steps."""
    return Cost(
        cost.macs * steps, cost.additions * steps, cost.elementwise * steps, reach=cost.reach
    )


def simple(layer, inputs, outputs):
    batch, steps, width = inputs[0]
    return repeat(step_cost(layer, "SimpleRNN", batch, width), steps)


def gru(layer, inputs, outputs):
    batch, steps, width = inputs[0]
    return repeat(step_cost(layer, "GRU", batch, width, _bias_vectors(layer)), steps)


def lstm(layer, inputs, outputs):
    batch, steps, width = inputs[0]
    return repeat(step_cost(layer, "LSTM", batch, width), steps)


def simple_cell(layer, inputs, outputs):
    return step_cost(layer, "SimpleRNN", *inputs[0])


def gru_cell(layer, inputs, outputs):
    return step_cost(layer, "GRU", *inputs[0], _bias_vectors(layer))


def lstm_cell(layer, inputs, outputs):
    return step_cost(layer, "LSTM", *inputs[0])


def conv_lstm(layer, inputs, outputs):
    """A convolutional LSTM: the input is convolved as configured, the state with stride 1."""
    cell = layer.cell
    batch, steps, *step_shape = inputs[0]
    output = layer.compute_output_shape(inputs[0])
    output = output[0] if isinstance(output[0], (tuple, list)) else output
    output = output[2 if layer.return_sequences else 1 :]
    sides = output[1:] if cell.data_format == "channels_first" else output[:-1]
    units = batch * math.prod(sides) * cell.filters
    input_channels = channels((batch, *step_shape), cell.data_format)
    kernel_size = math.prod(cell.kernel_size)
    return repeat(
        Cost(
            macs=4 * units * kernel_size * (input_channels + cell.filters),
            additions=units * (4 + 4 * cell.use_bias + 1),
            elementwise=units * 8,
            reach=MIX,
        ),
        steps,
    )


def merge(layer, output_shape):
    """Returns the cost of merging both directions of a bidirectional layer."""
    elements = size(output_shape)
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
