"""The conditions under which a recurrent layer uses cuDNN's kernels, which are ten times faster on a GPU."""

import keras
from keras import layers


def why_not_cudnn(model: keras.Model) -> dict[str, list[str]]:
    """Returns why recurrent layers of a model do not use cuDNN's kernels: {layer name: [reason]}.

    A layer that uses them is left out.

    Args:
        model: a built `keras.Model`; models and wrapped layers inside it are included.
    """
    reasons = {layer.name: reasons_of(layer) for layer in recurrent_layers(model.layers)}
    return {name: listed for name, listed in reasons.items() if listed}


def reasons_of(layer):
    """Returns the reasons of one layer as a list."""
    if getattr(layer, "profile_as", type(layer)) not in (layers.LSTM, layers.GRU):
        cell = type(getattr(layer, "cell", layer)).__name__
        return [f"cuDNN has kernels for LSTM and GRU, not for {cell}"]
    gates = layer.recurrent_activation.__name__
    conditions = [
        (layer.activation is keras.activations.tanh, f"activation is {layer.activation.__name__}, not tanh"),
        (gates == "sigmoid", f"recurrent_activation is {gates}, not sigmoid"),
        (not layer.recurrent_dropout, f"recurrent_dropout is {layer.recurrent_dropout}, not 0"),
        (not layer.unroll, "unroll is True"),
        (layer.use_bias, "use_bias is False"),
        (getattr(layer, "reset_after", True), "reset_after is False"),
        (layer.use_cudnn is not False, "use_cudnn is False"),
    ]  # fmt: skip
    return [reason for holds, reason in conditions if not holds]


def recurrent_layers(model_layers):
    """Yields the recurrent layers among layers, and inside models and wrappers among them."""
    for layer in model_layers:
        if isinstance(layer, layers.Bidirectional):
            yield from (layer.forward_layer, layer.backward_layer)
        elif isinstance(layer, keras.Model):
            yield from recurrent_layers(layer.layers)
        elif isinstance(layer, layers.Wrapper):
            yield from recurrent_layers([layer.layer])
        elif isinstance(layer, layers.RNN):
            yield layer
