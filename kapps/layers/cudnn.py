"""What keeps recurrent layers from cuDNN's kernels, which are an order of magnitude faster on a GPU."""

import keras
from keras import layers


def why_not_cudnn(model):
    """Returns what keeps each recurrent layer of a model from cuDNN's kernels: {layer: [reason]}, empty where nothing does.

    Args:
        model: a built `keras.Model`; models and wrapped layers inside it are looked at too.
    """
    found = {}
    for layer in _recurrent(model.layers):
        kind = type(layer)
        if kind not in (layers.LSTM, layers.GRU):
            cell = type(getattr(layer, "cell", layer)).__name__
            reasons = [f"{cell} has no kernel there; LSTM and GRU have"]
        else:
            gates = layer.recurrent_activation.__name__
            reasons = [
                reason
                for holds, reason in [
                    (layer.activation is keras.activations.tanh, f"activation is {layer.activation.__name__}, not tanh"),
                    (gates == "sigmoid", f"recurrent_activation is {gates}, not sigmoid"),
                    (not layer.recurrent_dropout, f"recurrent_dropout is {layer.recurrent_dropout}, not 0"),
                    (not layer.unroll, "unroll is True"),
                    (layer.use_bias, "use_bias is False"),
                    (getattr(layer, "reset_after", True), "reset_after is False"),
                    (layer.use_cudnn is not False, "use_cudnn is False"),
                ]
                if not holds
            ]  # fmt: skip
        if reasons:
            found[layer.name] = reasons
    return found


def _recurrent(found):
    for layer in found:
        if isinstance(layer, layers.Bidirectional):
            yield from (layer.forward_layer, layer.backward_layer)
        elif isinstance(layer, keras.Model):
            yield from _recurrent(layer.layers)
        elif isinstance(layer, layers.Wrapper):
            yield from _recurrent([layer.layer])
        elif isinstance(layer, layers.RNN):
            yield layer
