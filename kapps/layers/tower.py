"""One branch of an Inception module: convolutions in a row."""

from kapps.layers.convolution import conv_bn


def tower(x, *steps, strides=1, name):
    """`conv_bn` with ReLU for each (filters, kernel size) in turn: layers `<name>1`, `<name>2` ...

    The last has the strides; where it strides it is not padded. Epsilon is that of the Inceptions' code, 1e-3.
    """
    for i, (filters, kernel_size) in enumerate(steps, start=1):
        how = {"strides": strides, "padding": "valid"} if i == len(steps) and strides > 1 else {}
        x = conv_bn(
            x, filters, kernel_size, **how, activation="relu", epsilon=1e-3, name=f"{name}{i}"
        )
    return x
