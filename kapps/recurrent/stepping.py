"""A recurrent network as one step, its states going in and coming out: what a step costs does not grow with time."""

import keras
import numpy as np
from keras import layers, ops

POINTWISE = (
    layers.Embedding, layers.Dense, layers.Activation, layers.Dropout, layers.LayerNormalization, layers.Add,
    layers.Multiply, layers.Concatenate, layers.ReLU,
)  # fmt: skip
"""Keras's layers to which a step is as good as all of them; ours of the kind have `pointwise = True`."""


@keras.saving.register_keras_serializable("kapps")
class Step(layers.Layer):
    """One step of a cell, without a loop.

    Input: a list: x (batch, 1, features), and the states (batch, units). Output: the same of outputs and new states.
    Where the mask (batch, 1) hides the step, the states stay what they were.

    Args:
        cell: a cell of `keras.layers.RNN`.
    """

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.supports_masking = True

    def build(self, input_shape):
        if not self.cell.built:
            self.cell.build((input_shape[0][0], input_shape[0][-1]))
        self.built = True

    def call(self, inputs, mask=None):
        x, *states = inputs
        output, new = self.cell(x[:, 0], states)
        if mask is not None and mask[0] is not None:
            new = [ops.where(mask[0], one, old) for one, old in zip(new, states, strict=True)]
        return [ops.expand_dims(output, 1), *new]

    def compute_mask(self, inputs, mask=None):
        return [None if mask is None else mask[0], *[None] * (len(inputs) - 1)]

    def compute_output_shape(self, input_shape):
        x, *states = input_shape
        return [(x[0], 1, states[0][-1]), *states]

    def get_config(self):
        return {
            **super().get_config(),
            "cell": keras.saving.serialize_keras_object(self.cell),
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("cell")), **config)


def step(model, batch=None):
    """Returns a model of one step of a recurrent network that answers at each step; the weights are the same ones.

    Its inputs and outputs are dictionaries. Inputs: {the model's own input: [batch, 1, ...], and each layer's states,
    "layer1_h" and with LSTM "layer1_c": float [batch, units], zeros before the first step}. Outputs: {"logits": float
    [batch, 1, classes], or "values" of a model without a layer "head_logits", and the new states under their names}.
    Padding (token 0) leaves the states as they are.

    Args:
        model: a functional `keras.Model` of one input, tokens (batch, time) or vectors (batch, time, features), as
            `kapps.rnn_lm` builds it, with or without its activation.
        batch: of the step, where it is known; a LiteRT file's is 1.

    Raises:
        ValueError: for a layer that looks at more than one step, or at states that were given to it.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"{model.name}: a step is made of a model of one input and one output")
    named = {layer.name: layer for layer in model.layers}
    output = named["head_logits"].output if "head_logits" in named else model.output
    for layer in model.layers:
        refuse(model, layer)
    (given,) = model.inputs
    inputs, states = {}, {}
    for layer in model.layers:
        if isinstance(layer, layers.RNN):
            for name, size in zip(names(layer), layer.state_size, strict=True):
                dtype = layer.compute_dtype
                inputs[name] = keras.Input((size,), batch_size=batch, dtype=dtype, name=name)
    taken = keras.Input((1, *given.shape[2:]), batch_size=batch, dtype=given.dtype, name=given.name)

    def called(layer, *args, **kwargs):
        if not isinstance(layer, layers.RNN):
            return layer(*args, **kwargs)
        one = Step(layer.cell, name=layer.name, dtype=layer.dtype_policy)
        found, *new = one([args[0], *(inputs[name] for name in names(layer))])
        states.update(zip(names(layer), new, strict=True))
        return (found, *new) if layer.return_state else found

    copied = keras.models.clone_model(
        keras.Model([given, *inputs.values()], output),
        input_tensors=[taken, *inputs.values()],
        clone_function=lambda layer: layer,
        call_function=called,
    )
    inputs = {given.name: taken, **inputs}
    kind = "logits" if "head_logits" in named else "values"
    return keras.Model(inputs, {kind: copied.output, **states}, name=f"{model.name}_step")


def names(layer):
    """Returns the names of a recurrent layer's states."""
    return [f"{layer.name}_{state}" for state in "hc"[: len(layer.state_size)]]


def refuse(model, layer):
    """Raises ValueError where a layer has no step of its own."""
    if isinstance(layer, (layers.InputLayer, *POINTWISE)) or getattr(layer, "pointwise", False):
        return
    if isinstance(layer, layers.RNN) and layer.return_sequences and not layer.go_backwards:
        sources = [node for node in layer._inbound_nodes if len(node.input_tensors) > 1]
        if not sources and len(layer.state_size) <= 2:
            return
        raise ValueError(
            f"{model.name}: {layer.name} starts from states that another layer gives; a step has its states as inputs"
        )
    raise ValueError(
        f"{model.name}: {layer.name} ({type(layer).__name__}) needs more than the step and the states before it, "
        "so the network has no step"
    )


def zeros(one, batch):
    """Returns the states before the first step, {name: NumPy float32 [batch, units]}, of a model that `step` made."""
    own = set(one.input) & set(one.output)
    return {
        name: np.zeros((batch, tensor.shape[-1]), "float32")
        for name, tensor in one.input.items()
        if name in own
    }


def stepped(model):
    """Whether a model is one that `step` made: its states come out under the names under which they go in."""
    both = isinstance(model.input, dict) and isinstance(model.output, dict)
    return both and bool(set(model.input) & set(model.output))
