"""Ranges of whole numbers: what must not share one with its neighbour.

In int8 a LiteRT pooling has the scale of what it pools, and what is concatenated has the scale of the whole. A mean
that is concatenated so hands the whole's range down to the layer that it pools, and that layer's greatest values, which
no mean has, are cut off: ShuffleNet V1's smallest network then agreed with itself on 87.5 % of images.
"""

import keras

from kapps._keras_compat import call_nodes, producer


def apart(model: keras.Model) -> keras.Model:
    """Returns the model with a depthwise convolution by 1 between each average pooling and its concatenation.

    It changes no number, and has a range of its own.

    Args:
        model: a functional model; the same layers are in what is returned.
    """
    pools = {
        producer(x).name
        for layer in model.layers
        if isinstance(layer, keras.layers.Concatenate)
        for node in call_nodes(layer)
        for x in node.input_tensors
        if isinstance(producer(x), keras.layers.AveragePooling2D)
    }
    if not pools:
        return model

    def call(layer, *args, **kwargs):
        found = layer(*args, **kwargs)
        if layer.name not in pools:
            return found
        one = keras.layers.DepthwiseConv2D(
            1, depthwise_initializer="ones", use_bias=False, data_format=layer.data_format,
            dtype=layer.dtype_policy, name=f"{layer.name}_range",
        )  # fmt: skip
        return one(found)

    return keras.models.clone_model(
        model, model.input, clone_function=lambda layer: layer, call_function=call
    )
