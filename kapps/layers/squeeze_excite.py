"""The squeeze-and-excitation block (Hu 2017, arXiv:1709.01507)."""

from keras import layers


def squeeze_excite(x, inner, *, activation="relu", gate="sigmoid", name):
    """Weights the channels: x * gate(W2 activation(W1 mean(x))), with `inner` channels between W1 and W2.

    W1 and W2 are 1x1 convolutions with biases.
    """
    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    s = layers.Conv2D(inner, 1, activation=activation, name=f"{name}_reduce")(s)
    s = layers.Conv2D(x.shape[-1], 1, activation=gate, name=f"{name}_expand")(s)
    return layers.Multiply(name=f"{name}_scale")([x, s])
